"""What we know against what Stripe has, object by object: each difference in a sentence, and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from billing_db import Connection, fetch_one
from turf_saas import checkouts, gateway_invoices, refund_rows, stripe_disputes, stripe_mirror
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.invoice_balances import OPEN
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import find_customer
from turf_saas.stripe_objects import Json, cents, dig, sid
from turf_saas.stripe_payments import find_payment
from turf_saas.stripe_plans import find_plan
from turf_saas.stripe_refunds import read_refund
from turf_saas.stripe_run_invoices import FINALIZED, subscription_id_of
from turf_saas.stripe_snapshot import Remote
from turf_saas.stripe_states import state_of
from turf_saas.subscriptions import Subscription, find_of_stripe
from turf_saas.values import compact_json

SHOWN = ("status", "current_period_start", "current_period_end", "cancel_at_period_end", "trial_end")


class Difference(NamedTuple):
    """kind, id, and what is so here and otherwise there. event: by which it is mended, with this object; None: it is
    for somebody to look at.
    """

    kind: str
    object_id: str
    sentence: str
    event: str | None = None
    object: Json | None = None


Look = Callable[[Connection, Settings, Remote], Iterator[Difference]]


def list_differences(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    """In the order in which they are mended: an invoice needs its subscription, a refund its payment."""
    for look in LOOKS:
        yield from look(db, settings, remote)


# -- subscriptions -----------------------------------------------------------------------------------------


def subscriptions(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    for stripe_id, given in remote.subscriptions.items():
        held = find_of_stripe(db, stripe_id)
        if given is None:
            yield Difference("subscription", stripe_id, "it is live here, and Stripe does not know it")
        elif find_customer(db, sid(given.get("customer"))) is not None:
            yield from _subscription(db, settings, stripe_id, given, held)


def _subscription(
    db: Connection, settings: Settings, stripe_id: str, given: Json, held: Subscription | None
) -> Iterator[Difference]:
    state, status = state_of(given, settings), str(given.get("status"))
    if state.status is None:
        return  # it has not begun
    event = "customer.subscription.deleted" if state.status == "canceled" else "customer.subscription.updated"
    if held is None:
        if state.status != "canceled" and not _waits_for_its_bank(db, given):
            yield Difference("subscription", stripe_id, f"not known here, {status} there", event, given)
        return
    if held.status == "canceled":
        if state.status != "canceled":
            yield Difference("subscription", stripe_id, f"it has ended here, and is {status} there: end it in Stripe")
        return
    columns = ("status", "ended_at") if state.status == "canceled" else SHOWN
    told = [
        f"{name} {getattr(held, name)} here, {state.columns[name]} there"
        for name in columns
        if name in state.columns and getattr(held, name) != state.columns[name]
    ]
    plan = find_plan(db, held.tenant_id, given, held) if state.status != "canceled" else None
    if plan is not None and plan.id not in (held.plan_id, held.pending_plan_id):
        told.append(f"plan {held.plan} here, {plan.code} there")
    if told:
        yield Difference("subscription", stripe_id, "; ".join(told), event, given)


def _waits_for_its_bank(db: Connection, given: Json) -> bool:
    customer = find_customer(db, sid(given.get("customer")))
    checkout = checkouts.find_of_subscription(db, customer, given) if customer is not None else None
    return checkout is not None and checkout.status != "complete"


# -- invoices ----------------------------------------------------------------------------------------------


def all_invoices(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    for stripe_id, given in sorted(remote.invoices.items(), key=lambda one: cents(dig(one[1], "created")) or 0):
        ours = stripe_mirror.find_by_stripe_id(db, stripe_id)
        if given is None:
            yield Difference("invoice", stripe_id, f"{_named(ours)}: Stripe does not know it")
        elif ours is not None:
            yield from _invoice(db, stripe_id, given, ours)
        else:
            yield from _unknown_invoice(db, stripe_id, given)


def _named(ours: Invoice | None) -> str:
    return ours.number if ours is not None else "it"


def _unknown_invoice(db: Connection, stripe_id: str, given: Json) -> Iterator[Difference]:
    status = str(given.get("status"))
    meant = stripe_mirror.find_by_metadata(db, given)
    if meant is not None:
        mirror = gateway_invoices.find(db, meant.id)
        if mirror is None or mirror.provider_id is None:
            yield Difference("invoice", stripe_id, f"{meant.number} is not linked to it, {status} there", *_by(given))
        elif status in FINALIZED:
            sentence = f"a second one for {meant.number}, which is {mirror.provider_id}: void or refund it in Stripe"
            yield Difference("invoice", stripe_id, sentence)
        return
    subscription = subscription_id_of(given)
    known = find_of_stripe(db, subscription) if subscription is not None else None
    customer = find_customer(db, sid(given.get("customer")))
    if known is None or customer is None or known.user_id != customer.user_id:
        return
    if status in FINALIZED and (cents(given.get("total")) or 0) > 0:
        yield Difference("invoice", stripe_id, f"of {subscription}, {status} there, none here", *_by(given))


def _by(given: Json) -> tuple[str, Json]:
    """The event that tells such a state."""
    status = given.get("status")
    if status == "open" and (cents(given.get("attempt_count")) or 0) > 0:
        return "invoice.payment_failed", given
    names = {
        "open": "invoice.finalized",
        "paid": "invoice.paid",
        "void": "invoice.voided",
        "uncollectible": "invoice.marked_uncollectible",
    }
    return names.get(str(status), "invoice.updated"), given


def _invoice(db: Connection, stripe_id: str, given: Json, ours: Invoice) -> Iterator[Difference]:
    status, mirror = str(given.get("status")), gateway_invoices.find(db, ours.id)
    if mirror is not None and mirror.provider_id not in (None, stripe_id):
        yield Difference("invoice", stripe_id, f"{ours.number} is {mirror.provider_id} by one record, this by another")
        return
    if mirror is not None and mirror.status in ("mismatch", "parked"):
        sentence = f"{ours.number} is {mirror.status}, {status} there: {mirror.last_error}"
        yield Difference("invoice", stripe_id, sentence)
        return
    why = _why_not_the_same(given, status, ours, mirror)
    if why is not None:
        yield Difference("invoice", stripe_id, f"{ours.number} {why}", *_by(given))
        return
    asked = cents(given.get("amount_remaining")) or 0
    if mirror is not None and status == "open" and asked > ours.due_cents and not _is_explained(db, ours, mirror):
        sentence = f"{ours.number}: {ours.due_cents} cents are due here, and Stripe asks for {asked}"
        yield Difference("invoice", stripe_id, f"{sentence}: void it there, or credit what is too much")


def _is_explained(db: Connection, ours: Invoice, mirror: GatewayInvoice) -> bool:
    """Others are collected with it, or a job is on its way that tells Stripe of what was paid or credited here."""
    if mirror.carried_into is not None or gateway_invoices.list_carried(db, ours.id):
        return True
    row = fetch_one(
        db,
        """SELECT 1 AS one FROM billing_jobs
            WHERE name = :name AND payload = :payload AND state IN ('available', 'retryable', 'executing') LIMIT 1""",
        name=gateway_invoices.SETTLE_JOB,
        payload=compact_json({"invoice_id": ours.id}),
    )
    return row is not None


def _why_not_the_same(given: Json, status: str, ours: Invoice, mirror: GatewayInvoice | None) -> str | None:
    is_open = ours.status in OPEN
    if mirror is None:
        return f"is {ours.status} here, {status} there" if is_open and status in ("paid", "void") else None
    if mirror.status == "carried":  # too small to be collected alone: what is paid there is not ours yet
        return None
    if mirror.status != status:
        return f"is {mirror.status} here, {status} there"
    if (is_open and status == "void") or (ours.due_cents and status == "paid"):
        return f"is {ours.status} here, {status} there"
    tried, known = cents(given.get("attempt_count")) or 0, mirror.attempt_count
    if is_open and status == "open" and tried > known:
        return f"was tried {known} times here, {tried} times there"
    return None


# -- what has paid them, and what went back ----------------------------------------------------------------


def invoice_payments(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    for stripe_id, given in remote.payments.items():
        payment = dig(given, "payment")
        intent, charge = sid(dig(payment, "payment_intent")), sid(dig(payment, "charge"))
        ours = stripe_mirror.find_by_stripe_id(db, sid(dig(given, "invoice")))
        if given is None or ours is None or given.get("status") != "paid" or (intent is None and charge is None):
            continue
        if find_payment(db, intent, charge) is None:
            sentence = f"{ours.number} was paid by {intent or charge}, which is not known here"
            yield Difference("payment", stripe_id, sentence, "invoice_payment.paid", given)


def _paid_by(given: Json) -> str | None:
    """By Stripe's own word: in a dry run a payment's number here may be another than later."""
    return sid(given.get("payment_intent")) or sid(given.get("charge"))


def all_refunds(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    for stripe_id, given in remote.refunds.items():
        if given is None:
            yield Difference("refund", stripe_id, "Stripe does not know it")
            continue
        payment = find_payment(db, sid(given.get("payment_intent")), sid(given.get("charge")))
        told, ours = read_refund(given), refund_rows.find_refund(db, stripe_id)
        if payment is None or told is None:
            continue
        event = "refund.failed" if told.status == "failed" else "refund.updated"
        if ours is None:
            sentence = f"{told.amount_cents} cents of {_paid_by(given)}, {told.status} there, not known here"
            yield Difference("refund", stripe_id, sentence, event, given)
        elif ours.status != told.status:
            sentence = f"of {_paid_by(given)}: {ours.status} here, {told.status} there"
            yield Difference("refund", stripe_id, sentence, event, given)


def all_disputes(db: Connection, settings: Settings, remote: Remote) -> Iterator[Difference]:
    for stripe_id, given in remote.disputes.items():
        ours = stripe_disputes.find_dispute(db, stripe_id)
        if given is None:
            yield Difference("dispute", stripe_id, "Stripe does not know it")
            continue
        payment = find_payment(db, sid(given.get("payment_intent")), sid(given.get("charge")))
        status = str(given.get("status"))
        if payment is None or (ours is not None and ours.status == status):
            continue
        event = "charge.dispute.closed" if status in stripe_disputes.CLOSED else "charge.dispute.updated"
        here = ours.status if ours is not None else "not known"
        yield Difference("dispute", stripe_id, f"of {_paid_by(given)}: {here} here, {status} there", event, given)


LOOKS: tuple[Look, ...] = (subscriptions, all_invoices, invoice_payments, all_refunds, all_disputes)
