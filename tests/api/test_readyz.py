"""Ready means that a row could be saved now: a full, read-only, missing or strange database is not ready."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

import billing_db
from billing_db import Connection, atomic, close_db, execute, fetch_one, get_db, run_script
from tests.cast import SECRET, Person

ROOT = Path(__file__).parents[2]
BILLING = "/api/v1/billing"
CONSUMPTION = f"{BILLING}/consumption?month=2026-05"
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def ready(client: FlaskClient) -> tuple[int, str]:
    reply = client.get(f"{BILLING}/readyz")
    assert reply.status_code == 200 or int(reply.headers["Retry-After"]) > 0
    return reply.status_code, reply.json if reply.status_code == 200 else reply.json["code"]


READY = (200, "ready")
UNAVAILABLE = (503, "database_unavailable")


# -- a write is tried, and nothing stays of it


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_db, "LOOK_AGAIN_SECONDS", 0)


def test_nothing_stays_of_the_write_that_is_tried(client: FlaskClient, url: str, db: Connection, engine: str) -> None:
    def size() -> int:
        if engine == "sqlite":
            return sum(file.stat().st_size for file in Path(url).parent.glob(f"{Path(url).name}*"))
        measure = "SELECT pg_total_relation_size('billing_installation') AS bytes"
        return int(fetch_one(db, measure)["bytes"])

    before = dict(fetch_one(db, "SELECT * FROM billing_installation"))
    for _ in range(100):
        assert ready(client) == READY
    size_once = size()
    for _ in range(300):
        assert ready(client) == READY
    assert size() <= size_once
    assert dict(fetch_one(db, "SELECT * FROM billing_installation")) == before


@on_sqlite
def test_a_full_database_is_not_ready_and_is_again_with_room(client: FlaskClient, url: str) -> None:
    assert ready(client) == READY
    db = get_db(url)
    pages = fetch_one(db, "PRAGMA page_count")["page_count"]
    db.execute(f"PRAGMA max_page_count = {pages}")
    assert ready(client) == UNAVAILABLE
    assert not db.in_transaction
    db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    assert ready(client) == READY
    assert fetch_one(db, "PRAGMA cache_size")["cache_size"] == -2000, "SQLite's own default, after both"


NO_ROOM = """
import resource, sys
from flask import Flask
from api_v1 import billing_bp
app = Flask("host")
app.config.update(TURF_SAAS_DB=sys.argv[1], JWT_SECRET_KEY=sys.argv[2], TESTING=True)
app.register_blueprint(billing_bp)
client = app.test_client()
def ask():
    return client.get("/api/v1/billing/readyz").status_code
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
app.extensions["billing"].db()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
told = [ask(), ask()]
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
print(*told, ask(), file=sys.stdout)
"""


@on_sqlite
def test_a_disk_without_room_is_met_although_nothing_is_saved(url: str) -> None:
    """No file may grow past a page: what SQLite kept in memory until the end would not notice."""
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, url, SECRET], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "503 503 200\n", done.stderr


@on_postgresql
def test_a_database_that_is_only_read_is_not_ready(client: FlaskClient, url: str) -> None:
    assert ready(client) == READY
    get_db(url).execute("SET default_transaction_read_only = on")
    assert ready(client) == UNAVAILABLE
    get_db(url).execute("SET default_transaction_read_only = off")
    assert ready(client) == READY


def test_several_may_ask_at_once_and_a_reader_is_not_held_up(
    client: FlaskClient, db: Connection, alice: Person
) -> None:
    with atomic(db):
        execute(db, "UPDATE users SET name = name WHERE id = :id", id=alice.id)
        assert client.get(CONSUMPTION, headers=alice.headers).status_code == 200
    assert ready(client) == READY


# -- the file goes away, or another takes its place


@on_sqlite
def test_a_removed_file_is_503_until_it_is_back(client: FlaskClient, url: str, alice: Person, tmp_path: Path) -> None:
    alice.has_used(7)
    alice.db.close()
    assert client.get(CONSUMPTION, headers=alice.headers).status_code == 200
    close_db()
    away = Path(url).rename(tmp_path / "away")
    for _ in range(2):
        assert ready(client) == UNAVAILABLE
        assert client.get(CONSUMPTION, headers=alice.headers).status_code == 503
    assert not Path(url).exists(), "an empty one would look like a company without customers"
    away.rename(url)
    assert ready(client) == READY
    reply = client.get(CONSUMPTION, headers=alice.headers)
    assert reply.json["consumption"]["total_api_calls"] == 7


@on_sqlite
def test_a_restored_file_is_the_one_that_counts(client: FlaskClient, url: str, alice: Person, tmp_path: Path) -> None:
    alice.has_used(7)
    with closing(sqlite3.connect(tmp_path / "backup")) as backup:
        alice.db.backup(backup)
    alice.has_used(70)
    alice.db.close()
    assert client.get(CONSUMPTION, headers=alice.headers).json["consumption"]["total_api_calls"] == 77
    for file in (url, f"{url}-wal", f"{url}-shm"):
        Path(file).unlink()
    (tmp_path / "backup").rename(url)
    assert client.get(CONSUMPTION, headers=alice.headers).json["consumption"]["total_api_calls"] == 7
    assert ready(client) == READY


def test_tables_that_are_gone_are_said_to_be_missing(
    client: FlaskClient, url: str, engine: str, alice: Person, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get(CONSUMPTION, headers=alice.headers).status_code == 200
    if engine == "sqlite":  # an empty file takes the place
        for file in (url, f"{url}-wal", f"{url}-shm"):
            Path(file).unlink()
        Path(url).touch()
    else:
        with atomic(get_db(url)):
            run_script(get_db(url), "DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    for path in (CONSUMPTION, f"{BILLING}/readyz"):
        reply = client.get(path, headers=alice.headers)
        assert (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "not_migrated", "60")
    assert "flask billing migrate" in caplog.text
    assert client.get("/api/v1/billing/healthz").status_code == 200


# -- where nothing is there yet


@on_sqlite
def test_without_auto_migration_no_request_makes_a_file(make_app: Callable[..., Flask], url: str) -> None:
    Path(url).unlink()
    app = make_app(BILLING_AUTO_MIGRATE="0")
    assert ready(app.test_client()) == (503, "not_migrated")
    assert not Path(url).exists()
    assert app.test_cli_runner().invoke(args=["billing", "migrate"]).exit_code == 0
    assert ready(app.test_client()) == READY


@on_sqlite
def test_another_app_of_the_process_begins_anew_where_the_file_was_removed(
    make_app: Callable[..., Flask], url: str
) -> None:
    """As a host's tests do, one after the other, with one path."""
    assert ready(make_app().test_client()) == READY
    for file in (url, f"{url}-wal", f"{url}-shm"):
        Path(file).unlink()
    assert ready(make_app().test_client()) == READY


# -- who only looks


@pytest.mark.parametrize("words", [("status",), ("doctor",), ("migrate", "--dry-run")])
@on_sqlite
def test_who_only_looks_changes_no_byte(
    make_app: Callable[..., Flask], url: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Neither the journal of a file that is not in WAL, nor the first page of an empty one."""
    shutil.copy(url, tmp_path / "rollback.db")
    with closing(sqlite3.connect(tmp_path / "rollback.db")) as db:
        assert db.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    (tmp_path / "empty.db").touch()
    for path in (tmp_path / "rollback.db", tmp_path / "empty.db"):
        before = path.read_bytes()
        make_app(TURF_SAAS_DB=str(path)).test_cli_runner().invoke(args=["billing", *words], catch_exceptions=False)
        assert path.read_bytes() == before
        assert sorted(file.name for file in tmp_path.glob(f"{path.name}*")) == [path.name]
    make_app(TURF_SAAS_DB=str(tmp_path / "rollback.db")).test_cli_runner().invoke(args=["billing", "migrate"])
    assert (tmp_path / "rollback.db").read_bytes()[18:20] == b"\2\2", "the deed itself does change to WAL"
