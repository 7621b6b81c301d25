"""A line worked out again from its origin: the price as it was, its days, and what of their use was billed.

`verify` compares, `explain` tells. Nothing that may have changed since is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from turf_saas.invoice_documents import DocumentLine
from turf_saas.money import share
from turf_saas.periods import seconds_between
from turf_saas.prices import Price, decimal_text, price_from
from turf_saas.pricing import Charge, calculate
from turf_saas.rating import Span, rated_quantity
from turf_saas.values import parse_instant

Days = Mapping[int, int]  # what was used on each day of a month


class PricedDays(NamedTuple):
    """Days of a plan, and what the use above the included quantity costs in them."""

    plan: str
    price: Price
    spans: tuple[Span, ...]

    def charge(self, used: Days, currency: str) -> Charge:
        return calculate(self.price, rated_quantity(self.spans, used), currency)


class Late(NamedTuple):
    """Use of a month that was invoiced before: what had been billed of it, and all of it."""

    month: str
    parts: tuple[PricedDays, ...]
    before: Days
    after: Days

    def amount_cents(self, currency: str) -> int:
        return sum(
            part.charge(self.after, currency).amount_cents - part.charge(self.before, currency).amount_cents
            for part in self.parts
        )


class Fee(NamedTuple):
    """A period's fee: all of it, or the part that a short first one is."""

    full_cents: int
    seconds: int
    of_seconds: int

    @property
    def amount_cents(self) -> int:
        return share(self.full_cents, self.seconds, self.of_seconds)


def fault_of(line: DocumentLine, billed: Mapping[str, Mapping[str, int]], currency: str) -> str | None:
    """What the line should come to and does not, as a sentence; None when it is right, or was written by hand."""
    if line.origin == "{}":
        return None
    try:
        return _fault_of(line, billed, currency)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"its origin cannot be read ({type(error).__name__})"


def _fault_of(line: DocumentLine, billed: Mapping[str, Mapping[str, int]], currency: str) -> str | None:
    if line.kind == "overage":
        charge = priced_days(line.origin).charge(days_of(billed.get(line.metric or "", {})), currency)
        each = None if charge.unit_amount is None else decimal_text(charge.unit_amount)
        if (line.quantity, line.unit_amount) != (decimal_text(charge.quantity), each):
            return f"{charge.quantity} at {each} were rated, and it says {line.quantity} at {line.unit_amount}"
        return _compared(charge.amount_cents, line.amount_cents)
    if line.kind == "late":
        return _compared(late_of(line.origin).amount_cents(currency), line.amount_cents)
    if line.kind == "base":
        return _compared(fee_of(line).amount_cents, line.amount_cents)
    return None


def _compared(right: int, stored: int) -> str | None:
    return None if right == stored else f"it comes to {right} cents, not {stored}"


@lru_cache(maxsize=1024)  # the same for all who were on a plan in the same days
def priced_days(origin: str) -> PricedDays:
    """What an overage line is of."""
    return _priced_days(json.loads(origin))


def _priced_days(given: Mapping[str, Any]) -> PricedDays:
    spans = (Span(date.fromisoformat(first), date.fromisoformat(last), most) for first, last, most in given["spans"])
    return PricedDays(given["plan"], price_from(given["price"]), tuple(spans))


def late_of(origin: str) -> Late:
    """What a line of late usage is of."""
    return late_from(json.loads(origin))


def late_from(given: Mapping[str, Any]) -> Late:
    """The same of what was read; a credit note keeps it in its own origin."""
    parts = tuple(map(_priced_days, given["parts"]))
    return Late(given["month"], parts, days_of(given["before"]), days_of(given["after"]))


def fee_of(line: DocumentLine) -> Fee:
    """What a base line is of."""
    given = json.loads(line.origin)
    return Fee(
        given["amount_cents"],
        seconds_between(_instant(line.period_start or ""), _instant(line.period_end or "")),
        seconds_between(_instant(given["nominal_start"]), _instant(given["nominal_end"])),
    )


def days_of(stored: Mapping[str, int]) -> dict[int, int]:
    """Days as an invoice keeps them."""
    return {int(day): quantity for day, quantity in stored.items()}


@lru_cache(maxsize=1024)  # most periods begin and end with their month
def _instant(text: str) -> datetime:
    return parse_instant(text)
