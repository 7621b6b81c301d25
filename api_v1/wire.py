"""JSON in and out: reading what was sent with every fault named, writing what is answered."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from flask import Response, request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from turf_saas.errors import Fault, InvalidInput, Malformed

MAX_BODY = 1024 * 1024
Model = TypeVar("Model", bound=BaseModel)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = body.model_dump_json() if isinstance(body, BaseModel) else json.dumps(body, ensure_ascii=False)
    return Response(text, status, headers, mimetype="application/json")


def read_query(model: type[Model]) -> Model:
    given = request.args.to_dict()
    repeated = [Fault(f"/{name}", "field_repeated", {}) for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise invalid(repeated)
    return validated(model, given)


def read_body(model: type[Model]) -> Model:
    if request.mimetype != "application/json":
        raise Malformed("json_expected")
    request.max_content_length = MAX_BODY
    return validated(model, parse_json(request.get_data(cache=False)))


def parse_json(raw: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN, no depth that breaks a parser."""
    try:
        return json.loads(raw.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Malformed("json_unreadable", reason="UTF-8") from None
    except RecursionError:
        raise Malformed("json_unreadable", reason="depth") from None
    except json.JSONDecodeError as error:
        raise Malformed("json_unreadable", reason=f"{error.lineno}:{error.colno}") from None
    except ValueError as error:
        raise Malformed("json_unreadable", reason=str(error)[:100]) from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!a} ×2")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def validated(model: type[Model], given: Any) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid([_fault(detail) for detail in error.errors(include_url=False)]) from None


def invalid(faults: list[Fault]) -> InvalidInput:
    """A single fault that has a sentence of its own speaks for the whole; else the places are named."""
    if len(faults) == 1 and not faults[0].code.startswith("field_"):
        return InvalidInput(faults[0].code, faults=faults, **faults[0].params)
    return InvalidInput("invalid_input", faults=faults, where=", ".join(fault.loc for fault in faults[:5]))


_RANGE = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}
_RANGE_KEYS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}
_LENGTH = {"too_long": "≤", "string_too_long": "≤", "too_short": "≥", "string_too_short": "≥"}


def _fault(detail: ErrorDetails) -> Fault:
    """One of pydantic's errors as one of ours."""
    kind, context = detail["type"], detail.get("ctx", {})
    loc = "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in detail["loc"])
    if kind in ("missing", "extra_forbidden"):
        return Fault(loc, "field_missing" if kind == "missing" else "field_unknown", {})
    if kind in _RANGE:
        return Fault(loc, "field_range", {"expected": f"{_RANGE[kind]} {context[_RANGE_KEYS[kind]]}"})
    if kind in _LENGTH:
        bound = context.get("max_length", context.get("min_length"))
        return Fault(loc, "field_length", {"expected": f"{_LENGTH[kind]} {bound}"})
    if kind in ("literal_error", "enum"):
        return Fault(loc, "field_choice", {"expected": str(context.get("expected", ""))})
    if kind in ("string_pattern_mismatch", "value_error"):
        return Fault(loc, "field_format", {})
    if kind == "string_unicode":
        return Fault(loc, "field_text", {})
    if kind.endswith("_type") or kind.startswith("int_"):
        return Fault(loc, "field_type", {"expected": kind.split("_")[0]})
    if "fault" in context:
        return Fault(loc, kind, {})
    return Fault(loc, "field_invalid", {})
