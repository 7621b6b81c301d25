"""What is wrong with the prices at Stripe that plans are sold for: those that plans name, and those made for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from billing_db import Connection
from turf_saas import catalogue, tenants
from turf_saas.doctor_findings import Finding, broken
from turf_saas.plans import Plan
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_prices import PRICES, Difference, differences, list_made

CHECK = "prices"
WHERE = "Product catalog → the price"


def examine_prices(db: Connection, gateway: StripeGateway) -> list[Finding]:
    """Each plan that is on sale, by the price that it names; where it names none, by those that were made."""
    sold = [plan for tenant in tenants.list_tenants(db) for plan in catalogue.list_plans(db, tenant.id)]
    named = [plan for plan in sold if plan.stripe_price_id]
    wrong = [
        Finding(CHECK, "error", f"Plan {plan.code}: {_said(plan, one)}")
        for plan in named
        for one in differences(plan, gateway.find(PRICES, str(plan.stripe_price_id)), plan.amount_cents)
    ]
    made = broken(CHECK, _made(db, gateway, [plan for plan in sold if not plan.stripe_price_id]), "")
    if made.level == "error":
        wrong.append(Finding(CHECK, "warning", f"{made.message} The next checkout makes another."))
    return [*wrong, *_shared(named)] or [Finding(CHECK, "ok", f"{len(named)} plans have a price at Stripe that fits.")]


def _said(plan: Plan, one: Difference) -> str:
    name = plan.stripe_price_id
    match one.kind:
        case "missing":
            return f"there is no price {name} in this account and mode. Product catalog → the product → Pricing."
        case "archived":
            return f"{name} is archived, and nobody can subscribe to it. {WHERE} → Unarchive."
        case "terms":
            return f"{name} costs {one.theirs}, the plan {one.ours}. {WHERE}, or the plan."


def _made(db: Connection, gateway: StripeGateway, plans: Sequence[Plan]) -> Iterator[str]:
    """The prices made by us that are not, or not any more, what they were made as."""
    for plan in plans:
        for price_id, gross in list_made(db, plan, gateway.mode):
            found = differences(plan, gateway.find(PRICES, price_id), gross)
            if found:
                yield f"Plan {plan.code}: {price_id}, which was made for it, is {_strange(found[0])}"


def _strange(one: Difference) -> str:
    return {"missing": "not known at Stripe any more", "archived": "archived"}.get(
        one.kind, f"{one.theirs} instead of {one.ours}"
    )


def _shared(sold: Sequence[Plan]) -> Iterator[Finding]:
    for (tenant_id, price), many in Counter((plan.tenant_id, plan.stripe_price_id) for plan in sold).items():
        if many > 1:
            codes = ", ".join(p.code for p in sold if (p.tenant_id, p.stripe_price_id) == (tenant_id, price))
            yield Finding(CHECK, "error", f"Plans {codes} have one price, {price}: what Stripe sells is one of them.")
