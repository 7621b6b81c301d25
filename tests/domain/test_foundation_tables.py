"""What the tables of the first migration accept, and what their triggers keep, whoever writes the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any

import pytest

import billing_db
from billing_db import Connection, DatabaseError, RuleBroken, UniqueConflict, atomic, execute
from tests.cast import Cast, Person
from tests.domain.reference_database import insert, invoice, log, rows
from turf_saas import records
from turf_saas.schema.host import list_columns

MAX = 2**53


@pytest.fixture
def _people(people: Cast) -> Cast:
    return people


pytestmark = pytest.mark.usefixtures("_people")


def change(db: Connection, sql: str, **params: Any) -> None:
    with atomic(db):
        execute(db, sql, **params)


def counters(db: Connection) -> dict[tuple[int, str, str], int]:
    found = rows(db, "SELECT user_id, metric, month, used FROM usage_counters")
    return {(user_id, metric, month): used for user_id, metric, month, used in found}


def months(db: Connection) -> dict[str, int]:
    """Alice's API calls per month, months at nothing left out."""
    return {month: used for (user_id, _, month), used in sorted(counters(db).items()) if user_id == 1 and used}


def summed(db: Connection) -> dict[tuple[int, str, str], int]:
    """What the counters have to be: the daily rows, added up."""
    found = rows(
        db,
        """SELECT user_id, metric, substr(day, 1, 7) AS month, CAST(SUM(quantity) AS BIGINT) AS used
             FROM daily_usage GROUP BY user_id, metric, substr(day, 1, 7)""",
    )
    return {(user_id, metric, month): used for user_id, metric, month, used in found}


# -- the counters of the log ---------------------------------------------------------------------------

UPSERT = """INSERT INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')
            ON CONFLICT (user_id, date, endpoint)
            DO UPDATE SET api_calls = consumption_log.api_calls + excluded.api_calls"""
LOG_CHANGES = {
    "UPDATE consumption_log SET api_calls = 25": {"2026-05": 25},
    "UPDATE consumption_log SET api_calls = 0": {},
    "UPDATE consumption_log SET api_calls = api_calls + 1": {"2026-05": 11},
    "UPDATE consumption_log SET date = '2026-05-31'": {"2026-05": 10},
    "UPDATE consumption_log SET date = '2026-06-01'": {"2026-06": 10},
    "UPDATE consumption_log SET date = '2026-06-01', api_calls = 7": {"2026-06": 7},
    "UPDATE consumption_log SET date = '2026-05-02', api_calls = 7": {"2026-05": 7},
    "UPDATE consumption_log SET user_id = 2": {},
    "UPDATE consumption_log SET user_id = 2, date = '2026-04-01', api_calls = 3": {},
    "UPDATE consumption_log SET endpoint = '/other'": {"2026-05": 10},
    "DELETE FROM consumption_log": {},
    UPSERT: {"2026-05": 14},
    "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-01', 4)": {"2026-05": 14},
    "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-01', 4), (1, '2026-04-30', 5)":
        {"2026-04": 5, "2026-05": 14},
    """INSERT INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')
       ON CONFLICT DO NOTHING""": {"2026-05": 10},
}  # fmt: skip


@pytest.mark.parametrize("sql", list(LOG_CHANGES))
def test_every_change_of_the_log_reaches_the_counters(db: Connection, sql: str) -> None:
    insert(db, "consumption_log", log(api_calls=10))
    change(db, sql)
    assert months(db) == LOG_CHANGES[sql]
    assert {key: used for key, used in counters(db).items() if used} == {k: n for k, n in summed(db).items() if n}


def test_what_is_taken_back_is_not_counted(db: Connection) -> None:
    class Mishap(Exception):
        pass

    with suppress(Mishap), atomic(db):
        execute(db, UPSERT)
        raise Mishap
    assert counters(db) == {}


AGGREGATE_CHANGES = {
    "UPDATE usage_aggregates SET total = 25": {(1, "tokens", "2026-05"): 25},
    "UPDATE usage_aggregates SET metric = 'pages'": {(1, "pages", "2026-05"): 10},
    "UPDATE usage_aggregates SET user_id = 2, total = 3": {(2, "tokens", "2026-05"): 3},
    "UPDATE usage_aggregates SET period_start = '2026-06-01', total = 4": {(1, "tokens", "2026-06"): 4},
    "UPDATE usage_aggregates SET period_start = '2026-05-31', total = 4": {(1, "tokens", "2026-05"): 4},
    "DELETE FROM usage_aggregates": {},
    """INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'tokens', '2026-05-01', 5)
       ON CONFLICT (user_id, metric, period_start) DO UPDATE SET total = usage_aggregates.total + excluded.total""":
        {(1, "tokens", "2026-05"): 15},
    "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'tokens', '2026-05-02', 5)":
        {(1, "tokens", "2026-05"): 15},
}  # fmt: skip


@pytest.mark.parametrize("sql", list(AGGREGATE_CHANGES))
def test_every_change_of_the_aggregates_reaches_the_counters(db: Connection, sql: str) -> None:
    insert(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": "2026-05-01", "total": 10})
    change(db, sql)
    assert {key: used for key, used in counters(db).items() if used} == AGGREGATE_CHANGES[sql]
    assert summed(db) == AGGREGATE_CHANGES[sql]


def test_both_daily_tables_are_one_view(db: Connection) -> None:
    insert(db, "consumption_log", log(api_calls=10), log(api_calls=2, endpoint=""))
    insert(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": "2026-05-02", "total": 7})
    assert rows(db, "SELECT tenant_id, user_id, metric, day, quantity FROM daily_usage ORDER BY metric, quantity") == [
        (1, 1, "api_calls", "2026-05-01", 2),
        (1, 1, "api_calls", "2026-05-01", 10),
        (1, 1, "tokens", "2026-05-02", 7),
    ]


def test_many_rows_at_once_are_counted_each(db: Connection) -> None:
    many = [{"day": f"2026-{month:02d}-{day:02d}", "n": day} for month in (4, 5) for day in range(1, 29)]
    sql = "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, :day, :n)"
    with atomic(db):
        if billing_db.engine(db) == "sqlite":
            db.executemany(sql, many)
        else:
            db.cursor().executemany(billing_db.to_pyformat(sql), many)
    assert months(db) == {"2026-04": 406, "2026-05": 406}  # 28 * 29 / 2


@pytest.fixture
def on_sqlite(template_of: Any, tmp_path: Any) -> Iterator[Connection]:
    import shutil

    from tests import cast

    db = billing_db.connect(str(shutil.copy(template_of("sqlite"), tmp_path / "only.db")))
    cast.enter(db)
    yield db
    db.close()


REPLACE = (
    "INSERT OR REPLACE INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')"
)


def test_insert_or_replace_takes_back_the_row_that_it_replaces(on_sqlite: Connection) -> None:
    db = on_sqlite
    insert(db, "consumption_log", log(api_calls=10), log(2, api_calls=3))
    change(db, REPLACE)
    assert months(db) == {"2026-05": 4}
    change(db, "REPLACE INTO consumption_log (id, user_id, date, api_calls) VALUES (2, 1, '2026-04-01', 6)")
    assert counters(db) == {
        (1, "api_calls", "2026-05"): 4,
        (1, "api_calls", "2026-04"): 6,
        (2, "api_calls", "2026-05"): 0,
    }


def test_an_outer_or_replace_does_not_reset_the_counter(on_sqlite: Connection) -> None:
    """SQLite carries the outer statement's conflict clause into its triggers."""
    db = on_sqlite
    insert(db, "consumption_log", log(api_calls=10))
    change(db, REPLACE.replace("'2026-05-01'", "'2026-05-02'"))
    change(db, REPLACE.replace("'2026-05-01'", "'2026-05-03'").replace("REPLACE", "IGNORE"))
    assert months(db) == {"2026-05": 18}


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


# -- the history ---------------------------------------------------------------------------------------


def history(db: Connection, subject: str = "subscription") -> list[tuple[Any, ...]]:
    return rows(
        db,
        """SELECT plan, status, at, actor, reason FROM billing_status_history
            WHERE subject = :subject ORDER BY id""",
        subject=subject,
    )


EVER = "0001-01-01T00:00:00Z"


def test_the_first_three_value_row_holds_since_ever_and_the_next_one_from_its_making(
    db: Connection, alice: Person, bob: Person
) -> None:
    alice.is_on("premium")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2026-05-10T00:00:00Z'")
    alice.is_on("pro", created_at="2026-05-11T00:00:00Z")
    bob.is_on("pro")
    assert history(db) == [
        ("premium", "active", EVER, None, None),
        ("premium", "canceled", "2026-05-10T00:00:00Z", None, None),
        ("pro", "active", "2026-05-11T00:00:00Z", None, None),
        ("pro", "active", EVER, None, None),
    ]


def test_a_row_that_says_since_when_holds_from_then(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z", changed_by="ada", change_reason="gift")
    assert history(db) == [("pro", "active", "2026-05-01T00:00:00Z", "ada", "gift")]


def test_a_signed_change_says_when_by_whom_and_why(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z")
    change(
        db,
        """UPDATE saas_subscriptions SET plan = 'premium', changed_at = '2026-05-09T00:00:00Z', changed_by = 'ada',
                  change_reason = 'asked'""",
    )
    assert history(db)[1:] == [("premium", "active", "2026-05-09T00:00:00Z", "ada", "asked")]


def test_a_change_in_the_second_of_the_making_is_signed_too_and_the_signature_is_used_once(
    db: Connection, alice: Person
) -> None:
    made = "2026-05-01T00:00:00Z"
    alice.is_on("pro", effective_at=made, created_at=made, updated_at=made, changed_at=made, changed_by="ada")
    signed = f"changed_at = '{made}', changed_by = 'bob', change_reason = 'at once'"
    change(db, f"UPDATE saas_subscriptions SET plan = 'premium', {signed}")
    assert history(db)[1:] == [("premium", "active", made, "bob", "at once")]
    assert rows(db, "SELECT changed_at FROM saas_subscriptions") == [(None,)]
    change(db, "UPDATE saas_subscriptions SET plan = 'free'")
    assert history(db)[-1][3:] == (None, None)


def test_a_change_before_the_beginning_is_noted_at_the_beginning(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2099-06-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2099-05-20T00:00:00Z'")
    assert history(db)[1:] == [("pro", "canceled", "2099-06-01T00:00:00Z", None, None)]
    change(db, "UPDATE saas_subscriptions SET status = 'active'")
    change(db, "DELETE FROM saas_subscriptions")
    assert [row[1:3] for row in history(db)[2:]] == [
        ("active", "2099-06-01T00:00:00Z"), ("canceled", "2099-06-01T00:00:00Z"),
    ]  # fmt: skip


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


def test_another_programs_change_is_noted_now_and_never_signed_with_an_old_name(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z", changed_by="ada", change_reason="gift")
    change(db, "UPDATE saas_subscriptions SET plan = 'premium'")
    change(db, "UPDATE saas_subscriptions SET status = 'past_due'")
    (_, first, second) = history(db)
    assert (first[:2], first[3:]) == (("premium", "active"), (None, None))
    assert (second[:2], second[3:]) == (("premium", "past_due"), (None, None))
    assert "2026-05-01T00:00:00Z" < first[2] <= second[2]


def test_only_a_change_of_plan_or_status_is_noted(db: Connection, alice: Person) -> None:
    alice.is_on("pro")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro', status = 'active', trial_end = '2026-06-01T00:00:00Z'")
    assert len(history(db)) == 1
    change(db, "UPDATE saas_subscriptions SET plan = NULL")
    change(db, "UPDATE saas_subscriptions SET plan = NULL")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro'")
    assert [row[0] for row in history(db)] == ["pro", None, "pro"]


@pytest.mark.parametrize(("status", "noted"), [("active", 2), ("unpaid", 2), ("paused", 2), ("canceled", 1)])
def test_a_row_that_is_deleted_has_ended(db: Connection, alice: Person, status: str, noted: int) -> None:
    alice.is_on("pro", status)
    change(db, "DELETE FROM saas_subscriptions")
    assert len(history(db)) == noted
    assert history(db)[-1][:2] == ("pro", "canceled")


def test_the_states_of_an_invoice_are_noted(db: Connection) -> None:
    insert(db, "invoices", invoice(created_at="2026-06-01T00:00:00Z"))
    change(db, "UPDATE invoices SET pdf_path = 'a.pdf'")
    change(db, "UPDATE invoices SET status = 'paid', changed_at = '2026-06-03T00:00:00Z'")
    change(db, "UPDATE invoices SET status = 'paid'")
    change(db, "UPDATE invoices SET status = 'refunded'")
    noted = history(db, "invoice")
    assert [row[:2] for row in noted] == [("pro", "pending"), ("pro", "paid"), ("pro", "refunded")]
    assert [row[2] for row in noted[:2]] == ["2026-06-01T00:00:00Z", "2026-06-03T00:00:00Z"]


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
