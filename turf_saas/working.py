"""The worker: what is due is enqueued by the schedule, claimed, done by what its name stands for, and finished.

There are two kinds of work. Most is done in the job's own transaction: the effect and the job's end are one commit.
What goes over all users has transactions of its own, each of which may be repeated; then the job is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from billing_db import Connection, DatabaseError, atomic, in_transaction
from turf_saas import jobs, schedule
from turf_saas.issuing import Told, untold
from turf_saas.issuing_documents import TaxOf
from turf_saas.jobs import LEASE, Job, LeaseLost
from turf_saas.notices import Notice
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.subscriptions import Subscription
from turf_saas.values import parse_instant

logger = logging.getLogger("turf_saas.billing")

AT_ONCE = 20  # jobs claimed in one commit
RENEWED_AFTER = LEASE / 5
Noticed = Callable[[Sequence[Notice]], None]  # what was committed
Changed = Callable[[Subscription, Subscription], None]  # what was committed: before and after


class NotYet(Exception):
    """The time of this job has not come: it waits until then, and that is no failure."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


class Park(Exception):
    """Trying again makes no sense before somebody has looked: the job is parked."""


def unchanged(_before: Subscription, _after: Subscription) -> None:
    """Nobody is told."""


def unnoticed(_notices: Sequence[Notice]) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Around:
    """What work needs to know beside its payload: the settings, and what the host has handed in."""

    settings: Settings
    tax_of: TaxOf | None = None
    told: Told = untold
    changed: Changed = unchanged
    noticed: Noticed = unnoticed
    gateway: Any = None  # what collects invoices
    stripe: StripeGateway | None = None  # there, too, when something else collects


class Lease:
    """What a worker has claimed at once, and since when."""

    def __init__(self, db: Connection, clock: Callable[[], datetime], job: Job) -> None:
        self._db, self._clock = db, clock
        self._since = parse_instant(str(job.claimed_at))

    def keep(self, job: Job) -> None:
        """Long work says now and then that it goes on. LeaseLost where another worker has begun it anew."""
        now = self._clock()
        if not -RENEWED_AFTER < now - self._since < RENEWED_AFTER:
            jobs.renew(self._db, now, job)
            self._since = now


class Work(NamedTuple):
    """A job that is being done: on which connection, at which instant, with what around it."""

    db: Connection
    now: datetime
    around: Around
    job: Job
    lease: Lease

    @property
    def payload(self) -> Mapping[str, Any]:
        payload = self.job.payload
        assert not isinstance(payload, str), "such a job is parked"
        return payload

    def go_on(self) -> None:
        """Between two transactions of work that has its own."""
        self.lease.keep(self.job)


@dataclass(frozen=True)
class Kind:
    """What a job's name stands for. by_itself: it has transactions of its own, each of which may be repeated."""

    do: Callable[[Work], Any]
    by_itself: bool = False


Kinds = Mapping[str, Kind]


@dataclass
class Ran:
    """What became of the jobs that were due: done, to be tried again, parked, taken over by another worker, put off."""

    completed: int = 0
    retryable: int = 0
    dead: int = 0
    lost: int = 0
    put_off: int = 0

    @property
    def many(self) -> int:
        return self.completed + self.retryable + self.dead + self.lost + self.put_off


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
    _refuse_inside(db)
    schedule.enqueue_due(db, clock())
    return run_stored(db, clock, around, kinds, most=most, stop=stop)


def run_stored(
    db: Connection,
    clock: Callable[[], datetime],
    around: Around,
    kinds: Kinds,
    *,
    most: int = 10_000,
    stop: Callable[[], bool] = bool,
) -> Ran:
    """The same of the stored jobs alone: nothing of the schedule is enqueued."""
    _refuse_inside(db)
    jobs.free_leases(db, clock())
    ran = Ran()
    while ran.many < most and not stop() and _run_some(db, clock, around, kinds, ran, most - ran.many, stop):
        continue
    return ran


def _run_some(
    db: Connection,
    clock: Callable[[], datetime],
    around: Around,
    kinds: Kinds,
    ran: Ran,
    most: int,
    stop: Callable[[], bool],
) -> bool:
    """As many as are claimed at once; whether there was one."""
    claimed = jobs.claim(db, clock(), most=min(AT_ONCE, most))
    left = list(claimed)
    try:
        lease = Lease(db, clock, claimed[0]) if claimed else None
        while left and lease is not None and not stop():
            _work(Work(db, clock(), around, left.pop(0), lease), clock, kinds, ran)
    finally:
        _give_back(db, left)
    return bool(claimed)


def _refuse_inside(db: Connection) -> None:
    if in_transaction(db):
        raise RuntimeError("jobs are done in transactions of their own: not inside another one")


def _give_back(db: Connection, left: Sequence[Job]) -> None:
    for job in left:
        with suppress(DatabaseError):  # its lease will end
            jobs.put_off(db, job)


def list_due(db: Connection, now: datetime, *, most: int = 10_000) -> list[Job]:
    """What run_due would do now. Nothing stays of it."""
    with rehearsal(db, dry_run=True):
        schedule.enqueue_due(db, now)
        jobs.free_leases(db, now)
        return jobs.claim(db, now, most=most)
    raise AssertionError("a rehearsal swallows no error")


def _work(work: Work, clock: Callable[[], datetime], kinds: Kinds, ran: Ran) -> None:
    """One job that was claimed is done, or fails by itself: nothing of it stays then."""
    db, job, kind = work.db, work.job, kinds.get(work.job.name)
    if kind is None or isinstance(job.payload, str):
        why = f"no job is called {job.name}" if kind is None else "its payload is no JSON object"
        _note(ran, jobs.fail(db, clock(), job, why, park=True))
        return
    try:
        work.go_on()
        if kind.by_itself:
            kind.do(work)
            jobs.finish(db, clock(), job)
        else:
            with atomic(db):
                kind.do(work)
                jobs.finish(db, clock(), job)
        ran.completed += 1
    except LeaseLost:
        ran.lost += 1
    except NotYet as early:
        jobs.put_off(db, job, early.until)
        ran.put_off += 1
    except Park as parked:
        logger.error("job %s (%s) is parked: %s", job.id, job.name, parked)
        _note(ran, jobs.fail(db, clock(), job, str(parked), park=True))
    except Exception as error:  # when not even that can be written, its lease will end
        if in_transaction(db):
            db.rollback()
        logger.exception("job %s (%s) failed", job.id, job.name)
        _note(ran, jobs.fail(db, clock(), job, _sentence(error)))


def _sentence(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # one that cannot say what it is
        return type(error).__name__


def _note(ran: Ran, state: str | None) -> None:
    if state == "dead":
        ran.dead += 1
    elif state == "retryable":
        ran.retryable += 1
    else:
        ran.lost += 1
