"""What time should have brought, and did not: jobs that wait, months that are not invoiced, a seller nobody knows."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from billing_db import Connection, fetch_all, fetch_one
from turf_saas import schedule
from turf_saas.doctor_findings import Finding, listed
from turf_saas.seller import missing
from turf_saas.settings import Settings
from turf_saas.values import Month, instant_text, plain

LONG = timedelta(hours=1)
GRACE = timedelta(days=3)
_NOBODY = (
    "nothing runs the jobs, or too little: flask billing run-due has to be in cron, or flask billing worker has to run"
)


# -- jobs ------------------------------------------------------------------------------------------


def examine_jobs(db: Connection, now: datetime) -> Finding:
    """Whether anybody does what is due: by what has waited for an hour."""
    late = instant_text(now - LONG)
    waiting = _find_waiting(db, late) or _find_unscheduled(db, late)
    if waiting:
        return Finding("jobs", "warning", f"{waiting}: {_NOBODY}.")
    return Finding("jobs", "ok", "Nothing that is due has waited for an hour.")


def _find_waiting(db: Connection, late: str) -> str | None:
    """The job that is due the longest, or was begun and not finished, or else the periodic work."""
    row = fetch_one(
        db,
        """SELECT id, name, since FROM (
               SELECT * FROM (SELECT id, name, run_at AS since FROM billing_jobs
                               WHERE state IN ('available', 'retryable') AND run_at <= :late
                               ORDER BY run_at, id LIMIT 1) AS due
               UNION ALL
               SELECT * FROM (SELECT id, name, lease_until AS since FROM billing_jobs
                               WHERE state = 'executing' AND lease_until <= :late
                               ORDER BY lease_until LIMIT 1) AS lost) AS waiting
            ORDER BY since, id LIMIT 1""",
        late=late,
    )
    if row is not None:
        return f"Job {row['id']} ({plain(row['name'])}) is due since {row['since']}"
    begun = [one for one in schedule.list_schedule(db) if one.next_at is not None and one.next_at <= late]
    if begun:
        first = min(begun, key=lambda one: str(one.next_at))
        return f"{first.name} is due since {first.next_at}"
    return None


def _find_unscheduled(db: Connection, late: str) -> str | None:
    """Where no job was ever run: subscriptions whose periods are over."""
    if any(one.next_at is not None for one in schedule.list_schedule(db)):
        return None
    row = fetch_one(
        db,
        """SELECT COUNT(*) AS many, MIN(COALESCE(current_period_end, effective_at)) AS since FROM saas_subscriptions
            WHERE billed_by = 'local' AND status IN ('trialing', 'active', 'past_due')
              AND COALESCE(current_period_end, effective_at) <= :late""",
        late=late,
    )
    if row is None or not row["many"]:
        return None
    return f"No job was ever run, and {row['many']} subscriptions wait to go on, the first since {plain(row['since'])}"


def examine_retrying(db: Connection, now: datetime) -> Finding:
    """Jobs that have failed more than once, and for an hour: whatever they need is away, or does not let them in."""
    rows = fetch_all(
        db,
        """SELECT name, last_error FROM billing_jobs
            WHERE state = 'retryable' AND attempts > 1 AND created_at <= :late AND last_error IS NOT NULL
            ORDER BY claimed_at DESC, id DESC""",
        late=instant_text(now - LONG),
    )
    if not rows:
        return Finding("retried_jobs", "ok", "No job has failed for an hour.")
    many = Counter(row["name"] for row in rows)
    said = listed([{"name": name, "rows": many[name]} for name in sorted(many)], "name")
    last = plain(rows[0]["last_error"], most=200)
    return Finding("retried_jobs", "warning", f"Jobs that fail for an hour, and are tried again: {said}. Last: {last}")


def examine_dead(db: Connection) -> Finding:
    rows = fetch_all(
        db, "SELECT name, COUNT(*) AS rows FROM billing_jobs WHERE state = 'dead' GROUP BY name ORDER BY name"
    )
    if not rows:
        return Finding("dead_jobs", "ok", "No job was given up.")
    said = f"Jobs that were given up: {listed(rows, 'name')}. flask billing jobs list --state dead says why"
    return Finding("dead_jobs", "warning", f"{said}, and flask billing jobs retry JOB makes one due again.")


# -- invoices --------------------------------------------------------------------------------------


def examine_seller(db: Connection, settings: Settings) -> Finding:
    names = missing(settings)
    if not names:
        return Finding("seller", "ok", "The settings say all of the seller that an invoice has to say.")
    if not _is_anything_sold(db):
        return Finding("seller", "ok", "No plan has a price, so nobody has to know the seller.")
    said = f"Plans have prices, and no invoice can be issued before these are set: {', '.join(names)}."
    return Finding("seller", "warning", said)


def examine_months(db: Connection, now: datetime, settings: Settings) -> Finding:
    """Months that were over three days ago, and have users who are not invoiced."""
    last = Month.of(now - GRACE, settings.timezone).before
    rows = fetch_all(db, _NOT_INVOICED, last=str(last)) if _is_anything_sold(db) else []
    if rows:
        said = f"Months that are over for three days, and not invoiced for so many users: {listed(rows, 'month')}."
        return Finding("months", "warning", f"{said} flask billing invoice --due does it, or says what is in the way.")
    return Finding("months", "ok", "Every month that is over for three days is invoiced.")


def _is_anything_sold(db: Connection) -> bool:
    row = fetch_one(db, "SELECT 1 AS one FROM billing_plans WHERE amount_cents > 0 OR prices <> '[]' LIMIT 1")
    return row is not None


_NOT_INVOICED = """
    SELECT month, COUNT(*) AS rows FROM (
        SELECT user_id, month FROM usage_counters WHERE used > 0 AND month <= :last
        UNION
        SELECT user_id, month FROM billing_periods WHERE invoice_id IS NULL AND fee_cents > 0 AND month <= :last
        UNION
        SELECT user_id, month FROM billing_pending_items WHERE invoice_id IS NULL AND month <= :last) AS found
     WHERE NOT EXISTS (SELECT 1 FROM billing_invoiced_months AS closed
                        WHERE closed.user_id = found.user_id AND closed.month = found.month)
     GROUP BY month ORDER BY month
"""
