"""Money that Stripe says came in for an invoice: held against what was asked, and noted once, however it is told.

An invoice says how much was paid of it in all, and a payment of it which intent or charge has brought how much: in
whichever order they come, the payments noted here end the same. What is more than due, and of which nobody has said
what has paid it, is asked for before it is noted: it may be no money of Stripe's, but what somebody has marked as paid.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic
from turf_saas import account_credit, gateway_invoices, invoices, jobs, payment_attempts, payments
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payments import Method, Received, Source
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, alarm, find_customer
from turf_saas.stripe_objects import Json, cents, currency_of, dig, sid
from turf_saas.stripe_pieces import list_noted, notices_of, source_of, was_marked_here

logger = logging.getLogger("turf_saas.billing")

READ_JOB = "billing.read_collected"
_METHODS: dict[str, Method] = {
    "sepa_debit": "direct_debit",
    "bacs_debit": "direct_debit",
    "customer_balance": "transfer",
}


class Said(NamedTuple):
    """What an invoice of Stripe's says of its money, in cents. total: None where it does not say.

    credit_used: of what the customer had there. debt_added: what he owes there now instead, and what is carried to
    his next invoice; negative where this one has collected such a debt. reduced: by credit notes before it was paid.
    outside: how much of it nobody has paid through Stripe; is_outside, in the older shape: all of it.
    """

    status: str
    customer_id: str | None
    currency: str | None
    total: int | None
    paid: int
    credit_used: int
    debt_added: int
    reduced: int
    outside: int
    is_outside: bool
    intent_id: str | None
    charge_id: str | None
    method: Method

    @property
    def settled(self) -> int:
        """How much of its total is no more to be paid, by whatever way."""
        return self.paid + self.credit_used + self.debt_added + self.reduced


def read(given: Json) -> Said:
    """By what is there, in each of its shapes."""
    starting, ending = cents(given.get("starting_balance")) or 0, cents(given.get("ending_balance"))
    ending = starting if ending is None else ending
    kinds = dig(given, "payment_settings", "payment_method_types")
    kind = kinds[0] if isinstance(kinds, list) and len(kinds) == 1 else None
    return Said(
        status=str(given.get("status")),
        customer_id=sid(given.get("customer")),
        currency=currency_of(given),
        total=cents(given.get("total")),
        paid=max(0, cents(given.get("amount_paid")) or 0),
        credit_used=max(0, -starting) - max(0, -ending),
        debt_added=max(0, ending) - max(0, starting),
        reduced=max(0, cents(given.get("pre_payment_credit_notes_amount")) or 0),
        outside=max(0, cents(given.get("amount_paid_off_stripe")) or 0),
        is_outside=given.get("paid_out_of_band") is True,
        intent_id=sid(given.get("payment_intent")),
        charge_id=sid(given.get("charge")),
        method=_METHODS.get(kind, "card") if isinstance(kind, str) else "card",
    )


# -- what an invoice says --------------------------------------------------------------------------------


def take(
    db: Connection, now: datetime, settings: Settings, event: Event, wanted: Invoice, mirror: GatewayInvoice
) -> Outcome:
    """What was paid of it, and is not noted yet, is; nothing of what contradicts what we have asked for."""
    stripe_id, said = str(event.object_id), read(event.object)
    with atomic(db):
        invoice = payments.hold_payer(db, wanted)[1]
        why = find_contradiction(db, said, invoice, mirror)
        if why is not None:
            return refuse(db, now, event, invoice, mirror, said, why)
        known = tuple(one for one in (stripe_id, said.intent_id, said.charge_id) if one is not None)
        done = _note_balance(db, now, settings, said, invoice, stripe_id)
        done += _note_rest(db, now, settings, said, invoice, stripe_id)
        for one in done:
            payment_attempts.note_success(db, now, invoice, one.payment.id, one.payment.amount_cents, event.created)
        if said.status == "paid":
            _close(db, now, said, invoice, mirror)
        notices = tuple(notice for one in done for notice in notices_of(one))
        notices += _pay_carried(db, now, invoice, said, done)
        return Outcome("applied", _remark(invoice, done), (*notices, *_alarm(event, invoice, done)), known)


def find_contradiction(db: Connection, said: Said, invoice: Invoice, mirror: GatewayInvoice) -> str | None:
    """Why this cannot be what was asked for: another customer, another currency, another amount."""
    customer = find_customer(db, said.customer_id)
    if customer is None or customer.user_id != invoice.user_id:
        return f"{invoice.number}: it is the invoice of another customer"
    if said.currency != invoice.currency:
        return f"{invoice.number}: it is in {said.currency}, and {invoice.currency} was asked for"
    asked = asked_cents(db, mirror)
    if said.total is not None and said.total != asked:
        return f"{invoice.number}: its total is {said.total} cents, and {asked} were asked for"
    if said.settled > asked:
        return f"{invoice.number}: {said.settled} cents of it are settled, and {asked} were asked for"
    if said.status == "paid" and not said.is_outside and said.settled < asked - _settled_here(db, invoice, mirror):
        return f"{invoice.number}: it is said to be paid with {said.settled} cents, and {asked} were asked for"
    return None


def asked_cents(db: Connection, mirror: GatewayInvoice) -> int:
    """What Stripe was asked to collect with it: its own, and what was too small to be collected before."""
    return mirror.amount_cents + sum(row.amount_cents for row in gateway_invoices.list_carried(db, mirror.invoice_id))


def _settled_here(db: Connection, invoice: Invoice, mirror: GatewayInvoice) -> int:
    """What was credited here since, or paid by other ways: Stripe may have been told that it need not be collected."""
    by_stripe = sum(row["amount_cents"] for row in list_noted(db, invoice, mirror.provider_id or ""))
    return invoice.credited_cents + max(0, invoice.paid_cents - int(by_stripe))


def refuse(
    db: Connection, now: datetime, event: Event, invoice: Invoice, mirror: GatewayInvoice, said: Said, why: str
) -> Outcome:
    """Nothing is booked; somebody has to look, and is told once."""
    stripe_id = str(event.object_id)
    currency = said.currency if said.currency is not None and len(said.currency) == 3 else "???"
    payment_attempts.note_mismatch(db, now, invoice, stripe_id, said.paid, currency, event.created)
    gateway_invoices.set_status(db, now, invoice.id, "mismatch", why)
    is_known = (mirror.status, mirror.last_error) == ("mismatch", why[: gateway_invoices.MAX_ERROR])
    return Outcome("mismatch", why, () if is_known else (alarm(why, event, invoice),), (stripe_id,))


def _note_balance(
    db: Connection, now: datetime, settings: Settings, said: Said, invoice: Invoice, stripe_id: str
) -> list[Received]:
    """What the customer had at Stripe has paid its part: no card did, and no payout brings it."""
    amount = min(said.credit_used, invoice.due_cents) if said.status == "paid" else 0
    if amount <= 0:
        return []
    source = Source(STRIPE, f"{stripe_id}:balance")
    done = payments.receive(db, now, settings, invoice, source, amount_cents=amount, method="other", by=STRIPE)
    return [done] if done is not None else []


def _note_rest(
    db: Connection, now: datetime, settings: Settings, said: Said, invoice: Invoice, stripe_id: str
) -> list[Received]:
    """What was paid in all, less what is noted of it already."""
    noted = sum(row["amount_cents"] for row in list_noted(db, invoice, stripe_id))
    rest = said.paid - noted
    if rest <= 0:
        return []
    due = invoices.get_by_id(db, invoice.id).due_cents + max(0, -said.debt_added) + _carried_due(db, invoice)
    is_outside = said.is_outside or rest <= said.outside or was_marked_here(db, invoice)
    if is_outside:
        rest = min(rest, due)
    elif rest > due and said.intent_id is None and said.charge_id is None:
        ask(db, now, settings, invoice, f"{stripe_id}:paid:{said.paid}")
        return []
    if rest <= 0:
        return []
    key = stripe_id if not noted else f"{stripe_id}:paid:{said.paid}"
    source = source_of(db, key, said.intent_id, said.charge_id)
    method: Method = "other" if is_outside else said.method
    done = payments.receive(db, now, settings, invoice, source, amount_cents=rest, method=method, by=STRIPE)
    return [done] if done is not None else []


def ask(db: Connection, now: datetime, settings: Settings, invoice: Invoice, why: str) -> None:
    """Stripe is asked for what the event does not say, as soon as a worker comes to it."""
    if settings.stripe_secret_key:
        jobs.enqueue(db, now, READ_JOB, {"invoice_id": invoice.id}, dedupe_key=why)


def _close(db: Connection, now: datetime, said: Said, invoice: Invoice, mirror: GatewayInvoice) -> None:
    """Paid there. What was too small, and is owed there with the next invoice, is not paid yet."""
    if said.debt_added > 0 and invoices.get_by_id(db, invoice.id).due_cents:
        gateway_invoices.set_status(db, now, invoice.id, "carried")
    elif mirror.status in ("mismatch", "carried"):
        gateway_invoices.set_status(db, now, invoice.id, "paid")


def _remark(invoice: Invoice, done: Sequence[Received]) -> str | None:
    excess = sum(one.excess_cents for one in done)
    return f"{excess} cents more than {invoice.number} needed are account credit" if excess else None


def _alarm(event: Event, invoice: Invoice, done: Sequence[Received]) -> list[Notice]:
    """Money for what nobody owes any more is account credit, and somebody may want to send it back."""
    if not done or invoice.status not in ("cancelled", "refunded"):
        return []
    why = f"{invoice.number} is {invoice.status}, and was paid at Stripe: the money is account credit"
    logger.error("%s (%s): %s", event.type, event.object_id, why)
    return [alarm(why, event, invoice)]


# -- what was too small to be collected alone ------------------------------------------------------------


def _carried_due(db: Connection, invoice: Invoice) -> int:
    return sum(invoices.get_by_id(db, row.invoice_id).due_cents for row in _list_carried(db, invoice))


def _list_carried(db: Connection, invoice: Invoice) -> list[GatewayInvoice]:
    return [row for row in gateway_invoices.list_carried(db, invoice.id) if row.status == "carried"]


def _pay_carried(
    db: Connection, now: datetime, invoice: Invoice, said: Said, done: Sequence[Received]
) -> tuple[Notice, ...]:
    """Once it is paid, what came in beyond its own amount, and is account credit, pays those collected with it."""
    if said.status != "paid":
        return ()
    notices: tuple[Notice, ...] = ()
    left = max(0, -said.debt_added)
    wanted = [(row, row.amount_cents) for row in _list_carried(db, invoice)]
    wanted += [(row, left) for row in gateway_invoices.list_owed_there(db, invoice.user_id)] if left else []
    for row, most in wanted:
        held = invoices.hold(db, row.invoice_id)
        paid = account_credit.pay_open(db, now, held, min(most, left) if row.carried_into is None else most, by=STRIPE)
        left -= paid if row.carried_into is None else 0
        after = invoices.get_by_id(db, held.id)
        if not after.due_cents:
            gateway_invoices.set_status(db, now, held.id, "paid")
        if paid and after.status == "paid":
            payment = done[-1].payment if done else None
            notices += (Notice("invoice_paid", {"invoice": after, "payment": payment}),)
    return notices
