"""Holds the parameters of a request against the types that the SDK itself declares for it.

The SDK ships a TypedDict for every request (`stripe.params.InvoiceCreateParams`): which parameters there are, which of
them must be given, and of what type they are. So the fake refuses what Stripe refuses, and its schema is never stale.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
import typing
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import typing_extensions

from api_v1.stripe_fake.errors import Refused

UNIONS = (typing.Union, types.UnionType)
LITERALS = (typing.Literal, typing_extensions.Literal)
MAX_STRING = 5_000
MAX_METADATA = (50, 40, 500)  # keys, characters of a key, characters of a value


@lru_cache(maxsize=1024)
def schema_of(name: str) -> type:
    """`checkout.SessionCreateParams` as the SDK declares it."""
    module, _, kind = name.rpartition(".")
    found: type = getattr(importlib.import_module("stripe.params" + (f".{module}" if module else "")), kind)
    return found


@lru_cache(maxsize=4096)
def _fields(schema: type) -> tuple[dict[str, Any], frozenset[str]]:
    """Types by name, and which must be given; without the options of a request, which are no parameters."""
    from stripe import RequestOptions

    declared = schema.__annotations__
    own = {name: kind for name, kind in declared.items() if name not in RequestOptions.__annotations__}
    holder = types.SimpleNamespace(__annotations__=own)
    hints = typing_extensions.get_type_hints(holder, globalns=vars(sys.modules[schema.__module__]))
    return hints, frozenset(schema.__required_keys__ & own.keys())  # type: ignore[attr-defined]  # a TypedDict


def checked(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters in their own types, or Refused as Stripe does."""
    return _object(schema_of(name), given, "")


def _object(schema: type, given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refused(f"Invalid object: {given}", param=path)
    fields, required = _fields(schema)
    for key in given:
        if key not in fields:
            where = _inside(path, key)
            raise Refused(f"Received unknown parameter: {where}", code="parameter_unknown", param=where)
    for key in sorted(required):
        if key not in given:
            where = _inside(path, key)
            raise Refused(f"Missing required param: {where}.", code="parameter_missing", param=where)
    return {key: _value(fields[key], value, _inside(path, key)) for key, value in given.items()}


def _inside(path: str, key: str) -> str:
    return f"{path}[{key}]" if path else key


def _value(kind: Any, given: Any, path: str) -> Any:
    origin = typing_extensions.get_origin(kind)
    if origin in UNIONS:
        return _union(typing_extensions.get_args(kind), given, path)
    if origin in LITERALS:
        return _literal(typing_extensions.get_args(kind), given, path)
    if origin in (list, typing.List):  # noqa: UP006  the SDK's own spelling
        return _list(typing_extensions.get_args(kind)[0], given, path)
    if origin is dict:
        return _mapping(typing_extensions.get_args(kind)[1], given, path)
    if isinstance(kind, type) and typing_extensions.is_typeddict(kind):
        return _object(kind, given, path)
    return _plain(kind, given, path)


def _union(kinds: tuple[Any, ...], given: Any, path: str) -> Any:
    """The only member that fits. `Literal['a', 'b']|str` takes a and b: Stripe knows its own words."""
    words = [kind for kind in kinds if typing_extensions.get_origin(kind) in LITERALS]
    texts = {word for kind in words for word in typing_extensions.get_args(kind)}
    others = [kind for kind in kinds if kind not in words and getattr(kind, "__origin__", kind) is not _untyped()]
    if isinstance(given, str) and given in texts:
        return given
    if isinstance(given, dict):
        others = [kind for kind in others if _is_nested(kind)] or others
    else:
        others = [kind for kind in others if not _is_nested(kind)] or others
    refusal: Refused | None = None
    if str in others and texts - {""}:
        others = [kind for kind in others if kind is not str]
        refusal = _literal_refusal(tuple(texts), given, path)
    for kind in others:
        try:
            return _value(kind, given, path)
        except Refused as refused:
            refusal = refusal or refused
    raise refusal or _literal_refusal(tuple(texts), given, path)


def _is_nested(kind: Any) -> bool:
    return typing_extensions.get_origin(kind) in (list, dict) or typing_extensions.is_typeddict(kind)


@lru_cache(maxsize=1)
def _untyped() -> Any:
    from stripe._stripe_object import UntypedStripeObject

    return UntypedStripeObject


def _literal(words: tuple[Any, ...], given: Any, path: str) -> Any:
    if given in words:
        return given
    spelt = {str(word).lower(): word for word in words if not isinstance(word, str)}
    if isinstance(given, str) and given in spelt:  # Literal[True]
        return spelt[given]
    raise _literal_refusal(words, given, path)


def _literal_refusal(words: tuple[Any, ...], given: Any, path: str) -> Refused:
    name = path.rsplit("[", 1)[-1].rstrip("]")
    allowed = sorted(str(word) for word in words if word != "")
    listed = " or ".join([", ".join(allowed[:-1]), allowed[-1]] if len(allowed) > 1 else allowed)
    return Refused(f"Invalid {name}: must be one of {listed}, not {given!r}", param=path)


def _list(kind: Any, given: Any, path: str) -> list[Any]:
    if not isinstance(given, dict) or not all(key.isdigit() for key in given):
        raise Refused("Invalid array", param=path)
    indices = sorted(given, key=int)
    return [_value(kind, given[index], f"{path}[{index}]") for index in indices]


def _mapping(kind: Any, given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Refused(f"Invalid object: {given}", param=path)
    keys, key_length, value_length = MAX_METADATA
    if path.endswith(("metadata", "metadata]")):
        if len(given) > keys:
            raise Refused(f"Metadata can have at most {keys} keys", param=path)
        for key, value in given.items():
            if len(key) > key_length or (isinstance(value, str) and len(value) > value_length):
                raise Refused(f"Invalid metadata: {key[:key_length]} is too long", param=_inside(path, key))
    return {
        key: "" if value == "" and kind is str else _value(kind, value, _inside(path, key))
        for key, value in given.items()
    }


def _plain(kind: Any, given: Any, path: str) -> Any:
    if not isinstance(given, str):
        noun = {int: "integer", bool: "boolean", str: "string", Decimal: "decimal", float: "decimal"}.get(kind, "value")
        code = "parameter_invalid_integer" if kind is int else None
        raise Refused(f"Invalid {noun}: {given}", code=code, param=path)
    if given == "":
        message = f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter"
        message += f"; however '{path}' cannot be unset. You should remove '{path}' from your request or supply a value"
        raise Refused(message, code="parameter_invalid_empty", param=path)
    if kind is int:
        if not re.fullmatch(r"-?[0-9]{1,18}", given):
            raise Refused(f"Invalid integer: {given}", code="parameter_invalid_integer", param=path)
        return int(given)
    if kind is bool:
        if given not in {"true", "false"}:
            raise Refused(f"Invalid boolean: {given}", param=path)
        return given == "true"
    if kind in {Decimal, float}:
        return _decimal(given, path)
    if len(given) > MAX_STRING:
        raise Refused(f"Invalid string: {given[:20]}…; must be at most {MAX_STRING} characters", param=path)
    return given


def _decimal(given: str, path: str) -> Decimal:
    try:
        number = Decimal(given)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or -int(number.as_tuple().exponent) > 12:
        raise Refused(f"Invalid decimal: {given}; at most 12 decimal places", param=path)
    return number
