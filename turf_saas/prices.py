"""A price: what it is made of, how it is written in JSON or in a file of plans, and all that may be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from turf_saas.checks import Check, Faults, Path, decimal, flag, invalid, read_decimal, whole
from turf_saas.errors import Fault, pointer
from turf_saas.money import MAX_CENTS

MAX_TIERS = 100
MAX_UNIT_AMOUNT = 10**9
MAX_UNITS = 2**53  # in a tier's bound and in a package
FIELDS: dict[str, dict[str, bool]] = {  # of each model: True where it cannot do without
    "flat": {"unit_amount": True},
    "tiered": {"tiers": True, "flat_at_zero": False},
    "volume": {"tiers": True, "flat_at_zero": False},
    "package": {"package_size": True, "package_cents": True},
}
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Tier:
    """One step of a price: units up to and with `up_to` (None: all that follow)."""

    up_to: Decimal | None
    unit_amount: Decimal
    flat_cents: int = 0


@dataclass(frozen=True)
class Price:
    """One metric's price in a plan. Of the fields below the model, each model has its own."""

    metric: str
    model: str
    unit_amount: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    package_size: int | None = None
    package_cents: int | None = None
    flat_at_zero: bool = False


def price_from(given: Mapping[str, Any]) -> Price:
    """The price that was written, or a refusal that names all its faults."""
    faults = faults_of(given)
    if faults:
        raise invalid(faults)
    unit_amount = given.get("unit_amount")
    return Price(
        metric=given["metric"],
        model=given["model"],
        unit_amount=None if unit_amount is None else Decimal(unit_amount),
        tiers=tuple(_tier(tier) for tier in given.get("tiers") or ()),
        package_size=given.get("package_size"),
        package_cents=given.get("package_cents"),
        flat_at_zero=given.get("flat_at_zero") or False,
    )


def _tier(given: Mapping[str, Any]) -> Tier:
    up_to = given.get("up_to")
    flat_cents = given.get("flat_cents") or 0
    return Tier(None if up_to is None else Decimal(up_to), Decimal(given["unit_amount"]), flat_cents)


def price_as_json(price: Price) -> dict[str, Any]:
    """The price as it is stored and shown: amounts as decimal texts."""
    shown: dict[str, Any] = {"metric": price.metric, "model": price.model}
    if price.unit_amount is not None:
        shown["unit_amount"] = decimal_text(price.unit_amount)
    if price.tiers:
        shown["tiers"] = [
            {
                "up_to": None if tier.up_to is None else plain_number(tier.up_to),
                "unit_amount": decimal_text(tier.unit_amount),
                "flat_cents": tier.flat_cents,
            }
            for tier in price.tiers
        ]
    for name in ("package_size", "package_cents"):
        if getattr(price, name) is not None:
            shown[name] = getattr(price, name)
    if price.flat_at_zero:
        shown["flat_at_zero"] = True
    return shown


def decimal_text(number: Decimal) -> str:
    """In digits, never with an exponent."""
    return format(number, "f")


def plain_number(number: Decimal) -> int | str:
    """A whole number as one, another one as its digits."""
    whole = int(number)
    return whole if whole == number else decimal_text(number)


def faults_of(price: Price | Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with a price, with its place in it. Of a mapping nothing is presumed.

    What is null is not there: a file of plans has no null.
    """
    return list(_price_faults(price_as_json(price) if isinstance(price, Price) else price))


def _price_faults(given: Any) -> Faults:
    if not isinstance(given, Mapping):
        yield Fault("", "field_type", {"expected": "object"})
        return
    for name in given:
        if name not in _KNOWN:
            yield Fault(pointer(name), "field_unknown", {})
    metric, model = given.get("metric"), given.get("model")
    if metric is None:
        yield Fault("/metric", "field_missing", {})
    elif not isinstance(metric, str) or not _METRIC.fullmatch(metric):
        yield Fault("/metric", "field_format", {})
    if model is None:
        yield Fault("/model", "field_missing", {})
    elif not isinstance(model, str) or model not in FIELDS:
        yield Fault("/model", "field_choice", {"expected": ", ".join(FIELDS)})
    else:
        yield from _model_faults(model, {name for name in _CHECKS if given.get(name) is not None})
    for name, check in _CHECKS.items():
        if given.get(name) is not None:
            yield from check((name,), given[name])


def _model_faults(model: str, there: set[str]) -> Faults:
    """What another model has, and what this one lacks."""
    own = FIELDS[model]
    for name in _CHECKS:
        if name in there and name not in own:
            yield Fault(pointer(name), "price_field_of_another_model", {"model": model})
        elif name not in there and own.get(name):
            yield Fault(pointer(name), "field_missing", {})


def _tiers_faults(path: Path, given: Any) -> Faults:
    if not isinstance(given, list | tuple):
        yield Fault(pointer(*path), "field_type", {"expected": "array"})
    elif not given:
        yield Fault(pointer(*path), "field_length", {"expected": "≥ 1"})
    elif len(given) > MAX_TIERS:
        yield Fault(pointer(*path), "field_length", {"expected": f"≤ {MAX_TIERS}"})
    else:
        for place, tier in enumerate(given):
            yield from _tier_faults((*path, place), tier)
        yield from _order_faults(path, given)


def _tier_faults(path: Path, given: Any) -> Faults:
    if not isinstance(given, Mapping):
        yield Fault(pointer(*path), "field_type", {"expected": "object"})
        return
    for name in given:
        if name not in _TIER_CHECKS:
            yield Fault(pointer(*path, name), "field_unknown", {})
    if given.get("unit_amount") is None:
        yield Fault(pointer(*path, "unit_amount"), "field_missing", {})
    for name, check in _TIER_CHECKS.items():
        if given.get(name) is not None:
            yield from check((*path, name), given[name])


def _order_faults(path: Path, tiers: Sequence[Any]) -> Faults:
    """Each bound lies above the one before, and the last tier alone has none."""
    former = Decimal(0)
    for place, tier in enumerate(tiers):
        if not isinstance(tier, Mapping):
            continue
        where, is_last = pointer(*path, place, "up_to"), place == len(tiers) - 1
        given = tier.get("up_to")
        if given is None and not is_last:
            yield Fault(where, "tier_without_bound", {})
        elif given is not None and is_last:
            yield Fault(where, "last_tier_bounded", {})
        bound = read_decimal(given)
        if bound is None or not 0 < bound <= MAX_UNITS:
            continue
        if bound <= former:
            yield Fault(where, "tiers_not_rising", {"former": decimal_text(former)})
        former = max(former, bound)


_AMOUNT = decimal(above=None, most=MAX_UNIT_AMOUNT)
_CHECKS: dict[str, Check] = {
    "unit_amount": _AMOUNT,
    "tiers": _tiers_faults,
    "package_size": whole(1, MAX_UNITS),
    "package_cents": whole(0, MAX_CENTS),
    "flat_at_zero": flag,
}
_TIER_CHECKS: dict[str, Check] = {
    "up_to": decimal(above=0, most=MAX_UNITS),
    "unit_amount": _AMOUNT,
    "flat_cents": whole(0, MAX_CENTS),
}
_KNOWN = {"metric", "model", *_CHECKS}
