"""Payments, by hand or by a gateway, and their refunds."""

from __future__ import annotations

from typing import Any, TypeVar

from api_v1 import acting_for, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.schemas import Output
from api_v1.telling import tell_paid, tell_refunded
from turf_saas import gateway_invoices, invoices, payment_attempts, payments, refund_rows, refunds, stripe_disputes
from turf_saas.invoices import Invoice
from turf_saas.payments import Payment
from turf_saas.refund_rows import Refund

Shape = TypeVar("Shape", bound=Output)


@route(
    "POST",
    "/invoices/<number>/payments",
    summary="Note that money came in for an invoice",
    who="admin",
    scope="billing.write",
    body=shapes.PaymentIn,
    returns=shapes.PaymentReceived,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def record_payment(caller: Caller, number: str, body: shapes.PaymentIn) -> Any:
    """It pays what is due; with the last of it the invoice is `paid`. What is more than due is account credit.

    A credit note, and what is cancelled or refunded, takes no payment: 409.
    """
    runtime = current_runtime()
    done = payments.record_payment(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        number,
        amount_cents=body.amount_cents,
        method=body.method,
        reference=body.reference,
        received_on=body.received,
        by=f"admin:{caller.user_id}",
    )
    tell_paid(runtime, done)
    return shapes.PaymentReceived(
        **_fields(done.payment), excess_cents=done.excess_cents, invoice=_settled(done.invoice)
    )


@route(
    "POST",
    "/payments/<int:payment_id>/refund",
    summary="Give money of a payment back",
    who="admin",
    scope="billing.write",
    body=shapes.RefundIn,
    body_optional=True,
    returns=shapes.PaymentRefunded,
    refuses=(409,),
    idempotent=True,
)
def refund_payment(caller: Caller, payment_id: int, body: shapes.RefundIn) -> Any:
    """It is taken from the account credit. What that lacks is given back by a credit note on the payment's invoice
    first; an invoice that is still open owes it again instead. Where neither covers it: 409, and nothing is done.

    What Stripe has taken a job sends back through Stripe: `refund.status` is `pending` until then. What cannot be sent
    is the user's account credit.
    """
    runtime = current_runtime()
    done = refunds.refund(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        payment_id,
        amount_cents=body.amount_cents,
        by=f"admin:{caller.user_id}",
    )
    tell_refunded(runtime, done)
    return shapes.PaymentRefunded(
        **_fields(done.payment),
        credit_note=done.credit_note.number if done.credit_note is not None else None,
        invoice=_settled(done.invoice) if done.invoice is not None else None,
        refund=_sent(done.refund) if done.refund is not None else None,
    )


@route(
    "GET",
    "/payments",
    summary="The payments, newest first",
    scope="billing.read",
    query=shapes.MoneyQuery,
    returns=shapes.Payments,
)
def list_payments(caller: Caller, query: shapes.MoneyQuery) -> Any:
    """One's own; an admin's are all of the tenant, or one user's."""
    everybody = caller.is_admin and query.user_id is None
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = payments.list_payments(
        current_runtime().db(),
        caller.tenant_id,
        user_id=None if everybody else acting_for.get_visible(caller, query.user_id),
        before=before,  # type: ignore[arg-type]
        limit=query.limit + 1,
    )
    shown, more = page(found, query.limit, lambda payment: (payment.id,))
    return shapes.Payments(items=_listed([*shown]), next_cursor=more)


@route(
    "GET",
    "/invoices/<number>/attempts",
    summary="The tries to collect an invoice, as they happened",
    scope="billing.read",
    returns=shapes.Attempts,
)
def list_attempts(caller: Caller, number: str) -> Any:
    """Who collects it, where it stands there, and what came of each try. Nobody's try is `items: []`."""
    db = current_runtime().db()
    whose = None if caller.is_admin else caller.user_id
    invoice = invoices.get_invoice(db, caller.tenant_id, number, user_id=whose)
    row, found = gateway_invoices.find(db, invoice.id), payment_attempts.list_attempts(db, invoice.id)
    return shapes.Attempts(
        gateway=row.gateway if row is not None else None,
        status=row.status if row is not None else None,
        items=[_shown(shapes.AttemptOut, one) for one in found],
    )


def _listed(shown: list[Payment]) -> list[shapes.ListedPayment]:
    db, ids = current_runtime().db(), [payment.id for payment in shown]
    sent, contested = refund_rows.list_of_payments(db, ids), stripe_disputes.list_of_payments(db, ids)
    return [
        shapes.ListedPayment(
            **_fields(payment),
            refunds=[_shown(shapes.ListedRefund, one) for one in sent.get(payment.id, [])],
            disputes=[_shown(shapes.DisputeOut, one) for one in contested.get(payment.id, [])],
        )
        for payment in shown
    ]


def _shown(shape: type[Shape], record: object) -> Shape:
    return shape(**{name: getattr(record, name) for name in shape.model_fields})


def _fields(payment: Payment) -> dict[str, Any]:
    return {name: getattr(payment, name) for name in shapes.PaymentOut.model_fields}


def _settled(invoice: Invoice) -> shapes.PaidInvoice:
    return _shown(shapes.PaidInvoice, invoice)


def _sent(refund: Refund) -> shapes.RefundOut:
    return _shown(shapes.RefundOut, refund)
