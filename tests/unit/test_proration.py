"""What a change in the middle of a period gives back and charges: every number is worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.cases import cases
from turf_saas.money import share, to_cents
from turf_saas.periods import Period, first_period, start_of_day
from turf_saas.proration import Proration, cancel_now, capped_credit, change_interval, change_plan, fee_of
from turf_saas.values import parse_instant

JANUARY = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
NOON_OF_THE_15TH = datetime(2026, 1, 15, 12, tzinfo=UTC)


def changed(at: datetime, old: int, new: int, left: int | None = None, period: Period = JANUARY) -> Proration:
    return change_plan(period, at, old_cents=old, new_cents=new, left_cents=old if left is None else left)


def numbers(proration: Proration) -> tuple[int, int, int]:
    return proration.credit_cents, proration.charge_cents, proration.net_cents


# -- what others found --------------------------------------------------------------------------------


def its_period(given: dict[str, Any]) -> Period:
    return Period(datetime.fromisoformat(given["period_start"]), datetime.fromisoformat(given["period_end"]))


@pytest.mark.parametrize(
    "case", [case for case in cases("proration") if "new_cents" in case["inputs"]], ids=lambda case: case["id"]
)
def test_changes_as_others_have_them(case: dict[str, Any]) -> None:
    given, period = case["inputs"], its_period(case["inputs"])
    at, old, new = datetime.fromisoformat(given["change_at"]), given["old_cents"], given["new_cents"]
    if given["interval_change"]:
        found = change_interval(period, at, old_cents=old, left_cents=old, new_fee_cents=new)
    else:
        found = changed(at, old, new, period=period)
    expected = case["expected"]
    assert numbers(found) == (expected["credit_cents"], expected["charge_cents"], expected["net_cents"])


def test_a_month_with_an_hour_less_is_shared_by_its_seconds() -> None:
    case = next(case for case in cases("proration") if case["id"] == "pr-dst-spring")
    given, period = case["inputs"], its_period(case["inputs"])
    assert period.seconds == case["expected"]["seconds_in_period"]
    at, old = datetime.fromisoformat(given["change_at"]), given["old_cents"]
    credit = cancel_now(period, at, old_cents=old, left_cents=old).credit_cents
    assert credit == case["expected"]["credit_cents"] != case["expected"]["wrong_by_local_day"]


def test_a_part_of_a_period_costs_its_part_of_the_fee() -> None:
    case = next(case for case in cases("proration") if case["id"] == "pr-kb-jun30")
    whole = its_period(case["inputs"])
    short = Period(whole.start, whole.end, datetime.fromisoformat(case["inputs"]["nominal_start"]))
    assert fee_of(short, case["inputs"]["full_cents"]) == case["expected"]["fee_cents"]


@pytest.mark.parametrize(
    "case", [case for case in cases("credits") if case["inputs"]["kind"] == "cap"], ids=lambda case: case["id"]
)
def test_no_more_is_given_back_than_is_left(case: dict[str, Any]) -> None:
    given = case["inputs"]
    left = given["charged_cents"] - given["credited_cents"]
    assert capped_credit(given["wanted_cents"], left) == case["expected"]["credit_cents"]


@pytest.mark.parametrize(
    "case", [case for case in cases("credits") if case["inputs"]["kind"] == "note"], ids=lambda case: case["id"]
)
def test_net_and_tax_of_a_credit_are_rounded_each_by_itself(case: dict[str, Any]) -> None:
    given, expected = case["inputs"], case["expected"]
    unused = Fraction(given["unused"])
    net = share(given["fee_cents"], unused.numerator, unused.denominator)
    tax = share(net, int(given["vat_rate"]), 100)
    assert (net, tax, net + tax) == (expected["net_cents"], expected["tax_cents"], expected["amount_cents"])
    assert net + tax != expected["wrong_if_rounded_once"]


@pytest.mark.parametrize(
    "case", [case for case in cases("rounding") if case["inputs"]["kind"] != "per_unit"], ids=lambda case: case["id"]
)
def test_roundings_as_others_have_them(case: dict[str, Any]) -> None:
    given, expected = case["inputs"], case["expected"]
    if given["kind"] == "round":
        assert to_cents(Decimal(given["amount"]), given["currency"]) == expected["amount_cents"]
        return
    rate = Fraction(given["vat_rate"]) / 100
    net = given["net_cents"] if given["kind"] == "tax" else sum(given["lines_cents"])
    assert share(net, rate.numerator, rate.denominator) == expected["tax_cents"]


# -- a change of plan ----------------------------------------------------------------------------------


def test_the_example_of_the_15th_at_noon() -> None:
    """16.5 of 31 days are left: 532.26 and 1330.65."""
    assert numbers(changed(NOON_OF_THE_15TH, 1000, 2500)) == (532, 1331, 799)


def test_a_downgrade_is_the_same_the_other_way_round() -> None:
    assert numbers(changed(NOON_OF_THE_15TH, 2500, 1000)) == (1331, 532, -799)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-01T00:00:00Z", (1_000_000, 2_500_000, 1_500_000)),
        ("2026-01-01T00:00:01Z", (1_000_000, 2_499_999, 1_499_999)),  # 999 999.63; 2 499 999.07
        ("2026-01-31T23:59:59Z", (0, 1, 1)),  # 0.37; 0.93
        ("2026-02-01T00:00:00Z", (0, 0, 0)),
    ],
)
def test_a_second_more_or_less_at_the_period_s_edges(at: str, expected: tuple[int, int, int]) -> None:
    assert numbers(changed(parse_instant(at), 1_000_000, 2_500_000)) == expected


@pytest.mark.parametrize("at", [JANUARY.start - timedelta(seconds=1), JANUARY.end + timedelta(seconds=1)])
def test_a_change_outside_the_period_is_none_of_it(at: datetime) -> None:
    with pytest.raises(ValueError, match="not in the period"):
        changed(at, 1000, 2500)


def test_a_second_upgrade_gives_back_the_price_in_force_and_not_the_last_charge() -> None:
    """1000, on the 11th 2500, on the 21st 4900: 21 and 11 of 31 days are left."""
    first = changed(datetime(2026, 1, 11, tzinfo=UTC), 1000, 2500)
    assert numbers(first) == (677, 1694, 1017)  # 677.42, 1693.55
    left = 1000 + first.net_cents
    second = changed(datetime(2026, 1, 21, tzinfo=UTC), 2500, 4900, left)
    assert numbers(second) == (887, 1739, 852)  # 887.10, 1738.71
    # 10 days of each of three plans would be 322.58 + 806.45 + 1738.71
    assert 1000 + first.net_cents + second.net_cents == 2869


def test_up_and_down_and_up_within_a_day_ends_exactly_where_one_upgrade_would() -> None:
    left, total = 1000, 0
    for at, old, new in (
        (NOON_OF_THE_15TH, 1000, 2500),
        (NOON_OF_THE_15TH, 2500, 1000),
        (NOON_OF_THE_15TH, 1000, 2500),
    ):
        found = changed(at, old, new, left)
        left += found.net_cents
        total += found.net_cents
    assert total == changed(NOON_OF_THE_15TH, 1000, 2500).net_cents == 799


def test_what_was_never_charged_is_not_given_back() -> None:
    """The dearer plan came without a charge in this period, so all that there is to give back is the old fee."""
    assert numbers(changed(JANUARY.start, 90_000, 0, left=1000)) == (1000, 0, -1000)
    assert numbers(changed(JANUARY.start, 90_000, 0, left=0)) == (0, 0, 0)
    assert numbers(changed(JANUARY.start, 1000, 0, left=1000)) == (1000, 0, -1000)
    assert numbers(changed(JANUARY.start, 1000, 0, left=999)) == (999, 0, -999)
    assert numbers(changed(JANUARY.start, 1000, 0, left=1001)) == (1000, 0, -1000)


# -- a short first period ------------------------------------------------------------------------------


def test_a_first_short_period_costs_its_part_of_the_month() -> None:
    short = first_period("calendar", "month", date(2026, 1, 15), UTC)
    assert fee_of(short, 1000) == 548  # 17 of 31 days: 548.39
    assert fee_of(first_period("calendar", "month", date(2026, 1, 1), UTC), 1000) == 1000
    assert fee_of(first_period("calendar", "month", date(2026, 1, 31), UTC), 1000) == 32  # 1 of 31: 32.26


def test_a_change_in_a_short_period_is_measured_against_the_whole_month() -> None:
    short = first_period("calendar", "month", date(2026, 1, 15), UTC)
    at = datetime(2026, 1, 25, tzinfo=UTC)
    found = changed(at, 1000, 2500, fee_of(short, 1000), short)
    assert numbers(found) == (226, 565, 339)  # 7 of 31 days: 225.81, 564.52
    # left at its first instant: all that was charged, and no cent more
    assert cancel_now(short, short.start, old_cents=1000, left_cents=548).credit_cents == 548


# -- another interval, and the end ---------------------------------------------------------------------


def test_from_month_to_year_the_rest_is_given_back_and_the_year_is_charged_whole() -> None:
    at = start_of_day(date(2026, 1, 15), UTC)
    found = change_interval(JANUARY, at, old_cents=1000, left_cents=1000, new_fee_cents=10_000)
    assert numbers(found) == (548, 10_000, 9452)


def test_from_year_to_month_more_may_be_given_back_than_is_charged() -> None:
    year = first_period("anniversary", "year", date(2026, 1, 1), UTC)
    at = start_of_day(date(2026, 4, 1), UTC)
    found = change_interval(year, at, old_cents=36_500, left_cents=36_500, new_fee_cents=1000)
    assert numbers(found) == (27_500, 1000, -26_500)  # 275 of 365 days


def test_from_year_to_a_calendar_month_the_short_month_costs_its_part() -> None:
    year = first_period("anniversary", "year", date(2026, 1, 1), UTC)
    short = first_period("calendar", "month", date(2026, 4, 16), UTC)
    found = change_interval(year, short.start, old_cents=36_500, left_cents=36_500, new_fee_cents=fee_of(short, 1000))
    assert numbers(found) == (26_000, 500, -25_500)  # 260 of 365 days; 15 of 30


def test_cancelling_now_gives_back_what_is_left() -> None:
    assert numbers(cancel_now(JANUARY, NOON_OF_THE_15TH, old_cents=1000, left_cents=1000)) == (532, 0, -532)
    assert numbers(cancel_now(JANUARY, JANUARY.start, old_cents=1000, left_cents=1000)) == (1000, 0, -1000)
    assert numbers(cancel_now(JANUARY, JANUARY.end, old_cents=1000, left_cents=1000)) == (0, 0, 0)


def test_the_fee_after_a_discount_is_what_is_prorated() -> None:
    """20 % off both: 800 and 2000."""
    assert numbers(changed(NOON_OF_THE_15TH, 800, 2000)) == (426, 1065, 639)  # 425.81, 1064.52
