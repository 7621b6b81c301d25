"""Invoices: what the next one will say."""

from __future__ import annotations

from typing import Any

from api_v1 import acting_for, schemas_invoices as shapes
from api_v1.auth import Caller
from api_v1.errors import locale
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas.invoice_preview import Preview, preview
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.tax import checked, rate_text
from turf_saas.users import User
from turf_saas.values import instant_text


@route(
    "GET",
    "/invoices/upcoming",
    summary="What this month's invoice would say now",
    scope="billing.read",
    query=shapes.UpcomingQuery,
    returns=shapes.Upcoming,
    refuses=(409,),
)
def upcoming_invoice(caller: Caller, query: shapes.UpcomingQuery) -> Any:
    """Worked out, and not stored: the fees of the periods that have begun in the month, its use until now, and what
    changes have left. VAT by the caller's profile. A country whose VAT is not known here: 409.
    """
    runtime = current_runtime()
    user = User(acting_for.get_visible(caller, query.user_id), caller.tenant_id, "user")
    asked = runtime.hooks.tax
    found = preview(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        user,
        locale(),
        None if asked is None else lambda *of: checked(asked(*of)),
    )
    return _shown(runtime.settings, found)


def _shown(settings: Settings, found: Preview) -> dict[str, Any]:
    draft, totals, rate = found.draft, found.totals, found.tax.rate_text
    return {
        "kind": "period",
        "status": "draft",
        "user_id": draft.user_id,
        "period_start": instant_text(start_of_day(draft.month.first_day, settings.timezone)),
        "period_end": instant_text(draft.month.ends_at(settings.timezone)),
        "plan": draft.plan,
        "currency": draft.currency,
        "net_cents": totals.net_cents,
        "tax_cents": totals.tax_cents,
        "amount_cents": totals.amount_cents,
        "usage": draft.usage,
        "lines": [
            {
                "kind": line.kind,
                "description": line.description,
                "metric": line.metric,
                "quantity": line.quantity,
                "unit_amount": line.unit_amount,
                "net_cents": net,
                "vat_rate": rate,
                "period_start": line.period_start,
                "period_end": line.period_end,
            }
            for line, net in zip(draft.lines, totals.lines_net_cents, strict=True)
        ],
        "taxes": [
            {
                "category": tax.category,
                "vat_rate": rate_text(tax.rate),
                "base_cents": tax.base_cents,
                "tax_cents": tax.tax_cents,
            }
            for tax in totals.taxes
        ],
    }
