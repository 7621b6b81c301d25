"""Snapshots as an endpoint pinned to a version before basil gets them: fields at the top that have moved since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api_v1.stripe_fake.world import World


def as_before_basil(world: World, snapshot: dict[str, Any]) -> dict[str, Any]:
    """The same facts where they stood on 2024-06-20; an object that has not changed as it is."""
    convert = OLD.get(snapshot["object"])
    return convert(world, snapshot) if convert else snapshot


def _intent_of(world: World, invoice_id: str) -> dict[str, Any]:
    for payment in world.all("invoice_payment", invoice=invoice_id):
        found = world.objects.get(str(payment["payment"].get("payment_intent")))
        if found is not None:
            return found
    return {}


def _invoice_of(world: World, intent_id: str | None) -> str | None:
    for payment in world.all("invoice_payment"):
        if intent_id is not None and payment["payment"].get("payment_intent") == intent_id:
            return str(payment["invoice"])
    return None


def _invoice(world: World, invoice: dict[str, Any]) -> dict[str, Any]:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    intent = _intent_of(world, invoice["id"])
    taxes = invoice["total_taxes"] or []
    moved = {
        "parent",
        "total_taxes",
        "amount_overpaid",
        "amount_paid_off_stripe",
        "confirmation_secret",
        "status_details",
    }
    return {name: value for name, value in invoice.items() if name not in moved} | {
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")},
        "payment_intent": intent.get("id"),
        "charge": intent.get("latest_charge"),
        "paid": invoice["status"] == "paid",
        "paid_out_of_band": bool(invoice["amount_paid_off_stripe"]),
        "tax": sum(tax["amount"] for tax in taxes) if taxes else None,
        "discount": None,
        "lines": invoice["lines"] | {"data": [_line(world, line) for line in invoice["lines"]["data"]]},
    }


def _line(world: World, line: dict[str, Any]) -> dict[str, Any]:
    parent = line["parent"] or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    price = ((line["pricing"] or {}).get("price_details") or {}).get("price")
    moved = {"parent", "pricing", "taxes", "subtotal", "quantity_decimal"}
    return {name: value for name, value in line.items() if name not in moved} | {
        "type": "subscription" if parent.get("subscription_item_details") else "invoiceitem",
        "invoice_item": details.get("invoice_item"),
        "subscription_item": details.get("subscription_item"),
        "proration": bool(details.get("proration")),
        "price": world.objects.get(str(price)),
        "plan": None,
    }


def _subscription(world: World, subscription: dict[str, Any]) -> dict[str, Any]:
    items = subscription["items"]["data"]
    bare = [{name: each[name] for name in each if not name.startswith("current_period_")} for each in items]
    return subscription | {
        "current_period_start": min(each["current_period_start"] for each in items),
        "current_period_end": max(each["current_period_end"] for each in items),
        "plan": items[0]["plan"] if len(items) == 1 else None,
        "quantity": items[0]["quantity"] if len(items) == 1 else None,
        "items": subscription["items"] | {"data": bare},
    }


def _charge(world: World, charge: dict[str, Any]) -> dict[str, Any]:
    return charge | {"invoice": _invoice_of(world, charge["payment_intent"])}


def _intent(world: World, intent: dict[str, Any]) -> dict[str, Any]:
    return intent | {"invoice": _invoice_of(world, intent["id"])}


def _credit_note(_world: World, note: dict[str, Any]) -> dict[str, Any]:
    refunds = [each["refund"] for each in note["refunds"]]
    moved = {"refunds", "pre_payment_amount", "post_payment_amount"}
    return {name: note[name] for name in note if name not in moved} | {"refund": refunds[0] if refunds else None}


OLD = {
    "invoice": _invoice,
    "subscription": _subscription,
    "charge": _charge,
    "payment_intent": _intent,
    "credit_note": _credit_note,
}
