"""What follows once an invoice stands at Stripe: less is due of it here, or its payer is asked again."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from billing_db import Connection, atomic
from turf_saas import gateway_invoices, stripe_calls
from turf_saas.collecting_bundles import Bundle, read_bundle
from turf_saas.gateways import STRIPE, CardDeclined, GatewayRefused
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, metadata_of
from turf_saas.stripe_payers import find_card
from turf_saas.values import UserId

logger = logging.getLogger("turf_saas.billing")

WAITING_THERE = ("open", "uncollectible")
AT_STRIPE: tuple[gateway_invoices.Status, ...] = ("draft", "open", "uncollectible", "parked")


def settle(db: Connection, now: datetime, stripe: StripeGateway, invoice_id: int) -> None:
    """Stripe waits for no more than what is due here. What was paid there meanwhile is told by an event."""
    bundle = find_sent(db, invoice_id)
    if bundle is None or bundle.row.provider_id is None:
        return
    there = stripe.retrieve("invoices", bundle.row.provider_id)
    if there.get("status") not in WAITING_THERE:
        return  # a draft is compared when it is finalized
    try:
        _bring_near(db, now, stripe, bundle, there)
    except GatewayRefused as refused:
        if refused.of_key or stripe.retrieve("invoices", bundle.row.provider_id).get("status") in WAITING_THERE:
            raise
        logger.info("invoice %s was ended at Stripe meanwhile: %s", bundle.invoice.number, refused)


def _bring_near(db: Connection, now: datetime, stripe: StripeGateway, bundle: Bundle, there: Json) -> None:
    due, asked = bundle.due_cents, cents(there.get("amount_remaining")) or 0
    if due == 0 and asked:
        _end(db, now, stripe, bundle, there)
    elif due < asked:
        _lower(db, now, stripe, bundle, asked - due)
    finalized = stripe_calls.find_params(db, bundle.subject, "finalize") or {}
    if due and there.get("status") == "open" and finalized.get("auto_advance") is False:
        _set_going(db, now, stripe, bundle)


def find_sent(db: Connection, invoice_id: int) -> Bundle | None:
    """What stands at Stripe for the invoice: its own, or the one that it is carried into."""
    row = gateway_invoices.find(db, invoice_id)
    if row is not None and row.carried_into is not None:
        row = gateway_invoices.find(db, row.carried_into)
    return read_bundle(db, row.invoice_id) if row is not None and row.status in AT_STRIPE else None


def _end(db: Connection, now: datetime, stripe: StripeGateway, bundle: Bundle, there: Json) -> None:
    """Nothing is due any more: it was cancelled, or paid in another way."""
    provider_id, is_void = str(bundle.row.provider_id), _is_cancelled(bundle) and not cents(there.get("amount_paid"))
    step = "void" if is_void else gateway_invoices.OUT_OF_BAND
    send = partial(stripe.void_invoice if is_void else stripe.pay_invoice, provider_id)
    stripe_calls.make(
        db,
        now,
        bundle.invoice.tenant_id,
        bundle.subject,
        step,
        {} if is_void else {"paid_out_of_band": True},
        send,
        find=partial(_find_ended, stripe, provider_id),
        and_then=lambda _: _note_end(db, now, bundle, "void" if is_void else "paid"),
    )


def _is_cancelled(bundle: Bundle) -> bool:
    return all(invoice.status == "cancelled" for invoice in (bundle.invoice, *(of for _, of in bundle.carried)))


def _find_ended(stripe: StripeGateway, provider_id: str) -> Json | None:
    there = stripe.retrieve("invoices", provider_id)
    return there if there.get("status") in ("paid", "void") else None


def _note_end(db: Connection, now: datetime, bundle: Bundle, status: gateway_invoices.Status) -> None:
    gateway_invoices.move(db, now, bundle.invoice.id, status, seen=AT_STRIPE)


def _lower(db: Connection, now: datetime, stripe: StripeGateway, bundle: Bundle, less: int) -> None:
    """By a credit note there. One that was begun is finished first: then what is left is compared again."""
    steps = _begun_notes(db, bundle)
    begun = [step for step in steps if stripe_calls.is_unanswered(db, bundle.subject, step)]
    step = begun[-1] if begun else f"reduce-{len(steps) + 1}"
    stripe_calls.make(
        db,
        now,
        bundle.invoice.tenant_id,
        bundle.subject,
        step,
        {
            "invoice": bundle.row.provider_id,
            "amount": less,
            "metadata": {"app": APP, "local_invoice_id": str(bundle.invoice.id), "step": step},
        },
        stripe.create_credit_note,
        find=partial(_find_note, stripe, bundle, step),
    )
    if begun:
        gateway_invoices.enqueue_settling(db, now, bundle.invoice.tenant_id, bundle.invoice.id)


def _begun_notes(db: Connection, bundle: Bundle) -> list[str]:
    many = stripe_calls.count_steps(db, bundle.subject, "reduce-")
    return [f"reduce-{number}" for number in range(1, many + 1)]


def _find_note(stripe: StripeGateway, bundle: Bundle, step: str) -> Json | None:
    made = stripe.list("credit_notes", invoice=bundle.row.provider_id)
    return next((one for one in made if metadata_of(one).get("step") == step), None)


def _set_going(db: Connection, now: datetime, stripe: StripeGateway, bundle: Bundle) -> None:
    """What was finalized without being collected is collected now, for what is due."""
    stripe_calls.make(
        db,
        now,
        bundle.invoice.tenant_id,
        bundle.subject,
        "advance",
        {"auto_advance": True},
        partial(stripe.update_invoice, str(bundle.row.provider_id)),
    )
    with atomic(db):
        gateway_invoices.enqueue_payment(db, now, bundle.invoice.tenant_id, bundle.invoice.id, "first")


# -- asked again -----------------------------------------------------------------------------------------------


def pay(db: Connection, now: datetime, stripe: StripeGateway, invoice_id: int, attempt: str) -> None:
    """The invoice is charged once more, once for each of these words: where there is a card, and Stripe waits for it.

    What comes of it is told by an event, whether it was paid or declined.
    """
    bundle = find_sent(db, invoice_id)
    card = find_card(db, bundle.invoice.user_id) if bundle is not None else None
    if bundle is None or bundle.row.provider_id is None or not bundle.due_cents or card is None:
        return
    there = stripe.retrieve("invoices", bundle.row.provider_id)
    if there.get("status") != "open":
        return
    try:
        stripe_calls.make(
            db,
            now,
            bundle.invoice.tenant_id,
            bundle.subject,
            f"pay-{attempt}",
            {"payment_method": card},
            partial(stripe.pay_invoice, bundle.row.provider_id),
            find=partial(_find_ended, stripe, bundle.row.provider_id),
        )
    except CardDeclined as declined:
        logger.info("invoice %s: %s", bundle.invoice.number, declined)
    except GatewayRefused as refused:
        if refused.of_key:
            raise
        gateway_invoices.note_error(db, now, invoice_id, str(refused))  # it was paid, or ended, at this moment


def enqueue_open(db: Connection, now: datetime, user_id: UserId) -> None:
    """Each invoice that waits for the user's money is tried with the card that he has now."""
    card = find_card(db, user_id)
    if card is None:
        return
    with atomic(db):
        for row in gateway_invoices.list_open(db, user_id):
            if row.gateway == STRIPE:
                gateway_invoices.enqueue_payment(db, now, row.tenant_id, row.invoice_id, f"card-{card}")
