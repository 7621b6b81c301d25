"""What is done again and again, and how often. Each selects by what is due: a run that was missed loses nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_all
from turf_saas import jobs
from turf_saas.values import instant_text


class Periodic(NamedTuple):
    """A job of this name is enqueued whenever so much time has passed."""

    name: str
    every: timedelta
    summary: str


SCHEDULE = (
    # Who has not paid is unpaid before his next period would begin: these two come first.
    Periodic("billing.mark_overdue", timedelta(hours=1), "invoices that are not paid in time"),
    Periodic("billing.dun", timedelta(hours=1), "subscriptions of those who do not pay"),
    Periodic("billing.roll_over", timedelta(minutes=5), "periods, trials, scheduled changes and ends that are due"),
    Periodic("billing.issue_invoices", timedelta(hours=1), "months that are over and not invoiced"),
    Periodic("billing.expire_reservations", timedelta(minutes=5), "quantities that were held and not settled"),
    Periodic("billing.check_usage", timedelta(days=1), "whether what is counted is what was used"),
    Periodic("billing.purge", timedelta(days=1), "answers kept for a day, failed logins"),
)


class Standing(NamedTuple):
    """When a periodic work was begun last, by which job, and when it is next."""

    name: str
    every: timedelta
    summary: str
    begun_at: str | None
    next_at: str | None
    job_id: int | None


def enqueue_due(db: Connection, now: datetime) -> int:
    """How many were enqueued. Of several workers one is first; a clock that went back does not stop anything."""
    many = 0
    for periodic in SCHEDULE:
        with atomic(db):
            execute(
                db,
                """INSERT INTO billing_schedule (name, next_at) VALUES (:name, :now) ON CONFLICT DO NOTHING""",
                name=periodic.name,
                now=instant_text(now),
            )
            turned = execute(
                db,
                """UPDATE billing_schedule SET next_at = :next_at, begun_at = :now
                    WHERE name = :name AND (next_at <= :now OR next_at > :latest)""",
                name=periodic.name,
                now=instant_text(now),
                next_at=instant_text(now + periodic.every),
                latest=instant_text(now + periodic.every),
            )
            if turned:
                job_id = jobs.enqueue(db, now, periodic.name, {})
                execute(
                    db,
                    "UPDATE billing_schedule SET job_id = :job_id WHERE name = :name",
                    job_id=job_id,
                    name=periodic.name,
                )
                many += 1
    return many


def list_schedule(db: Connection) -> list[Standing]:
    """In the order of the table above."""
    rows = {row["name"]: row for row in fetch_all(db, "SELECT name, next_at, begun_at, job_id FROM billing_schedule")}
    return [
        Standing(*periodic, *((row["begun_at"], row["next_at"], row["job_id"]) if row else (None, None, None)))
        for periodic in SCHEDULE
        for row in [rows.get(periodic.name)]
    ]
