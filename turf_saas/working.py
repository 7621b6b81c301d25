"""The worker: what is due is enqueued by the schedule, claimed, done by what its name stands for, and finished.

There are two kinds of work. Most is done in the job's own transaction: the effect and the job's end are one commit.
What goes over all users has transactions of its own, each of which may be repeated; then the job is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from billing_db import Connection, atomic, in_transaction
from turf_saas import jobs, schedule
from turf_saas.issuing import Told, untold
from turf_saas.issuing_documents import TaxOf
from turf_saas.jobs import Job, LeaseLost
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings

logger = logging.getLogger("turf_saas.billing")

AT_ONCE = 20  # jobs claimed in one commit


@dataclass(frozen=True)
class Around:
    """What work needs to know beside its payload: the settings, and what the host has handed in."""

    settings: Settings
    tax_of: TaxOf | None = None
    told: Told = untold


class Work(NamedTuple):
    """A job that is being done: on which connection, at which instant, with what around it."""

    db: Connection
    now: datetime
    around: Around
    job: Job


@dataclass(frozen=True)
class Kind:
    """What a job's name stands for. by_itself: it has transactions of its own, each of which may be repeated."""

    do: Callable[[Work], Any]
    by_itself: bool = False


Kinds = Mapping[str, Kind]


@dataclass
class Ran:
    """What became of the jobs that were due: done, to be tried again, parked, and taken over by another worker."""

    completed: int = 0
    retryable: int = 0
    dead: int = 0
    lost: int = 0

    @property
    def many(self) -> int:
        return self.completed + self.retryable + self.dead + self.lost


def run_due(
    db: Connection,
    clock: Callable[[], datetime],
    around: Around,
    kinds: Kinds,
    *,
    most: int = 10_000,
    stop: Callable[[], bool] = bool,
) -> Ran:
    """Everything that is due, or `most` of it. clock: what time it is now, for a run may take long.

    stop: asked before each job; what was claimed and not begun is given back then.
    """
    ran = Ran()
    jobs.free_leases(db, clock())
    schedule.enqueue_due(db, clock())
    while ran.many < most and not stop():
        claimed = jobs.claim(db, clock(), most=min(AT_ONCE, most - ran.many))
        if not claimed:
            break
        for job in claimed:
            if stop():
                jobs.give_back(db, job)
            else:
                work(db, clock, around, kinds, job, ran)
    return ran


def list_due(db: Connection, now: datetime, *, most: int = 10_000) -> list[Job]:
    """What run_due would do now. Nothing stays of it."""
    with rehearsal(db, dry_run=True):
        jobs.free_leases(db, now)
        schedule.enqueue_due(db, now)
        return jobs.claim(db, now, most=most)
    raise AssertionError("a rehearsal swallows no error")


def work(db: Connection, clock: Callable[[], datetime], around: Around, kinds: Kinds, job: Job, ran: Ran) -> None:
    """One job that was claimed is done, or fails by itself: nothing of it stays then."""
    kind = kinds.get(job.name)
    if kind is None:
        _note(ran, jobs.fail(db, clock(), job, f"no job is called {job.name}", park=True))
        return
    try:
        if kind.by_itself:
            kind.do(Work(db, clock(), around, job))
            jobs.finish(db, clock(), job)
        else:
            with atomic(db):
                kind.do(Work(db, clock(), around, job))
                jobs.finish(db, clock(), job)
        ran.completed += 1
    except LeaseLost:
        ran.lost += 1
    except Exception as error:  # when not even that can be written, its lease will end
        if in_transaction(db):
            db.rollback()
        logger.exception("job %s (%s) failed", job.id, job.name)
        _note(ran, jobs.fail(db, clock(), job, f"{type(error).__name__}: {error}"))


def _note(ran: Ran, state: str | None) -> None:
    if state == "dead":
        ran.dead += 1
    elif state == "retryable":
        ran.retryable += 1
    else:
        ran.lost += 1
