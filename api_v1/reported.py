"""A usage event as the host's own code reports it: held to the same rules as one that comes over HTTP."""

from __future__ import annotations

from typing import Any

from turf_saas.usage import NewEvent


def read_event(**given: Any) -> NewEvent:
    """The event without its user, or InvalidInput that names every fault."""
    quantity = given.get("quantity") if given.get("quantity") is not None else given.get("amount")
    return NewEvent(0, 0, given["metric"], quantity, given.get("at"), given.get("idempotency_key"))  # type: ignore[arg-type]
