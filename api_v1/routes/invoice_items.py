"""One-off items: what a user has to pay once, on the invoice of the month in which it was added."""

from __future__ import annotations

from typing import Any

from api_v1 import acting_for, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import invoice_items
from turf_saas.errors import NotFound


@route(
    "POST",
    "/invoice-items",
    summary="Put an item on the invoice of a user's current month",
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
    is 409 `currency_mismatch`. Until that month is invoiced the item can be removed.
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


@route(
    "GET",
    "/invoice-items",
    summary="The items that wait for their invoice, newest first",
    scope="billing.read",
    query=shapes.MoneyQuery,
    returns=shapes.Items,
)
def list_invoice_items(caller: Caller, query: shapes.MoneyQuery) -> Any:
    """One's own; an admin's are all of the tenant, or one user's. What is invoiced stands on the invoice."""
    everybody = caller.is_admin and query.user_id is None
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = invoice_items.list_waiting(
        current_runtime().db(),
        caller.tenant_id,
        user_id=None if everybody else acting_for.get_visible(caller, query.user_id),
        before=before,  # type: ignore[arg-type]
        limit=query.limit + 1,
    )
    shown, more = page(found, query.limit, lambda item: (item.id,))
    return {"items": [vars(item) for item in shown], "next_cursor": more}


@route(
    "DELETE",
    "/invoice-items/<int:item_id>",
    summary="Remove an item that waits for its invoice",
    who="admin",
    scope="billing.write",
    returns=shapes.ItemOut,
    refuses=(409,),
)
def remove_invoice_item(caller: Caller, item_id: int) -> Any:
    """The item as it was. On an invoice already: 409 `item_invoiced`, for that is taken back by a credit note."""
    return vars(invoice_items.remove_item(current_runtime().db(), caller.tenant_id, item_id))
