"""Another program holds the database: reads and writes are answered or refused with Retry-After, never a 500."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

import billing_db
from billing_db import execute, fetch_one, get_db
from tests.cast import Person
from tests.scenarios.serving import BILLING, AnotherProgram, Answer, Server

CONSUMPTION = f"{BILLING}/consumption?month=2026-05"
THREADS = ("--worker-class", "gthread", "--workers", "1", "--threads", "8")
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture
def serve(url: str) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(**environment: str) -> Server:
        started.append(Server(url, *THREADS, **environment))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def healthy(server: Server, person: Person, used: int) -> None:
    assert server.ask(f"{BILLING}/readyz").status == 200
    reads = server.ask_at_once(16, CONSUMPTION, person.headers)
    assert {read.status for read in reads} == {200}
    assert {read.json["consumption"]["total_api_calls"] for read in reads} == {used}


def refused(answer: Answer) -> bool:
    assert answer.json["code"] == "database_busy"
    assert answer.headers["Retry-After"] == "1"
    return answer.status == 503


def test_while_another_program_holds_the_database_nobody_gets_a_500(
    serve: Callable[..., Server], url: str, engine: str, alice: Person
) -> None:
    alice.has_used(7)
    server = serve(PATIENCE="0.3")
    healthy(server, alice, 7)
    hold = ["BEGIN EXCLUSIVE"] if engine == "sqlite" else ["BEGIN", "LOCK TABLE usage_counters, users"]
    with AnotherProgram(url, *hold):
        reads = server.ask_at_once(24, CONSUMPTION, alice.headers)
        if engine == "sqlite":  # in WAL a reader never waits for a writer
            assert {read.status for read in reads} == {200}
            assert all(refused(write) for write in server.ask_at_once(8, f"{BILLING}/readyz"))
        else:
            assert all(refused(read) for read in reads)
            assert server.ask(f"{BILLING}/readyz").status == 200
        assert server.ask(f"{BILLING}/healthz").status == 200
    healthy(server, alice, 7)
    assert "Traceback" not in server.stop()


@on_sqlite
def test_by_default_a_write_waits_five_seconds_and_reads_go_on(
    serve: Callable[..., Server], url: str, alice: Person
) -> None:
    assert billing_db.BUSY_SECONDS == 5.0
    server = serve()
    healthy(server, alice, 0)
    with AnotherProgram(url, "BEGIN IMMEDIATE"):
        assert refused(server.ask(f"{BILLING}/readyz"))
        assert server.ask(CONSUMPTION, alice.headers).status == 200
    healthy(server, alice, 0)


@on_sqlite
def test_a_program_that_keeps_even_readers_out_is_waited_for(
    serve: Callable[..., Server], url: str, alice: Person
) -> None:
    alice.has_used(7)
    alice.db.close()
    server = serve(PATIENCE="0.3")
    with AnotherProgram(url, "PRAGMA locking_mode = EXCLUSIVE", "UPDATE users SET name = name"):
        assert all(refused(read) for read in server.ask_at_once(4, CONSUMPTION, alice.headers))
    healthy(server, alice, 7)


def test_what_a_request_left_open_is_not_saved_by_the_next_one(
    make_app: Callable[..., Flask], url: str, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()

    @app.get("/forgetful")
    def forgetful() -> str:
        get_db(url).execute("BEGIN")
        execute(get_db(url), "UPDATE users SET name = 'never said' WHERE id = :id", id=alice.id)
        return "done"

    client = app.test_client()
    assert client.get("/forgetful").status_code == 200
    assert "left open: rolled back" in caplog.text
    assert client.get(f"{BILLING}/readyz").status_code == 200
    alice.has_used(1)
    assert fetch_one(alice.db, "SELECT name FROM users WHERE id = :id", id=alice.id)["name"] == "alice"


@on_sqlite
def test_whoever_comes_while_the_database_is_being_prepared_is_asked_to_come_again(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.05)
    app = make_app()
    client = app.test_client()
    with app.extensions["billing"]._lock:  # as another thread that migrates would
        reply = client.get(f"{BILLING}/readyz")
    assert (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "database_busy", "1")
    assert client.get(f"{BILLING}/readyz").status_code == 200
