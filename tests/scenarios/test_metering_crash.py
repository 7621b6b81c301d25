"""The server is killed in the middle of its work, as often as you like: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests import require
from tests.cast import Cast, token_for
from tests.scenarios.metering_clients import TWO_WORKERS, USAGE, Call, Clients, MeteringServer, Reply
from tests.scenarios.serving import BILLING

POSTS = 10_000 if require.required("all") else 2_000
CALLS = 3_000 if require.required("all") else 900
KILLS = 3
USERS = range(100, 150)
Sums = Counter[tuple[Any, ...]]


@pytest.fixture
def serve(url: str) -> Iterator[Callable[[], MeteringServer]]:
    """The same command on the same database, however the last one ended. Nothing is mended in between."""
    started: list[MeteringServer] = []

    def start() -> MeteringServer:
        started.append(MeteringServer(url, *TWO_WORKERS))
        assert started[-1].ask(f"{BILLING}/readyz").status == 200
        return started[-1]

    yield start
    logs = [server.stop() for server in started]
    assert "Traceback" not in "".join(logs)


@pytest.fixture
def users(db: Connection, people: Cast) -> range:
    with atomic(db):
        for user_id in USERS:
            execute(db, "INSERT INTO users (id, name) VALUES (:id, :name)", id=user_id, name=f"user {user_id}")
    return USERS


def kill_three_times(serve: Callable[[], MeteringServer], clients: Clients, moments: random.Random) -> int:
    """Send everything, through three kills; how many requests were under way then and got no reply."""
    lost = 0
    for kills_left in range(KILLS, 0, -1):
        unanswered = clients.unanswered()
        share = len(unanswered) // (kills_left + 1)  # so that each kill comes in the middle of what is left
        kill_at = moments.randint(share // 2, share)
        found = clients.send_until_killed(serve(), unanswered, kill_at)
        assert found > 0, "the server was killed while it had nothing to do"
        lost += found
    return lost


# -- reported usage ------------------------------------------------------------------------------------


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT12:00:00Z")


def random_event(chance: random.Random, number: int, then: str) -> dict[str, Any]:
    """`tokens` say when, `exports` leave it to the server, as a client that retries does."""
    event: dict[str, Any] = {
        "user_id": chance.choice(USERS),
        "metric": chance.choice(["tokens", "exports"]),
        "quantity": chance.randint(1, 1_000),
        "idempotency_key": f"crash-{number}",
    }
    if event["metric"] == "tokens":
        event["at"] = then
    if chance.random() < 0.2:
        event["metadata"] = {"number": number, "model": "é"}
    return event


def random_posts(chance: random.Random, headers: dict[str, str]) -> list[Call]:
    """Four of five have a single event, one of five a batch of two to five."""
    posts, number, then = [], 0, yesterday()
    while len(posts) < POSTS:
        events = [random_event(chance, number + n, then) for n in range(chance.choice([1] * 16 + [2, 3, 4, 5]))]
        number += len(events)
        posts.append(Call("POST", USAGE, headers, events[0] if len(events) == 1 else {"events": events}))
    return posts


def events_of(call: Call) -> list[dict[str, Any]]:
    return call.body.get("events", [call.body])  # type: ignore[no-any-return]


def results_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 202, reply
    return reply.body.get("results", [reply.body])  # type: ignore[no-any-return]


def ids_of(clients: Clients) -> dict[tuple[int, str], str]:
    """The id that was answered for each user's key."""
    return {
        (event["user_id"], event["idempotency_key"]): result["id"]
        for number, reply in clients.replies.items()
        for event, result in zip(events_of(clients.calls[number]), results_of(reply), strict=True)
    }


def stored_event(row: Any) -> tuple[Any, ...]:
    return row["metric"], row["quantity"], json.loads(row["metadata"] or "null")


def assert_each_key_once(db: Connection, sent: list[dict[str, Any]], ids: dict[tuple[int, str], str]) -> None:
    """Not more events than keys, each what was sent with its key and under the id that was answered."""
    events = fetch_all(db, "SELECT * FROM usage_events")
    keys = fetch_all(db, "SELECT * FROM usage_keys")
    assert len(events) == len(keys) == len(sent) == len(ids)
    stored = {(row["user_id"], row["idempotency_key"]): row for row in events}
    assert {key: row["id"] for key, row in stored.items()} == ids
    assert {(row["user_id"], row["idempotency_key"]): row["event_id"] for row in keys} == ids
    for event in sent:
        row = stored[event["user_id"], event["idempotency_key"]]
        assert stored_event(row) == (event["metric"], event["quantity"], event.get("metadata"))
        assert row["at"] == event.get("at", row["recorded_at"])


def assert_sums(db: Connection, sent: list[dict[str, Any]]) -> None:
    """Events, days and counters are what was sent, added up here."""
    expected, days, by_day, counters = Sums(), Sums(), Sums(), Sums()
    for event in sent:
        expected[event["user_id"], event["metric"]] += event["quantity"]
        if "at" in event:
            by_day[event["user_id"], event["metric"], event["at"][:10]] += event["quantity"]
    rows = fetch_all(db, "SELECT * FROM usage_aggregates")
    for row in rows:
        days[row["user_id"], row["metric"]] += row["total"]
    assert days == expected
    timed = {(row["user_id"], row["metric"], row["period_start"]): row["total"] for row in rows}
    assert {place: total for place, total in timed.items() if place[1] == "tokens"} == by_day
    months = Sums()
    for row in rows:
        months[row["user_id"], row["metric"], row["period_start"][:7]] += row["total"]
    for row in fetch_all(db, "SELECT * FROM usage_counters"):
        counters[row["user_id"], row["metric"], row["month"]] += row["used"]
        assert row["reserved"] == 0
    assert counters == months
    per_day = Sums()
    for row in fetch_all(db, "SELECT * FROM usage_events"):
        per_day[row["user_id"], row["metric"], row["day"]] += row["quantity"]
    assert per_day == timed


def test_thousands_of_posts_through_three_kills_are_recorded_once_each_and_none_that_was_acknowledged_is_lost(
    serve: Callable[[], MeteringServer], url: str, people: Cast, users: range
) -> None:
    chance = random.Random(20260520)
    clients = Clients(random_posts(chance, people.ada.headers))
    kill_three_times(serve, clients, chance)
    server = serve()
    clients.send(server, clients.unanswered())
    ids = ids_of(clients)

    # A client that was cut off sends all that it knows again: the same ids, and nothing is new.
    again = clients.send(server, range(len(clients.calls)))
    for number, call in enumerate(clients.calls):
        for event, result in zip(events_of(call), results_of(again[number]), strict=True):
            first = ids[event["user_id"], event["idempotency_key"]]
            assert (result["id"], result["duplicate"]) == (first, True)
    server.stop()

    sent = [event for call in clients.calls for event in events_of(call)]
    db = billing_db.connect(url)
    assert_each_key_once(db, sent, ids)
    assert_sums(db, sent)
    assert_sound(db)
    db.close()


def assert_sound(db: Connection) -> None:
    if billing_db.engine(db) == "sqlite":
        assert fetch_one(db, "PRAGMA integrity_check")["integrity_check"] == "ok"


# -- calls of the host's own routes ------------------------------------------------------------------------


def test_calls_that_were_answered_before_a_kill_are_counted_and_none_is_counted_twice(
    serve: Callable[[], MeteringServer], url: str, db: Connection, users: range
) -> None:
    chance = random.Random(20260521)
    callers = [100, 101, 102, 103, 104]
    with atomic(db):
        for user_id in callers:
            row = "INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (:id, 'pro', 'active')"
            execute(db, row, id=user_id)
    kinds = [
        (user_id, path, rule)
        for user_id in callers
        for path, rule in (("/api/races/7", "/api/races/<int:race>"), ("/quota", "/quota"))
    ]
    headers = {user_id: {"Authorization": f"Bearer {token_for(user_id)}"} for user_id in callers}
    chosen = chance.choices(kinds, k=CALLS)
    clients = Clients([Call("GET", path, headers[user_id]) for user_id, path, _ in chosen])
    lost = kill_three_times(serve, clients, chance)
    server = serve()
    clients.send(server, clients.unanswered())
    server.stop()
    assert {reply.status for reply in clients.replies.values()} == {200}

    answered, sent = Sums(), Sums()
    for number, (user_id, _, rule) in enumerate(chosen):
        answered[user_id, rule] += 1
        sent[user_id, rule] += clients.sent[number]
    log, months = Sums(), Sums()
    for row in fetch_all(db, "SELECT * FROM consumption_log"):
        log[row["user_id"], row["endpoint"]] += row["api_calls"]
        months[row["user_id"], row["date"][:7]] += row["api_calls"]
    assert log.keys() == answered.keys()
    assert all(answered[place] <= log[place] <= sent[place] for place in log)
    assert CALLS == answered.total() <= log.total() <= sent.total() == CALLS + lost
    counters = fetch_all(db, "SELECT user_id, month, used FROM usage_counters WHERE metric = 'api_calls'")
    assert {(row["user_id"], row["month"]): row["used"] for row in counters} == months
    assert_sound(db)
