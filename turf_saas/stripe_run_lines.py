"""The lines of an invoice that Stripe has made, in our words: what each is, its net, and the VAT of all of them.

Amounts are Stripe's, to the cent. Where Stripe says which tax is in them that is it; where it says none, what was paid
holds the VAT that our own table decides for the buyer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from turf_saas.invoice_documents import DocumentLine, DocumentTax
from turf_saas.invoice_drafts import LineKind
from turf_saas.invoice_totals import net_of, tax_of
from turf_saas.messages import say
from turf_saas.money import from_cents, share, spread
from turf_saas.prices import decimal_text
from turf_saas.settings import Settings
from turf_saas.stripe_objects import Json, cents, dig, instant, items_of
from turf_saas.tax import REVERSE_CHARGE, TaxDecision, rate_text
from turf_saas.values import Month, instant_text, local_day

MAX_TITLE = 300
UNTAXED = TaxDecision("E", Decimal(0))


@dataclass(frozen=True)
class Line:
    """One of Stripe's. amount_cents: as it stands there, after its discount; tax_cents of which `inside` are in it."""

    kind: LineKind
    title: str
    quantity: int
    amount_cents: int
    start: datetime | None
    end: datetime | None
    tax_cents: int = 0
    inside_cents: int = 0
    percentage: Decimal | None = None
    reverse_charge: bool = False

    @property
    def net_cents(self) -> int:
        return self.amount_cents - self.inside_cents


class Read(NamedTuple):
    """An invoice's lines, which sum to its total. taxed: Stripe says which tax they bear."""

    lines: tuple[Line, ...]
    taxed: bool


class Written(NamedTuple):
    """The same as they are issued."""

    lines: tuple[DocumentLine, ...]
    taxes: tuple[DocumentTax, ...]
    decisions: tuple[TaxDecision, ...]


def supplied_on(settings: Settings, end: datetime | None, now: datetime) -> date:
    """The day that decides about the rate: the last one of the month, or of what is billed if that is earlier."""
    last = Month.of(now, settings.timezone).last_day
    return min(last, local_day(end - timedelta(seconds=1), settings.timezone)) if end is not None else last


# -- what Stripe says --------------------------------------------------------------------------------------


def read_lines(invoice: Json, plan_name: str, locale: str) -> Read:
    """Without those of nothing. What the total has and no line says (a discount, most often) is a line of its own."""
    lines = [_line(each, plan_name, locale) for each in items_of(invoice.get("lines"))]
    tax, outside = _taxes_of(invoice)
    total = cents(invoice.get("total")) or 0
    missing = total - outside - sum(line.amount_cents for line in lines)
    if missing:
        kind: LineKind = "discount" if missing < 0 else "charge"
        title = say("line_discount", locale, plan=plan_name) if missing < 0 else plan_name
        lines.append(Line(kind, title, 1, missing, None, None))
    lines = [line for line in lines if line.amount_cents]
    if tax is None:
        return Read(tuple(lines), taxed=False)
    if missing or sum(line.tax_cents for line in lines) != tax:
        lines = _spread_tax(lines, tax, tax - outside)
    return Read(tuple(lines), taxed=True)


def _line(given: Json, plan_name: str, locale: str) -> Line:
    off = sum(_amount(each) for each in _list(given, "discount_amounts"))
    taxes = [each for name in ("taxes", "tax_amounts") for each in _list(given, name)]
    is_proration = any(
        dig(given, *path) is True
        for path in (
            ("proration",),
            ("parent", "subscription_item_details", "proration"),
            ("parent", "invoice_item_details", "proration"),
        )
    )
    amount = (cents(given.get("amount")) or 0) - off
    of_item = given.get("type") == "invoiceitem" or dig(given, "parent", "type") == "invoice_item_details"
    kind: LineKind = "item" if of_item else "base"
    if is_proration or amount < 0:
        kind = "charge" if amount >= 0 else "credit"
    return Line(
        kind,
        _title(given.get("description")) or say("line_base", locale, plan=plan_name),
        max(1, cents(given.get("quantity")) or 1),
        amount,
        instant(dig(given, "period", "start")),
        instant(dig(given, "period", "end")),
        sum(_amount(each) for each in taxes),
        sum(_amount(each) for each in taxes if _is_inside(each)),
        _percentage(given, taxes),
        any(each.get("taxability_reason") == "reverse_charge" for each in taxes),
    )


def _taxes_of(invoice: Json) -> tuple[int | None, int]:
    """All of the tax, and how much of it is above the lines' amounts; None where Stripe has worked out none."""
    told = _list(invoice, "total_taxes") or _list(invoice, "total_tax_amounts")
    if told:
        return sum(map(_amount, told)), sum(_amount(each) for each in told if not _is_inside(each))
    if dig(invoice, "automatic_tax", "enabled") is True and dig(invoice, "automatic_tax", "status") == "complete":
        return 0, 0
    tax = cents(invoice.get("tax"))
    return (tax, tax) if tax else (None, 0)


def _spread_tax(lines: Sequence[Line], tax_cents: int, inside_cents: int) -> list[Line]:
    """Where the lines do not say it, each bears its part of it."""
    weights = [abs(line.amount_cents) for line in lines]
    taxes, insides = spread(tax_cents, weights), spread(inside_cents, weights)
    return [
        Line(**{**vars(line), "tax_cents": tax, "inside_cents": inside, "percentage": None})
        for line, tax, inside in zip(lines, taxes, insides, strict=True)
    ]


def _percentage(given: Json, taxes: Sequence[Json]) -> Decimal | None:
    """Where the rate's object is there; most often only its id is."""
    rates = [*_list(given, "tax_rates"), *(dig(each, "tax_rate_details", "tax_rate") for each in taxes)]
    rates += [each.get("tax_rate") for each in taxes]
    found = [dig(rate, "percentage") for rate in rates]
    told = [Decimal(str(each)) for each in found if isinstance(each, (int, float)) and 0 < each <= 100]
    return told[0].quantize(Decimal("0.0001")).normalize() if len(told) == 1 else None


def _is_inside(tax: Json) -> bool:
    return tax.get("inclusive") is True or tax.get("tax_behavior") == "inclusive"


def _list(given: Json, name: str) -> list[Json]:
    found = given.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _amount(given: Json) -> int:
    return cents(given.get("amount")) or 0


def _title(given: Any) -> str:
    """Stripe's words, as far as they can stand in a line."""
    text = given if isinstance(given, str) else ""
    kept = "".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text)
    return " ".join(kept.split())[:MAX_TITLE]


# -- what is issued ----------------------------------------------------------------------------------------


def write_lines(read: Read, decisions: Sequence[TaxDecision], currency: str) -> Written:
    """decisions: what our own table says of each line."""
    if read.taxed:
        decisions = [_as_told(line, decision) for line, decision in zip(read.lines, decisions, strict=True)]
    lines, sums = [], dict[TaxDecision, list[int]]()
    for line, decision in zip(read.lines, decisions, strict=True):
        net = line.net_cents if read.taxed else net_of(line.amount_cents, decision.rate)
        tax = line.tax_cents if read.taxed else line.amount_cents - net
        key = next((each for each in sums if each[:2] == decision[:2]), decision)
        group = sums.setdefault(key, [0, 0])
        group[0] += net
        group[1] += tax
        lines.append(_document_line(line, decision, net, currency, inclusive=not read.taxed))
    ordered = sorted(sums.items(), key=lambda each: (each[0].category, -each[0].rate))
    taxes = [
        DocumentTax(decision.category, rate_text(decision.rate), base, tax, decision.vatex, decision.mention)
        for decision, (base, tax) in ordered
    ]
    return Written(tuple(lines), tuple(taxes), tuple(decision for decision, _ in ordered))


def _document_line(line: Line, decision: TaxDecision, net: int, currency: str, *, inclusive: bool) -> DocumentLine:
    amount = line.amount_cents if inclusive else net
    is_whole = amount % line.quantity == 0
    return DocumentLine(
        line.kind,
        line.title,
        None,
        str(line.quantity),
        decimal_text(from_cents(amount // line.quantity, currency)) if is_whole else None,
        amount,
        "inclusive" if inclusive else "exclusive",
        net,
        decision.category,
        rate_text(decision.rate),
        instant_text(line.start) if line.start is not None else None,
        instant_text(line.end) if line.end is not None else None,
        "{}",
    )


def _as_told(line: Line, decision: TaxDecision) -> TaxDecision:
    """Of Stripe's tax the category and the rate: our own rate where the tax is that, to a cent."""
    if line.reverse_charge:
        return REVERSE_CHARGE
    if not line.tax_cents:
        return decision if not decision.rate else UNTAXED
    if line.percentage is not None:
        return TaxDecision("S", line.percentage)
    if decision.rate and abs(tax_of(line.net_cents, decision.rate) - line.tax_cents) <= 1:
        return decision
    hundredths = share(10_000, abs(line.tax_cents), abs(line.net_cents)) if line.net_cents else 10_000
    return TaxDecision("S", Decimal(max(1, min(hundredths, 10_000))).scaleb(-2))
