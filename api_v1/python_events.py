"""A usage event as the host's own code reports it: held to the same rules as one that comes over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api_v1.schemas_usage import UsageEventIn, canonical
from api_v1.wire import refuse_unstorable, validated
from turf_saas.usage import NewEvent
from turf_saas.users import User


def read_event(user: User, **given: Any) -> NewEvent:
    """The user's event, or InvalidInput that names every fault. What is None was not given."""
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(given.get("at"), datetime):
        given["at"] = given["at"].isoformat()  # without a zone it is refused, as such a text is
    if isinstance(given.get("metadata"), Mapping):
        given["metadata"] = dict(given["metadata"])
    event = validated(UsageEventIn, given)
    refuse_unstorable(given)
    return NewEvent(
        user.id,
        user.tenant_id,
        event.metric,
        event.quantity,
        event.at,
        event.idempotency_key,
        canonical(event.metadata),
    )
