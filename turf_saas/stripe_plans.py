"""Which plan a subscription of Stripe's is on: by the price of its item, or by our own note at a price that we made."""

from __future__ import annotations

from billing_db import Connection, fetch_all, fetch_one
from turf_saas import catalogue
from turf_saas.plans import Plan
from turf_saas.stripe_objects import Json, dig, items_of, number_in, sid
from turf_saas.subscriptions import Subscription


def find_plan(db: Connection, tenant_id: int, given: Json, held: Subscription | None) -> Plan | None:
    """The version that it is of; None where no price of it is one of the tenant's plans.

    Of several versions with one price the one that it is on, then the one that is to follow, then the newest.
    """
    for price in prices_of(given):
        found = _find_by_price(db, tenant_id, price, held)
        if found is not None:
            return found
    return _find_noted(db, tenant_id, given)


def prices_of(given: Json) -> list[Json]:
    """The prices of its items, in their order. Of one that is told by its id alone only that is known."""
    return [
        price if isinstance(price, dict) else {"id": sid(price)}
        for item in items_of(given.get("items"))
        for price in [item.get("price") or item.get("plan") or dig(item, "pricing", "price_details", "price")]
        if sid(price) is not None
    ]


def _find_by_price(db: Connection, tenant_id: int, price: Json, held: Subscription | None) -> Plan | None:
    rows = fetch_all(
        db,
        """SELECT id FROM billing_plans WHERE tenant_id = :tenant_id AND stripe_price_id = :price
            ORDER BY superseded_at IS NULL DESC, version DESC, id DESC""",
        tenant_id=tenant_id,
        price=sid(price),
    )
    ids = [int(row["id"]) for row in rows]
    wanted = (held.plan_id, held.pending_plan_id) if held is not None else ()
    chosen = next((each for each in wanted if each in ids), ids[0] if ids else None)
    return catalogue.get_version(db, chosen) if chosen is not None else _find_noted(db, tenant_id, price)


def _find_noted(db: Connection, tenant_id: int, given: Json) -> Plan | None:
    """By the id that we wrote there ourselves; it is a plan of this tenant's, or nothing."""
    row = fetch_one(
        db,
        "SELECT id FROM billing_plans WHERE id = :id AND tenant_id = :tenant_id",
        id=number_in(given, "plan_id"),
        tenant_id=tenant_id,
    )
    return catalogue.get_version(db, row["id"]) if row is not None else None


def find_follower(db: Connection, plan: Plan) -> Plan:
    """The version that the next period is of, where an edit said so and Stripe charges the same for it."""
    row = fetch_one(db, "SELECT rolls_into FROM billing_plans WHERE id = :id", id=plan.id)
    if row is None or row["rolls_into"] is None:
        return plan
    follower = catalogue.get_version(db, row["rolls_into"])
    same = (follower.stripe_price_id, follower.amount_cents) == (plan.stripe_price_id, plan.amount_cents)
    return follower if same else plan
