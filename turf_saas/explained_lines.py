"""A line explained: what it is, the price and its steps, the days and their use, and the arithmetic to the cent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from turf_saas.invoice_documents import DocumentLine
from turf_saas.last_use import LastUse
from turf_saas.line_proof import Days, Late, PricedDays, days_of, fee_of, late_from, late_of, priced_days
from turf_saas.messages import say
from turf_saas.money import exponent, from_cents, share
from turf_saas.periods import seconds_between, start_of_day
from turf_saas.prices import decimal_text, plain_number, price_as_json
from turf_saas.pricing import Charge, Step
from turf_saas.rating import Span, rated_quantity
from turf_saas.values import Month, local_day, parse_instant, read_instant


@dataclass(frozen=True)
class Explained:
    """A line. `recomputed_cents` is what its origin comes to; `told` are the sentences below it."""

    position: int
    kind: str
    description: str
    metric: str | None
    quantity: str
    unit_amount: str | None
    amount_cents: int
    net_cents: int
    recomputed_cents: int
    plan: str | None = None
    price: Mapping[str, Any] | None = None
    included: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    days: Mapping[str, int] = field(default_factory=dict)
    last_event: LastUse | None = None
    told: tuple[str, ...] = ()


class Time(NamedTuple):
    """So many days, or seconds, of so many."""

    unit: Literal["day", "days", "seconds"]
    part: int
    whole: int


@dataclass(frozen=True)
class Words:
    """In which language and currency, and whose days."""

    locale: str
    currency: str
    zone: tzinfo

    def say(self, code: str, /, **params: Any) -> str:
        return say(code, self.locale, **params)

    def money(self, cents: int) -> str:
        return self.number(from_cents(cents, self.currency))

    def number(self, number: Decimal | str | int) -> str:
        """A decimal as it is written in the language, whatever number it is."""
        text = decimal_text(number) if isinstance(number, Decimal) else str(number)
        return text.replace(".", ",") if self.locale == "fr" else text

    def amount(self, exact: Decimal) -> str:
        """An amount that is not rounded: with the decimals of its currency, and more where it has more."""
        whole, _, decimals = decimal_text(exact).partition(".")
        decimals = decimals.rstrip("0").ljust(exponent(self.currency), "0")
        return self.number(f"{whole}.{decimals}" if decimals else whole)

    def time(self, whole: tuple[str, str], part: tuple[str, str]) -> Time:
        """How much of a whole time a part of it is, between instants each: in days where both are of whole days."""
        instants = [parse_instant(each) for each in (*part, *whole)]
        days = [local_day(at, self.zone) for at in instants]
        if any(start_of_day(day, self.zone) != at for day, at in zip(days, instants, strict=True)):
            return Time("seconds", _seconds(part), _seconds(whole))
        part_days, whole_days = (days[1] - days[0]).days, (days[3] - days[2]).days
        return Time("day" if part_days == 1 else "days", part_days, whole_days)

    def first_day(self, instant: str | None) -> str:
        at = read_instant(instant)
        return local_day(at, self.zone).isoformat() if at else "?"

    def last_day(self, instant: str | None) -> str:
        """Of what ends before this instant."""
        at = read_instant(instant)
        return local_day(at - timedelta(seconds=1), self.zone).isoformat() if at else "?"


def explain_line(
    line: DocumentLine, position: int, month: Month | None, billed: Mapping[str, Mapping[str, int]], words: Words
) -> Explained:
    """All but the last event, which is asked of the database."""
    plain = Explained(
        position,
        line.kind,
        line.description,
        line.metric,
        line.quantity,
        line.unit_amount,
        line.amount_cents,
        line.net_cents,
        line.amount_cents,
    )
    if line.origin == "{}":
        return plain
    if line.kind == "overage" and month is not None:
        return _explain_overage(
            plain, priced_days(line.origin), days_of(billed.get(line.metric or "", {})), month, words
        )
    late = find_late(line)
    if late is not None:
        return _explain_late(plain, late, words)
    return _explain_other(plain, line, words)


def find_late(line: DocumentLine) -> Late | None:
    """The late usage that the line is of: billed with it, or given back by it."""
    if line.kind == "late" and line.origin != "{}":
        return late_of(line.origin)
    given = json.loads(line.origin).get("late") if line.kind == "credit" else None
    return None if given is None else late_from(given)


# -- what was used ---------------------------------------------------------------------------------


def _explain_overage(plain: Explained, of: PricedDays, used: Days, month: Month, words: Words) -> Explained:
    charge = of.charge(used, words.currency)
    inside = {day: many for day, many in sorted(used.items()) if any(_is_in(span, day) for span in of.spans)}
    days = {_day(month, day): many for day, many in inside.items()}
    told = [
        *(_told_span(span, used, words) for span in of.spans),
        *_told_days(days, words),
        *_told_charge(charge, words),
    ]
    return replace(
        plain,
        recomputed_cents=charge.amount_cents,
        plan=of.plan,
        price=price_as_json(of.price),
        included=tuple(_span_as_json(span) for span in of.spans),
        steps=tuple(map(_step_as_json, charge.steps)),
        days=days,
        told=tuple(told),
    )


def _explain_late(plain: Explained, late: Late, words: Words) -> Explained:
    month = Month.parse(late.month)
    changed = sorted({day for day in {*late.before, *late.after} if late.before.get(day, 0) != late.after.get(day, 0)})
    moved = ", ".join(f"{_day(month, day)}: {late.before.get(day, 0)} → {late.after.get(day, 0)}" for day in changed)
    told = []
    steps: list[Mapping[str, Any]] = []
    thens = nows = 0
    for part in late.parts:
        then, now = (part.charge(days, words.currency) for days in (late.before, late.after))
        thens, nows = thens + then.amount_cents, nows + now.amount_cents
        amounts = {"then_amount": words.money(then.amount_cents), "now_amount": words.money(now.amount_cents)}
        quantities = {"then": words.number(then.quantity), "now": words.number(now.quantity)}
        told.append(words.say("explain_late_part", plan=part.plan, **quantities, **amounts))
        told += _told_charge(now, words)
        steps += map(_step_as_json, now.steps)
    amounts = {"then_amount": words.money(thens), "now_amount": words.money(nows), "amount": words.money(nows - thens)}
    told.append(words.say("explain_late_sum", **amounts))
    used = {"before": sum(late.before.values()), "after": sum(late.after.values())}
    told.insert(0, words.say("explain_late", metric=plain.metric, month=late.month, **used, **amounts))
    told.insert(1, words.say("explain_days", days=moved))
    is_note = plain.kind == "credit"  # of the difference it has what its line still had to give back
    if is_note and plain.amount_cents != nows - thens:
        told.append(words.say("explain_here", amount=words.money(-plain.amount_cents)))
    return replace(
        plain,
        recomputed_cents=plain.amount_cents if is_note else nows - thens,
        plan=", ".join(dict.fromkeys(part.plan for part in late.parts)),
        price=price_as_json(late.parts[-1].price) if late.parts else None,
        included=tuple(_span_as_json(span) for part in late.parts for span in part.spans),
        steps=tuple(steps),
        days={_day(month, day): late.after.get(day, 0) for day in changed},
        told=tuple(told),
    )


def _is_in(span: Span, day: int) -> bool:
    return span.first_day.day <= day <= span.last_day.day


def _day(month: Month | None, day: int) -> str:
    return f"{month}-{day:02d}"


def _span_as_json(span: Span) -> dict[str, Any]:
    return {
        "first_day": span.first_day.isoformat(),
        "last_day": span.last_day.isoformat(),
        "included": span.included,
    }


def _told_span(span: Span, used: Days, words: Words) -> str:
    inside = sum(many for day, many in used.items() if _is_in(span, day))
    days = {"first": span.first_day.isoformat(), "last": span.last_day.isoformat(), "used": inside}
    if span.included is None:
        return words.say("explain_span_unlimited", **days)
    before = min(span.included, sum(many for day, many in used.items() if day < span.first_day.day))
    rated = rated_quantity([span], used)
    return words.say("explain_span", included=span.included, before=before, rated=rated, **days)


def _told_days(days: Mapping[str, int], words: Words) -> Iterable[str]:
    if days:
        yield words.say("explain_days", days=", ".join(f"{day}: {many}" for day, many in days.items()))


def _told_charge(charge: Charge, words: Words) -> Iterable[str]:
    for step in charge.steps:
        yield _told_step(step, words)
    if from_cents(charge.amount_cents, words.currency) != charge.amount:
        yield words.say("explain_rounded", amount=words.money(charge.amount_cents))


def _told_step(step: Step, words: Words) -> str:
    values = {
        "quantity": words.number(step.quantity),
        "unit": words.amount(step.unit_amount),
        "amount": words.amount(step.amount),
    }
    if step.size > 1:
        return words.say("explain_package", size=words.number(step.size), **values)
    if step.above == 0 and step.up_to is None and not step.flat_cents:
        return words.say("explain_flat", **values)
    flat = f" + {words.money(step.flat_cents)}" if step.flat_cents else ""
    above = words.number(step.above)
    if step.up_to is None:
        return words.say("explain_tier_last", above=above, flat=flat, **values)
    return words.say("explain_tier", above=above, up_to=words.number(step.up_to), flat=flat, **values)


def _step_as_json(step: Step) -> dict[str, Any]:
    return {
        "above": plain_number(step.above),
        "up_to": None if step.up_to is None else plain_number(step.up_to),
        "quantity": plain_number(step.quantity),
        "unit_amount": decimal_text(step.unit_amount),
        "flat_cents": step.flat_cents,
        "size": step.size,
        "amount": decimal_text(step.amount),
    }


# -- all else --------------------------------------------------------------------------------------


def _explain_other(plain: Explained, line: DocumentLine, words: Words) -> Explained:
    origin = json.loads(line.origin)
    days = {"first": words.first_day(line.period_start), "last": words.last_day(line.period_end)}
    amount = words.money(line.amount_cents)
    if line.kind == "base":
        fee = fee_of(line)
        told = words.say("explain_fee", amount=words.money(fee.amount_cents), **days)
        if fee.seconds != fee.of_seconds:
            nominal = origin["nominal_start"], origin["nominal_end"]
            told = tell_part(
                nominal, (line.period_start or "", line.period_end or ""), fee.full_cents, fee.amount_cents, words
            )
        return replace(plain, recomputed_cents=fee.amount_cents, plan=origin.get("plan"), told=(told,))
    if line.kind == "discount":
        return replace(plain, plan=origin.get("plan"))
    if line.kind == "item" and line.unit_amount is not None:
        quantity, unit = words.number(line.quantity), words.amount(Decimal(line.unit_amount))
        return replace(plain, told=(words.say("explain_item", quantity=quantity, unit=unit, amount=amount),))
    return plain


def tell_part(whole: tuple[str, str], part: tuple[str, str], full_cents: int | None, cents: int, words: Words) -> str:
    """What a part of a period comes to, of what all of it costs; without that price only how long it is."""
    time = words.time(whole, part)
    values = {"first": words.first_day(part[0]), "last": words.last_day(part[1]), **time._asdict()}
    if full_cents is None:
        return words.say(f"explain_part_{time.unit}", **values)
    amounts = {"full": words.money(full_cents), "amount": words.money(cents)}
    if share(full_cents, time.part, time.whole) == cents:
        return words.say(f"explain_fee_{time.unit}", **amounts, **values)
    seconds = {"seconds": _seconds(part), "of_seconds": _seconds(whole)}  # a day in between has an hour more or less
    return words.say("explain_fee_clock", **amounts, **values, **seconds)


def _seconds(between: tuple[str, str]) -> int:
    return seconds_between(parse_instant(between[0]), parse_instant(between[1]))


def use_of(
    line: DocumentLine, month: Month | None, billed: Mapping[str, Mapping[str, int]]
) -> tuple[Sequence[tuple[date, date]], Mapping[str, int]]:
    """From which day to which the line's use was, both included; and what of each day of its month was billed."""
    late = find_late(line)
    if late is not None:
        month, days = Month.parse(late.month), late.after
        parts: Sequence[PricedDays] = late.parts
    elif line.kind == "overage" and line.origin != "{}":
        days, parts = days_of(billed.get(line.metric or "", {})), [priced_days(line.origin)]
    else:
        return (), {}
    spans = [(span.first_day, span.last_day) for part in parts for span in part.spans]
    return spans, {_day(month, day): many for day, many in days.items()}
