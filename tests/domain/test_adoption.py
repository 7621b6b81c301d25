"""A reference database is adopted: every row is kept, put right, or set apart with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing_db import Connection, atomic, execute
from tests.domain import reference_database as reference
from tests.domain.reference_database import insert, invoice, log, rows
from tests.migrated import MIGRATIONS
from turf_saas import schema, subscriptions
from turf_saas.quotas import get_consumption
from turf_saas.schema import MigrationReport
from turf_saas.settings import read_settings

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
Make = Callable[..., Connection]


@pytest.fixture
def make(empty_url: str) -> Iterator[Make]:
    """A reference database, on both engines in turn."""
    opened: list[Connection] = []

    def created(**how: Any) -> Connection:
        opened.append(reference.create(empty_url, **how))
        return opened[-1]

    yield created
    for db in opened:
        db.close()


def adopt(db: Connection, **settings: str) -> MigrationReport:
    return schema.migrate(db, NOW, read_settings({"TURF_SAAS_DB": "unused", **settings}))


def rejects(db: Connection) -> list[tuple[str, str]]:
    return rows(db, "SELECT table_name, reason FROM billing_rejects ORDER BY id")


# -- what is well formed -------------------------------------------------------------------------------


def test_a_sound_reference_database_keeps_every_value(make: Make) -> None:
    db = make()
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active", "seats": 3})
    insert(db, "billing_events", {"stripe_event_id": "evt_1", "event_type": "invoice.paid", "payload": "{}"})
    insert(
        db,
        "invoices",
        invoice(status="paid", pdf_path="a.pdf", stripe_invoice_id="in_1", paid_at="2026-06-01 07:30:00"),
    )
    insert(
        db,
        "transactions",
        {
            "user_id": 1,
            "invoice_id": 1,
            "type": "subscription",
            "amount_cents": 4900,
            "stripe_payment_intent_id": "pi_1",
        },
    )
    insert(db, "consumption_log", log(api_calls=7), log(2, "2026-04-30", 5, "/odds"))
    report = adopt(db)
    counts = {name: (table.rows, table.kept, table.merged, table.rejected) for name, table in report.adopted.items()}
    assert counts == {
        "consumption_log": (2, 2, 0, 0),
        "invoices": (1, 1, 0, 0),
        "transactions": (1, 1, 0, 0),
        "saas_subscriptions": (1, 1, 0, 0),
        "billing_events": (1, 1, 0, 0),
    }
    assert report.applied == MIGRATIONS
    assert rows(db, "SELECT id, user_id, plan, status, seats, billed_by, effective_at FROM saas_subscriptions") == [
        (1, 1, "pro", "active", 3, "local", None)
    ]
    assert rows(db, "SELECT id, stripe_event_id, event_type, payload, processed FROM billing_events") == [
        (1, "evt_1", "invoice.paid", "{}", 0)
    ]
    assert rows(
        db,
        """SELECT id, invoice_number, user_id, period_start, period_end, plan, amount_cents, currency, status, pdf_path,
                  stripe_invoice_id, paid_at, kind, tenant_id FROM invoices""",
    ) == [
        (
            1, "FACT-202605-0001", 1, "2026-05-01", "2026-05-31", "pro", 4900, "EUR", "paid", "a.pdf", "in_1",
            "2026-06-01T07:30:00Z", "adopted", 1,
        )
    ]  # fmt: skip
    assert rows(
        db, "SELECT id, user_id, invoice_id, type, amount_cents, stripe_payment_intent_id FROM transactions"
    ) == [(1, 1, 1, "subscription", 4900, "pi_1")]
    assert rows(db, "SELECT id, user_id, date, api_calls, endpoint FROM consumption_log ORDER BY id") == [
        (1, 1, "2026-05-01", 7, "/races"),
        (2, 2, "2026-04-30", 5, "/odds"),
    ]
    assert rows(db, "SELECT user_id, metric, month, used FROM usage_counters ORDER BY user_id") == [
        (1, "api_calls", "2026-05", 7),
        (2, "api_calls", "2026-04", 5),
    ]
    assert rejects(db) == []


@pytest.mark.parametrize("table", ["invoices", "transactions", "consumption_log", "saas_subscriptions"])
def test_instants_are_written_our_way(make: Make, table: str) -> None:
    db = make()
    more = {
        "invoices": invoice(),
        "transactions": {"user_id": 1, "type": "credit", "amount_cents": -5},
        "consumption_log": log(),
        "saas_subscriptions": {"user_id": 1, "plan": "pro"},
    }[table]
    insert(db, table, {**more, "created_at": "2026-05-24 09:42:36"})
    adopt(db)
    assert rows(db, f"SELECT created_at FROM {table}") == [("2026-05-24T09:42:36Z",)]


def test_ids_go_on_after_the_highest_that_was_ever_given(make: Make) -> None:
    db = make()
    insert(db, "invoices", invoice(id=40), invoice("FACT-202605-0002", id=41))
    with atomic(db):
        execute(db, "DELETE FROM invoices WHERE id = 41")
    insert(db, "consumption_log", log(id=9))
    insert(db, "transactions", {"id": 5, "user_id": 1, "type": "credit", "amount_cents": 1})
    adopt(db)
    insert(db, "invoices", invoice("FACT-202605-0003"))
    insert(db, "consumption_log", log(date="2026-05-02"))
    insert(db, "transactions", {"user_id": 1, "type": "credit", "amount_cents": 1})
    last = {
        name: rows(db, f"SELECT MAX(id) FROM {name}")[0][0] for name in ("invoices", "consumption_log", "transactions")
    }
    # SQLite counts the deleted invoice too; PostgreSQL's sequence never saw an id that was written by hand
    assert last["invoices"] in (41, 42)
    assert (last["invoices"] == 42) == (schema.engine(db) == "sqlite")
    assert (last["consumption_log"], last["transactions"]) == (10, 6)


def test_what_the_reference_writes_is_still_accepted(make: Make) -> None:
    db = make()
    adopt(db)
    insert(db, "invoices", invoice())
    insert(db, "transactions", {"user_id": 1, "invoice_id": 1, "type": "subscription", "amount_cents": 4900})
    insert(db, "consumption_log", {"user_id": 1, "date": "2026-05-01", "api_calls": 3})
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "premium", "status": "active"})
    insert(db, "billing_events", {"stripe_event_id": "evt_1", "event_type": "x"})
    assert rows(db, "SELECT seats FROM saas_subscriptions") == [(1,)]
    assert rows(db, "SELECT processed FROM billing_events") == [(0,)]
    assert rows(db, "SELECT used FROM usage_counters") == [(3,)]


def test_the_table_subscriptions_is_left_alone(make: Make) -> None:
    db = make()
    insert(db, "subscriptions", {"stripe_subscription_id": "sub_1", "stripe_customer_id": "cus_1"})
    adopt(db)
    assert rows(db, "SELECT * FROM subscriptions") == [(1, "sub_1", "cus_1")]


# -- the log -------------------------------------------------------------------------------------------


def test_rows_that_an_empty_endpoint_let_in_twice_become_one(make: Make) -> None:
    db = make()
    insert(db, "consumption_log", log(api_calls=3, endpoint=None), log(api_calls=4, endpoint=None))
    insert(db, "consumption_log", log(api_calls=5, endpoint=""), log(api_calls=6))
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.rows, counts.kept, counts.merged, counts.rejected) == (4, 2, 2, 0)
    assert rows(db, "SELECT id, api_calls, endpoint FROM consumption_log ORDER BY id") == [
        (1, 12, ""),
        (4, 6, "/races"),
    ]
    assert rows(db, "SELECT used FROM usage_counters") == [(18,)]


def test_a_day_written_in_several_ways_is_one_day(make: Make) -> None:
    db = make(loose=True)
    for day in (
        "2026-01-05",
        "2026-1-5",
        "2026/01/05",
        "2026-01-05T23:59:59",
        "2026-01-05 10:00:00",
        "20260105",
        " 2026-1-05 ",
    ):
        insert(db, "consumption_log", log(date=day, api_calls=10))
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.kept, counts.merged, counts.rejected) == (1, 6, 0)
    assert rows(db, "SELECT id, date, api_calls FROM consumption_log") == [(1, "2026-01-05", 70)]


def test_an_instant_belongs_to_its_local_day(make: Make) -> None:
    db = make(loose=True)
    insert(db, "consumption_log", log(date="2026-04-30T22:00:00Z"), log(date="2026-05-01T00:30:00+02:00"))
    adopt(db, BILLING_TIMEZONE="Europe/Paris")
    assert rows(db, "SELECT date, api_calls FROM consumption_log") == [("2026-05-01", 2)]


@pytest.mark.parametrize(
    "day",
    [None, "", "hier", "05/01/2026", "5-1-2026", "2026-02-30", "2026-13-01", "2026-05", "0000-01-01", "２０２６-01-05"],
)
def test_a_day_that_cannot_be_read_is_set_apart(make: Make, day: str | None) -> None:
    db = make(loose=True)
    insert(db, "consumption_log", log(date=day, api_calls=3), log(api_calls=4))
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.kept, dict(counts.reasons)) == (1, {"date is not a day": 1})
    assert rejects(db) == [("consumption_log", "date is not a day")]
    kept = json.loads(rows(db, "SELECT row_json FROM billing_rejects")[0][0])
    assert {name: kept[name] for name in ("id", "user_id", "date", "api_calls", "endpoint")} == {
        "id": 1,
        **log(date=day, api_calls=3),
    }
    assert rows(db, "SELECT used FROM usage_counters") == [(4,)]


@pytest.mark.parametrize(("count", "fits"), [(-1, False), (0, True), (2**53, True), (2**53 + 1, False), (None, False)])
def test_a_count_is_kept_within_its_bounds(make: Make, count: int | None, fits: bool) -> None:
    db = make(loose=True)
    insert(db, "consumption_log", log(api_calls=count))
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.kept, counts.rejected) == ((1, 0) if fits else (0, 1))
    assert rows(db, "SELECT used FROM usage_counters") == ([(count,)] if fits else [])


def test_duplicates_whose_sum_is_too_large_are_set_apart_together(make: Make) -> None:
    db = make(loose=True)
    insert(
        db, "consumption_log", log(api_calls=2**52), log(api_calls=2**52), log(date="2026-05-02", api_calls=2**53 - 2)
    )
    insert(db, "consumption_log", log(date="2026-05-02", api_calls=1))
    counts = adopt(db).adopted["consumption_log"]
    assert (counts.kept, counts.merged, counts.rejected) == (1, 1, 2)
    assert rows(db, "SELECT date, api_calls FROM consumption_log") == [("2026-05-02", 2**53 - 1)]


def test_rows_of_nobody_are_set_apart(make: Make) -> None:
    db = make(loose=True)
    insert(db, "consumption_log", log(99), log(None), log(2))
    insert(db, "invoices", invoice(user_id=99))
    insert(db, "transactions", {"user_id": 99, "type": "credit", "amount_cents": 1, "currency": "EUR"})
    insert(db, "saas_subscriptions", {"user_id": 99, "plan": "pro", "status": "active"})
    report = adopt(db)
    assert {name: table.rejected for name, table in report.adopted.items()} == {
        "consumption_log": 2, "invoices": 1, "transactions": 1, "saas_subscriptions": 1, "billing_events": 0,
    }  # fmt: skip
    assert {reason for _, reason in rejects(db)} == {"there is no such user"}


# -- subscriptions -------------------------------------------------------------------------------------


def subscriptions_of(db: Connection) -> list[tuple[Any, ...]]:
    return rows(db, "SELECT id, plan, status FROM saas_subscriptions ORDER BY id")


def test_the_newest_active_subscription_wins_and_the_others_have_ended(make: Make) -> None:
    db = make()
    insert(
        db,
        "saas_subscriptions",
        {"user_id": 1, "plan": "pro", "status": "active", "created_at": "2026-03-01 00:00:00"},
        {"user_id": 1, "plan": "premium", "status": "active", "created_at": "2026-04-01 00:00:00"},
        {"user_id": 1, "plan": "free", "status": "active", "created_at": "2026-02-01 00:00:00"},
        {"user_id": 1, "plan": "free", "status": "past_due", "created_at": "2026-05-01 00:00:00"},
        {"user_id": 2, "plan": "pro", "status": "active", "created_at": "2026-01-01 00:00:00"},
    )
    report = adopt(db)
    assert subscriptions_of(db) == [
        (1, "pro", "canceled"),
        (2, "premium", "active"),
        (3, "free", "canceled"),
        (4, "free", "canceled"),
        (5, "pro", "active"),
    ]
    counts = report.adopted["saas_subscriptions"]
    assert (counts.rows, counts.kept, counts.rejected) == (5, 5, 0)
    assert dict(counts.changes) == {"the user has a newer subscription: canceled": 3}
    assert len(rejects(db)) == 3, "what was changed is kept as it was"


def test_of_subscriptions_made_at_one_instant_the_last_one_wins(make: Make) -> None:
    db = make()
    same = {"user_id": 1, "status": "active", "created_at": "2026-03-01 00:00:00"}
    insert(db, "saas_subscriptions", {**same, "plan": "premium"}, {**same, "plan": "pro"})
    adopt(db)
    assert subscriptions_of(db) == [(1, "premium", "canceled"), (2, "pro", "active")]


def test_the_winner_has_held_since_ever(make: Make) -> None:
    db = make()
    insert(
        db,
        "saas_subscriptions",
        {"user_id": 1, "plan": "premium", "status": "active", "created_at": "2026-03-01 00:00:00"},
        {"user_id": 1, "plan": "pro", "status": "active", "created_at": "2026-04-01 00:00:00"},
    )
    adopt(db)
    assert subscriptions.find_plan_before(db, 1, datetime(2019, 1, 1, tzinfo=UTC)).plan == "pro"
    assert subscriptions.find_plan_before(db, 1, NOW).plan == "pro"
    assert get_consumption(db, NOW, read_settings({"TURF_SAAS_DB": "unused"}), 1).plan == "pro"


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("cancelled", "canceled"), ("canceled", "canceled"), ("Active", "active"), (None, "active"), ("", "active"),
        ("PAST_DUE", "past_due"), ("trialing", "trialing"), ("expired", "expired"),
    ],
)  # fmt: skip
def test_the_words_of_a_status(make: Make, written: str | None, means: str) -> None:
    db = make()
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": written})
    adopt(db)
    assert subscriptions_of(db) == [(1, "pro", means)]


def test_a_subscription_with_a_stripe_id_is_stripes(make: Make) -> None:
    db = make()
    insert(
        db,
        "saas_subscriptions",
        {"user_id": 1, "plan": "pro", "status": "canceled", "stripe_subscription_id": "sub_1"},
        {"user_id": 1, "plan": "pro", "status": "active", "stripe_subscription_id": "sub_1"},
        {"user_id": 2, "plan": "pro", "status": "active", "stripe_subscription_id": ""},
    )
    adopt(db)
    assert rows(db, "SELECT id, status, stripe_subscription_id, billed_by FROM saas_subscriptions ORDER BY id") == [
        (1, "canceled", None, "local"),
        (2, "active", "sub_1", "stripe"),
        (3, "active", None, "local"),
    ]
    assert rejects(db) == [("saas_subscriptions", "stripe_subscription_id is there already: kept without it")]


def test_a_table_with_three_columns_is_enough(empty_url: str) -> None:
    db = reference.create(empty_url, more="DROP TABLE saas_subscriptions;")
    with atomic(db):
        execute(db, "CREATE TABLE saas_subscriptions (user_id BIGINT, plan TEXT, status TEXT)")
    insert(db, "saas_subscriptions", {"user_id": 2, "plan": "gold", "status": "active"})
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": None, "status": "active"})
    adopt(db)
    assert subscriptions_of(db) == [(1, "gold", "active"), (2, None, "active")]
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "canceled"})
    assert rows(db, "SELECT MAX(id) FROM saas_subscriptions") == [(3,)]
    db.close()


def test_times_of_a_subscription_are_read_in_the_ways_they_are_written(empty_url: str) -> None:
    db = reference.create(empty_url, more="DROP TABLE saas_subscriptions;")
    with atomic(db):
        execute(
            db,
            """CREATE TABLE saas_subscriptions (
                   id INTEGER PRIMARY KEY, user_id BIGINT, plan TEXT, status TEXT, current_period_start BIGINT,
                   current_period_end TEXT, trial_end TEXT, cancel_at_period_end INTEGER)""",
        )
    same = {"plan": "pro", "status": "active", "cancel_at_period_end": 1}
    insert(
        db,
        "saas_subscriptions",
        # 1 777 593 600 is 2026-05-01T00:00:00Z
        {
            **same,
            "id": 1,
            "user_id": 1,
            "current_period_start": 1777593600,
            "current_period_end": "2026-06-01T02:00:00+02:00",
        },
        {
            **same,
            "id": 2,
            "user_id": 2,
            "current_period_start": 1777593600,
            "current_period_end": "2026-05-01",
            "trial_end": "soon",
        },
    )
    adopt(db)
    assert rows(
        db,
        """SELECT id, current_period_start, current_period_end, trial_end, cancel_at_period_end
             FROM saas_subscriptions ORDER BY id""",
    ) == [(1, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", None, 1), (2, None, None, None, 1)]
    assert sorted(rejects(db)) == [
        ("saas_subscriptions", "the period ends before it begins: kept without it"),
        ("saas_subscriptions", "trial_end could not be read"),
    ]
    db.close()


# -- invoices, transactions, events --------------------------------------------------------------------


def test_the_next_number_follows_the_highest_one_given_out(make: Make) -> None:
    db = make(loose=True)
    numbers = [
        "FACT-202604-0002",
        "FACT-202605-0009",
        "FACT-202605-0010",
        "FACT-202605-12345",
        "PRO-7",
        "FACT-2026-0001",
    ]
    insert(db, "invoices", *[invoice(number, status="pending", currency="EUR") for number in numbers])
    insert(db, "invoices", invoice("FACT-202606-0003", status="lost", currency="EUR"))
    adopt(db)
    assert rows(db, "SELECT tenant_id, series, last_number FROM billing_invoice_series ORDER BY series") == [
        (1, "202604", 2),
        (1, "202605", 12345),
        (1, "202606", 3),
    ]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"status": "lost"}, "status is not one of an invoice"),
        ({"status": None}, "status is missing"),
        ({"amount_cents": None}, "amount_cents is not a whole number"),
        ({"amount_cents": 2**53 + 1}, "amount_cents is not a whole number"),
        ({"currency": "euros"}, "currency is not a currency"),
        ({"period_start": "mai"}, "period_start is not a date"),
        ({"period_start": "2026-06-01"}, "the period ends before it begins"),
        ({"plan": None}, "plan is missing"),
        ({"invoice_number": "FACT-202605-0001"}, "invoice_number is there already"),
        ({"stripe_invoice_id": "in_1"}, "stripe_invoice_id is there already"),
    ],
)
def test_an_invoice_that_breaks_a_rule_is_set_apart(make: Make, columns: dict[str, Any], reason: str) -> None:
    db = make(loose=True)
    good = {"status": "paid", "currency": "EUR"}
    insert(
        db, "invoices", invoice(stripe_invoice_id="in_1", **good), {**invoice("FACT-202605-0002"), **good, **columns}
    )
    insert(db, "invoices", invoice("FACT-202605-0003", **good))
    counts = adopt(db).adopted["invoices"]
    assert (counts.kept, dict(counts.reasons)) == (2, {reason: 1})
    assert rows(db, "SELECT invoice_number FROM invoices ORDER BY id") == [("FACT-202605-0001",), ("FACT-202605-0003",)]


@pytest.mark.parametrize(("amount", "kept"), [(-(2**53) - 1, 0), (-(2**53), 1), (0, 1), (2**53, 1)])
def test_the_amounts_of_invoices_are_bounded(make: Make, amount: int, kept: int) -> None:
    db = make()
    insert(db, "invoices", invoice(amount_cents=amount))
    assert adopt(db).adopted["invoices"].kept == kept


@pytest.mark.parametrize(("written", "means"), [("canceled", "cancelled"), ("open", "pending"), ("created", "pending")])
def test_other_words_for_an_invoices_status(make: Make, written: str, means: str) -> None:
    db = make(loose=True)
    insert(db, "invoices", invoice(status=written, currency="eur"))
    adopt(db)
    assert rows(db, "SELECT status, currency FROM invoices") == [(means, "EUR")]


def test_empty_stripe_ids_are_none_and_collide_with_nothing(make: Make) -> None:
    db = make()
    insert(db, "invoices", invoice(stripe_invoice_id=""), invoice("FACT-202605-0002", stripe_invoice_id=""))
    assert adopt(db).adopted["invoices"].kept == 2
    assert rows(db, "SELECT DISTINCT stripe_invoice_id FROM invoices") == [(None,)]


def test_a_payment_is_booked_once_and_refunded_in_parts(make: Make) -> None:
    db = make()
    paid = {"user_id": 1, "stripe_payment_intent_id": "pi_1"}
    insert(
        db,
        "transactions",
        {**paid, "type": "subscription", "amount_cents": 4900},
        {**paid, "type": "subscription", "amount_cents": 4900},
        {**paid, "type": "overage", "amount_cents": 100},
        {**paid, "type": "refund", "amount_cents": -50},
        {**paid, "type": "refund", "amount_cents": -50},
    )
    counts = adopt(db).adopted["transactions"]
    assert (counts.kept, dict(counts.reasons)) == (4, {"stripe_payment_intent_id is there already": 1})
    assert rows(db, "SELECT id FROM transactions ORDER BY id") == [(1,), (3,), (4,), (5,)]


def test_money_stays_booked_when_its_invoice_cannot_stay(make: Make) -> None:
    db = make(loose=True)
    insert(db, "invoices", invoice(status="lost", currency="EUR"))
    money = {"user_id": 1, "type": "subscription", "amount_cents": 4900, "currency": "EUR"}
    insert(db, "transactions", {**money, "invoice_id": 1}, {**money, "invoice_id": 77}, {**money, "invoice_id": None})
    counts = adopt(db).adopted["transactions"]
    assert (counts.kept, counts.rejected) == (3, 0)
    assert dict(counts.changes) == {"its invoice is not there: kept without it": 2}
    assert rows(db, "SELECT DISTINCT invoice_id FROM transactions") == [(None,)]
    kept = [
        json.loads(row)["invoice_id"]
        for (row,) in rows(db, "SELECT row_json FROM billing_rejects WHERE table_name = 'transactions' ORDER BY id")
    ]
    assert kept == [1, 77]


def test_an_event_is_kept_once(make: Make) -> None:
    db = make()
    insert(
        db, "billing_events", *[{"stripe_event_id": each, "event_type": "x"} for each in ("evt_1", "evt_1", None, None)]
    )
    counts = adopt(db).adopted["billing_events"]
    assert (counts.kept, dict(counts.reasons)) == (3, {"stripe_event_id is there already": 1})


# -- what only SQLite lets in --------------------------------------------------------------------------


def test_values_of_any_type_are_kept_apart_as_they_are(tmp_path: Path) -> None:
    db = reference.create(str(tmp_path / "host.db"), loose=True)
    insert(db, "consumption_log", *[log(api_calls=count) for count in ("many", 1.5, b"\x00\xff", float("inf"), "7")])
    insert(db, "consumption_log", log(date=b"2026-05-01"), log(user_id="1"), log(user_id=1.5))
    insert(db, "invoices", invoice(amount_cents="12.50", status="paid", currency="EUR"))
    report = adopt(db)
    # "7" and "1" are numbers to SQLite's columns: they stand on one day with the same endpoint
    assert rows(db, "SELECT api_calls FROM consumption_log") == [(8,)]
    assert (report.adopted["consumption_log"].kept, report.adopted["consumption_log"].merged) == (1, 1)
    assert dict(report.adopted["consumption_log"].reasons) == {
        "api_calls is not a whole number from 0 to 2^53": 4,
        "date is not a day": 1,
        "there is no such user": 1,
    }
    kept = [json.loads(row) for (row,) in rows(db, "SELECT row_json FROM billing_rejects ORDER BY id")]
    assert [row["api_calls"] for row in kept[:4]] == ["many", 1.5, {"hex": "00ff"}, "inf"]
    assert kept[-1]["amount_cents"] == 12.5
    db.close()
