"""What a quantity would cost, explained."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_pricing as shapes
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import pricing
from turf_saas.prices import decimal_text, plain_number
from turf_saas.pricing import Charge, Step


@route(
    "POST",
    "/pricing/quote",
    summary="What a quantity costs, tier by tier",
    who="anyone",
    body=shapes.QuoteIn,
    returns=shapes.QuoteOut,
    max_body=shapes.MAX_QUOTE,
)
def quote(body: shapes.QuoteIn) -> Any:
    """By the price in the body, which has at most 64 KiB. Nothing is looked up and nothing is stored.

    The amount is what an invoice's line would say of it, before tax where prices are exclusive of it. One of more
    than 2^53 cents is refused.
    """
    asked, currency = body.price, body.currency or current_runtime().settings.currency
    charge = pricing.rate(asked.price, body.quantity, asked.included, currency)
    return {"amount_cents": charge.amount_cents, "currency": currency, "lines": [_line(asked.metric, charge)]}


def _line(metric: str | None, charge: Charge) -> dict[str, Any]:
    return {
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
