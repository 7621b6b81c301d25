"""Recording usage when much is recorded already: a durable event, and a batch, beside few events and beside many."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import billing_db
from bench.data import Filled, fill_events, people
from bench.registry import Row, Setup, bench
from bench.rows.ingest import METRIC, USERS, random_events
from bench.timing import Spread, ratios, take_turns
from billing_db import Connection
from turf_saas import metering
from turf_saas.settings import read_settings
from turf_saas.usage import NewEvent

AT_MOST = 2.0
BATCH = 1000
_settings = read_settings({"TURF_SAAS_DB": "."})


@bench("ingest-growth", "A durable event, and a batch of 1000, with many and with few events on record")
def ingest_growth(setup: Setup) -> Iterator[Row]:
    small, large = setup.pick(full=(10_000, 5_000_000), quick=(10_000, 250_000), tiny=(100, 400))
    rounds, singles, batches = setup.pick(full=(15, 200, 5), quick=(7, 100, 3), tiny=(2, 3, 1))
    now = datetime.now(UTC)
    stored = {count: _filled(setup.folder / f"{count}.db", count, now) for count in (small, large)}
    many, few = f"{large:,} events".replace(",", " "), f"{small:,} events".replace(",", " ")
    source = random.Random(20260520)
    for what, one_round, at_most in (
        ("one durable event", partial(_singles, source, singles), AT_MOST),
        (f"an event of a batch of {BATCH}", partial(_batches, source, batches), None),
    ):
        taken = take_turns(rounds, {str(count): _on_a_copy(filled, one_round) for count, filled in stored.items()})
        mine, other = taken[str(large)], taken[str(small)]
        ratio = ratios(mine, other)
        yield Row(f"{what}, {many} stored", "µs", Spread.of(mine), few, Spread.of(other), ratio, at_most=at_most)


def _filled(path: Path, count: int, now: datetime) -> Filled:
    filled = people(str(path), USERS, now)
    fill_events(filled, count)
    return filled


Round = Callable[[Connection], float]


def _on_a_copy(filled: Filled, one_round: Round) -> Callable[[], float]:
    """What a round adds to a few events would soon make them many: each begins with as many as the first.

    The many are not copied: what all rounds add to them is less than a hundredth.
    """
    small = Path(filled.url).stat().st_size < 50 * 1024**2

    def measure() -> float:
        path = Path(filled.url)
        if small:
            path = path.with_name("copy.db")
            for left in ("", "-wal", "-shm"):
                Path(f"{path}{left}").unlink(missing_ok=True)
            shutil.copyfile(filled.url, path)
        with closing(billing_db.connect(str(path))) as db:
            one_round(db)  # the first pages of a new connection are no part of it
            return one_round(db)

    return measure


def _singles(source: random.Random, events: int, db: Connection) -> float:
    """The median of single events: a stall of the disk is not what is measured."""
    taken = []
    for user_id, key in random_events(events, USERS, source):
        event = NewEvent(user_id, 1, METRIC, 1, key=key)
        begun = time.perf_counter_ns()
        metering.report_event(db, datetime.now(UTC), _settings, event)
        taken.append(time.perf_counter_ns() - begun)
    return sorted(taken)[len(taken) // 2] / 1000


def _batches(source: random.Random, batches: int, db: Connection) -> float:
    """The mean: what a checkpoint copies back belongs to the batches that wrote it."""
    sent = [
        [NewEvent(user_id, 1, METRIC, 1, key=key) for user_id, key in random_events(BATCH, USERS, source)]
        for _ in range(batches)
    ]
    begun = time.perf_counter_ns()
    for events in sent:
        metering.report_events(db, datetime.now(UTC), _settings, events)
    return (time.perf_counter_ns() - begun) / 1000 / (batches * BATCH)
