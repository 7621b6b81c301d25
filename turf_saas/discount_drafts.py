"""A discount as it is written down: all that may be wrong with it at once, and what it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turf_saas.checks import Check, Faults, Path, choice, decimal, fields, invalid, read_decimal, text, whole
from turf_saas.errors import Fault
from turf_saas.money import MAX_CENTS, is_currency
from turf_saas.prices import decimal_text

CODE = "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
MAX_MONTHS = 120
MAX_USES = 10**9


def faults_of(given: Any) -> list[Fault]:
    """Everything that is wrong with a discount. What is null is not there."""
    if not isinstance(given, Mapping):
        return [Fault("", "field_type", {"expected": "object"})]
    there = {name: value for name, value in given.items() if value is not None or name not in _CHECKS}
    return [*fields((), there, _CHECKS, ("code", "duration")), *_contradictions(there)]


def _contradictions(there: Mapping[str, Any]) -> Faults:
    if ("percent" in there) == ("amount_cents" in there):
        yield Fault("/percent", "discount_value", {})
    elif "currency" in there and "percent" in there:
        yield Fault("/currency", "currency_without_amount", {})
    if "duration" in there and (there["duration"] == "months") != ("months" in there):
        yield Fault("/months", "discount_months", {})


def discount_from(given: Mapping[str, Any], *, currency: str) -> dict[str, Any]:
    """What create_discount takes, of a discount that was written, or a refusal that names all its faults.

    currency: of an amount that says none.
    """
    faults = faults_of(given)
    if faults:
        raise invalid(faults)
    found = {name: value for name, value in given.items() if value is not None}
    if "percent" in found:
        number = read_decimal(found["percent"])
        assert number is not None, "it has no fault"
        found["percent"] = decimal_text(number.normalize())
    else:
        found.setdefault("currency", currency)
    return found


def _currency(path: Path, given: Any) -> Faults:
    if not is_currency(given):
        yield Fault(f"/{path[0]}", "currency_unknown", {})


_CHECKS: dict[str, Check] = {
    "code": text(1, 63, CODE),
    "percent": decimal(above=0, most=100, places=2),
    "amount_cents": whole(1, MAX_CENTS),
    "currency": _currency,
    "duration": choice("once", "months", "forever"),
    "months": whole(1, MAX_MONTHS),
    "max_uses": whole(1, MAX_USES),
}
