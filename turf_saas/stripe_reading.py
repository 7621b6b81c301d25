"""What an event does not say is asked of Stripe: what has paid an invoice, and why a card was refused for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from billing_db import Connection, atomic
from turf_saas import (
    gateway_invoices,
    invoices,
    payment_attempts,
    payments,
    stripe_intents,
    stripe_pieces,
    stripe_takings,
)
from turf_saas.asking_stripe import asking
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payment_attempts import Attempt
from turf_saas.payments import Source
from turf_saas.settings import Settings
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_invoices import decline_of, reason_of
from turf_saas.stripe_objects import Json, dig, instant, sid
from turf_saas.stripe_takings import find_contradiction, read
from turf_saas.values import parse_instant
from turf_saas.working import Work


def read_collected(work: Work) -> None:
    """A job: nothing is changed at Stripe, so it may be done again."""
    db, invoice_id = work.db, int(work.payload["invoice_id"])
    mirror = gateway_invoices.find(db, invoice_id)
    if mirror is None or mirror.provider_id is None:
        return
    with asking(work) as stripe:
        there = stripe.retrieve("invoices", mirror.provider_id)
        intents = ["data.payment.payment_intent"]
        pieces = stripe.list("invoice_payments", invoice=mirror.provider_id, expand=intents)
        charges = _list_charges(stripe, pieces) if _list_unclear(db, invoice_id) else []
    work.go_on()
    work.around.noticed(apply_read(db, work.now, work.around.settings, invoice_id, there, pieces, charges))


def _list_charges(stripe: StripeGateway, pieces: Iterable[Json]) -> list[Json]:
    """What was tried for it. An intent that has succeeded since does not say any more why it failed before."""
    intents = {sid(dig(one, "payment", "payment_intent")) for one in pieces}
    return [
        charge for intent in sorted(filter(None, intents)) for charge in stripe.list("charges", payment_intent=intent)
    ]


def apply_read(
    db: Connection,
    now: datetime,
    settings: Settings,
    invoice_id: int,
    there: Json,
    pieces: Iterable[Json],
    charges: Iterable[Json] = (),
) -> list[Notice]:
    """What Stripe has answered: each payment of the invoice, the reason of a refusal, and what was paid elsewhere."""
    notices: list[Notice] = []
    with atomic(db):
        invoice = payments.hold_payer(db, invoices.get_by_id(db, invoice_id))[1]
        mirror = gateway_invoices.find(db, invoice_id)
        if mirror is None or mirror.provider_id is None or find_contradiction(db, read(there), invoice, mirror):
            return []
        for given in pieces:
            piece = stripe_pieces.read_piece(given)
            if piece is not None:
                notices += stripe_pieces.note_piece(db, now, settings, invoice, mirror.provider_id, piece, now)
            notices += _learn(db, now, settings, invoice, given)
        _learn_of_charges(db, now, invoice, charges)
        return notices + _note_elsewhere(db, now, settings, invoice, mirror, there)


def _learn(db: Connection, now: datetime, settings: Settings, invoice: Invoice, given: Json) -> list[Notice]:
    code = reason_of(dig(given, "payment", "payment_intent"))
    unclear = _list_unclear(db, invoice.id)
    if code is None or not unclear:
        return []
    learnt = stripe_intents.learn(db, now, settings, invoice, code, parse_instant(unclear[-1].happened_at))
    return list(learnt.notices) if learnt is not None else []


def _list_unclear(db: Connection, invoice_id: int) -> list[Attempt]:
    return [one for one in payment_attempts.list_attempts(db, invoice_id) if one.code is None and one.is_in_vain]


def _learn_of_charges(db: Connection, now: datetime, invoice: Invoice, charges: Iterable[Json]) -> None:
    """Each try that is not explained still, by the charge of its moment."""
    for charge in charges:
        code, at = decline_of({"charge": charge}), instant(charge.get("created"))
        if code is None or at is None or charge.get("status") != "failed":
            continue
        for attempt in _list_unclear(db, invoice.id):
            # Stripe's clock may be ahead of ours: no try is noted as one to come
            if abs(parse_instant(attempt.happened_at) - min(at, now)) <= payment_attempts.SAME_TRY:
                payment_attempts.note_reason(db, invoice.id, code, parse_instant(attempt.happened_at))
                break


def _note_elsewhere(
    db: Connection, now: datetime, settings: Settings, invoice: Invoice, mirror: GatewayInvoice, there: Json
) -> list[Notice]:
    """What no payment of Stripe's has brought was marked as paid by somebody: noted as far as it is due."""
    noted = sum(row["amount_cents"] for row in stripe_pieces.list_noted(db, invoice, str(mirror.provider_id)))
    rest = min(stripe_takings.read(there).paid - noted, invoices.get_by_id(db, invoice.id).due_cents)
    if rest <= 0:
        return []
    source = Source(STRIPE, f"{mirror.provider_id}:paid:elsewhere")
    done = payments.receive(db, now, settings, invoice, source, amount_cents=rest, method="other", by=STRIPE)
    return stripe_pieces.notices_of(done) if done is not None else []
