"""One-off items: what goes on a user's next invoice, once."""

from __future__ import annotations

from typing import Any

from api_v1 import acting_for, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import invoice_items
from turf_saas.errors import NotFound


@route(
    "POST",
    "/invoice-items",
    summary="Put an item on a user's next invoice",
    who="admin",
    scope="billing.write",
    body=shapes.ItemIn,
    returns=shapes.ItemOut,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def create_invoice_item(caller: Caller, body: shapes.ItemIn) -> Any:
    """Net: VAT is added as on every line. Quantity × unit_amount is rounded once; another currency than the user's
    is 409 `currency_mismatch`.
    """
    runtime = current_runtime()
    with acting_for.users_named(caller, [body.user_id]) as found:
        user = found.get(body.user_id)
        if user is None:
            raise NotFound("user_not_found")
        return vars(
            invoice_items.add_item(
                runtime.db(),
                runtime.now(),
                runtime.settings,
                user,
                description=body.description,
                quantity=body.quantity,
                unit_amount=body.unit_amount,
                currency=body.currency,
                by=f"admin:{caller.user_id}",
            )
        )
