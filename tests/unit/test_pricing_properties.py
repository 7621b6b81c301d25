"""Of any price and quantity: more never costs less by tiers, what is explained is what is charged, no cent is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from turf_saas.money import MAX_CENTS, exponent, share, spread, to_cents
from turf_saas.pricing import Charge, Price, Tier, calculate, faults_of, price_as_json, price_from

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
bounded = hypothesis.settings(max_examples=300, deadline=None)

AMOUNTS = st.decimals(0, 1000, places=12) | st.decimals(0, 100, places=2)
FLAT_CENTS = st.just(0) | st.integers(0, 100_000)
BOUNDS = st.lists(st.decimals("0.001", 10_000, places=3), unique=True, max_size=5).map(sorted)
QUANTITIES = st.integers(0, 20_000) | st.decimals(0, 20_000, places=3)
CURRENCIES = st.sampled_from(["EUR", "JPY", "KWD", "CLF"])


@st.composite
def tiers(draw: Any) -> tuple[Tier, ...]:
    return tuple(Tier(bound, draw(AMOUNTS), draw(FLAT_CENTS)) for bound in [*draw(BOUNDS), None])


STEPPED = st.builds(
    Price, st.just("units"), st.sampled_from(["tiered", "volume"]), tiers=tiers(), flat_at_zero=st.booleans()
)
FLAT = st.builds(Price, st.just("units"), st.just("flat"), unit_amount=AMOUNTS)
PACKAGES = st.builds(
    Price,
    st.just("units"),
    st.just("package"),
    package_size=st.integers(1, 5000),
    package_cents=st.integers(0, 10**6),
)
PRICES = STEPPED | FLAT | PACKAGES


@bounded
@hypothesis.given(PRICES.filter(lambda price: price.model != "volume"), QUANTITIES, QUANTITIES, CURRENCIES)
def test_more_never_costs_less_but_by_volume(price: Price, one: Any, other: Any, currency: str) -> None:
    less, more = sorted((one, other))
    assert calculate(price, less, currency).amount_cents <= calculate(price, more, currency).amount_cents


@bounded
@hypothesis.given(PRICES, QUANTITIES, CURRENCIES)
def test_the_steps_add_up_to_the_charge_and_the_charge_is_its_rounding(
    price: Price, quantity: Any, currency: str
) -> None:
    charge = calculate(price, quantity, currency)
    minor = Fraction(10) ** exponent(currency)
    assert sum(Fraction(step.amount) for step in charge.steps) == Fraction(charge.amount)
    for step in charge.steps:
        each = Fraction(step.quantity) * Fraction(step.unit_amount)
        assert Fraction(step.amount) == each + step.flat_cents / minor
    assert 0 <= charge.amount_cents <= MAX_CENTS
    assert abs(Fraction(charge.amount) * minor - charge.amount_cents) <= Fraction(1, 2)
    if price.model in ("tiered", "volume", "flat"):
        assert sum(step.quantity for step in charge.steps) == (quantity if charge.steps else 0)


def unit_by_unit(price: Price, quantity: int) -> Fraction:
    """Tiered as one would explain it to a child: each unit by itself, and each flat amount at its tier's first."""
    total, entered = Fraction(0), set()
    for unit in range(1, quantity + 1):
        place = next(n for n, tier in enumerate(price.tiers) if tier.up_to is None or unit <= tier.up_to)
        if place not in entered:
            total += Fraction(price.tiers[place].flat_cents, 100)
            entered.add(place)
        total += Fraction(price.tiers[place].unit_amount)
    return total


@st.composite
def whole_tiers(draw: Any) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(st.integers(1, 60), max_size=4)))
    return tuple(
        Tier(None if bound is None else Decimal(bound), draw(AMOUNTS), draw(FLAT_CENTS)) for bound in [*bounds, None]
    )


@bounded
@hypothesis.given(whole_tiers(), st.integers(0, 80))
def test_tiered_is_what_unit_by_unit_gives(steps: tuple[Tier, ...], quantity: int) -> None:
    price = Price("units", "tiered", tiers=steps)
    assert Fraction(calculate(price, quantity, "EUR").amount) == unit_by_unit(price, quantity)


@bounded
@hypothesis.given(AMOUNTS, FLAT_CENTS, st.integers(1, 20_000))
def test_one_tier_is_a_flat_price_whichever_the_model(unit_amount: Decimal, flat_cents: int, quantity: int) -> None:
    def cost(model: str) -> Charge:
        return calculate(Price("units", model, tiers=(Tier(None, unit_amount, flat_cents),)), quantity, "EUR")

    plain = calculate(Price("units", "flat", unit_amount), quantity, "EUR")
    assert cost("tiered").amount_cents == cost("volume").amount_cents == plain.amount_cents + flat_cents


@bounded
@hypothesis.given(PRICES)
def test_a_price_is_read_as_it_was_written(price: Price) -> None:
    assert faults_of(price) == []
    assert price_from(json.loads(json.dumps(price_as_json(price)))) == price


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TIER_LIKE = st.dictionaries(st.sampled_from(["up_to", "unit_amount", "flat_cents", "x"]), JSON | AMOUNTS.map(str))
PRICE_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.just("units") | JSON,
        "model": st.sampled_from(["flat", "tiered", "volume", "package"]) | JSON,
        "unit_amount": AMOUNTS.map(str) | JSON,
        "tiers": st.lists(TIER_LIKE | JSON, max_size=3) | JSON,
        "package_size": st.integers(1, 9) | JSON,
        "package_cents": st.integers(0, 9) | JSON,
        "flat_at_zero": st.booleans() | JSON,
    },
)


@bounded
@hypothesis.given(PRICE_LIKE | JSON)
def test_whatever_is_given_is_a_price_or_has_named_faults(given: Any) -> None:
    found = faults_of(given)
    if not found:
        price = price_from(given)
        assert price_from(price_as_json(price)) == price
        calculate(price, 3, "EUR")


# -- cents ---------------------------------------------------------------------------------------------


@bounded
@hypothesis.given(st.integers(-(2**53), 2**53), st.lists(st.integers(0, 2**40), min_size=1, max_size=8))
def test_a_spread_loses_no_cent_and_is_never_a_cent_off(cents: int, weights: list[int]) -> None:
    hypothesis.assume(sum(weights) > 0)
    parts = spread(cents, weights)
    assert sum(parts) == cents
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(cents * weight, sum(weights))) < 1
    assert spread(-cents, weights) == [-part for part in parts]


@bounded
@hypothesis.given(st.integers(-(10**9), 10**9), st.integers(0, 10**7), st.integers(1, 10**7))
def test_a_share_and_the_rounding_of_its_decimal_agree(cents: int, part: int, whole: int) -> None:
    exact = Fraction(cents * part, whole)
    assert abs(share(cents, part, whole) - exact) <= Fraction(1, 2)
    assert share(-cents, part, whole) == -share(cents, part, whole)
    if whole in (1, 2, 4, 5, 8, 10, 100):
        assert to_cents(Decimal(cents * part) / whole / 100, "EUR") == share(cents, part, whole)
