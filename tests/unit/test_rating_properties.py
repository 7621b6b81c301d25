"""Of any month and any changes in it: one allowance, and no unit is billed twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from turf_saas.pricing import price_from
from turf_saas.rating import Change, Segment, Terms, parts_of, rate_month, rated_quantity, split_days
from turf_saas.values import Month

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
bounded = hypothesis.settings(max_examples=300, deadline=None)

MONTH = Month(2026, 2)
FIRST = datetime(2026, 2, 1, tzinfo=UTC)
ONE_EURO = (price_from({"metric": "calls", "model": "flat", "unit_amount": "1"}),)
PLANS = [Terms(f"plan {included}", {"calls": included}, ONE_EURO) for included in (0, 1, 10, 50, 100)]
TRIALS = st.booleans()
INSTANTS = st.integers(-3 * 86400, 28 * 86400 - 1).map(lambda second: FIRST + timedelta(seconds=second))
CHANGES = st.lists(st.builds(Change, INSTANTS, st.sampled_from([*PLANS, None])), max_size=8)
USED_PER_DAY = st.lists(st.integers(0, 20), min_size=28, max_size=28)


def used_in(segments: list[Segment], per_day: list[int]) -> list[Segment]:
    return [
        replace(part, used={"calls": sum(per_day[part.first_day.day - 1 : part.last_day.day])}) for part in segments
    ]


def rated(segments: list[Segment]) -> int:
    return sum(int(line.charge.quantity) for line in rate_month(segments, "EUR"))


@bounded
@hypothesis.given(CHANGES, USED_PER_DAY, st.sampled_from(PLANS))
def test_no_sequence_of_changes_gives_more_than_one_allowance(
    changes: list[Change], per_day: list[int], default: Terms
) -> None:
    segments = used_in(split_days(changes, MONTH, UTC, default), per_day)
    most = max(included for part in segments if (included := part.terms.included["calls"]) is not None)
    assert sum(per_day) - most <= rated(segments) <= sum(per_day)


@bounded
@hypothesis.given(CHANGES, USED_PER_DAY, st.sampled_from(PLANS))
def test_use_that_was_rated_as_overage_was_above_the_smallest_allowance(
    changes: list[Change], per_day: list[int], default: Terms
) -> None:
    segments = used_in(split_days(changes, MONTH, UTC, default), per_day)
    least = min(included for part in segments if (included := part.terms.included["calls"]) is not None)
    assert rated(segments) <= max(0, sum(per_day) - least)


@bounded
@hypothesis.given(CHANGES, USED_PER_DAY)
def test_every_day_belongs_to_one_segment(changes: list[Change], per_day: list[int]) -> None:
    segments = split_days(changes, MONTH, UTC, PLANS[0])
    days = [
        part.first_day + timedelta(days=n)
        for part in segments
        for n in range((part.last_day - part.first_day).days + 1)
    ]
    assert days == [MONTH.first_day + timedelta(days=n) for n in range(28)]
    used = used_in(segments, per_day)
    assert sum(part.used["calls"] for part in used) == sum(per_day)


@bounded
@hypothesis.given(CHANGES, USED_PER_DAY, st.integers(0, 8))
def test_a_trial_never_costs_more_than_the_same_days_billed(
    changes: list[Change], per_day: list[int], trials: int
) -> None:
    billed = used_in(split_days(changes, MONTH, UTC, PLANS[0]), per_day)
    with_trials = [replace(part, billed=False) if place < trials else part for place, part in enumerate(billed)]
    assert rated(with_trials) <= rated(billed)


@bounded
@hypothesis.given(st.lists(st.tuples(st.sampled_from(PLANS), st.integers(0, 60)), min_size=1, max_size=10))
def test_days_of_one_plan_cost_the_same_however_they_are_cut(parts: list[Any]) -> None:
    plan = parts[0][0]
    days = MONTH.first_day, MONTH.last_day
    cut = [Segment(plan, *days, True, {"calls": used}) for _, used in parts]
    whole = [Segment(plan, *days, True, {"calls": sum(used for _, used in parts)})]
    assert rated(cut) == rated(whole)


USED = st.dictionaries(st.integers(1, 28), st.integers(1, 20), max_size=28)


@bounded
@hypothesis.given(CHANGES, USED, st.sampled_from(PLANS), st.integers(0, 8))
def test_what_is_late_is_rated_as_the_month_was(
    changes: list[Change], used: dict[int, int], default: Terms, trials: int
) -> None:
    """The parts of a month with its days, as late use is priced, are its lines."""
    segments = [
        replace(part, billed=part.billed and place >= trials)
        for place, part in enumerate(
            used_in(split_days(changes, MONTH, UTC, default), [used.get(day, 0) for day in range(1, 29)])
        )
    ]
    parts = [(part.plan, rated_quantity(part.spans, used)) for part in parts_of(segments)]
    lines = [(line.plan, int(line.charge.quantity)) for line in rate_month(segments, "EUR")]
    assert [part for part in parts if part[1]] == lines
    assert all(line.spans for line in rate_month(segments, "EUR"))
