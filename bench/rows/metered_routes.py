"""What counting a host's own route costs, in one process without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import billing_db
from bench import hosts
from bench.data import Filled, people
from bench.registry import Row, Setup, bench
from bench.rows.in_process import call, environ
from bench.timing import Spread, microseconds, ratios, take_turns
from bench.tokens import SECRET, make_tokens
from billing_db import fetch_one

AT_MOST_ADDED = 60.0  # µs, by @requires_quota
USERS = 1000
Way = Callable[[], object]


@bench("metered-routes", "What @metered and @requires_quota add to a host's hello, in one process, no server")
def metered_routes(setup: Setup) -> Iterator[Row]:
    filled = people(str(setup.folder / "routes.db"), USERS, datetime.now(UTC))
    rounds, times = setup.pick(full=(21, 400), quick=(9, 200), tiny=(2, 3))
    ways = _ways(filled)
    counted = {"metered": 0, "quota": 0, "quota, JWT": 0}

    def one_round(name: str) -> float:
        if name in counted:
            counted[name] += times
        return microseconds(ways[name], times)

    for name in ways:
        one_round(name)
    taken = take_turns(rounds, {name: (lambda name=name: one_round(name)) for name in ways})  # type: ignore[misc]
    billing_db.close_db()
    _expect_counted(filled, sum(counted.values()))
    bare, flask = taken["bare"], taken["flask"]
    allowed = [AT_MOST_ADDED] * rounds
    added = [mine - other for mine, other in zip(taken["quota"], bare, strict=True)]
    limit = f"what is allowed: {AT_MOST_ADDED:g}"
    yield Row(
        "@requires_quota adds", "µs", Spread.of(added), limit, Spread.of(allowed), ratios(added, allowed), at_most=1
    )
    yield _row("hello with @requires_quota", taken["quota"], "the same host's bare hello", bare)
    yield _row("hello with @metered", taken["metered"], "the same host's bare hello", bare)
    yield _row("hello with @requires_quota, caller by JWT", taken["quota, JWT"], "the same host's bare hello", bare)
    yield _row("a host's bare hello", bare, "hello without billing", flask)


def _ways(filled: Filled) -> dict[str, Way]:
    host = hosts.make_metered(filled.url, SECRET, lambda: 7)
    with_tokens = hosts.make_metered(filled.url, SECRET, None)
    token = make_tokens(USERS, 1)[0]
    return {
        "flask": lambda: call(hosts.hello, environ("/", "")),
        "bare": lambda: call(host, environ("/bare", "")),
        "metered": lambda: call(host, environ("/metered", "")),
        "quota": lambda: call(host, environ("/quota", "")),
        "quota, JWT": lambda: call(with_tokens, environ("/quota", token)),
    }


def _expect_counted(filled: Filled, calls: int) -> None:
    """A route that is fast because it counts nothing is worth nothing."""
    with closing(billing_db.connect(filled.url)) as db:
        row = fetch_one(db, "SELECT SUM(used) AS used FROM usage_counters WHERE metric = 'api_calls'")
        if row is None or row["used"] != calls:
            raise RuntimeError(f"{calls} calls were made, and {row and row['used']} are counted")


def _row(what: str, ours: list[float], compared_with: str, theirs: list[float]) -> Row:
    return Row(what, "µs", Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs))
