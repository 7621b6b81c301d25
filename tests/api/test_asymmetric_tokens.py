"""A host whose flask-jwt-extended signs with a key pair: who holds the public half alone cannot make a token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token

from tests.cast import SECRET, Person, token_for

BILLING = "/api/v1/billing"
WHO_AM_I = f"{BILLING}/consumption"
NOBODY = {"error": "Authentification requise.", "code": "unauthenticated"}

MakeApp = Callable[..., Flask]


@dataclass
class KeyPair:
    private: str
    public: str


def new_pair() -> KeyPair:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return new_pair()


@pytest.fixture(scope="module")
def another_pair() -> KeyPair:
    return new_pair()


def host_with(make_app: MakeApp, pair: KeyPair, **config: Any) -> Flask:
    keys = {"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY": pair.private, "JWT_PUBLIC_KEY": pair.public}
    app = make_app(**{**keys, **config})
    JWTManager(app)
    return app


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": "1", "type": "access", "iat": now, "nbf": now, "exp": now + 600, "jti": "x", **changes}


def encoded(part: Any) -> bytes:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=")


def under_hmac(secret: str, header: dict[str, Any] | None = None) -> str:
    """As an attacker writes it: PyJWT would not take a public key for a secret."""
    signed = encoded(header or {"alg": "HS256", "typ": "JWT"}) + b"." + encoded(claims())
    return (signed + b"." + encoded(hmac.digest(secret.encode(), signed, hashlib.sha256))).decode()


def ask(app: Flask, token: str) -> tuple[int, Any]:
    reply = app.test_client().get(WHO_AM_I, headers={"Authorization": f"Bearer {token}"})
    return reply.status_code, reply.json.get("user_id", reply.json)


def test_a_token_signed_with_the_private_key_is_accepted_as_often_as_it_is_sent(
    make_app: MakeApp, alice: Person, pair: KeyPair
) -> None:
    app = host_with(make_app, pair)
    with app.app_context():
        token = create_access_token(identity="1")
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert [ask(app, token) for _ in range(3)] == [(200, 1)] * 3


def test_a_host_with_the_public_key_alone_takes_tokens_that_were_made_elsewhere(
    make_app: MakeApp, alice: Person, pair: KeyPair
) -> None:
    app = host_with(make_app, pair, JWT_PRIVATE_KEY=None, JWT_SECRET_KEY=None)
    assert ask(app, jwt.encode(claims(), pair.private, algorithm="RS256")) == (200, 1)


@pytest.mark.parametrize(
    "config",
    [{}, {"JWT_DECODE_ALGORITHMS": ["RS256", "HS256"]}, {"JWT_SECRET_KEY": None}],
    ids=["as it should be", "a host that lets HS256 in beside it", "no secret at all"],
)
def test_a_public_key_is_nobodys_secret(
    make_app: MakeApp, alice: Person, pair: KeyPair, config: dict[str, Any]
) -> None:
    app, pem = host_with(make_app, pair, **config), pair.public
    body = "".join(pem.splitlines()[1:-1])
    for secret in (pem, pem.strip(), pem.replace("\n", "\r\n"), body, SECRET, "None", ""):
        assert ask(app, under_hmac(secret)) == (401, NOBODY), secret
        assert ask(app, under_hmac(secret, {"alg": "RS256", "typ": "JWT"})) == (401, NOBODY), secret
    assert ask(app, token_for(1)) == (401, NOBODY), "the secret of HS256 is out of use"


def test_without_a_signature_of_the_right_key_and_kind_nobody_gets_in(
    make_app: MakeApp, alice: Person, pair: KeyPair, another_pair: KeyPair
) -> None:
    app = host_with(make_app, pair)
    good = jwt.encode(claims(), pair.private, algorithm="RS256")
    header, _, signature = good.split(".")
    fetched = {"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert", "kid": "../public.pem"}
    own_key = {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public_key_of(another_pair)))}
    for bad in (
        b".".join([encoded({"alg": "none", "typ": "JWT"}), encoded(claims()), b""]).decode(),
        b".".join([encoded({"alg": "none"}), encoded(claims()), signature.encode()]).decode(),
        b".".join([encoded({"alg": "nOnE"}), encoded(claims()), b""]).decode(),
        b".".join([encoded({"typ": "JWT"}), encoded(claims()), signature.encode()]).decode(),
        ".".join([header, encoded(claims(sub="4")).decode(), signature]),
        ".".join([header, encoded(claims()).decode(), ""]),
        jwt.encode(claims(), another_pair.private, algorithm="RS256"),
        jwt.encode(claims(), another_pair.private, algorithm="RS256", headers=own_key),
        jwt.encode(claims(), another_pair.private, algorithm="RS256", headers=fetched),
        jwt.encode(claims(), pair.private, algorithm="RS512"),
        jwt.encode(claims(), pair.private, algorithm="PS256"),
        jwt.encode(claims(exp=int(time.time()) - 1), pair.private, algorithm="RS256"),
        jwt.encode(claims(type="refresh"), pair.private, algorithm="RS256"),
    ):
        assert ask(app, bad) == (401, NOBODY), bad
    assert ask(app, good) == (200, 1)


def public_key_of(pair: KeyPair) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(pair.public.encode())


def test_a_remembered_token_ends_with_the_key_that_checked_it(
    make_app: MakeApp, alice: Person, pair: KeyPair, another_pair: KeyPair
) -> None:
    app = host_with(make_app, pair)
    token = jwt.encode(claims(), pair.private, algorithm="RS256")
    assert ask(app, token) == (200, 1)
    app.config["JWT_PUBLIC_KEY"] = another_pair.public
    assert ask(app, token) == (401, NOBODY)


def test_a_login_of_ours_signs_as_the_host_does(make_app: MakeApp, ada: Person, pair: KeyPair) -> None:
    client = host_with(make_app, pair, BILLING_ACCOUNTS=True).test_client()
    with client.application.app_context():
        hers = {"Authorization": f"Bearer {create_access_token(identity=str(ada.id))}"}
    new = {"email": "new@example.com", "password": "a good password"}
    made = client.post(f"{BILLING}/users", json=new, headers=hers)
    token = client.post(f"{BILLING}/auth/login", json=new).json["access_token"]
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert ask(client.application, token) == (200, made.json["user_id"])
