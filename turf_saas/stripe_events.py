"""Which event of Stripe's is answered by which function. This table is the contents of all that Stripe can tell us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection
from turf_saas import (
    stripe_checkouts,
    stripe_credit_notes,
    stripe_customers,
    stripe_disputes,
    stripe_intents,
    stripe_invoices,
    stripe_payouts,
    stripe_refunds,
    stripe_subscriptions,
)
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, ignored

Handler = Callable[[Connection, datetime, Settings, Event], Outcome]


@dataclass(frozen=True)
class Row:
    """What an event means here, in one line, and what answers it."""

    handler: Handler
    meaning: str


HANDLERS: dict[str, Row] = {
    # customers, and with what they pay
    "customer.updated": Row(stripe_customers.updated, "another default to pay with: what is open is paid with it"),
    "customer.deleted": Row(stripe_customers.deleted, "what Stripe billed him for has ended; his invoices stay"),
    "payment_method.attached": Row(stripe_customers.attached, "something to pay with, used where nothing else is"),
    "payment_method.automatically_updated": Row(stripe_customers.renewed, "his bank has renewed his card"),
    "payment_method.detached": Row(stripe_customers.detached, "it is used no more"),
    # checkouts
    "checkout.session.completed": Row(stripe_checkouts.apply, "a checkout was finished: it is paid, or will be"),
    "checkout.session.async_payment_succeeded": Row(stripe_checkouts.apply, "his bank has paid, days later"),
    "checkout.session.async_payment_failed": Row(stripe_checkouts.apply, "his bank has not"),
    "checkout.session.expired": Row(stripe_checkouts.apply, "nobody has finished it within a day"),
    # subscriptions that Stripe runs
    "customer.subscription.created": Row(stripe_subscriptions.apply, "it was made; it grants once it is paid"),
    "customer.subscription.updated": Row(stripe_subscriptions.apply, "another status, plan, period or end"),
    "customer.subscription.deleted": Row(stripe_subscriptions.apply, "it has ended"),
    "customer.subscription.paused": Row(stripe_subscriptions.apply, "its trial ended without a card"),
    "customer.subscription.resumed": Row(stripe_subscriptions.apply, "and goes on"),
    "customer.subscription.pending_update_applied": Row(stripe_subscriptions.apply, "a change was paid for"),
    "customer.subscription.pending_update_expired": Row(stripe_subscriptions.apply, "a change was not paid for"),
    "customer.subscription.trial_will_end": Row(stripe_subscriptions.trial_will_end, "the host is told"),
    # invoices: those that we have sent there, and those of subscriptions that Stripe runs
    "invoice.created": Row(stripe_invoices.changed, "a draft: where our invoice stands there is noted"),
    "invoice.updated": Row(stripe_invoices.changed, "it stands elsewhere, or a part of it was paid"),
    "invoice.finalized": Row(stripe_invoices.changed, "it is open: from here on it is collected, and can be paid"),
    "invoice.sent": Row(stripe_invoices.changed, "Stripe has mailed it"),
    "invoice.will_be_due": Row(stripe_invoices.changed, "it is due soon"),
    "invoice.overdue": Row(stripe_invoices.changed, "it was due: ours is overdue by its own day"),
    "invoice.paid": Row(stripe_invoices.changed, "it is paid, by whatever way"),
    "invoice.payment_succeeded": Row(stripe_invoices.changed, "the same, where a charge has paid it"),
    "invoice.overpaid": Row(stripe_invoices.changed, "more was paid: Stripe keeps that for the customer's next one"),
    "invoice.payment_failed": Row(stripe_invoices.payment_failed, "a charge has failed: its days count from here"),
    "invoice.payment_action_required": Row(stripe_invoices.action_required, "the payer has to confirm it at his bank"),
    "invoice.payment_attempt_required": Row(stripe_invoices.action_required, "nothing there could be charged"),
    "invoice.voided": Row(stripe_invoices.voided, "it is void: what is open here is taken back by a credit note"),
    "invoice.marked_uncollectible": Row(stripe_invoices.changed, "Stripe asks for it no more; it is owed all the same"),
    "invoice.finalization_failed": Row(
        stripe_invoices.finalization_failed, "it is not collected: somebody has to look"
    ),
    "invoice.deleted": Row(stripe_invoices.deleted, "the same: its draft is gone"),
    "invoice_payment.paid": Row(stripe_invoices.payment_paid, "which intent or charge has paid how much of it"),
    # payment intents: those that collect an invoice of ours
    "payment_intent.succeeded": Row(stripe_intents.succeeded, "its payment learns by which charge it came"),
    "payment_intent.payment_failed": Row(stripe_intents.failed, "why the charge has failed"),
    # money that goes back
    "refund.created": Row(stripe_refunds.changed, "money of a payment goes back"),
    "refund.updated": Row(stripe_refunds.changed, "something has become of a refund"),
    "refund.failed": Row(stripe_refunds.changed, "the money could not go back: it is account credit"),
    "charge.refund.updated": Row(stripe_refunds.changed, "the same, by its older name"),
    "charge.refunded": Row(stripe_refunds.charge_refunded, "so much of a charge has gone back in all"),
    "credit_note.created": Row(stripe_credit_notes.issued, "a credit note was made at Stripe: it is ours as well"),
    "credit_note.updated": Row(stripe_credit_notes.issued, "the same, where we have not heard of it before"),
    "credit_note.voided": Row(stripe_credit_notes.voided, "ours stays issued: somebody has to look"),
    # what Stripe sends to the bank
    "payout.created": Row(stripe_payouts.changed, "what Stripe sends to the bank: of what it is made is read"),
    "payout.updated": Row(stripe_payouts.changed, "it comes another day, say"),
    "payout.paid": Row(stripe_payouts.changed, "the bank has it"),
    "payout.failed": Row(stripe_payouts.changed, "the bank has sent it back"),
    "payout.canceled": Row(stripe_payouts.changed, "it was called back before it left"),
    "payout.reconciliation_completed": Row(stripe_payouts.changed, "of what it is made is known now"),
    # disputes
    "charge.dispute.created": Row(stripe_disputes.changed, "a payer's bank calls a payment into question"),
    "charge.dispute.updated": Row(stripe_disputes.changed, "it goes on"),
    "charge.dispute.closed": Row(stripe_disputes.changed, "won, or lost: then the money has gone out"),
    "charge.dispute.funds_withdrawn": Row(stripe_disputes.changed, "Stripe has taken the money until it is decided"),
    "charge.dispute.funds_reinstated": Row(stripe_disputes.changed, "Stripe has given it back"),
}


def apply(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What the event brings about. Unknown where it is about something that we do not know yet."""
    why = _not_ours(settings, event)
    if why is not None:
        return ignored(why)
    row = HANDLERS.get(event.type)
    return row.handler(db, now, settings, event) if row is not None else ignored("no such event is acted upon")


def _not_ours(settings: Settings, event: Event) -> str | None:
    """Why an event of another mode or account changes nothing here."""
    key = settings.stripe_secret_key
    if key and event.livemode != key.startswith(("sk_live_", "rk_live_")):
        return "live" if event.livemode else "a test, and the key is live"
    if event.account is not None and event.account not in settings.stripe_accounts:
        return f"of the connected account {event.account}"
    return None
