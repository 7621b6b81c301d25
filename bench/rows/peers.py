"""Usage recorded by others: svc-infra's billing, and SQLAlchemy alone. Each runs in a process of its own.

BENCH_PEERS_PYTHON names an interpreter that has them: `pip install svc-infra==1.22.1 aiosqlite` in a venv.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

import billing_db
from bench.data import fill_events, people
from bench.registry import CannotRun, Row, Setup, bench
from bench.rows.ingest import METRIC, USERS, Pace, of_domain, random_events
from bench.servers import CHECKOUT
from bench.timing import Spread, ratios, take_turns
from billing_db import Connection, fetch_one
from turf_saas import usage_days

AT_LEAST = 15
BATCH = 1000
NEEDED = ("sqlalchemy", "aiosqlite", "svc_infra.billing.async_service")
DURABLE = "WAL, a sync per commit"


@bench("ingest-peers", "Usage events recorded, against svc-infra 1.22's record_usage and SQLAlchemy, and a day's sum")
def ingest_peers(setup: Setup) -> Iterator[Row]:
    python = os.environ.get("BENCH_PEERS_PYTHON", sys.executable)
    _require(python, NEEDED)
    with ExitStack() as stack:
        peers = {
            who: stack.enter_context(_running(python, who, setup.folder))
            for who in ("svc-infra", "svc-infra-wal", "sqlalchemy")
        }
        yield from _recorded(setup, peers)
        yield from _summed(setup, peers["svc-infra-wal"])


def _require(python: str, modules: tuple[str, ...]) -> None:
    asked = "import " + ", ".join(modules)
    found = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    if found.returncode:
        said = found.stderr.strip().splitlines()[-1]
        raise CannotRun(f"{python} has no svc-infra ({said}): see BENCH_PEERS_PYTHON in bench/README.md")


class Peer:
    """One of the others, and how it did in each round."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.asked: IO[str] = process.stdin
        self.answered: IO[str] = process.stdout
        self.per_second: list[float] = []
        self.cpu_each: list[float] = []

    def ask(self, what: str, count: int) -> tuple[float, float]:
        """Wall and processor seconds that it took, by its own clock."""
        self.asked.write(json.dumps([what, count]) + "\n")
        self.asked.flush()
        line = self.answered.readline()
        if not line:
            raise CannotRun(f"what was compared with ended while it did {what}")
        wall, cpu = json.loads(line)
        return wall, cpu

    def one_round(self, count: int) -> float:
        wall, cpu = self.ask("record", count)
        self.per_second.append(count / wall)
        self.cpu_each.append(cpu / count * 1e6)
        return self.per_second[-1]

    def forget(self) -> None:
        """The rounds so far were the warm-up."""
        self.per_second.clear()
        self.cpu_each.clear()


@contextmanager
def _running(python: str, who: str, folder: Path) -> Iterator[Peer]:
    command = [python, str(CHECKOUT / "bench" / "peer.py"), who, str(folder / f"{who}.db")]
    with (
        (folder / f"{who}.log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            peer = Peer(process)
            if peer.answered.readline().strip() != '"ready"':
                raise CannotRun(f"{who} did not start: {(folder / f'{who}.log').read_text()[-1000:].strip()}")
            yield peer
        finally:
            process.kill()


def _recorded(setup: Setup, peers: dict[str, Peer]) -> Iterator[Row]:
    rounds, events = setup.pick(full=(31, 40), quick=(9, 25), tiny=(1, 3))
    now, source = datetime.now(UTC), random.Random(20260520)
    single = Pace(of_domain(people(str(setup.folder / "single.db"), USERS, now)), 1)
    batch = Pace(of_domain(people(str(setup.folder / "batch.db"), USERS, now)), BATCH)
    sides: dict[str, Callable[[], float]] = {
        "single": lambda: single.one_round(random_events(events, USERS, source)),
        "batch": lambda: batch.one_round(random_events(BATCH, USERS, source)),
        **{who: partial(peer.one_round, events) for who, peer in peers.items()},
    }
    for warm_up in sides.values():
        warm_up()
    for forget in (single.forget, batch.forget, *(peer.forget for peer in peers.values())):
        forget()
    take_turns(rounds, sides)
    default, wal = "svc-infra record_usage + commit", f"svc-infra record_usage + commit, {DURABLE}"
    ours = f"record_events, batches of {BATCH}, {DURABLE}"
    yield from _rows(ours, batch, f"{default}, its default journal", peers["svc-infra"], AT_LEAST)
    yield from _rows(ours, batch, wal, peers["svc-infra-wal"], AT_LEAST)
    ours = f"record_event, one per commit, {DURABLE}"
    yield from _rows(ours, single, f"{default}, its default journal", peers["svc-infra"])
    yield from _rows(ours, single, wal, peers["svc-infra-wal"])
    yield from _rows(ours, single, f"SQLAlchemy ORM insert + commit, {DURABLE}", peers["sqlalchemy"])


def _rows(what: str, ours: Pace, compared_with: str, theirs: Peer, at_least: float | None = None) -> Iterator[Row]:
    mine, other = ours.per_second, theirs.per_second
    ratio = ratios(mine, other)
    yield Row(what, "events/s", Spread.of(mine), compared_with, Spread.of(other), ratio, at_least=at_least)
    mine, other = ours.cpu_each, theirs.cpu_each
    if all(value > 0 for value in (*mine, *other)):
        yield Row(f"{what}, CPU each", "µs", Spread.of(mine), compared_with, Spread.of(other), ratios(mine, other))


def _summed(setup: Setup, peer: Peer) -> Iterator[Row]:
    """A day's sum of all users: they add up its events, ours stands in the days' table (and is added up over users)."""
    events = setup.pick(full=100_000, quick=20_000, tiny=20)
    rounds = setup.pick(full=5, quick=3, tiny=1)
    filled = people(str(setup.folder / "summed.db"), USERS, datetime.now(UTC))
    fill_events(filled, events, days=1)
    peer.ask("fill", events)
    with closing(billing_db.connect(filled.url)) as db:
        day = filled.this_month.first_day.isoformat()
        sides: dict[str, Callable[[], float]] = {
            "theirs": lambda: 1 / peer.ask("aggregate", events)[0],
            "the day's sums": partial(_per_second, partial(usage_days.total_of_day, db, 1, METRIC, day), events),
            "the same by SUM over the events": partial(_per_second, partial(_sum_of_events, db, day), events),
        }
        taken = take_turns(rounds, sides)
    theirs = taken.pop("theirs")
    for how, ours in taken.items():
        what = f"{events} events of a day, {how}"
        yield Row(what, "sums/s", Spread.of(ours), "svc-infra aggregate_daily", Spread.of(theirs), ratios(ours, theirs))


def _per_second(add_up: Callable[[], int], expected: int) -> float:
    begun = time.perf_counter()
    total = add_up()
    took = time.perf_counter() - begun
    if total != expected:
        raise RuntimeError(f"the day has {total}, not {expected}")
    return 1 / took


def _sum_of_events(db: Connection, day: str) -> int:
    row = fetch_one(
        db,
        "SELECT SUM(quantity) AS total FROM usage_events WHERE day = :day AND metric = :metric",
        day=day,
        metric=METRIC,
    )
    return int(row["total"]) if row else 0
