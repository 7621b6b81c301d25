"""Products, prices and tax rates."""

from __future__ import annotations

from decimal import Decimal

from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused, missing
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

CURRENCIES = {
    "eur",
    "usd",
    "gbp",
    "chf",
    "jpy",
    "sek",
    "nok",
    "dkk",
    "cad",
    "aud",
    "pln",
    "czk",
    "xof",
    "xaf",
    "bhd",
    "kwd",
    "tnd",
}


def currency_of(given: str, param: str = "currency") -> str:
    if given.lower() not in CURRENCIES:
        raise Refused(f"Invalid currency: {given}. Stripe currently supports these currencies: …", param=param)
    return given.lower()


def create_product(world: World, params: Obj) -> Obj:
    if params.get("id") in world.objects:
        raise Refused("Product already exists.", code="resource_already_exists", param="id")
    product = world.add("product", "prod", active=True, type="service", images=[], marketing_features=[])
    if "id" in params:
        del world.objects[product["id"]]
        product["id"] = params["id"]
        world.objects[product["id"]] = product
    product |= {"metadata": metadata(params), "updated": world.now()}
    set_fields(product, params, {"name", "active", "description", "tax_code", "url", "unit_label"})
    world.emit("product.created", product)
    if "default_price_data" in params:
        price = create_price(world, params["default_price_data"] | {"product": product["id"]})
        product["default_price"] = price["id"]
    return product


def update_product(world: World, params: Obj, product_id: str) -> Obj:
    product = world.get("product", product_id)
    before = rendered(world, product)
    set_fields(
        product, params, {"name", "active", "description", "tax_code", "url", "unit_label", "metadata", "default_price"}
    )
    product["updated"] = world.now()
    world.emit("product.updated", product, before)
    return product


def create_price(world: World, params: Obj, *, active: bool = True) -> Obj:
    """A price of a product there is, or of one made with it."""
    if "product_data" in params:
        product_id = create_product(
            world, {key: value for key, value in params["product_data"].items() if key != "statement_descriptor"}
        )["id"]
    elif "product" in params:
        product_id = world.named("product", params["product"], "product")["id"]
    else:
        raise Refused("Missing required param: product.", code="parameter_missing", param="product")
    amount, exact = _amounts(params)
    recurring = params.get("recurring")
    repeats = {"interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed"}
    price = world.add(
        "price",
        "price",
        active=params.get("active", active),
        billing_scheme=params.get("billing_scheme", "per_unit"),
        currency=currency_of(params["currency"]),
        product=product_id,
        recurring=repeats | recurring if recurring else None,
        tax_behavior=params.get("tax_behavior", "unspecified"),
        type="recurring" if recurring else "one_time",
        unit_amount=amount,
        unit_amount_decimal=exact,
        metadata=metadata(params),
    )
    set_fields(price, params, {"nickname", "lookup_key"})
    world.emit("price.created", price)
    return price


def _amounts(params: Obj) -> tuple[int | None, Decimal]:
    given = [name for name in ("unit_amount", "unit_amount_decimal") if name in params]
    if len(given) != 1:
        raise Refused(
            "You must specify exactly one of unit_amount and unit_amount_decimal.",
            code="parameters_exclusive" if given else "parameter_missing",
            param="unit_amount",
        )
    exact = Decimal(params[given[0]])
    if exact < 0:
        raise Refused("Invalid non-negative integer", code="parameter_invalid_integer", param=given[0])
    return (int(exact) if exact == int(exact) else None), exact


def update_price(world: World, params: Obj, price_id: str) -> Obj:
    price = world.get("price", price_id)
    before = rendered(world, price)
    set_fields(price, params, {"active", "nickname", "lookup_key", "metadata", "tax_behavior"})
    world.emit("price.updated", price, before)
    return price


def price_for(world: World, params: Obj, param: str, *, recurring: bool | None = None) -> Obj:
    """What `price` names or `price_data` describes; an archived one is refused."""
    if "price" in params and "price_data" in params:
        raise Refused("You may only specify one of these parameters: price, price_data.", code="parameters_exclusive")
    if "price_data" in params:
        return create_price(world, params["price_data"], active=False)
    if "price" not in params:
        raise Refused(f"Missing required param: {param}[price].", code="parameter_missing", param=f"{param}[price]")
    price = world.find("price", params["price"])
    if price is None:
        raise missing("price", params["price"], param=f"{param}[price]", status=400)
    if not price["active"]:
        raise Refused(
            "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
        )
    if recurring is not None and bool(price["recurring"]) is not recurring:
        kind = "recurring" if recurring else "one_time"
        raise Refused(
            f"The price is set to `type={price['type']}` but this field only accepts prices with `type={kind}`.",
            param=f"{param}[price]",
        )
    return price


def create_tax_rate(world: World, params: Obj) -> Obj:
    values = {name: params[name] for name in ("display_name", "inclusive", "percentage")}
    rate = world.add("tax_rate", "txr", active=params.get("active", True), metadata=metadata(params), **values)
    set_fields(rate, params, {"country", "description", "jurisdiction", "state", "tax_type"})
    rate |= {"effective_percentage": rate["percentage"], "rate_type": "percentage"}
    world.emit("tax_rate.created", rate)
    return rate


def tax_rates(world: World, ids: list[str], param: str = "tax_rates") -> list[Obj]:
    return [world.named("tax_rate", rate_id, param) for rate_id in ids or []]


def plan_of(price: Obj) -> Obj:
    """The old name of a recurring price, which subscription items still carry."""
    from api_v1.stripe_fake.shapes import blank

    recurring = price["recurring"] or {}
    return blank("plan") | {
        "id": price["id"],
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "metadata": {},
        "product": price["product"],
        "usage_type": "licensed",
    }
