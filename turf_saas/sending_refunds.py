"""Refunds that somebody has asked for here are sent by Stripe: each once, whoever is killed at whatever moment."""

from __future__ import annotations

from functools import partial
from typing import Any

from billing_db import Connection
from turf_saas import payments, refunds, stripe_calls
from turf_saas.asking_stripe import asking
from turf_saas.gateways import CardDeclined, GatewayRefused
from turf_saas.notices import Notice
from turf_saas.payments import Payment
from turf_saas.refund_rows import Refund, get_refund
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, dig, metadata_of, sid
from turf_saas.stripe_refunds import notices_of, read_refund
from turf_saas.working import Park, Work


def send_refund(work: Work) -> None:
    """The refund is at Stripe. What Stripe refuses is the user's account credit again, and the host is told."""
    refund = get_refund(work.db, int(work.payload["refund_id"]))
    if refund.stripe_refund_id is not None or refund.status != "pending":
        return
    payment = payments.get_payment(work.db, refund.tenant_id, refund.payment_id)
    with asking(work) as stripe:
        of = _paid_by(stripe, payment)
        if of is None:
            _give_up(work, refund, "nothing was paid at Stripe that could go back")
            return
        work.go_on()
        try:
            _send(work, stripe, payment, refund, of)
        except (GatewayRefused, CardDeclined) as refused:
            if isinstance(refused, GatewayRefused) and refused.of_key:
                raise
            there = _find(stripe, of, _names(work.db, refund))  # what an answer that was lost has done
            if there is None:
                _give_up(work, refund, str(refused))
            else:
                work.around.noticed(_note(work, payment, refund, there))


def _send(work: Work, stripe: StripeGateway, payment: Payment, refund: Refund, of: Json) -> None:
    names, notices = _names(work.db, refund), []
    stripe_calls.make(
        work.db,
        work.now,
        refund.tenant_id,
        f"refund:{refund.id}",
        "create",
        {**of, "amount": refund.amount_cents, "metadata": names},
        stripe.create_refund,
        find=partial(_find, stripe, of, names),
        and_then=lambda there: notices.extend(_note(work, payment, refund, there)),
    )
    work.around.noticed(notices)


def _names(db: Connection, refund: Refund) -> dict[str, str]:
    """What it says of itself over there."""
    return {"app": APP, "installation": stripe_calls.installation(db), "local_refund_id": str(refund.id)}


def _find(stripe: StripeGateway, of: Json, names: Json) -> Json | None:
    """The one that an earlier call has made, though nobody heard of it."""
    made = stripe.list("refunds", **of)
    return next((one for one in made if names.items() <= metadata_of(one).items()), None)


def _note(work: Work, payment: Payment, refund: Refund, there: Json) -> list[Notice]:
    told = read_refund(there)
    if told is None:
        raise Park(f"the answer for refund {refund.id} is no refund that we can read")
    noted = refunds.note(work.db, work.now, work.around.settings, payment, told._replace(local_id=refund.id))
    return notices_of(None, noted)


def _give_up(work: Work, refund: Refund, why: str) -> None:
    noted = refunds.refuse(work.db, work.now, work.around.settings, refund.id, why)
    work.around.noticed(notices_of(None, noted))


def _paid_by(stripe: StripeGateway, payment: Payment) -> dict[str, Any] | None:
    """Of what Stripe gives money back: the intent or the charge; asked there where no event has told it yet."""
    if payment.stripe_payment_intent_id is not None:
        return {"payment_intent": payment.stripe_payment_intent_id}
    if payment.stripe_charge_id is not None:
        return {"charge": payment.stripe_charge_id}
    invoice_id = (payment.gateway_key or "").partition(":")[0]
    if not invoice_id.startswith("in_"):
        return None
    for one in _list_paid(stripe, invoice_id):
        kind = dig(one, "payment", "type")
        found = sid(dig(one, "payment", kind)) if kind in ("payment_intent", "charge") else None
        if found is not None and cents(one.get("amount_paid")) == payment.amount_cents:
            return {kind: found}
    return None


def _list_paid(stripe: StripeGateway, invoice_id: str) -> list[Json]:
    try:
        return stripe.list("invoice_payments", invoice=invoice_id, status="paid")
    except GatewayRefused as refused:
        if refused.missing:
            return []
        raise
