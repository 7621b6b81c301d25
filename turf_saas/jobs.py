"""Work that is stored: enqueued in the transaction of what it is about, claimed by one worker, done once, never lost.

A claim is a lease. Whoever finishes a job must hold its lease still, in the same transaction as what the job did; a
worker that was killed leaves a lease that ends, and another one begins anew.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from billing_db import Connection, Row, atomic, engine, execute, execute_many, fetch_all, fetch_one
from turf_saas.errors import BillingError, Conflict, NotFound
from turf_saas.values import compact_json, instant_text

State = Literal["available", "executing", "retryable", "completed", "dead"]
STATES: tuple[State, ...] = ("available", "executing", "retryable", "completed", "dead")
LEASE = timedelta(minutes=5)
SKEW = timedelta(minutes=5)  # how far the clocks of two machines may be apart
MAX_ATTEMPTS = 12
PATIENT = 350  # attempts of what asks another service: that may be away for a week
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=1)
MAX_ERROR = 2_000
KEPT = timedelta(days=30)  # of what is done again and again


class LeaseLost(BillingError):
    """Somebody else has the job now: what was done for it is taken back."""


@dataclass(frozen=True)
class Job:
    """A job as it stands. `payload` is what its kind of work needs to know; a text where that cannot be read."""

    id: int
    tenant_id: int
    name: str
    payload: Mapping[str, Any] | str
    state: State
    run_at: str
    attempts: int
    max_attempts: int
    lease_token: str | None
    dedupe_key: str | None
    last_error: str | None
    created_at: str
    claimed_at: str | None
    finished_at: str | None


_COLUMNS = """id, tenant_id, name, payload, state, run_at, attempts, max_attempts, lease_token, dedupe_key, last_error,
              created_at, claimed_at, finished_at"""


def enqueue(
    db: Connection,
    now: datetime,
    name: str,
    payload: Mapping[str, Any],
    *,
    tenant_id: int = 1,
    run_at: datetime | None = None,
    dedupe_key: str | None = None,
    max_attempts: int = MAX_ATTEMPTS,
) -> int | None:
    """The new job's id, in the caller's transaction; None where a job of this name and dedupe key is there already."""
    with atomic(db):
        row = fetch_one(
            db,
            """INSERT INTO billing_jobs (tenant_id, name, payload, run_at, dedupe_key, max_attempts, created_at)
               VALUES (:tenant_id, :name, :payload, :run_at, :dedupe_key, :max_attempts, :now)
               ON CONFLICT DO NOTHING RETURNING id""",
            tenant_id=tenant_id,
            name=name,
            payload=compact_json(dict(payload)),
            run_at=instant_text(run_at or now),
            dedupe_key=dedupe_key,
            max_attempts=max_attempts,
            now=instant_text(now),
        )
    return int(row["id"]) if row else None


def enqueue_many(
    db: Connection,
    now: datetime,
    name: str,
    payloads: Mapping[str, Mapping[str, Any]],
    *,
    tenant_id: int = 1,
    max_attempts: int = MAX_ATTEMPTS,
) -> None:
    """The same of many, by their dedupe keys; those that are there already stay as they are."""
    rows = [
        {
            "tenant_id": tenant_id,
            "name": name,
            "payload": compact_json(dict(payload)),
            "dedupe_key": key,
            "max_attempts": max_attempts,
            "now": instant_text(now),
        }
        for key, payload in payloads.items()
    ]
    with atomic(db):
        execute_many(
            db,
            """INSERT INTO billing_jobs (tenant_id, name, payload, run_at, dedupe_key, max_attempts, created_at)
               VALUES (:tenant_id, :name, :payload, :now, :dedupe_key, :max_attempts, :now) ON CONFLICT DO NOTHING""",
            rows,
        )


def claim(db: Connection, now: datetime, *, most: int = 1) -> list[Job]:
    """Jobs that are due, for this worker alone until their leases end; the longest due first, and so they are done."""
    skip = "FOR UPDATE SKIP LOCKED" if engine(db) == "postgresql" else ""
    with atomic(db):
        rows = fetch_all(
            db,
            f"""WITH due AS MATERIALIZED (SELECT id FROM billing_jobs
                                           WHERE state IN ('available', 'retryable') AND run_at <= :now
                                           ORDER BY run_at, id LIMIT :most {skip})
                UPDATE billing_jobs
                   SET state = 'executing', attempts = attempts + 1, claimed_at = :now, lease_token = :token,
                       lease_until = :until
                 WHERE id IN (SELECT id FROM due) AND state IN ('available', 'retryable')
             RETURNING {_COLUMNS}""",  # noqa: S608  constants
            now=instant_text(now),
            token=secrets.token_hex(16),
            until=instant_text(now + LEASE),
            most=most,
        )
    return sorted(map(_job, rows), key=lambda job: (job.run_at, job.id))


def finish(db: Connection, now: datetime, job: Job) -> None:
    """It is done, in the transaction of what it did. LeaseLost where another worker has it: that is taken back."""
    with atomic(db):
        finished = execute(
            db,
            """UPDATE billing_jobs
                  SET state = 'completed', lease_token = NULL, lease_until = NULL, finished_at = :now
                WHERE id = :id AND state = 'executing' AND lease_token = :token""",
            now=instant_text(now),
            id=job.id,
            token=job.lease_token,
        )
        if not finished:
            raise LeaseLost("lease_lost", job=job.id)


def fail(db: Connection, now: datetime, job: Job, error: str, *, park: bool = False) -> State | None:
    """It is tried again later, or parked after its last attempt (park: at once). None where another worker has it."""
    state: State = "dead" if park or job.attempts >= job.max_attempts else "retryable"
    with atomic(db):
        failed = execute(
            db,
            """UPDATE billing_jobs
                  SET state = :state, lease_token = NULL, lease_until = NULL, last_error = :error, run_at = :run_at,
                      finished_at = :finished_at
                WHERE id = :id AND state = 'executing' AND lease_token = :token""",
            state=state,
            error=_storable(error),
            run_at=instant_text(now + wait_after(job.attempts)),
            finished_at=instant_text(now) if state == "dead" else None,
            id=job.id,
            token=job.lease_token,
        )
    return state if failed else None


def _storable(error: str) -> str:
    """As much of it as a row takes: a message may hold anything."""
    return error[:MAX_ERROR].replace("\0", "?").encode(errors="replace").decode()


def put_off(db: Connection, job: Job, until: datetime | None = None) -> None:
    """It waits as if it had not been claimed: what was not begun, or whose time has not come (until)."""
    with atomic(db):
        execute(
            db,
            f"""UPDATE billing_jobs SET {_UNCLAIMED}, run_at = :run_at
                 WHERE id = :id AND state = 'executing' AND lease_token = :token""",  # noqa: S608  a constant
            id=job.id,
            token=job.lease_token,
            run_at=job.run_at if until is None else instant_text(until),
        )


_UNCLAIMED = """state = CASE WHEN attempts > 1 THEN 'retryable' ELSE 'available' END, attempts = attempts - 1,
                lease_token = NULL, lease_until = NULL"""


def renew(db: Connection, now: datetime, job: Job) -> None:
    """Its lease, and those of what was claimed with it, begin anew. LeaseLost where another worker has it."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_jobs SET lease_until = :until WHERE state = 'executing' AND lease_token = :token""",
            token=job.lease_token,
            until=instant_text(now + LEASE),
        )
        held = fetch_one(
            db,
            "SELECT 1 AS one FROM billing_jobs WHERE id = :id AND state = 'executing' AND lease_token = :token",
            id=job.id,
            token=job.lease_token,
        )
        if held is None:
            raise LeaseLost("lease_lost", job=job.id)


def hasten(db: Connection, now: datetime, job_id: int) -> bool:
    """Whether the job is not done yet. One that waits is due now."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_jobs SET run_at = :now
                WHERE id = :id AND state IN ('available', 'retryable') AND run_at > :now""",
            now=instant_text(now),
            id=job_id,
        )
        row = fetch_one(db, "SELECT state FROM billing_jobs WHERE id = :id", id=job_id)
    return row is not None and row["state"] in ("available", "retryable", "executing")


def wait_after(attempts: int) -> timedelta:
    """How long after so many attempts: twice as long each time, up to an hour, and never for all jobs at once."""
    longest = min(LONGEST_WAIT.total_seconds(), FIRST_WAIT.total_seconds() * 2.0 ** min(attempts - 1, 20))
    return timedelta(seconds=longest * (0.5 + secrets.randbelow(501) / 1000))


def free_leases(db: Connection, now: datetime) -> int:
    """Jobs whose worker is gone may be claimed again, or are parked; how many.

    The first that it had was under way, and has lost an attempt by it; the others were not begun. A clock may have been
    ahead and have gone back: no lease and no wait is longer than it can be by this one.
    """
    given = {"now": instant_text(now), "latest": instant_text(now + LEASE + SKEW)}
    with atomic(db):
        freed = execute(
            db,
            f"""UPDATE billing_jobs SET {_UNCLAIMED}
                 WHERE {_LOST} AND EXISTS (
                       SELECT 1 FROM billing_jobs AS first
                        WHERE first.lease_token = billing_jobs.lease_token AND first.state = 'executing'
                          AND (first.run_at, first.id) < (billing_jobs.run_at, billing_jobs.id))""",  # noqa: S608
            **given,
        )
        for state, condition in (("dead", "attempts >= max_attempts"), ("retryable", "attempts < max_attempts")):
            freed += execute(
                db,
                f"""UPDATE billing_jobs
                       SET state = :state, lease_token = NULL, lease_until = NULL, run_at = :now,
                           last_error = COALESCE(last_error, 'the worker was lost'),
                           finished_at = CASE WHEN :state = 'dead' THEN :now END
                     WHERE {_LOST} AND {condition}""",  # noqa: S608
                state=state,
                **given,
            )
        _bring_back(db, now)
    return freed


_LOST = "state = 'executing' AND (lease_until <= :now OR lease_until > :latest)"


def _bring_back(db: Connection, now: datetime) -> None:
    """What was to be done at once when a clock was ahead is due, and so is what was to be tried again soon."""
    execute(
        db,
        """UPDATE billing_jobs SET run_at = :now, created_at = :now
            WHERE state = 'available' AND run_at = created_at AND created_at > :latest""",
        now=instant_text(now),
        latest=instant_text(now + SKEW),
    )
    execute(
        db,
        "UPDATE billing_jobs SET run_at = :now WHERE state = 'retryable' AND run_at > :latest",
        now=instant_text(now),
        latest=instant_text(now + 2 * LONGEST_WAIT),
    )


def retry(db: Connection, now: datetime, job_id: int) -> Job:
    """A parked or waiting job is due now, with all of its attempts. Conflict while it runs, or when it is done."""
    with atomic(db):
        row = fetch_one(
            db,
            f"""UPDATE billing_jobs SET state = 'available', attempts = 0, run_at = :now, finished_at = NULL
                 WHERE id = :id AND state IN ('dead', 'retryable', 'available') RETURNING {_COLUMNS}""",  # noqa: S608
            now=instant_text(now),
            id=job_id,
        )
    if row is None:
        raise Conflict("job_not_waiting", job=job_id, state=get_job(db, job_id).state)
    return _job(row)


def get_job(db: Connection, job_id: int) -> Job:
    row = fetch_one(db, f"SELECT {_COLUMNS} FROM billing_jobs WHERE id = :id", id=job_id)  # noqa: S608
    if row is None:
        raise NotFound("job_not_found")
    return _job(row)


def forget_done(db: Connection, now: datetime, names: Sequence[str]) -> int:
    """Jobs of these names that were done long ago are gone; how many. The last one of each schedule stays."""
    forgotten = 0
    with atomic(db):
        for name in names:
            forgotten += execute(
                db,
                """DELETE FROM billing_jobs
                    WHERE state = 'completed' AND name = :name AND finished_at <= :before
                      AND NOT EXISTS (SELECT 1 FROM billing_schedule AS s WHERE s.job_id = billing_jobs.id)""",
                name=name,
                before=instant_text(now - KEPT),
            )
    return forgotten


def list_jobs(db: Connection, *, state: str | None = None, name: str | None = None, limit: int = 50) -> list[Job]:
    """The newest first."""
    given = {key: value for key, value in (("state", state), ("name", name)) if value is not None}
    conditions = " AND ".join(["1 = 1", *(f"{key} = :{key}" for key in given)])
    rows = fetch_all(
        db,
        f"SELECT {_COLUMNS} FROM billing_jobs WHERE {conditions} ORDER BY id DESC LIMIT :limit",  # noqa: S608
        limit=limit,
        **given,
    )
    return list(map(_job, rows))


def count_by_state(db: Connection) -> dict[str, int]:
    rows = fetch_all(db, "SELECT state, COUNT(*) AS many FROM billing_jobs GROUP BY state")
    return dict.fromkeys(STATES, 0) | {row["state"]: int(row["many"]) for row in rows}


def _job(row: Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    return Job(**{**values, "payload": _payload(row["payload"])})


def _payload(text: str) -> Mapping[str, Any] | str:
    """Of one that another program has written badly, its text: no other job waits for it."""
    try:
        payload = json.loads(text)
    except ValueError:
        return text
    return payload if isinstance(payload, dict) else text
