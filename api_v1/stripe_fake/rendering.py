"""Objects as they go over the wire: without what only the fake knows, with what was asked for by `expand`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from api_v1.stripe_fake.errors import Refused

if TYPE_CHECKING:
    from api_v1.stripe_fake.world import World

Obj = dict[str, Any]

EMBEDDED_LINES = 10
MAX_EXPANSIONS, MAX_EXPAND_DEPTH = 20, 4


def listed(data: list[Obj], url: str, *, has_more: bool = False) -> Obj:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def rendered(world: World, found: Obj, expand: list[str] | None = None) -> Obj:
    """A copy that nobody else changes."""
    shown: Obj = _plain(found)
    for path in _checked(expand):
        _expand(world, shown, path.split("."), path)
    return shown


def _plain(value: Any) -> Any:
    """Without the fake's own fields (they begin with _), decimals as the texts that Stripe sends."""
    if isinstance(value, dict):
        shown = {key: _plain(inner) for key, inner in value.items() if not str(key).startswith("_")}
        if value.get("object") == "invoice" and "_lines" in value:
            lines, url = [_plain(line) for line in value["_lines"]], f"/v1/invoices/{value['id']}/lines"
            shown["lines"] = listed(lines[:EMBEDDED_LINES], url, has_more=len(lines) > EMBEDDED_LINES)
            shown["lines"]["total_count"] = len(lines)
        return shown
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return copy.copy(value)


def _checked(expand: list[str] | None) -> list[str]:
    paths = expand or []
    if len(paths) > MAX_EXPANSIONS or any(path.count(".") >= MAX_EXPAND_DEPTH + 1 for path in paths):
        raise Refused("You cannot expand more than 4 levels of a property", param="expand")
    return paths


def _expand(world: World, shown: Any, steps: list[str], path: str) -> None:
    if isinstance(shown, list):
        for each in shown:
            _expand(world, each, steps, path)
        return
    if not isinstance(shown, dict):
        return
    step, rest = steps[0], steps[1:]
    if step not in shown:
        includable = INCLUDABLE.get((str(shown.get("object")), step))
        if includable is None:
            raise Refused(f"This property cannot be expanded ({path}).", param="expand")
        shown[step] = _plain(includable(world, shown))
    value = shown[step]
    if isinstance(value, str):
        target = world.objects.get(value)
        if target is None:
            raise Refused(f"This property cannot be expanded ({path}).", param="expand")
        shown[step] = value = _plain(target)
    elif isinstance(value, list):
        value[:] = [
            _plain(world.objects[each]) if isinstance(each, str) and each in world.objects else each for each in value
        ]
    if rest:
        _expand(world, value, rest, path)


def changes(before: Obj, after: Obj) -> Obj:
    """What an update has replaced, as `previous_attributes` tells it."""
    return {key: value for key, value in before.items() if key in after and after[key] != value}


def _payments_of(world: World, shown: Obj) -> Obj:
    payments = world.all("invoice_payment", invoice=shown["id"])
    return listed(payments, f"/v1/invoice_payments?invoice={shown['id']}")


def _confirmation_secret(world: World, shown: Obj) -> Obj | None:
    for payment in world.all("invoice_payment", invoice=shown["id"]):
        intent = world.objects.get(str(payment["payment"].get("payment_intent")))
        if intent is not None:
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


def _subscriptions_of(world: World, shown: Obj) -> Obj:
    living = [each for each in world.all("subscription", customer=shown["id"]) if each["status"] != "canceled"]
    return listed(living, f"/v1/customers/{shown['id']}/subscriptions")


def _refunds_of(world: World, shown: Obj) -> Obj:
    return listed(world.all("refund", charge=shown["id"]), f"/v1/charges/{shown['id']}/refunds")


def _line_items_of(world: World, shown: Obj) -> Obj:
    items = world.objects[shown["id"]]["_line_items"]
    return listed(items, f"/v1/checkout/sessions/{shown['id']}/line_items")


INCLUDABLE: dict[tuple[str, str], Callable[[World, Obj], Any]] = {
    ("invoice", "payments"): _payments_of,
    ("invoice", "confirmation_secret"): _confirmation_secret,
    ("customer", "subscriptions"): _subscriptions_of,
    ("customer", "tax_ids"): lambda world, shown: listed([], f"/v1/customers/{shown['id']}/tax_ids"),
    ("customer", "sources"): lambda world, shown: listed([], f"/v1/customers/{shown['id']}/sources"),
    ("charge", "refunds"): _refunds_of,
    ("checkout.session", "line_items"): _line_items_of,
}
