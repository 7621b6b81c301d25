"""What a written value may be: each check names all that is wrong with one, by its place, and presumes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from turf_saas.errors import Fault, InvalidInput, pointer
from turf_saas.values import can_be_stored

MAX_PLACES = 12
_DECIMAL = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,60})?")
_MOST_ZEROS = 60  # of a Decimal that was written with an exponent: in digits it may fill the memory

Path = tuple[str | int, ...]
Faults = Iterator[Fault]
Check = Callable[[Path, Any], Faults]


def invalid(faults: list[Fault]) -> InvalidInput:
    """The refusal. A single fault that has a sentence of its own speaks for the whole; else the places are named."""
    if len(faults) == 1 and not faults[0].code.startswith("field_"):
        return InvalidInput(faults[0].code, faults=faults, **faults[0].params)
    return InvalidInput("invalid_input", faults=faults, where=", ".join(fault.loc or "/" for fault in faults[:5]))


def read_decimal(given: Any) -> Decimal | None:
    """The number that is meant, or None. A float is none: it has been rounded already."""
    if isinstance(given, str):
        return Decimal(given) if _DECIMAL.fullmatch(given) else None
    if type(given) is int:
        return Decimal(given)
    is_written_out = isinstance(given, Decimal) and given.is_finite() and abs(given.adjusted()) <= _MOST_ZEROS
    return given if is_written_out else None


def decimal(*, above: int | None, most: int, places: int = MAX_PLACES) -> Check:
    """A number in digits; above=None: zero or more."""

    def check(path: Path, given: Any) -> Faults:
        where, number = pointer(*path), read_decimal(given)
        if number is None:
            yield Fault(where, "decimal_invalid", {})
            return
        if -int(number.as_tuple().exponent) > places:
            yield Fault(where, "decimal_places", {"most": places})
        if number.is_signed() or (above is not None and number <= above):
            yield Fault(where, "field_range", {"expected": "≥ 0" if above is None else f"> {above}"})
        elif number > most:
            yield Fault(where, "field_range", {"expected": f"≤ {most}"})

    return check


def whole(least: int, most: int) -> Check:
    """An integer."""

    def check(path: Path, given: Any) -> Faults:
        if type(given) is not int:
            yield Fault(pointer(*path), "field_type", {"expected": "integer"})
        elif given < least:
            yield Fault(pointer(*path), "field_range", {"expected": f"≥ {least}"})
        elif given > most:
            yield Fault(pointer(*path), "field_range", {"expected": f"≤ {most}"})

    return check


def flag(path: Path, given: Any) -> Faults:
    if not isinstance(given, bool):
        yield Fault(pointer(*path), "field_type", {"expected": "boolean"})


def text(least: int, most: int, pattern: str | None = None) -> Check:
    """Letters that can be stored, from `least` to `most` of them; of blanks alone there are none."""

    def check(path: Path, given: Any) -> Faults:
        where = pointer(*path)
        if not isinstance(given, str):
            yield Fault(where, "field_type", {"expected": "string"})
        elif pattern is not None and not re.fullmatch(pattern, given):
            yield Fault(where, "field_format", {})
        elif not can_be_stored(given):
            yield Fault(where, "field_text", {})
        elif len(given.strip()) < least:
            yield Fault(where, "field_length", {"expected": f"≥ {least}"})
        elif len(given) > most:
            yield Fault(where, "field_length", {"expected": f"≤ {most}"})

    return check


def choice(*words: str) -> Check:
    def check(path: Path, given: Any) -> Faults:
        if not isinstance(given, str) or given not in words:
            yield Fault(pointer(*path), "field_choice", {"expected": ", ".join(words)})

    return check


def fields(path: Path, given: Mapping[Any, Any], checks: Mapping[str, Check], required: tuple[str, ...] = ()) -> Faults:
    """Of an object: what it has and should not, what it lacks, and what is wrong with the rest."""
    for name in given:
        if name not in checks:
            yield Fault(pointer(*path, name), "field_unknown", {})
    for name in required:
        if name not in given:
            yield Fault(pointer(*path, name), "field_missing", {})
    for name, check in checks.items():
        if name in given:
            yield from check((*path, name), given[name])
