"""API keys: a program's way in, as its user, in its tenant, never beyond its scopes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import billing_db
from api_v1.cursors import MAX_LENGTH, cursor_after
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.conftest import NOW
from turf_saas import api_keys
from turf_saas.api_keys import ApiKey
from turf_saas.users import User, set_role

API_KEYS = "/api/v1/billing/api-keys"
WHO_AM_I = "/api/v1/billing/consumption"
READ, WRITE, USAGE = api_keys.SCOPES

MakeApp = Callable[..., Flask]


def make_key(client: FlaskClient, person: Person, *scopes: str, **body: Any) -> Any:
    return client.post(API_KEYS, json={"name": "a program", "scopes": scopes, **body}, headers=person.headers)


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def key_of(person: Person, *scopes: str) -> tuple[ApiKey, str]:
    """A key written without HTTP."""
    holder = User(person.id, person.tenant_id, person.role)
    return api_keys.create_key(person.db, NOW, holder, name="", scopes=scopes)


# -- what a key is ---------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_only_its_hash_is_kept(client: FlaskClient, alice: Person) -> None:
    made = make_key(client, alice, WRITE, READ, READ)
    assert made.status_code == 201
    key = made.json["key"]
    match = re.fullmatch(r"bk_([0-9a-f]{8})_([A-Za-z0-9_-]{43})", key)
    assert match is not None
    assert made.json["id"] == match[1]
    assert made.json["scopes"] == [READ, WRITE]
    row = fetch_one(alice.db, "SELECT * FROM billing_api_keys")
    assert row["secret_sha256"] == hashlib.sha256(match[2].encode()).hexdigest()
    assert match[2] not in str([row[name] for name in row.keys()])  # noqa: SIM118  a sqlite3.Row
    shown = client.get(API_KEYS, headers=alice.headers)
    assert match[2] not in shown.text
    assert shown.json["items"] == [{name: value for name, value in made.json.items() if name != "key"}]


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_acts_as_its_user(client: FlaskClient, bob: Person, header: str) -> None:
    key = make_key(client, bob, READ).json["key"]
    reply = client.get(WHO_AM_I, headers={header: f"Bearer {key}" if header == "Authorization" else key})
    assert (reply.status_code, reply.json["user_id"]) == (200, 2)


def test_what_is_not_exactly_a_live_key_is_nobody(client: FlaskClient, alice: Person) -> None:
    key, other = (make_key(client, alice, READ).json["key"] for _ in range(2))
    nobody = client.get(WHO_AM_I)
    for bad in (
        key[:-1],
        key + "x",
        key[:-1] + ("a" if key[-1] != "a" else "b"),
        key[:12] + other[12:],  # another key's secret
        "bk_00000000" + key[11:],
        key.upper(),
        "bk_",
        "bk__",
        "bk_ａｂｃｄｅｆ01_" + key[12:],
        "bk_' OR 1=1_" + key[12:],
        "x" * 10_000,
    ):
        for headers in ({"X-API-Key": bad.encode().decode("latin-1")}, with_key(bad.encode().decode("latin-1"))):
            reply = client.get(WHO_AM_I, headers=headers)
            assert (reply.status_code, reply.data) == (401, nobody.data)
            assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_dies_with_its_user_and_when_he_changes_tenant(make_app: MakeApp, alice: Person, bob: Person) -> None:
    client = make_app().test_client()
    hers, his = key_of(alice, READ)[1], key_of(bob, READ)[1]
    with atomic(alice.db):
        execute(alice.db, "DELETE FROM users WHERE id = 1")
        execute(alice.db, "UPDATE billing_accounts SET tenant_id = 2 WHERE user_id = 2")
    assert client.get(WHO_AM_I, headers=with_key(hers)).status_code == 401
    assert client.get(WHO_AM_I, headers=with_key(his)).status_code == 401


# -- scopes and roles --------------------------------------------------------------------------------------


def test_a_key_does_nothing_beyond_its_scopes(client: FlaskClient, ada: Person) -> None:
    for scopes, reads, writes in (
        ([READ], 200, 403),
        ([WRITE], 403, 201),
        ([USAGE], 403, 403),
        ([READ, WRITE], 200, 201),
    ):
        headers = with_key(key_of(ada, *scopes)[1])
        assert client.get(API_KEYS, headers=headers).status_code == reads
        assert client.get(WHO_AM_I, headers=headers).status_code == reads
        assert client.get("/api/v1/billing/csrf-token", headers=headers).status_code == reads
        made = client.post(API_KEYS, json={"name": "x", "scopes": scopes}, headers=headers)
        assert made.status_code == writes
        if 403 in (reads, writes):
            refused = made if writes == 403 else client.get(WHO_AM_I, headers=headers)
            assert refused.json["code"] == "scope_missing"


def test_an_admins_route_needs_the_role_and_the_scope(make_app: MakeApp, ada: Person, alice: Person) -> None:
    client = make_app(BILLING_ACCOUNTS=True).test_client()
    user = {"email": "new@example.com", "password": "a good password"}

    def create(key: str) -> tuple[int, str | None]:
        reply = client.post("/api/v1/billing/users", json=user, headers=with_key(key))
        return reply.status_code, reply.json.get("code")

    hers = key_of(ada, WRITE)[1]
    assert create(key_of(ada, READ, USAGE)[1]) == (403, "scope_missing")
    assert create(key_of(alice, READ, WRITE, USAGE)[1]) == (403, "forbidden")
    set_role(ada.db, NOW, ada.id, "user")
    assert create(hers) == (403, "forbidden")
    set_role(ada.db, NOW, ada.id, "admin")
    assert create(hers) == (201, None)


def test_a_key_that_makes_a_key_gives_nothing_that_it_has_not(client: FlaskClient, ada: Person) -> None:
    headers = with_key(key_of(ada, WRITE)[1])
    for scopes, status in (([WRITE], 201), ([WRITE, READ], 403), ([USAGE], 403)):
        reply = client.post(API_KEYS, json={"name": "x", "scopes": scopes}, headers=headers)
        assert reply.status_code == status
    assert reply.json["code"] == "scope_not_yours"


def test_a_key_without_every_scope_makes_no_admin(make_app: MakeApp, ada: Person) -> None:
    client = make_app(BILLING_ACCOUNTS=True).test_client()
    body = {"email": "boss@example.com", "password": "a long password"}
    for scopes, status in (([WRITE], 403), ([READ, WRITE], 403), ([READ, WRITE, USAGE], 201)):
        headers = with_key(key_of(ada, *scopes)[1])
        made = client.post("/api/v1/billing/tenants/1/users", json={**body, "role": "admin"}, headers=headers)
        assert made.status_code == status
    partly = with_key(key_of(ada, WRITE)[1])
    opening = {"name": "x", "admin_email": "b@example.com", "admin_password": "a long password"}
    assert client.post("/api/v1/billing/tenants", json=opening, headers=partly).status_code == 403
    assert (
        client.post("/api/v1/billing/users", json={**body, "email": "c@example.com"}, headers=partly).status_code == 201
    )


def test_users_make_their_own_keys_and_admins_anybodys_of_their_tenant(
    client: FlaskClient, alice: Person, ada: Person
) -> None:
    def made(person: Person, *scopes: str, **body: Any) -> tuple[int, Any]:
        reply = make_key(client, person, *scopes, **body)
        return reply.status_code, reply.json.get("user_id", reply.json.get("code"))

    assert made(alice, READ) == (201, 1)
    assert made(alice, READ, user_id=1) == made(alice, READ, user_id="1") == (201, 1)
    assert made(alice, READ, user_id=2) == (404, "user_not_found")
    assert made(alice, USAGE) == (403, "scope_not_yours")
    assert made(ada, USAGE, user_id=1) == (201, 1)
    assert made(ada, USAGE) == (201, 4)
    for nobody_here in (3, 999, "x", "03", 2**63 - 1):
        assert made(ada, READ, user_id=nobody_here) == (404, "user_not_found")
    for no_id in (-1, 2**63, "", "a\0", True, 1.5, [1]):
        assert made(ada, READ, user_id=no_id)[0] == 422
    assert len(fetch_all(ada.db, "SELECT id FROM billing_api_keys")) == 5


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"scopes": [READ]}, "/name"),
        ({"name": "", "scopes": [READ]}, "/name"),
        ({"name": "x" * 101, "scopes": [READ]}, "/name"),
        ({"name": "a\0", "scopes": [READ]}, "/name"),
        ({"name": 1, "scopes": [READ]}, "/name"),
        ({"name": "x"}, "/scopes"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": [READ] * 4}, "/scopes"),
        ({"name": "x", "scopes": "billing.read"}, "/scopes"),
        ({"name": "x", "scopes": ["admin"]}, "/scopes/0"),
        ({"name": "x", "scopes": [READ], "tenant_id": 2}, "/tenant_id"),
        ({"name": "x", "scopes": [READ], "role": "admin"}, "/role"),
        ({"name": "x", "scopes": [READ], "id": "00000000"}, "/id"),
        ({"name": "x", "scopes": [READ], "user_id": True}, "/user_id"),
    ],
    ids=str,
)
def test_a_faulty_body_is_named_and_makes_no_key(client: FlaskClient, ada: Person, body: Any, loc: str) -> None:
    reply = client.post(API_KEYS, json=body, headers=ada.headers)
    assert reply.status_code == 422
    assert [fault["loc"] for fault in reply.json["errors"]] == [loc]
    assert fetch_all(ada.db, "SELECT id FROM billing_api_keys") == []


def test_a_name_of_a_hundred_characters_fits(client: FlaskClient, ada: Person) -> None:
    assert make_key(client, ada, READ, name="é" * 100).json["name"] == "é" * 100


def test_a_user_has_at_most_a_hundred_live_keys(client: FlaskClient, alice: Person, bob: Person) -> None:
    for _ in range(99):
        key, _secret = key_of(alice, READ)
    assert make_key(client, alice, READ).status_code == 201
    refused = make_key(client, alice, READ)
    assert (refused.status_code, refused.json["code"]) == (409, "too_many_keys")
    assert make_key(client, bob, READ).status_code == 201
    assert client.delete(f"{API_KEYS}/{key.id}", headers=alice.headers).status_code == 200
    assert make_key(client, alice, READ).status_code == 201


# -- revoking ------------------------------------------------------------------------------------------------


def test_a_revoked_key_is_refused_from_the_next_request_on(client: FlaskClient, alice: Person) -> None:
    made = make_key(client, alice, READ).json
    assert client.get(WHO_AM_I, headers=with_key(made["key"])).status_code == 200
    revoked = client.delete(f"{API_KEYS}/{made['id']}", headers=alice.headers)
    assert (revoked.status_code, revoked.json["id"]) == (200, made["id"])
    assert revoked.json["revoked_at"] is not None
    assert client.get(WHO_AM_I, headers=with_key(made["key"])).status_code == 401
    again = client.delete(f"{API_KEYS}/{made['id']}", headers=alice.headers)
    assert (again.status_code, again.json["code"]) == (404, "key_not_found")
    assert client.get(API_KEYS, headers=alice.headers).json["items"] == [revoked.json]


def test_somebody_elses_key_looks_as_if_it_were_not_there(
    client: FlaskClient, alice: Person, bob: Person, charlie: Person, ada: Person, people: Any
) -> None:
    key = make_key(client, alice, READ).json
    missing = client.delete(f"{API_KEYS}/00000000", headers=bob.headers)
    for other in (bob, charlie, people.dora):
        reply = client.delete(f"{API_KEYS}/{key['id']}", headers=other.headers)
        assert (reply.status_code, reply.data) == (404, missing.data)
        assert client.get(API_KEYS, headers=other.headers).json["items"] == []
    for not_an_id in ("x", "0" * 9, "%00", "%ff", "00000000%0a", "ABCDEF12", "%27%20OR%201=1"):
        assert client.delete(f"{API_KEYS}/{not_an_id}", headers=bob.headers).status_code == 404
    assert client.get(WHO_AM_I, headers=with_key(key["key"])).status_code == 200
    assert client.delete(f"{API_KEYS}/{key['id']}", headers=ada.headers).status_code == 200


# -- lists -----------------------------------------------------------------------------------------------------


def test_pages_show_every_key_once_newest_first_also_while_keys_are_made(
    client: FlaskClient, alice: Person, ada: Person, charlie: Person
) -> None:
    for age in (3, 2, 2, 2, 1):
        holder = User(alice.id, 1, "user")
        api_keys.create_key(alice.db, NOW - timedelta(hours=age), holder, name="", scopes=[READ])
    key_of(charlie, READ)
    seen, cursor, pages = [], None, 0
    while pages < 10:
        query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = client.get(API_KEYS + query, headers=ada.headers).json
        seen += page["items"]
        cursor, pages = page["next_cursor"], pages + 1
        key_of(ada, READ)  # newer than the cursor: not on a later page
        if cursor is None:
            break
    assert pages == 3
    order = [(item["created_at"], item["id"]) for item in seen]
    assert len(set(order)) == 5
    assert order == sorted(order, reverse=True)
    assert {item["user_id"] for item in seen} == {1}


@pytest.mark.parametrize(
    ("limit", "status"),
    [("0", 422), ("1", 200), ("100", 200), ("101", 422), ("-1", 422), ("１", 422), ("1.0", 422), ("", 422)],
)
def test_a_page_has_one_to_a_hundred_rows(client: FlaskClient, alice: Person, limit: str, status: int) -> None:
    assert client.get(API_KEYS, query_string={"limit": limit}, headers=alice.headers).status_code == status


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "=", "!!!!", "AAAA", encoded([]), encoded(["a"]), encoded([1, 2]), encoded(["a", None]),
     encoded(["a", "b", "c"]), encoded({"a": "b"}), encoded(["a", "\0"]), encoded(["a", "\ud800"]),
     base64.urlsafe_b64encode(b"[" * 290).decode(), "x" * (MAX_LENGTH + 1), "x" * 10_000],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused(client: FlaskClient, alice: Person, cursor: str) -> None:
    reply = client.get(API_KEYS, query_string={"cursor": cursor}, headers=alice.headers)
    assert reply.status_code == 422
    assert reply.json["errors"][0]["loc"] == "/cursor"


def test_a_cursor_carries_a_position_and_no_rights(client: FlaskClient, alice: Person, charlie: Person) -> None:
    theirs, _ = key_of(charlie, READ)
    past_it = cursor_after("9999-01-01T00:00:00Z", theirs.id)
    assert client.get(API_KEYS, query_string={"cursor": past_it}, headers=alice.headers).json["items"] == []


# -- last use ----------------------------------------------------------------------------------------------------


def last_use(db: Connection) -> str | None:
    row = fetch_one(db, "SELECT last_used_at FROM billing_api_keys")
    return row["last_used_at"]


def test_the_last_use_is_noted_at_most_once_an_hour(alice: Person) -> None:
    db = alice.db
    _key, secret = key_of(alice, READ)

    def use_at(minutes: int, seconds: int = 0) -> str | None:
        found = api_keys.find_by_secret(db, secret)
        assert found is not None
        api_keys.note_use(db, NOW + timedelta(minutes=minutes, seconds=seconds), found)
        return last_use(db)

    assert use_at(0) == "2026-05-20T10:00:00Z"
    assert use_at(59, 59) == "2026-05-20T10:00:00Z"
    assert use_at(60) == "2026-05-20T11:00:00Z"


@pytest.fixture
def somebody_holds_the_database(url: str, alice: Person) -> Iterator[Connection]:
    other = billing_db.connect(url)
    other.execute("BEGIN IMMEDIATE" if billing_db.engine(other) == "sqlite" else "BEGIN")
    other.execute("UPDATE billing_api_keys SET name = 'held'")
    yield other
    other.execute("ROLLBACK")
    other.close()


def test_a_busy_database_neither_fails_nor_delays_a_request_for_the_sake_of_the_last_use(
    make_app: MakeApp, alice: Person, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 60.0)
    _key, secret = key_of(alice, READ)
    app, replies = make_app(), []
    app.extensions["billing"].ready()
    other = request.getfixturevalue("somebody_holds_the_database")

    def call() -> None:
        replies.append(app.test_client().get(WHO_AM_I, headers=with_key(secret)).status_code)
        billing_db.close_db()

    caller = threading.Thread(target=call)
    caller.start()
    caller.join(timeout=20)  # a request that waits for the lock is still waiting then
    waited = caller.is_alive()
    other.execute("ROLLBACK")
    other.execute("BEGIN")
    caller.join()
    assert not waited
    assert replies == [200]
    assert last_use(alice.db) is None


def test_patience_is_back_after_a_write_that_did_not_wait(
    url: str, alice: Person, request: pytest.FixtureRequest
) -> None:
    db = billing_db.connect(url)
    question = "PRAGMA busy_timeout" if billing_db.engine(db) == "sqlite" else "SHOW lock_timeout"
    before = list(db.execute(question).fetchone())
    key, _secret = key_of(alice, READ)
    request.getfixturevalue("somebody_holds_the_database")
    api_keys.note_use(db, NOW, key)
    assert list(db.execute(question).fetchone()) == before
    assert not billing_db.in_transaction(db)
    assert last_use(alice.db) is None
    db.close()
