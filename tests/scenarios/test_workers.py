"""Several processes on one database: one of them migrates, all of them see what anybody writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import billing_db
from billing_db import fetch_all, fetch_one
from tests import cast
from tests.cast import SECRET
from tests.scenarios.serving import BILLING, ROOT, AnotherProgram, Server
from turf_saas.schema import FOLDER

CONSUMPTION = f"{BILLING}/consumption?month=2026-05"
WORKERS = 8


@pytest.fixture
def serve(empty_url: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Eight workers that take one request each, on a database with nothing in it."""
    (tmp_path / "meet").mkdir()
    started: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        everything = {"MEET": str(tmp_path / "meet"), **environment}
        started.append(Server(empty_url, "--workers", str(WORKERS), *options, **everything))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def applied(url: str) -> list[int]:
    db = billing_db.connect(url)
    try:
        return [row["number"] for row in fetch_all(db, "SELECT number FROM billing_migrations ORDER BY number")]
    finally:
        db.close()


def numbers_in_folder() -> list[int]:
    return sorted({int(path.name[:4]) for path in FOLDER.glob("[0-9]*.sql")})


def test_eight_workers_that_begin_at_once_on_nothing_are_all_healthy(
    serve: Callable[..., Server], empty_url: str
) -> None:
    server = serve()
    answers = server.ask_at_once(WORKERS, f"/meet/{WORKERS}")
    assert [answer.status for answer in answers] == [200] * WORKERS, server.stop()
    assert len({answer.text for answer in answers}) == WORKERS
    assert applied(empty_url) == numbers_in_folder()
    assert {answer.status for answer in server.ask_at_once(32, f"{BILLING}/readyz")} == {200}
    log = server.stop()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_workers_forked_after_the_database_was_used_agree_and_see_what_another_program_writes(
    serve: Callable[..., Server], empty_url: str
) -> None:
    server = serve("--preload", READY_BEFORE_FORK="1")
    first = server.ask_at_once(WORKERS, f"/meet/{WORKERS}")
    assert len({answer.text for answer in first}) == WORKERS, server.stop()
    assert applied(empty_url) == numbers_in_folder()

    db = billing_db.connect(empty_url)
    alice = cast.enter(db).alice
    alice.is_on("premium")
    used = 0
    for calls in (2_399, 1, 600):
        row = f"VALUES (1, '2026-05-03', {calls}, '{calls}')"
        row = f"INSERT INTO consumption_log (user_id, date, api_calls, endpoint) {row}"
        with AnotherProgram(empty_url, row):
            used += calls
            reads = server.ask_at_once(200, CONSUMPTION, alice.headers)
            assert {read.status for read in reads} == {200}
            assert {read.json["consumption"]["total_api_calls"] for read in reads} == {used}
            alert = {2_399: None, 2_400: "soft_limit_warning", 3_000: "hard_limit_reached"}[used]
            assert {read.headers["X-Billing-Alert"] for read in reads} == {alert}
    if not billing_db.is_postgresql(empty_url):
        assert fetch_one(db, "PRAGMA integrity_check")["integrity_check"] == "ok"
    db.close()
    assert "Traceback" not in server.stop()


ONE_REQUEST = """
from tests.scenarios.served import app
print(app.test_client().get("/api/v1/billing/readyz").status_code)
"""


def test_eight_programs_that_begin_at_once_on_nothing_are_all_ready(empty_url: str) -> None:
    environment = {**os.environ, "TURF_SAAS_DB": empty_url, "JWT_SECRET_KEY": SECRET}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_REQUEST], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(WORKERS)
    ]
    assert [program.communicate(timeout=60)[0] for program in programs] == ["200\n"] * WORKERS
    assert applied(empty_url) == numbers_in_folder()
