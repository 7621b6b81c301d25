"""Payments as Stripe has them: which intent or charge has brought how much of an invoice there.

An invoice's own word says only how much was paid of it. Money that was noted by that has its ids from here; and where
this word comes first, it is noted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, Row, atomic, execute, fetch_all, fetch_one
from turf_saas import payment_attempts, payments, stripe_calls
from turf_saas.gateway_invoices import OUT_OF_BAND
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payments import Method, Received, Source
from turf_saas.settings import Settings
from turf_saas.stripe_objects import Json, cents, dig, sid
from turf_saas.values import can_be_stored


class Piece(NamedTuple):
    """A payment of an invoice of Stripe's: which intent or charge has brought how much. is_outside: neither."""

    id: str
    cents: int
    intent_id: str | None
    charge_id: str | None

    @property
    def is_outside(self) -> bool:
        return self.intent_id is None and self.charge_id is None


def read_piece(given: Json) -> Piece | None:
    """None for one that is not paid."""
    piece_id, amount = sid(given), cents(given.get("amount_paid"))
    if piece_id is None or not can_be_stored(piece_id) or not amount or amount < 0 or given.get("status") != "paid":
        return None
    of = given.get("payment")
    return Piece(piece_id, amount, sid(dig(of, "payment_intent")), sid(dig(of, "charge")))


def note_piece(
    db: Connection, now: datetime, settings: Settings, wanted: Invoice, stripe_id: str, piece: Piece, at: datetime
) -> list[Notice]:
    """The payment is known by its ids: one that was noted without them has them now, else it is noted.

    What was marked as paid by other ways is noted as far as something is due.
    """
    with atomic(db):
        invoice = payments.hold_payer(db, wanted)[1]
        noted = list_noted(db, invoice, stripe_id)
        if any(_is_of(row, stripe_id, piece) for row in noted):
            return []
        row = _find_its_own(noted, stripe_id, piece)
        if row is not None:
            _name(db, row, stripe_id, piece)
            return []
        rest = piece.cents
        if piece.is_outside or (was_marked_here(db, invoice) and piece.intent_id is None):
            rest = min(rest, invoice.due_cents)
        if rest <= 0:
            return []
        source = source_of(db, f"{stripe_id}:{piece.id}", piece.intent_id, piece.charge_id)
        method: Method = "other" if piece.is_outside else "card"
        done = payments.receive(db, now, settings, invoice, source, amount_cents=rest, method=method, by=STRIPE)
        if done is None:
            return []
        payment_attempts.note_success(db, now, invoice, done.payment.id, done.payment.amount_cents, at)
        return notices_of(done)


def _find_its_own(noted: Sequence[Row], stripe_id: str, piece: Piece) -> Row | None:
    """Money that nobody has named yet: of just this amount, else the least that is more. Less is other money."""
    enough = [row for row in noted if _is_nameless(row, stripe_id) and row["amount_cents"] >= piece.cents]
    return enough[-1] if enough else None


def _is_of(row: Row, stripe_id: str, piece: Piece) -> bool:
    """By its own id, or by those of what has brought it."""
    return (
        row["gateway_key"] == f"{stripe_id}:{piece.id}"
        or (piece.intent_id is not None and row["stripe_payment_intent_id"] == piece.intent_id)
        or (piece.charge_id is not None and row["stripe_charge_id"] == piece.charge_id)
    )


def _is_nameless(row: Row, stripe_id: str) -> bool:
    """Whether it was noted by the invoice's word, and nobody has said yet what has brought it."""
    by_invoice = row["gateway_key"] == stripe_id or str(row["gateway_key"]).startswith(f"{stripe_id}:paid:")
    return by_invoice and row["stripe_payment_intent_id"] is None and row["stripe_charge_id"] is None


def list_noted(db: Connection, invoice: Invoice, stripe_id: str) -> list[Row]:
    """Payments that are noted of this invoice of Stripe's, the largest first; not what the customer had there."""
    return fetch_all(
        db,
        """SELECT id, gateway_key, amount_cents, refunded_cents, stripe_payment_intent_id, stripe_charge_id
             FROM billing_payments
            WHERE invoice_id = :id AND gateway = :gateway AND gateway_key <> :balance
              AND (gateway_key = :key OR SUBSTR(gateway_key, 1, :length) = :prefix)
            ORDER BY amount_cents DESC, id""",
        id=invoice.id,
        gateway=STRIPE,
        balance=f"{stripe_id}:balance",
        key=stripe_id,
        length=len(stripe_id) + 1,
        prefix=f"{stripe_id}:",
    )


def _name(db: Connection, row: Row, stripe_id: str, piece: Piece) -> None:
    """The noted money has this payment's ids now. Where it was more, the rest stays without, as a payment of its own.

    What has gone out of it already keeps it whole.
    """
    source = source_of(db, f"{stripe_id}:{piece.id}", piece.intent_id, piece.charge_id)
    left = row["amount_cents"] - piece.cents if not row["refunded_cents"] else 0
    if left:
        execute(
            db,
            """INSERT INTO billing_payments (tenant_id, user_id, invoice_id, amount_cents, currency, method, reference,
                                             received_on, gateway, gateway_key, created_at, created_by)
               SELECT tenant_id, user_id, invoice_id, :left, currency, method, reference, received_on,
                      gateway, :key, created_at, created_by
                 FROM billing_payments WHERE id = :id""",
            left=left,
            key=f"{stripe_id}:paid:but:{piece.id}",
            id=row["id"],
        )
    execute(
        db,
        """UPDATE billing_payments
              SET amount_cents = amount_cents - :left, gateway_key = :key, stripe_payment_intent_id = :intent,
                  stripe_charge_id = :charge, reference = COALESCE(reference, :intent),
                  method = CASE WHEN :outside = 1 THEN 'other' ELSE method END
            WHERE id = :id""",
        left=left,
        key=source.key,
        intent=source.intent_id,
        charge=source.charge_id,
        outside=int(piece.is_outside),
        id=row["id"],
    )


def source_of(db: Connection, key: str, intent_id: str | None, charge_id: str | None) -> Source:
    """With the ids that no other payment has: one that pays several invoices is told by the first of them."""
    row = fetch_one(
        db,
        """SELECT MAX(CASE WHEN stripe_payment_intent_id = :intent THEN 1 ELSE 0 END) AS intent,
                  MAX(CASE WHEN stripe_charge_id = :charge THEN 1 ELSE 0 END) AS charge
             FROM billing_payments WHERE stripe_payment_intent_id = :intent OR stripe_charge_id = :charge""",
        intent=intent_id or "",
        charge=charge_id or "",
    )
    taken = row if row is not None else {"intent": 0, "charge": 0}
    return Source(STRIPE, key, None if taken["intent"] else intent_id, None if taken["charge"] else charge_id)


def was_marked_here(db: Connection, invoice: Invoice) -> bool:
    """Whether we have told Stripe that it was paid by other ways: then it is no news that it is paid."""
    return stripe_calls.find_params(db, stripe_calls.of_invoice(invoice.id), OUT_OF_BAND) is not None


def notices_of(done: Received) -> list[Notice]:
    """What the host is told of a payment: that its invoice is paid, and whose subscription goes on."""
    told = []
    if done.has_paid_it:
        told.append(Notice("invoice_paid", {"invoice": done.invoice, "payment": done.payment}))
    if done.recovered is not None:
        told.append(Notice("subscription_changed", {"subscription": done.recovered, "what": "active"}))
    return told
