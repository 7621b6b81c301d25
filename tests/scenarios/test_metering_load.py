"""Reports that meet: batches that share keys and users, and bodies that are sent to hurt."""

from __future__ import annotations

import json
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Cast, Person
from tests.scenarios.metering_clients import TWO_WORKERS, USAGE, Call, Clients, MeteringServer
from tests.scenarios.serving import BILLING

ONE_WORKER = ("--worker-class", "gthread", "--workers", "1", "--threads", "4")
THREADS = 8
ROUNDS = 12
MEBIBYTE = 1024 * 1024


@pytest.fixture
def serve(url: str) -> Iterator[Callable[..., MeteringServer]]:
    started: list[MeteringServer] = []

    def start(*options: str) -> MeteringServer:
        started.append(MeteringServer(url, *options))
        assert started[-1].ask(f"{BILLING}/readyz").status == 200
        return started[-1]

    yield start
    logs = [server.stop() for server in started]
    assert "Traceback" not in "".join(logs)


# -- batches that share keys and users ------------------------------------------------------------------


def shared_events(number: int) -> list[dict[str, Any]]:
    """Ninety events of thirty users whom nobody knows yet. 50 001 tokens each time: the second passes 80 % of a free
    plan's 100 000, and so does the third with all of it."""
    return [
        {
            "user_id": 1_000 + 100 * number + n % 30,
            "metric": "tokens" if n % 2 else "exports",
            "quantity": 50_001,
            "idempotency_key": f"shared-{n}",
        }
        for n in range(90)
    ]


def overlapping(chance: random.Random, events: list[dict[str, Any]]) -> Iterator[Any]:
    """The first two thirds and the last two thirds, in eight orders; and single events of both."""
    for half in (events[:60], events[30:]) * (THREADS // 2):
        yield {"events": chance.sample(half, len(half))}
    yield from chance.sample(events, THREADS)


def send_all(server: MeteringServer, headers: dict[str, str], bodies: list[Any]) -> dict[Any, list[dict[str, Any]]]:
    """What was answered for each user's key, by whoever sent it. Everybody got a 202: no deadlock, no refusal."""
    clients = Clients([Call("POST", USAGE, headers, body) for body in bodies], THREADS)
    replies = clients.send(server, range(len(bodies)))
    assert Counter(reply.status for reply in replies.values()) == {202: len(bodies)}
    answered: dict[Any, list[dict[str, Any]]] = {}
    for number, body in enumerate(bodies):
        reply = replies[number].body
        for event, result in zip(body.get("events", [body]), reply.get("results", [reply]), strict=True):
            answered.setdefault((event["user_id"], event["idempotency_key"]), []).append(result)
    return answered


def assert_recorded_once(url: str, sent: list[dict[str, Any]]) -> None:
    """An event for each key, and days and counters are their sums."""
    expected: Counter[Any] = Counter()
    for event in sent:
        expected[event["user_id"], event["metric"]] += event["quantity"]
    with closing(billing_db.connect(url)) as db:
        events = fetch_all(db, "SELECT user_id, idempotency_key FROM usage_events")
        assert len(events) == len(sent)
        assert {(row["user_id"], row["idempotency_key"]) for row in events} == {
            (event["user_id"], event["idempotency_key"]) for event in sent
        }
        for table, column in (("usage_aggregates", "total"), ("usage_counters", "used")):
            sums: Counter[Any] = Counter()
            for row in fetch_all(db, f"SELECT user_id, metric, {column} AS quantity FROM {table}"):
                sums[row["user_id"], row["metric"]] += row["quantity"]
            assert sums == expected, table


def test_batches_with_the_same_keys_in_different_orders_never_block_each_other(
    serve: Callable[..., MeteringServer], url: str, people: Cast, db: Connection
) -> None:
    chance = random.Random(20260522)
    rounds = [shared_events(number) for number in range(ROUNDS)]
    bodies = [body for events in rounds for body in overlapping(chance, events)]
    server = serve(*TWO_WORKERS)
    answered = send_all(server, people.ada.headers, bodies)
    server.stop()

    sent = [event for events in rounds for event in events]
    assert len(answered) == len(sent) == ROUNDS * 90
    for results in answered.values():  # recorded by one of those who sent it, a duplicate for the others
        assert [result["duplicate"] for result in results].count(False) == 1
        assert len({result["id"] for result in results}) == 1
    assert_recorded_once(url, sent)
    # Fifteen of thirty users have three events of tokens: each passes 80 and 100 %, and each is noted once.
    noted = fetch_one(db, "SELECT COUNT(*) AS n, COUNT(signalled_at) AS told FROM usage_thresholds")
    assert (noted["n"], noted["told"]) == (ROUNDS * 15 * 2,) * 2


def test_batches_about_the_same_users_in_different_orders_never_block_each_other(
    serve: Callable[..., MeteringServer], url: str, people: Cast, db: Connection
) -> None:
    """Nobody waits for a key or a user of another batch, so that all of them reach the days and counters at once."""
    chance = random.Random(20260523)
    users = range(1_000, 1_040)
    with atomic(db):
        for user_id in users:
            execute(db, "INSERT INTO users (id, name) VALUES (:id, :name)", id=user_id, name=f"user {user_id}")
    batches = []
    for number in range(ROUNDS * THREADS):
        events = [
            {"user_id": user_id, "metric": metric, "quantity": 7, "idempotency_key": f"{number}-{metric}"}
            for user_id in users
            for metric in ("tokens", "exports")
        ]
        batches.append(chance.sample(events, len(events)))
    server = serve(*TWO_WORKERS)
    answered = send_all(server, people.ada.headers, [{"events": events} for events in batches])
    server.stop()
    assert {result["duplicate"] for results in answered.values() for result in results} == {False}
    assert_recorded_once(url, [event for events in batches for event in events])


# -- bodies that are sent to hurt -----------------------------------------------------------------------


def peak_memory(server: MeteringServer) -> int:
    """The most that a worker of the server ever held, in bytes."""
    master = server.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    assert workers
    return max(
        int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())[0]) * 1024
        for worker in workers
    )


def send(server: MeteringServer, person: Person, headers: str, parts: Iterable[bytes]) -> tuple[int, Any]:
    """As much as the server takes, and what it says then."""
    where = urlsplit(server.address)
    head = f"POST {USAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {person.token}\r\n"
    with socket.create_connection((where.hostname, where.port), timeout=60) as sock:
        try:
            sock.sendall(f"{head}Content-Type: application/json\r\n{headers}\r\n\r\n".encode())
            for part in parts:
                sock.sendall(part)
        except OSError:
            pass  # it has answered already and wants no more
        raw = b""
        try:
            while read := sock.recv(65536):
                raw += read
        except ConnectionResetError:
            pass
    top, _, body = raw.partition(b"\r\n\r\n")
    return (int(top.split()[1]), json.loads(body)) if body else (0, None)


def send_whole(server: MeteringServer, person: Person, body: bytes) -> tuple[int, Any]:
    return send(server, person, f"Content-Length: {len(body)}", [body])


def batch(how_many: int, **more: Any) -> bytes:
    events = [{"metric": "tokens", "quantity": 1, "idempotency_key": f"{n:0255d}", **more} for n in range(how_many)]
    return json.dumps({"events": events}, ensure_ascii=False).encode()


TWENTY_KILOBYTES = {f"name {n}": "é" * 500 for n in range(20)}  # twenty thousand bytes and the names
HURTING = {
    "a hundred thousand brackets": (b"[" * 100_000, 400),
    "a hundred thousand objects": (b'{"metadata":' * 100_000, 400),
    "a thousand events with twenty kilobytes of metadata each": (batch(1000, metadata=TWENTY_KILOBYTES), 413),
    "as many of them as a body may hold, with a name too many": (batch(50, metadata={**TWENTY_KILOBYTES, "": 1}), 422),
    "two megabytes of lists in lists": (b'{"events":[' + (b"[" * 300 + b"]" * 300 + b",") * 3400 + b"1]}", 400),
    "a hundred thousand empty events": (b'{"events":[' + b",".join([b"{}"] * 99_998) + b"]}", 422),
    "two megabytes of no numbers": (b'{"events":[' + b"1e999," * 340_000 + b"1]}", 400),
    "half a million events": (b'{"events":[' + b",".join([b"{}"] * 500_000) + b"]}", 400),
    "a thousand events with nothing right in them": (batch(1000, metric=None, quantity="1", at=0, user_id=[]), 422),
    "a thousand events with thirty unknown names each": (batch(1000, **{f"x{n}": n for n in range(30)}), 400),
    "a thousand keys twice": (b'{"events":[' + b",".join([b'{"metric":1,"metric":1}'] * 1000) + b"]}", 400),
}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_bodies_that_are_sent_to_hurt_are_refused_and_memory_stays_flat(
    serve: Callable[..., MeteringServer], db: Connection, people: Cast
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to read a process's memory from")
    ada = people.ada
    server = serve(*ONE_WORKER)
    assert send_whole(server, ada, b'{"metric": "tokens", "quantity": 1}')[0] == 202
    before = peak_memory(server)

    hundred = 100 * MEBIBYTE
    status, answer = send(server, ada, f"Content-Length: {hundred}", [])  # an answer: the body was not waited for
    assert (status, answer["code"]) == (413, "body_too_large")
    assert send(server, ada, f"Content-Length: {hundred}", [b" " * MEBIBYTE] * 100)[0] in {413, 0}
    chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"
    assert send(server, ada, "Transfer-Encoding: chunked", [chunk] * 100)[0] in {413, 0}
    refused = {name: send_whole(server, ada, body)[0] for name, (body, _) in HURTING.items()}
    assert refused == {name: status for name, (_, status) in HURTING.items()}
    assert peak_memory(server) - before < 50 * MEBIBYTE

    # The largest that is accepted: a thousand events with keys of 255 characters and a kilobyte of metadata.
    assert send_whole(server, ada, batch(1000, metadata={"note": "x" * 500, "more": "x" * 500}))[0] == 202
    assert peak_memory(server) - before < 50 * MEBIBYTE
    assert fetch_one(db, "SELECT COUNT(*) AS n FROM usage_events")["n"] == 1_001
