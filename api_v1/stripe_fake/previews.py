"""What an invoice would be: made, looked at, and taken back."""

from __future__ import annotations

from api_v1.stripe_fake import catalogue, invoices, lines, subscription_changes, subscriptions
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

OF_DETAILS = {
    "items",
    "proration_behavior",
    "proration_date",
    "billing_cycle_anchor",
    "trial_end",
    "cancel_at_period_end",
}


class Seen(Exception):
    """Takes back what was made for the preview."""


def create(world: World, params: Obj) -> Obj:
    """The next invoice of a subscription, changed or new, or of pending items. Nobody is told, nothing stays."""
    shown: Obj = {}
    try:
        with world.undone_if_refused():
            shown = rendered(world, _made(world, params))
            raise Seen
    except Seen:
        pass
    return shown | {"id": f"upcoming_{shown['id']}", "number": None, "status": "draft"}


def _made(world: World, params: Obj) -> Obj:
    details = params.get("subscription_details", {})
    subscription = (
        world.named("subscription", params["subscription"], "subscription") if "subscription" in params else None
    )
    customer_id = params.get("customer") or (subscription or {}).get("customer")
    if customer_id is None:
        raise Refused("You must provide customer or subscription.", code="parameter_missing", param="customer")
    customer = world.named("customer", customer_id, "customer")
    for item in params.get("invoice_items", []):
        lines.create_item(
            world, {key: each for key, each in item.items() if key != "invoiceitem"} | {"customer": customer_id}
        )
    if subscription is None and "items" in details:
        asked = {
            key: each for key, each in details.items() if key in OF_DETAILS - {"proration_behavior", "proration_date"}
        }
        asked |= {"customer": customer_id, "payment_behavior": "default_incomplete"}
        subscription = subscriptions.create(world, asked)
        return world.get("invoice", subscription["latest_invoice"])
    if subscription is None:
        return _pending(world, customer, params)
    changed = {key: each for key, each in details.items() if key in OF_DETAILS}
    if changed.get("proration_behavior") == "always_invoice":
        changed["proration_behavior"] = "create_prorations"
        subscription_changes.update(world, changed, subscription["id"])
        found = subscriptions.bill_pending(world, world.get("subscription", subscription["id"]))
        return found or _pending(world, customer, params)
    last = subscription["latest_invoice"]
    if changed:
        subscription = subscription_changes.update(world, changed, subscription["id"])
    if subscription["latest_invoice"] != last:
        return world.get("invoice", subscription["latest_invoice"])
    return _next(world, subscription)


def _next(world: World, subscription: Obj) -> Obj:
    if subscription["status"] in subscriptions.OVER or subscription["cancel_at_period_end"]:
        raise Refused("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
    return subscriptions.renew_now(world, subscription)


def _pending(world: World, customer: Obj, params: Obj) -> Obj:
    currency = catalogue.currency_of(params.get("currency") or customer["currency"] or "eur")
    waiting = lines.pending_items(world, customer["id"], currency)
    if not waiting:
        raise Refused("No upcoming invoices for customer", code="invoice_upcoming_none", status=404)
    invoice = invoices.draft(world, customer, currency, None, reason="upcoming", auto_advance=False)
    for item in waiting:
        lines.put_on(world, item, invoice)
    lines.retotal(world, invoice)
    return invoice
