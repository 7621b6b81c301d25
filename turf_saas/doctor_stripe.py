"""What is wrong with what Stripe tells: nobody hears it, it cannot be applied, or it contradicts the books."""

from __future__ import annotations

from datetime import datetime, timedelta

from billing_db import Connection, fetch_all
from turf_saas.doctor_findings import Finding, listed
from turf_saas.seller import SellerIncomplete
from turf_saas.settings import DEAF_TO_STRIPE, Settings
from turf_saas.values import instant_text

LONG = timedelta(hours=1)
_SEE = "flask billing webhooks list --status {} shows them"


def examine_webhook(settings: Settings) -> Finding | None:
    """Whether Stripe is heard, where it is asked."""
    if settings.stripe_secret_key and not settings.stripe_webhook_secrets:
        return Finding("webhook", "error", DEAF_TO_STRIPE)
    if settings.stripe_webhook_secrets:
        return Finding("webhook", "ok", "A secret is set; flask billing stripe-doctor asks whether Stripe posts here.")
    return None


def examine_events(db: Connection, now: datetime) -> Finding:
    """Events that somebody has to look at: the worst kind first."""
    unbooked = _of_no_seller(db)
    if unbooked:
        said = f"Paid at Stripe and not booked, because the seller is incomplete: {unbooked}"
        how = "Set what `seller` names; what is parked is taken by flask billing webhooks replay --parked"
        return Finding("events", "error", f"{said}. {how}.")
    parked = _of(db, "failed")
    if parked:
        said = f"Events of Stripe's that cannot be applied: {parked}. {_SEE.format('failed')}"
        return Finding("events", "error", f"{said}, and flask billing webhooks replay --parked tries them once more.")
    strange = _of(db, "mismatch")
    if strange:
        said = f"Events of Stripe's that contradict the books: {strange}. {_SEE.format('mismatch')}"
        return Finding("events", "error", f"{said}; replay tries one once more, dismiss settles it.")
    waiting = _of(db, "deferred", before=now - LONG)
    if waiting:
        said = f"Events of Stripe's that wait for more than an hour: {waiting}. {_SEE.format('deferred')}"
        return Finding("events", "warning", f"{said}, with what they wait for.")
    return Finding("events", "ok", "Every event of Stripe's is settled.")


def _of_no_seller(db: Connection) -> str:
    """What could not become an invoice, for want of who sells."""
    rows = fetch_all(
        db,
        """SELECT e.event_type AS type, COUNT(*) AS rows
             FROM billing_received_events AS r JOIN billing_events AS e ON e.id = r.event_id
            WHERE r.status IN ('deferred', 'failed') AND r.note LIKE :note
            GROUP BY e.event_type ORDER BY e.event_type""",
        note=f"{SellerIncomplete.__name__}: %",
    )
    return listed(rows, "type")


def _of(db: Connection, status: str, *, before: datetime | None = None) -> str:
    rows = fetch_all(
        db,
        """SELECT e.event_type AS type, COUNT(*) AS rows
             FROM billing_received_events AS r JOIN billing_events AS e ON e.id = r.event_id
            WHERE r.status = :status AND r.received_at <= :before
            GROUP BY e.event_type ORDER BY e.event_type""",
        status=status,
        before=instant_text(before) if before is not None else "9999",
    )
    return listed(rows, "type")
