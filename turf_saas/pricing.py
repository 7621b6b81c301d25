"""What a quantity costs: the four pricing models, exact, rounded once and explained step by step.

What a price is and how it is written stands in turf_saas/prices.py. A further model is one more function in CALCULATE,
and its fields there.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from turf_saas.errors import InvalidInput
from turf_saas.money import EXACT, MAX_CENTS, from_cents, to_cents
from turf_saas.prices import Price, Tier, faults_of, price_as_json, price_from

__all__ = [  # those of turf_saas/prices.py too: one door for whoever has a price and asks what it costs
    "CALCULATE",
    "MAX_QUANTITY",
    "Charge",
    "Price",
    "Quantity",
    "Step",
    "Tier",
    "calculate",
    "faults_of",
    "overage",
    "price_as_json",
    "price_from",
    "rate",
]

Quantity = int | Decimal
MAX_QUANTITY = 2**63 - 1  # what a counter holds
_ZERO = Decimal(0)
_multiply, _add, _subtract = EXACT.multiply, EXACT.add, EXACT.subtract


class Step(NamedTuple):
    """A part of a charge: `quantity` at `unit_amount` each, and a flat amount.

    `above` and `up_to` are the bounds of its tier, the upper one included. `size`: how many units one of the quantity
    covers, which is more than one in packages.
    """

    above: Decimal
    up_to: Decimal | None
    quantity: Decimal
    unit_amount: Decimal
    flat_cents: int
    amount: Decimal
    size: int = 1


class Charge(NamedTuple):
    """What a quantity costs: rounded once, and the exact amount in the currency's major unit beside it.

    `unit_amount` is None where quantity × unit_amount is not the amount.
    """

    amount_cents: int
    amount: Decimal
    quantity: Decimal
    unit_amount: Decimal | None
    steps: tuple[Step, ...]


def rate(price: Price, used: Quantity, included: int | None, currency: str) -> Charge:
    """What is used above the included quantity (None: unlimited) costs."""
    return calculate(price, overage(used, included), currency)


def overage(used: Quantity, included: int | None) -> Quantity:
    """The quantity above the included one."""
    if included is None or used <= included:
        return 0
    return used - included if isinstance(used, int) else _subtract(used, Decimal(included))


def calculate(price: Price, quantity: Quantity, currency: str) -> Charge:
    """What a quantity costs by the price's model. An amount of more than 2^53 cents is refused."""
    if not 0 <= quantity <= MAX_QUANTITY:
        raise InvalidInput("quantity_invalid", given=str(quantity)[:40])
    charge = CALCULATE[price.model](price, Decimal(quantity), currency)
    if charge.amount_cents > MAX_CENTS:
        raise InvalidInput("amount_too_large", metric=price.metric)
    return charge


def calculate_flat(price: Price, quantity: Decimal, currency: str) -> Charge:
    """Every unit costs the same."""
    assert price.unit_amount is not None, "a flat price has a unit amount"
    amount = _multiply(quantity, price.unit_amount)
    steps = (Step(_ZERO, None, quantity, price.unit_amount, 0, amount),) if quantity else ()
    return Charge(to_cents(amount, currency), amount, quantity, price.unit_amount, steps)


def calculate_tiered(price: Price, quantity: Decimal, currency: str) -> Charge:
    """Each unit costs what the tier says that it falls in; each tier that is entered adds its flat amount."""
    steps, units, flat_cents, above = [], _ZERO, 0, _ZERO
    for tier in price.tiers:
        if quantity <= above and not (price.flat_at_zero and above == 0):
            break
        bound = tier.up_to
        inside = _subtract(quantity if bound is None or quantity <= bound else bound, above)
        amount = _multiply(inside, tier.unit_amount)
        units = _add(units, amount)
        flat_cents += tier.flat_cents
        steps.append(_step(above, tier, inside, amount, currency))
        if bound is None:
            break
        above = bound
    return _charge(units, flat_cents, quantity, None, tuple(steps), currency)


def calculate_volume(price: Price, quantity: Decimal, currency: str) -> Charge:
    """All units cost what the tier says that their number falls in, and its flat amount."""
    if quantity == 0 and not price.flat_at_zero:
        return Charge(0, _ZERO, quantity, None, ())
    above = _ZERO
    for tier in price.tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            break
        above = tier.up_to
    else:
        raise AssertionError("the last tier has no bound")
    amount = _multiply(quantity, tier.unit_amount)
    each = None if tier.flat_cents else tier.unit_amount
    steps = (_step(above, tier, quantity, amount, currency),)
    return _charge(amount, tier.flat_cents, quantity, each, steps, currency)


def calculate_package(price: Price, quantity: Decimal, currency: str) -> Charge:
    """Units are sold by the package: one that is begun is paid whole."""
    assert price.package_size is not None, "a package has a size"
    assert price.package_cents is not None, "a package has a price"
    units, parts = quantity.as_integer_ratio()
    packages = -(-units // (parts * price.package_size))
    each = from_cents(price.package_cents, currency)
    amount = _multiply(Decimal(packages), each)
    steps = (Step(_ZERO, None, Decimal(packages), each, 0, amount, price.package_size),) if packages else ()
    return Charge(packages * price.package_cents, amount, quantity, None, steps)


CALCULATE: dict[str, Callable[[Price, Decimal, str], Charge]] = {
    "flat": calculate_flat,
    "tiered": calculate_tiered,
    "volume": calculate_volume,
    "package": calculate_package,
}


def _step(above: Decimal, tier: Tier, quantity: Decimal, amount: Decimal, currency: str) -> Step:
    flat_cents = tier.flat_cents
    if flat_cents:
        amount = _add(amount, from_cents(flat_cents, currency))
    return Step(above, tier.up_to, quantity, tier.unit_amount, flat_cents, amount)


def _charge(
    units: Decimal, flat_cents: int, quantity: Decimal, each: Decimal | None, steps: tuple[Step, ...], currency: str
) -> Charge:
    """Flat amounts are whole cents, so that rounding the units alone rounds the sum."""
    amount = _add(units, from_cents(flat_cents, currency)) if flat_cents else units
    return Charge(to_cents(units, currency) + flat_cents, amount, quantity, each, steps)
