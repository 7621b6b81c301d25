"""Credit notes: what an invoice said is taken back, wholly or partly, by a document of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

from billing_db import Connection, atomic, fetch_one
from turf_saas import account_credit, gateway_invoices, invoice_balances, invoice_register, invoices
from turf_saas.credit_split import CreditLine, gross_of, left_of, split_credit
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.invoice_documents import Document, DocumentLine, DocumentTax
from turf_saas.invoice_totals import Tax, net_of, tax_of
from turf_saas.invoices import Invoice
from turf_saas.messages import say
from turf_saas.money import from_cents
from turf_saas.prices import decimal_text
from turf_saas.settings import Settings
from turf_saas.tax import Category, rate_text
from turf_saas.values import local_day

CREDITED = "credited"  # why an invoice changed its status


class Wanted(NamedTuple):
    """So much of a line is given back; with its VAT where the line's price includes it."""

    position: int
    amount_cents: int


class LineWish(NamedTuple):
    """A line is credited: so much of its net, or all that is left of it."""

    position: int
    net_cents: int | None = None


class _Part(NamedTuple):
    """What a credit note takes back of one line."""

    position: int
    credit: CreditLine


@dataclass(frozen=True)
class _Credited:
    """An invoice, and what its credit notes have taken back."""

    invoice: Invoice
    taxes: tuple[Tax, ...]
    credited: tuple[Tax, ...]
    nets: dict[int, int]  # of each line, by its position
    amounts: dict[int, int]  # the same in the line's own terms: with its VAT where its price includes it

    @property
    def left(self) -> tuple[Tax, ...]:
        return left_of(self.taxes, self.credited)


def credit_invoice(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    number: str,
    *,
    amount_cents: int | None = None,
    lines: Sequence[LineWish] | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> Invoice:
    """The credit note, issued: of an amount with its VAT, of lines, or of all that is left.

    Conflict when that is more than is left, and for what cannot be credited: a credit note, an adopted invoice.
    """
    if amount_cents is not None and lines is not None:
        raise InvalidInput("credit_amount_or_lines", field="amount_cents")
    with atomic(db):
        invoice_register.hold_register(db, tenant_id)
        invoice = invoices.hold(db, invoices.get_invoice(db, tenant_id, number).id)
        _refuse_uncreditable(invoice)
        found = _look(db, invoice)
        if lines is None:
            taxes = split_credit(found.taxes, found.credited, amount_cents=amount_cents)
            parts: list[_Part] = []
        else:
            parts = [_wished(found, wish) for wish in _checked(found, lines)]
            taxes = split_credit(found.taxes, found.credited, lines=[part.credit for part in parts])
        return _issue(db, now, settings, found, taxes, parts, reason=reason, by=by)


def give_back(
    db: Connection,
    now: datetime,
    settings: Settings,
    invoice_id: int,
    wanted: Sequence[Wanted],
    *,
    reason: str,
    by: str | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Invoice | None:
    """The credit note that gives back these amounts, or as much of them as is left; None when nothing is.

    origin: why, which each of its lines keeps for its explanation. The caller's transaction holds the register.
    """
    with atomic(db):
        invoice = invoices.hold(db, invoice_id)
        _refuse_uncreditable(invoice)
        found = _look(db, invoice)
        parts = _capped(found, wanted)
        if not parts or gross_of(found.left) <= 0:
            return None
        try:
            taxes = split_credit(found.taxes, found.credited, lines=[part.credit for part in parts])
        except Conflict as error:
            if error.code != "credit_too_large":
                raise
            # Another rate came to less than nothing: no more than all that is left.
            taxes, parts = split_credit(found.taxes, found.credited), []
        return _issue(db, now, settings, found, taxes, parts, reason=reason, by=by, origin=origin)


def _refuse_uncreditable(invoice: Invoice) -> None:
    if invoice.kind == "credit_note":
        raise Conflict("credit_note_not_creditable", number=invoice.number)
    if not invoice.is_ours:
        raise Conflict("adopted_not_creditable", number=invoice.number)


def _look(db: Connection, invoice: Invoice) -> _Credited:
    notes = invoices.list_credit_notes(db, invoice.id)
    nets: dict[int, int] = {}
    amounts: dict[int, int] = {}
    for line in (line for note in notes for line in note.lines):
        position = json.loads(line.origin).get("position")
        if position is not None:
            nets[position] = nets.get(position, 0) - line.net_cents
            amounts[position] = amounts.get(position, 0) - _as_of(line, invoice.lines[position - 1])
    credited = tuple(_tax(tax) for note in notes for tax in note.taxes)
    return _Credited(invoice, tuple(map(_tax, invoice.taxes)), credited, nets, amounts)


def _as_of(credit: DocumentLine, line: DocumentLine) -> int:
    """What was credited of a line, in the line's own terms."""
    if credit.tax_behavior == line.tax_behavior:
        return credit.amount_cents
    return credit.net_cents + tax_of(credit.net_cents, Decimal(line.vat_rate))


def _tax(tax: DocumentTax) -> Tax:
    return Tax(cast(Category, tax.vat_category), Decimal(tax.vat_rate), tax.base_cents, tax.tax_cents)


# -- lines that are asked for --------------------------------------------------------------------------


def _checked(found: _Credited, lines: Sequence[LineWish]) -> Sequence[LineWish]:
    positions = [wish.position for wish in lines]
    if not positions or len(set(positions)) < len(positions):
        raise InvalidInput("credit_lines_invalid", field="lines")
    for position in positions:
        if not 1 <= position <= len(found.invoice.lines):
            raise InvalidInput("credit_line_unknown", field="lines", position=position, most=len(found.invoice.lines))
    return lines


def _wished(found: _Credited, wish: LineWish) -> _Part:
    """Of a line no more than is left of it. A discount is below nothing, and so is what is taken back of it."""
    line = found.invoice.lines[wish.position - 1]
    left = line.net_cents - found.nets.get(wish.position, 0)
    net = left if wish.net_cents is None else wish.net_cents
    sign = 1 if line.net_cents >= 0 else -1
    if wish.net_cents is not None and net * sign <= 0:
        raise InvalidInput("credit_invalid", field="lines")
    if net * sign > left * sign or not left:
        raise Conflict("credit_too_large", sentence="credit_too_large_of_line", left_cents=left, position=wish.position)
    is_whole = line.tax_behavior == "inclusive" and net == line.net_cents
    return _part(wish.position, line, net, line.amount_cents if is_whole else None)


def _part(position: int, line: DocumentLine, net_cents: int, gross_cents: int | None) -> _Part:
    return _Part(
        position, CreditLine(net_cents, cast(Category, line.vat_category), Decimal(line.vat_rate), gross_cents)
    )


def _capped(found: _Credited, wanted: Sequence[Wanted]) -> list[_Part]:
    """What is wanted of each line, as far as the line and its rate still have so much."""
    left = {(tax.category, tax.rate): tax for tax in found.left}
    parts = []
    for position, amount in wanted:
        line = found.invoice.lines[position - 1]
        key = cast(Category, line.vat_category), Decimal(line.vat_rate)
        of = left.get(key)
        if of is None:
            continue
        most = min(amount, line.amount_cents - found.amounts.get(position, 0))
        gross = None
        if line.tax_behavior == "inclusive":
            gross = min(most, of.gross_cents)
            net = of.base_cents if gross == of.gross_cents else min(net_of(gross, of.rate), of.base_cents)
        else:
            net = min(most, of.base_cents)
        if net > 0:
            parts.append(_part(position, line, net, gross))
            left[key] = Tax(*key, of.base_cents - net, of.tax_cents - (gross - net if gross is not None else 0))
    return parts


# -- the document --------------------------------------------------------------------------------------


def _issue(
    db: Connection,
    now: datetime,
    settings: Settings,
    found: _Credited,
    taxes: Sequence[Tax],
    parts: Sequence[_Part],
    *,
    reason: str | None,
    by: str | None,
    origin: Mapping[str, Any] | None = None,
) -> Invoice:
    """First it lowers what is due; what was paid beyond that is the user's account credit."""
    invoice = found.invoice
    lines = [
        line._replace(origin=json.dumps({**json.loads(line.origin), **(origin or {})}))
        for line in _lines(settings, invoice, taxes, parts)
    ]
    document = _document(db, now, settings, invoice, taxes, lines, reason)
    (note,) = invoice_register.issue(db, now, settings, invoice.tenant_id, [document])
    gateway_invoices.note_change(db, now, invoice.tenant_id, invoice.id)
    freed = invoice_balances.credit(db, now, invoice, -document.amount_cents, by=by, reason=CREDITED)
    if freed:
        account_credit.add(
            db,
            now,
            invoice.tenant_id,
            invoice.user_id,
            invoice.currency,
            freed,
            "credit_note",
            invoice_id=invoice.id,
        )
    return invoices.get_by_id(db, note.id)


def _document(
    db: Connection,
    now: datetime,
    settings: Settings,
    invoice: Invoice,
    taxes: Sequence[Tax],
    lines: Sequence[DocumentLine],
    reason: str | None,
) -> Document:
    """It says of seller, buyer and mentions what the invoice said."""
    said = fetch_one(db, "SELECT seller, buyer, mentions FROM invoices WHERE id = :id", id=invoice.id)
    assert said is not None, "an issued invoice is never deleted"
    return Document(
        kind="credit_note",
        user_id=invoice.user_id,
        month=invoice.month,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        plan=invoice.plan,
        currency=invoice.currency,
        due_on=local_day(now, settings.timezone).isoformat(),
        locale=invoice.locale or settings.locale,
        seller=said["seller"],
        buyer=said["buyer"],
        mentions=said["mentions"],
        lines=tuple(lines),
        taxes=tuple(_document_tax(invoice, tax) for tax in taxes),
        credited_invoice_id=invoice.id,
        reason=reason,
    )


def _document_tax(invoice: Invoice, tax: Tax) -> DocumentTax:
    of = {(each.vat_category, Decimal(each.vat_rate)): each for each in invoice.taxes}
    return of[tax.category, tax.rate]._replace(base_cents=tax.base_cents, tax_cents=tax.tax_cents)


def _lines(
    settings: Settings, invoice: Invoice, taxes: Sequence[Tax], parts: Sequence[_Part]
) -> tuple[DocumentLine, ...]:
    """One per line that is credited; where an amount is, one per rate."""
    locale = invoice.locale or settings.locale
    if parts:
        return tuple(_line_of_line(invoice, part, locale) for part in parts)
    told = say("line_credit_note", locale, number=invoice.number)
    return tuple(
        _line(
            invoice,
            told,
            tax.base_cents,
            tax.category,
            rate_text(tax.rate),
            (invoice.period_start, invoice.period_end),
            {"invoice_id": invoice.id},
        )
        for tax in taxes
    )


def _line_of_line(invoice: Invoice, part: _Part, locale: str) -> DocumentLine:
    """In the terms of the line that is credited: with its VAT where its price includes it."""
    line = invoice.lines[part.position - 1]
    gross = part.credit.gross_cents
    credit = _line(
        invoice,
        say("line_credit_note_of", locale, number=invoice.number, line=line.description),
        -part.credit.net_cents,
        line.vat_category,
        line.vat_rate,
        (line.period_start, line.period_end),
        {"invoice_id": invoice.id, "position": part.position},
    )._replace(metric=line.metric)
    if gross is None:
        return credit
    unit = decimal_text(from_cents(-gross, invoice.currency))
    return credit._replace(amount_cents=-gross, tax_behavior="inclusive", unit_amount=unit)


def _line(
    invoice: Invoice,
    description: str,
    net_cents: int,
    category: str,
    rate: str,
    span: tuple[str | None, str | None],
    origin: dict[str, Any],
) -> DocumentLine:
    return DocumentLine(
        kind="credit",
        description=description,
        metric=None,
        quantity="1",
        unit_amount=decimal_text(from_cents(net_cents, invoice.currency)),
        amount_cents=net_cents,
        tax_behavior="exclusive",
        net_cents=net_cents,
        vat_category=category,
        vat_rate=rate,
        period_start=span[0],
        period_end=span[1],
        origin=json.dumps(origin),
    )
