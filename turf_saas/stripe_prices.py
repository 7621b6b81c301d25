"""What of Stripe's a plan is sold for: the price that the plan names, or one that we have made for what it costs."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection
from turf_saas import profiles, stripe_calls
from turf_saas.errors import Conflict
from turf_saas.invoice_totals import tax_of
from turf_saas.plans import Plan
from turf_saas.seller import seller_of
from turf_saas.settings import Settings
from turf_saas.stripe_currencies import OTHER_UNIT, THREE_DECIMALS
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP
from turf_saas.stripe_run_lines import supplied_on
from turf_saas.tax import decide
from turf_saas.values import UserId


def price_for(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, plan: Plan, user_id: UserId
) -> str:
    """Its id. One that we make is of what this buyer pays, VAT included, and says which version it is of.

    Conflict for a currency whose minor unit is another one at Stripe.
    """
    if plan.currency in OTHER_UNIT or plan.currency in THREE_DECIMALS:
        raise Conflict("stripe_currency", currency=plan.currency)
    if plan.stripe_price_id is not None:
        return plan.stripe_price_id
    cents = gross_cents(db, now, settings, plan, user_id)
    return stripe_calls.make(
        db,
        now,
        plan.tenant_id,
        f"plan:{plan.id}",
        f"price-{cents}-{stripe.mode}",
        {
            "currency": plan.currency.lower(),
            "unit_amount": cents,
            "recurring": {"interval": plan.interval},
            "product_data": {"name": plan.name},
            "tax_behavior": "inclusive",
            "metadata": {"app": APP, "plan_id": str(plan.id)},
        },
        stripe.create_price,
    ).id


def gross_cents(db: Connection, now: datetime, settings: Settings, plan: Plan, user_id: UserId) -> int:
    """What the plan's fee costs this buyer today, with its VAT."""
    if plan.tax_behavior == "inclusive":
        return plan.amount_cents
    buyer = profiles.get_profile(db, settings, user_id)
    decision = decide(seller_of(settings), buyer, supplied_on(settings, None, now))
    return plan.amount_cents + tax_of(plan.amount_cents, decision.rate)
