"""An invoice explained, line by line and to the cent: fit to be pasted into a mail, and as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from billing_db import Connection
from turf_saas import invoices, profiles, rollover
from turf_saas.errors import InvalidInput
from turf_saas.explained_changes import tell_change
from turf_saas.explained_lines import Explained, Words, explain_line, use_of
from turf_saas.invoice_documents import DocumentLine, DocumentTax
from turf_saas.invoice_totals import TaxedLine, total
from turf_saas.invoices import Invoice
from turf_saas.issuing_documents import Composer, TaxOf
from turf_saas.last_use import LastUse, find_last_event
from turf_saas.said_again import said_again
from turf_saas.settings import Settings
from turf_saas.tax import Category
from turf_saas.users import User
from turf_saas.values import Month, UserId, instant_text


@dataclass(frozen=True)
class Explanation:
    """What is said of a document. number is None of a draft, `lines` are empty of what another program wrote."""

    number: str | None
    kind: str
    user_id: UserId
    month: str | None
    locale: str
    currency: str
    net_cents: int | None
    tax_cents: int | None
    amount_cents: int
    recomputed_cents: int
    lines: tuple[Explained, ...]
    taxes: tuple[DocumentTax, ...]
    text: str


@dataclass(frozen=True)
class _Said:
    """A document of either kind: one that was issued, or would be."""

    user_id: UserId
    kind: str
    month: str | None
    currency: str
    amount_cents: int
    lines: Sequence[DocumentLine]
    taxes: Sequence[DocumentTax]
    billed: Mapping[str, Mapping[str, int]]
    until: str


def explain_invoice(db: Connection, settings: Settings, invoice: Invoice, locale: str | None = None) -> Explanation:
    """One that was issued, as it was, in its own language or in another one.

    Nothing that has changed since is asked, but for its last events.
    """
    own = invoice.locale or settings.locale
    words = Words(locale or own, invoice.currency, settings.timezone)
    said = _Said(
        invoice.user_id,
        invoice.kind,
        invoice.month,
        invoice.currency,
        invoice.amount_cents,
        [
            line._replace(description=said_again(line.description, line.kind, own, words.locale))
            for line in invoice.lines
        ],
        invoice.taxes,
        invoice.billed,
        invoice.issued_at,
    )
    if not invoice.is_ours:
        head = words.say(
            "explain_adopted",
            number=invoice.number,
            amount=words.money(invoice.amount_cents),
            currency=invoice.currency,
        )
    else:
        head = words.say(
            "explain_credit_note" if invoice.kind == "credit_note" else "explain_invoice",
            number=invoice.number,
            day=words.first_day(invoice.issued_at),
            month=invoice.month or invoice.period_start[:7],
            credited=invoice.credited_number,
            currency=invoice.currency,
        )
    return _explain(db, said, words, head, invoice.number, invoice.credited_number)


def explain_month(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    month: Month,
    locale: str | None = None,
    tax_of: TaxOf | None = None,
) -> Explanation:
    """The month's invoice; before it is issued, what it would say now. A month that has not begun is refused."""
    invoice = invoices.find_of_month(db, user.id, str(month))
    if invoice is not None:
        return explain_invoice(db, settings, invoice, locale)
    current = Month.of(now, settings.timezone)
    if month.first_day > current.first_day:
        raise InvalidInput("month_to_come", field="month", month=str(month), current=str(current))
    locale = locale or profiles.get_profile(db, settings, user.id).locale or settings.locale
    rollover.bring_up_to_date(db, now, settings, user.id)
    composer = Composer(db, now, settings, user.tenant_id, [user.id], month)
    asked = composer.ask(user.id, tax_of, locale) if tax_of else None
    composed = composer.compose(user.id, asked, locale)
    document = composed.document
    words = Words(locale, composed.draft.currency, settings.timezone)
    said = _Said(
        user.id,
        "period",
        str(month),
        words.currency,
        document.amount_cents if document else 0,
        document.lines if document else (),
        document.taxes if document else (),
        json.loads(document.billed or "{}") if document else {},
        instant_text(now),
    )
    code = "explain_draft" if document else "explain_nothing"
    return _explain(db, said, words, words.say(code, month=str(month), currency=words.currency), None, None)


def _explain(
    db: Connection, said: _Said, words: Words, head: str, number: str | None, credited: str | None
) -> Explanation:
    month = Month.parse(said.month) if said.month else None
    explained = []
    for position, line in enumerate(said.lines, start=1):
        of = explain_line(line, position, month, said.billed, words)
        last = _find_last(db, said, line, of)
        told = (*of.told, *tell_change(db, line, words), *_more(line, last, credited, words))
        explained.append(replace(of, last_event=last, told=told))
    net, tax = sum(line.net_cents for line in said.lines), sum(tax.tax_cents for tax in said.taxes)
    recomputed = _recomputed(said, explained)
    text = [head]
    for of, line in zip(explained, said.lines, strict=True):
        text += ["", *_told(of, line, words)]
    if said.lines:
        text += ["", *_told_totals(said, net, tax, recomputed, words)]
    return Explanation(
        number,
        said.kind,
        said.user_id,
        said.month,
        words.locale,
        said.currency,
        net if said.lines else None,
        tax if said.lines else None,
        said.amount_cents,
        recomputed,
        tuple(explained),
        tuple(said.taxes),
        "\n".join(text) + "\n",
    )


def _find_last(db: Connection, said: _Said, line: DocumentLine, of: Explained) -> LastUse | None:
    """The last event of the line's days that is billed. API calls are counted by day."""
    spans, billed = use_of(line, Month.parse(said.month) if said.month else None, said.billed)
    if not spans or line.metric is None:
        return None
    found = None
    if line.metric != "api_calls":
        found = find_last_event(db, said.user_id, line.metric, (spans[0][0], spans[-1][1]), billed, said.until)
    if found is None and of.days:
        day = max(of.days)
        return LastUse(day, of.days[day])
    return found


def _more(line: DocumentLine, last: LastUse | None, credited: str | None, words: Words) -> Iterator[str]:
    if line.tax_behavior == "inclusive":
        yield words.say("explain_inside", net=words.money(line.net_cents))
    position = json.loads(line.origin).get("position")
    if position is not None and credited is not None:
        yield words.say("explain_credited", position=position, number=credited)
    if last is not None:
        yield words.say("explain_last_day" if last.id is None else "explain_event", **last._asdict())


def _recomputed(said: _Said, explained: Sequence[Explained]) -> int:
    """The document's amount from what its lines come to. A credit note's VAT is what was left: it stands as it is."""
    if said.kind != "period" or not said.lines:
        return said.amount_cents
    return total(
        [
            TaxedLine(of.recomputed_cents, cast(Category, line.vat_category), Decimal(line.vat_rate), line.tax_behavior)
            for of, line in zip(explained, said.lines, strict=True)
        ]
    ).amount_cents


def _told(of: Explained, line: DocumentLine, words: Words) -> Iterator[str]:
    amount = words.money(line.amount_cents)
    yield words.say("explain_line", position=of.position, description=of.description, amount=amount)
    yield from (f"   {sentence}" for sentence in of.told)


def _told_totals(said: _Said, net: int, tax: int, recomputed: int, words: Words) -> Iterator[str]:
    for each in said.taxes:
        yield words.say(
            "explain_tax",
            rate=words.number(each.vat_rate),
            category=each.vat_category,
            base=words.money(each.base_cents),
            tax=words.money(each.tax_cents),
        )
    amounts: dict[str, Any] = {"net": words.money(net), "tax": words.money(tax)}
    yield words.say("explain_total", amount=words.money(said.amount_cents), currency=said.currency, **amounts)
    if recomputed != said.amount_cents:
        yield words.say("explain_differs", amount=words.money(recomputed), currency=said.currency)
