"""Three-value rows begin to be billed: who, from when, and what the history says of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast, Person
from turf_saas import catalogue
from turf_saas.adopting_subscribers import Adopted, adopt_subscribers
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import InvalidInput
from turf_saas.month_rating import list_changes
from turf_saas.quotas import get_consumption
from turf_saas.rollover import advance_due
from turf_saas.settings import Settings, read_settings
from turf_saas.subscriptions import find_live
from turf_saas.values import Month

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
PARIS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": "Europe/Paris"})
FIRST_OF_MAY = date(2026, 5, 1)


def adopt(
    db: Connection, day: date = FIRST_OF_MAY, settings: Settings = SETTINGS, now: datetime = NOW, **given: Any
) -> Adopted:
    return adopt_subscribers(db, now, settings, 1, day, by="cli", **given)


def change(db: Connection, sql: str, **params: Any) -> None:
    with atomic(db):
        execute(db, sql, **params)


def fees(db: Connection) -> list[tuple[Any, ...]]:
    rows = fetch_all(db, "SELECT user_id, starts_at, ends_at, fee_cents FROM billing_periods ORDER BY id")
    return [(row["user_id"], row["starts_at"], row["ends_at"], row["fee_cents"]) for row in rows]


def since(db: Connection) -> dict[int, str | None]:
    rows = fetch_all(db, "SELECT user_id, effective_at FROM saas_subscriptions ORDER BY user_id")
    return {row["user_id"]: row["effective_at"] for row in rows}


def test_they_are_billed_from_that_day_on_and_keep_their_plan(db: Connection, alice: Person, bob: Person) -> None:
    alice.is_on("premium")
    bob.is_on("pro", "past_due")
    assert adopt(db) == Adopted("2026-05-01T00:00:00Z", {"premium": 1, "pro": 1}, {})
    assert since(db) == {1: "2026-05-01T00:00:00Z", 2: "2026-05-01T00:00:00Z"}
    assert advance_due(db, NOW, SETTINGS).done == 2
    assert fees(db) == [
        (1, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", 1_900),
        (2, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", 4_900),
    ]
    for month in (None, Month.parse("2026-04"), Month.parse("2025-01")):
        assert get_consumption(db, NOW, SETTINGS, alice.id, month).plan == "premium"
    assert [(found.at, found.plan, found.status, found.actor, found.reason) for found in list_changes(db, [1])[1]][
        :2
    ] == [
        ("0001-01-01T00:00:00Z", "premium", "active", None, None),
        ("2026-05-01T00:00:00Z", "premium", "active", "cli", "adopted"),
    ]


def test_a_day_in_the_middle_of_a_month_makes_a_short_first_period(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    adopt(db, date(2026, 5, 17))  # 15 days of 31: 1900 x 15 / 31 = 919.35…
    advance_due(db, NOW, SETTINGS)
    assert fees(db) == [(1, "2026-05-17T00:00:00Z", "2026-06-01T00:00:00Z", 919)]


def test_each_month_since_a_day_in_the_past_is_billed(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    adopt(db, date(2026, 3, 1))
    advance_due(db, NOW, SETTINGS)
    assert [fee for _, _, _, fee in fees(db)] == [1_900, 1_900, 1_900]


def test_the_day_begins_where_the_seller_is(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    assert adopt(db, settings=PARIS).effective_at == "2026-04-30T22:00:00Z"


def test_today_is_the_last_day_that_can_be_said(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    evening = datetime(2026, 5, 20, 22, 30, tzinfo=UTC)  # in Paris it is the 21st
    with pytest.raises(InvalidInput, match="adopted_in_future"):
        adopt(db, date(2026, 5, 21), now=evening)
    assert adopt(db, date(2026, 5, 21), PARIS, evening).total == 1
    with pytest.raises(InvalidInput, match="adopted_in_future"):
        adopt(db, date(9999, 12, 31))


def test_ten_years_back_is_the_first_day_that_can_be_said(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    for day in (date(1, 1, 1), date(2016, 5, 11)):
        with pytest.raises(InvalidInput, match="adopted_too_early"):
            adopt(db, day)
    assert since(db) == {1: None}
    assert adopt(db, date(2016, 5, 12)).total == 1  # 3660 days before 20 May 2026


@pytest.mark.parametrize(
    ("plan", "status", "columns", "reason"),
    [
        ("free", "active", {}, "plan_is_free"),
        ("platinum", "active", {}, "plan_unknown"),
        (None, "active", {}, "plan_unknown"),
        ("premium", "trialing", {}, "trialing"),
        ("premium", "unpaid", {}, "unpaid"),
        ("premium", "active", {"billed_by": "stripe"}, "stripe"),
        ("premium", "active", {"stripe_subscription_id": "sub_1"}, "stripe"),
        ("premium", "canceled", {}, None),
        ("premium", "incomplete", {}, None),
        ("premium", "active", {"effective_at": "2026-02-01T00:00:00Z"}, None),
    ],
)
def test_who_is_left_out_and_why(
    db: Connection, alice: Person, plan: str | None, status: str, columns: dict[str, str], reason: str | None
) -> None:
    alice.is_on(plan, status, **columns)
    before = since(db)
    assert adopt(db) == Adopted("2026-05-01T00:00:00Z", {}, {reason: 1} if reason else {})
    assert since(db) == before


def test_a_plan_without_a_fee_whose_usage_has_a_price_is_billed(db: Connection, alice: Person) -> None:
    prices = catalogue.get_plan(db, 1, "premium").terms.prices
    catalogue.create_plan(db, NOW, 1, PlanDraft("metered", "Metered", 0, "EUR", prices=prices))
    alice.is_on("metered")
    assert adopt(db).plans == {"metered": 1}


def test_who_was_on_another_plan_that_day_is_left_out(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro', changed_at = '2026-05-10T00:00:00Z'")
    assert adopt(db).left_out == {"changed_since": 1}
    assert adopt(db, date(2026, 5, 10)).plans == {"pro": 1}


def test_who_had_another_subscription_that_day_is_left_out(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-01-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2026-05-10T00:00:00Z'")
    alice.is_on("premium", created_at="2026-05-12T00:00:00Z")
    assert adopt(db).left_out == {"changed_since": 1}
    assert adopt(db, date(2026, 5, 12)).plans == {"premium": 1}


def test_an_edit_of_the_plan_since_that_day_leaves_nobody_out_and_the_old_price_holds(
    db: Connection, alice: Person
) -> None:
    alice.is_on("premium")
    catalogue.edit_plan(db, datetime(2026, 5, 10, tzinfo=UTC), 1, "premium", {"amount_cents": 9_900})
    assert adopt(db).plans == {"premium": 1}
    advance_due(db, NOW, SETTINGS)
    assert [fee for _, _, _, fee in fees(db)] == [1_900]


def test_who_has_paid_in_another_currency_is_left_out(db: Connection, alice: Person) -> None:
    catalogue.create_plan(db, NOW, 1, PlanDraft("dollars", "Dollars", 500, "USD"))
    alice.is_on("dollars")
    adopt(db, date(2026, 1, 1))
    advance_due(db, NOW, SETTINGS)
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2026-02-01T00:00:00Z'")
    alice.is_on("premium", created_at="2026-02-02T00:00:00Z")
    assert adopt(db).left_out == {"other_currency": 1}


def test_a_time_that_was_paid_is_not_billed_again(db: Connection, alice: Person) -> None:
    alice.is_on("pro")
    adopt(db)
    advance_due(db, NOW, SETTINGS)  # May is paid
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2026-05-10T00:00:00Z'")
    alice.is_on("premium", created_at="2026-05-12T00:00:00Z")
    assert adopt(db, date(2026, 5, 12)).left_out == {"paid_already": 1}
    june = datetime(2026, 6, 2, 10, 0, tzinfo=UTC)
    assert adopt(db, date(2026, 5, 31), now=june).left_out == {"paid_already": 1}
    assert adopt(db, date(2026, 6, 1), now=june).plans == {"premium": 1}


def test_only_one_plan_when_it_is_named_and_a_second_time_nobody(db: Connection, alice: Person, bob: Person) -> None:
    alice.is_on("premium")
    bob.is_on("pro")
    assert adopt(db, plan="pro").plans == {"pro": 1}
    assert since(db) == {1: None, 2: "2026-05-01T00:00:00Z"}
    assert adopt(db, plan="pro").total == 0
    assert adopt(db).plans == {"premium": 1}


def test_another_tenants_subscribers_are_left_alone(db: Connection, people: Cast) -> None:
    people.charlie.is_on("premium")
    assert adopt(db) == Adopted("2026-05-01T00:00:00Z", {}, {})
    assert since(db) == {3: None}


def test_who_changes_a_subscription_that_he_saw_before_is_told(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    before = find_live(db, alice.id)
    adopt(db)
    after = find_live(db, alice.id)
    assert before is not None
    assert after is not None
    assert after.revision == before.revision + 1
