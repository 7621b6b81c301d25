"""Money in Python: what a host hears of from its bank, credit notes, one-off items, and what an invoice says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from api_v1.face_subscriptions import BY, SubscribingFace, checked, text_of
from api_v1.schemas_payments import CreditIn, ItemTerms, PaymentIn, RefundIn
from api_v1.telling import tell_issued, tell_paid, tell_refunded
from api_v1.wire import refuse_unstorable
from billing_db import Connection
from turf_saas import credit_notes, invoice_items, invoices, payments, refunds
from turf_saas.invoice_items import Item
from turf_saas.invoices import Invoice
from turf_saas.payments import Method, Received
from turf_saas.refunds import Refunded
from turf_saas.users import User
from turf_saas.values import UserId

Number = Decimal | int | str


class MoneyFace(SubscribingFace):
    """What the extension object can do about money. The host may do all that an admin may."""

    def get_invoice(self, number: str, *, tenant_id: int = 1, db: Any = None) -> Invoice:
        """The invoice or credit note with this number, as it was issued and as it stands now."""
        return invoices.get_invoice(self._lent(db), tenant_id, _storable(number))

    def record_payment(
        self,
        number: str,
        amount_cents: int,
        *,
        method: Method = "transfer",
        reference: str | None = None,
        received_on: date | str | None = None,
        tenant_id: int = 1,
        by: str = BY,
        db: Any = None,
    ) -> Received:
        """Money came in for an invoice: (payment, invoice, excess_cents), the invoice as it is now."""
        runtime, lent = self._runtime(), self._lent(db)
        given = checked(
            PaymentIn,
            amount_cents=amount_cents,
            method=method,
            reference=reference,
            received_on=text_of(received_on),
        )
        done = payments.record_payment(
            lent,
            runtime.now(),
            runtime.settings,
            tenant_id,
            _storable(number),
            amount_cents=given.amount_cents,
            method=given.method,
            reference=given.reference,
            received_on=given.received,
            by=by,
        )
        tell_paid(runtime, done)
        return done

    def refund_payment(
        self,
        payment_id: int,
        amount_cents: int | None = None,
        *,
        tenant_id: int = 1,
        by: str = BY,
        db: Any = None,
    ) -> Refunded:
        """Money of a payment goes out again, by default all that is left: (payment, invoice, credit_note, refund).

        What Stripe has taken is sent back by a job; the others somebody has to send himself.
        """
        runtime, lent = self._runtime(), self._lent(db)
        given = checked(RefundIn, amount_cents=amount_cents)
        done = refunds.refund(
            lent, runtime.now(), runtime.settings, tenant_id, payment_id, amount_cents=given.amount_cents, by=by
        )
        tell_refunded(runtime, done)
        return done

    def credit_note(
        self,
        number: str,
        amount_cents: int | None = None,
        lines: Sequence[Mapping[str, int | None]] | None = None,
        reason: str | None = None,
        *,
        tenant_id: int = 1,
        by: str = BY,
        db: Any = None,
    ) -> Invoice:
        """The credit note: of an amount with its VAT, of lines ({"position": 1, "net_cents": 400}), or of all."""
        runtime, lent = self._runtime(), self._lent(db)
        wanted = list(lines) if lines is not None else None
        given = checked(CreditIn, amount_cents=amount_cents, lines=wanted, reason=reason)
        note = credit_notes.credit_invoice(
            lent,
            runtime.now(),
            runtime.settings,
            tenant_id,
            _storable(number),
            amount_cents=given.amount_cents,
            lines=given.wishes,
            reason=given.reason,
            by=by,
        )
        tell_issued(runtime, [note])
        return note

    def add_invoice_item(
        self,
        user_id: UserId,
        description: str,
        quantity: Number,
        unit_amount: Number,
        *,
        currency: str | None = None,
        by: str = BY,
        db: Any = None,
    ) -> Item:
        """It goes on the user's invoice of the current month, net and rounded once."""
        runtime = self._runtime()
        given = checked(
            ItemTerms,
            description=description,
            quantity=_digits(quantity),
            unit_amount=_digits(unit_amount),
            currency=currency,
        )

        def add(lent: Connection, user: User) -> Item:
            return invoice_items.add_item(
                lent,
                runtime.now(),
                runtime.settings,
                user,
                description=given.description,
                quantity=given.quantity,
                unit_amount=given.unit_amount,
                currency=given.currency,
                by=by,
            )

        return self._with_user(db, user_id, add)


def _storable(number: str) -> str:
    refuse_unstorable({"number": str(number)})
    return str(number)


def _digits(number: Number) -> Any:
    """As it is sent over HTTP: a fraction in digits. A float has been rounded already, and is refused there."""
    return f"{number:f}" if isinstance(number, Decimal) else number
