"""A month on several plans, from what the tables say: premium 3000 calls at a cent, pro 30 000 at half a cent."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing_db import Connection
from tests.cast import Person
from tests.domain.tables import change as change_row
from turf_saas import catalogue
from turf_saas.month_rating import rate_month
from turf_saas.prices import Price
from turf_saas.rollover import advance_due
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import Subscription, find_live
from turf_saas.users import User
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
MAY = Month(2026, 5)


def at(day: int, hour: int = 0, month: int = 5) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def begin(db: Connection, person: Person, plan: str, now: datetime, **given: object) -> Subscription:
    return subscribe(db, now, SETTINGS, User(person.id, person.tenant_id, "user"), plan, **given)  # type: ignore[arg-type]


def change(db: Connection, now: datetime, seen: Subscription, plan: str) -> Subscription:
    return change_plan(db, now, SETTINGS, seen, Wish(plan, "now"), is_admin=True).subscription


def lines(db: Connection, person: Person, month: Month = MAY) -> list[tuple[str, str, int, int]]:
    found = rate_month(db, SETTINGS, person.id, month).lines
    return [(line.plan, line.metric, int(line.charge.quantity), line.charge.amount_cents) for line in found]


def days(db: Connection, person: Person, month: Month = MAY) -> list[tuple[str, int, int, bool]]:
    found = rate_month(db, SETTINGS, person.id, month).segments
    return [(one.plan, one.first_day.day, one.last_day.day, one.billed) for one in found]


def test_an_upgrade_in_the_month_gives_one_allowance(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "premium", at(1))
    change(db, at(15, 12), begun, "pro")
    alice.has_used(3_100, day="2026-05-10")
    alice.has_used(27_000, day="2026-05-15")
    assert days(db, alice) == [("premium", 1, 14, True), ("pro", 15, 31, True)]
    # 100 over premium's 3000 at 1.00; pro's 30 000 less 3 100 leave 26 900, 100 over at 0.50
    assert lines(db, alice) == [("premium", "api_calls", 100, 100), ("pro", "api_calls", 100, 50)]


def test_there_and_back_adds_a_plans_days(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "premium", at(1))
    pro = change(db, at(10), begun, "pro")
    change(db, at(20), pro, "premium")
    for day, calls in (("2026-05-05", 3_010), ("2026-05-15", 5), ("2026-05-25", 15)):
        alice.has_used(calls, day=day)
    assert lines(db, alice) == [("premium", "api_calls", 25, 25)]  # 10 + 15


def test_days_of_nobody_are_the_default_plans_and_use_up_the_allowance(db: Connection, alice: Person) -> None:
    alice.has_used(2_950, day="2026-05-03")
    begin(db, alice, "premium", at(10, 9))
    alice.has_used(60, day="2026-05-10")
    assert days(db, alice) == [("free", 1, 9, True), ("premium", 10, 31, True)]
    assert lines(db, alice) == [("premium", "api_calls", 10, 10)]


def test_cancelled_and_back_in_the_month_there_is_no_second_allowance(db: Connection, alice: Person) -> None:
    cancel(db, at(8), SETTINGS, begin(db, alice, "premium", at(1)), when="now")
    begin(db, alice, "premium", at(20))
    alice.has_used(3_000, day="2026-05-02")
    alice.has_used(200, day="2026-05-12")  # on the default plan: hard, and without prices
    alice.has_used(7, day="2026-05-21")
    assert days(db, alice) == [("premium", 1, 7, True), ("free", 8, 19, True), ("premium", 20, 31, True)]
    assert lines(db, alice) == [("premium", "api_calls", 7, 7)]


def test_the_day_of_the_end_still_belongs_to_the_plan_with_prices(db: Connection, alice: Person) -> None:
    cancel(db, at(8, 13), SETTINGS, begin(db, alice, "premium", at(1)), when="now")
    assert days(db, alice) == [("premium", 1, 8, True), ("free", 9, 31, True)]


def test_trial_days_are_never_billed_and_use_up_what_is_included(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(1), trial_days=9)
    advance_due(db, at(20), SETTINGS)
    alice.has_used(5_000, day="2026-05-09")
    alice.has_used(3, day="2026-05-10")
    assert days(db, alice) == [("premium", 1, 9, False), ("premium", 10, 31, True)]
    assert lines(db, alice) == [("premium", "api_calls", 3, 3)]


def test_two_versions_of_a_plan_are_rated_by_their_own_prices(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "premium", at(1))
    dearer = Price("api_calls", "flat", unit_amount=Decimal("0.02"))
    catalogue.edit_plan(db, at(2), 1, "premium", {"prices": (dearer,)})
    alice.has_used(3_100, day="2026-05-05")
    assert lines(db, alice) == [("premium", "api_calls", 100, 100)]  # who is on it keeps his price
    change(db, at(10), begun, "premium")
    alice.has_used(100, day="2026-05-11")
    assert lines(db, alice) == [("premium", "api_calls", 100, 100), ("premium", "api_calls", 100, 200)]


def test_what_another_program_wrote_is_rated_from_its_effective_at_on(db: Connection, alice: Person) -> None:
    """Until then the row only says which plan he is on: what is used then uses up what is included."""
    alice.is_on("premium")
    alice.has_used(3_001)
    assert (days(db, alice), lines(db, alice)) == ([("premium", 1, 31, False)], [])
    change_row(db, "UPDATE saas_subscriptions SET effective_at = '2026-05-16T00:00:00Z'")
    alice.has_used(7, day="2026-05-16")
    assert days(db, alice) == [("premium", 1, 15, False), ("premium", 16, 31, True)]
    assert lines(db, alice) == [("premium", "api_calls", 7, 7)]


@pytest.mark.parametrize("calls", [300, 301, 10**15])
def test_the_default_plan_has_no_prices(db: Connection, alice: Person, calls: int) -> None:
    alice.has_used(calls)
    assert (lines(db, alice), find_live(db, alice.id)) == ([], None)
