"""Logging in where billing keeps the users: what is answered, what is not told, and how often one may guess."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager
from werkzeug.security import check_password_hash, generate_password_hash

import billing_db
from api_v1 import Billing
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import SECRET, Cast
from tests.conftest import NOW
from turf_saas import accounts, passwords
from turf_saas.accounts import clean_email, network_of
from turf_saas.errors import BillingError, TooMany, Unauthenticated
from turf_saas.users import UsersTable, get_users_table
from turf_saas.values import instant_text

LOGIN = "/api/v1/billing/auth/login"
WHO_AM_I = "/api/v1/billing/consumption"
EMAIL, PASSWORD = "eve@example.com", "correct horse battery"

MakeApp = Callable[..., Flask]


@pytest.fixture
def users(db: Connection) -> UsersTable:
    return get_users_table(db)


@pytest.fixture
def eve(db: Connection, people: Cast, users: UsersTable) -> Any:
    """An admin of tenant 2 who can log in."""
    return accounts.create_user(db, NOW, users, email=EMAIL, password=PASSWORD, tenant_id=2, role="admin", name="Eve")


@pytest.fixture
def site(make_app: MakeApp) -> FlaskClient:
    return make_app(BILLING_ACCOUNTS=True).test_client()


def log_in(client: FlaskClient, email: str = EMAIL, password: str = PASSWORD, **sent: Any) -> Any:
    return client.post(LOGIN, json={"email": email, "password": password}, **sent)


# -- a good login --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_manager", [False, True], ids=["by our own", "by flask-jwt-extended"])
def test_a_login_answers_a_token_that_is_good_here(make_app: MakeApp, eve: Any, with_manager: bool) -> None:
    app = make_app(BILLING_ACCOUNTS=True)
    if with_manager:
        JWTManager(app)
    reply = log_in(app.test_client(), "EVE@Example.com")
    assert reply.status_code == 200
    answer = reply.json
    token = answer.pop("access_token")
    assert answer == {
        "token_type": "Bearer",
        "expires_in": 900 if with_manager else 3600,
        "user_id": eve,
        "tenant_id": 2,
        "role": "admin",
    }
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["tenant_id"], claims["role"], claims["type"]) == (str(eve), 2, "admin", "access")
    assert claims["exp"] - claims["iat"] == (900 if with_manager else 3600)
    caller = app.test_client().get(WHO_AM_I, headers={"Authorization": f"Bearer {token}"})
    assert caller.json["user_id"] == eve


def test_a_user_without_a_name_and_with_text_keys_can_log_in(empty_url: str) -> None:
    app = Flask("host")
    app.config.update(
        TESTING=True, TURF_SAAS_DB=empty_url, JWT_SECRET_KEY=SECRET, BILLING_ACCOUNTS=True, BILLING_USERS_ID_TYPE="text"
    )
    Billing(app)
    runtime = app.extensions["billing"]
    user_id = accounts.create_user(runtime.db(), NOW, runtime.users, email=EMAIL, password=PASSWORD)
    assert isinstance(user_id, str)
    assert log_in(app.test_client()).json["user_id"] == user_id


def test_without_billing_accounts_there_is_no_login(client: FlaskClient, eve: Any) -> None:
    for path in ("/auth/login", "/users", "/tenants", "/tenants/1/users"):
        reply = client.post(f"/api/v1/billing{path}", json={})
        assert (reply.status_code, reply.json["code"]) == (404, "not_found")


def test_without_a_secret_there_is_no_login(make_app: MakeApp, eve: Any) -> None:
    reply = log_in(make_app(BILLING_ACCOUNTS=True, JWT_SECRET_KEY="").test_client())
    assert (reply.status_code, reply.json["code"]) == (503, "login_unavailable")


# -- a bad one -----------------------------------------------------------------------------------------------


def test_an_unknown_user_and_a_wrong_password_look_the_same(site: FlaskClient, eve: Any) -> None:
    wrong = log_in(site, password="wrong password")
    assert (wrong.status_code, wrong.json["code"]) == (401, "login_failed")
    for email in ("nobody@example.com", "not an e-mail", "' OR 1=1 --", "%", "eve@example.com\u200b", "alice"):
        reply = log_in(site, email)
        assert (reply.status_code, reply.data) == (401, wrong.data)
        assert dict(reply.headers) == dict(wrong.headers)


def test_nobodys_password_costs_the_same_work_and_matches_nothing() -> None:
    real = passwords.hashed("whatever it is")
    assert passwords.NOBODY.split("$")[0] == real.split("$")[0]
    assert [len(part) for part in passwords.NOBODY.split("$")] == [len(part) for part in real.split("$")]
    assert not passwords.matches(passwords.NOBODY, "")


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com", "not an e-mail"])
def test_every_failed_login_hashes_once(
    site: FlaskClient, eve: Any, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed, scrypt = [], hashlib.scrypt

    def counting(password: bytes, **cost: Any) -> bytes:
        hashed.append((cost["n"], cost["r"], cost["p"], len(cost["salt"])))
        return scrypt(password, **cost)

    monkeypatch.setattr(hashlib, "scrypt", counting)
    assert log_in(site, email, "wrong password").status_code == 401
    assert hashed == [(2**14, 8, 5, 16)]


def test_stored_passwords_are_salted_scrypt_that_werkzeug_reads_and_the_other_way_round() -> None:
    first, second = passwords.hashed("pässword"), passwords.hashed("pässword")
    assert first != second
    assert "pässword" not in first
    assert passwords.matches(first, "pässword")
    assert passwords.matches(first, "pa\u0308ssword")  # typed on another keyboard
    assert not passwords.matches(first, "Pässword")
    assert check_password_hash(first, "pässword")
    assert passwords.matches(generate_password_hash("other", method="scrypt"), "other")
    for not_ours in ("", "plain", "scrypt:1:2$s$h", "pbkdf2:sha256:1$s$h", "scrypt:a:8:1$s$h", "scrypt:3:8:1$s$h"):
        assert not passwords.matches(not_ours, "x")


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"password": "x"}, "/email"),
        ({"email": "x"}, "/password"),
        ({"email": "", "password": "x"}, "/email"),
        ({"email": "x" * 255, "password": "x"}, "/email"),
        ({"email": "a\0", "password": "x"}, "/email"),
        ({"email": 1, "password": "x"}, "/email"),
        ({"email": "x", "password": ""}, "/password"),
        ({"email": "x", "password": "x" * 1001}, "/password"),
        ({"email": "x", "password": None}, "/password"),
        ({"email": "x", "password": "x", "user_id": 1}, "/user_id"),
    ],
    ids=str,
)
def test_a_faulty_login_is_named_and_not_counted(site: FlaskClient, db: Connection, body: Any, loc: str) -> None:
    reply = site.post(LOGIN, json=body)
    assert (reply.status_code, [fault["loc"] for fault in reply.json["errors"]]) == (422, [loc])
    assert fetch_all(db, "SELECT id FROM billing_login_failures") == []


def test_a_deleted_user_cannot_log_in(site: FlaskClient, db: Connection, eve: Any) -> None:
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = :id", id=eve)
    assert log_in(site).status_code == 401


# -- how often -----------------------------------------------------------------------------------------------


def write_failures(db: Connection, number: int, *, account: str, address: str, at: Any = NOW) -> None:
    with atomic(db):
        for _ in range(number):
            execute(
                db,
                "INSERT INTO billing_login_failures (account, address, failed_at) VALUES (:account, :address, :at)",
                account=account,
                address=address,
                at=instant_text(at),
            )


def outcome(db: Connection, users: UsersTable, after: float = 0, **who: str) -> str | int:
    """What log_in says: "in", "no", or the seconds to wait."""
    said = {"email": EMAIL, "password": PASSWORD, "address": "192.0.2.1", **who}
    try:
        accounts.log_in(db, NOW + timedelta(seconds=after), users, **said)
    except TooMany as error:
        return error.retry_after
    except Unauthenticated:
        return "no"
    return "in"


def test_the_eleventh_attempt_waits_even_with_the_right_password(db: Connection, users: UsersTable, eve: Any) -> None:
    assert [outcome(db, users, password="guess") for _ in range(11)] == ["no"] * 10 + [900]
    assert outcome(db, users) == 900
    assert outcome(db, users, email="EVE@EXAMPLE.COM", address="192.0.2.9") == 900
    assert outcome(db, users, email="nobody@example.com") == "no"
    assert outcome(db, users, after=899) == 1
    assert outcome(db, users, after=899.5) == 1
    assert outcome(db, users, after=900) == "in"


def test_an_unknown_account_is_counted_like_a_known_one(db: Connection, users: UsersTable) -> None:
    write_failures(db, 9, account="ghost@example.com", address="192.0.2.1")
    assert outcome(db, users, email="Ghost@example.com") == "no"
    assert outcome(db, users, email="ghost@example.com") == 900


def test_a_success_clears_the_accounts_failures_and_nobody_elses(db: Connection, users: UsersTable, eve: Any) -> None:
    write_failures(db, 9, account=EMAIL, address="192.0.2.1")
    write_failures(db, 3, account="bob@example.com", address="192.0.2.1")
    assert outcome(db, users) == "in"
    left = fetch_all(db, "SELECT account FROM billing_login_failures")
    assert [row["account"] for row in left] == ["bob@example.com"] * 3


def test_the_hundred_and_first_attempt_from_an_address_waits(db: Connection, users: UsersTable, eve: Any) -> None:
    write_failures(db, 99, account="x", address="192.0.2.1")
    assert outcome(db, users, password="guess") == "no"
    assert outcome(db, users) == 900
    assert outcome(db, users, address="192.0.2.2") == "in"


def test_the_longer_wait_is_told(db: Connection, users: UsersTable, eve: Any) -> None:
    write_failures(db, 10, account=EMAIL, address="x")
    write_failures(db, 100, account="x", address="192.0.2.1", at=NOW + timedelta(seconds=60))
    assert outcome(db, users, after=60) == 900


def test_thirty_guesses_at_once_get_ten_tries(make_app: MakeApp, url: str, eve: Any, db: Connection) -> None:
    app, seen = make_app(BILLING_ACCOUNTS=True), []
    start = threading.Barrier(30)

    def guess() -> None:
        app.extensions["billing"].db()  # connected before the start, so that all guess at the same moment
        start.wait()
        reply = log_in(app.test_client(), password="guess")
        seen.append((reply.status_code, reply.headers.get("Retry-After")))
        billing_db.close_db()

    threads = [threading.Thread(target=guess) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for status, _ in seen if status == 401) == 10
    waiting = [int(wait) for status, wait in seen if status == 429]
    assert len(waiting) == 20
    assert all(1 <= seconds <= 900 for seconds in waiting)
    assert len(fetch_all(db, "SELECT id FROM billing_login_failures")) == 10


def test_refused_attempts_are_not_written_and_old_ones_go(db: Connection, users: UsersTable) -> None:
    write_failures(db, 250, account="old", address="old", at=NOW - timedelta(seconds=900))
    write_failures(db, 10, account="new@example.com", address="new", at=NOW - timedelta(seconds=899))
    write_failures(db, 10, account=EMAIL, address="192.0.2.1")
    numbers = []
    for _ in range(4):
        assert outcome(db, users) == 900
        row = fetch_one(db, "SELECT COUNT(*) AS number FROM billing_login_failures")
        numbers.append(row["number"])
    assert numbers == [170, 70, 20, 20]


@pytest.mark.parametrize(("ahead", "said"), [(0, 900), (60, 960), (61, "in"), (3600, "in")])
def test_a_clock_that_was_set_back_holds_nobody(
    db: Connection, users: UsersTable, eve: Any, ahead: int, said: int | str
) -> None:
    """Up to a minute ahead is another server's clock, or a failure that was written while this one waited."""
    write_failures(db, 10, account=EMAIL, address="x", at=NOW + timedelta(seconds=ahead))
    assert outcome(db, users) == said


def test_what_a_clock_that_was_set_back_left_ahead_goes(db: Connection, users: UsersTable, eve: Any) -> None:
    write_failures(db, 250, account=EMAIL, address="x", at=NOW + timedelta(seconds=61))
    assert outcome(db, users, password="guess") == "no"
    assert len(fetch_all(db, "SELECT id FROM billing_login_failures")) == 151


# -- from where ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted"),
    [
        (0, None, "203.0.113.9"),
        (0, "198.51.100.1", "203.0.113.9"),
        (1, None, "203.0.113.9"),
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1, 198.51.100.1, 192.0.2.7", "198.51.100.1"),
        (2, "198.51.100.1", "203.0.113.9"),
        (1, "not an address", "unknown"),
        (1, "x" * 5000, "unknown"),
    ],
)
def test_forwarded_addresses_are_believed_as_far_as_there_are_proxies_of_ours(
    make_app: MakeApp, db: Connection, proxies: int, forwarded: str | None, counted: str
) -> None:
    client = make_app(BILLING_ACCOUNTS=True, BILLING_TRUSTED_PROXIES=proxies).test_client()
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    log_in(client, headers=headers, environ_base={"REMOTE_ADDR": "203.0.113.9"})
    row = fetch_one(db, "SELECT address FROM billing_login_failures")
    assert row["address"] == counted


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("192.0.2.1:80", "unknown"),
        ("192.0.2.256", "unknown"),
        ("１.1.1.1", "unknown"),
    ],
)
def test_an_address_is_an_ipv4_address_or_an_ipv6_users_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("a@b", "a@b"),
        ("Alice.B+x@Example.COM", "alice.b+x@example.com"),
        ("É@É.fr", "é@é.fr"),
        ("E\u0301@x.fr", "é@x.fr"),
        ("a" * 64 + "@x.fr", "a" * 64 + "@x.fr"),
        ("a" * 65 + "@x.fr", None),
        ("a@" + "b" * 252, "a@" + "b" * 252),
        ("a@" + "b" * 253, None),
        ("", None), ("a", None), ("@b", None), ("a@", None), ("a@b@c", None), ("a b@c", None), ("a@b c", None),
        (" a@b", None), ("a@b\n", None), ("a@b\0", None), ("a@.b", None), ("a@b.", None), ("a@b..c", None),
        ("a\u200b@b", None), ("a\ud800@b", None),
    ],
)  # fmt: skip
def test_an_e_mail_is_compared_in_small_letters_and_bounded(given: str, cleaned: str | None) -> None:
    assert clean_email(given) == cleaned


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "x"}, "email_invalid"),
        ({"password": "x" * 7}, "password_length"),
        ({"password": "x" * 201}, "password_length"),
        ({"tenant_id": 99}, "tenant_not_found"),
        ({"tenant_id": 0}, "tenant_not_found"),
        ({"tenant_id": 2**63}, "tenant_not_found"),
        ({"email": EMAIL.upper()}, "email_taken"),
    ],
    ids=str,
)
def test_a_user_who_cannot_be_made_leaves_nothing(
    db: Connection, users: UsersTable, eve: Any, changes: dict[str, Any], code: str
) -> None:
    tables = ("users", "billing_accounts", "billing_logins")
    before = [len(fetch_all(db, f"SELECT * FROM {table}")) for table in tables]
    with pytest.raises(BillingError) as refused:
        accounts.create_user(db, NOW, users, **{"email": "new@x.fr", "password": "x" * 8, **changes})
    assert refused.value.code == code
    assert [len(fetch_all(db, f"SELECT * FROM {table}")) for table in tables] == before


@pytest.mark.parametrize("length", [8, 200])
def test_passwords_of_8_and_of_200_characters_are_taken(db: Connection, users: UsersTable, length: int) -> None:
    accounts.create_user(db, NOW, users, email=EMAIL, password="é" * length)
    assert outcome(db, users, password="é" * length) == "in"
