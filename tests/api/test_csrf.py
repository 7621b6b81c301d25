"""A browser sends cookies by itself: an unsafe request that a cookie identifies must be the user's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token, set_access_cookies
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from api_v1 import csrf
from billing_db import fetch_all
from tests.cast import Person

BILLING = "/api/v1/billing"
KEY = {"name": "mine", "scopes": ["billing.read"]}
REFUSED = "cross_site_request"

MakeApp = Callable[..., Flask]


@pytest.fixture
def host(make_app: MakeApp, alice: Person) -> Flask:
    """A host with a session login: the cookie says who is calling."""
    app = make_app(SECRET_KEY="k" * 32, BILLING_USER_LOADER=lambda: session.get("user"))

    @app.get("/login/<who>")
    def login(who: str) -> str:
        session["user"] = who
        return "in"

    return app


def browser(host: Flask, user_id: int = 1) -> FlaskClient:
    client = host.test_client()
    client.get(f"/login/{user_id}")
    return client


def make_key(client: FlaskClient, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"{BILLING}/api-keys", json=KEY, headers=sent)


def number_of_keys(alice: Person) -> int:
    return len(fetch_all(alice.db, "SELECT id FROM billing_api_keys"))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": "http://localhost@evil.example"},
        {"Origin": "ftp://localhost"},
        {"Origin": "http://[::1"},
        {"Origin": "http://localhost:port"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
        {"Referer": "http://localhost/page"},
        {"X_CSRF_Token": "guess"},
        {"X_CSRF_Token": "é" * 200},
        {"X_HTTP_Method_Override": "GET"},
        {"Authorization": "Basic MTox"},
    ],
    ids=str,
)
def test_what_another_site_could_cause_is_refused_and_changes_nothing(
    host: Flask, alice: Person, headers: dict[str, str]
) -> None:
    reply = make_key(browser(host), **headers)
    assert (reply.status_code, reply.json["code"]) == (403, REFUSED)
    assert number_of_keys(alice) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost"},
        {"Origin": "http://LOCALHOST:80"},
        {"Origin": "https://localhost"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_what_our_own_pages_send_is_done(host: Flask, alice: Person, headers: dict[str, str]) -> None:
    assert make_key(browser(host), **headers).status_code == 201
    assert number_of_keys(alice) == 1


def test_a_page_over_tls_is_not_the_same_origin_as_one_without(host: Flask, alice: Person) -> None:
    client = browser(host)
    reply = client.post(
        f"{BILLING}/api-keys", json=KEY, headers={"Origin": "http://localhost"}, base_url="https://localhost"
    )
    assert reply.status_code == 403


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_every_unsafe_method_is_held_to_it_before_anything_is_looked_up(
    host: Flask, alice: Person, method: str
) -> None:
    path = f"{BILLING}/api-keys" if method == "POST" else f"{BILLING}/api-keys/00000000"
    assert browser(host).open(path, method=method, json=KEY).json["code"] == REFUSED
    under_tenant = path.replace(BILLING, f"{BILLING}/tenants/1")
    assert browser(host).open(under_tenant, method=method, json=KEY).json["code"] == REFUSED


def test_reading_needs_no_proof(host: Flask) -> None:
    assert browser(host).get(f"{BILLING}/api-keys", headers={"Origin": "https://evil.example"}).status_code == 200


def test_our_token_is_proof_from_anywhere_for_its_user_only(host: Flask, alice: Person, bob: Person) -> None:
    hers, his = browser(host, 1), browser(host, 2)
    token = hers.get(f"{BILLING}/csrf-token").json["csrf_token"]
    assert make_key(his, X_CSRF_Token=token).json["code"] == REFUSED
    assert number_of_keys(alice) == 0
    assert make_key(hers, X_CSRF_Token=token).status_code == 201
    assert make_key(hers, X_CSRF_Token=token, Origin="https://app.example").status_code == 201


@pytest.mark.parametrize(("age", "status"), [(csrf.LIFETIME - 60, 201), (csrf.LIFETIME + 60, 403)])
def test_a_token_ends_after_twelve_hours(host: Flask, alice: Person, age: int, status: int) -> None:
    class Earlier(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time()) - age

    made = URLSafeTimedSerializer(host.secret_key, salt="turf_saas.billing.csrf", signer=Earlier).dumps(1)  # type: ignore[arg-type]
    assert make_key(browser(host), X_CSRF_Token=str(made)).status_code == status


def test_a_token_signed_with_another_secret_or_for_another_purpose_is_none(host: Flask, alice: Person) -> None:
    other = URLSafeTimedSerializer("o" * 32, salt="turf_saas.billing.csrf").dumps(1)
    purpose = URLSafeTimedSerializer("k" * 32, salt="cookie-session").dumps(1)
    for token in (other, purpose):
        assert make_key(browser(host), X_CSRF_Token=str(token)).status_code == 403


def test_a_caller_whom_a_header_identifies_needs_no_proof(host: Flask, alice: Person) -> None:
    client = host.test_client()
    assert client.post(f"{BILLING}/api-keys", json=KEY, headers=alice.headers).status_code == 201
    cross_site = {**alice.headers, "Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post(f"{BILLING}/api-keys", json=KEY, headers=cross_site).status_code == 201


def test_a_program_that_the_host_knows_by_a_header_of_its_own_needs_no_proof(make_app: MakeApp, alice: Person) -> None:
    app = make_app(BILLING_USER_LOADER=lambda: 1)
    assert make_key(app.test_client(), X_My_Token="t").status_code == 201


@pytest.mark.parametrize(
    ("marks", "status"),
    [
        ({}, 201),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "https://evil.example", "X_Forwarded_User": "alice"}, 403),
        ({"Origin": "https://evil.example", "Authorization": ""}, 403),
        ({"Origin": "http://localhost"}, 201),
        ({"Sec_Fetch_Site": "same-origin"}, 201),
        ({"Origin": "https://app.example", "Authorization": "Token t"}, 201),
    ],
    ids=str,
)
def test_a_client_certificate_or_an_address_counts_as_a_cookie_when_a_browser_sent_the_request(
    make_app: MakeApp, alice: Person, marks: dict[str, str], status: int
) -> None:
    client = make_app(BILLING_USER_LOADER=lambda: 1).test_client()
    assert make_key(client, **marks).status_code == status
    assert number_of_keys(alice) == (1 if status == 201 else 0)


def test_our_token_lets_a_page_of_another_site_in_that_the_host_knows_without_a_cookie(
    make_app: MakeApp, alice: Person
) -> None:
    client = make_app(BILLING_USER_LOADER=lambda: 1, SECRET_KEY="k" * 32).test_client()
    token = client.get(f"{BILLING}/csrf-token", headers={"Origin": "https://app.example"}).json["csrf_token"]
    assert make_key(client, Origin="https://app.example", X_CSRF_Token=token).status_code == 201


def test_basic_credentials_count_as_a_cookie_when_a_browser_sent_them(make_app: MakeApp, alice: Person) -> None:
    client = make_app(BILLING_USER_LOADER=lambda: 1).test_client()
    assert make_key(client, Authorization="Basic MTox").status_code == 201
    assert make_key(client, Authorization="Basic MTox", Origin="https://evil.example").status_code == 403
    assert make_key(client, Authorization="Basic MTox", Sec_Fetch_Site="cross-site").status_code == 403
    assert make_key(client, Authorization="Basic MTox", Origin="http://localhost").status_code == 201


# -- cookies of flask-jwt-extended ---------------------------------------------------------------------------


def jwt_browser(make_app: MakeApp, **config: Any) -> tuple[FlaskClient, str]:
    """A browser with the extension's cookie, and the extension's own double-submit token."""
    app = make_app(JWT_TOKEN_LOCATION=["headers", "cookies"], JWT_COOKIE_SECURE=False, **config)
    JWTManager(app)

    @app.get("/login")
    def login() -> Any:
        reply = app.make_response("in")
        set_access_cookies(reply, create_access_token(identity="1"))
        return reply

    client = app.test_client()
    client.get("/login")
    cookie = client.get_cookie("csrf_access_token")
    return client, cookie.value if cookie else ""


def test_the_extensions_own_token_is_asked_where_the_host_wants_it(make_app: MakeApp, alice: Person) -> None:
    client, token = jwt_browser(make_app)
    assert client.get(f"{BILLING}/consumption").json["user_id"] == 1
    assert make_key(client).json["code"] == REFUSED
    assert make_key(client, X_CSRF_TOKEN="wrong").json["code"] == REFUSED
    assert make_key(client, X_CSRF_TOKEN="wrong", Origin="http://localhost").json["code"] == REFUSED
    assert number_of_keys(alice) == 0
    assert make_key(client, X_CSRF_TOKEN=token).status_code == 201


def test_without_the_extensions_token_ours_or_our_origin_is_asked(make_app: MakeApp, alice: Person) -> None:
    client, _ = jwt_browser(make_app, JWT_COOKIE_CSRF_PROTECT=False)
    assert make_key(client).json["code"] == REFUSED
    assert make_key(client, Origin="https://evil.example").json["code"] == REFUSED
    assert make_key(client, Origin="http://localhost").status_code == 201
    token = client.get(f"{BILLING}/csrf-token").json["csrf_token"]
    assert make_key(client, X_CSRF_Token=token).status_code == 201


def test_a_bad_token_in_the_header_is_not_rescued_by_a_good_cookie(make_app: MakeApp, alice: Person) -> None:
    client, _ = jwt_browser(make_app)
    assert client.get(f"{BILLING}/consumption", headers={"Authorization": "Bearer x"}).status_code == 401


def test_an_api_key_is_not_overruled_by_a_cookie_that_happens_to_be_there(make_app: MakeApp, alice: Person) -> None:
    client, token = jwt_browser(make_app)
    key = make_key(client, X_CSRF_TOKEN=token).json["key"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"X_API_Key": key}):
        reply = make_key(client, **headers)
        assert (reply.status_code, reply.json["code"]) == (403, "scope_missing")


def test_without_any_secret_there_is_no_token(make_app: MakeApp, alice: Person) -> None:
    client = make_app(BILLING_USER_LOADER=lambda: 1, JWT_SECRET_KEY="").test_client()
    assert client.get(f"{BILLING}/csrf-token").json["code"] == "csrf_unavailable"
    client.set_cookie("session", "x")
    assert make_key(client, X_CSRF_Token="x").json["code"] == REFUSED
    assert make_key(client, Origin="http://localhost").status_code == 201
