"""What a month on a plan costs: its fee, and what is used above what it includes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from turf_saas import pricing
from turf_saas.errors import InvalidInput
from turf_saas.money import MAX_CENTS, from_cents
from turf_saas.plans import Plan, limits_of
from turf_saas.pricing import Charge
from turf_saas.settings import Settings


@dataclass(frozen=True)
class PlanQuote:
    """The fee as a charge of one, and a charge per priced metric."""

    fee: Charge
    charges: tuple[tuple[str, Charge], ...]

    @property
    def amount_cents(self) -> int:
        return self.fee.amount_cents + sum(charge.amount_cents for _, charge in self.charges)


def quote_plan(settings: Settings, plan: Plan, usage: Mapping[str, int]) -> PlanQuote:
    """Of metrics that the plan has no price for nothing is said."""
    included = limits_of(settings, plan.terms)
    charges = []
    for price in plan.terms.prices:
        used, free = usage.get(price.metric, 0), included.get(price.metric, 0)
        charges.append((price.metric, pricing.rate(price, used, free, plan.currency)))
    if plan.amount_cents + sum(charge.amount_cents for _, charge in charges) > MAX_CENTS:
        raise InvalidInput("amount_too_large", metric=", ".join(sorted(usage)))
    fee = from_cents(plan.amount_cents, plan.currency)
    return PlanQuote(Charge(plan.amount_cents, fee, Decimal(1), fee, ()), tuple(charges))
