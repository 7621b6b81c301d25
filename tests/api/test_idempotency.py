"""Idempotency-Key: whoever sends a request again gets the first answer, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import billing_db
from api_v1.routing import OPERATIONS
from billing_db import Connection, DatabaseBusy, fetch_all, fetch_one
from tests.api.test_quotas import key_of
from tests.cast import Cast, Person
from tests.domain.tables import change
from turf_saas import idempotency
from turf_saas.errors import Conflict
from turf_saas.idempotency import Answer, Asked
from turf_saas.users import User
from turf_saas.values import instant_text

RESERVE = "/api/v1/billing/quotas/reserve"
TOKENS = {"metric": "tokens", "quantity": 60}
NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(BILLING_SELF_REPORT="1", BILLING_LIMIT_FREE_TOKENS="100")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def send(client: FlaskClient, headers: dict[str, str], key: str, body: Any = None, path: str = RESERVE) -> TestResponse:
    return client.post(path, json=body or TOKENS, headers={**headers, "Idempotency-Key": key})


def held(db: Connection) -> int:
    return len(fetch_all(db, "SELECT id FROM usage_reservations WHERE state = 'held'"))


def test_the_same_request_again_is_answered_as_the_first_time(
    client: FlaskClient, alice: Person, db: Connection
) -> None:
    first, again = (send(client, alice.headers, "one") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("Content-Type", "Cache-Control", "X-Content-Type-Options"):
        assert again.headers.getlist(name) == first.headers.getlist(name)
    assert held(db) == 1


def test_without_a_key_each_request_is_its_own(client: FlaskClient, alice: Person, db: Connection) -> None:
    for _ in range(2):
        assert client.post(RESERVE, json={**TOKENS, "quantity": 10}, headers=alice.headers).status_code == 201
    assert held(db) == 2
    assert fetch_all(db, "SELECT request FROM billing_idempotency_keys") == []


def test_the_same_content_may_be_written_otherwise(client: FlaskClient, alice: Person, db: Connection) -> None:
    first = send(client, alice.headers, "one")
    again = client.post(
        RESERVE,
        data='{ "quantity": 6.0e1,\n "metric": "tokens" }',
        headers={**alice.headers, "Idempotency-Key": "one", "Content-Type": "application/json"},
    )
    assert (again.status_code, again.data) == (201, first.data)
    assert held(db) == 1


@pytest.mark.parametrize("body", [{**TOKENS, "quantity": 61}, {**TOKENS, "expires_in": 900}, {**TOKENS, "user_id": 1}])
def test_the_same_key_for_another_body_is_refused(
    client: FlaskClient, alice: Person, db: Connection, body: dict[str, Any]
) -> None:
    send(client, alice.headers, "one")
    other = send(client, alice.headers, "one", body)
    assert (other.status_code, other.json["code"]) == (409, "idempotency_conflict")
    assert held(db) == 1


def test_the_same_key_for_another_path_is_refused(client: FlaskClient, alice: Person) -> None:
    send(client, alice.headers, "one")
    other = send(client, alice.headers, "one", path="/api/v1/billing/tenants/1/quotas/reserve")
    assert (other.status_code, other.json["code"]) == (409, "idempotency_conflict")


def test_a_key_is_its_callers_own(client: FlaskClient, people: Cast, db: Connection) -> None:
    ids = {send(client, person.headers, "one").json["id"] for person in (people.alice, people.bob, people.charlie)}
    assert len(ids) == 3
    assert send(client, key_of(people.alice, "usage:write"), "one").json["id"] in ids  # a key is its user
    rows = fetch_all(db, "SELECT user_id, tenant_id FROM billing_idempotency_keys ORDER BY user_id")
    assert [(row["user_id"], row["tenant_id"]) for row in rows] == [(1, 1), (2, 1), (3, 2)]


@pytest.mark.parametrize(
    ("key", "status"), [("", 422), ("k", 201), ("k" * 255, 201), ("k" * 256, 422), ("é" * 255, 201)]
)
def test_a_key_has_1_to_255_characters(client: FlaskClient, alice: Person, key: str, status: int) -> None:
    """A client sends UTF-8, which the server hands over as if it were latin-1."""
    reply = send(client, alice.headers, key.encode().decode("latin-1"))
    assert reply.status_code == status
    if status == 422:
        assert (reply.json["code"], reply.json["errors"][0]["loc"]) == ("idempotency_key_invalid", "/Idempotency-Key")


@pytest.mark.parametrize("key", ["cl\xe9", "\xed\xa0\x80"])
def test_a_key_is_utf_8(client: FlaskClient, alice: Person, db: Connection, key: str) -> None:
    reply = send(client, alice.headers, key)
    assert (reply.status_code, reply.json["code"]) == (422, "idempotency_key_invalid")
    assert held(db) == 0


def test_what_was_refused_leaves_the_key_free(client: FlaskClient, alice: Person, db: Connection) -> None:
    """Nothing was done, so nothing is repeated: the refusal may be over when it is sent again."""
    first = send(client, alice.headers, "one")
    for _ in range(2):
        assert send(client, alice.headers, "two").status_code == 429
    kept = fetch_all(db, "SELECT idempotency_key FROM billing_idempotency_keys")
    assert [row["idempotency_key"] for row in kept] == ["one"]
    client.post(f"/api/v1/billing/quotas/reservations/{first.json['id']}/release", headers=alice.headers)
    assert send(client, alice.headers, "two", {**TOKENS, "quantity": 100}).status_code == 201


def test_what_fails_half_way_leaves_neither_deed_nor_record(
    app: Flask, client: FlaskClient, alice: Person, db: Connection
) -> None:
    """The database refuses the hold after its counter and the key were written."""
    table = "usage_reservations"
    if billing_db.engine(db) == "sqlite":
        change(db, f"CREATE TRIGGER no BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END")
    else:
        change(db, f"ALTER TABLE {table} ADD CONSTRAINT no_new CHECK (quantity < 0) NOT VALID")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert send(client, alice.headers, "one").status_code == 500
    assert fetch_all(db, "SELECT request FROM billing_idempotency_keys") == []
    row = fetch_one(db, "SELECT COALESCE(SUM(reserved), 0) AS reserved FROM usage_counters")
    assert row["reserved"] == 0
    change(
        db, "DROP TRIGGER no" if billing_db.engine(db) == "sqlite" else f"ALTER TABLE {table} DROP CONSTRAINT no_new"
    )
    assert send(client, alice.headers, "one").status_code == 201


def test_many_at_once_with_one_key_do_it_once(app: Flask, alice: Person, db: Connection) -> None:
    together = Barrier(8)

    def one(_: int) -> TestResponse:
        try:
            together.wait(30)
            return send(app.test_client(), alice.headers, "one")
        finally:
            billing_db.close_db()

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(one, range(8)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.data for reply in replies}) == 1
    assert sum("Idempotent-Replayed" not in reply.headers for reply in replies) == 1
    assert held(db) == 1


def test_the_document_says_which_routes_take_a_key(client: FlaskClient) -> None:
    paths = client.get("/api/v1/billing/openapi.json").json["paths"]
    found = {
        operation["operationId"]: operation["responses"]
        for methods in paths.values()
        for operation in methods.values()
        if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []) if one["in"] == "header")
    }
    assert {operation.name for operation in OPERATIONS if operation.idempotent} <= found.keys()
    assert "409" in found["reserve"]
    assert "create_api_key" not in found  # its answer is a secret


# -- the record itself -------------------------------------------------------------------------------------


def asked(person: Person, key: str = "one", content: str = "a") -> Asked:
    return Asked(User(person.id, person.tenant_id, "user"), key, "POST /x", content)


def done(body: str) -> Callable[[], Answer]:
    return lambda: Answer(200, {"X": "é"}, body)


@pytest.mark.parametrize(("seconds", "repeated"), [(-1, True), (0, False), (1, False)])
def test_a_key_is_kept_for_a_day(db: Connection, alice: Person, seconds: int, repeated: bool) -> None:
    idempotency.do_once(db, NOW, asked(alice), done("first"))
    later = NOW + timedelta(hours=24, seconds=seconds)
    found = idempotency.do_once(db, later, asked(alice), done("second"))
    assert found == Answer(200, {"X": "é"}, "first" if repeated else "second", repeated)
    again = idempotency.do_once(db, later, asked(alice), done("third"))
    assert (again.body, again.repeated) == ("first" if repeated else "second", True)


def test_old_keys_are_forgotten_whoevers_they_are(db: Connection, people: Cast) -> None:
    for number in range(45):
        idempotency.do_once(db, NOW, asked(people.alice, f"old {number}"), done("old"))
    left = []
    for number in range(4):
        idempotency.do_once(db, NOW + timedelta(hours=25), asked(people.bob, f"new {number}"), done("new"))
        left.append(len(fetch_all(db, "SELECT 1 AS one FROM billing_idempotency_keys")))
    assert left == [26, 7, 3, 4]
    assert {row["created_at"] for row in fetch_all(db, "SELECT created_at FROM billing_idempotency_keys")} == {
        instant_text(NOW + timedelta(hours=25))
    }


def test_a_deed_that_is_refused_may_be_tried_again(db: Connection, alice: Person) -> None:
    def refuse() -> Answer:
        raise Conflict("idempotency_conflict")

    with pytest.raises(Conflict):
        idempotency.do_once(db, NOW, asked(alice), refuse)
    assert idempotency.do_once(db, NOW, asked(alice, content="b"), done("second")).body == "second"


def test_who_waits_too_long_is_told_that_the_database_is_busy(
    db: Connection, url: str, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.1)
    other = billing_db.connect(url)

    def meanwhile() -> Answer:
        with pytest.raises(DatabaseBusy):
            idempotency.do_once(other, NOW, asked(alice), done("second"))
        return Answer(200, {}, "first")

    assert idempotency.do_once(db, NOW, asked(alice), meanwhile).body == "first"
    assert idempotency.do_once(other, NOW, asked(alice), done("second")).body == "first"
    other.close()
