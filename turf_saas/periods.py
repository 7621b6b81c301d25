"""Periods of a subscription: from which instant to which, whatever the month's length, the leap day or the clock.

Period n is always counted from the original anchor, the local date on which the subscription (or its trial's end)
began: whoever goes on from the period before ends on the 28th for ever. A period that was opened is stored, and is
never derived again.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from turf_saas.errors import InvalidInput
from turf_saas.values import end_of_day, local_day

Cycle = Literal["calendar", "anniversary"]
Interval = Literal["month", "year"]

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Period:
    """From start to before end, both in UTC.

    `nominal_start` is where it would have begun at full length: of a calendar cycle's short first period only.
    """

    start: datetime
    end: datetime
    nominal_start: datetime | None = None

    @property
    def nominal(self) -> Period:
        """The period at its full length."""
        return self if self.nominal_start is None else Period(self.nominal_start, self.end)

    @property
    def is_short(self) -> bool:
        return self.nominal_start is not None

    @property
    def seconds(self) -> int:
        return seconds_between(self.start, self.end)

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


def seconds_between(first: datetime, then: datetime) -> int:
    """Whole seconds that pass: in UTC, where every hour has 3600 of them."""
    return (then.astimezone(UTC) - first.astimezone(UTC)) // _SECOND


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day. Where clocks leap over midnight, the first that there is; of two, the first.

    It is the end of the day before: usage and periods have one boundary.
    """
    if day == date.min:
        raise _out_of_range(day)
    return end_of_day(day - _DAY, zone)


def first_period(cycle: Cycle, interval: Interval, anchor: date, zone: tzinfo) -> Period:
    """The period that begins on the anchor. In a calendar cycle it ends with its month, and may be short."""
    return _period(cycle, interval, anchor, zone, 0)


def period_at(cycle: Cycle, interval: Interval, anchor: date, zone: tzinfo, instant: datetime) -> Period:
    """The period that an instant is in. None begins before the anchor."""
    if instant < start_of_day(anchor, zone):
        raise ValueError(f"{instant} is before the first period, which begins on {anchor}")
    try:
        day = local_day(instant, zone)
    except OverflowError:
        raise _out_of_range(instant.date()) from None
    number = max(0, _months(interval, anchor, day))
    # The clamped day may lie after the instant; and where clocks go back over midnight, a day has two beginnings.
    while nth_start(cycle, interval, anchor, zone, number) > instant:
        number -= 1
    while nth_start(cycle, interval, anchor, zone, number + 1) <= instant:
        number += 1
    return _period(cycle, interval, anchor, zone, number)


def nth_start(cycle: Cycle, interval: Interval, anchor: date, zone: tzinfo, number: int) -> datetime:
    """When period `number` begins, counted from 0."""
    return start_of_day(_nth_day(cycle, interval, anchor, number), zone)


def trial_period(day: date, days: int, zone: tzinfo) -> Period:
    """A trial of n days: this day and the n - 1 that follow. It ends at 00:00, and there the paid period begins."""
    if days < 1:
        raise ValueError(f"a trial of {days} days is none")
    try:
        last = day + days * _DAY
    except OverflowError:
        raise _out_of_range(day) from None
    return Period(start_of_day(day, zone), start_of_day(last, zone))


def _period(cycle: Cycle, interval: Interval, anchor: date, zone: tzinfo, number: int) -> Period:
    start, end = (nth_start(cycle, interval, anchor, zone, n) for n in (number, number + 1))
    if number == 0 and _is_calendar(cycle, interval) and anchor.day != 1:
        return Period(start, end, start_of_day(anchor.replace(day=1), zone))
    return Period(start, end)


def _is_calendar(cycle: Cycle, interval: Interval) -> bool:
    """A year is always counted from its anchor."""
    return cycle == "calendar" and interval == "month"


def _nth_day(cycle: Cycle, interval: Interval, anchor: date, number: int) -> date:
    if number == 0:
        return anchor
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + number * (12 if interval == "year" else 1), 12)
    if not date.min.year <= year <= date.max.year:
        raise _out_of_range(anchor)
    last = monthrange(year, month + 1)[1]
    return date(year, month + 1, 1 if _is_calendar(cycle, interval) else min(anchor.day, last))


def _months(interval: Interval, anchor: date, day: date) -> int:
    """How many intervals lie between the months (the years) of two days."""
    if interval == "year":
        return day.year - anchor.year
    return (day.year - anchor.year) * 12 + day.month - anchor.month


def _out_of_range(day: date) -> InvalidInput:
    return InvalidInput("date_out_of_range", day=day.isoformat())
