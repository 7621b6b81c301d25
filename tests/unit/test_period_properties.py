"""Of any anchor, cycle and zone: periods tile time, and each instant is in the one that it is said to be in."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from turf_saas.periods import first_period, nth_start, period_at, start_of_day
from turf_saas.values import local_day

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
bounded = hypothesis.settings(max_examples=300, deadline=None)

SECOND = timedelta(seconds=1)
KINDS = st.sampled_from(
    [("calendar", "month"), ("anniversary", "month"), ("anniversary", "year"), ("calendar", "year")]
)
ANCHORS = st.dates(date(1971, 1, 1), date(2090, 12, 31)) | st.sampled_from(
    [date(2024, 1, 31), date(2024, 2, 29), date(2023, 12, 31), date(2011, 12, 30), date(2009, 11, 1), date(2009, 10, 1)]
)
ZONES = st.timezones()
SECONDS = st.integers(0, 60 * 365 * 86400)


@bounded
@hypothesis.given(KINDS, ANCHORS, ZONES, st.integers(0, 100))
def test_periods_follow_each_other_without_a_gap(kind: Any, anchor: date, zone: Any, number: int) -> None:
    starts = [nth_start(*kind, anchor, zone, n) for n in range(number, number + 4)]
    assert all(before < after for before, after in pairwise(starts))
    for start, end in pairwise(starts):
        for instant in (start, end - SECOND, start + (end - start) // 2):
            found = period_at(*kind, anchor, zone, instant)
            assert (found.start, found.end) == (start, end)
            assert instant in found


@bounded
@hypothesis.given(KINDS, ANCHORS, ZONES, SECONDS)
def test_every_instant_after_the_first_is_in_one_period(kind: Any, anchor: date, zone: Any, seconds: int) -> None:
    instant = start_of_day(anchor, zone) + seconds * SECOND
    found = period_at(*kind, anchor, zone, instant)
    assert found.start <= instant < found.end
    assert period_at(*kind, anchor, zone, found.end).start == found.end
    if found.start > first_period(*kind, anchor, zone).start:
        assert period_at(*kind, anchor, zone, found.start - SECOND).end == found.start


@bounded
@hypothesis.given(KINDS, ANCHORS, ZONES, st.integers(1, 300))
def test_a_period_begins_on_the_anchor_s_day_or_the_month_s_last(
    kind: Any, anchor: date, zone: Any, number: int
) -> None:
    day = local_day(nth_start(*kind, anchor, zone, number), zone)
    hypothesis.assume(day != date(2011, 12, 31))  # which begins where the day before it would have
    wanted = 1 if kind == ("calendar", "month") else anchor.day
    assert day.day == wanted or (day.day < wanted and (day + timedelta(days=1)).day == 1)


@bounded
@hypothesis.given(KINDS, ANCHORS, ZONES)
def test_only_a_calendar_s_first_period_is_shorter_than_its_month(kind: Any, anchor: date, zone: Any) -> None:
    first = first_period(*kind, anchor, zone)
    assert first.is_short == (kind == ("calendar", "month") and anchor.day > 1)
    assert first.nominal.end == first.end
    assert first.nominal.start <= first.start == start_of_day(anchor, zone)
    assert not period_at(*kind, anchor, zone, first.end).is_short


@bounded
@hypothesis.given(st.dates(date(1971, 1, 1), date(2090, 1, 1)), ZONES)
def test_days_tile_time_and_begin_on_their_own_date(day: date, zone: Any) -> None:
    start, end = start_of_day(day, zone), start_of_day(day + timedelta(days=1), zone)
    assert start <= end
    if start < end:  # Samoa and Kwajalein left a day out
        assert local_day(start, zone) == day
