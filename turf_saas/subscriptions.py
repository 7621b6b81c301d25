"""Who is on which plan, now and at an instant of the past."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, fetch_all
from turf_saas.values import UserId, instant_text

LIVE = ("trialing", "active", "past_due", "unpaid")

# Of a row of saas_subscriptions, at :now. An unpaid one gives nothing.
GIVES_ITS_PLAN = "status IN ('trialing', 'active', 'past_due') AND COALESCE(effective_at, '') <= :now"


def find_plan_before(db: Connection, user_id: UserId, instant: datetime) -> str | None:
    """The plan that was in force just before an instant, as the history tells it, or None.

    A user has one subscription at a time: who begins one has left the one before, though nobody may have said so.
    """
    rows = fetch_all(
        db,
        """SELECT subject_id, plan, status FROM billing_status_history
            WHERE user_id = :user_id AND subject = 'subscription' AND at < :instant
            ORDER BY at, id""",
        user_id=user_id,
        instant=instant_text(instant),
    )
    current: tuple[int, str | None] | None = None
    for row in rows:
        if row["status"] in ("trialing", "active", "past_due"):
            current = (row["subject_id"], row["plan"])
        elif current is not None and current[0] == row["subject_id"]:
            current = None
    return current[1] if current else None
