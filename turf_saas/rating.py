"""What a month's use costs whose days were on several plans: which plan each day belongs to, and a line per plan.

A month has one allowance: each plan's days are rated with what its included quantity leaves after all that the month
has used before. So no change, cancel or return gives it a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal

from turf_saas.periods import start_of_day
from turf_saas.pricing import Charge, Price, calculate
from turf_saas.values import Month

_DAY = timedelta(days=1)
TaxBehavior = Literal["exclusive", "inclusive"]


@dataclass(frozen=True)
class Terms:
    """What of a plan's version rates a month. A priced metric that is not in `included` has nothing included."""

    plan: str
    included: Mapping[str, int | None] = field(default_factory=dict)  # None is unlimited
    prices: tuple[Price, ...] = ()
    tax_behavior: TaxBehavior = "exclusive"


@dataclass(frozen=True)
class Change:
    """From an instant on these terms are in force; None: no live subscription. Nothing in a trial is billed."""

    at: datetime
    terms: Terms | None
    billed: bool = True


@dataclass(frozen=True)
class Segment:
    """Days in a row, both included, of one plan, and what they used."""

    terms: Terms
    first_day: date
    last_day: date
    billed: bool = True
    used: Mapping[str, int] = field(default_factory=dict)

    @property
    def plan(self) -> str:
        return self.terms.plan


@dataclass(frozen=True)
class RatedLine:
    """What a plan's days cost of one metric: the charge of what was above the included quantity."""

    plan: str
    metric: str
    charge: Charge
    first_day: date
    last_day: date
    price: Price
    tax_behavior: TaxBehavior = "exclusive"


def split_days(changes: Iterable[Change], month: Month, zone: tzinfo, default: Terms) -> list[Segment]:
    """The month's days, each with the plan that it belongs to. What they used is to be filled in.

    A day belongs to the last plan in force on it that bills something; where none does, to the last in force.
    """
    ordered = sorted(changes, key=lambda change: change.at)  # of two at one instant the later one holds
    segments: list[Segment] = []
    day = month.first_day
    while True:
        terms, billed = _belongs_to(ordered, start_of_day(day, zone), start_of_day(day + _DAY, zone), default)
        if segments and segments[-1].terms == terms and segments[-1].billed == billed:
            segments[-1] = replace(segments[-1], last_day=day)
        else:
            segments.append(Segment(terms, day, day, billed))
        if day == month.last_day:
            return segments
        day += _DAY


def _belongs_to(changes: Sequence[Change], start: datetime, end: datetime, default: Terms) -> tuple[Terms, bool]:
    in_force = [
        (default if change.terms is None else change.terms, change.billed)
        for change, following in zip([Change(start, None), *changes], [*changes, None], strict=True)
        if (change.at < end or change.at <= start)  # a day that the clocks left out has no instant of its own
        and (following is None or following.at > max(start, change.at))
    ]
    billing = [(terms, billed) for terms, billed in in_force if billed and terms.prices]
    return (billing or in_force)[-1]


def rate_month(segments: Iterable[Segment], currency: str) -> list[RatedLine]:
    """The month's lines: one per plan and metric, priced once from the first tier; lines of 0 cents are left out.

    The segments follow each other from the month's first day on. Days that are not billed use up what is included.
    """
    used: dict[str, int] = {}
    over: dict[tuple[str, Price, TaxBehavior], int] = {}
    days: dict[tuple[str, Price, TaxBehavior], tuple[date, date]] = {}
    for segment in segments:
        for price in segment.terms.prices if segment.billed else ():
            key = (segment.plan, price, segment.terms.tax_behavior)
            over[key] = over.get(key, 0) + _above(segment, price.metric, used.get(price.metric, 0))
            days[key] = (days.get(key, (segment.first_day, None))[0], segment.last_day)
        for metric, quantity in segment.used.items():
            used[metric] = used.get(metric, 0) + quantity
    charges = {key: calculate(key[1], quantity, currency) for key, quantity in over.items()}
    return [
        RatedLine(plan, price.metric, charge, *days[plan, price, behavior], price, behavior)
        for (plan, price, behavior), charge in charges.items()
        if charge.amount_cents
    ]


def _above(segment: Segment, metric: str, used_before: int) -> int:
    """What the segment used above what its plan's included quantity leaves after the days before."""
    included = segment.terms.included.get(metric, 0)
    if included is None:
        return 0
    return max(0, segment.used.get(metric, 0) - max(0, included - used_before))
