"""A backup is one state of the database, made while others write; an app serves from what is restored of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

import billing_db
from billing_db import Connection, DatabaseBusy, fetch_one
from tests.billed import JUNE, SETTINGS, bill
from tests.cast import Cast, Person
from tests.conftest import NOW
from tests.domain.tables import change
from tests.require import without
from turf_saas import usage_check
from turf_saas.backup import backup
from turf_saas.errors import Conflict, InvalidInput, Unavailable
from turf_saas.settings import Settings, read_settings
from turf_saas.verifying import verify

Restore = Callable[[Path], str]
BOUND = 60  # seconds
# Each commit is an event, its key, its day and its month's counter.
WRITER = """
import sys, threading
from datetime import UTC, datetime
import billing_db
from turf_saas import usage
from turf_saas.settings import read_settings

url = sys.argv[1]
db, settings, stop = billing_db.connect(url), read_settings({"TURF_SAAS_DB": url}), threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
for number in range(1_000_000):
    now = datetime.now(UTC)
    usage.record_event(db, now, settings, usage.NewEvent(1, 1, "tokens", 1 + number % 7, now, key=f"w{number}"))
    if number == 20:
        print("ready", flush=True)
    if stop.is_set():
        break
"""


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url})


@pytest.fixture(autouse=True)
def _with_its_programs(engine: str) -> None:
    if engine == "postgresql" and not (shutil.which("pg_dump") and shutil.which("pg_restore")):
        without("postgres", "pg_dump and pg_restore are not in the PATH")


@pytest.fixture
def restore(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Restore]:
    """What docs/operations.md says: a new path or a new database, and its address."""
    made: list[str] = []

    def new(file: Path) -> str:
        if engine == "sqlite":
            return str(shutil.copy(file, tmp_path / f"restored-{len(list(tmp_path.iterdir()))}.db"))
        made.append(request.getfixturevalue("cluster").new_database())
        words = ["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={made[-1]}", str(file)]
        subprocess.run(words, check=True, timeout=BOUND)
        return made[-1]

    yield new
    billing_db.close_db()
    for url in made:
        request.getfixturevalue("cluster").drop_database(url)


@contextmanager
def written_to(url: str) -> Iterator[None]:
    """Another process records events as fast as it can."""
    words = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            yield
            assert writer.poll() is None, "it was to write until the end"
        finally:
            writer.communicate(timeout=BOUND)
    assert writer.returncode == 0


def count_events(db: Connection) -> int:
    row = fetch_one(db, "SELECT COUNT(*) AS many FROM usage_events WHERE idempotency_key LIKE 'w%'")
    return int(row["many"]) if row else 0


def run(app: Flask, *words: str) -> Result:
    result = app.test_cli_runner().invoke(args=["billing", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def left_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith("billing.db")}


# -- it is one state, and serves -------------------------------------------------------------------


def test_what_is_restored_serves_and_proves_though_it_was_made_under_constant_load(
    db: Connection, url: str, people: Cast, make_app: Callable[..., Flask], restore: Restore, tmp_path: Path
) -> None:
    bill(db, people)
    file = tmp_path / "copy"
    with written_to(url):
        before = count_events(db)
        told = run(make_app(), "backup", str(file), "--json")
        after = count_events(db)
    assert told.exit_code == 0, told.output
    answer = json.loads(told.stdout)
    assert (answer["file"], answer["bytes"], answer["dry_run"]) == (str(file), file.stat().st_size, False)
    assert (answer["pending"], answer["counts"]["invoices"], answer["seconds"] > 0) == ([], 6, True)
    assert [(chain["tenant_id"], chain["position"]) for chain in answer["chains"]] == [(1, 4), (2, 2)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert left_in(tmp_path) == {"copy"}

    with closing(billing_db.connect(restored := restore(file))) as copy:
        assert before <= count_events(copy) <= after
        assert usage_check.check(copy).disagreements == 0
        found = verify(copy, SETTINGS, JUNE)
        assert (found.documents, found.wrong.many) == (6, 0)
        assert [head._asdict() for head in found.heads] == answer["chains"]
        used = count_used(copy)
    app = make_app(TURF_SAAS_DB=restored)
    proved = json.loads(run(app, "verify", "--json").stdout)
    assert (proved["ok"], proved["chains"]) == (True, answer["chains"])
    read = app.test_client().get("/api/v1/billing/consumption", headers=people.alice.headers)
    assert used in [metric["used"] for metric in read.get_json()["metrics"]]
    people.alice.db = billing_db.get_db(restored)
    people.alice.has_used(1)  # it takes new rows too


def count_used(db: Connection) -> int:
    """Of the tokens that were written, by the sum of the events."""
    row = fetch_one(db, "SELECT SUM(quantity) AS used FROM usage_events WHERE idempotency_key LIKE 'w%'")
    assert row is not None
    return int(row["used"])


def test_a_backup_is_made_before_the_migration_and_migrates_nothing(
    empty_url: str, make_app: Callable[..., Flask], restore: Restore, tmp_path: Path
) -> None:
    with closing(billing_db.connect(empty_url)) as db:
        change(db, "CREATE TABLE hosts_own (id INTEGER)")
        change(db, "INSERT INTO hosts_own VALUES (7)")
    told = run(make_app(TURF_SAAS_DB=empty_url), "backup", str(tmp_path / "copy"), "--json")
    assert told.exit_code == 0, told.output
    answer = json.loads(told.stdout)
    assert (answer["counts"], answer["chains"], len(answer["pending"]) >= 5) == (None, [], True)
    with closing(billing_db.connect(restore(tmp_path / "copy"))) as copy:
        row = fetch_one(copy, "SELECT id FROM hosts_own")
        assert row is not None
        assert row["id"] == 7


def test_a_person_is_told_the_same(
    db: Connection, people: Cast, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    bill(db, people)
    lines = run(make_app(), "backup", str(tmp_path / "copy")).stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'copy'}: {(tmp_path / 'copy').stat().st_size} bytes in ")
    assert lines[0].endswith(" seconds, read again and sound")
    assert lines[1] == "pending    nothing"
    assert [line.partition(",")[0] for line in lines[-2:]] == [
        "chain of tenant 1: 4 documents",
        "chain of tenant 2: 2 documents",
    ]


# -- it overwrites nothing, and leaves nothing half done -------------------------------------------


def test_a_dry_run_says_how_much_it_would_be_and_makes_nothing(
    db: Connection, alice: Person, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    told = run(make_app(), "backup", str(tmp_path / "copy"), "--dry-run", "--json")
    answer = json.loads(told.stdout)
    assert (answer["dry_run"], answer["bytes"] > 100_000, answer["counts"]["users"]) == (True, True, 5)
    assert "would be written" in run(make_app(), "backup", str(tmp_path / "copy"), "--dry-run").stdout
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("what", ["file", "folder", "link", "wal", "no folder"])
def test_what_is_in_its_place_is_refused_and_kept(
    db: Connection, settings: Settings, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "copy"
    if what == "file":
        file.write_text("mine")
    elif what == "folder":
        file.mkdir()
    elif what == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif what == "wal":
        file.with_name("copy-wal").write_text("mine")
    else:
        file = tmp_path / "nowhere" / "copy"
    before = left_in(tmp_path)
    for dry_run in (True, False):
        with pytest.raises((Conflict, InvalidInput)) as refused:
            backup(db, NOW, settings, file, dry_run=dry_run)
        assert refused.value.code == ("file_unusable" if what == "no folder" else "file_exists")
    assert left_in(tmp_path) == before
    assert what != "file" or file.read_text() == "mine"


def test_a_refusal_at_the_prompt_is_one_sentence(url: str, make_app: Callable[..., Flask], tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    refused = run(make_app(BILLING_LOCALE="en"), "backup", str(tmp_path / "copy"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"Error: {tmp_path / 'copy'} is there already and is not overwritten.\n"


# -- SQLite ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_damaged_database_makes_no_backup(
    db: Connection, url: str, people: Cast, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    bill(db, people)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = fetch_one(db, "SELECT rootpage FROM sqlite_master WHERE name = 'billing_periods_once'")
    assert root is not None
    db.close()
    raw = bytearray(Path(url).read_bytes())
    raw[(root["rootpage"] - 1) * 4096 + 8 : root["rootpage"] * 4096] = b"\x5a" * 4088
    Path(url).write_bytes(raw)
    refused = run(make_app(BILLING_LOCALE="en"), "backup", str(tmp_path / "copy"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "The copy is not sound (" in refused.stderr
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_database_that_is_not_there_makes_no_backup(
    empty_url: str, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    refused = run(make_app(TURF_SAAS_DB=empty_url), "backup", str(tmp_path / "copy"))
    assert (refused.exit_code, left_in(tmp_path)) == (1, set())
    assert "is not there" in refused.stderr


@pytest.mark.parametrize("engine", ["sqlite"])
def test_it_does_not_wait_for_ever(
    url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.1)
    with closing(billing_db.connect(url)) as db, closing(sqlite3.connect(url, isolation_level=None)) as other:
        db.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusy):
            backup(db, NOW, settings, tmp_path / "copy")
        other.execute("COMMIT")
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_full_disk_is_a_refusal(db: Connection, settings: Settings, tmp_path: Path) -> None:
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable, match="backup_failed"):
            backup(db, NOW, settings, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, kept)
    assert left_in(tmp_path) == set()


# -- PostgreSQL ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["postgresql"])
def test_without_pg_dump_it_says_what_it_needs(
    url: str, make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = run(make_app(BILLING_LOCALE="en"), "backup", str(tmp_path / "copy"))
    assert (refused.exit_code, refused.stdout, left_in(tmp_path)) == (1, "", set())
    said = "To back up PostgreSQL, pg_dump and pg_restore have to be in the PATH (package postgresql-client)."
    assert refused.stderr == f"Error: {said}\n"


@pytest.mark.parametrize("engine", ["postgresql"])
def test_what_pg_dump_refuses_is_one_sentence_and_its_command_line_shows_no_password(
    db: Connection, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is a program of that name, which says how it was called."""
    programs = tmp_path / "billing.db-programs"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (programs / name).write_text('#!/bin/sh\necho "error: $PGPASSWORD: $*" >&2\necho more >&2\nexit 1\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    given = url.replace("postgresql://postgres@", "postgresql+psycopg://postgres:s3cret@")
    with pytest.raises(Unavailable) as refused:
        backup(db, NOW, read_settings({"TURF_SAAS_DB": given}), tmp_path / "copy")
    said = refused.value.params["reason"]
    assert (refused.value.code, said[:14], said.count("s3cret"), "more" in said) == (
        "backup_failed",
        "error: s3cret:",
        1,
        False,
    )
    assert "--format=custom --no-password" in said
    assert left_in(tmp_path) == set()
