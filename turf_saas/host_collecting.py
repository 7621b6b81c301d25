"""Collecting by a gateway of the host's own, or by the one that plays it: what it is given, and what it may answer."""

from __future__ import annotations

from typing import Any

from billing_db import atomic
from turf_saas import gateway_invoices, invoices, payment_attempts, payments
from turf_saas.gateway_choice import name_of
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.gateways import MANUAL, Collected, GatewayRefused
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payment_attempts import Failure
from turf_saas.payments import Source
from turf_saas.working import Park, Work


def collect(work: Work, row: GatewayInvoice) -> None:
    """The invoice is given to the gateway, outside of any transaction; what it answers is noted."""
    gateway: Any = work.around.gateway
    invoice = invoices.get_by_id(work.db, row.invoice_id)
    if row.status not in ("waiting", "parked"):
        return
    if not invoice.due_cents:
        gateway_invoices.move(work.db, work.now, invoice.id, "skipped", seen=(row.status,))
        return
    if name_of(gateway) != row.gateway or row.gateway == MANUAL:
        raise Park(f"invoice {invoice.number} was to be collected by {row.gateway}, which is not there any more")
    try:
        said = gateway.sync(invoice, invoice.lines)
    except GatewayRefused as refused:
        gateway_invoices.move(work.db, work.now, invoice.id, "parked", seen=(row.status,), error=str(refused))
        raise Park(str(refused)) from None
    _note(work, row, invoice, said if isinstance(said, Collected) else Collected(said))


def _note(work: Work, row: GatewayInvoice, invoice: Invoice, said: Collected) -> None:
    """What it calls the invoice, and the money or the refusal that it told of at once."""
    db, now, notices = work.db, work.now, []
    provider_id = str(said.provider_id) if said.provider_id is not None else None
    key = f"{row.gateway}:{provider_id or invoice.number}"
    with atomic(db):
        gateway_invoices.move(
            db, now, invoice.id, "open", seen=(row.status,), provider_id=provider_id, hosted_url=said.hosted_url
        )
        if said.paid_cents > 0:
            source = Source(row.gateway, key)
            got = payments.receive(
                db, now, work.around.settings, invoice, source, amount_cents=said.paid_cents, method="other"
            )
            if got is not None and got.invoice.status == "paid":
                gateway_invoices.move(db, now, invoice.id, "paid", seen=("open",))
                notices.append(Notice("invoice_paid", {"invoice": got.invoice, "payment": got.payment}))
        elif said.declined is not None:
            failure = Failure("failed", invoice.due_cents, now, said.declined)
            noted = payment_attempts.note_failure(db, now, invoices.hold(db, invoice.id), key, failure)
            notices.append(Notice("payment_failed", {"invoice": invoice, "attempt": noted.attempt}))
    work.around.noticed(notices)
