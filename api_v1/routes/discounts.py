"""Discounts: codes that take something off the base fees."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_plans as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import Page, page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import discounts
from turf_saas.discount_drafts import discount_from
from turf_saas.discounts import Discount


@route(
    "POST",
    "/discounts",
    summary="Give out a discount code",
    who="admin",
    scope="billing.write",
    body=shapes.DiscountIn,
    returns=shapes.DiscountOut,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def create_discount(caller: Caller, body: shapes.DiscountIn) -> Any:
    """A user redeems it once, with a subscription or a change of it (`discount_code`)."""
    runtime = current_runtime()
    given = discount_from(body.model_dump(exclude_unset=True), currency=runtime.settings.currency)
    found = discounts.create_discount(
        runtime.db(), runtime.now(), caller.tenant_id, **given, by=f"user:{caller.user_id}"
    )
    return _shown(found)


@route(
    "GET",
    "/discounts",
    summary="The discount codes of the tenant",
    who="admin",
    scope="billing.read",
    query=Page,
    returns=shapes.DiscountsOut,
)
def list_discounts(caller: Caller, query: Page) -> Any:
    """Newest first, also those that were used up; not those that were deleted."""
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = discounts.list_discounts(
        current_runtime().db(),
        caller.tenant_id,
        limit=query.limit + 1,
        before=before,  # type: ignore[arg-type]
    )
    shown, more = page(found, query.limit, lambda discount: (discount.id,))
    return {"items": [_shown(discount) for discount in shown], "next_cursor": more}


@route(
    "DELETE",
    "/discounts/<code>",
    summary="Delete a discount code",
    who="admin",
    scope="billing.write",
    returns=shapes.DiscountOut,
)
def delete_discount(caller: Caller, code: str) -> Any:
    """It is redeemed no more. Whoever has redeemed it keeps what it gives."""
    runtime = current_runtime()
    return _shown(discounts.delete_discount(runtime.db(), runtime.now(), caller.tenant_id, code))


def _shown(found: Discount) -> dict[str, Any]:
    return {name: value for name, value in vars(found).items() if name != "id"}
