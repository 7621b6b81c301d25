"""Tenants and their users: who may make whom, and where. Charlie's tenant sees nothing of Alice's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import billing_db
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Cast, Person
from tests.conftest import NOW
from turf_saas import accounts, passwords, schema, tenants
from turf_saas.errors import BillingError
from turf_saas.settings import read_settings
from turf_saas.users import UsersTable, get_users_table

BILLING = "/api/v1/billing"
USER = {"email": "new@example.com", "password": "a good password"}

MakeApp = Callable[..., Flask]


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody guesses here: hashing may be quick."""
    monkeypatch.setattr(passwords, "N", 16)


@pytest.fixture
def site(make_app: MakeApp, people: Cast) -> FlaskClient:
    return make_app(BILLING_ACCOUNTS=True).test_client()


def post(client: FlaskClient, path: str, person: Person, body: Any) -> Any:
    return client.post(f"{BILLING}{path}", json=body, headers=person.headers)


def log_in(client: FlaskClient, email: str, password: str = USER["password"]) -> dict[str, Any]:
    body: dict[str, Any] = client.post(f"{BILLING}/auth/login", json={"email": email, "password": password}).json
    return body


def everything(db: Connection) -> list[Any]:
    """What is in every table that could have changed, row by row."""
    tables = ("tenants", "users", "billing_accounts", "billing_logins", "billing_api_keys")
    rows = [(table, row) for table in tables for row in fetch_all(db, f"SELECT * FROM {table} ORDER BY 1")]
    return [(table, [row[name] for name in row.keys()]) for table, row in rows]  # noqa: SIM118  a sqlite3.Row


# -- users of one's own tenant ---------------------------------------------------------------------------------


def test_an_admin_makes_users_in_his_own_tenant(site: FlaskClient, people: Cast) -> None:
    for admin, email in ((people.ada, "one@example.com"), (people.dora, "two@example.com")):
        made = post(site, "/users", admin, {**USER, "email": email, "name": "New"})
        assert made.status_code == 201
        user_id = made.json["id"]
        assert made.json == {
            "id": user_id,
            "user_id": user_id,
            "tenant_id": admin.tenant_id,
            "email": email,
            "name": "New",
            "role": "user",
        }
        logged_in = log_in(site, email)
        assert (logged_in["user_id"], logged_in["tenant_id"]) == (user_id, admin.tenant_id)


def test_a_plain_user_makes_nobody(site: FlaskClient, people: Cast, db: Connection) -> None:
    before = everything(db)
    for path, body in (("/users", USER), ("/tenants", {"name": "x"}), ("/tenants/1/users", USER)):
        reply = post(site, path, people.alice, body)
        assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
        assert site.post(f"{BILLING}{path}", json=body).status_code == 401
    assert everything(db) == before


@pytest.mark.parametrize(
    "field", ["role", "tenant_id", "id", "user_id", "scopes", "is_admin", "password_hash", "created_at", "plan"]
)
@pytest.mark.parametrize("path", ["/users", "/tenants/1/users", "/tenants"])
def test_fields_that_are_not_the_callers_to_set_are_refused(
    site: FlaskClient, people: Cast, db: Connection, path: str, field: str
) -> None:
    if (path, field) == ("/tenants/1/users", "role"):
        field = "Role"
    before = everything(db)
    body = {"name": "x", field: 1} if path == "/tenants" else {**USER, field: "admin"}
    reply = post(site, path, people.ada, body)
    assert reply.status_code == 422
    assert {"loc": f"/{field}", "code": "field_unknown"}.items() <= reply.json["errors"][0].items()
    assert everything(db) == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "not one"}, "email_invalid"),
        ({"email": "a@b\0c"}, "email_invalid"),
        ({"email": "a" * 65 + "@b"}, "email_invalid"),
        ({"email": "x"}, "field_length"),
        ({"email": "a@" + "b" * 253}, "field_length"),
        ({"email": None}, "field_type"),
        ({"password": "1234567"}, "field_length"),
        ({"password": "x" * 201}, "field_length"),
        ({"password": 12345678}, "field_type"),
        ({"name": ""}, "field_length"),
        ({"name": "x" * 101}, "field_length"),
        ({"name": "a\0"}, "field_text"),
    ],
    ids=str,
)
def test_a_faulty_user_is_named_and_not_made(
    site: FlaskClient, people: Cast, db: Connection, changes: dict[str, Any], code: str
) -> None:
    before = everything(db)
    reply = post(site, "/users", people.ada, {**USER, **changes})
    assert (reply.status_code, [fault["code"] for fault in reply.json["errors"]]) == (422, [code])
    assert everything(db) == before


def test_an_e_mail_belongs_to_one_user_however_it_is_spelled(site: FlaskClient, people: Cast, db: Connection) -> None:
    assert post(site, "/users", people.ada, USER).status_code == 201
    before = everything(db)
    for admin, email in (
        (people.ada, "new@example.com"),
        (people.ada, "NEW@Example.com"),
        (people.dora, USER["email"]),
    ):
        reply = post(site, "/users", admin, {**USER, "email": email})
        assert (reply.status_code, reply.json["code"]) == (409, "email_taken")
    assert everything(db) == before


def test_ten_at_once_with_one_e_mail_make_one_user(make_app: MakeApp, people: Cast, db: Connection) -> None:
    app, seen = make_app(BILLING_ACCOUNTS=True), []
    start = threading.Barrier(10)

    def make() -> None:
        start.wait()
        seen.append(post(app.test_client(), "/users", people.ada, USER).status_code)
        billing_db.close_db()

    threads = [threading.Thread(target=make) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [201] + [409] * 9
    assert len(fetch_all(db, "SELECT id FROM users")) == 6


def test_ids_that_were_written_by_hand_are_stepped_over(db: Connection) -> None:
    users = get_users_table(db)
    with atomic(db):
        for user_id in (1, 2, 3, 50):
            execute(db, "INSERT INTO users (id) VALUES (:id)", id=user_id)
    made = [accounts.create_user(db, NOW, users, email=f"{number}@x.fr", password="x" * 8) for number in range(3)]
    assert made == sorted(made)
    assert made[0] > 50
    assert len(set(made)) == 3


def test_the_id_of_a_deleted_user_is_not_given_again(db: Connection) -> None:
    users = get_users_table(db)
    first = accounts.create_user(db, NOW, users, email="a@x.fr", password="x" * 8)
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = :id", id=first)
    assert accounts.create_user(db, NOW, users, email="b@x.fr", password="x" * 8) != first


# -- tenants -----------------------------------------------------------------------------------------------------


def test_an_admin_of_tenant_1_opens_a_tenant_with_its_first_admin(site: FlaskClient, people: Cast) -> None:
    body = {"name": "Écurie", "admin_email": "boss@example.com", "admin_password": USER["password"]}
    made = post(site, "/tenants", people.ada, body)
    assert made.status_code == 201
    tenant_id, admin_id = made.json["id"], made.json["admin_user_id"]
    assert (made.json["name"], tenant_id > 2) == ("Écurie", True)
    boss = log_in(site, "boss@example.com")
    assert (boss["user_id"], boss["tenant_id"], boss["role"]) == (admin_id, tenant_id, "admin")
    headers = {"Authorization": f"Bearer {boss['access_token']}"}
    hers = site.post(f"{BILLING}/users", json=USER, headers=headers)
    assert (hers.status_code, hers.json["tenant_id"]) == (201, tenant_id)


def test_a_tenant_may_be_opened_empty(site: FlaskClient, people: Cast) -> None:
    made = post(site, "/tenants", people.ada, {"name": "x" * 100})
    assert (made.status_code, made.json["admin_user_id"]) == (201, None)


def test_an_admin_of_another_tenant_opens_none(site: FlaskClient, people: Cast, db: Connection) -> None:
    before = everything(db)
    reply = post(site, "/tenants", people.dora, {"name": "mine"})
    assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
    assert everything(db) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "field_missing"),
        ({"name": ""}, "field_length"),
        ({"name": "x" * 101}, "field_length"),
        ({"name": "x", "admin_email": "a@b.fr"}, "admin_incomplete"),
        ({"name": "x", "admin_password": "x" * 8}, "admin_incomplete"),
        ({"name": "x", "admin_email": "nobody", "admin_password": "x" * 8}, "email_invalid"),
        ({"name": "x", "admin_email": "a@b.fr", "admin_password": "x" * 7}, "field_length"),
    ],
    ids=str,
)
def test_a_faulty_tenant_is_not_opened(site: FlaskClient, people: Cast, db: Connection, body: Any, code: str) -> None:
    before = everything(db)
    reply = post(site, "/tenants", people.ada, body)
    assert (reply.status_code, [fault["code"] for fault in reply.json["errors"]]) == (422, [code])
    assert everything(db) == before


def test_a_tenant_whose_admin_cannot_be_made_is_not_opened(site: FlaskClient, people: Cast, db: Connection) -> None:
    post(site, "/users", people.ada, USER)
    before = everything(db)
    body = {"name": "x", "admin_email": USER["email"].upper(), "admin_password": USER["password"]}
    assert post(site, "/tenants", people.ada, body).json["code"] == "email_taken"
    assert everything(db) == before


# -- users of a tenant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "tenant", "status"),
    [
        ("ada", 1, 201),
        ("ada", 2, 201),
        ("dora", 2, 201),
        ("dora", 1, 404),
        ("ada", 99, 404),
        ("dora", 99, 404),
        ("ada", 2**63 - 1, 404),
        ("ada", 2**63, 404),
        ("ada", 10**30, 404),
        ("ada", 0, 404),
        ("ada", "x", 404),
        ("alice", 1, 403),
        ("alice", 2, 403),
        ("charlie", 2, 403),
    ],
)
def test_users_of_a_tenant_are_made_by_its_admins_or_tenant_1s(
    site: FlaskClient, people: Cast, db: Connection, who: str, tenant: Any, status: int
) -> None:
    before = everything(db)
    reply = post(site, f"/tenants/{tenant}/users", getattr(people, who), {**USER, "role": "admin"})
    assert reply.status_code == status
    if status == 201:
        assert (reply.json["tenant_id"], reply.json["role"]) == (tenant, "admin")
        assert log_in(site, USER["email"])["role"] == "admin"
    else:
        assert everything(db) == before


def test_without_a_role_a_tenants_user_is_a_plain_one(site: FlaskClient, people: Cast) -> None:
    assert post(site, "/tenants/2/users", people.dora, USER).json["role"] == "user"
    bad = post(site, "/tenants/2/users", people.dora, {**USER, "email": "b@x.fr", "role": "root"})
    assert (bad.status_code, bad.json["errors"][0]["loc"]) == (422, "/role")


def test_login_and_tenants_answer_in_one_place_only(site: FlaskClient, people: Cast) -> None:
    assert post(site, "/tenants/1/tenants", people.ada, {"name": "x"}).status_code == 404
    assert site.post(f"{BILLING}/tenants/1/auth/login", json={}).status_code == 404
    assert post(site, "/tenants/1/tenants/1/users", people.ada, USER).status_code == 404


def test_a_host_with_users_of_its_own_makes_them_itself(empty_url: str) -> None:
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, "CREATE TABLE users (id INTEGER PRIMARY KEY)")
    try:
        schema.migrate(db, NOW, read_settings({"TURF_SAAS_DB": empty_url}))
        users: UsersTable = get_users_table(db)
        with pytest.raises(BillingError) as refused:
            accounts.create_user(db, NOW, users, email="a@x.fr", password="x" * 8)
        assert refused.value.code == "users_not_ours"
    finally:
        db.close()


def test_tenants_are_found_or_not(db: Connection) -> None:
    made = tenants.create_tenant(db, NOW, "second")
    assert tenants.get_tenant(db, made.id) == made
    assert made.created_at == "2026-05-20T10:00:00Z"
    for missing in (0, -1, made.id + 1, 2**63 - 1, 2**63):
        with pytest.raises(BillingError) as refused:
            tenants.get_tenant(db, missing)
        assert refused.value.code == "tenant_not_found"
    row = fetch_one(db, "SELECT COUNT(*) AS number FROM tenants")
    assert row["number"] == 2
