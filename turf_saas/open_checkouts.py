"""A checkout that is under way while its user begins to pay here: nobody shall pay for two subscriptions.

Its page is closed by a job, for what begins here waits for no network.
"""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, execute, fetch_one
from turf_saas import jobs
from turf_saas.errors import Conflict
from turf_saas.values import UserId, instant_text

CLOSE_JOB = "billing.close_checkout"


def leave(db: Connection, now: datetime, user_id: UserId) -> None:
    """Nobody goes on with it. Conflict where the user has finished it, and his bank takes days to pay.

    One that Stripe has no page for yet is closed by whoever opens that.
    """
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
