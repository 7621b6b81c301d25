"""Events around objects, and how a test hands one in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from billing_db import Connection, atomic, execute
from turf_saas import stripe_inbox
from turf_saas.settings import Settings
from turf_saas.stripe_inbox import Received
from turf_saas.values import UserId

Shape = Literal["acacia", "endive"]
Payload = dict[str, Any]
SHAPES: tuple[Shape, ...] = ("acacia", "endive")
VERSIONS: dict[Shape, str] = {"acacia": "2024-12-18.acacia", "endive": "2026-10-28.endive"}
CUSTOMER = "cus_Alice"
AT = int(datetime(2026, 5, 20, 9, 0, tzinfo=UTC).timestamp())  # when it happened: an hour before the tests' now
MAY = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp())
JUNE = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
_numbers = count(1)


def seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def event(kind: str, about: Payload, *, at: int = AT, shape: Shape = "endive", **changed: Any) -> Payload:
    """Something that has happened. at: Stripe's second of it. id=: as one that came before; previous= what it was."""
    previous = changed.pop("previous", None)
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": VERSIONS[shape],
        "created": at,
        "data": {"object": about, **({"previous_attributes": previous} if previous is not None else {})},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **changed,
    }


def tell(db: Connection, now: datetime, settings: Settings, payload: Payload) -> Received:
    """What becomes of it, as if it had come with a good signature."""
    return stripe_inbox.receive(db, now, settings, stripe_inbox.event_of(payload), json.dumps(payload))


def tell_all(db: Connection, now: datetime, settings: Settings, payloads: Iterable[Payload]) -> list[str]:
    """The results, one after the other."""
    return [tell(db, now, settings, payload).result for payload in payloads]


def is_customer(db: Connection, user_id: UserId, stripe_id: str | None = CUSTOMER, tenant_id: int = 1) -> None:
    """The user is this customer of Stripe's, by our own record."""
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_accounts (user_id, tenant_id, stripe_customer_id) VALUES (:user, :tenant, :stripe)
               ON CONFLICT (user_id) DO UPDATE SET stripe_customer_id = excluded.stripe_customer_id""",
            user=user_id,
            tenant=tenant_id,
            stripe=stripe_id,
        )
