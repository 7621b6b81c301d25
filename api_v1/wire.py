"""JSON in and out: reading what was sent with every fault named, writing what is answered."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from turf_saas.errors import Fault, InvalidInput, Malformed

MAX_BODY = 1024 * 1024
MAX_FAULTS = 5000  # so that an answer is never larger than the largest body
MAX_EXACT = 2**53
Model = TypeVar("Model", bound=BaseModel)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = body.model_dump_json() if isinstance(body, BaseModel) else json.dumps(body, ensure_ascii=False)
    return Response(text, status, headers, mimetype="application/json")


def read_query(model: type[Model]) -> Model:
    if not request.query_string:
        return validated(model, {})
    try:
        lists = dict(request.args.lists())
    except UnicodeDecodeError:
        raise Malformed("bad_request") from None
    repeated = [Fault(_pointer(name), "field_repeated", {}) for name, values in lists.items() if len(values) > 1]
    if repeated:
        raise invalid(repeated)
    return validated(model, {name: values[0] for name, values in lists.items()})


def read_body(model: type[Model]) -> Model:
    if request.mimetype != "application/json" or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8":
        raise Malformed("json_expected")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Malformed("encoding_unsupported")
    # A host that allows less is right; one that allows more does so for its own uploads.
    request.max_content_length = min(MAX_BODY, request.max_content_length or MAX_BODY)
    return validated(model, parse_json(request.get_data(cache=False)))


class _Unreadable(ValueError):
    """A fault in a JSON text. The message names it."""


def parse_json(raw: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN, no number that a double or the parser cannot hold.

    A number that is whole is an integer however it is written: `5.0` and `1e2` are 5 and 100, as in JSON Schema.
    """
    try:
        return json.loads(
            raw.decode(), object_pairs_hook=_no_key_twice, parse_float=_number, parse_constant=_no_constant
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


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Unreadable(f"{twice[:100]!a} ×2")
    for name in found:
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise _Unreadable(f"{name[:100]!a}")
    return found


def _number(text: str) -> float | int:
    value = float(text)
    if math.isinf(value):
        raise _Unreadable(text[:100])
    with suppress(ArithmeticError):  # an exponent that Decimal cannot hold
        if value.is_integer() and abs(value) < MAX_EXACT and Decimal(text) == int(value):
            return int(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise _Unreadable(name)


def validated(model: type[Model], given: Any) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise invalid([_fault(detail) for detail in details[:MAX_FAULTS]]) from None


def invalid(faults: list[Fault]) -> InvalidInput:
    """A single fault that has a sentence of its own speaks for the whole; else the places are named."""
    if len(faults) == 1 and not faults[0].code.startswith("field_"):
        return InvalidInput(faults[0].code, faults=faults, **faults[0].params)
    return InvalidInput("invalid_input", faults=faults, where=", ".join(fault.loc or "/" for fault in faults[:5]))


def _pointer(*parts: Any) -> str:
    """The JSON pointer to a field. A name that somebody made up to be long is cut."""
    return "".join(f"/{str(part)[:100].replace('~', '~0').replace('/', '~1')}" for part in parts)


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
    return Fault(_pointer(*detail["loc"]), code, params)


def _meaning(kind: str, context: dict[str, Any]) -> tuple[str, dict[str, Any]]:
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
    if "fault" in context:  # one of our own validators
        return kind, {}
    return _CODES.get(kind, "field_invalid"), {}
