"""What is collected of an invoice, and with which others: decided once, before the gateway hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from billing_db import Connection, atomic
from turf_saas import gateway_invoices, invoices, stripe_calls
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.invoice_documents import DocumentLine
from turf_saas.invoices import Invoice
from turf_saas.messages import say
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.stripe_currencies import can_collect, minimum_cents
from turf_saas.stripe_objects import APP, Json
from turf_saas.values import parse_instant, read_day

MOST_LINES = 200  # of 250 that Stripe takes
MAX_DESCRIPTION = 500
LEAST_DAYS = timedelta(days=1)  # a due date that is over is none


class Uncollectable(Exception):
    """It cannot be collected there as it is, and somebody has to do it in another way."""


class Bundle(NamedTuple):
    """An invoice, and those too small to be collected alone that go with it. amount_cents: of all of them."""

    invoice: Invoice
    row: GatewayInvoice
    carried: tuple[tuple[GatewayInvoice, Invoice], ...]

    @property
    def amount_cents(self) -> int:
        return self.row.amount_cents + sum(row.amount_cents for row, _ in self.carried)

    @property
    def due_cents(self) -> int:
        """What is due of all of it here, as it was read."""
        return self.invoice.due_cents + sum(invoice.due_cents for _, invoice in self.carried)

    @property
    def subject(self) -> str:
        return stripe_calls.of_invoice(self.invoice.id)


def make_bundle(db: Connection, now: datetime, invoice_id: int) -> Bundle | None:
    """What is sent now, or was begun to be; None where nothing is: it is paid meanwhile, or too small alone."""
    with atomic(db):
        invoice = invoices.get_by_id(db, invoice_id)
        waiting = {row.invoice_id: row for row in gateway_invoices.hold_waiting(db, invoice.user_id)}
        row = waiting.get(invoice_id)
        if row is None or row.status == "carried":
            return None
        if row.status == "draft" or stripe_calls.count_steps(db, stripe_calls.of_invoice(invoice_id)):
            return read_bundle(db, invoice_id)
        if not invoice.due_cents:
            gateway_invoices.move(db, now, invoice_id, "skipped", seen=("waiting", "parked"))
            return None
        _refuse_uncollectable(invoice)
        small = [(each, of) for each in waiting.values() for of in _smalls(db, invoice, each)]
        if invoice.due_cents + sum(of.due_cents for _, of in small) < minimum_cents(invoice.currency):
            return None
        for each, of in small:
            gateway_invoices.move(
                db, now, each.invoice_id, "carried", seen=("waiting", "carried"),
                carried_into=invoice_id, amount_cents=of.due_cents,
            )  # fmt: skip
        gateway_invoices.move(db, now, invoice_id, "draft", seen=("waiting", "parked"), amount_cents=invoice.due_cents)
        return read_bundle(db, invoice_id)


def read_bundle(db: Connection, invoice_id: int) -> Bundle:
    """As it was made."""
    row = gateway_invoices.find(db, invoice_id)
    assert row is not None, "such an invoice has a row"
    carried = [
        (each, invoices.get_by_id(db, each.invoice_id)) for each in gateway_invoices.list_carried(db, invoice_id)
    ]
    return Bundle(invoices.get_by_id(db, invoice_id), row, tuple(carried))


def _refuse_uncollectable(invoice: Invoice) -> None:
    if not can_collect(invoice.currency, invoice.due_cents):
        raise Uncollectable(f"Stripe cannot collect {invoice.due_cents} of the minor unit of {invoice.currency}")


def _smalls(db: Connection, sent: Invoice, row: GatewayInvoice) -> list[Invoice]:
    """The invoice, where it waits for one with which it can be collected, or was to go with this one."""
    if row.invoice_id == sent.id or not (row.status == "waiting" or row.carried_into == sent.id):
        return []
    invoice = invoices.get_by_id(db, row.invoice_id)
    fits = invoice.currency == sent.currency and 0 < invoice.due_cents < minimum_cents(sent.currency)
    return [invoice] if fits else []


# -- as Stripe is told ---------------------------------------------------------------------------------------


def draft_of(
    now: datetime, settings: Settings, bundle: Bundle, customer: str, installation: str, *, card: str | None
) -> Json:
    """The draft's parameters. card: what is charged, which need not be the customer's default there, as one that a
    checkout has left; without any Stripe asks the payer.
    """
    invoice = bundle.invoice
    terms: dict[str, Any] = {"collection_method": "charge_automatically", "default_payment_method": card}
    if card is None:
        terms = {"collection_method": "send_invoice", "due_date": _due_date(now, settings, invoice)}
    return {
        "customer": customer,
        "currency": invoice.currency.lower(),
        **terms,
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "number": invoice.number if invoice.tenant_id == 1 else f"T{invoice.tenant_id}-{invoice.number}",
        "metadata": {
            "app": APP,
            "installation": installation,
            "local_invoice_id": str(invoice.id),
            "number": invoice.number,
        },
    }


def _due_date(now: datetime, settings: Settings, invoice: Invoice) -> int:
    """The end of the day until which it is to be paid."""
    on = read_day(invoice.due_on)
    end = start_of_day(on + timedelta(days=1), settings.timezone) - timedelta(seconds=1) if on else now
    return int(max(end, now + LEAST_DAYS).timestamp())


def lines_of(bundle: Bundle, customer: str, draft_id: str) -> dict[str, Json]:
    """By its step, each line that the draft gets: ours by their net, each rate's VAT, what is settled already."""
    invoice = bundle.invoice
    locale = invoice.locale or "fr"
    found: dict[str, Json] = {}

    def add(step: str, cents: int, description: str, span: tuple[str | None, str | None] = (None, None)) -> None:
        if cents:
            found[step] = {
                "customer": customer,
                "invoice": draft_id,
                "amount": cents,
                "currency": invoice.currency.lower(),
                "description": description[:MAX_DESCRIPTION],
                **_period(span),
                "metadata": {"app": APP, "line": step},
            }

    if len(invoice.lines) <= MOST_LINES:
        for position, line in enumerate(invoice.lines, start=1):
            add(f"line-{position}", line.net_cents, line.description, _span(line))
    else:
        add("lines", sum(line.net_cents for line in invoice.lines), say("item_lines", locale, many=len(invoice.lines)))
    for position, tax in enumerate(invoice.taxes, start=1):
        add(f"tax-{position}", tax.tax_cents, say("item_vat", locale, rate=_percent(tax.vat_rate, locale)))
    add("settled", bundle.row.amount_cents - invoice.amount_cents, say("item_settled", locale))
    for row, other in bundle.carried:
        add(f"carried-{other.id}", row.amount_cents, say("item_carried", locale, number=other.number))
    return found


def _percent(rate: str, locale: str) -> str:
    return rate.replace(".", ",") if locale == "fr" else rate


def _span(line: DocumentLine) -> tuple[str | None, str | None]:
    return line.period_start, line.period_end


def _period(span: tuple[str | None, str | None]) -> Mapping[str, Any]:
    start, end = span
    if start is None or end is None or end <= start:
        return {}
    return {
        "period": {
            name: int(parse_instant(at).astimezone(UTC).timestamp()) for name, at in (("start", start), ("end", end))
        }
    }
