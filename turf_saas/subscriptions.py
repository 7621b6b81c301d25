"""Who is on which plan, now and at an instant of the past."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, fetch_all, fetch_one
from turf_saas.values import UserId, instant_text

LIVE = ("trialing", "active", "past_due", "unpaid")


# Of a row of saas_subscriptions, at :now. An unpaid one gives nothing.
GIVES_ITS_PLAN = "status IN ('trialing', 'active', 'past_due') AND COALESCE(effective_at, '') <= :now"


def find_plan_now(db: Connection, now: datetime, user_id: UserId) -> str | None:
    """The plan that the user's subscription gives now, or None."""
    row = fetch_one(
        db,
        f"SELECT plan FROM saas_subscriptions WHERE user_id = :user_id AND {GIVES_ITS_PLAN}",  # noqa: S608  a constant
        user_id=user_id,
        now=instant_text(now),
    )
    return row["plan"] if row else None


def find_plan_before(db: Connection, user_id: UserId, instant: datetime) -> str | None:
    """The plan that was in force just before an instant, as the history tells it, or None."""
    rows = fetch_all(
        db,
        """SELECT subject_id, plan, status FROM billing_status_history
            WHERE user_id = :user_id AND subject = 'subscription' AND at < :instant
            ORDER BY at DESC, id DESC""",
        user_id=user_id,
        instant=instant_text(instant),
    )
    latest: dict[int, tuple[str | None, str]] = {}
    for row in rows:
        latest.setdefault(row["subject_id"], (row["plan"], row["status"]))
    for plan, status in latest.values():
        if status in ("trialing", "active", "past_due"):
            return plan
    return None
