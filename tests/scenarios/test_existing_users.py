"""A host with a users table of its own, in the same database, on both engines: adopted, never taken over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

import billing_db
from api_v1 import billing_bp
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import SECRET, token_for
from turf_saas.schema.host import list_columns

CONSUMPTION = "/api/v1/billing/consumption"
KEY = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.fixture
def db(empty_url: str) -> Iterator[Connection]:
    connection = billing_db.connect(empty_url)
    yield connection
    connection.close()


@pytest.fixture
def host(empty_url: str, db: Connection) -> Callable[..., FlaskClient]:
    """A host whose middleware says who is calling: the header X-User, a claim about the plan beside it."""

    def make(create: str, *insert: str, **config: Any) -> FlaskClient:
        with atomic(db):
            for statement in (create, *insert):
                execute(db, statement)
        app = Flask("host")
        app.config.update({"TESTING": True, "TURF_SAAS_DB": empty_url, "JWT_SECRET_KEY": SECRET, **config})

        @app.before_request
        def who() -> None:
            name = request.headers.get("X-User")
            request.current_user = {"id": name, "plan": "pro"} if name else None  # type: ignore[attr-defined]

        app.register_blueprint(billing_bp)
        return app.test_client()

    return make


INTEGER_USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, login VARCHAR(40) NOT NULL, plan VARCHAR(10), score INTEGER NOT NULL)",
    "INSERT INTO users (id, login, plan, score) VALUES (41, 'nina', 'pro', 7), (42, 'emile', NULL, 8)",
)


def test_the_hosts_user_is_answered_under_the_plan_of_the_subscription_not_of_the_claim(
    host: Callable[..., FlaskClient], db: Connection
) -> None:
    client = host(*INTEGER_USERS)
    assert client.get(CONSUMPTION).status_code == 401
    assert client.get(CONSUMPTION, headers={"X-User": "41"}).json["plan"] == "free"
    with atomic(db):
        execute(db, "INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (41, 'premium', 'active')")
        execute(db, "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (41, '2026-05-02', 5)")
    nina = client.get(f"{CONSUMPTION}?month=2026-05", headers={"X-User": "41"}).json
    assert (nina["user_id"], nina["consumption"]["total_api_calls"]) == (41, 5)
    assert client.get(CONSUMPTION, headers={"X-User": "41"}).json["plan"] == "premium"
    emile = client.get(f"{CONSUMPTION}?month=2026-05", headers={"X-User": "42"}).json
    assert (emile["user_id"], emile["plan"], emile["consumption"]["total_api_calls"]) == (42, "free", 0)


def test_the_hosts_table_and_rows_are_as_they_were(host: Callable[..., FlaskClient], db: Connection) -> None:
    client = host(*INTEGER_USERS)
    before = list_columns(db, "users")
    assert client.get(CONSUMPTION, headers={"X-User": "41"}).status_code == 200
    assert client.get(CONSUMPTION, headers={"X-User": "43"}).status_code == 401
    assert list_columns(db, "users") == before
    rows = fetch_all(db, "SELECT id, login, plan, score FROM users ORDER BY id")
    assert [tuple(dict(row).values()) for row in rows] == [(41, "nina", "pro", 7), (42, "emile", None, 8)]


@pytest.mark.parametrize("identity", ["43", "0", "-1", "041", "41 ", "4_1", "9223372036854775808", "nina", "true"])
def test_whoever_is_not_in_the_hosts_table_is_nobody(host: Callable[..., FlaskClient], identity: str) -> None:
    client = host(*INTEGER_USERS)
    reply = client.get(CONSUMPTION, headers={"X-User": identity})
    assert (reply.status_code, reply.json["code"]) == (401, "unauthenticated")


def test_a_table_user_with_text_keys_is_pointed_at_as_it_is(
    host: Callable[..., FlaskClient], db: Connection, engine: str
) -> None:
    key_type = "VARCHAR(36)" if engine == "sqlite" else "uuid"
    client = host(
        f'CREATE TABLE "user" (uid {key_type} PRIMARY KEY, email TEXT)',
        f"INSERT INTO \"user\" (uid, email) VALUES ('{KEY}', 'nina@example.com')",
        BILLING_USERS_TABLE="user",
        BILLING_USERS_ID="uid",
    )
    reply = client.get(CONSUMPTION, headers={"Authorization": f"Bearer {token_for(KEY)}"})
    assert (reply.status_code, reply.json["user_id"]) == (200, KEY)
    [key] = [column for column in list_columns(db, "consumption_log") if column.name == "user_id"]
    assert key.declared_type == key_type
    with atomic(db):
        execute(db, f"INSERT INTO consumption_log (user_id, date, api_calls) VALUES ('{KEY}', '2026-05-02', 5)")
    reply = client.get(f"{CONSUMPTION}?month=2026-05", headers={"X-User": KEY})
    assert reply.json["consumption"]["total_api_calls"] == 5


def test_a_user_without_any_use_can_be_deleted_by_the_host(host: Callable[..., FlaskClient], db: Connection) -> None:
    client = host(*INTEGER_USERS)
    assert client.get(CONSUMPTION, headers={"X-User": "42"}).status_code == 200
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = 42")
    assert client.get(CONSUMPTION, headers={"X-User": "42"}).status_code == 401


def test_a_user_with_use_on_record_is_kept_by_the_foreign_key(host: Callable[..., FlaskClient], db: Connection) -> None:
    client = host(*INTEGER_USERS)
    assert client.get(CONSUMPTION, headers={"X-User": "41"}).status_code == 200
    with atomic(db):
        execute(db, "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (41, '2026-05-02', 5)")
    with pytest.raises(billing_db.RuleBroken), atomic(db):
        execute(db, "DELETE FROM users WHERE id = 41")
    assert client.get(CONSUMPTION, headers={"X-User": "41"}).status_code == 200


def test_a_hosts_users_stay_out_of_a_billing_file_of_its_own(
    host: Callable[..., FlaskClient], db: Connection, tmp_path: Path
) -> None:
    own = tmp_path / "billing only.db"
    client = host(*INTEGER_USERS, TURF_SAAS_DB=own)
    assert client.get(CONSUMPTION, headers={"X-User": "1234"}).json["user_id"] == 1234  # the host vouches for 1234
    assert list_columns(db, "saas_subscriptions") == []
    billing = billing_db.connect(str(own))
    assert [row["id"] for row in fetch_all(billing, "SELECT id FROM users")] == [1234]
    billing.close()
