"""How an invoice came about."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_explain as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import invoice_explaining, invoices


@route(
    "GET",
    "/invoices/<number>/explain",
    summary="How an invoice came about, line by line",
    scope="billing.read",
    query=shapes.ExplainQuery,
    returns=shapes.ExplanationOut,
)
def explain_invoice(caller: Caller, number: str, query: shapes.ExplainQuery) -> Any:
    """Of each line the price as it was, its steps, the days and their use, and the last event behind it; the text is in
    the language of the invoice, or the one that is asked for.
    """
    runtime = current_runtime()
    whose = None if caller.is_admin else caller.user_id
    invoice = invoices.get_invoice(runtime.db(), caller.tenant_id, number, user_id=whose)
    found = invoice_explaining.explain_invoice(runtime.db(), runtime.settings, invoice, query.locale)
    return shapes.shown(found)
