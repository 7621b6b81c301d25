"""A checkout that is under way while its user begins to pay here: nobody shall pay for two subscriptions.

Its page is closed by a job, for what begins here waits for no network.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from billing_db import Connection, execute, fetch_one
from turf_saas import jobs
from turf_saas.errors import Conflict
from turf_saas.values import UserId, instant_text

CLOSE_JOB = "billing.close_checkout"


AWAITED = timedelta(days=1)  # a subscription that was paid for: Stripe is asked for it within minutes


def refuse_awaited(db: Connection, now: datetime, user_id: UserId) -> None:
    """Conflict where the user has paid for a subscription of which Stripe has not told yet. A day later it is given up:
    what has come then contradicts the books, and somebody looks.
    """
    awaited = fetch_one(
        db,
        """SELECT 1 AS one FROM billing_checkouts AS c
            WHERE c.user_id = :user_id AND c.mode = 'subscription' AND c.status = 'complete'
              AND c.updated_at > :after
              AND NOT EXISTS (SELECT 1 FROM saas_subscriptions AS s
                               WHERE s.user_id = c.user_id AND s.billed_by = 'stripe'
                                 AND s.updated_at >= c.created_at)""",
        user_id=user_id,
        after=instant_text(now - AWAITED),
    )
    if awaited is not None:
        raise Conflict("checkout_processing")


def leave(db: Connection, now: datetime, user_id: UserId) -> None:
    """Nobody goes on with it. Conflict where the user has finished it, and his bank takes days to pay.

    One that Stripe has no page for yet is closed by whoever opens that.
    """
    refuse_awaited(db, now, user_id)
    row = fetch_one(
        db,
        """SELECT id, tenant_id, stripe_session_id, status FROM billing_checkouts
            WHERE user_id = :user_id AND status IN ('opening', 'open', 'processing')""",
        user_id=user_id,
    )
    if row is None:
        return
    if row["status"] == "processing":
        raise Conflict("checkout_processing")
    if row["stripe_session_id"] is not None:
        payload = {"session_id": row["stripe_session_id"]}
        jobs.enqueue(db, now, CLOSE_JOB, payload, tenant_id=row["tenant_id"], dedupe_key=row["stripe_session_id"])
        return
    execute(
        db,
        """UPDATE billing_checkouts SET status = 'expired', updated_at = :now
            WHERE id = :id AND status = 'opening' AND stripe_session_id IS NULL""",
        now=instant_text(now),
        id=row["id"],
    )
