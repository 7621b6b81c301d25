"""What is wrong with money that goes back: payments that a bank calls into question, and refunds that were not sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from billing_db import Connection, Row, fetch_all, fetch_one
from turf_saas.doctor_findings import Finding, broken
from turf_saas.money import from_cents
from turf_saas.stripe_disputes import Contested, list_disputes
from turf_saas.values import instant_text, plain

RECENT = timedelta(days=30)
MOST = 1_000


def examine_disputes(db: Connection) -> Finding | None:
    """Disputes that are not decided, with the day until which each has to be answered. None: there never was one."""
    if fetch_one(db, "SELECT 1 AS one FROM billing_disputes LIMIT 1") is None:
        return None
    found = broken("disputes", _contested(list_disputes(db, only_open=True, limit=MOST)), "No dispute is open.")
    if found.level == "ok":
        return found
    return Finding("disputes", "warning", f"{found.message} Answer them in Stripe; flask billing disputes lists them.")


def _contested(found: list[Contested]) -> Iterator[str]:
    for one in found:
        dispute = one.dispute
        due = f", to be answered until {dispute.evidence_due_at}" if dispute.evidence_due_at else ""
        about = f"payment {dispute.payment_id} of {one.invoice_number or 'no invoice'}"
        yield f"{from_cents(dispute.amount_cents, dispute.currency)} {dispute.currency} of {about} are disputed{due}"


def examine_refunds(db: Connection, now: datetime) -> Finding | None:
    """Refunds that failed in the last thirty days. None: none was ever sent."""
    if fetch_one(db, "SELECT 1 AS one FROM billing_refunds LIMIT 1") is None:
        return None
    rows = fetch_all(
        db,
        """SELECT id, payment_id, amount_cents, currency, failure FROM billing_refunds
            WHERE status = 'failed' AND updated_at > :since ORDER BY id DESC""",
        since=instant_text(now - RECENT),
    )
    found = broken("refunds", map(_failed, rows), "No refund has failed in the last thirty days.")
    if found.level == "ok":
        return found
    return Finding("refunds", "warning", f"Refunds that failed: {found.message} Each is the user's account credit.")


def _failed(row: Row) -> str:
    money = f"{from_cents(row['amount_cents'], row['currency'])} {row['currency']}"
    return f"{money} of payment {row['payment_id']}: {plain(row['failure'] or 'nobody knows why', 200)}"
