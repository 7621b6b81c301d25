"""Payment methods: test cards by the names that Stripe has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused, missing
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World


@dataclass(frozen=True)
class Behaviour:
    """What a charge of the card comes to."""

    last4: str
    decline: str | None = None  # decline_code
    code: str = "card_declined"
    attaches: bool = True
    asks: bool = False  # for 3-D Secure
    refund: str = "succeeded"


CARDS = {
    "pm_card_visa": Behaviour("4242"),
    "pm_card_mastercard": Behaviour("4444"),
    "pm_card_chargeDeclined": Behaviour("0002", "generic_decline", attaches=False),
    "pm_card_visa_chargeDeclined": Behaviour("0002", "generic_decline", attaches=False),
    "pm_card_chargeDeclinedInsufficientFunds": Behaviour("9995", "insufficient_funds", attaches=False),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Behaviour("9995", "insufficient_funds", attaches=False),
    "pm_card_chargeDeclinedLostCard": Behaviour("9987", "lost_card", attaches=False),
    "pm_card_visa_chargeDeclinedLostCard": Behaviour("9987", "lost_card", attaches=False),
    "pm_card_chargeDeclinedStolenCard": Behaviour("9979", "stolen_card", attaches=False),
    "pm_card_visa_chargeDeclinedStolenCard": Behaviour("9979", "stolen_card", attaches=False),
    "pm_card_chargeDeclinedExpiredCard": Behaviour("0069", "expired_card", "expired_card", attaches=False),
    "pm_card_chargeDeclinedProcessingError": Behaviour("0119", "processing_error", "processing_error", attaches=False),
    "pm_card_authenticationRequired": Behaviour("3184", asks=True),
    "pm_card_authenticationRequiredOnSetup": Behaviour("3155", asks=True),
    "pm_card_chargeCustomerFail": Behaviour("0341", "generic_decline"),
    "pm_card_refundFail": Behaviour("5126"),
    "pm_card_pendingRefund": Behaviour("7726", refund="pending"),
}
# Not charged again by Stripe itself: the bank will not change its mind about this card.
HARD_DECLINES = {"lost_card", "stolen_card", "pickup_card", "incorrect_number", "revocation_of_authorization"}
SENTENCES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}


def behaviour_of(card: Obj) -> Behaviour:
    return CARDS[card["_behaviour"]]


def make(world: World, name: str, customer_id: str | None = None, **more: object) -> Obj:
    """A payment method of its own that behaves as the test card does."""
    behaviour = CARDS[name]
    details = {
        "brand": "mastercard" if behaviour.last4 == "4444" else "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "FR",
        "display_brand": "visa",
        "exp_month": 8,
        "exp_year": 2099,
        "fingerprint": f"fingerprint{behaviour.last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": behaviour.last4,
        "networks": {"available": ["visa"], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    nobody = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    values = {"billing_details": nobody, "card": details, "customer": customer_id, "metadata": {}, "type": "card"}
    return world.add("payment_method", "pm", _behaviour=name, **values, **more)


def create(world: World, params: Obj) -> Obj:
    """From `card[token]=tok_visa`, or from the numbers of Stripe's test cards."""
    if params.get("type") != "card" and "payment_method" not in params:
        raise Refused(
            "The fake knows payment methods of type card.", param="type", code="payment_method_unsupported_type"
        )
    given = params.get("card") or {}
    by_token = {name.replace("pm_card_", "tok_"): name for name in CARDS}
    by_number = {behaviour.last4: name for name, behaviour in reversed(CARDS.items())}
    name = by_token.get(given.get("token", "")) or by_number.get(given.get("number", "")[-4:])
    if name is None:
        raise Refused(
            "Your card number is incorrect.",
            code="incorrect_number",
            param="card[number]",
            status=402,
            kind="card_error",
        )
    return make(world, name) | {"metadata": metadata(params)}


def attach(world: World, params: Obj, card_id: str) -> Obj:
    """The card, now the customer's. A test card's name makes a new one each time."""
    customer = world.named("customer", params["customer"], "customer")
    card = _chosen(world, card_id, "payment_method")
    behaviour = behaviour_of(card)
    if card["customer"] not in {None, customer["id"]}:
        raise Refused("The payment method you provided has already been attached to a customer.")
    if not behaviour.attaches:
        del world.objects[card["id"]]
        raise declined(behaviour)
    if card["customer"] is None:
        card["customer"] = customer["id"]
        world.emit("payment_method.attached", card)
    return card


def _chosen(world: World, card_id: str, param: str) -> Obj:
    if card_id in CARDS:
        return make(world, card_id)
    card = world.find("payment_method", card_id)
    if card is None:
        raise missing("payment_method", card_id, param=param, status=404 if param == "payment_method" else 400)
    return card


def of_customer(world: World, card_id: str, customer_id: str, param: str = "default_payment_method") -> Obj:
    """The card that a request names, which has to be this customer's."""
    if card_id in CARDS:
        return attach(world, {"customer": customer_id}, card_id)
    card = _chosen(world, card_id, param)
    if card["customer"] != customer_id:
        message = f"The customer does not have a payment method with the ID {card_id}. The payment method must be"
        raise Refused(message + " attached to the customer.", code="resource_missing", param=param)
    return card


def detach(world: World, params: Obj, card_id: str) -> Obj:
    card = world.get("payment_method", card_id)
    if card["customer"] is None:
        raise Refused("The payment method you provided is not attached to a customer so detachment is impossible.")
    before = rendered(world, card)
    customer = world.find("customer", card["customer"]) or {}
    settings = customer.get("invoice_settings") or {}
    if settings.get("default_payment_method") == card_id:
        settings["default_payment_method"] = None
    for subscription in world.all("subscription", default_payment_method=card_id):
        subscription["default_payment_method"] = None
    card["customer"] = None
    world.emit("payment_method.detached", card, before)
    return card


def update(world: World, params: Obj, card_id: str) -> Obj:
    card = world.get("payment_method", card_id)
    before = rendered(world, card)
    set_fields(card, params, {"metadata", "billing_details", "allow_redisplay"})
    if "card" in params:
        card["card"] |= params["card"]
    world.emit("payment_method.updated", card, before)
    return card


def of_path_customer(world: World, params: Obj, customer_id: str, card_id: str) -> Obj:
    card = world.get("payment_method", card_id)
    if card["customer"] != customer_id:
        raise missing("payment_method", card_id)
    return card


def declined(behaviour: Behaviour, **more: Any) -> Refused:
    """402, as a bank's refusal is told."""
    message = SENTENCES.get(behaviour.decline or "", "Your card was declined.")
    return Refused(message, code=behaviour.code, status=402, kind="card_error", decline_code=behaviour.decline, **more)


def list_of_customer(world: World, params: Obj, customer_id: str) -> Obj:
    from api_v1.stripe_fake.lists import page

    found = world.all("payment_method", customer=world.get("customer", customer_id)["id"])
    kind = params.get("type")
    chosen = [card for card in found if kind in {None, card["type"]}]
    return page(world, params, chosen, f"/v1/customers/{customer_id}/payment_methods")
