"""Stored jobs: how many a worker drains per second, and whether many that wait slow what a request does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import billing_db
from bench.data import people
from bench.registry import Row, Setup, bench
from bench.timing import Spread, microseconds, ratios, take_turns
from billing_db import Connection, atomic, execute
from turf_saas import jobs
from turf_saas.settings import Settings, read_settings
from turf_saas.subscriptions import find_live
from turf_saas.users import find_user, get_users_table
from turf_saas.working import Around, Kind, Work, run_stored

ASKED_FOR = 1_000  # jobs per second
AT_MOST = 1.5  # times as much with many that wait as with none
NOW = datetime(2026, 10, 2, 8, tzinfo=UTC)
USERS = 100


@bench("jobs", "Jobs drained per second by one worker, and enqueuing and reading beside many that wait")
def jobs_rows(setup: Setup) -> Iterator[Row]:
    many, waiting, times, rounds = setup.pick(
        full=(5_000, 100_000, 200, 7), quick=(1_000, 100_000, 100, 5), tiny=(20, 100, 3, 2)
    )
    path = _filled(setup.folder / "drained.db", 0)
    taken = [_drained_per_second(path, many) for _ in range(rounds)]
    asked = [float(ASKED_FOR)] * rounds
    yield _row(f"jobs drained, {many}", "1/s", taken, f"what is asked for: {ASKED_FOR}", asked)
    full, empty = _filled(setup.folder / "waiting.db", waiting), _filled(setup.folder / "empty.db", 0)
    each = take_turns(rounds, {"full": _asking(full, times), "empty": _asking(empty, times)})
    what = f"enqueuing a job and reading a subscription, {waiting} waiting"
    yield _row(what, "µs", each["full"], "none waiting", each["empty"], AT_MOST)
    each = take_turns(rounds, {"full": _looking(full, times), "empty": _looking(empty, times)})
    yield _row(f"a worker's look, {waiting} waiting", "µs", each["full"], "none waiting", each["empty"], AT_MOST)


def _filled(path: Path, waiting: int) -> Path:
    """A database with so many jobs whose time has not come."""
    people(str(path), USERS, NOW)
    with closing(billing_db.connect(str(path))) as db, atomic(db):
        execute(
            db,
            """WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < :many)
               INSERT INTO billing_jobs (name, payload, run_at, created_at)
               SELECT 'mail.reminder', '{"user_id":1}', :later, :now FROM n WHERE id <= :many""",
            many=waiting,
            later="2027-01-01T00:00:00Z",
            now="2026-10-01T00:00:00Z",
        )
    return path


def _settings_of(path: Path) -> Settings:
    return read_settings({"TURF_SAAS_DB": str(path)})


def _drained_per_second(path: Path, many: int) -> float:
    """Each job writes one row's worth of change, in a commit of its own."""
    around = Around(_settings_of(path))
    with closing(billing_db.connect(str(path))) as db:
        with atomic(db):
            for number in range(many):
                jobs.enqueue(db, NOW, "touch", {"user_id": 1 + number % USERS})
        begun = perf_counter()
        ran = run_stored(db, lambda: NOW, around, {"touch": Kind(_touch)})
        taken = perf_counter() - begun
    if ran.completed != many:
        raise RuntimeError(f"{ran.completed} of {many} jobs were done")
    return many / taken


def _touch(work: Work) -> None:
    execute(work.db, "UPDATE users SET name = name WHERE id = :id", id=work.payload["user_id"])


def _asking(path: Path, times: int) -> Callable[[], float]:
    """What a request does: who asks, what he has, and a job for later."""

    def ask(db: Connection) -> None:
        if find_user(db, get_users_table(db), 1) is None:
            raise RuntimeError("nobody is there")
        find_live(db, 1)
        with atomic(db):
            jobs.enqueue(db, NOW, "mail.welcome", {"user_id": 1}, run_at=NOW + timedelta(days=900))

    def measure() -> float:
        with closing(billing_db.connect(str(path))) as db:
            ask(db)
            return microseconds(lambda: ask(db), times)

    return measure


def _looking(path: Path, times: int) -> Callable[[], float]:
    """What a worker does when nothing is due."""

    def look(db: Connection) -> None:
        jobs.free_leases(db, NOW)
        if jobs.claim(db, NOW, most=20):
            raise RuntimeError("something is due")

    def measure() -> float:
        with closing(billing_db.connect(str(path))) as db:
            look(db)
            return microseconds(lambda: look(db), times)

    return measure


def _row(
    what: str,
    unit: str,
    ours: list[float],
    compared_with: str,
    theirs: list[float],
    at_most: float | None = None,
) -> Row:
    ratio = ratios(ours, theirs)
    return Row(what, unit, Spread.of(ours), compared_with, Spread.of(theirs), ratio, at_most=at_most)
