"""Usage recorded in one process, against bare sqlite3 doing the same statements with the same durability."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import billing_db
from bench import hosts
from bench.data import Filled, expect_events, people
from bench.registry import Row, Setup, bench
from bench.timing import Spread, ratios, take_turns
from bench.tokens import SECRET
from billing_db import Connection
from turf_saas import metering
from turf_saas.settings import read_settings
from turf_saas.usage import NewEvent

SINGLE_AT_LEAST = 0.6
BATCH_AT_LEAST = 0.5
USERS = 1000
METRIC = "tokens"
BATCH = 1000

Sent = tuple[int, str]  # whose it is, and its key
Way = Callable[[list[Sent]], object]


@dataclass
class Pace:
    """One way of recording, and how it did in each round."""

    record: Way
    at_once: int
    sent: int = 0
    per_second: list[float] = field(default_factory=list)
    cpu_each: list[float] = field(default_factory=list)

    def one_round(self, events: list[Sent]) -> float:
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(events), self.at_once):
            self.record(events[start : start + self.at_once])
        self.cpu_each.append((time.process_time() - cpu) / len(events) * 1e6)
        self.per_second.append(len(events) / (time.perf_counter() - wall))
        self.sent += len(events)
        return self.per_second[-1]

    def forget(self) -> None:
        """The rounds so far were the warm-up."""
        self.per_second.clear()
        self.cpu_each.clear()


@bench("ingest", "Usage events recorded in one process, against bare sqlite3 with the same statements and durability")
def ingest(setup: Setup) -> Iterator[Row]:
    rounds, events = setup.pick(full=(41, 100), quick=(15, 60), tiny=(2, 4))
    singles = {"domain": (of_domain, 1), "face": (of_face, 1), "bare": (_bare, 1)}
    paces = _measured(setup, "single", singles, rounds, events)
    yield from _rows("record_event, one durable event", paces["domain"], paces["bare"], SINGLE_AT_LEAST)
    yield from _rows("billing.record_usage, one durable event", paces["face"], paces["bare"], SINGLE_AT_LEAST)
    rounds, size = setup.pick(full=(21, BATCH), quick=(9, BATCH), tiny=(2, 10))
    batches = {"domain": (of_domain, size), "bare": (_bare, size)}
    paces = _measured(setup, "batch", batches, rounds, 2 * size)
    yield from _rows(f"record_events, batches of {size}", paces["domain"], paces["bare"], BATCH_AT_LEAST)


def random_events(count: int, users: int, source: random.Random) -> list[Sent]:
    """Random users and random keys: nothing lies beside what was written before."""
    return [(source.randint(1, users), f"{source.getrandbits(128):032x}") for _ in range(count)]


Opener = Callable[[Filled], Way]


def _measured(
    setup: Setup, name: str, ways: Mapping[str, tuple[Opener, int]], rounds: int, events: int
) -> dict[str, Pace]:
    """Each way has a database of its own, and is sent the same events in the same rounds."""
    now = datetime.now(UTC)
    filled = {way: people(str(setup.folder / f"{name}-{way}.db"), USERS, now) for way in ways}
    paces = {way: Pace(opener(filled[way]), at_once) for way, (opener, at_once) in ways.items()}
    plan = {way: random.Random(20260520) for way in ways}

    def one_round(way: str) -> float:
        return paces[way].one_round(random_events(events, USERS, plan[way]))

    for way, pace in paces.items():
        one_round(way)
        pace.forget()
    take_turns(rounds, {way: partial(one_round, way) for way in ways})
    billing_db.close_db()
    for way, pace in paces.items():
        with closing(billing_db.connect(filled[way].url)) as db:
            expect_events(db, pace.sent)
    return paces


def _rows(what: str, ours: Pace, bare: Pace, at_least: float) -> Iterator[Row]:
    """Events per second, which the disk decides too, and processor time each, which it does not."""
    mine, other = ours.per_second, bare.per_second
    yield Row(
        what,
        "events/s",
        Spread.of(mine),
        "bare sqlite3, same statements",
        Spread.of(other),
        ratios(mine, other),
        at_least=at_least,
    )
    mine, other = ours.cpu_each, bare.cpu_each
    if all(value > 0 for value in other):
        what = f"{what}, CPU each"
        yield Row(what, "µs", Spread.of(mine), "bare sqlite3", Spread.of(other), ratios(mine, other))


# -- the ways ------------------------------------------------------------------------------------------


def of_domain(filled: Filled) -> Way:
    """As POST /usage does it: recorded and seen against the limits."""
    settings = read_settings({"TURF_SAAS_DB": filled.url})
    db = billing_db.get_db(filled.url)

    def record(sent: list[Sent]) -> object:
        now = datetime.now(UTC)
        events = [NewEvent(user_id, 1, METRIC, 1, key=key) for user_id, key in sent]
        if len(events) == 1:
            return metering.report_event(db, now, settings, events[0])
        return metering.report_events(db, now, settings, events)

    return record


def of_face(filled: Filled) -> Way:
    """As a host's own code does it."""
    app = hosts.make_host(filled.url, SECRET)
    billing = app.extensions["billing"]

    def record(sent: list[Sent]) -> None:
        for user_id, key in sent:
            billing.record_usage(user_id, METRIC, 1, idempotency_key=key)

    return record


_KEY = "INSERT INTO usage_keys (user_id, idempotency_key, content, event_id, tenant_id) VALUES (?, ?, ?, ?, 1)"
_EVENT = """INSERT INTO usage_events (id, tenant_id, user_id, metric, quantity, day, at, recorded_at,
                                      idempotency_key, metadata, corrects)
            VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)"""
_DAY = """INSERT INTO usage_aggregates (user_id, metric, period_start, total, tenant_id, created_at, updated_at)
          VALUES (?, ?, ?, ?, 1, ?, ?)
          ON CONFLICT (user_id, metric, period_start)
          DO UPDATE SET total = usage_aggregates.total + excluded.total, updated_at = excluded.updated_at"""


def _bare(filled: Filled) -> Way:
    """Key, event and day (whose triggers keep the month) with nothing around them: no checks, no answers."""
    db = bare_connection(filled.url)
    begun = time.time_ns()

    def record(sent: list[Sent]) -> None:
        nonlocal begun
        at = datetime.now(UTC).isoformat()
        day = at[:10]
        keys: list[tuple[object, ...]] = []
        events: list[tuple[object, ...]] = []
        days: dict[int, int] = {}
        for user_id, key in sent:
            begun += 1
            keys.append((user_id, key, 1, f"{begun:032x}"))
            events.append((f"{begun:032x}", user_id, METRIC, 1, day, at, at, key))
            days[user_id] = days.get(user_id, 0) + 1
        db.execute("BEGIN IMMEDIATE")
        db.executemany(_KEY, keys)
        db.executemany(_EVENT, events)
        db.executemany(_DAY, [(user_id, METRIC, day, total, at, at) for user_id, total in days.items()])
        db.execute("COMMIT")

    return record


def bare_connection(url: str) -> Connection:
    """As durable as ours and under the same rules, without anything of ours."""
    db = sqlite3.connect(url, isolation_level=None)
    for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}")
    return db
