"""Who is calling, by token: what is refused, that all refusals look the same, and what remembering must not hide."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, jwt_required

from api_v1 import token_memory
from api_v1.token_memory import Checked, TokenMemory
from billing_db import atomic, execute
from tests.cast import SECRET, Person, token_for
from tests.conftest import NOW
from turf_saas.users import set_role

WHO_AM_I = "/api/v1/billing/consumption"
NOBODY = {"error": "Authentification requise.", "code": "unauthenticated"}

MakeApp = Callable[..., Flask]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def forged(header: dict[str, Any], claims: dict[str, Any], secret: str | None = SECRET) -> str:
    """A token as an attacker writes it: any header, signed with HMAC-SHA256 or not at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest() if secret else b""
    return b".".join([signed, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    body = {"sub": "1", "type": "access", "iat": now, "nbf": now, "exp": now + 600, "jti": "x", "fresh": False}
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
BAD_TOKENS = {
    "alg none": forged({"alg": "none", "typ": "JWT"}, claims(), secret=None),
    "alg None": forged({"alg": "None", "typ": "JWT"}, claims(), secret=None),
    "alg nOnE with a signature": forged({"alg": "nOnE", "typ": "JWT"}, claims()),
    "no alg": forged({"typ": "JWT"}, claims()),
    "another key": token_for(1, secret="another-secret-of-thirty-two-bytes!!"),
    "an empty key": forged({"alg": "HS256"}, claims(), secret="\0"),
    "HS512 under the same key": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "RS256 that is an HMAC": forged({"alg": "RS256"}, claims()),
    "HS256 under a public key": forged({"alg": "HS256"}, claims(), secret=PUBLIC_KEY),
    "expired": token_for(1, exp=int(time.time()) - 1),
    "not yet": token_for(1, nbf=int(time.time()) + 86_400),
    "issued in the future": token_for(1, iat=int(time.time()) + 86_400),
    "without an end": token_for(1, exp=None),
    "an end that is no number": forged({"alg": "HS256"}, claims(exp="tomorrow")),
    "an endless end": forged({"alg": "HS256"}, claims(exp=float("inf"))),
    "a refresh token": token_for(1, type="refresh"),
    "nobody named": token_for(1, sub=None),
    "an unknown user": token_for(999),
    "a text where keys are integers": token_for("alice"),
    "another spelling of 1": token_for("01"),
    "a full-width 1": token_for("１"),
    "an integer sub": forged({"alg": "HS256"}, claims(sub=1)),
    "a list as sub": forged({"alg": "HS256"}, claims(sub=["1"])),
    "true as sub": forged({"alg": "HS256"}, claims(sub=True)),
    "a key beyond 64 bits": token_for(2**63),
    "a key of 5000 digits": token_for("9" * 5000),
    "another key by kid": forged({"alg": "HS256", "kid": "../../dev/null"}, claims(), secret="\0"),
    "a kid that is no text": forged({"alg": "HS256", "kid": 7}, claims()),
    "a jku": forged({"alg": "HS256", "jku": "http://127.0.0.1:9/keys"}, claims(), secret="mine"),
    "claims that are a list": forged({"alg": "HS256"}, [1]),  # type: ignore[arg-type]
    "ten kilobytes, well signed": token_for(1, pad="x" * 10_000),
    "ten kilobytes of nothing": "x" * 10_000,
    "a deep header": base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.x",
    "dots": "..",
    "garbage": "garbage",
    "not ASCII": "é.é.é",
}


def test_a_good_token_is_answered(client: FlaskClient, alice: Person) -> None:
    assert client.get(WHO_AM_I, headers=alice.headers).json["user_id"] == 1


@pytest.mark.parametrize("with_manager", [False, True], ids=["by our own", "by flask-jwt-extended"])
@pytest.mark.parametrize("name", BAD_TOKENS)
def test_every_bad_token_is_refused_with_the_same_bytes(
    make_app: MakeApp, alice: Person, name: str, with_manager: bool
) -> None:
    app = make_app(BILLING_ACCOUNTS=True)
    if with_manager:
        JWTManager(app)
    reply = app.test_client().get(
        WHO_AM_I, headers={"Authorization": f"Bearer {BAD_TOKENS[name]}".encode("latin-1", "replace").decode("latin-1")}
    )
    assert (reply.status_code, reply.json) == (401, NOBODY)
    assert reply.data == app.test_client().get(WHO_AM_I).data
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("with_manager", [False, True], ids=["by our own", "by flask-jwt-extended"])
def test_a_token_elsewhere_than_in_the_header_is_not_looked_at(
    make_app: MakeApp, alice: Person, with_manager: bool
) -> None:
    app = make_app()
    if with_manager:
        app.config["JWT_TOKEN_LOCATION"] = ["headers", "query_string", "json"]
        JWTManager(app)
    client, token = app.test_client(), alice.token
    for reply in (
        client.get(f"{WHO_AM_I}?jwt={token}"),
        client.get(WHO_AM_I, json={"access_token": token}),
        client.get(WHO_AM_I, headers={"Authorization": f"Basic {token}"}),
        client.get(WHO_AM_I, headers={"Authorization": token}),
        client.get(WHO_AM_I, headers={"Authorization": f"Bearer {token} {token}"}),
        client.get(WHO_AM_I, headers={"Authorization": "Basic MTox"}),
        client.get(WHO_AM_I, headers={"X-User-Id": "1"}),
    ):
        assert (reply.status_code, reply.json) == (401, NOBODY)


def test_without_a_secret_no_token_is_good(make_app: MakeApp, alice: Person) -> None:
    client = make_app(JWT_SECRET_KEY="").test_client()
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 401
    assert client.get(WHO_AM_I, headers=bearer(forged({"alg": "HS256"}, claims(), secret="\0"))).status_code == 401


# -- remembering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_manager", [False, True], ids=["by our own", "by flask-jwt-extended"])
def test_a_remembered_token_still_expires(
    make_app: MakeApp, alice: Person, monkeypatch: pytest.MonkeyPatch, with_manager: bool
) -> None:
    app = make_app()
    if with_manager:
        JWTManager(app)
    client, end = app.test_client(), int(time.time()) + 600
    headers = bearer(token_for(1, exp=end))
    assert client.get(WHO_AM_I, headers=headers).status_code == 200
    monkeypatch.setattr("api_v1.tokens.time.time", lambda: end - 1)
    assert client.get(WHO_AM_I, headers=headers).status_code == 200
    monkeypatch.setattr("api_v1.tokens.time.time", lambda: end)
    assert client.get(WHO_AM_I, headers=headers).status_code == 401


def test_a_remembered_token_is_forgotten_when_the_secret_changes(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    client = app.test_client()
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 200
    app.config["JWT_SECRET_KEY"] = "the-next-secret-of-thirty-two-bytes!!"
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 401


def test_a_deleted_user_is_refused_at_the_next_request(make_app: MakeApp, alice: Person) -> None:
    client = make_app(BILLING_ACCOUNTS=True).test_client()
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 200
    with atomic(alice.db):
        execute(alice.db, "DELETE FROM users WHERE id = 1")
    reply = client.get(WHO_AM_I, headers=alice.headers)
    assert (reply.status_code, reply.json) == (401, NOBODY)


def test_a_role_taken_away_is_gone_at_the_next_request_whatever_the_token_says(
    make_app: MakeApp, ada: Person, bob: Person
) -> None:
    client = make_app(BILLING_ACCOUNTS=True).test_client()
    headers = bearer(token_for(ada.id, role="admin", tenant_id=1))
    user = {"email": "new@example.com", "password": "a good password"}
    assert client.post("/api/v1/billing/users", json=user, headers=headers).status_code == 201
    set_role(ada.db, NOW, ada.id, "user")
    user["email"] = "newer@example.com"
    reply = client.post("/api/v1/billing/users", json=user, headers=headers)
    assert (reply.status_code, reply.json["code"]) == (403, "forbidden")


def test_a_token_that_the_host_has_revoked_is_refused_at_once(make_app: MakeApp, alice: Person) -> None:
    app, revoked = make_app(), set()
    manager = JWTManager(app)
    manager.token_in_blocklist_loader(lambda _header, payload: payload["jti"] in revoked)
    client, headers = app.test_client(), bearer(token_for(1, jti="j1"))
    assert client.get(WHO_AM_I, headers=headers).status_code == 200
    revoked.add("j1")
    reply = client.get(WHO_AM_I, headers=headers)
    assert (reply.status_code, reply.json) == (401, NOBODY)


def test_whom_the_hosts_user_lookup_does_not_know_is_refused(make_app: MakeApp, alice: Person) -> None:
    app, known = make_app(), {"1"}
    JWTManager(app).user_lookup_loader(lambda _header, payload: payload["sub"] if payload["sub"] in known else None)
    client = app.test_client()
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 200
    known.clear()
    assert client.get(WHO_AM_I, headers=alice.headers).json == NOBODY


def test_the_hosts_own_check_of_claims_is_asked_every_time(make_app: MakeApp, alice: Person) -> None:
    app, wanted = make_app(), {"site": "a"}
    JWTManager(app).token_verification_loader(lambda _header, payload: payload.get("site") == wanted["site"])
    client, headers = app.test_client(), bearer(token_for(1, site="a"))
    assert client.get(WHO_AM_I, headers=headers).status_code == 200
    wanted["site"] = "b"
    assert client.get(WHO_AM_I, headers=headers).json == NOBODY


def test_a_callback_of_the_host_that_breaks_is_not_taken_for_a_bad_token(make_app: MakeApp, alice: Person) -> None:
    app = make_app(TESTING=False, BILLING_ENV="testing")
    JWTManager(app).token_in_blocklist_loader(lambda _header, _payload: {}["the host's own mistake"])
    assert app.test_client().get(WHO_AM_I, headers=alice.headers).status_code == 500


def test_a_host_whose_manager_has_no_key_is_told_so(make_app: MakeApp, alice: Person) -> None:
    app = make_app(JWT_SECRET_KEY=None)
    JWTManager(app)
    reply = app.test_client().get(WHO_AM_I, headers=alice.headers)
    assert (reply.status_code, reply.json["code"]) == (503, "tokens_unavailable")


def test_the_owner_can_read_why_a_token_was_refused(
    client: FlaskClient, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    token = token_for(alice.id, exp=1)
    with caplog.at_level(logging.INFO, "turf_saas.billing"):
        assert client.get(WHO_AM_I, headers=bearer(token)).json == NOBODY
    assert [record.getMessage() for record in caplog.records] == ["a JWT was refused: ExpiredSignatureError"]


def test_a_host_that_chooses_its_key_per_token_is_asked_every_time(make_app: MakeApp, alice: Person) -> None:
    app, key_of = make_app(), {"k1": SECRET}
    JWTManager(app).decode_key_loader(lambda header, _payload: key_of[header["kid"]])
    client = app.test_client()
    good = forged({"alg": "HS256", "kid": "k1"}, claims())
    assert client.get(WHO_AM_I, headers=bearer(good)).status_code == 200
    assert client.get(WHO_AM_I, headers=bearer(forged({"alg": "HS256", "kid": "k2"}, claims()))).json == NOBODY
    assert client.get(WHO_AM_I, headers=bearer(forged({"alg": "HS256"}, claims()))).json == NOBODY
    key_of.clear()
    assert client.get(WHO_AM_I, headers=bearer(good)).json == NOBODY


def test_tokens_of_the_extension_work_and_its_refresh_tokens_do_not(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    JWTManager(app)
    with app.app_context():
        access, refresh = create_access_token(identity="1"), create_refresh_token(identity="1")
        expired = create_access_token(identity="1", expires_delta=timedelta(seconds=-1))
    client = app.test_client()
    assert client.get(WHO_AM_I, headers=bearer(access)).status_code == 200
    assert client.get(WHO_AM_I, headers=bearer(refresh)).json == NOBODY
    assert client.get(WHO_AM_I, headers=bearer(expired)).json == NOBODY


def test_the_hosts_header_name_audience_and_endless_tokens_are_respected(make_app: MakeApp, alice: Person) -> None:
    app = make_app(
        JWT_HEADER_NAME="X-Token", JWT_HEADER_TYPE="", JWT_DECODE_AUDIENCE="here", JWT_ACCESS_TOKEN_EXPIRES=False
    )
    JWTManager(app)
    client = app.test_client()
    assert client.get(WHO_AM_I, headers={"X-Token": token_for(1, aud="here", exp=None)}).status_code == 200
    assert client.get(WHO_AM_I, headers={"X-Token": token_for(1, aud="there")}).json == NOBODY
    assert client.get(WHO_AM_I, headers=bearer(token_for(1, aud="here"))).json == NOBODY


def test_callbacks_and_answers_of_the_hosts_own_routes_stay_as_they_were(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    manager = JWTManager(app)
    manager.invalid_token_loader(lambda reason: ({"host": reason}, 418))
    app.add_url_rule("/own", view_func=jwt_required()(lambda: "own"))
    callbacks = dict(vars(manager))
    client = app.test_client()
    assert client.get(WHO_AM_I, headers=bearer("garbage")).status_code == 401
    assert client.get("/own", headers=bearer("garbage")).status_code == 418
    assert client.get("/own", headers=alice.headers).data == b"own"
    assert vars(manager) == callbacks


def test_the_memory_of_tokens_is_bounded_with_many_threads_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_memory, "REMEMBERED", 50)
    memory = TokenMemory()

    def write(mine: int) -> None:
        for number in range(500):
            memory.put(f"{mine}-{number}", Checked({}, {"sub": number}, "s"))
            memory.get(f"{mine}-{number}", "s")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory) == 50
    memory.put("last", Checked({}, {"sub": "last"}, "s"))
    assert len(memory) == 50
    assert memory.get("last", "s") == Checked({}, {"sub": "last"}, "s")
    assert memory.get("last", "another secret") is None


def test_the_memory_holds_no_token_and_at_most_4096() -> None:
    memory = TokenMemory()
    for number in range(4097):
        memory.put(f"token-{number}", Checked({}, {}, "s"))
    assert len(memory) == token_memory.REMEMBERED == 4096
    assert memory.get("token-0", "s") is None
    assert memory.get("token-1", "s") is not None
    assert "token-1" not in repr(vars(memory))
