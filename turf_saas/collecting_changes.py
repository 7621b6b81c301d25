"""What follows once an invoice stands at Stripe: less is due of it here, or its payer is asked again."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from billing_db import Connection, atomic, fetch_one
from turf_saas import gateway_invoices, stripe_calls
from turf_saas.collecting_plans import Plan, due_of, read_plan
from turf_saas.gateways import STRIPE, CardDeclined, GatewayRefused
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, metadata_of
from turf_saas.stripe_payers import find_card
from turf_saas.values import UserId

logger = logging.getLogger("turf_saas.billing")

OUT_OF_BAND = "out-of-band"
WAITING_THERE = ("open", "uncollectible")
AT_STRIPE: tuple[gateway_invoices.Status, ...] = ("draft", "open", "uncollectible", "parked")


def settle(db: Connection, now: datetime, stripe: StripeGateway, invoice_id: int) -> None:
    """Stripe waits for no more than what is due here. What was paid there meanwhile is told by an event."""
    plan = find_sent(db, invoice_id)
    if plan is None or plan.row.provider_id is None:
        return
    there = stripe.retrieve("invoices", plan.row.provider_id)
    if there.get("status") not in WAITING_THERE:
        return  # a draft is compared when it is finalized
    try:
        _bring_near(db, now, stripe, plan, there)
    except GatewayRefused as refused:
        if refused.of_key or stripe.retrieve("invoices", plan.row.provider_id).get("status") in WAITING_THERE:
            raise
        logger.info("invoice %s was ended at Stripe meanwhile: %s", plan.invoice.number, refused)


def _bring_near(db: Connection, now: datetime, stripe: StripeGateway, plan: Plan, there: Json) -> None:
    due, asked = due_of(plan), cents(there.get("amount_remaining")) or 0
    if due == 0 and asked:
        _end(db, now, stripe, plan, there)
    elif due < asked:
        _lower(db, now, stripe, plan, asked - due)
    finalized = stripe_calls.find_params(db, plan.subject, "finalize") or {}
    if due and there.get("status") == "open" and finalized.get("auto_advance") is False:
        _set_going(db, now, stripe, plan)


def find_sent(db: Connection, invoice_id: int) -> Plan | None:
    """What stands at Stripe for the invoice: its own, or the one that it is carried into."""
    row = gateway_invoices.find(db, invoice_id)
    if row is not None and row.carried_into is not None:
        row = gateway_invoices.find(db, row.carried_into)
    return read_plan(db, row.invoice_id) if row is not None and row.status in AT_STRIPE else None


def _end(db: Connection, now: datetime, stripe: StripeGateway, plan: Plan, there: Json) -> None:
    """Nothing is due any more: it was cancelled, or paid in another way."""
    provider_id, is_void = str(plan.row.provider_id), _is_cancelled(plan) and not cents(there.get("amount_paid"))
    step = "void" if is_void else OUT_OF_BAND
    send = partial(stripe.void_invoice if is_void else stripe.pay_invoice, provider_id)
    stripe_calls.make(
        db,
        now,
        plan.invoice.tenant_id,
        plan.subject,
        step,
        {} if is_void else {"paid_out_of_band": True},
        send,
        find=partial(_find_ended, stripe, provider_id),
        and_then=lambda _: _note_end(db, now, plan, "void" if is_void else "paid"),
    )


def _is_cancelled(plan: Plan) -> bool:
    return all(invoice.status == "cancelled" for invoice in (plan.invoice, *(of for _, of in plan.carried)))


def _find_ended(stripe: StripeGateway, provider_id: str) -> Json | None:
    there = stripe.retrieve("invoices", provider_id)
    return there if there.get("status") in ("paid", "void") else None


def _note_end(db: Connection, now: datetime, plan: Plan, status: gateway_invoices.Status) -> None:
    gateway_invoices.move(db, now, plan.invoice.id, status, seen=AT_STRIPE)


def _lower(db: Connection, now: datetime, stripe: StripeGateway, plan: Plan, less: int) -> None:
    """By a credit note there. One that was begun is finished first: then what is left is compared again."""
    steps = _begun_notes(db, plan)
    begun = [step for step in steps if stripe_calls.is_unanswered(db, plan.subject, step)]
    step = begun[-1] if begun else f"reduce-{len(steps) + 1}"
    stripe_calls.make(
        db,
        now,
        plan.invoice.tenant_id,
        plan.subject,
        step,
        {
            "invoice": plan.row.provider_id,
            "amount": less,
            "metadata": {"app": APP, "local_invoice_id": str(plan.invoice.id), "step": step},
        },
        stripe.create_credit_note,
        find=partial(_find_note, stripe, plan, step),
    )
    if begun:
        gateway_invoices.enqueue_settling(db, now, plan.invoice.tenant_id, plan.invoice.id)


def _begun_notes(db: Connection, plan: Plan) -> list[str]:
    row = fetch_one(
        db,
        """SELECT COUNT(DISTINCT step) AS many FROM billing_stripe_calls
            WHERE subject = :subject AND step LIKE 'reduce-%'""",
        subject=plan.subject,
    )
    return [f"reduce-{number}" for number in range(1, (row["many"] if row else 0) + 1)]


def _find_note(stripe: StripeGateway, plan: Plan, step: str) -> Json | None:
    made = stripe.list("credit_notes", invoice=plan.row.provider_id)
    return next((one for one in made if metadata_of(one).get("step") == step), None)


def _set_going(db: Connection, now: datetime, stripe: StripeGateway, plan: Plan) -> None:
    """What was finalized without being collected is collected now, for what is due."""
    stripe_calls.make(
        db,
        now,
        plan.invoice.tenant_id,
        plan.subject,
        "advance",
        {"auto_advance": True},
        partial(stripe.update_invoice, str(plan.row.provider_id)),
    )
    with atomic(db):
        gateway_invoices.enqueue_payment(db, now, plan.invoice.tenant_id, plan.invoice.id, "first")


# -- asked again -----------------------------------------------------------------------------------------------


def pay(db: Connection, now: datetime, stripe: StripeGateway, invoice_id: int, attempt: str) -> None:
    """The invoice is charged once more, once for each of these words: where there is a card, and Stripe waits for it.

    What comes of it is told by an event, whether it was paid or declined.
    """
    plan = find_sent(db, invoice_id)
    card = find_card(db, plan.invoice.user_id) if plan is not None else None
    if plan is None or plan.row.provider_id is None or not due_of(plan) or card is None:
        return
    there = stripe.retrieve("invoices", plan.row.provider_id)
    if there.get("status") != "open":
        return
    try:
        stripe_calls.make(
            db,
            now,
            plan.invoice.tenant_id,
            plan.subject,
            f"pay-{attempt}",
            {"payment_method": card},
            partial(stripe.pay_invoice, plan.row.provider_id),
            find=partial(_find_ended, stripe, plan.row.provider_id),
        )
    except CardDeclined as declined:
        logger.info("invoice %s: %s", plan.invoice.number, declined)
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
