"""What the tables of the first migration accept, whose a row is, and what the reference's own statements mean there."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

import billing_db
from billing_db import Connection, DatabaseError, RuleBroken, UniqueConflict
from tests.cast import Person
from tests.domain.reference_database import insert, invoice, log, rows
from tests.domain.tables import change, counters, months
from turf_saas import records
from turf_saas.schema.host import list_columns

MAX = 2**53

pytestmark = pytest.mark.usefixtures("people")


# -- what is accepted ----------------------------------------------------------------------------------


def broken(db: Connection, table: str, row: dict[str, Any]) -> bool:
    try:
        insert(db, table, row)
    except RuleBroken:
        return True
    return False


@pytest.mark.parametrize(("count", "fits"), [(-1, False), (0, True), (1, True), (MAX, True), (MAX + 1, False)])
def test_counts_are_bounded(db: Connection, count: int, fits: bool) -> None:
    assert broken(db, "consumption_log", log(api_calls=count)) is not fits
    assert sum(counters(db).values()) == (count if fits else 0)


@pytest.mark.parametrize(("total", "fits"), [(-1, False), (0, True), (2**62, True), (2**62 + 1, False)])
def test_totals_are_bounded(db: Connection, total: int, fits: bool) -> None:
    row = {"user_id": 1, "metric": "tokens", "period_start": "2026-05-01", "total": total}
    assert broken(db, "usage_aggregates", row) is not fits


def test_a_month_cannot_be_summed_beyond_its_bound(db: Connection) -> None:
    row = {"user_id": 1, "metric": "tokens", "total": 2**61}
    insert(db, "usage_aggregates", {**row, "period_start": "2026-05-01"}, {**row, "period_start": "2026-05-02"})
    assert broken(db, "usage_aggregates", {**row, "period_start": "2026-05-03", "total": 1})
    assert counters(db) == {(1, "tokens", "2026-05"): 2**62}


@pytest.mark.parametrize("count", ["many", 1.5, None])
def test_on_sqlite_a_count_is_a_whole_number(on_sqlite: Connection, count: Any) -> None:
    with pytest.raises(RuleBroken):
        insert(on_sqlite, "consumption_log", log(api_calls=count))


@pytest.mark.parametrize(
    ("amount", "fits"), [(-MAX - 1, False), (-MAX, True), (0, True), (MAX, True), (MAX + 1, False)]
)
def test_amounts_are_bounded(db: Connection, amount: int, fits: bool) -> None:
    assert broken(db, "invoices", invoice(amount_cents=amount)) is not fits
    assert broken(db, "transactions", {"user_id": 1, "type": "credit", "amount_cents": amount}) is not fits


@pytest.mark.parametrize(
    "day",
    [
        "2026-02-29", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00", "2026-1-5", "2026-01-05 ", "20260105",
        "2026-01-05T00:00:00Z", "now", "", "0000-01-01", "10000-01-01", "2461045.5", None,
    ],
)  # fmt: skip
def test_days_that_are_none_are_refused(db: Connection, day: str | None) -> None:
    assert broken(db, "consumption_log", log(date=day))
    assert broken(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": day, "total": 1})
    assert counters(db) == {}


@pytest.mark.parametrize("day", ["0001-01-01", "2024-02-29", "2026-12-31", "9999-12-31"])
def test_days_of_the_calendar_are_accepted(db: Connection, day: str) -> None:
    insert(db, "consumption_log", log(date=day))
    assert months(db) == {day[:7]: 1}


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("consumption_log", log(99)),
    ("consumption_log", log(endpoint=None)),
    ("invoices", invoice(status="lost")),
    ("invoices", invoice(kind="gift")),
    ("invoices", invoice(user_id=99)),
    ("invoices", invoice(currency="EURO")),
    ("invoices", invoice(period_start="2026-06-01")),
    ("transactions", {"user_id": 1, "type": "gift", "amount_cents": 1}),
    ("transactions", {"user_id": 1, "type": "credit", "amount_cents": 1, "invoice_id": 99}),
    ("saas_subscriptions", {"user_id": 99, "plan": "pro", "status": "active"}),
    ("saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active", "cycle": "lunar"}),
    ("saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active", "billed_by": "both"}),
    ("saas_subscriptions", {"user_id": 1, "plan": "pro", "cancel_at_period_end": 2}),
    ("saas_subscriptions", {"user_id": 1, "plan": "pro", "current_period_start": "b", "current_period_end": "a"}),
    ("billing_accounts", {"user_id": 99}),
    ("billing_accounts", {"user_id": 6, "role": "owner"}),
]


@pytest.mark.parametrize(("table", "row"), BREAKS)
def test_a_row_that_breaks_a_rule_is_refused(db: Connection, table: str, row: dict[str, Any]) -> None:
    insert(db, "users", {"id": 6})
    assert broken(db, table, row)


TWICE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("consumption_log", log(), log()),
    ("consumption_log", {"user_id": 1, "date": "2026-05-01"}, {"user_id": 1, "date": "2026-05-01"}),
    ("invoices", invoice(), invoice()),
    ("invoices", invoice(stripe_invoice_id="in_1"), invoice("FACT-202605-0002", stripe_invoice_id="in_1")),
    ("billing_events", {"stripe_event_id": "evt_1"}, {"stripe_event_id": "evt_1"}),
    (
        "saas_subscriptions",
        {"user_id": 1, "status": "canceled", "stripe_subscription_id": "sub_1"},
        {"user_id": 2, "status": "canceled", "stripe_subscription_id": "sub_1"},
    ),
    (
        "transactions",
        {"user_id": 1, "type": "overage", "amount_cents": 1, "stripe_payment_intent_id": "pi_1"},
        {"user_id": 2, "type": "overage", "amount_cents": 2, "stripe_payment_intent_id": "pi_1"},
    ),
]


@pytest.mark.parametrize(("table", "first", "second"), TWICE)
def test_a_row_that_is_there_already_is_refused(
    db: Connection, table: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    insert(db, table, first)
    with pytest.raises(UniqueConflict):
        insert(db, table, second)
    assert rows(db, f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_payment_is_refunded_in_parts(db: Connection) -> None:
    refund = {"user_id": 1, "type": "refund", "amount_cents": -5, "stripe_payment_intent_id": "pi_1"}
    insert(db, "transactions", refund, refund, {**refund, "type": "subscription"})
    assert rows(db, "SELECT COUNT(*) FROM transactions") == [(3,)]


LIVE = ["trialing", "active", "past_due", "unpaid"]


@pytest.mark.parametrize("first", LIVE)
@pytest.mark.parametrize("second", LIVE)
def test_a_user_has_one_live_subscription(db: Connection, alice: Person, bob: Person, first: str, second: str) -> None:
    alice.is_on("pro", first)
    bob.is_on("pro", second)
    with pytest.raises(UniqueConflict):
        alice.is_on("premium", second)
    alice.is_on("premium", "canceled")
    alice.is_on("premium", "incomplete")
    with pytest.raises(UniqueConflict):
        change(db, "UPDATE saas_subscriptions SET status = :second WHERE user_id = 1", second=second)


def test_a_user_whose_account_is_gone_takes_it_along_and_one_with_usage_stays(db: Connection, alice: Person) -> None:
    change(db, "DELETE FROM users WHERE id = 2")
    assert rows(db, "SELECT COUNT(*) FROM billing_accounts WHERE user_id = 2") == [(0,)]
    alice.has_used(1)
    with pytest.raises(DatabaseError):
        change(db, "DELETE FROM users WHERE id = 1")


# -- whose a row is ------------------------------------------------------------------------------------


def test_a_row_is_its_users_tenants_whatever_its_writer_said(db: Connection, charlie: Person) -> None:
    subscribed = {"user_id": charlie.id, "plan": "pro", "status": "active"}
    sold = {"user_id": charlie.id, "type": "credit", "amount_cents": -1}
    insert(db, "consumption_log", log(charlie.id))
    insert(db, "consumption_log", log(charlie.id, date="2026-05-02", tenant_id=99))
    insert(
        db, "usage_aggregates", {"user_id": charlie.id, "metric": "tokens", "period_start": "2026-05-01", "total": 1}
    )
    insert(db, "saas_subscriptions", subscribed)
    insert(db, "invoices", invoice(user_id=charlie.id))
    insert(db, "transactions", sold)
    tables = (
        "consumption_log", "usage_aggregates", "usage_counters", "daily_usage", "saas_subscriptions", "invoices",
        "transactions", "billing_status_history",
    )  # fmt: skip
    for table in tables:
        assert rows(db, f"SELECT DISTINCT tenant_id FROM {table} WHERE user_id = {charlie.id}") == [(2,)], table


def test_an_invoice_number_is_taken_once_per_tenant(db: Connection, charlie: Person) -> None:
    insert(db, "invoices", invoice(invoice_number="FACT-202605-0001"))
    insert(db, "invoices", invoice(invoice_number="FACT-202605-0001", user_id=charlie.id, tenant_id=charlie.tenant_id))
    with pytest.raises(UniqueConflict):
        insert(db, "invoices", invoice(invoice_number="FACT-202605-0001"))


# -- what the reference writes -------------------------------------------------------------------------


def test_the_references_own_statements_run_and_mean_the_same(db: Connection) -> None:
    """With its columns only, as the code of the reference knows them."""
    insert(
        db,
        "invoices",
        {
            "invoice_number": "FACT-202605-0001", "user_id": 1, "period_start": "2026-05-01",
            "period_end": "2026-05-31", "plan": "pro", "amount_cents": 4900, "currency": "EUR", "status": "pending",
            "pdf_path": None, "stripe_invoice_id": None,
        },
    )  # fmt: skip
    insert(
        db,
        "transactions",
        {
            "user_id": 1, "invoice_id": 1, "type": "subscription", "amount_cents": 4900, "currency": "EUR",
            "stripe_payment_intent_id": "pi_1", "description": "May",
        },
    )  # fmt: skip
    insert(db, "consumption_log", log())
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "premium", "status": "active"})
    assert rows(db, "SELECT kind, tenant_id FROM invoices") == [("adopted", 1)]
    assert rows(db, "SELECT billed_by, cycle, effective_at FROM saas_subscriptions") == [("local", "calendar", None)]
    total = rows(
        db,
        """SELECT COALESCE(SUM(api_calls), 0) FROM consumption_log
            WHERE user_id = :user AND date >= '2026-05-01' AND date < '2026-06-01'""",
        user=1,
    )
    assert [int(value) for (value,) in total] == [1]
    assert months(db) == {"2026-05": 1}
    made_at = rows(db, "SELECT created_at FROM invoices UNION ALL SELECT created_at FROM consumption_log")
    assert all(len(value) == 20 and value[10] == "T" and value[19] == "Z" for (value,) in made_at)


@pytest.mark.parametrize(
    ("record", "table"),
    [
        (records.Invoice, "invoices"),
        (records.Transaction, "transactions"),
        (records.ConsumptionLog, "consumption_log"),
    ],
)
def test_a_record_holds_a_row(db: Connection, record: type, table: str) -> None:
    assert [field.name for field in fields(record)] == [column.name for column in list_columns(db, table)]
    insert(
        db,
        table,
        {
            "invoices": invoice(),
            "transactions": {"user_id": 1, "type": "credit", "amount_cents": 1},
            "consumption_log": log(),
        }[table],
    )
    [row] = billing_db.fetch_all(db, f"SELECT * FROM {table}")
    assert record(**dict(row)).id == 1
