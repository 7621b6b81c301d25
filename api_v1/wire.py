"""JSON in and out: reading what was sent with every fault named, writing what is answered."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json
from werkzeug.exceptions import RequestEntityTooLarge

from turf_saas.checks import invalid
from turf_saas.errors import Fault, Malformed, pointer
from turf_saas.values import can_be_stored

MAX_BODY = 1024 * 1024
MAX_FAULTS = 5000  # so that an answer is never larger than the largest body
MAX_NAMES = 30_000  # in all objects of a body: each may be a fault, and a fault costs more memory than its name
MAX_NESTED = 100_000  # lists and objects of a body: one may take forty times the memory of its text
MAX_EXACT = 2**53
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Choice:
    """Several shapes of one body, told apart by a field that only the one has; `otherwise` is the shape without any."""

    marks: Mapping[str, type[BaseModel]]
    otherwise: type[BaseModel]

    @property
    def models(self) -> list[type[BaseModel]]:
        return [self.otherwise, *self.marks.values()]

    def model_of(self, given: Any) -> type[BaseModel]:
        if isinstance(given, dict):
            for mark, model in self.marks.items():
                if mark in given:
                    return model
        return self.otherwise


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(body), status, headers, content_type="application/json")


def read_query(model: type[Model]) -> Model:
    if not request.query_string:
        return validated(model, {})
    try:
        lists = dict(request.args.lists())
    except UnicodeDecodeError:
        raise Malformed("bad_request") from None
    repeated = [Fault(pointer(name), "field_repeated", {}) for name, values in lists.items() if len(values) > 1]
    if repeated:
        raise invalid(repeated)
    given = {name: values[0] for name, values in lists.items()}
    found = validated(model, given)
    if b"%00" in request.query_string:
        refuse_unstorable(given)
    return found


def read_body(shape: type[BaseModel] | Choice, *, most: int = MAX_BODY, optional: bool = False) -> BaseModel:
    """What was sent, checked. most: bytes. optional: no body at all is an empty object."""
    raw = read_raw(most) if optional else None
    if raw == b"":
        return validated(_model(shape, {}), {})
    if request.mimetype != "application/json" or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise Malformed("json_expected")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Malformed("encoding_unsupported")
    if raw is None:
        raw = read_raw(most)
    given = parse_json(raw)
    found = validated(_model(shape, given), given)
    if _HIDDEN.search(raw):
        refuse_unstorable(given)
    return found


def _model(shape: type[BaseModel] | Choice, given: Any) -> type[BaseModel]:
    return shape.model_of(given) if isinstance(shape, Choice) else shape


def read_raw(most: int) -> bytes:
    # A host that allows less is right; one that allows more does so for its own uploads.
    limit = min(most, request.max_content_length or most)
    # One byte more: Werkzeug cuts a chunked body at its limit, and a body that was cut may well be JSON.
    request.max_content_length = limit + 1
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise Malformed("body_too_large", limit=limit) from None
    if len(raw) > limit:
        raise Malformed("body_too_large", limit=limit)
    return raw


# Escapes of what cannot be stored, or of half of it.
_HIDDEN = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def refuse_unstorable(given: Any) -> None:
    """What fields of type Text see by themselves, for the others: dictionaries, passwords, free JSON."""
    found = _places(given, lambda value: isinstance(value, str) and not can_be_stored(value))
    faults = [Fault(pointer(*place), "field_text", {}) for place, _ in islice(found, MAX_FAULTS)]
    if faults:
        raise invalid(faults)


class _Unreadable(ValueError):
    """A fault in a JSON text. The message names it."""


class _NoNumber:
    """Stands where a text was read that JSON or a double has no number for, until its place is known."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text[:100]


def parse_json(raw: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN, no number that a double or the parser cannot hold.

    A number that is whole is an integer however it is written: `5.0` and `1e2` are 5 and 100, as in JSON Schema.
    """
    reader = _Reader(may_hide=_HIDDEN.search(raw) is not None)
    try:
        _refuse_too_nested(raw)
        found = json.loads(
            raw.decode(), object_pairs_hook=reader.names, parse_float=reader.number, parse_constant=reader.no_number
        )
    except UnicodeDecodeError:
        raise Malformed("json_unreadable", reason="UTF-8") from None
    except RecursionError:
        raise Malformed("json_unreadable", reason="depth") from None
    except json.JSONDecodeError as error:
        raise Malformed("json_unreadable", reason=f"{error.lineno}:{error.colno}") from None
    except _Unreadable as error:
        raise Malformed("json_unreadable", reason=str(error)) from None
    except ValueError:  # Python reads no integer of more than 4300 digits
        raise Malformed("json_unreadable", reason="number") from None
    if reader.strange:
        places = list(islice(_places(found, lambda value: isinstance(value, _NoNumber)), MAX_FAULTS))
        faults = [Fault(pointer(*place), "field_type", {"expected": "number"}) for place, _ in places]
        raise Malformed("json_unreadable", reason=places[0][1].text, faults=faults)
    return found


# A text of JSON, also one that does not end.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def _refuse_too_nested(raw: bytes) -> None:
    """The lists and objects are counted before they are made. Nobody looks for those in texts when there are few."""
    count = _brackets(raw)
    if count > MAX_NESTED and count - sum(_brackets(text[0]) for text in _TEXT.finditer(raw)) > MAX_NESTED:
        raise _Unreadable(f"> {MAX_NESTED}")


def _brackets(raw: bytes) -> int:
    return raw.count(b"[") + raw.count(b"{")


def _places(given: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Where in a JSON value something stands that is wanted, and what it is. Needs no memory for what is beside it."""
    steps: list[Any] = []
    ways: list[Iterator[tuple[Any, Any]]] = [iter([(None, given)])]
    while ways:
        for step, value in ways[-1]:
            steps[len(ways) - 1 :] = [step]
            if isinstance(value, dict):
                ways.append(iter(value.items()))
                break
            if isinstance(value, list):
                ways.append(iter(enumerate(value)))
                break
            if wanted(value):
                yield tuple(steps[1:]), value
        else:
            ways.pop()


class _Reader:
    """Reads the objects and numbers of one body, counts what they name, and knows whether all numbers are some."""

    def __init__(self, *, may_hide: bool) -> None:
        """may_hide: something of the body is escaped that cannot be stored, perhaps a name."""
        self.may_hide = may_hide
        self.count = 0
        self.strange = 0

    def names(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.count += len(pairs)
        if self.count > MAX_NAMES:
            raise _Unreadable(f"> {MAX_NAMES}")
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise _Unreadable(f"{twice[:100]!a} ×2")
        if self.may_hide:
            for name in found:
                if not can_be_stored(name):
                    raise _Unreadable(f"{name[:100]!a}")
        return found

    def number(self, text: str) -> float | int | _NoNumber | None:
        value = float(text)
        if math.isinf(value):
            return self.no_number(text)
        with suppress(ArithmeticError):  # an exponent that Decimal cannot hold
            if value.is_integer() and abs(value) < MAX_EXACT and Decimal(text) == int(value):
                return int(value)
        return value

    def no_number(self, text: str) -> _NoNumber | None:
        """Something to find its place by; of more than are told the place is not looked for."""
        self.strange += 1
        return _NoNumber(text) if self.strange <= MAX_FAULTS else None


def validated(model: type[Model], given: Any) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise invalid([_fault(detail) for detail in details[:MAX_FAULTS]]) from None


_JSON_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "model": "object",
}
_CODES = {
    "missing": "field_missing",
    "extra_forbidden": "field_unknown",
    "string_pattern_mismatch": "field_format",
    "value_error": "field_format",
    "string_unicode": "field_text",
}
_RANGE = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}
_RANGE_KEYS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_LENGTH = {"too_long": "≤", "string_too_long": "≤", "too_short": "≥", "string_too_short": "≥"}


def _fault(detail: ErrorDetails) -> Fault:
    """One of pydantic's errors as one of ours."""
    code, params = _meaning(detail["type"], detail.get("ctx", {}))
    place = detail["loc"]
    if place[-1:] == ("[key]",):  # so pydantic says that the name of an entry is at fault, not its value
        place = place[:-1]
    return Fault(pointer(*place), code, params)


def _meaning(kind: str, context: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "fault" in context:  # one of our own validators
        return kind, {name: value for name, value in context.items() if name != "fault"}
    if kind in _RANGE:
        return "field_range", {"expected": f"{_RANGE[kind]} {context[_RANGE_KEYS[kind]]}"}
    if kind in _LENGTH:
        bound = context.get("max_length", context.get("min_length"))
        return "field_length", {"expected": f"{_LENGTH[kind]} {bound}"}
    if kind in ("literal_error", "enum"):
        return "field_choice", {"expected": str(context.get("expected", ""))}
    if kind.endswith("_type") or kind.startswith("int_"):
        word = kind.partition("_")[0]
        return "field_type", {"expected": _JSON_TYPES.get(word, word)}
    return _CODES.get(kind, "field_invalid"), {}
