"""Subscriptions: made, renewed, changed, ended."""

from __future__ import annotations

from api_v1.stripe_fake import cards, catalogue, collecting, invoices, lines
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.lists import listing
from api_v1.stripe_fake.periods import after
from api_v1.stripe_fake.rendering import Obj, listed, rendered
from api_v1.stripe_fake.world import World

DAY, HOUR = 86_400, 3_600
OVER = {"canceled", "incomplete_expired"}


def create(world: World, params: Obj) -> Obj:
    """A subscription with its first invoice, which is charged at once."""
    with world.undone_if_refused():
        return _create(world, params)


def _create(world: World, params: Obj) -> Obj:
    customer = world.named("customer", params["customer"], "customer")
    if not params.get("items"):
        raise Refused("Missing required param: items.", code="parameter_missing", param="items")
    at = world.now()
    subscription = _blank_subscription(world, customer, params)
    for each in params["items"]:
        add_item(world, subscription, each)
    _same_money(subscription)
    if params.get("default_payment_method"):
        card = cards.of_customer(world, params["default_payment_method"], customer["id"])
        subscription["default_payment_method"] = card["id"]
    ends = _trial_end(params, at)
    if ends is not None:
        subscription |= {"status": "trialing", "trial_start": at, "trial_end": ends, "billing_cycle_anchor": ends}
        set_period(subscription, at, ends)
    else:
        set_period(subscription, at, after(at, *interval_of(subscription), at))
    set_fields(subscription, params, {"cancel_at"})
    refusal = _bill_first(world, subscription, params)
    if refusal is not None and params.get("payment_behavior") == "error_if_incomplete":
        raise refusal
    world.emit("customer.subscription.created", subscription)
    return subscription


def _blank_subscription(world: World, customer: Obj, params: Obj) -> Obj:
    method = params.get("collection_method", "charge_automatically")
    if method == "send_invoice" and "days_until_due" not in params:
        raise Refused(
            "If collection_method is 'send_invoice', `days_until_due` is needed",
            code="parameter_missing",
            param="days_until_due",
        )
    at = world.now()
    subscription = world.add(
        "subscription",
        "sub",
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None},
        billing_cycle_anchor=at,
        billing_mode={"type": "flexible", "flexible": None, "updated_at": None},
        cancel_at_period_end=params.get("cancel_at_period_end", False),
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        collection_method=method,
        currency="",
        customer=customer["id"],
        days_until_due=params.get("days_until_due"),
        default_tax_rates=catalogue.tax_rates(world, params.get("default_tax_rates") or []),
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        metadata=metadata(params),
        payment_settings={
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": (params.get("payment_settings") or {}).get(
                "save_default_payment_method", "off"
            ),
        },
        start_date=at,
        status="active",
        trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
        _pending=None,
        _warned=False,
    )
    subscription["items"] = listed([], f"/v1/subscription_items?subscription={subscription['id']}")
    subscription["items"]["total_count"] = 0
    set_fields(subscription, params, {"description"})
    return subscription


def add_item(world: World, subscription: Obj, given: Obj) -> Obj:
    price = catalogue.price_for(world, given, "items", recurring=True)
    item = world.add(
        "subscription_item",
        "si",
        discounts=[],
        metadata=metadata(given),
        plan=catalogue.plan_of(price),
        price=dict(price),
        quantity=given.get("quantity", 1),
        subscription=subscription["id"],
        tax_rates=catalogue.tax_rates(world, given.get("tax_rates") or []),
    )
    subscription["items"]["data"].append(item)
    subscription["items"]["total_count"] = len(subscription["items"]["data"])
    subscription["currency"] = subscription["currency"] or price["currency"]
    return item


def _same_money(subscription: Obj) -> None:
    prices = [item["price"] for item in subscription["items"]["data"]]
    if len({price["currency"] for price in prices}) > 1:
        raise Refused("All prices on a subscription must have the same currency.", param="items")
    if len({(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in prices}) > 1:
        raise Refused("All prices on a subscription must have the same `recurring.interval` here.", param="items")


def interval_of(subscription: Obj) -> tuple[str, int]:
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def period_of(subscription: Obj) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def set_period(subscription: Obj, start: int, end: int) -> None:
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": end}


def _trial_end(params: Obj, at: int) -> int | None:
    if params.get("trial_end") not in {None, "now", ""}:
        return int(params["trial_end"])
    return at + params["trial_period_days"] * DAY if params.get("trial_period_days") else None


# -- its invoices ------------------------------------------------------------------------------------------


def bill_period(world: World, subscription: Obj, reason: str) -> Obj:
    """The draft of a period: a line for each item, and what waited for it."""
    invoice = _draft(world, subscription, reason)
    for item in subscription["items"]["data"]:
        add_period_line(world, invoice, subscription, item)
    return _made(world, subscription, invoice)


def bill_pending(world: World, subscription: Obj) -> Obj | None:
    """The draft of what waits, such as prorations; None when nothing does."""
    invoice = _draft(world, subscription, "subscription_update")
    if not invoice["_lines"]:
        del world.objects[invoice["id"]]
        return None
    return _made(world, subscription, invoice)


def _draft(world: World, subscription: Obj, reason: str) -> Obj:
    customer = world.get("customer", subscription["customer"])
    invoice = invoices.draft(world, customer, subscription["currency"], subscription, reason=reason, auto_advance=True)
    invoice["default_tax_rates"] = subscription["default_tax_rates"]
    for item in lines.pending_items(world, customer["id"], invoice["currency"]):
        waits_for = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
        if waits_for in {None, subscription["id"]}:
            lines.put_on(world, item, invoice)
    return invoice


def _made(world: World, subscription: Obj, invoice: Obj) -> Obj:
    lines.retotal(world, invoice)
    subscription["latest_invoice"] = invoice["id"]
    world.emit("invoice.created", invoice)
    return invoice


def add_period_line(world: World, invoice: Obj, subscription: Obj, item: Obj) -> None:
    price, trial = item["price"], subscription["status"] == "trialing"
    amount = 0 if trial else lines.rounded(price["unit_amount_decimal"] * item["quantity"])
    product = world.find("product", price["product"]) or {"name": price["product"]}
    details = {"invoice_item": None, "proration": False, "proration_details": {"credited_items": None}}
    details |= {"subscription": subscription["id"], "subscription_item": item["id"]}
    words = f"Trial period for {product['name']}" if trial else f"{item['quantity']} × {product['name']}"
    lines.add_line(
        world,
        invoice,
        item["tax_rates"] or [],
        amount=amount,
        currency=invoice["currency"],
        description=words,
        discountable=True,
        metadata=dict(subscription["metadata"]) | dict(item["metadata"]),
        parent={
            "type": "subscription_item_details",
            "subscription_item_details": details,
            "invoice_item_details": None,
        },
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing={
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=item["quantity"],
        quantity_decimal=item["quantity"],
        subscription=subscription["id"],
    )


def _bill_first(world: World, subscription: Obj, params: Obj) -> Refused | None:
    invoice = bill_period(world, subscription, "subscription_create")
    pays_itself = subscription["collection_method"] == "charge_automatically"
    if pays_itself and subscription["status"] == "active":
        subscription["status"] = "incomplete"
    invoices.open_up(world, invoice)
    if not pays_itself or invoice["status"] == "paid" or params.get("payment_behavior") == "default_incomplete":
        return None
    present = bool(params.get("_present"))
    return collecting.attempt(world, invoice, automatic=True, present=present)


def renew(world: World, subscription: Obj) -> None:
    """The period's end: the next one begins, and its draft waits an hour. Or it ends, when that was asked for."""
    if subscription["cancel_at_period_end"]:
        end_now(world, subscription)
        return
    before = rendered(world, subscription)
    renew_now(world, subscription)
    world.emit("customer.subscription.updated", subscription, before)


def renew_now(world: World, subscription: Obj) -> Obj:
    """The draft of the period that follows."""
    _, end = period_of(subscription)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    set_period(subscription, end, after(end, *interval_of(subscription), subscription["billing_cycle_anchor"]))
    invoice = bill_period(world, subscription, "subscription_cycle")
    if subscription["status"] == "unpaid":
        invoice |= {"auto_advance": False, "automatically_finalizes_at": None}
    return invoice


def subscription_of(world: World, invoice: Obj) -> Obj | None:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return world.find("subscription", details.get("subscription") or "")


def invoice_was_paid(world: World, invoice: Obj) -> None:
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["latest_invoice"] != invoice["id"]:
        return
    before = rendered(world, subscription)
    if subscription["status"] in {"incomplete", "past_due", "unpaid"}:
        subscription["status"] = "active"
        _apply_pending(world, subscription)
        if invoice["billing_reason"] != "subscription_create" or invoice["attempt_count"] > 1:
            world.emit("customer.subscription.updated", subscription, before)
    elif subscription["pending_update"]:
        _apply_pending(world, subscription)
        world.emit("customer.subscription.updated", subscription, before)


def _apply_pending(world: World, subscription: Obj) -> None:
    from api_v1.stripe_fake.subscription_changes import apply_pending

    apply_pending(world, subscription)


def invoice_was_not_paid(world: World, invoice: Obj) -> None:
    """Past due; after the last try what the account's settings say."""
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["status"] in OVER | {"incomplete"} or subscription["pending_update"]:
        return
    before = rendered(world, subscription)
    if invoice["next_payment_attempt"] is not None or world.when_exhausted == "past_due":
        subscription["status"] = "past_due"
    elif world.when_exhausted == "unpaid":
        subscription["status"] = "unpaid"
    else:
        end(world, subscription, reason="payment_failed")
        return
    if subscription["status"] != before["status"]:
        world.emit("customer.subscription.updated", subscription, before)


# -- ends --------------------------------------------------------------------------------------------------


def end(world: World, subscription: Obj, *, reason: str | None = None) -> None:
    at = world.now()
    subscription |= {"status": "canceled", "canceled_at": subscription["canceled_at"] or at, "ended_at": at}
    subscription["cancellation_details"]["reason"] = reason or subscription["cancellation_details"]["reason"]
    for invoice in world.all("invoice", status="draft"):
        if invoices.of_subscription(world, invoice, subscription["id"]):
            invoice |= {"auto_advance": False, "automatically_finalizes_at": None}
    world.emit("customer.subscription.deleted", subscription)


def end_now(world: World, subscription: Obj) -> None:
    end(world, subscription, reason="cancellation_requested")


def expire(world: World, subscription: Obj) -> None:
    """Nobody paid the first invoice within 23 hours."""
    before = rendered(world, subscription)
    subscription |= {"status": "incomplete_expired", "ended_at": world.now()}
    invoice = world.find("invoice", subscription["latest_invoice"] or "")
    if invoice is not None and invoice["status"] == "open":
        invoices.void(world, {}, invoice["id"])
    world.emit("customer.subscription.updated", subscription, before)


def list_all(world: World, params: Obj) -> Obj:
    """Without a status, all but those that are canceled."""
    asked = params if "status" in params else params | {"status": "not canceled"}
    return _list(world, asked)


def _by_status(_world: World, subscription: Obj, wanted: str) -> bool:
    if wanted == "not canceled":
        return bool(subscription["status"] != "canceled")
    if wanted == "ended":
        return subscription["status"] in OVER
    return wanted in {"all", subscription["status"]}


def _has_price(_world: World, subscription: Obj, wanted: str) -> bool:
    return any(item["price"]["id"] == wanted for item in subscription["items"]["data"])


_list = listing("subscription", status=_by_status, price=_has_price)
