"""Migrations are applied once, in one piece, by one of many; what cannot be trusted is refused in one sentence."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import billing_db
from billing_db import Connection, DatabaseRefused, DatabaseUnavailable, atomic, execute, run_script
from tests.domain import reference_database as reference
from tests.domain.reference_database import everything, insert, invoice, log, rows
from tests.migrated import MIGRATIONS
from turf_saas import schema, status
from turf_saas.schema import runner
from turf_saas.schema.runner import Migration
from turf_saas.settings import Settings, read_settings

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings() -> Settings:
    return read_settings({"TURF_SAAS_DB": "unused"})


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    db = billing_db.connect(empty_url)
    yield db
    db.close()


@pytest.fixture
def other(url: str) -> Iterator[Connection]:
    """Somebody else in the migrated database."""
    db = billing_db.connect(url)
    yield db
    db.close()


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs a program against this checkout."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )


# -- once ----------------------------------------------------------------------------------------------

STARTER = """
import sys
from datetime import UTC, datetime
import billing_db
from turf_saas import schema
from turf_saas.settings import read_settings
settings = read_settings({"TURF_SAAS_DB": sys.argv[1]})
print("here", flush=True)
sys.stdin.readline()
db = billing_db.connect(sys.argv[1])
print(schema.migrate(db, datetime.now(UTC), settings).applied)
assert schema.is_current(db, settings)
db.close()
"""


def test_of_eight_starters_at_once_one_migrates_and_all_go_on(empty_url: str) -> None:
    starters = [start(STARTER, empty_url) for _ in range(8)]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "here\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    said = [starter.communicate(timeout=60) for starter in starters]
    assert [error for _, error in said] == [""] * 8
    assert sorted(out for out, _ in said) == [f"{MIGRATIONS}\n"] + ["[]\n"] * 7


def test_a_second_run_does_nothing_while_another_holds_every_lock(
    db: Connection, other: Connection, settings: Settings, engine: str
) -> None:
    before = everything(db)
    with atomic(other):
        billing_db.lock(other, "billing_migrations")
        if engine == "postgresql":
            execute(other, "LOCK TABLE billing_migrations, users IN EXCLUSIVE MODE")
        assert schema.migrate(db, NOW, settings).applied == []
        assert schema.rehearse(db, settings).applied == []
        assert schema.is_current(db, settings)
    assert everything(db) == before


def test_the_record_says_what_was_applied_and_when(empty: Connection, settings: Settings) -> None:
    schema.migrate(empty, NOW, settings)
    recorded = rows(empty, "SELECT number, name, sha256, applied_at FROM billing_migrations")
    first, second, third, fourth, fifth, sixth = schema.migrations(schema.engine(empty))
    assert recorded == [
        (1, "foundation", first.sha256, "2026-06-01T08:00:00Z"),
        (2, "metering", second.sha256, "2026-06-01T08:00:00Z"),
        (3, "subscriptions", third.sha256, "2026-06-01T08:00:00Z"),
        (4, "invoices", fourth.sha256, "2026-06-01T08:00:00Z"),
        (5, "jobs", fifth.sha256, "2026-06-01T08:00:00Z"),
        (6, "payments", sixth.sha256, "2026-06-01T08:00:00Z"),
    ]


def test_a_connection_is_left_as_it_was(empty: Connection, settings: Settings, engine: str) -> None:
    schema.migrate(empty, NOW, settings)
    assert not billing_db.in_transaction(empty)
    if engine == "sqlite":
        pragmas = [empty.execute(f"PRAGMA {name}").fetchone()[0] for name in ("foreign_keys", "legacy_alter_table")]
        assert pragmas == [1, 0]


def test_a_migration_inside_a_transaction_is_a_mistake(empty: Connection, settings: Settings) -> None:
    with atomic(empty), pytest.raises(RuntimeError, match="its own transaction"):
        schema.migrate(empty, NOW, settings)


def test_the_references_command_says_what_it_did(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TURF_SAAS_DB", empty_url)
    billing_db.migrate_billing_tables()
    billing_db.migrate_billing_tables()
    assert capsys.readouterr().out.splitlines() == [
        f"[billing_db] {', '.join(MIGRATIONS)}: the billing tables are ready.",
        "[billing_db] nothing to do: the billing tables are ready.",
    ]


# -- or not at all -------------------------------------------------------------------------------------


def test_an_edited_migration_is_refused(db: Connection, settings: Settings) -> None:
    with atomic(db):
        execute(db, "UPDATE billing_migrations SET sha256 = 'another'")
    for ask in (schema.is_current, schema.rehearse, lambda db, given: schema.migrate(db, NOW, given)):
        with pytest.raises(DatabaseRefused, match="0001_foundation was edited after it had been applied"):
            ask(db, settings)


def test_a_newer_database_is_refused(db: Connection, settings: Settings) -> None:
    with atomic(db):
        execute(db, "INSERT INTO billing_migrations VALUES (9999, 'from_tomorrow', 'x', 'then')")
    for ask in (schema.is_current, schema.rehearse, lambda db, given: schema.migrate(db, NOW, given)):
        with pytest.raises(DatabaseRefused, match="newer than this program: it has migration 9999"):
            ask(db, settings)


def test_another_programs_record_of_migrations_is_refused_and_left_alone(empty: Connection, settings: Settings) -> None:
    with atomic(empty):
        execute(empty, "CREATE TABLE billing_migrations (number INTEGER, done TEXT)")
    before = everything(empty)
    asks = (schema.is_current, schema.rehearse, lambda db, given: schema.migrate(db, NOW, given))
    for ask in (*asks, lambda db, given: status.get_status(db, NOW, given)):
        with pytest.raises(DatabaseRefused, match="a table billing_migrations that is not ours"):
            ask(empty, settings)
    assert everything(empty) == before


class Mishap(Exception):
    pass


def test_a_migration_that_fails_leaves_nothing_behind(empty: Connection, settings: Settings) -> None:
    def apply(db: Connection, step: Migration) -> None:
        run_script(db, step.sql)
        if step.name == "broken":
            raise Mishap

    whole = Migration(1, "whole", "CREATE TABLE whole (id INTEGER);\n")
    broken = Migration(3, "broken", "CREATE TABLE half (id INTEGER);\nINSERT INTO half VALUES (1);\n")
    with pytest.raises(Mishap):
        runner.migrate(empty, "now", [whole, broken], apply)
    assert everything(empty) == {"objects": []}
    assert schema.migrate(empty, NOW, settings).applied == MIGRATIONS


def test_a_later_migration_is_applied_alone_and_may_not_break_a_reference(
    db: Connection, settings: Settings, engine: str
) -> None:
    done = schema.migrations(engine)

    def apply(db: Connection, step: Migration) -> None:
        run_script(db, step.sql)

    pets = Migration(len(done) + 1, "pets", "CREATE TABLE pets (owner BIGINT REFERENCES users (id));\n")
    assert runner.migrate(db, "now", [*done, pets], apply) == [str(pets)]
    orphan = Migration(pets.number + 1, "orphan", "INSERT INTO pets VALUES (99);\n")
    with pytest.raises(billing_db.DatabaseError, match="pets"):
        runner.migrate(db, "now", [*done, pets, orphan], apply)
    assert rows(db, "SELECT * FROM pets") == []


KILLED = """
import os, signal, sqlite3, sys
from datetime import UTC, datetime
import billing_db
from turf_saas import schema
from turf_saas.settings import read_settings

statements, last = 0, int(sys.argv[2])

def step(*_):
    global statements
    statements += 1
    if statements == last:
        os.kill(os.getpid(), signal.SIGKILL)

db = billing_db.connect(sys.argv[1])
if isinstance(db, sqlite3.Connection):
    db.set_trace_callback(step)
else:
    class Counted(db.cursor_factory):
        def execute(self, *arguments, **options):
            step()
            return super().execute(*arguments, **options)
    db.cursor_factory = Counted
schema.migrate(db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": sys.argv[1]}))
db.close()
"""


def test_a_migration_that_is_killed_between_any_two_statements_leaves_the_database_as_it_was(
    empty_url: str, settings: Settings
) -> None:
    db = reference.create(empty_url)
    insert(db, "invoices", invoice(), invoice("FACT-202605-0002"))
    insert(db, "consumption_log", log(endpoint=None), log(endpoint=None), log(2, "hier"))
    insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    before = everything(db)
    db.close()
    for last in range(7, 2000, 23):
        program = start(KILLED, empty_url, str(last))
        _, error = program.communicate(timeout=60)
        assert program.returncode in (0, -signal.SIGKILL), error
        with contextlib.closing(billing_db.connect(empty_url)) as db:
            if schema.is_current(db, settings):  # this time it came to its end, or died after it
                assert rows(db, "SELECT user_id, used FROM usage_counters") == [(1, 2)]
                break
            assert program.returncode == -signal.SIGKILL
            assert everything(db) == before
    assert last > 70, "it was killed in the middle at least three times"


# -- files that are no use -----------------------------------------------------------------------------


def test_a_database_that_may_only_be_read_is_left_in_one_sentence(
    empty: Connection, settings: Settings, engine: str
) -> None:
    empty.execute("PRAGMA query_only = ON" if engine == "sqlite" else "SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable) as refused:
        schema.migrate(empty, NOW, settings)
    assert "\n" not in str(refused.value)
    assert everything(empty) == {"objects": []}


@pytest.mark.parametrize("name", ["missing/billing.db", "notes.txt"])
def test_a_useless_path_is_refused_in_one_line_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("dear diary, " * 200)
    program = subprocess.run(
        [sys.executable, "billing_db.py"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TURF_SAAS_DB": str(tmp_path / name)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert program.returncode == 1
    assert program.stdout == ""
    assert program.stderr.count("\n") == 1
    assert "Traceback" not in program.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_users_table_of_ours_beside_a_hosts_tables_is_said_in_the_log(
    empty_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, "CREATE TABLE people (id INTEGER PRIMARY KEY)")
    settings = read_settings({"TURF_SAAS_DB": empty_url})
    with caplog.at_level(logging.WARNING, "turf_saas.billing"):
        schema.rehearse(db, settings)
        assert not caplog.records
        schema.migrate(db, NOW, settings)
        schema.migrate(db, NOW, settings)
    db.close()
    assert [record.getMessage() for record in caplog.records] == [
        "this database had no table users: billing made a small one of its own"
    ]
