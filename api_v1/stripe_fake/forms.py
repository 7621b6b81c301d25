"""Stripe's form encoding: `items[0][price]=price_1` as nested dictionaries."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from api_v1.stripe_fake.errors import Refused

MAX_FIELDS = 5_000
MAX_DEPTH = 12


def decode(text: str) -> dict[str, Any]:
    """Every value is still a text, and a list a dictionary of its indices: only a schema knows better."""
    decoded: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise Refused(f"Invalid request: {error}") from None
    for name, value in pairs:
        _put(decoded, name, value)
    return decoded


def content(text: str) -> str:
    """What a request says, in whatever order it says it."""
    try:
        return json.dumps(decode(text), sort_keys=True)
    except Refused:
        return text


def _put(decoded: dict[str, Any], name: str, value: str) -> None:
    keys = [name.split("[", 1)[0], *re.findall(r"\[([^\]]*)\]", name)]
    if len(keys) > MAX_DEPTH:
        raise Refused("Invalid request: too deeply nested", param=keys[0])
    place = decoded
    for key in keys[:-1]:
        place = place.setdefault(key or str(len(place)), {})
        if not isinstance(place, dict):
            raise Refused(f"Invalid object: {name}", param=keys[0])
    last = keys[-1] or str(len(place))
    place[last] = value
