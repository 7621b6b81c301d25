"""Customers and their balance."""

from __future__ import annotations

from api_v1.stripe_fake import cards
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused, missing
from api_v1.stripe_fake.lists import page
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

FIELDS = frozenset(
    {"address", "balance", "description", "email", "invoice_prefix", "metadata", "name", "phone", "preferred_locales"}
    | {"shipping", "tax_exempt", "business_name", "individual_name", "next_invoice_sequence"}
)


def create(world: World, params: Obj) -> Obj:
    _check(params)
    customer = world.add(
        "customer",
        "cus",
        balance=0,
        delinquent=False,
        invoice_prefix=world.new_id("x")[2:10].upper(),
        next_invoice_sequence=1,
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata=metadata(params),
        preferred_locales=[],
        tax_exempt="none",
    )
    set_fields(customer, params, FIELDS - {"metadata"})
    if "payment_method" in params:
        cards.attach(world, {"customer": customer["id"]}, params["payment_method"])
    _set_invoice_settings(world, customer, params)
    world.emit("customer.created", customer)
    return customer


def _check(params: Obj) -> None:
    email = params.get("email") or ""
    if email and "@" not in email:
        raise Refused(f"Invalid email address: {email}", code="email_invalid", param="email")


def _set_invoice_settings(world: World, customer: Obj, params: Obj) -> None:
    settings = dict(params.get("invoice_settings") or {})
    chosen = settings.get("default_payment_method")
    if chosen:
        settings["default_payment_method"] = cards.of_customer(world, chosen, customer["id"])["id"]
    set_fields(customer, {"invoice_settings": settings} if settings else {}, {"invoice_settings"})


def update(world: World, params: Obj, customer_id: str) -> Obj:
    customer = world.get("customer", customer_id)
    if customer.get("deleted"):
        raise Refused(f"No such customer: '{customer_id}'", code="resource_missing", param="id", status=404)
    _check(params)
    before = rendered(world, customer)
    set_fields(customer, params, FIELDS)
    _set_invoice_settings(world, customer, params)
    world.emit("customer.updated", customer, before)
    return customer


def delete(world: World, params: Obj, customer_id: str) -> Obj:
    """What was theirs ends: subscriptions at once, cards are detached. Invoices stay."""
    from api_v1.stripe_fake import subscriptions

    customer = world.get("customer", customer_id)
    if customer.get("deleted"):
        raise Refused(f"No such customer: '{customer_id}'", code="resource_missing", param="id", status=404)
    for subscription in world.all("subscription", customer=customer_id):
        if subscription["status"] not in {"canceled", "incomplete_expired"}:
            subscriptions.end(world, subscription, reason="cancellation_requested")
    for card in world.all("payment_method", customer=customer_id):
        cards.detach(world, {}, card["id"])
    world.emit("customer.deleted", customer)
    gone = {"id": customer_id, "object": "customer", "deleted": True}
    world.objects[customer_id] = gone
    return gone


def change_balance(world: World, customer: Obj, amount: int, kind: str, invoice_id: str | None, currency: str) -> Obj:
    """Owed by the customer above zero, a credit below: the next invoice takes it along."""
    customer["balance"] += amount
    return world.add(
        "customer_balance_transaction",
        "cbtxn",
        amount=amount,
        currency=currency,
        customer=customer["id"],
        ending_balance=customer["balance"],
        invoice=invoice_id,
        metadata={},
        type=kind,
    )


def create_balance_transaction(world: World, params: Obj, customer_id: str) -> Obj:
    """A credit (below zero) or a debt that the next invoice takes along."""
    customer = world.named("customer", customer_id, "customer")
    made = change_balance(world, customer, params["amount"], "adjustment", None, params["currency"])
    made["metadata"] = metadata(params)
    set_fields(made, params, {"description"})
    world.emit("customer.updated", customer)
    return made


def list_balance_transactions(world: World, params: Obj, customer_id: str) -> Obj:
    found = world.all("customer_balance_transaction", customer=customer_id)
    return page(world, params, found, f"/v1/customers/{customer_id}/balance_transactions")


def retrieve_balance_transaction(world: World, params: Obj, customer_id: str, entry_id: str) -> Obj:
    found = world.get("customer_balance_transaction", entry_id)
    if found["customer"] != customer_id:
        raise missing("customer_balance_transaction", entry_id)
    return found


def default_card(world: World, customer_id: str, *chosen: str | None) -> Obj | None:
    """The card that an invoice is charged to: its own, its subscription's, or the customer's."""
    customer = world.find("customer", customer_id) or {}
    of_customer = (customer.get("invoice_settings") or {}).get("default_payment_method")
    for card_id in (*chosen, of_customer):
        card = world.find("payment_method", card_id) if card_id else None
        if card is not None and card["customer"] == customer_id:
            return card
    return None
