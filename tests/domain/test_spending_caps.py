"""What a user lets overage cost. Premium includes 3000 calls, one more costs a cent; 1000 tokens past a million too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_db import Connection, fetch_all
from tests.cast import Cast, Person
from tests.starters import terms_of_starter
from turf_saas import admission, quotas, spending_caps
from turf_saas.admission import QuotaExceeded, Terms
from turf_saas.settings import Settings, read_settings
from turf_saas.spending_caps import Spending, spending_of
from turf_saas.users import User

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
SETTINGS = read_settings({"TURF_SAAS_DB": "."})
MOST = 2**53


def user(person: Person) -> User:
    return User(person.id, person.tenant_id, "user")


def spending(db: Connection, person: Person) -> Spending:
    return quotas.get_quotas(db, NOW, SETTINGS, person.id).spending


# used calls, held calls, used tokens, cap, overage in cents, whether the cap is reached
TABLE = [
    (0, 0, 0, None, 0, False),
    (3_100, 0, 0, None, 100, False),
    (3_099, 0, 0, 100, 99, False),
    (3_100, 0, 0, 100, 100, True),
    (3_101, 0, 0, 100, 101, True),
    (3_050, 49, 0, 100, 50, False),  # the hundredth cent is free yet
    (3_050, 50, 0, 100, 50, True),  # what is held is spoken for, but not spent
    (0, 0, 0, 0, 0, False),
    (2_999, 0, 0, 0, 0, False),
    (3_000, 0, 0, 0, 0, True),  # the next call would cost a cent
    (3_000, 0, 1_000_499, 0, 0, True),
    (0, 0, 1_000_498, 0, 0, False),  # 0.499 of a cent with the next one
    (0, 0, 1_000_499, 0, 0, True),  # 500 tokens are half a cent, which is rounded up
    (0, 0, 1_000_500, 0, 1, True),
    (3_007, 0, 1_012_000, 500, 19, False),  # 7 + 12
]


@pytest.mark.parametrize(("calls", "held", "tokens", "cap", "overage", "reached"), TABLE)
def test_cents_are_counted_past_what_is_included(
    calls: int, held: int, tokens: int, cap: int | None, overage: int, reached: bool
) -> None:
    counters = {"api_calls": (calls, held), "tokens": (tokens, 0)}
    assert spending_of(SETTINGS, terms_of_starter("premium"), counters, cap) == Spending(cap, overage, reached)


def test_a_plan_without_prices_costs_nothing_more() -> None:
    assert spending_of(SETTINGS, terms_of_starter("free"), {"api_calls": (9_999, 0)}, 0) == Spending(
        0, 0, reached=False
    )


@pytest.mark.parametrize("cents", [0, 1, MOST])
def test_a_cap_is_kept_replaced_and_taken_away(db: Connection, people: Cast, cents: int) -> None:
    for amount in (77, cents):
        spending_caps.set_cap(db, NOW, user(people.charlie), amount)
        assert spending(db, people.charlie).cap_cents == amount
    [row] = fetch_all(db, "SELECT user_id, tenant_id FROM billing_spending_caps")
    assert (row["user_id"], row["tenant_id"]) == (people.charlie.id, people.charlie.tenant_id)
    assert spending(db, people.alice).cap_cents is None
    for _ in range(2):
        spending_caps.set_cap(db, NOW, user(people.charlie), None)
        assert spending(db, people.charlie).cap_cents is None


@pytest.mark.parametrize("decide", [admission.spend, admission.reserve])
@pytest.mark.parametrize(("used", "admitted"), [(3_098, True), (3_099, True), (3_100, False)])
def test_one_call_more_may_cost_the_cap_and_not_a_cent_above_it(
    db: Connection, alice: Person, decide: Callable[..., Any], used: int, admitted: bool
) -> None:
    alice.is_on("premium")
    alice.has_used(used)
    spending_caps.set_cap(db, NOW, user(alice), 100)
    before = quotas.get_quotas(db, NOW, SETTINGS, alice.id)
    if admitted:
        decide(db, NOW, SETTINGS, user(alice), "api_calls", 1)
        return
    with pytest.raises(QuotaExceeded) as refused:
        decide(db, NOW, SETTINGS, user(alice), "api_calls", 1)
    assert (refused.value.code, refused.value.limit, refused.value.used) == ("spending_cap_reached", 100, 100)
    assert quotas.get_quotas(db, NOW, SETTINGS, alice.id) == before


def test_a_held_quantity_is_spoken_for_until_its_time_is_over(db: Connection, alice: Person, url: str) -> None:
    settings: Settings = read_settings({"TURF_SAAS_DB": url})
    alice.is_on("premium")
    alice.has_used(3_000)
    spending_caps.set_cap(db, NOW, user(alice), 10)
    admission.reserve(db, NOW, settings, user(alice), "api_calls", 10)
    with pytest.raises(QuotaExceeded):
        admission.reserve(db, NOW, settings, user(alice), "tokens", 1_001_000)
    later = NOW.replace(minute=15)
    admission.reserve(db, later, settings, user(alice), "tokens", 1_001_000)  # one cent


def test_a_cap_costs_nobody_what_is_included(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    spending_caps.set_cap(db, NOW, user(alice), 0)
    admission.spend(db, NOW, SETTINGS, user(alice), "api_calls", 3_000)
    with pytest.raises(QuotaExceeded):
        admission.spend(db, NOW, SETTINGS, user(alice), "api_calls", 1)


def test_a_cap_lasts_to_the_months_end_whatever_the_windows_of_limits(db: Connection, alice: Person) -> None:
    alice.is_on("premium")
    alice.has_used(3_000)
    spending_caps.set_cap(db, NOW, user(alice), 0)
    of_the_day = Terms(limit=5_000, window="day")
    with pytest.raises(QuotaExceeded) as refused:
        admission.spend(db, NOW, SETTINGS, user(alice), "api_calls", 1, terms=of_the_day)
    month_ends = datetime(2026, 6, 1, tzinfo=UTC)
    assert refused.value.resets_in_seconds == (month_ends - NOW).total_seconds()
