"""Who is on which plan, now and at an instant of the past."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, fetch_one
from turf_saas.values import UserId, instant_text

LIVE = ("trialing", "active", "past_due", "unpaid")

# Of a row that has a status. An unpaid one gives nothing.
_GIVING = "status IN ('trialing', 'active', 'past_due')"
# Of a row of saas_subscriptions, at :now.
GIVES_ITS_PLAN = f"{_GIVING} AND COALESCE(effective_at, '') <= :now"


def find_plan_before(db: Connection, user_id: UserId, instant: datetime) -> str | None:
    """The plan that was in force just before an instant, as the history tells it, or None.

    Of what the history says of that time, the last word counts. A user has one subscription at a time: who begins one
    has left the one before, though nobody may have said so.
    """
    row = fetch_one(
        db,
        f"""SELECT plan
              FROM (SELECT id, subject_id, plan FROM billing_status_history
                     WHERE user_id = :user_id AND subject = 'subscription' AND at < :instant AND {_GIVING}
                     ORDER BY id DESC LIMIT 1) AS begun
             WHERE NOT EXISTS (SELECT 1 FROM billing_status_history AS ended
                                WHERE ended.user_id = :user_id AND ended.subject = 'subscription'
                                  AND ended.id > begun.id AND ended.subject_id = begun.subject_id
                                  AND ended.at < :instant)""",  # noqa: S608  a constant
        user_id=user_id,
        instant=instant_text(instant),
    )
    return row["plan"] if row else None
