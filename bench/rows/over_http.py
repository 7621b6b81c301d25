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
    taken = _measured(setup, filled, servers.gunicorn, known)
    yield _row("GET /consumption, gunicorn", taken["ours"], "bare hello", taken["hello"], AT_LEAST)
    yield _row("GET /consumption, gunicorn", taken["ours"], "the reference's way", taken["reference"])
    count = setup.pick(full=STRANGERS, quick=STRANGERS, tiny=20)
    strangers = _token_file(setup.folder / "strangers.tokens", filled, count)
    taken = _measured(setup, filled, servers.gunicorn, strangers)
    yield _row("the same, no token seen before, gunicorn", taken["ours"], "bare hello", taken["hello"])
    yield _row("the same, no token seen before, gunicorn", taken["ours"], "the reference's way", taken["reference"])
    if servers.installed("granian"):
        taken = _measured(setup, filled, servers.granian, known)
        yield _row("GET /consumption, granian", taken["ours"], "bare hello", taken["hello"])
        yield _row("GET /consumption, granian", taken["ours"], "the reference's way", taken["reference"])


def _token_file(path: Path, filled: Filled, count: int) -> Path:
    path.write_text("\n".join(make_tokens(filled.users, count)) + "\n")
    return path


def _measured(setup: Setup, filled: Filled, command: Command, tokens: Path) -> dict[str, list[float]]:
    """All three servers are up at the same time; the load goes to one after the other."""
    rounds, seconds = setup.pick(full=(7, 3), quick=(3, 1), tiny=(1, 1))
    environment = {"TURF_SAAS_DB": filled.url, "JWT_SECRET_KEY": SECRET}
    apps = {
        "ours": ("wsgi:app", "/api/v1/billing/healthz", CONSUMPTION),
        "hello": ("bench.hosts:hello", "/", "/"),
        "reference": ("bench.hosts:reference", "/", CONSUMPTION),
    }
    contestants: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        for name, (app, ready, path) in apps.items():
            port = servers.free_port()
            base = f"http://127.0.0.1:{port}"
            stack.enter_context(servers.serving(command(app, port), base + ready, setup.folder, environment))
            load = partial(wrk.requests_per_second, base + path, tokens, connections=CONNECTIONS)
            if setup.size != "tiny":
                load(seconds=1)  # every worker has its connections and its caches
            contestants[name] = partial(load, seconds=seconds)
        return take_turns(rounds, contestants)


def _row(what: str, ours: list[float], compared_with: str, theirs: list[float], at_least: float | None = None) -> Row:
    return Row(
        what, "req/s", Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs), at_least=at_least
    )
