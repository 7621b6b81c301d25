"""Changes of a subscription: other items, prorated to the second; an end; a new beginning."""

from __future__ import annotations

from decimal import Decimal

from api_v1.stripe_fake import cards, catalogue, collecting, invoices, lines, subscriptions
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.periods import after
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

DAY = 86_400
PLAIN = frozenset(
    {"metadata", "description", "cancel_at_period_end", "collection_method", "days_until_due", "pause_collection"}
)
OF_A_CANCELED_ONE = {"metadata", "cancellation_details", "expand"}


def update(world: World, params: Obj, subscription_id: str) -> Obj:
    """All of it, or none when the payment that it needs is refused and `error_if_incomplete` was asked for."""
    world.get("subscription", subscription_id)
    with world.undone_if_refused():
        return _update(world, params, world.get("subscription", subscription_id))


def _update(world: World, params: Obj, subscription: Obj) -> Obj:
    if subscription["status"] in subscriptions.OVER and params.keys() - OF_A_CANCELED_ONE:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise Refused(message, code="invalid_canceled_subscription_fields")
    before = rendered(world, subscription)
    if params.get("default_payment_method"):
        card = cards.of_customer(world, params["default_payment_method"], subscription["customer"])
        subscription["default_payment_method"] = card["id"]
    set_fields(subscription, params, PLAIN)
    if "cancellation_details" in params:
        subscription["cancellation_details"] |= params["cancellation_details"]
    _plan_end(world, subscription, params)
    if "default_tax_rates" in params:
        subscription["default_tax_rates"] = catalogue.tax_rates(world, params["default_tax_rates"] or [])
    refusal = None
    if "trial_end" in params:
        refusal = _move_trial(world, subscription, params["trial_end"])
    elif params.get("billing_cycle_anchor") == "now" and "items" not in params:
        refusal = _change_items(world, subscription, params | {"items": []})
    if "items" in params:
        refusal = _change_items(world, subscription, params)
    if refusal is not None and params.get("payment_behavior") == "error_if_incomplete":
        raise refusal
    if subscription["id"] in world.objects and rendered(world, subscription) != before:
        world.emit("customer.subscription.updated", subscription, before)
    return subscription


def _plan_end(world: World, subscription: Obj, params: Obj) -> None:
    at, details = world.now(), subscription["cancellation_details"]
    end = subscriptions.period_of(subscription)[1]
    if "cancel_at_period_end" in params:
        stops = params["cancel_at_period_end"]
        details["reason"] = "cancellation_requested" if stops else None
        subscription |= {"canceled_at": at if stops else None, "cancel_at": end if stops else None}
    elif "cancel_at" in params:
        wanted = params["cancel_at"]
        named = end if wanted in {"min_period_end", "max_period_end"} else wanted
        subscription |= {"cancel_at": named or None, "canceled_at": at if named else None}
        details["reason"] = "cancellation_requested" if named else None


def _move_trial(world: World, subscription: Obj, wanted: int | str) -> Refused | None:
    at = world.now()
    if wanted != "now" and int(wanted) <= at:
        raise Refused("The trial end must be in the future.", param="trial_end")
    if wanted == "now":
        subscription |= {"status": "active", "trial_end": at, "billing_cycle_anchor": at}
        return _new_period(world, subscription, at)
    subscription |= {"status": "trialing", "trial_end": int(wanted), "billing_cycle_anchor": int(wanted)}
    subscriptions.set_period(subscription, at, int(wanted))
    return None


def _new_period(world: World, subscription: Obj, at: int) -> Refused | None:
    """A period that begins now, billed at once."""
    end = after(at, *subscriptions.interval_of(subscription), at)
    subscription["billing_cycle_anchor"] = at
    subscriptions.set_period(subscription, at, end)
    invoice = subscriptions.bill_period(world, subscription, "subscription_update")
    return _collect(world, subscription, invoice, {})


# -- items -------------------------------------------------------------------------------------------------


def _change_items(world: World, subscription: Obj, params: Obj) -> Refused | None:
    behaviour = params.get("proration_behavior", "create_prorations")
    start, end = subscriptions.period_of(subscription)
    at = min(max(params.get("proration_date", world.now()), start), end)
    old = [dict(item) for item in subscription["items"]["data"]]
    interval = subscriptions.interval_of(subscription)
    kept = rendered(world, subscription)
    for given in params["items"]:
        _change_item(world, subscription, given)
    if not subscription["items"]["data"]:
        raise Refused("A subscription must have at least one active plan.", param="items")
    trial = subscription["status"] == "trialing"
    restarts = subscriptions.interval_of(subscription) != interval or params.get("billing_cycle_anchor") == "now"
    if not restarts:
        subscriptions.set_period(subscription, start, end)
    if behaviour != "none" and not trial:
        _prorate(world, subscription, old, (start, at, end), charges=not restarts)
    if restarts and not trial:
        return _new_period(world, subscription, world.now())
    if behaviour != "always_invoice" or trial:
        return None
    invoice = subscriptions.bill_pending(world, subscription)
    if invoice is None:
        return None
    refusal = _collect(world, subscription, invoice, params)
    if refusal is not None and params.get("payment_behavior") == "pending_if_incomplete":
        _hold_back(world, subscription, kept, params)
        return None
    return refusal


def _change_item(world: World, subscription: Obj, given: Obj) -> None:
    items = subscription["items"]["data"]
    if "id" not in given:
        subscriptions.add_item(world, subscription, given)
        return
    item = next((each for each in items if each["id"] == given["id"]), None)
    if item is None:
        raise Refused(f"No such subscription item: '{given['id']}'", code="resource_missing", param="items[0][id]")
    if given.get("deleted"):
        items.remove(item)
        subscription["items"]["total_count"] = len(items)
        del world.objects[item["id"]]
        return
    if "price" in given or "price_data" in given:
        price = catalogue.price_for(world, given, "items", recurring=True)
        if price["currency"] != subscription["currency"]:
            raise Refused("All prices on a subscription must have the same currency.", param="items[0][price]")
        item |= {"price": dict(price), "plan": catalogue.plan_of(price)}
    set_fields(item, given, {"quantity", "metadata"})


def _prorate(world: World, subscription: Obj, old: list[Obj], when: tuple[int, int, int], *, charges: bool) -> None:
    """A credit for the rest of each old item that changed, a charge for the rest of each new one."""
    start, at, end = when
    rest = Decimal(end - at) / Decimal(end - start)
    new = {item["id"]: item for item in subscription["items"]["data"]}
    for item in old:
        if not charges or not _same(item, new.get(item["id"])):
            _prorated(world, subscription, item, -rest, at, end, "Unused time on")
    before = {item["id"]: item for item in old}
    for item in new.values() if charges else ():
        if not _same(item, before.get(item["id"])):
            _prorated(world, subscription, item, rest, at, end, "Remaining time on")


def _same(item: Obj, other: Obj | None) -> bool:
    return other is not None and (item["price"]["id"], item["quantity"]) == (other["price"]["id"], other["quantity"])


def _prorated(world: World, subscription: Obj, item: Obj, part: Decimal, at: int, end: int, words: str) -> None:
    price = item["price"]
    amount = lines.rounded(price["unit_amount_decimal"] * item["quantity"] * part)
    product = world.find("product", price["product"]) or {"name": price["product"]}
    details = {"subscription": subscription["id"], "subscription_item": item["id"]}
    made = world.add(
        "invoiceitem",
        "ii",
        amount=amount,
        currency=price["currency"],
        customer=subscription["customer"],
        date=world.now(),
        description=f"{words} {item['quantity']} × {product['name']}",
        discounts=[],
        metadata=metadata({}),
        net_amount=amount,
        parent={"type": "subscription_details", "subscription_details": details},
        period={"start": at, "end": end},
        pricing={
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": Decimal(amount) / (item["quantity"] or 1),
        },
        proration=True,
        quantity=item["quantity"],
        quantity_decimal=Decimal(item["quantity"]),
        tax_rates=item["tax_rates"],
    )
    world.emit("invoiceitem.created", made)


def _collect(world: World, subscription: Obj, invoice: Obj, params: Obj) -> Refused | None:
    invoices.open_up(world, invoice)
    if invoice["status"] == "paid" or subscription["collection_method"] != "charge_automatically":
        return None
    if params.get("payment_behavior") == "pending_if_incomplete":
        subscription["pending_update"] = {"expires_at": world.now() + DAY}
    return collecting.attempt(world, invoice, automatic=True)


def _hold_back(world: World, subscription: Obj, kept: Obj, params: Obj) -> None:
    """The old items stay until the invoice is paid."""
    subscription["_pending"] = [dict(item) for item in subscription["items"]["data"]]
    for item, old in zip(subscription["items"]["data"], kept["items"]["data"], strict=False):
        price = world.get("price", old["price"]["id"])
        item |= {"price": dict(price), "plan": catalogue.plan_of(price), "quantity": old["quantity"]}
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "expires_at": world.now() + DAY,
        "subscription_items": rendered(world, {"items": subscription["_pending"]})["items"],
        "trial_end": None,
        "trial_from_plan": None,
    }


def apply_pending(world: World, subscription: Obj) -> None:
    """What waited for its payment takes place."""
    for waiting in subscription.get("_pending") or []:
        for item in subscription["items"]["data"]:
            if item["id"] == waiting["id"]:
                item |= {name: waiting[name] for name in ("price", "plan", "quantity")}
    if subscription["pending_update"]:
        subscription |= {"_pending": None, "pending_update": None}


# -- ends and beginnings -----------------------------------------------------------------------------------


def cancel(world: World, params: Obj, subscription_id: str) -> Obj:
    subscription = world.get("subscription", subscription_id)
    if subscription["status"] in subscriptions.OVER:
        raise Refused(f"No such subscription: '{subscription_id}'", code="resource_missing", param="id", status=404)
    if params.get("prorate"):
        start, end = subscriptions.period_of(subscription)
        _prorate(world, subscription, list(subscription["items"]["data"]), (start, world.now(), end), charges=False)
    if "cancellation_details" in params:
        subscription["cancellation_details"] |= params["cancellation_details"]
    subscriptions.end_now(world, subscription)
    if params.get("invoice_now"):
        invoice = subscriptions.bill_pending(world, subscription)
        if invoice is not None:
            _collect(world, subscription, invoice, {})
    return subscription


def resume(world: World, params: Obj, subscription_id: str) -> Obj:
    """Out of a pause, with a new period."""
    subscription = world.get("subscription", subscription_id)
    if subscription["status"] != "paused":
        raise Refused("Only paused subscriptions can be resumed.")
    before = rendered(world, subscription)
    subscription["status"] = "active"
    _new_period(world, subscription, world.now())
    world.emit("customer.subscription.resumed", subscription)
    world.emit("customer.subscription.updated", subscription, before)
    return subscription


def pause(world: World, subscription: Obj) -> None:
    """A status that a trial without a card, or a failed payment, may end in."""
    before = rendered(world, subscription)
    subscription["status"] = "paused"
    world.emit("customer.subscription.paused", subscription)
    world.emit("customer.subscription.updated", subscription, before)
