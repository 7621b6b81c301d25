"""How tests let time pass: a clock that is moved by hand, and a worker that does what is due by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, execute, fetch_all
from tests.domain.issuing import SETTINGS
from turf_saas import jobs
from turf_saas.job_kinds import KINDS
from turf_saas.jobs import Job
from turf_saas.settings import Settings
from turf_saas.working import Around, Kind, Ran, Work, run_due, run_stored


class Clock:
    """What time it is for the worker."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> datetime:
        self.now += timedelta(**time)
        return self.now


def touch(work: Work) -> None:
    """A row that shows that the job was done: its reference says by which."""
    execute(
        work.db,
        """INSERT INTO billing_idempotency_keys (user_id, idempotency_key, request, content, created_at)
           VALUES (1, :key, '', '', '2026-01-01T00:00:00Z')""",
        key=f"{work.payload.get('mark')}-{len(marks(work.db))}",
    )


def marks(db: Connection) -> list[str]:
    """Which jobs have left something: a second time is another row."""
    rows = fetch_all(db, "SELECT idempotency_key AS mark FROM billing_idempotency_keys ORDER BY idempotency_key")
    return [row["mark"].rpartition("-")[0] for row in rows]


def explode(work: Work) -> None:
    touch(work)
    raise ZeroDivisionError(str(work.payload.get("why", "")))


TOUCHING = {"touch": Kind(touch), "explode": Kind(explode)}


def drain(
    db: Connection, clock: Clock, kinds: Mapping[str, Kind] = TOUCHING, settings: Settings = SETTINGS, **given: Any
) -> Ran:
    """Stored jobs alone, all that are due."""
    return run_stored(db, clock, Around(settings), kinds, **given)


def pass_time(db: Connection, now: datetime, settings: Settings = SETTINGS, **told: Any) -> Ran:
    """All that is due at an instant, as `run-due` does it: nothing fails."""
    ran = run_due(db, lambda: now, Around(settings, **told), KINDS)
    assert (ran.retryable, ran.dead, ran.lost) == (0, 0, 0), [
        job.last_error for job in jobs.list_jobs(db) if job.last_error
    ]
    return ran


def state(db: Connection, job_id: int | None) -> tuple[str, int]:
    """Its state, and how often it was tried."""
    found = get(db, job_id)
    return found.state, found.attempts


def get(db: Connection, job_id: int | None) -> Job:
    assert job_id is not None
    return jobs.get_job(db, job_id)
