"""GET /consumption under a real server and a real load."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import servers, wrk
from bench.data import Filled, fill
from bench.registry import CannotRun, Row, Setup, bench
from bench.timing import Spread, ratios, take_turns
from bench.tokens import SECRET, make_tokens

CONSUMPTION = "/api/v1/billing/consumption"
AT_LEAST = 0.5
USERS_CALLING = 200
STRANGERS = 20_000  # more than a process remembers: each token is checked in full
CONNECTIONS = 10

Command = Callable[[str, int], list[str]]


@bench("consumption-http", "GET /consumption in requests per second, against a bare hello and the reference's way")
def consumption_http(setup: Setup) -> Iterator[Row]:
    if shutil.which("wrk") is None or not servers.installed("gunicorn"):
        raise CannotRun("wrk and gunicorn are needed: apt-get install wrk; pip install gunicorn")
    rows = setup.pick(full=400_000, quick=100_000, tiny=2_000)
    filled = fill(str(setup.folder / "http.db"), rows, datetime.now(UTC))
    known = _token_file(setup.folder / "known.tokens", filled, min(USERS_CALLING, filled.users))
    yield from _rows("GET /consumption, gunicorn", _measured(setup, filled, servers.gunicorn, known), AT_LEAST)
    if setup.size == "quick":
        return  # the rest requires nothing and takes as long again, twice
    count = STRANGERS if setup.size == "full" else 20
    strangers = _token_file(setup.folder / "strangers.tokens", filled, count)
    yield from _rows("the same, no token seen before", _measured(setup, filled, servers.gunicorn, strangers))
    if servers.installed("granian"):
        yield from _rows("GET /consumption, granian", _measured(setup, filled, servers.granian, known))


def _token_file(path: Path, filled: Filled, count: int) -> Path:
    path.write_text("\n".join(make_tokens(filled.users, count)) + "\n")
    return path


class Server:
    """One of those that are compared, and what it did in each round."""

    def __init__(self, group: int, load: Callable[[int], wrk.Answered]) -> None:
        self.group = group
        self.load = load
        self.per_second: list[float] = []
        self.cpu_each: list[float] = []

    def one_round(self, seconds: int) -> float:
        before = servers.cpu_seconds(self.group)
        answered = self.load(seconds)
        self.cpu_each.append((servers.cpu_seconds(self.group) - before) / answered.requests * 1e6)
        self.per_second.append(answered.per_second)
        return answered.per_second


def _measured(setup: Setup, filled: Filled, command: Command, tokens: Path) -> dict[str, Server]:
    """All three servers are up at the same time; the load goes to one after the other."""
    rounds, seconds = setup.pick(full=(7, 3), quick=(3, 1), tiny=(1, 1))
    environment = {"TURF_SAAS_DB": filled.url, "JWT_SECRET_KEY": SECRET}
    apps = {
        "ours": ("wsgi:app", "/api/v1/billing/healthz", CONSUMPTION),
        "hello": ("bench.hosts:hello", "/", "/"),
        "reference": ("bench.hosts:reference", "/", CONSUMPTION),
    }
    up: dict[str, Server] = {}
    with ExitStack() as stack:
        for name, (app, ready, path) in apps.items():
            port = servers.free_port()
            base = f"http://127.0.0.1:{port}"
            serving = servers.serving(command(app, port), base + ready, setup.folder, environment)
            up[name] = Server(stack.enter_context(serving), partial(_load, base + path, tokens))
            if setup.size != "tiny":
                up[name].load(1)  # every worker has its connections and its caches
        take_turns(rounds, {name: partial(server.one_round, seconds) for name, server in up.items()})
    return up


def _load(url: str, tokens: Path, seconds: int) -> wrk.Answered:
    return wrk.load(url, tokens, connections=CONNECTIONS, seconds=seconds)


def _rows(what: str, up: dict[str, Server], at_least: float | None = None) -> Iterator[Row]:
    """Requests per second, which other work on the machine blurs, and processor time each, which it blurs less."""
    hello, reference = up["hello"], up["reference"]
    yield _row(what, "req/s", up["ours"].per_second, "bare hello", hello.per_second, at_least)
    yield _row(what, "req/s", up["ours"].per_second, "the reference's way", reference.per_second)
    if all(value > 0 for server in up.values() for value in server.cpu_each):
        yield _row(f"{what}, CPU each", "µs", up["ours"].cpu_each, "bare hello", hello.cpu_each)
        yield _row(f"{what}, CPU each", "µs", up["ours"].cpu_each, "the reference's way", reference.cpu_each)


def _row(
    what: str, unit: str, ours: list[float], compared_with: str, theirs: list[float], at_least: float | None = None
) -> Row:
    return Row(what, unit, Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs), at_least=at_least)
