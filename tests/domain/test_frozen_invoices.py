"""What was issued is never changed, whoever writes: our code, another program, a bare connection of the driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_db import Connection, RuleBroken, UniqueConflict, atomic, engine, execute, fetch_all, fetch_one
from tests.cast import Cast, Person
from tests.domain.reference_database import rows
from tests.domain.tables import change
from tests.issued import SETTINGS, document, issue_one, line
from turf_saas import invoice_register
from turf_saas.invoice_documents import Document

JUNE = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
STATUSES = ("pending", "paid", "overdue", "cancelled", "refunded")
MOVES = {
    ("pending", "paid"), ("pending", "overdue"), ("pending", "cancelled"),
    ("overdue", "paid"), ("overdue", "cancelled"), ("paid", "refunded"),
    ("cancelled", "refunded"), ("refunded", "paid"),  # money that came all the same; a refund that failed
}  # fmt: skip
OTHERS = {"tenant_id": 2, "user_id": 2, "kind": "manual", "credited_invoice_id": 2}
FREE_TO_CHANGE = {"status", "paid_at", "pdf_path", "stripe_invoice_id", "changed_at", "changed_by", "change_reason"}
NEVER = "never changed|only counts up|not move|not later|further|never deleted|never replaced|only grows"


LINES = (line(1_000), line(50, kind="overage"))  # with their VAT 12.60


def issue(db: Connection, person: Person, month: str = "2026-05") -> int:
    return issue_one(db, person, *LINES, now=JUNE, month=month, currency="USD").id


@pytest.fixture
def invoice(db: Connection, alice: Person) -> int:
    return issue(db, alice)


@pytest.fixture
def state(db: Connection) -> Callable[[], Any]:
    """All that is frozen, as it stands."""

    def read() -> list[list[tuple[Any, ...]]]:
        tables = {
            "invoices": "WHERE hash IS NOT NULL ORDER BY id",
            "billing_invoice_lines": "ORDER BY invoice_id, position",
            "billing_invoice_taxes": "ORDER BY invoice_id, position",
            "transactions": "WHERE invoice_id IS NOT NULL ORDER BY id",
            "billing_invoice_series": "ORDER BY tenant_id, series",
            "billing_invoice_chains": "ORDER BY tenant_id",
        }
        return [rows(db, f"SELECT * FROM {table} {rest}") for table, rest in tables.items()]

    return read


def adopted(db: Connection, person: Person, number: str = "OLD-1") -> int:
    change(
        db,
        """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents)
           VALUES (:number, :user_id, '2026-04-01', '2026-04-30', 'pro', 100)""",
        number=number,
        user_id=person.id,
    )
    row = fetch_one(db, "SELECT id FROM invoices WHERE invoice_number = :number", number=number)
    assert row is not None
    return int(row["id"])


def refused(db: Connection, sql: str, **params: Any) -> str:
    with pytest.raises((RuleBroken, UniqueConflict), match=NEVER) as caught, atomic(db):
        execute(db, sql, **params)
    return str(caught.value)


# -- an invoice ------------------------------------------------------------------------------------


def test_every_column_of_an_issued_invoice_refuses_another_value(
    db: Connection, people: Cast, invoice: int, state: Callable[[], Any]
) -> None:
    assert issue(db, people.bob, "2026-04") == OTHERS["credited_invoice_id"]
    before = state()
    stored = dict(fetch_all(db, "SELECT * FROM invoices WHERE id = :id", id=invoice)[0])
    assert len(stored) > 30
    for column in stored.keys() - FREE_TO_CHANGE - {"updated_at"}:
        value = stored[column]
        wanted = OTHERS.get(column, value + 7 if isinstance(value, int) else f"{value or 'x'}~"[-20:])
        sql = f"UPDATE invoices SET {column} = :value WHERE id = :id"
        assert "never changed" in refused(db, sql, value=wanted, id=invoice)
        if value is not None:
            with pytest.raises(RuleBroken), atomic(db):
                execute(db, f"UPDATE invoices SET {column} = NULL WHERE id = :id", id=invoice)
    assert state() == before


def test_what_is_set_once_is_set_once(db: Connection, invoice: int) -> None:
    for column in ("paid_at", "pdf_path", "stripe_invoice_id"):
        change(db, f"UPDATE invoices SET {column} = '2026-06-02T00:00:00Z'")
        change(db, f"UPDATE invoices SET {column} = '2026-06-02T00:00:00Z', updated_at = '2026-06-03T00:00:00Z'")
        refused(db, f"UPDATE invoices SET {column} = '2026-06-04T00:00:00Z'")
        refused(db, f"UPDATE invoices SET {column} = NULL")


@pytest.mark.parametrize("old", STATUSES)
def test_a_status_moves_as_it_is_allowed_to_and_not_otherwise(db: Connection, alice: Person, old: str) -> None:
    way = {"paid": ["paid"], "overdue": ["overdue"], "cancelled": ["cancelled"], "refunded": ["paid", "refunded"]}
    for number, new in enumerate(STATUSES):
        invoice = issue(db, alice, f"2026-0{number + 1}")
        for status in way.get(old, []):
            change(db, "UPDATE invoices SET status = :status WHERE id = :id", status=status, id=invoice)
        move = "UPDATE invoices SET status = :status WHERE id = :id"
        if old == new or (old, new) in MOVES:
            change(db, move, status=new, id=invoice)
        else:
            assert "does not move" in refused(db, move, status=new, id=invoice)
        found = fetch_one(db, "SELECT status FROM invoices WHERE id = :id", id=invoice)
        assert found is not None
        assert found["status"] == (new if (old, new) in MOVES else old)


def test_an_issued_invoice_is_not_deleted_and_neither_is_what_belongs_to_it(
    db: Connection, invoice: int, state: Callable[[], Any]
) -> None:
    before = state()
    for table in ("invoices", "billing_invoice_lines", "billing_invoice_taxes", "transactions",
                  "billing_invoice_series", "billing_invoice_chains"):  # fmt: skip
        assert "never" in refused(db, f"DELETE FROM {table}")
    assert state() == before


def test_what_was_adopted_stays_editable_and_never_becomes_one_of_ours(
    db: Connection, alice: Person, invoice: int
) -> None:
    old = adopted(db, alice)
    change(db, "UPDATE invoices SET amount_cents = 5, status = 'refunded', plan = 'free' WHERE id = :id", id=old)
    change(db, "UPDATE invoices SET status = 'pending' WHERE id = :id", id=old)
    assert "not later" in refused(db, "UPDATE invoices SET hash = 'x' WHERE id = :id", id=old)
    refused(
        db,
        """INSERT INTO billing_invoice_lines (invoice_id, position, kind, description, quantity, amount_cents,
                                              tax_behavior, net_cents, vat_category, vat_rate)
           VALUES (:id, 1, 'base', '', '1', 0, 'exclusive', 0, 'S', '20')""",
        id=old,
    )
    change(db, "DELETE FROM invoices WHERE id = :id", id=old)
    assert rows(db, "SELECT id FROM invoices") == [(invoice,)]


# -- lines, taxes and the ledger -------------------------------------------------------------------


@pytest.mark.parametrize("table", ["billing_invoice_lines", "billing_invoice_taxes"])
def test_lines_and_taxes_are_neither_changed_nor_added(
    db: Connection, invoice: int, state: Callable[[], Any], table: str
) -> None:
    before = state()
    stored = dict(fetch_all(db, f"SELECT * FROM {table}")[0])
    for column in stored:
        assert "never changed" in refused(db, f"UPDATE {table} SET {column} = {column}")
    names = ", ".join(stored)
    for position in (0, 1, 2, 3, 1.5):
        values = {**stored, "position": position, "vat_category": "E"}
        with pytest.raises((RuleBroken, UniqueConflict)), atomic(db):
            execute(db, f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in stored)})", **values)
    assert state() == before


def test_an_invoice_whose_lines_do_not_sum_to_it_is_not_written(db: Connection, alice: Person) -> None:
    def written(**changed: Any) -> None:
        class Wrong(Document):
            net_cents = property(lambda _: changed.get("net", 1_050))  # type: ignore[assignment]
            tax_cents = property(lambda _: changed.get("tax", 210))  # type: ignore[assignment]

        with atomic(db):
            invoice_register.issue(db, JUNE, SETTINGS, 1, [Wrong(**vars(document(alice, *LINES)))])

    for wrong in ({"net": 1_049}, {"tax": 211}, {"net": 1_051, "tax": 209}):
        with pytest.raises(RuleBroken, match="sum of its lines"):
            written(**wrong)
    assert rows(db, "SELECT * FROM transactions") == rows(db, "SELECT * FROM billing_invoice_series") == []
    written()


def test_the_ledger_of_an_issued_invoice_is_neither_changed_nor_added_to(
    db: Connection, alice: Person, invoice: int, state: Callable[[], Any]
) -> None:
    change(db, "INSERT INTO transactions (user_id, type, amount_cents) VALUES (1, 'credit', -5)")
    before = state()
    stored = dict(fetch_all(db, "SELECT * FROM transactions ORDER BY id")[0])
    assert stored["amount_cents"] == 1_200
    others = {"id": 99, "user_id": 2, "invoice_id": None, "type": "credit", "amount_cents": 1, "currency": "EUR",
              "description": "?", "created_at": "2026-01-01", "tenant_id": 2}  # fmt: skip
    for column, wanted in others.items():
        refused(db, f"UPDATE transactions SET {column} = :wanted WHERE id = :id", wanted=wanted, id=stored["id"])
    more = "INSERT INTO transactions (user_id, invoice_id, type, amount_cents) VALUES (1, :invoice, 'credit', -5)"
    refused(db, more, invoice=invoice)
    refused(db, "UPDATE transactions SET invoice_id = :invoice WHERE amount_cents = -5", invoice=invoice)
    assert state() == before
    change(db, more.replace("'credit'", "'refund'").replace("-5", "5"), invoice=invoice)  # money that goes out
    refused(db, "UPDATE transactions SET amount_cents = 6 WHERE type = 'refund'")


def test_a_series_and_a_chain_only_count_up(db: Connection, invoice: int, state: Callable[[], Any]) -> None:
    before = state()
    for assigned in ("last_number = 0", "first_number = 2", "series = '202605'", "tenant_id = 2"):
        refused(db, f"UPDATE billing_invoice_series SET {assigned}")
    for assigned in ("position = 0", "hash = 'x'", "tenant_id = 2"):
        refused(db, f"UPDATE billing_invoice_chains SET {assigned}")
    assert state() == before
    change(db, "UPDATE billing_invoice_series SET last_number = last_number + 1")


# -- what the engines let in -----------------------------------------------------------------------


def test_nothing_of_it_is_emptied_on_postgresql(on_postgresql: Connection) -> None:
    db = on_postgresql
    issue(db, Person("alice", 1))
    for table in ("invoices CASCADE", "users CASCADE", "tenants CASCADE", "transactions", "billing_invoice_lines",
                  "billing_invoice_taxes", "billing_invoice_series", "billing_invoice_chains"):  # fmt: skip
        assert "never changed, deleted or emptied" in refused(db, f"TRUNCATE {table}")
    assert len(rows(db, "SELECT * FROM billing_invoice_lines")) == 2


REPLACING = (
    "INSERT OR REPLACE INTO invoices (id, {required}) VALUES (1, {values})",
    "INSERT OR REPLACE INTO invoices (rowid, {required}) VALUES (1, {values})",
    "REPLACE INTO invoices (id, {required}) VALUES ('1', {values})",
    "INSERT OR REPLACE INTO invoices ({required}) VALUES ({numbered})",
    "INSERT OR REPLACE INTO invoices (tenant_id, {required}) VALUES (NULL, {numbered})",
    "INSERT OR REPLACE INTO invoices (stripe_invoice_id, {required}) VALUES ('in_1', {values})",
    "INSERT OR REPLACE INTO invoices (kind, month, {required}) VALUES ('period', '2026-05', {values})",
    "INSERT OR REPLACE INTO invoices (chain_position, {required}) VALUES (1, {values})",
    "INSERT OR REPLACE INTO invoices (tenant_id, chain_position, {required}) VALUES (NULL, 1, {values})",
    "INSERT OR REPLACE INTO invoices (series, series_number, {required}) VALUES ('202606', 1, {values})",
    "UPDATE OR REPLACE invoices SET id = 1 WHERE id = 2",
    "UPDATE OR REPLACE invoices SET rowid = 1 WHERE id = 2",
    "UPDATE OR REPLACE invoices SET invoice_number = 'FACT-202606-0001' WHERE id = 2",
    "UPDATE OR REPLACE invoices SET invoice_number = 'FACT-202606-0001', tenant_id = NULL WHERE id = 2",
    "UPDATE OR REPLACE invoices SET stripe_invoice_id = 'in_1' WHERE id = 2",
    "UPDATE OR REPLACE invoices SET kind = 'period', month = '2026-05' WHERE id = 2",
    "UPDATE OR REPLACE invoices SET chain_position = 1 WHERE id = 2",
    "UPDATE OR REPLACE invoices SET series = '202606', series_number = 1 WHERE id = 2",
    "UPDATE OR REPLACE invoices SET currency = NULL WHERE id = 1",  # would be the column's default
    "UPDATE OR REPLACE invoices SET created_at = NULL WHERE id = 1",
    "UPDATE OR REPLACE invoices SET kind = NULL WHERE id = 1",
    "UPDATE OR REPLACE invoices SET status = NULL WHERE id = 1",
    "UPDATE OR REPLACE invoices SET rowid = 9 WHERE id = 1",
    "INSERT OR REPLACE INTO billing_invoice_lines SELECT * FROM billing_invoice_lines",
    "INSERT OR REPLACE INTO billing_invoice_taxes SELECT * FROM billing_invoice_taxes",
    """INSERT OR REPLACE INTO billing_invoice_taxes
           (invoice_id, position, base_cents, tax_cents, vat_category, vat_rate)
       VALUES (1, 0.5, 1050, 210, 'S', '20')""",
    "UPDATE OR REPLACE billing_invoice_lines SET position = 1 WHERE position = 2",
    "INSERT OR REPLACE INTO transactions (id, user_id, type, amount_cents) VALUES (1, 1, 'credit', -1)",
    "INSERT OR REPLACE INTO transactions (rowid, user_id, type, amount_cents) VALUES (1, 1, 'credit', -1)",
    """INSERT OR REPLACE INTO transactions (stripe_payment_intent_id, user_id, type, amount_cents)
       VALUES ('pi_1', 1, 'subscription', -1)""",
    "UPDATE OR REPLACE transactions SET id = 1 WHERE id = 3",
    "UPDATE OR REPLACE transactions SET rowid = 1 WHERE id = 3",
    "UPDATE OR REPLACE transactions SET currency = NULL WHERE id = 1",
    "UPDATE OR REPLACE transactions SET stripe_payment_intent_id = 'pi_1', type = 'subscription' WHERE id = 3",
    "INSERT OR REPLACE INTO billing_invoice_series (tenant_id, series, last_number) VALUES (1, '202606', 0)",
    "INSERT OR REPLACE INTO billing_invoice_series (tenant_id, series, last_number) VALUES (NULL, '202606', 0)",
    "INSERT OR REPLACE INTO billing_invoice_series (rowid, tenant_id, series, last_number) VALUES (1, 2, 'x', 0)",
    "UPDATE OR REPLACE billing_invoice_series SET first_number = NULL",
    "INSERT OR REPLACE INTO billing_invoice_chains (tenant_id, position, hash, issued_at) VALUES (1, 1, 'x', '2026')",
)


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "bare"])
def test_nothing_is_replaced_on_sqlite_whoever_connects(on_sqlite: Connection, ours: bool) -> None:
    db = on_sqlite
    issue(db, Person("alice", 1))
    adopted(db, Person("alice", 1))
    change(db, "UPDATE invoices SET stripe_invoice_id = 'in_1' WHERE id = 1")
    change(db, "UPDATE transactions SET stripe_payment_intent_id = 'pi_1' WHERE id = 1")
    change(db, "INSERT INTO transactions (user_id, type, amount_cents) VALUES (1, 'credit', -5)")
    bare = db if ours else sqlite3.connect(fetch_all(db, "PRAGMA database_list")[0]["file"], isolation_level=None)
    values = "1, '2026-05-01', '2026-05-31', 'pro', 1"
    words = {
        "required": "invoice_number, user_id, period_start, period_end, plan, amount_cents",
        "values": f"'NEW-1', {values}",
        "numbered": f"'FACT-202606-0001', {values}",
    }
    dumped = "\n".join(bare.iterdump())
    for sql in REPLACING:
        with pytest.raises(sqlite3.IntegrityError, match=NEVER):
            bare.execute(sql.format(**words))
        bare.rollback()
        assert "\n".join(bare.iterdump()) == dumped, sql
    if not ours:
        bare.close()


def test_a_row_that_its_trigger_moves_to_its_tenant_replaces_nothing_there(on_sqlite: Connection) -> None:
    db = on_sqlite
    issue(db, Person("charlie", 3, 2))
    with pytest.raises(RuleBroken, match="never replaced"):
        change(
            db,
            """INSERT OR REPLACE INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents)
               VALUES ('FACT-202606-0001', 3, '2026-05-01', '2026-05-31', 'pro', 1)""",
        )
    assert engine(db) == "sqlite"
    assert rows(db, "SELECT tenant_id, amount_cents FROM invoices") == [(2, 1_260)]
