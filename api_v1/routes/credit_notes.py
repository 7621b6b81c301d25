"""Credit notes: an invoice is taken back, wholly or partly."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_invoices, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.telling import tell_issued
from turf_saas import credit_notes


@route(
    "POST",
    "/invoices/<number>/credit-notes",
    summary="Credit an invoice: an amount, lines, or all that is left",
    who="admin",
    scope="billing.write",
    body=shapes.CreditIn,
    body_optional=True,
    returns=schemas_invoices.InvoiceOut,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def credit_invoice(caller: Caller, number: str, body: shapes.CreditIn) -> Any:
    """Its amounts are negative. It lowers what is due; what was paid beyond that becomes account credit.

    More than is left: 409 `credit_too_large` with `left_cents`, net where lines are credited. Whoever credits the last
    of a rate takes what is left of its VAT.
    """
    runtime = current_runtime()
    note = credit_notes.credit_invoice(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        number,
        amount_cents=body.amount_cents,
        lines=body.wishes,
        reason=body.reason,
        by=f"admin:{caller.user_id}",
    )
    tell_issued(runtime, [note])
    return schemas_invoices.shown(note)
