"""Reading what Stripe sends, by what is there: fields move between its versions, and ids may be whole objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from turf_saas.values import can_be_stored

Json = Mapping[str, Any]
APP = "turf_saas"  # what our objects say of themselves at Stripe


def sid(given: Any) -> str | None:
    """The id, of an id or of the whole object. What can stand in no row is none."""
    found = given.get("id") if isinstance(given, Mapping) else given
    return found if isinstance(found, str) and found and can_be_stored(found) else None


def dig(given: Any, *names: str) -> Any:
    """What stands there, or None wherever something on the way is missing or is no object."""
    for name in names:
        given = given.get(name) if isinstance(given, Mapping) else None
    return given


def instant(given: Any) -> datetime | None:
    """Of Stripe's seconds."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 253_402_300_800:
        return None
    return datetime.fromtimestamp(given, UTC)


def cents(given: Any) -> int | None:
    """An amount; None where there is none that could be one."""
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def currency_of(given: Json) -> str | None:
    """As it is written here: in capital letters."""
    found = given.get("currency")
    return found.upper() if isinstance(found, str) else None


def metadata_of(given: Json) -> Json:
    found = given.get("metadata")
    return found if isinstance(found, Mapping) else {}


def number_in(given: Json, name: str) -> int | None:
    """A number of ours that stands in its metadata: a hint, which our own record has to agree with."""
    found = metadata_of(given).get(name)
    if not isinstance(found, str) or not found.isascii() or not found.isdigit() or len(found) > 18:
        return None
    return int(found)


def items_of(given: Any) -> list[Json]:
    """Of a list as Stripe writes it: {"data": […]}."""
    data = dig(given, "data")
    return [one for one in data if isinstance(one, Mapping)] if isinstance(data, list) else []
