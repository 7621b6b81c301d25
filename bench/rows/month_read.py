"""One user's month, out of a small log and out of a large one."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns

import billing_db
from bench.data import CALLS_PER_MONTH, ROWS_PER_USER, Filled, fill
from bench.registry import Row, Setup, bench
from bench.servers import private_postgresql
from bench.timing import Spread, ratios, take_turns
from billing_db import Connection, fetch_one
from turf_saas import quotas
from turf_saas.settings import read_settings
from turf_saas.values import Month

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
AT_MOST = 1.5
Read = Callable[[Connection, Filled, int], object]


@bench("month-read", "One user's month out of a small and out of a large log, through the domain's own function")
def month_read(setup: Setup) -> Iterator[Row]:
    small, large = setup.pick(full=(10_000, 10_000_000), quick=(10_000, 500_000), tiny=(400, 2_000))
    files = (str(setup.folder / "small.db"), str(setup.folder / "large.db"))
    yield from _on_engine(setup, "SQLite", fill(files[0], small, NOW), fill(files[1], large, NOW))
    if setup.postgresql:
        with private_postgresql() as cluster:
            urls = (cluster.new_database(), cluster.new_database())
            yield from _on_engine(setup, "PostgreSQL", fill(urls[0], small, NOW), fill(urls[1], large, NOW))


def _on_engine(setup: Setup, engine: str, small: Filled, large: Filled) -> Iterator[Row]:
    rounds, reads = setup.pick(full=(21, 1000), quick=(11, 400), tiny=(2, 3))
    sizes = f"{_rows(large)} rows of log", f"{_rows(small)} rows"
    with ExitStack() as stack:
        dbs = {filled.url: _kept(stack, filled) for filled in (small, large)}
        for what, read in ((", this month", _this_month), (", last month", _last_month)):
            pair = [_warm(dbs[filled.url], filled, read, reads) for filled in (large, small)]
            yield _row(f"{engine}: month read{what}, {sizes[0]}", sizes[1], pair, rounds, AT_MOST)
        summed = [_warm(dbs[large.url], large, read, reads) for read in (_this_month, _summed)]
        yield _row(f"{engine}: month read, {sizes[0]}", "SUM over the same log", summed, rounds)
        summed = [_warm(dbs[filled.url], filled, _summed, reads) for filled in (large, small)]
        yield _row(f"{engine}: (for comparison) SUM, {sizes[0]}", f"SUM, {sizes[1]}", summed, rounds)
    firsts = setup.pick(full=40, quick=15, tiny=2)
    pair = [_first(filled, firsts) for filled in (large, small)]
    yield _row(f"{engine}: first read of a new connection, {sizes[0]}", sizes[1], pair, rounds, AT_MOST)
    if engine == "SQLite":
        pair = [_first(filled, firsts, from_disk=True) for filled in (large, small)]
        yield _row(f"{engine}: first read, nothing in memory, {sizes[0]}", sizes[1], pair, rounds)


def _rows(filled: Filled) -> str:
    return f"{filled.users * ROWS_PER_USER:,}".replace(",", " ")


def _kept(stack: ExitStack, filled: Filled) -> Connection:
    db = billing_db.connect(filled.url)
    stack.callback(db.close)
    return db


def _row(
    what: str, compared_with: str, pair: list[Callable[[], float]], rounds: int, at_most: float | None = None
) -> Row:
    for warm_up in pair:
        warm_up()
    taken = take_turns(rounds, {"ours": pair[0], "theirs": pair[1]})
    ours, theirs = taken["ours"], taken["theirs"]
    return Row(what, "µs", Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs), at_most=at_most)


# -- what is read ------------------------------------------------------------------------------------

_settings = read_settings({"TURF_SAAS_DB": "."})


def _this_month(db: Connection, filled: Filled, user_id: int) -> object:
    return quotas.get_consumption(db, filled.now, _settings, user_id)


def _last_month(db: Connection, filled: Filled, user_id: int) -> object:
    return quotas.get_consumption(db, filled.now, _settings, user_id, filled.last_month)


def _summed(db: Connection, filled: Filled, user_id: int) -> object:
    """The log itself, as the reference reads it. It asks for no plan, which is to its advantage."""
    month = filled.this_month
    return fetch_one(
        db,
        """SELECT COALESCE(SUM(api_calls), 0) AS used FROM consumption_log
            WHERE user_id = :user_id AND date >= :first AND date <= :last""",
        user_id=user_id,
        first=month.first_day.isoformat(),
        last=month.last_day.isoformat(),
    )


# -- how it is read ----------------------------------------------------------------------------------


def _warm(db: Connection, filled: Filled, read: Read, reads: int) -> Callable[[], float]:
    """Reads of random users on a connection that stays open, as an app's threads keep theirs."""
    users = random.Random(20260520)

    def one_round() -> float:
        taken = []
        for user_id in users.choices(range(1, filled.users + 1), k=reads):
            begun = perf_counter_ns()
            read(db, filled, user_id)
            taken.append(perf_counter_ns() - begun)
        return statistics.median(taken) / 1000

    _expect_right_answer(db, filled)
    return one_round


def _first(filled: Filled, reads: int, *, from_disk: bool = False) -> Callable[[], float]:
    """The first read of a connection just opened; from_disk: the file's pages are not in memory either."""
    users = random.Random(20260520)

    def one_round() -> float:
        taken = []
        for user_id in users.choices(range(1, filled.users + 1), k=reads):
            if from_disk:
                _forget(Path(filled.url))
            db = billing_db.connect(filled.url)
            begun = perf_counter_ns()
            _this_month(db, filled, user_id)
            taken.append(perf_counter_ns() - begun)
            db.close()
        return statistics.median(taken) / 1000

    return one_round


def _forget(path: Path) -> None:
    """Ask the system to drop the file from its cache (it may keep what another process uses)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _expect_right_answer(db: Connection, filled: Filled) -> None:
    for month in (filled.last_month, filled.this_month):
        _expect(quotas.get_consumption(db, filled.now, _settings, filled.users, month), month)


def _expect(found: quotas.Consumption, month: Month) -> None:
    if (found.plan, found.gauges[0].used) != ("premium", CALLS_PER_MONTH):
        raise RuntimeError(f"{month}: {CALLS_PER_MONTH} calls on premium were expected, not {found}")
