"""Collecting: an invoice that was issued is brought to Stripe, step by step, so that it stands there once.

First a draft that nobody sees and that collects nothing by itself; then its lines; then what it comes to is compared
with ours to the cent; only then is it finalized, and Stripe collects it. Each step may be repeated: see stripe_calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from billing_db import Connection
from turf_saas import gateway_invoices, stripe_calls, stripe_mirror
from turf_saas.collecting_plans import Plan, Uncollectable, draft_of, due_of, items_of_plan, plan, read_plan
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings
from turf_saas.stripe_calls import installation
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, dig, metadata_of, sid
from turf_saas.stripe_payers import ensure_customer, find_card

logger = logging.getLogger("turf_saas.billing")

GoOn = Callable[[], None]
BEING_SENT: tuple[gateway_invoices.Status, ...] = ("draft", "parked")


def collect(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, invoice_id: int, go_on: GoOn
) -> None:
    """The invoice is at Stripe, finalized, for what is due of it; or is nothing that has to be there.

    go_on: called before each step; it raises where this is another worker's by now. Uncollectable, with the draft left
    as it is, where Stripe comes to another total than we do.
    """
    planned = plan(db, now, invoice_id) or _half_sent(db, invoice_id)
    if planned is None:
        return
    customer = ensure_customer(db, now, stripe, planned.invoice.tenant_id, planned.invoice.user_id)
    go_on()
    draft_id = _make_draft(db, now, settings, stripe, planned, customer)
    for step, params in items_of_plan(planned, customer, draft_id).items():
        go_on()
        stripe_calls.make(
            db,
            now,
            planned.invoice.tenant_id,
            planned.subject,
            step,
            params,
            stripe.create_item,
            find=partial(_find_item, stripe, draft_id, step),
        )
    go_on()
    there = stripe.retrieve("invoices", draft_id)
    if cents(there.get("total")) != planned.amount_cents:
        raise Uncollectable(f"{draft_id} comes to {there.get('total')} at Stripe, and to {planned.amount_cents} here")
    _finalize(db, now, stripe, planned, draft_id)


def _half_sent(db: Connection, invoice_id: int) -> Plan | None:
    """One that an event has told to be finalized before its own answer was noted."""
    row = gateway_invoices.find(db, invoice_id)
    if (
        row is None
        or row.provider_id is None
        or not stripe_calls.is_unanswered(db, f"invoice:{invoice_id}", "finalize")
    ):
        return None
    return read_plan(db, invoice_id)


def _make_draft(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, planned: Plan, customer: str
) -> str:
    """Its id, which is ours to know from the moment it is answered."""
    invoice, name = planned.invoice, installation(db)
    card = find_card(db, invoice.user_id)
    return stripe_calls.make(
        db,
        now,
        invoice.tenant_id,
        planned.subject,
        "create",
        draft_of(now, settings, planned, customer, name, card=card),
        stripe.create_invoice,
        find=partial(_find_invoice, stripe, customer, invoice.id, name),
        and_then=lambda draft: _link(db, now, invoice, draft),
    ).id


def _link(db: Connection, now: datetime, invoice: Invoice, draft: Json) -> None:
    """From now on both sides know each other."""
    if not stripe_mirror.link(db, now, invoice, str(sid(draft))):
        raise Uncollectable(f"{sid(draft)} is a second one for {invoice.number}")


def _find_invoice(stripe: StripeGateway, customer: str, invoice_id: int, name: str) -> Json | None:
    """The draft that an earlier call has made, though nobody heard of it."""
    mine = {"app": APP, "installation": name, "local_invoice_id": str(invoice_id)}
    made = stripe.list("invoices", customer=customer)
    return next((one for one in made if mine.items() <= metadata_of(one).items()), None)


def _find_item(stripe: StripeGateway, draft_id: str, step: str) -> Json | None:
    made = stripe.list("invoice_items", invoice=draft_id)
    return next((one for one in made if metadata_of(one).get("line") == step), None)


def _finalize(db: Connection, now: datetime, stripe: StripeGateway, planned: Plan, draft_id: str) -> None:
    """Where less is due by now, nothing is collected before that is settled there, too."""
    goes_on = due_of(read_plan(db, planned.invoice.id)) == planned.amount_cents
    stripe_calls.make(
        db,
        now,
        planned.invoice.tenant_id,
        planned.subject,
        "finalize",
        {"auto_advance": goes_on},
        partial(stripe.finalize_invoice, draft_id),
        find=partial(_find_finalized, stripe, draft_id),
        and_then=lambda there: _note_sent(db, now, planned, there),
    )


def _find_finalized(stripe: StripeGateway, draft_id: str) -> Json | None:
    there = stripe.retrieve("invoices", draft_id)
    return there if there.get("status") != "draft" else None


def _note_sent(db: Connection, now: datetime, planned: Plan, there: Json) -> None:
    """What became of it there since is told by events. What was paid here since is told there."""
    invoice = planned.invoice
    gateway_invoices.move(
        db,
        now,
        invoice.id,
        "open",
        seen=BEING_SENT,
        hosted_url=_text(dig(there, "hosted_invoice_url")),
        pdf_url=_text(dig(there, "invoice_pdf")),
    )
    stands_still = there.get("status") == "open" and there.get("auto_advance") is False
    if stands_still or due_of(read_plan(db, invoice.id)) != planned.amount_cents:
        gateway_invoices.enqueue_settling(db, now, invoice.tenant_id, invoice.id)


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None
