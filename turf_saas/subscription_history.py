"""What a subscription has been, a page at a time."""

from __future__ import annotations

from typing import NamedTuple

from billing_db import Connection, fetch_all
from turf_saas.subscriptions import Subscription


class Entry(NamedTuple):
    """From `at` on it was so; who brought it about, and why. noted_at: when it was written down, where we wrote it."""

    id: int
    at: str
    plan: str | None
    status: str
    actor: str | None
    reason: str | None
    noted_at: str | None


def list_history(db: Connection, subscription: Subscription, *, limit: int, before: int | None = None) -> list[Entry]:
    """What became known last stands first. before: the id of the last one that was shown."""
    older = "" if before is None else "AND id < :before"
    rows = fetch_all(
        db,
        f"""SELECT id, at, plan, status, actor, reason, noted_at FROM billing_status_history
             WHERE user_id = :user_id AND subject = 'subscription' AND subject_id = :subscription_id {older}
             ORDER BY id DESC LIMIT :limit""",  # noqa: S608  a constant
        user_id=subscription.user_id,
        subscription_id=subscription.id,
        limit=limit,
        **({} if before is None else {"before": before}),
    )
    return [Entry(*(row[name] for name in Entry._fields)) for row in rows]
