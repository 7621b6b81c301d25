"""Which plan judges a month: now by the live subscription, in the past by the one in force at the month's end."""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_db import Connection, atomic, execute
from tests.cast import Person
from turf_saas.quotas import get_consumption
from turf_saas.settings import read_settings
from turf_saas.values import Month

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


def plan_of(db: Connection, person: Person, month: str | None = None, now: datetime = NOW, **given: Any) -> str:
    settings = read_settings({"TURF_SAAS_DB": "unused", **given})
    parsed = Month.parse(month) if month else None
    return get_consumption(db, now, settings, person.id, parsed).plan


def change(db: Connection, person: Person, at: str, **columns: str) -> None:
    """A change that says when it was, as the domain's own changes do."""
    pairs = ", ".join(f"{name} = :{name}" for name in columns)
    with atomic(db):
        execute(
            db,
            f"UPDATE saas_subscriptions SET {pairs}, changed_at = :at WHERE user_id = :user_id",
            at=at,
            user_id=person.id,
            **columns,
        )


@pytest.mark.parametrize(
    ("status", "plan"),
    [
        ("trialing", "pro"), ("active", "pro"), ("past_due", "pro"),
        ("unpaid", "free"), ("canceled", "free"), ("incomplete", "free"), ("paused", "free"),
    ],
)  # fmt: skip
def test_the_status_decides_whether_the_plan_counts(db: Connection, alice: Person, status: str, plan: str) -> None:
    alice.is_on("pro", status)
    assert plan_of(db, alice) == plan
    assert plan_of(db, alice, "2026-04") == plan


def test_nobodys_plan_is_the_default_one(db: Connection, alice: Person) -> None:
    assert plan_of(db, alice) == "free"
    assert plan_of(db, alice, BILLING_DEFAULT_PLAN="premium") == "premium"


def test_a_null_plan_is_the_default_one(db: Connection, alice: Person) -> None:
    alice.is_on(None)
    assert plan_of(db, alice) == "free"
    assert plan_of(db, alice, "2026-04") == "free"


def test_an_unknown_plan_keeps_its_name_has_the_default_limits_and_is_logged_once(
    db: Connection, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"platine-{uuid.uuid4().hex[:8]}"
    alice.is_on(name)
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_LIMIT_FREE_API_CALLS": 7})
    with caplog.at_level(logging.WARNING, "turf_saas.billing"):
        first = get_consumption(db, NOW, settings, alice.id)
        get_consumption(db, NOW, settings, alice.id)
    assert (first.plan, first.gauges[0].limit) == (name, 7)
    assert [name in record.getMessage() for record in caplog.records] == [True]


def test_a_three_value_row_holds_since_ever(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    assert plan_of(db, alice, "2019-02") == "premium"


def test_a_subscription_that_begins_later_does_not_count_yet(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-20T10:00:01Z")
    assert plan_of(db, alice) == "free"
    assert plan_of(db, alice, now=NOW.replace(second=1)) == "pro"


@pytest.mark.parametrize(
    ("began", "plan"),
    [("2026-04-30T23:59:59Z", "pro"), ("2026-05-01T00:00:00Z", "free")],
)
def test_a_month_ends_just_before_the_next_begins(db: Connection, alice: Person, began: str, plan: str) -> None:
    alice.is_on("pro", effective_at=began)
    assert plan_of(db, alice, "2026-04") == plan


def test_the_months_end_is_local(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-04-30T22:00:00Z")  # midnight of 1 May in Paris
    assert plan_of(db, alice, "2026-04") == "pro"
    assert plan_of(db, alice, "2026-04", BILLING_TIMEZONE="Europe/Paris") == "free"


def test_a_past_month_keeps_the_plan_it_ended_with(db: Connection, alice: Person) -> None:
    alice.is_on("premium", effective_at="2026-01-10T00:00:00Z")
    change(db, alice, "2026-03-31T12:00:00Z", plan="pro")
    change(db, alice, "2026-04-15T00:00:00Z", plan="premium")
    change(db, alice, "2026-05-02T00:00:00Z", status="canceled")
    months = ["2025-12", "2026-01", "2026-02", "2026-03", "2026-04"]
    assert [plan_of(db, alice, month) for month in months] == ["free", "premium", "premium", "pro", "premium"]
    assert plan_of(db, alice) == "free"


def test_a_second_subscription_does_not_rewrite_the_months_of_the_first(db: Connection, alice: Person) -> None:
    alice.is_on("premium", effective_at="2026-01-01T00:00:00Z")
    change(db, alice, "2026-03-10T00:00:00Z", status="canceled")
    alice.is_on("pro", effective_at="2026-04-10T00:00:00Z")
    months = ["2026-02", "2026-03", "2026-04"]
    assert [plan_of(db, alice, month) for month in months] == ["premium", "free", "pro"]


def test_touching_an_ended_subscription_does_not_hide_the_live_one(db: Connection, alice: Person) -> None:
    alice.is_on("premium", "canceled", effective_at="2026-01-01T00:00:00Z")
    alice.is_on("pro", effective_at="2026-02-01T00:00:00Z")
    with atomic(db):
        execute(
            db, "UPDATE saas_subscriptions SET plan = 'old', changed_at = '2026-03-01T00:00:00Z' WHERE plan = 'premium'"
        )
    assert plan_of(db, alice, "2026-03") == "pro"


def test_what_is_canceled_before_it_begins_never_counts(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-06-01T00:00:00Z")
    change(db, alice, "2026-05-20T09:00:00Z", status="canceled")
    assert plan_of(db, alice, "2026-06", now=datetime(2026, 8, 1, tzinfo=UTC)) == "free"


def test_a_month_to_come_is_judged_by_todays_plan(db: Connection, alice: Person) -> None:
    alice.is_on("pro")
    assert plan_of(db, alice, "2027-01") == "pro"


def test_a_row_replaced_behind_the_triggers_back_does_not_hold_for_ever(db: Connection, alice: Person) -> None:
    """As by another program's INSERT OR REPLACE, which tells SQLite's delete triggers nothing."""
    alice.is_on("pro", effective_at="2026-01-01T00:00:00Z")
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_status_history (user_id, subject, subject_id, plan, status, at) VALUES
               (1, 'subscription', 77, 'premium', 'active', '2026-02-10T00:00:00Z'),
               (1, 'subscription', 77, 'premium', 'canceled', '2026-03-10T00:00:00Z')""",
        )
    assert [plan_of(db, alice, month) for month in ("2026-01", "2026-02", "2026-03")] == ["pro", "premium", "free"]
