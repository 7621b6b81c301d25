"""What a quantity would cost, explained."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_pricing as shapes
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.wire import Choice
from turf_saas import catalogue, pricing
from turf_saas.checks import invalid
from turf_saas.errors import Fault, pointer
from turf_saas.prices import decimal_text, plain_number
from turf_saas.pricing import Charge, Step
from turf_saas.quoting import quote_plan
from turf_saas.subscribing import get_sold_plan


@route(
    "POST",
    "/pricing/quote",
    summary="What a quantity costs, tier by tier, or a month on a plan",
    who="anyone",
    of_tenant=True,
    body=Choice({"plan": shapes.PlanQuoteIn}, shapes.QuoteIn),
    returns=shapes.QuoteOut,
    refuses=(409,),
    max_body=shapes.MAX_QUOTE,
)
def quote(tenant_id: int, body: shapes.QuoteIn | shapes.PlanQuoteIn) -> Any:
    """By the price in the body, or by a plan's: then the plan's fee is the first line. Nothing is stored.

    The body has at most 64 KiB. The amount is what an invoice's lines would say, before tax where prices are exclusive
    of it. One of more than 2^53 cents is refused.
    """
    if isinstance(body, shapes.PlanQuoteIn):
        return _plan_quote(tenant_id, body)
    asked, currency = body.price, body.currency or current_runtime().settings.currency
    charge = pricing.rate(asked.price, body.quantity, asked.included, currency)
    return {"amount_cents": charge.amount_cents, "currency": currency, "lines": [_line(asked.metric, charge)]}


def _plan_quote(tenant_id: int, body: shapes.PlanQuoteIn) -> dict[str, Any]:
    runtime = current_runtime()
    plan = get_sold_plan(runtime.db(), tenant_id, body.plan)
    unknown = sorted(body.usage.keys() - plan.terms.metrics)
    if unknown:
        unknown = sorted(set(unknown) - catalogue.list_metrics(runtime.db(), tenant_id))
    if unknown:
        raise invalid([Fault(pointer("usage", metric), "metric_not_sold", {"metric": metric}) for metric in unknown])
    quoted = quote_plan(runtime.settings, plan, body.usage)
    return {
        "amount_cents": quoted.amount_cents,
        "currency": plan.currency,
        "lines": [_line(None, quoted.fee, "base"), *(_line(metric, charge) for metric, charge in quoted.charges)],
    }


def _line(metric: str | None, charge: Charge, kind: str = "overage") -> dict[str, Any]:
    return {
        "kind": kind,
        "metric": metric,
        "quantity": plain_number(charge.quantity),
        "unit_amount": None if charge.unit_amount is None else decimal_text(charge.unit_amount),
        "amount": decimal_text(charge.amount),
        "amount_cents": charge.amount_cents,
        "steps": [_step(step) for step in charge.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "above": plain_number(step.above),
        "up_to": None if step.up_to is None else plain_number(step.up_to),
        "quantity": plain_number(step.quantity),
        "size": step.size,
        "unit_amount": decimal_text(step.unit_amount),
        "flat_cents": step.flat_cents,
        "amount": decimal_text(step.amount),
    }
