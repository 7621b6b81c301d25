"""Account credit: money of a user that no invoice holds."""

from __future__ import annotations

from typing import Any

from api_v1 import acting_for, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import account_credit


@route(
    "GET",
    "/account-credit",
    summary="What came to the account credit and went, newest first, and what is there",
    scope="billing.read",
    query=shapes.MoneyQuery,
    returns=shapes.AccountCredit,
)
def list_account_credit(caller: Caller, query: shapes.MoneyQuery) -> Any:
    """One's own; for an admin another user's. The entries of a currency sum to its balance."""
    db = current_runtime().db()
    user_id = acting_for.get_visible(caller, query.user_id)
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = account_credit.list_entries(
        db,
        caller.tenant_id,
        user_id,
        before=before,  # type: ignore[arg-type]
        limit=query.limit + 1,
    )
    shown, more = page(found, query.limit, lambda entry: (entry.id,))
    balances = account_credit.list_balances(db, caller.tenant_id, user_id)
    return {"items": list(map(vars, shown)), "balances": list(map(vars, balances)), "next_cursor": more}
