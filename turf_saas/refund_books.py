"""What the books say of money that goes out: the account credit, the payment, its invoice and the ledger.

The caller's transaction holds the register.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, execute, fetch_one
from turf_saas import account_credit, credit_notes, invoice_balances, invoices, payments
from turf_saas.ids import insert_row
from turf_saas.invoices import Invoice
from turf_saas.payments import Payment
from turf_saas.settings import Settings
from turf_saas.values import instant_text

REFUNDED, REFUND_FAILED = "refund", "refund_failed"  # why an invoice changed its status


class Booked(NamedTuple):
    """How much went out of the books, and the credit note that it needed."""

    cents: int
    note: Invoice | None

    @property
    def credited_cents(self) -> int:
        return -self.note.amount_cents if self.note is not None else 0


class Covered(NamedTuple):
    """What can go out: from the account credit, and from the invoice, which is held."""

    there_cents: int
    invoice: Invoice | None
    on_it_cents: int

    @property
    def cents(self) -> int:
        return self.there_cents + self.on_it_cents


def cover(db: Connection, payment: Payment) -> Covered:
    """What of the payment can go out now. Its invoice is held."""
    held = invoices.hold(db, payment.invoice_id) if payment.invoice_id is not None else None
    there = account_credit.balance_of(db, payment.user_id, payment.currency)
    can_give = held is not None and (held.status in invoice_balances.OPEN or held.is_ours)
    return Covered(there, held, held.paid_cents if held is not None and can_give else 0)


def book(
    db: Connection,
    now: datetime,
    settings: Settings,
    payment: Payment,
    covered: Covered,
    cents: int,
    by: str | None,
    reason: str = REFUNDED,
) -> Booked:
    """It goes out: what the account credit lacks comes from the invoice first."""
    invoice, lacking = covered.invoice, cents - covered.there_cents
    note = None
    if lacking > 0:
        assert invoice is not None, "it is covered"
        if invoice.status in invoice_balances.OPEN:
            invoice_balances.take_back(db, invoice, lacking)
            payments.to_account(db, now, invoice, payment.id, lacking)
        else:
            note = credit_notes.credit_invoice(
                db, now, settings, invoice.tenant_id, invoice.number, amount_cents=lacking, reason=reason, by=by
            )
    _pay_out(db, now, payment, cents)
    after = invoices.get_by_id(db, invoice.id) if invoice is not None else None
    if after is not None and _is_all_out(db, after):
        invoice_balances.move(db, now, after, "refunded", by=by, reason=reason)
    return Booked(cents, note)


def come_back(db: Connection, now: datetime, payment: Payment, cents: int, by: str | None) -> None:
    """The money has not gone, or has come back: it is the user's account credit."""
    invoice = invoices.hold(db, payment.invoice_id) if payment.invoice_id is not None else None
    _pay_out(db, now, payment, -cents)
    if invoice is not None and invoice.status == "refunded":
        invoice_balances.move(db, now, invoice, "paid", by=by, reason=REFUND_FAILED)


def _pay_out(db: Connection, now: datetime, payment: Payment, cents: int) -> None:
    """Out of the account credit, and into the ledger; back where it is negative. A CHECK lets no more go than came."""
    account_credit.add(
        db, now, payment.tenant_id, payment.user_id, payment.currency, -cents, "refund", payment_id=payment.id
    )
    execute(
        db,
        "UPDATE billing_payments SET refunded_cents = refunded_cents + :cents WHERE id = :id",
        cents=cents,
        id=payment.id,
    )
    insert_row(
        db,
        "transactions",
        "id",
        tenant_id=payment.tenant_id,
        user_id=payment.user_id,
        invoice_id=payment.invoice_id,
        type="refund",
        amount_cents=cents,
        currency=payment.currency,
        description=payment.reference or payment.invoice_number,
        created_at=instant_text(now),
    )


def _is_all_out(db: Connection, invoice: Invoice) -> bool:
    """Whether nothing is paid of it any more, and all that was paid for it has gone out."""
    if invoice.status not in ("paid", "cancelled") or invoice.paid_cents:
        return False
    row = fetch_one(
        db,
        "SELECT COUNT(*) AS kept FROM billing_payments WHERE invoice_id = :id AND refunded_cents < amount_cents",
        id=invoice.id,
    )
    return row is not None and not row["kept"]
