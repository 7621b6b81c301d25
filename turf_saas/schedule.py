"""What is done again and again, and how often. Each selects by what is due: a run that was missed loses nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from turf_saas import jobs
from turf_saas.jobs import SKEW
from turf_saas.values import instant_text as _at


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
    Periodic("billing.collect", timedelta(hours=1), "invoices to be tried again, and those not sent yet"),
    Periodic("billing.expire_reservations", timedelta(minutes=5), "quantities that were held and not settled"),
    Periodic("billing.check_usage", timedelta(days=1), "whether what is counted is what was used"),
    Periodic(
        "billing.purge",
        timedelta(days=1),
        "answers kept for a day, failed logins, old periodic jobs, old events' bodies",
    ),
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
    """How many were enqueued, all of them at once. Of several workers one is first.

    One that is not done yet is made due instead, so that of each there is one. A clock that went back stops nothing.
    """
    next_at = {row["name"]: row["next_at"] for row in fetch_all(db, "SELECT name, next_at FROM billing_schedule")}
    due = [one for one in SCHEDULE if not _at(now) < next_at.get(one.name, "") <= _at(now + one.every + SKEW)]
    if not due:
        return 0
    with atomic(db):
        return sum(_turn(db, now, one) for one in due)


def _turn(db: Connection, now: datetime, periodic: Periodic) -> bool:
    """Whether a job was enqueued."""
    execute(
        db,
        "INSERT INTO billing_schedule (name, next_at) VALUES (:name, :now) ON CONFLICT DO NOTHING",
        name=periodic.name,
        now=_at(now),
    )
    turned = fetch_one(
        db,
        """UPDATE billing_schedule SET next_at = :next_at, begun_at = :now
            WHERE name = :name AND (next_at <= :now OR next_at > :latest) RETURNING job_id""",
        name=periodic.name,
        now=_at(now),
        next_at=_at(now + periodic.every),
        latest=_at(now + periodic.every + SKEW),
    )
    if turned is None or (turned["job_id"] is not None and jobs.hasten(db, now, turned["job_id"])):
        return False
    execute(
        db,
        "UPDATE billing_schedule SET job_id = :job_id WHERE name = :name",
        job_id=jobs.enqueue(db, now, periodic.name, {}),
        name=periodic.name,
    )
    return True


def forget_done(db: Connection, now: datetime) -> int:
    """What was done again and again, and long ago, is forgotten; how many jobs."""
    return jobs.forget_done(db, now, [periodic.name for periodic in SCHEDULE])


def list_schedule(db: Connection) -> list[Standing]:
    """In the order of the table above."""
    rows = {row["name"]: row for row in fetch_all(db, "SELECT name, next_at, begun_at, job_id FROM billing_schedule")}
    return [
        Standing(*periodic, *((row["begun_at"], row["next_at"], row["job_id"]) if row else (None, None, None)))
        for periodic in SCHEDULE
        for row in [rows.get(periodic.name)]
    ]
