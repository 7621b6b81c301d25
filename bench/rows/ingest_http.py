"""POST /usage under a real server and a real load: one event per request, and a hundred."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import billing_db
from bench import servers, wrk
from bench.data import Filled, expect_events, people
from bench.registry import CannotRun, Row, Setup, bench
from bench.timing import Spread, ratios, take_turns
from bench.tokens import SECRET, make_tokens
from billing_db import fetch_one
from turf_saas import users

USAGE = "/api/v1/billing/usage"
ASKED_FOR = 25_000  # events per second in batches of 100 on two cores
USERS = 1000
BATCH = 100
FEW, MANY = 10, 150
_seeds = count(1)


class Server:
    def __init__(self, group: int, url: str, token: str, folder: Path) -> None:
        self.group, self.url, self.token, self.folder = group, url, token, folder

    def load(self, connections: int, batch: int, seconds: int) -> wrk.Answered:
        return wrk.report(
            self.url,
            self.token,
            self.folder,
            users=USERS,
            batch=batch,
            seed=next(_seeds),
            connections=connections,
            seconds=seconds,
        )


class Load:
    """One kind of request to one server, and what became of it in each round."""

    def __init__(self, server: Server, connections: int, batch: int) -> None:
        self.server, self.connections, self.batch = server, connections, batch
        self.per_second: list[float] = []
        self.cpu_each: list[float] = []
        self.accepted = 0
        self.refused = 0

    def one_round(self, seconds: int) -> float:
        """Events per second; for the hello, requests per second."""
        before = servers.cpu_seconds(self.server.group)
        answered = self.server.load(self.connections, max(1, self.batch), seconds)
        accepted = (answered.requests - answered.refused) * max(1, self.batch)
        if accepted == 0:
            raise RuntimeError(f"all {answered.requests} answers were refusals")
        self.cpu_each.append((servers.cpu_seconds(self.server.group) - before) / accepted * 1e6)
        self.per_second.append(answered.per_second * accepted / answered.requests)
        self.accepted += accepted
        self.refused += answered.refused
        return self.per_second[-1]


@bench("ingest-http", "POST /usage in events per second, at 10 and at 150 connections, single and in batches of 100")
def ingest_http(setup: Setup) -> Iterator[Row]:
    if shutil.which("wrk") is None or not servers.installed("gunicorn"):
        raise CannotRun("wrk and gunicorn are needed: apt-get install wrk; pip install gunicorn")
    filled = people(str(setup.folder / "ingest.db"), USERS, datetime.now(UTC))
    with closing(billing_db.connect(filled.url)) as db:
        users.set_role(db, filled.now, 1, "admin")
    loads = _measured(setup, filled)
    for connections in (FEW, MANY):
        single, hello = loads[f"single {connections}"], loads[f"hello {connections}"]
        what = f"POST /usage, {connections} connections"
        yield _row(what, "events/s", single, "bare hello", hello.per_second)
        yield _cpu(what, single, "bare hello", hello)
    batches = loads["batches"]
    what = f"POST /usage, batches of {BATCH}, {FEW} connections"
    asked_for = [float(ASKED_FOR)] * len(batches.per_second)
    yield _row(what, "events/s", batches, f"what is asked for: {ASKED_FOR}", asked_for, at_least=1)
    yield _row(what, "events/s", batches, "one event per request", loads[f"single {FEW}"].per_second)
    yield _cpu(what, batches, "one event per request", loads[f"single {FEW}"])


def _measured(setup: Setup, filled: Filled) -> dict[str, Load]:
    rounds, seconds = setup.pick(full=(7, 3), quick=(3, 1), tiny=(1, 1))
    token = make_tokens(1, 1)[0]
    environment = {"TURF_SAAS_DB": filled.url, "JWT_SECRET_KEY": SECRET}
    with ExitStack() as stack:
        up = {}
        for name, app, ready, path in (
            ("ours", "wsgi:app", "/api/v1/billing/healthz", USAGE),
            ("hello", "bench.hosts:hello", "/", "/take"),
        ):
            port = servers.free_port()
            base = f"http://127.0.0.1:{port}"
            serving = servers.serving(servers.gunicorn(app, port), base + ready, setup.folder, environment)
            up[name] = Server(stack.enter_context(serving), base + path, token, setup.folder)
        loads = {f"single {connections}": Load(up["ours"], connections, 1) for connections in (FEW, MANY)}
        loads |= {f"hello {connections}": Load(up["hello"], connections, 0) for connections in (FEW, MANY)}
        loads["batches"] = Load(up["ours"], FEW, BATCH)
        warm_up = up["ours"].load(FEW, BATCH, 1)  # every worker has its connections and its caches
        take_turns(rounds, {name: partial(load.one_round, seconds) for name, load in loads.items()})
    _expect_all_of_them(filled, loads, (warm_up.requests - warm_up.refused) * BATCH)
    return loads


def _expect_all_of_them(filled: Filled, loads: dict[str, Load], warm_up: int) -> None:
    """Everything that was accepted is there, once; beside it only what was under way when wrk left."""
    of_ours = [load for load in loads.values() if load.batch]
    accepted = warm_up + sum(load.accepted for load in of_ours)
    under_way = FEW * BATCH + sum(load.connections * load.batch * len(load.per_second) for load in of_ours)
    with closing(billing_db.connect(filled.url)) as db:
        row = fetch_one(db, "SELECT COUNT(*) AS events FROM usage_events")
        there = int(row["events"]) if row else 0
        if not accepted <= there <= accepted + under_way:
            raise RuntimeError(f"{accepted} events were accepted, and {there} are on record")
        expect_events(db, there)


def _row(
    what: str, unit: str, ours: Load, compared_with: str, theirs: list[float], at_least: float | None = None
) -> Row:
    if ours.refused:
        what += f" ({ours.refused} requests refused)"
    mine = ours.per_second
    return Row(what, unit, Spread.of(mine), compared_with, Spread.of(theirs), ratios(mine, theirs), at_least=at_least)


def _cpu(what: str, ours: Load, compared_with: str, theirs: Load) -> Row:
    mine, other = [max(value, 0.1) for value in ours.cpu_each], [max(value, 0.1) for value in theirs.cpu_each]
    return Row(f"{what}, CPU each", "µs", Spread.of(mine), compared_with, Spread.of(other), ratios(mine, other))
