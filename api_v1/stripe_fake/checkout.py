"""Checkout sessions, and what their completion makes."""

from __future__ import annotations

from typing import Any

from api_v1.stripe_fake import cards, catalogue, collecting, customers, invoices, lines, subscriptions
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.lists import page
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World

DAY = 86_400
SHORTEST, LONGEST = 1_800, DAY
COPIED = frozenset(
    {"cancel_url", "success_url", "return_url", "client_reference_id", "customer_email", "customer_creation", "locale"}
    | {"allow_promotion_codes", "billing_address_collection", "payment_method_types", "submit_type", "ui_mode"}
    | {"payment_method_collection", "currency"}
)


def create(world: World, params: Obj) -> Obj:
    mode = params.get("mode")
    if mode is None:
        raise Refused("Missing required param: mode.", code="parameter_missing", param="mode")
    _check(world, params, mode)
    at = world.now()
    items = [_line_item(world, each, mode) for each in params.get("line_items", [])]
    total = sum(item["amount_total"] for item in items)
    if mode == "payment" and total < lines.minimum_of(items[0]["currency"]):
        raise Refused(
            "The Checkout Session's total amount due must add up to at least the minimum.",
            code="amount_too_small",
            param="line_items",
        )
    session = world.add(
        "checkout.session",
        "cs_test",
        amount_subtotal=total if items else None,
        amount_total=total if items else None,
        automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
        custom_text={
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        customer=params.get("customer"),
        expires_at=params.get("expires_at", at + DAY),
        invoice_creation=_invoice_creation(params) if mode == "payment" else None,
        metadata=metadata(params),
        mode=mode,
        payment_method_types=["card"],
        payment_status="unpaid" if mode != "setup" else "no_payment_required",
        phone_number_collection={"enabled": False},
        status="open",
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        ui_mode="hosted_page",
        _line_items=items,
        _params=params,
    )
    session["currency"] = items[0]["currency"] if items else params.get("currency")
    set_fields(session, params, COPIED)
    session["url"] = f"{world.base_url}/checkout/{session['id']}"
    return session


def _invoice_creation(params: Obj) -> Obj:
    asked = params.get("invoice_creation", {})
    names = ("account_tax_ids", "custom_fields", "description", "footer", "issuer", "metadata", "rendering_options")
    data = dict.fromkeys(names) | asked.get("invoice_data", {})
    return {"enabled": asked.get("enabled", False), "invoice_data": data}


def _check(world: World, params: Obj, mode: str) -> None:
    hosted = params.get("ui_mode", "hosted_page") == "hosted_page"
    if hosted and "success_url" not in params:
        raise Refused("Missing required param: success_url.", code="parameter_missing", param="success_url")
    if mode != "setup" and not params.get("line_items"):
        raise Refused("Missing required param: line_items.", code="parameter_missing", param="line_items")
    if "customer" in params:
        world.named("customer", params["customer"], "customer")
        if "customer_email" in params:
            raise Refused(
                "You may only specify one of these parameters: customer, customer_email.", code="parameters_exclusive"
            )
    if mode != "subscription" and "subscription_data" in params:
        raise Refused("You can not pass `subscription_data` in `payment` mode.", param="subscription_data")
    if mode != "payment" and "payment_intent_data" in params:
        raise Refused(f"You can not pass `payment_intent_data` in `{mode}` mode.", param="payment_intent_data")
    for name in ("success_url", "cancel_url"):
        if name in params and not params[name].startswith(("http://", "https://")):
            raise Refused("Not a valid URL", code="url_invalid", param=name)
    lasts = params.get("expires_at", world.now() + DAY) - world.now()
    if not SHORTEST <= lasts <= LONGEST:
        raise Refused(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.", param="expires_at"
        )


def _line_item(world: World, given: Obj, mode: str) -> Obj:
    price = catalogue.price_for(world, given, "line_items")
    if mode == "payment" and price["recurring"]:
        raise Refused("You specified `payment` mode but passed a recurring price.", param="line_items")
    quantity = given.get("quantity", 1)
    amount = lines.rounded(price["unit_amount_decimal"] * quantity)
    product = world.find("product", price["product"]) or {"name": ""}
    return {
        "id": world.new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": {},
        "price": dict(price),
        "quantity": quantity,
        "adjustable_quantity": None,
    }


def list_items(world: World, params: Obj, session_id: str) -> Obj:
    items = world.get("checkout.session", session_id)["_line_items"]
    return page(world, params, items, f"/v1/checkout/sessions/{session_id}/line_items")


def expire(world: World, params: Obj, session_id: str) -> Obj:
    session = world.get("checkout.session", session_id)
    if session["status"] != "open":
        message = 'Only Checkout Sessions with a status in ["open"] can be expired.'
        raise Refused(f"{message} This Checkout Session has a status of {session['status']}.")
    session |= {"status": "expired", "url": None}
    world.emit("checkout.session.expired", session)
    return session


def complete(world: World, session_id: str, *, card: str = "pm_card_visa", later: bool = False) -> Refused | None:
    """The customer pays. Declined: the session stays open. `later`: a debit that is decided days after."""
    session = world.get("checkout.session", session_id)
    if session["status"] != "open":
        raise Refused(f"This Checkout Session is {session['status']}.")
    customer = _customer(world, session)
    made: Obj | None = None
    if session["mode"] != "payment" or session["customer"]:
        made = _card(world, card, customer)
    refusal = {"subscription": _subscribe, "payment": _pay, "setup": _set_up}[session["mode"]](
        world, session, customer, made or cards.make(world, card), later
    )
    if refusal is not None:
        return refusal
    session |= {"status": "complete", "customer": customer["id"], "url": None}
    session["customer_details"] = {
        "address": customer["address"],
        "business_name": None,
        "email": customer["email"] or session["customer_email"],
        "individual_name": None,
        "name": customer["name"],
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
    world.emit("checkout.session.completed", session)
    return None


def _customer(world: World, session: Obj) -> Obj:
    known = session["customer"] or session.get("_customer")
    if known:
        return world.named("customer", known, "customer")
    email = {"email": session["customer_email"]} if session["customer_email"] else {"email": "someone@example.com"}
    made = customers.create(world, email)
    session["_customer"] = made["id"]
    return made


def _card(world: World, name: str, customer: Obj) -> Obj:
    """Theirs even when a charge of it fails: Checkout does not try the card beforehand."""
    card = cards.make(world, name, customer["id"])
    world.emit("payment_method.attached", card)
    return card


def _subscribe(world: World, session: Obj, customer: Obj, card: Obj, later: bool) -> Refused | None:
    params = session["_params"]
    asked: dict[str, Any] = {
        name: value
        for name, value in params.get("subscription_data", {}).items()
        if name in {"metadata", "trial_end", "trial_period_days", "description", "default_tax_rates"}
    }
    items = [{"price": item["price"]["id"], "quantity": item["quantity"]} for item in session["_line_items"]]
    asked |= {"customer": customer["id"], "items": items, "default_payment_method": card["id"], "_present": True}
    asked["payment_behavior"] = "default_incomplete" if later else "error_if_incomplete"
    for item in session["_line_items"]:  # inline prices are archived, and yet theirs
        world.objects[item["price"]["id"]]["active"] = True
    try:
        subscription = subscriptions.create(world, asked)
    except Refused as refusal:
        return refusal
    first = world.get("invoice", subscription["latest_invoice"])
    status = "paid" if first["status"] == "paid" else "unpaid"
    session |= {"subscription": subscription["id"], "invoice": first["id"], "payment_status": status}
    if status == "paid" and first["total"] == 0:
        session["payment_status"] = "no_payment_required"
    return None


def _pay(world: World, session: Obj, customer: Obj, card: Obj, later: bool) -> Refused | None:
    asked = session["_params"].get("payment_intent_data", {})
    if (session["invoice_creation"] or {}).get("enabled"):
        return _pay_by_invoice(world, session, customer, card)
    intent = world.find("payment_intent", session["payment_intent"] or "")
    if intent is None:
        intent = collecting.make_intent(world, session["amount_total"], session["currency"], customer["id"])
        set_fields(intent, asked, {"description", "metadata", "receipt_email", "setup_future_usage"})
        session["payment_intent"] = intent["id"]
    if later:
        intent |= {"status": "processing", "payment_method": card["id"]}
        world.emit("payment_intent.processing", intent)
        return None
    refusal = collecting.charge(world, intent, card, present=True)
    if refusal is None:
        session["payment_status"] = "paid"
    return refusal


def _pay_by_invoice(world: World, session: Obj, customer: Obj, card: Obj) -> Refused | None:
    data = session["invoice_creation"]["invoice_data"]
    invoice = invoices.create(
        world, {"customer": customer["id"], "currency": session["currency"], "metadata": data["metadata"] or {}}
    )
    for item in session["_line_items"]:
        lines.create_item(
            world, {"invoice": invoice["id"], "amount": item["amount_total"], "description": item["description"]}
        )
    invoices.open_up(world, invoice)
    refusal = collecting.attempt(world, invoice, card=card, present=True)
    if refusal is None:
        session |= {"invoice": invoice["id"], "payment_status": "paid"}
    return refusal


def _set_up(world: World, session: Obj, customer: Obj, card: Obj, later: bool) -> Refused | None:
    intent = world.add(
        "setup_intent", "seti", customer=customer["id"], payment_method=card["id"], status="succeeded", metadata={}
    )
    intent |= {"usage": "off_session", "payment_method_types": ["card"]}
    session["setup_intent"] = intent["id"]
    world.emit("setup_intent.succeeded", intent)
    return None


def decide(world: World, session_id: str, *, succeeded: bool) -> Obj:
    """What came of a debit that was decided later."""
    session = world.get("checkout.session", session_id)
    intent = world.find("payment_intent", session["payment_intent"] or "")
    invoice = world.find("invoice", session["invoice"] or "")
    if intent is not None:
        card = world.get("payment_method", intent["payment_method"])
        card["_behaviour"] = card["_behaviour"] if succeeded else "pm_card_chargeCustomerFail"
        collecting.charge(world, intent, card, present=True)
    elif invoice is not None and succeeded:
        collecting.attempt(world, invoice, automatic=True, present=True)
    if succeeded:
        session["payment_status"] = "paid"
    world.emit(f"checkout.session.async_payment_{'succeeded' if succeeded else 'failed'}", session)
    return session
