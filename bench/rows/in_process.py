"""Where the microseconds of GET /consumption go, without any server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from flask import Flask

import billing_db
from api_v1 import auth
from bench import hosts
from bench.data import Filled, fill
from bench.registry import Row, Setup, bench
from bench.timing import Spread, microseconds, ratios, take_turns
from bench.tokens import SECRET, make_tokens
from turf_saas import quotas
from turf_saas.settings import read_settings

PREFIX = "/api/v1/billing"


@bench("consumption-pieces", "GET /consumption in microseconds and what they are spent on, in one process, no server")
def consumption_pieces(setup: Setup) -> Iterator[Row]:
    filled = fill(str(setup.folder / "pieces.db"), setup.pick(full=100_000, quick=20_000, tiny=400), datetime.now(UTC))
    app = hosts.make_host(filled.url, SECRET)
    rounds, times = setup.pick(full=(21, 400), quick=(9, 200), tiny=(2, 2))
    contestants = {name: _median_of(work, times) for name, work in _works(app, filled).items()}
    for warm_up in contestants.values():
        warm_up()
    taken = take_turns(rounds, contestants)
    billing_db.close_db()
    whole = taken["GET /consumption, whole"]
    yield _row("GET /consumption, whole", whole, "bare hello", taken["bare hello"])
    for name in ("bare hello", "GET /healthz (no caller, no data)", "who is calling", "the month out of the database"):
        yield _row(f"its part: {name}", taken[name], "the whole", whole)


def _works(app: Flask, filled: Filled) -> dict[str, Callable[[], object]]:
    token = make_tokens(filled.users, 1)[0]
    settings = read_settings({"TURF_SAAS_DB": filled.url})
    db = billing_db.get_db(filled.url)

    def who_is_calling() -> None:
        with app.request_context(environ(f"{PREFIX}/consumption", token)):
            auth.require("user", "billing.read")

    return {
        "bare hello": lambda: call(hosts.hello, environ("/", token)),
        "GET /healthz (no caller, no data)": lambda: call(app, environ(f"{PREFIX}/healthz", token)),
        "GET /consumption, whole": lambda: call(app, environ(f"{PREFIX}/consumption", token)),
        "who is calling": who_is_calling,
        "the month out of the database": lambda: quotas.get_consumption(db, filled.now, settings, 1),
    }


def environ(path: str, token: str) -> dict[str, Any]:
    """A request as a server hands it over."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:5000",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def call(app: Flask, environ: dict[str, Any]) -> None:
    said: list[str] = []
    body = app.wsgi_app(environ, lambda status, _headers, _exc=None: said.append(status))  # type: ignore[arg-type]
    b"".join(body)
    if hasattr(body, "close"):
        body.close()
    if not said[0].startswith("200"):
        raise RuntimeError(f"{environ['PATH_INFO']} answered {said[0]}")


def _median_of(work: Callable[[], object], times: int) -> Callable[[], float]:
    return lambda: microseconds(work, times)


def _row(what: str, ours: list[float], compared_with: str, theirs: list[float]) -> Row:
    return Row(what, "µs", Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs))
