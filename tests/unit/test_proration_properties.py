"""Of any changes in a period: nothing is lost, nothing is given back that was not charged."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from turf_saas.periods import Period, first_period, seconds_between
from turf_saas.proration import cancel_now, change_interval, change_plan, fee_of

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
bounded = hypothesis.settings(max_examples=300, deadline=None)

PRICES = st.integers(0, 2_000_000)  # below the seconds of a month, so that a second is never worth a cent
PERIODS = st.builds(
    first_period,
    st.sampled_from(["calendar", "anniversary"]),
    st.sampled_from(["month", "year"]),
    st.dates(date(1990, 1, 1), date(2080, 1, 1)),
    st.just(UTC),
)


@st.composite
def instants(draw: Any, period: Period, count: int) -> list[datetime]:
    seconds = draw(st.lists(st.integers(0, period.seconds), min_size=count, max_size=count))
    return [period.start + timedelta(seconds=second) for second in sorted(seconds)]


@bounded
@hypothesis.given(st.data(), PERIODS, PRICES, PRICES)
def test_old_and_new_cost_their_own_parts_of_the_period(data: Any, period: Period, old: int, new: int) -> None:
    (at,) = data.draw(instants(period, 1))
    fee = fee_of(period, old)
    found = change_plan(period, at, old_cents=old, new_cents=new, left_cents=fee)
    whole = period.nominal.seconds
    exact = Fraction(old * seconds_between(period.start, at) + new * seconds_between(at, period.end), whole)
    assert abs(fee + found.net_cents - exact) <= Fraction(3, 2)  # the fee, the credit and the charge, each rounded
    assert 0 <= found.credit_cents <= fee


@bounded
@hypothesis.given(st.data(), PERIODS, PRICES, PRICES)
def test_there_and_back_at_once_is_nothing_and_within_a_second_a_cent(
    data: Any, period: Period, old: int, new: int
) -> None:
    (at,) = data.draw(instants(period, 1))
    hypothesis.assume(at < period.end)
    fee = fee_of(period, old)
    there = change_plan(period, at, old_cents=old, new_cents=new, left_cents=fee)
    left = fee + there.net_cents
    for later, most in ((at, 0), (at + timedelta(seconds=1), 1)):
        back = change_plan(period, later, old_cents=new, new_cents=old, left_cents=left)
        assert abs(there.net_cents + back.net_cents) <= most


STEPS = ("prorated", "prorated", "without proration", "cancelled", "another interval")


@bounded
@hypothesis.given(st.data(), PERIODS, PRICES, st.lists(st.tuples(PRICES, st.sampled_from(STEPS)), max_size=8))
def test_no_sequence_of_changes_gives_back_more_than_was_charged(
    data: Any, period: Period, price: int, changes: list[tuple[int, str]]
) -> None:
    charged, credited = fee_of(period, price), 0
    for at, (new, how) in zip(data.draw(instants(period, len(changes))), changes, strict=True):
        left = charged - credited
        if how == "prorated":
            found = change_plan(period, at, old_cents=price, new_cents=new, left_cents=left)
        elif how == "cancelled":
            found = cancel_now(period, at, old_cents=price, left_cents=left)
        elif how == "another interval":
            found = change_interval(period, at, old_cents=price, left_cents=left, new_fee_cents=0)
        else:
            price = new  # in force at once, charged from the next period on
            continue
        charged, credited, price = charged + found.charge_cents, credited + found.credit_cents, new
        assert found.credit_cents >= 0 <= found.charge_cents
        assert credited <= charged
        if how in ("cancelled", "another interval"):
            break


@bounded
@hypothesis.given(st.data(), PERIODS, st.lists(PRICES, min_size=1, max_size=6))
def test_a_chain_of_changes_costs_each_price_for_its_time(data: Any, period: Period, prices: list[int]) -> None:
    times = [*data.draw(instants(period, len(prices) - 1)), period.end]
    total = left = fee_of(period, prices[0])
    for at, old, new in zip(times, prices, prices[1:], strict=False):
        found = change_plan(period, at, old_cents=old, new_cents=new, left_cents=left)
        total += found.net_cents
        left += found.net_cents
    exact, former = Fraction(0), period.start
    for at, price in zip(times, prices, strict=True):
        exact += Fraction(price * seconds_between(former, at), period.nominal.seconds)
        former = at
    assert abs(total - exact) <= Fraction(2 * len(prices) - 1, 2)
