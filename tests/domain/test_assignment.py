"""A user is put in a tenant only as long as nothing of his stands in another one."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.conftest import NOW
from tests.house.tables import list_tables
from turf_saas import accounts, api_keys, assignment, schema, tenants
from turf_saas.assignment import Assigned, assign_user
from turf_saas.errors import Conflict, NotFound
from turf_saas.schema.host import list_columns
from turf_saas.settings import read_settings
from turf_saas.users import User, find_user, get_users_table, set_role

CALL = "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-01', 1)"
TOKENS = "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'tokens', '2026-05-01', 1)"
SUBSCRIPTION = "INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (1, 'pro', 'canceled')"
INVOICE = """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents)
             VALUES ('FACT-202605-0001', 1, '2026-05-01', '2026-06-01', 'pro', 0)"""
TRANSACTION = "INSERT INTO transactions (user_id, type, amount_cents) VALUES (1, 'credit', -1)"


def assign(db: Connection, user_id: Any, tenant_id: int) -> Assigned:
    return assign_user(db, NOW, get_users_table(db), user_id, tenant_id)


def rows(db: Connection) -> list[dict[str, Any]]:
    """Everything that an assignment may write."""
    tables = ("billing_accounts", "billing_logins", "billing_api_keys")
    return [dict(row) for table in tables for row in fetch_all(db, f"SELECT * FROM {table} ORDER BY user_id")]


def run(db: Connection, *statements: str) -> None:
    with atomic(db):
        for statement in statements:
            execute(db, statement)


def test_a_user_without_records_is_put_in_the_tenant_as_a_plain_user(alice: Person) -> None:
    assert assign(alice.db, 1, 2) == Assigned(User(1, 2, "user"), User(1, 1, "user"))
    assert find_user(alice.db, get_users_table(alice.db), 1) == User(1, 2, "user")
    alice.has_used(5)
    (row,) = fetch_all(alice.db, "SELECT tenant_id FROM usage_counters WHERE user_id = 1")
    assert row["tenant_id"] == 2, "what he does from now on is the new tenant's"


def test_a_user_of_a_hosts_own_table_gets_his_first_row_so(empty_url: str) -> None:
    db = billing_db.connect(empty_url)
    run(db, 'CREATE TABLE "user" (id VARCHAR(36) PRIMARY KEY)', "INSERT INTO \"user\" VALUES ('é-7')")
    # A table of the host that looks like one of ours says nothing about ours.
    run(db, "CREATE TABLE orders (user_id TEXT, tenant_id INTEGER)", "INSERT INTO orders VALUES ('é-7', 5)")
    schema.migrate(db, NOW, read_settings({"TURF_SAAS_DB": empty_url, "BILLING_USERS_TABLE": "user"}))
    second = tenants.create_tenant(db, NOW, "second").id
    assert fetch_all(db, "SELECT user_id FROM billing_accounts") == []
    assert assign(db, "é-7", second).user == User("é-7", second, "user")
    row = fetch_one(db, "SELECT user_id, tenant_id, role, created_at, updated_at FROM billing_accounts")
    at = "2026-05-20T10:00:00Z"
    assert tuple(row[name] for name in ("user_id", "tenant_id", "role", "created_at", "updated_at")) == (
        "é-7", second, "user", at, at,
    )  # fmt: skip
    with pytest.raises(NotFound) as refused:
        assign(db, "nobody", second)
    assert refused.value.code == "user_not_found"
    db.close()


def test_a_role_does_not_come_along_and_the_profile_does(alice: Person, ada: Person) -> None:
    run(ada.db, "UPDATE billing_accounts SET email = 'ada@example.com', vat_id = 'FR1' WHERE user_id = 4")
    assert assign(ada.db, 4, 2) == Assigned(User(4, 2, "user"), User(4, 1, "admin"))
    row = fetch_one(ada.db, "SELECT email, vat_id, role FROM billing_accounts WHERE user_id = 4")
    assert (row["email"], row["vat_id"], row["role"]) == ("ada@example.com", "FR1", "user")


def test_who_is_in_the_tenant_already_stays_as_he_is(alice: Person, ada: Person) -> None:
    db = ada.db
    api_keys.create_key(db, NOW, User(4, 1, "admin"), name="", scopes=["billing.read"])
    run(db, "INSERT INTO users (id) VALUES (9)", CALL.replace("(1,", "(4,"))
    before = rows(db)
    assert assign(db, 4, 1) == Assigned(User(4, 1, "admin"), User(4, 1, "admin"))
    assert assign(db, 9, 1) == Assigned(User(9, 1, "user"), User(9, 1, "user")), "no row says tenant 1 as well"
    assert rows(db) == before


def test_a_login_of_ours_goes_with_its_user(alice: Person) -> None:
    table = get_users_table(alice.db)
    user_id = accounts.create_user(alice.db, NOW, table, email="a@example.com", password="a good password")
    assign(alice.db, user_id, 2)
    row = fetch_one(alice.db, "SELECT tenant_id FROM billing_logins WHERE user_id = :id", id=user_id)
    assert row["tenant_id"] == 2
    given = {"email": "a@example.com", "password": "a good password", "address": "127.0.0.1"}
    assert accounts.log_in(alice.db, NOW, table, **given) == User(user_id, 2, "user")


def test_a_key_for_the_old_tenant_is_revoked_and_stays_so_when_the_user_comes_back(alice: Person) -> None:
    holder = User(1, 1, "user")
    secrets = [api_keys.create_key(alice.db, NOW, holder, name="", scopes=["billing.read"])[1] for _ in range(2)]
    assert assign(alice.db, 1, 2).keys_revoked == 2
    new, new_secret = api_keys.create_key(alice.db, NOW, User(1, 2, "user"), name="", scopes=["billing.read"])
    assert [api_keys.find_by_secret(alice.db, secret) for secret in secrets] == [None, None]
    assert api_keys.find_by_secret(alice.db, new_secret) == new
    assert assign(alice.db, 1, 1).keys_revoked == 1
    assert [api_keys.find_by_secret(alice.db, secret) for secret in [*secrets, new_secret]] == [None] * 3


@pytest.mark.parametrize(
    ("table", "written"),
    [
        ("consumption_log", [CALL]),
        ("usage_aggregates", [TOKENS]),
        ("saas_subscriptions", [SUBSCRIPTION]),
        ("billing_status_history", [SUBSCRIPTION, "DELETE FROM saas_subscriptions"]),
        ("invoices", [INVOICE]),
        ("transactions", [TRANSACTION]),
    ],
)
def test_who_has_records_in_another_tenant_stays_there(alice: Person, table: str, written: list[str]) -> None:
    db = alice.db
    api_keys.create_key(db, NOW, User(1, 1, "user"), name="", scopes=["billing.read"])
    run(db, *written)
    before = rows(db)
    with pytest.raises(Conflict) as refused:
        assign(db, 1, 2)
    assert refused.value.code == "user_has_records"
    assert refused.value.params["tenant_id"] == 1
    named = refused.value.params["table"]
    assert any(row["tenant_id"] == 1 for row in fetch_all(db, f"SELECT tenant_id FROM {named} WHERE user_id = 1"))
    assert fetch_all(db, f"SELECT user_id FROM {table} WHERE user_id = 1")
    assert rows(db) == before
    assert assign(db, 2, 2).user.tenant_id == 2, "another user's records are not his"


def test_records_that_stand_in_the_tenant_already_are_no_obstacle(alice: Person) -> None:
    """As somebody may have written the rows before the account."""
    run(alice.db, CALL, "UPDATE consumption_log SET tenant_id = 2", "UPDATE usage_counters SET tenant_id = 2")
    assert assign(alice.db, 1, 2).user.tenant_id == 2


def test_every_table_of_ours_with_a_user_and_a_tenant_is_looked_at_or_goes_along(db: Connection) -> None:
    columns = {table: {column.name for column in list_columns(db, table)} for table in list_tables(db)}
    both = {table for table, names in columns.items() if {"user_id", "tenant_id"} <= names}
    looked_at = set(assignment._tables_of_records(db))
    assert both - looked_at == {"billing_accounts", "billing_logins", "billing_api_keys"}
    assert looked_at <= both


@pytest.mark.parametrize("tenant_id", [-1, 0, 3, 2**63 - 1, 2**63, 10**30])
def test_a_tenant_that_does_not_exist_takes_nobody_in(alice: Person, tenant_id: int) -> None:
    before = rows(alice.db)
    with pytest.raises(NotFound) as refused:
        assign(alice.db, 1, tenant_id)
    assert refused.value.code == "tenant_not_found"
    assert rows(alice.db) == before


def test_a_write_that_is_not_committed_yet_is_waited_for(url: str, alice: Person) -> None:
    """Else the row would be of the old tenant, and its user of the new one."""
    other, ends = billing_db.connect(url), []

    def move() -> None:
        db = billing_db.connect(url)
        try:
            ends.append(assign(db, 1, 2))
        except Conflict as refused:
            ends.append(refused.code)
        finally:
            db.close()

    mover = threading.Thread(target=move)
    with atomic(other):
        execute(other, CALL)
        mover.start()
        mover.join(timeout=1)  # one that does not wait is done by then
    mover.join()
    other.close()
    assert ends == ["user_has_records"]


def test_of_many_who_move_a_user_at_once_each_sees_where_he_is(url: str, alice: Person) -> None:
    set_role(alice.db, NOW, 1, "admin")
    start, seen = threading.Barrier(6), []

    def move(tenant_id: int) -> None:
        db = billing_db.connect(url)
        start.wait()
        done = assign_user(db, NOW + timedelta(seconds=1), get_users_table(db), 1, tenant_id)
        seen.append((done.before.tenant_id, done.user.tenant_id))
        db.close()

    movers = [threading.Thread(target=move, args=(n % 2 + 1,)) for n in range(6)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert len(seen) == 6
    there = [where for was, where in seen if was != where]
    now_in = find_user(alice.db, get_users_table(alice.db), 1)
    assert now_in == User(1, 2 if len(there) % 2 else 1, "user"), "he went there and back, one at a time"
