"""Setup intents: a card for later."""

from __future__ import annotations

from api_v1.stripe_fake import cards
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World


def create(world: World, params: Obj) -> Obj:
    """Done at once when it is confirmed with a card; otherwise it waits for one."""
    customer = world.named("customer", params["customer"], "customer") if "customer" in params else None
    intent = world.make(
        "setup_intent",
        "seti",
        metadata=metadata(params),
        payment_method_types=params.get("payment_method_types", ["card"]),
        status="requires_payment_method",
        usage=params.get("usage", "off_session"),
    )
    intent |= {"client_secret": f"{intent['id']}_secret", "customer": customer["id"] if customer else None}
    set_fields(intent, params, {"description"})
    if "payment_method" in params:
        if customer is None:
            raise Refused("Missing required param: customer.", code="parameter_missing", param="customer")
        card = cards.of_customer(world, params["payment_method"], customer["id"], "payment_method")
        intent |= {
            "payment_method": card["id"],
            "status": "succeeded" if params.get("confirm") else "requires_confirmation",
        }
    world.objects[intent["id"]] = intent
    world.emit("setup_intent.created", intent)
    if intent["status"] == "succeeded":
        world.emit("setup_intent.succeeded", intent)
    return intent
