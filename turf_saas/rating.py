"""What a month's use costs whose days were on several plans: which plan each day belongs to, and a line per plan.

A month has one allowance: each plan's days are rated with what its included quantity leaves after all that the month
has used before. So no change, cancel or return gives it a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

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


class Span(NamedTuple):
    """Days in a row, both included, and what the whole month includes by the plan that they are of."""

    first_day: date
    last_day: date
    included: int | None


class Part(NamedTuple):
    """What of a month is priced by one price of a plan, and in which days."""

    plan: str
    price: Price
    tax_behavior: TaxBehavior
    spans: tuple[Span, ...]


class RatedLine(NamedTuple):
    """What a plan's days cost of one metric: the charge of what was above the included quantity."""

    plan: str
    metric: str
    charge: Charge
    first_day: date
    last_day: date
    price: Price
    tax_behavior: TaxBehavior = "exclusive"
    spans: tuple[Span, ...] = ()


def split_days(changes: Iterable[Change], month: Month, zone: tzinfo, default: Terms) -> list[Segment]:
    """The month's days, each with the plan that it belongs to. What they used is to be filled in.

    A day belongs to the last plan in force on it that bills something; where none does, to the last in force.
    """
    ordered = sorted(changes, key=lambda change: change.at)  # of two at one instant the later one holds
    begins = start_of_day(month.first_day, zone)
    if not any(begins < change.at < month.ends_at(zone) for change in ordered):  # as for most users in most months
        held = [change for change in ordered if change.at <= begins][-1:]
        terms = held[0].terms if held else None
        return [Segment(terms or default, month.first_day, month.last_day, held[0].billed if held else True)]
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


def parts_of(segments: Iterable[Segment]) -> list[Part]:
    """What is priced in a month, whether it was used or not: one per plan and metric."""
    spans: dict[tuple[str, Price, TaxBehavior], list[Span]] = {}
    for segment in segments:
        for price in segment.terms.prices if segment.billed else ():
            span = Span(segment.first_day, segment.last_day, segment.terms.included.get(price.metric, 0))
            spans.setdefault((segment.plan, price, segment.terms.tax_behavior), []).append(span)
    return [Part(*key, tuple(found)) for key, found in spans.items()]


def rated_quantity(spans: Iterable[Span], used: Mapping[int, int]) -> int:
    """What of a month's use is above what is included, in these days of it. used: by the day of the month."""
    rated = 0
    for first, last, included in spans:
        if included is not None:
            before = sum(quantity for day, quantity in used.items() if day < first.day)
            inside = sum(quantity for day, quantity in used.items() if first.day <= day <= last.day)
            rated += max(0, inside - max(0, included - before))
    return rated


def rate_month(segments: Sequence[Segment], currency: str) -> list[RatedLine]:
    """The month's lines: one per plan and metric, priced once from the first tier; lines of 0 cents are left out.

    The segments follow each other from the month's first day on. Days that are not billed use up what is included.
    """
    return [
        RatedLine(
            part.plan,
            part.price.metric,
            charge,
            part.spans[0].first_day,
            part.spans[-1].last_day,
            part.price,
            part.tax_behavior,
            part.spans,
        )
        for part in parts_of(segments)
        if (charge := calculate(part.price, _above(part, segments), currency)).amount_cents
    ]


def _above(part: Part, segments: Sequence[Segment]) -> int:
    """What was used in the part's days above what its plan's included quantity leaves after the days before."""
    if len(segments) == 1:  # as for most users in most months
        used, included = segments[0].used.get(part.price.metric, 0), part.spans[0].included
        return 0 if included is None else max(0, used - included)
    spans, before, above = {span.first_day: span for span in part.spans}, 0, 0
    for segment in segments:
        used = segment.used.get(part.price.metric, 0)
        span = spans.get(segment.first_day)
        if span is not None and span.included is not None:
            above += max(0, used - max(0, span.included - before))
        before += used
    return above
