"""All that may be wrong with a plan as somebody writes it down: every fault at once, each with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from turf_saas import prices
from turf_saas.checks import Check, Faults, Path, choice, fields, text, whole
from turf_saas.errors import Fault, pointer
from turf_saas.money import MAX_CENTS, is_currency

CODE = "[a-z0-9][a-z0-9_-]{0,62}"
METRIC = "[a-z][a-z0-9_]{0,62}"
UNLIMITED = "unlimited"  # in a file of plans, which has no null
MAX_NAME = 100
MAX_DESCRIPTION = 2_000
MAX_STRIPE_ID = 255
MAX_TRIAL_DAYS = 730
MAX_INCLUDED = 2**53
MAX_METRICS = 100  # that a plan limits, and as many that it prices
REQUIRED = ("code", "name", "amount_cents")


def faults_of(given: Any, *, required: tuple[str, ...] = REQUIRED, but: tuple[str, ...] = ()) -> list[Fault]:
    """Everything that is wrong with a plan, or with changes of one when nothing is required.

    but: fields that a change may not have.
    """
    if not isinstance(given, Mapping):
        return [Fault("", "field_type", {"expected": "object"})]
    checks = {name: check for name, check in _CHECKS.items() if name not in but}
    return [*fields((), given, checks, required), *_contradictions(given)]


def _contradictions(given: Mapping[str, Any]) -> Faults:
    """What is right by itself, and not beside the rest."""
    if given.get("interval") == "year" and given.get("cycle") == "calendar":
        yield Fault("/cycle", "year_is_anniversary", {})
    listed, limits = given.get("prices"), given.get("limits")
    if not isinstance(listed, list | tuple):
        return
    priced: set[Any] = set()
    for place, price in enumerate(listed[:MAX_METRICS]):
        metric = price.get("metric") if isinstance(price, Mapping) else None
        if not isinstance(metric, str):
            continue
        if metric in priced:
            yield Fault(pointer("prices", place, "metric"), "price_twice", {"metric": metric[:63]})
        priced.add(metric)
    for metric, limit in limits.items() if isinstance(limits, Mapping) else ():
        if metric in priced and isinstance(limit, Mapping) and limit.get("window") == "day":
            yield Fault(pointer("limits", metric, "window"), "day_limit_with_price", {})


def _currency(path: Path, given: Any) -> Faults:
    if not is_currency(given):
        yield Fault(pointer(*path), "currency_unknown", {})


def _stripe_id(path: Path, given: Any) -> Faults:
    if given is not None:
        yield from text(1, MAX_STRIPE_ID, r"[!-~]*")(path, given)


def _included(path: Path, given: Any) -> Faults:
    if given not in (None, UNLIMITED):
        yield from whole(0, MAX_INCLUDED)(path, given)


def _limits(path: Path, given: Any) -> Faults:
    if not isinstance(given, Mapping):
        yield Fault(pointer(*path), "field_type", {"expected": "object"})
    elif len(given) > MAX_METRICS:
        yield Fault(pointer(*path), "field_length", {"expected": f"≤ {MAX_METRICS}"})
    else:
        for metric, limit in given.items():
            if not isinstance(metric, str) or not re.fullmatch(METRIC, metric):
                yield Fault(pointer(*path, metric), "field_format", {})
            if isinstance(limit, Mapping):
                yield from fields((*path, metric), limit, _LIMIT_CHECKS, ("included",))
            else:
                yield Fault(pointer(*path, metric), "field_type", {"expected": "object"})


def _prices(path: Path, given: Any) -> Faults:
    if not isinstance(given, list | tuple):
        yield Fault(pointer(*path), "field_type", {"expected": "array"})
    elif len(given) > MAX_METRICS:
        yield Fault(pointer(*path), "field_length", {"expected": f"≤ {MAX_METRICS}"})
    else:
        for place, price in enumerate(given):
            for fault in prices.faults_of(price):
                yield Fault(pointer(*path, place) + fault.loc, fault.code, fault.params)


_LIMIT_CHECKS: dict[str, Check] = {
    "included": _included,
    "policy": choice("hard", "soft"),
    "window": choice("month", "day"),
}
_CHECKS: dict[str, Check] = {
    "code": text(1, 63, CODE),
    "name": text(1, MAX_NAME, r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"),
    "description": text(0, MAX_DESCRIPTION),
    "interval": choice("month", "year"),
    "cycle": choice("calendar", "anniversary"),
    "amount_cents": whole(0, MAX_CENTS),
    "currency": _currency,
    "tax_behavior": choice("exclusive", "inclusive"),
    "trial_days": whole(0, MAX_TRIAL_DAYS),
    "stripe_price_id": _stripe_id,
    "limits": _limits,
    "prices": _prices,
}
