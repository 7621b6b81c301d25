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
from turf_saas.collecting_bundles import Bundle, Uncollectable, draft_of, lines_of, make_bundle, read_bundle
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
    bundle = make_bundle(db, now, invoice_id) or _half_sent(db, invoice_id)
    if bundle is None:
        return
    customer = ensure_customer(db, now, stripe, bundle.invoice.tenant_id, bundle.invoice.user_id)
    go_on()
    draft_id = _make_draft(db, now, settings, stripe, bundle, customer)
    for step, params in lines_of(bundle, customer, draft_id).items():
        go_on()
        stripe_calls.make(
            db,
            now,
            bundle.invoice.tenant_id,
            bundle.subject,
            step,
            params,
            stripe.create_item,
            find=partial(_find_item, stripe, draft_id, step),
        )
    go_on()
    there = stripe.retrieve("invoices", draft_id)
    if cents(there.get("total")) != bundle.amount_cents:
        raise Uncollectable(f"{draft_id} comes to {there.get('total')} at Stripe, and to {bundle.amount_cents} here")
    _finalize(db, now, stripe, bundle, draft_id)


def _half_sent(db: Connection, invoice_id: int) -> Bundle | None:
    """One that an event has told to be finalized before its own answer was noted."""
    row = gateway_invoices.find(db, invoice_id)
    if (
        row is None
        or row.provider_id is None
        or not stripe_calls.is_unanswered(db, stripe_calls.of_invoice(invoice_id), "finalize")
    ):
        return None
    return read_bundle(db, invoice_id)


def _make_draft(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, bundle: Bundle, customer: str
) -> str:
    """Its id, which is ours to know from the moment it is answered."""
    invoice, name = bundle.invoice, installation(db)
    card = find_card(db, invoice.user_id)
    return stripe_calls.make(
        db,
        now,
        invoice.tenant_id,
        bundle.subject,
        "create",
        draft_of(now, settings, bundle, customer, name, card=card),
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


def _finalize(db: Connection, now: datetime, stripe: StripeGateway, bundle: Bundle, draft_id: str) -> None:
    """Where less is due by now, nothing is collected before that is settled there, too."""
    goes_on = read_bundle(db, bundle.invoice.id).due_cents == bundle.amount_cents
    stripe_calls.make(
        db,
        now,
        bundle.invoice.tenant_id,
        bundle.subject,
        "finalize",
        {"auto_advance": goes_on},
        partial(stripe.finalize_invoice, draft_id),
        find=partial(_find_finalized, stripe, draft_id),
        and_then=lambda there: _note_sent(db, now, bundle, there),
    )


def _find_finalized(stripe: StripeGateway, draft_id: str) -> Json | None:
    there = stripe.retrieve("invoices", draft_id)
    return there if there.get("status") != "draft" else None


def _note_sent(db: Connection, now: datetime, bundle: Bundle, there: Json) -> None:
    """What became of it there since is told by events. What was paid here since is told there."""
    invoice = bundle.invoice
    gateway_invoices.move(
        db,
        now,
        invoice.id,
        "open",
        seen=BEING_SENT,
        hosted_url=_text(dig(there, "hosted_invoice_url")),
    )
    stands_still = there.get("status") == "open" and there.get("auto_advance") is False
    if stands_still or read_bundle(db, invoice.id).due_cents != bundle.amount_cents:
        gateway_invoices.enqueue_settling(db, now, invoice.tenant_id, invoice.id)


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None
