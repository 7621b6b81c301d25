"""A month whose days were on several plans: which plan a day belongs to, and what each plan's days cost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from turf_saas.pricing import price_from
from turf_saas.rating import Change, RatedLine, Segment, Terms, rate_month, split_days
from turf_saas.values import Month

PARIS = ZoneInfo("Europe/Paris")
MAY = Month(2026, 5)
JUNE = Month(2026, 6)


def terms(plan: str, included: int | None = 0, unit_amount: str | None = "1", **more: Any) -> Terms:
    """A plan that includes so many calls; with None as unit amount it has no prices."""
    prices = [{"metric": "calls", "model": "flat", "unit_amount": unit_amount}] if unit_amount else []
    return Terms(plan, {"calls": included}, tuple(map(price_from, more.get("prices", prices))))


FREE = terms("free", 300, None)
PREMIUM = terms("premium", 3000, "0.01")
PRO = terms("pro", 30_000, "0.005")


def may(day: int, hour: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 5, day, hour, 0, second, tzinfo=UTC)


def split(*changes: Change, default: Terms = FREE) -> list[tuple[str, int, int, bool]]:
    found = split_days(changes, MAY, UTC, default)
    days = [(segment.first_day, segment.last_day) for segment in found]
    assert (days[0][0], days[-1][1]) == (MAY.first_day, MAY.last_day)
    assert all(before[1] + timedelta(days=1) == after[0] for before, after in pairwise(days))
    return [(segment.plan, segment.first_day.day, segment.last_day.day, segment.billed) for segment in found]


# -- which plan a day belongs to -----------------------------------------------------------------------


def test_a_month_without_a_subscription_is_the_default_plan_s() -> None:
    assert split() == [("free", 1, 31, True)]


def test_what_began_before_the_month_is_in_force_in_all_of_it() -> None:
    assert split(Change(datetime(2025, 1, 7, tzinfo=UTC), PRO)) == [("pro", 1, 31, True)]
    assert split(Change(datetime(2026, 5, 1, tzinfo=UTC), PRO)) == [("pro", 1, 31, True)]
    assert split(Change(datetime(2026, 6, 1, tzinfo=UTC), PRO)) == [("free", 1, 31, True)]
    assert split(Change(datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC), PRO)) == [
        ("free", 1, 30, True),
        ("pro", 31, 31, True),
    ]


def test_the_day_of_a_change_belongs_to_the_plan_that_comes() -> None:
    assert split(Change(may(1), PREMIUM), Change(may(15, 12), PRO)) == [("premium", 1, 14, True), ("pro", 15, 31, True)]
    assert split(Change(may(1), PRO), Change(may(15, 12), PREMIUM)) == [("pro", 1, 14, True), ("premium", 15, 31, True)]


def test_a_change_at_midnight_leaves_the_day_before_alone() -> None:
    assert split(Change(may(1), PREMIUM), Change(may(15), PRO)) == [("premium", 1, 14, True), ("pro", 15, 31, True)]


def test_the_day_of_a_cancellation_belongs_to_the_plan_that_has_prices() -> None:
    """The default plan bills nothing: what was used in the morning would be lost."""
    assert split(Change(may(1), PRO), Change(may(15, 12), None)) == [("pro", 1, 15, True), ("free", 16, 31, True)]
    assert split(Change(may(1), PRO), Change(may(15), None)) == [("pro", 1, 14, True), ("free", 15, 31, True)]


def test_a_default_plan_that_has_prices_takes_the_day_as_any_other_does() -> None:
    paid = terms("basic", 10, "1")
    found = split(Change(may(1), PRO), Change(may(15, 12), None), default=paid)
    assert found == [("pro", 1, 14, True), ("basic", 15, 31, True)]


def test_where_no_plan_of_the_day_has_prices_it_belongs_to_the_last() -> None:
    gift = terms("gift", 5000, None)
    assert split(Change(may(1), gift), Change(may(15, 12), None)) == [("gift", 1, 14, True), ("free", 15, 31, True)]


def test_of_several_changes_in_a_day_the_last_holds() -> None:
    found = split(
        Change(may(1), PREMIUM), Change(may(15, 9), PRO), Change(may(15, 10), PREMIUM), Change(may(15, 11), PRO)
    )
    assert found == [("premium", 1, 14, True), ("pro", 15, 31, True)]


def test_of_two_changes_in_a_second_the_first_was_never_in_force() -> None:
    found = split(Change(may(15, 9), PRO), Change(may(15, 9), None))
    assert found == [("free", 1, 31, True)]


def test_cancelling_and_returning_makes_three_segments() -> None:
    found = split(Change(may(1), PRO), Change(may(10, 12), None), Change(may(20), PRO))
    assert found == [("pro", 1, 10, True), ("free", 11, 19, True), ("pro", 20, 31, True)]


def test_days_of_a_trial_are_not_billed() -> None:
    found = split(Change(may(5), PRO, billed=False), Change(may(19), PRO))
    assert found == [("free", 1, 4, True), ("pro", 5, 18, False), ("pro", 19, 31, True)]


def test_a_trial_that_begins_in_the_evening_takes_no_billed_day_away() -> None:
    """Else a day could be used up on a paid plan and handed to a trial in its last hour."""
    found = split(Change(may(1), PREMIUM), Change(may(15, 23), PRO, billed=False))
    assert found == [("premium", 1, 15, True), ("pro", 16, 31, False)]


def test_days_are_local_ones() -> None:
    """22:30 of the 14th in UTC is the 15th in Paris."""
    changes = [
        Change(datetime(2026, 4, 1, tzinfo=UTC), PREMIUM),
        Change(datetime(2026, 5, 14, 22, 30, tzinfo=UTC), PRO),
    ]
    found = split_days(changes, MAY, PARIS, FREE)
    assert [(segment.plan, segment.last_day) for segment in found] == [
        ("premium", date(2026, 5, 14)),
        ("pro", date(2026, 5, 31)),
    ]


def test_a_day_that_the_clocks_left_out_belongs_somewhere() -> None:
    """Samoa had no 30 December 2011."""
    apia = ZoneInfo("Pacific/Apia")
    for changes in ([], [Change(datetime(2011, 12, 30, 10, tzinfo=UTC), PRO)]):
        found = split_days(changes, Month(2011, 12), apia, FREE)
        assert (found[0].first_day, found[-1].last_day) == (date(2011, 12, 1), date(2011, 12, 31))
        assert found[-1].plan == ("pro" if changes else "free")


def test_changes_may_come_in_any_order() -> None:
    assert split(Change(may(15), PRO), Change(may(1), PREMIUM)) == [("premium", 1, 14, True), ("pro", 15, 31, True)]


# -- what the month costs ------------------------------------------------------------------------------


def segment(of: Terms, first: int, last: int, used: int, *, billed: bool = True) -> Segment:
    return Segment(of, date(2026, 5, first), date(2026, 5, last), billed, {"calls": used})


def lines(*segments: Segment) -> list[tuple[str, int, int]]:
    return [(line.plan, int(line.charge.quantity), line.charge.amount_cents) for line in rate_month(segments, "EUR")]


@pytest.mark.parametrize(
    ("used", "expected"),
    [(0, []), (2999, []), (3000, []), (3001, [("premium", 1, 1)]), (3500, [("premium", 500, 500)])],
)
def test_a_month_on_one_plan_pays_what_is_above_the_included(used: int, expected: list[tuple[str, int, int]]) -> None:
    assert lines(segment(PREMIUM, 1, 31, used)) == expected


def test_what_the_month_has_used_before_counts_against_the_next_plan() -> None:
    """Premium 3 100 of 3 000: 100 over. Of the 30 000 that pro includes 26 900 are left, and 27 000 are used."""
    found = lines(segment(PREMIUM, 1, 14, 3100), segment(PRO, 15, 31, 27_000))
    assert found == [("premium", 100, 100), ("pro", 100, 50)]


def test_a_downgrade_gives_no_second_allowance() -> None:
    """Pro used 2 900 of its 30 000; of premium's 3 000 there are 100 left."""
    assert lines(segment(PRO, 1, 14, 2900), segment(PREMIUM, 15, 31, 101)) == [("premium", 1, 1)]
    assert lines(segment(PRO, 1, 14, 2900), segment(PREMIUM, 15, 31, 100)) == []
    assert lines(segment(PRO, 1, 14, 9000), segment(PREMIUM, 15, 31, 700)) == [("premium", 700, 700)]


def test_leaving_and_returning_gives_no_second_allowance() -> None:
    """Premium 2 000, free 300, premium 1 500: of 3 000 there are 700 left, and 800 are over."""
    found = lines(segment(PREMIUM, 1, 10, 2000), segment(FREE, 11, 19, 300), segment(PREMIUM, 20, 31, 1500))
    assert found == [("premium", 800, 800)]


def test_the_days_of_a_plan_are_added_and_priced_once_from_its_first_tier() -> None:
    tiers = [{"up_to": 100, "unit_amount": "0.10"}, {"up_to": None, "unit_amount": "0.02"}]
    tiered = terms("tiered", 0, prices=[{"metric": "calls", "model": "tiered", "tiers": tiers}])
    other = terms("other", 0, "1")
    found = rate_month([segment(tiered, 1, 9, 80), segment(other, 10, 19, 5), segment(tiered, 20, 31, 70)], "EUR")
    assert [(line.plan, line.charge.quantity, line.charge.amount_cents) for line in found] == [
        ("tiered", 150, 1100),  # 100 × 0.10 + 50 × 0.02; twice from the first tier would be 15.00
        ("other", 5, 500),
    ]
    assert (found[0].first_day, found[0].last_day) == (date(2026, 5, 1), date(2026, 5, 31))
    assert [step.quantity for step in found[0].charge.steps] == [100, 50]
    assert found[0].charge.unit_amount is None


def test_trial_days_use_up_what_is_included_and_are_never_billed() -> None:
    """20 000 in the trial, 15 000 after it: of 30 000 there are 10 000 left. 50 000 in a trial cost nothing."""
    assert lines(segment(PRO, 1, 14, 20_000, billed=False), segment(PRO, 15, 31, 15_000)) == [("pro", 5000, 2500)]
    assert lines(segment(PRO, 1, 31, 50_000, billed=False)) == []


def test_use_without_a_price_costs_nothing_and_uses_up_the_month() -> None:
    assert lines(segment(FREE, 1, 31, 5000)) == []
    assert lines(segment(FREE, 1, 14, 2500), segment(PREMIUM, 15, 31, 600)) == [("premium", 100, 100)]


def test_unlimited_covers_everything_and_uses_up_the_month_for_the_others() -> None:
    unlimited = terms("unlimited", None, "1")
    assert lines(segment(unlimited, 1, 31, 10**9)) == []
    assert lines(segment(unlimited, 1, 14, 3000), segment(PREMIUM, 15, 31, 2)) == [("premium", 2, 2)]


def test_a_price_without_an_included_quantity_bills_from_the_first_unit() -> None:
    assert lines(Segment(Terms("bare", {}, PREMIUM.prices), MAY.first_day, MAY.last_day, True, {"calls": 7})) == [
        ("bare", 7, 7)
    ]


def test_each_metric_has_a_line_of_its_own_and_an_allowance_of_its_own() -> None:
    prices = [
        {"metric": "tokens", "model": "flat", "unit_amount": "0.00001"},
        {"metric": "calls", "model": "flat", "unit_amount": "0.01"},
        {"metric": "seats", "model": "flat", "unit_amount": "5"},
    ]
    both = Terms("both", {"calls": 10, "tokens": 1000}, tuple(map(price_from, prices)))
    used = {"calls": 12, "tokens": 101_500, "other": 7}
    found = rate_month([Segment(both, MAY.first_day, MAY.last_day, True, used)], "EUR")
    assert [(line.metric, line.charge.quantity, line.charge.amount_cents) for line in found] == [
        ("tokens", 100_500, 101),  # 1.005
        ("calls", 2, 2),
    ]


def test_a_line_below_half_a_cent_is_left_out() -> None:
    cheap = terms("cheap", 0, "0.00001")
    assert lines(segment(cheap, 1, 31, 499)) == []
    assert lines(segment(cheap, 1, 31, 500)) == [("cheap", 500, 1)]


def test_a_flat_amount_at_zero_is_paid_once_whatever_happened_in_between() -> None:
    tier = {"up_to": None, "unit_amount": "0", "flat_cents": 700}
    flat = terms("flat", 0, prices=[{"metric": "calls", "model": "volume", "tiers": [tier], "flat_at_zero": True}])
    assert lines(segment(flat, 1, 9, 0), segment(FREE, 10, 19, 0), segment(flat, 20, 31, 0)) == [("flat", 0, 700)]
    assert lines(segment(flat, 1, 31, 0, billed=False)) == []


def test_two_versions_of_a_plan_s_price_are_two_lines() -> None:
    dearer = terms("premium", 0, "0.02")
    assert lines(segment(terms("premium", 0, "0.01"), 1, 14, 100), segment(dearer, 15, 31, 100)) == [
        ("premium", 100, 100),
        ("premium", 100, 200),
    ]


def test_from_changes_to_lines() -> None:
    """A trial until the 14th, pro until noon of the 20th, then nothing."""
    changes = [Change(may(1), PRO, billed=False), Change(may(15), PRO), Change(may(20, 12), None)]
    used = {1: 29_000, 15: 1500, 21: 300}
    found = [
        Segment(part.terms, part.first_day, part.last_day, part.billed, {"calls": used[part.first_day.day]})
        for part in split_days(changes, MAY, UTC, FREE)
    ]
    assert [(part.plan, part.first_day.day, part.last_day.day) for part in found] == [
        ("pro", 1, 14),
        ("pro", 15, 20),
        ("free", 21, 31),
    ]
    charged = rate_month(found, "EUR")
    assert [(line.plan, line.charge.quantity, line.charge.amount_cents) for line in charged] == [("pro", 500, 250)]
    assert isinstance(charged[0], RatedLine)
    assert (charged[0].first_day, charged[0].last_day) == (date(2026, 5, 15), date(2026, 5, 20))


def test_a_month_of_thirty_days_has_thirty() -> None:
    assert [part.last_day for part in split_days([], JUNE, UTC, FREE)] == [date(2026, 6, 30)]
