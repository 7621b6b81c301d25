"""The ledger: what was sold, taken back and refunded."""

from __future__ import annotations

from typing import Any

from api_v1 import acting_for, schemas_payments as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import transactions
from turf_saas.values import Month


@route(
    "GET",
    "/transactions",
    summary="The ledger, newest first",
    scope="billing.read",
    query=shapes.TransactionsQuery,
    returns=shapes.Transactions,
)
def list_transactions(caller: Caller, query: shapes.TransactionsQuery) -> Any:
    """One's own; an admin's are all of the tenant, or one user's. An invoice has one entry per type, VAT included:
    they sum to its `amount_cents`.
    """
    runtime = current_runtime()
    everybody = caller.is_admin and query.user_id is None
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = transactions.list_transactions(
        runtime.db(),
        runtime.settings,
        caller.tenant_id,
        user_id=None if everybody else acting_for.get_visible(caller, query.user_id),
        month=Month.parse(query.month) if query.month is not None else None,
        before=before,  # type: ignore[arg-type]
        limit=query.limit + 1,
    )
    shown, more = page(found, query.limit, lambda entry: (entry.id,))
    items = [{name: getattr(entry, name) for name in shapes.TransactionOut.model_fields} for entry in shown]
    return {"items": items, "next_cursor": more}
