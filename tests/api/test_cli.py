"""`flask billing migrate, status, demo, doctor, admin create`: data on stdout, refusals on stderr, exit 0, 1 or 2."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import SECRET, Cast, Person
from tests.migrated import MIGRATIONS
from turf_saas import __version__
from turf_saas.accounts import log_in
from turf_saas.demo import SELLER
from turf_saas.status import shown_database
from turf_saas.users import get_users_table
from wsgi import create_app

Run = Callable[..., Result]


def runner(url: str) -> Run:
    """`flask billing …` in an app of its own, as each command has it."""

    def run(*words: str, stdin: str = "", **config: Any) -> Result:
        given = {"TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "development", **config}
        app: Flask = create_app(given)
        result = app.test_cli_runner().invoke(args=["billing", *words], input=stdin)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def run(url: str) -> Run:
    return runner(url)


@pytest.fixture
def run_empty(empty_url: str) -> Run:
    return runner(empty_url)


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# -- every command ---------------------------------------------------------------------------------

IN_UTC = "BILLING_TIMEZONE is UTC: months of French customers close at 01:00, in summer at 02:00."
COMMANDS = [
    ("migrate", "--dry-run"), ("status", "--json"), ("demo", "--dry-run"), ("doctor", "--json"),
    ("admin", "create", "--dry-run"), ("admin", "grant", "--json"), ("keys", "list", "--json"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_says_what_it_does_and_how(run: Run, words: tuple[str, ...]) -> None:
    shown = run(*words[:-1], "--help")
    assert shown.exit_code == 0
    assert words[-1] in shown.stdout
    assert "--json" in shown.stdout


@pytest.mark.parametrize("words", [("bogus",), ("status", "--bogus"), ("admin", "create"), ("migrate", "twice")])
def test_what_it_does_not_know_is_exit_2(run: Run, words: tuple[str, ...]) -> None:
    refused = run(*words)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr


# -- migrate ---------------------------------------------------------------------------------------


def test_a_dry_run_says_what_will_happen_and_makes_nothing(run_empty: Run, empty_url: str, engine: str) -> None:
    told = answer(run_empty("migrate", "--dry-run", "--json"))
    assert (told["dry_run"], told["applied"]) == (True, MIGRATIONS)
    assert told["users"] == {"table": "users", "id": "id", "key": "integer", "ours": True}
    if engine == "sqlite":
        assert not Path(empty_url).exists()
    assert answer(run_empty("status", "--json"))["applied"] == []


def test_migrating_twice_does_it_once(run_empty: Run) -> None:
    assert answer(run_empty("migrate", "--json"))["applied"] == MIGRATIONS
    assert answer(run_empty("migrate", "--json"))["applied"] == []
    assert run_empty("migrate").stdout == "The database is up to date.\n"
    assert run_empty("migrate", "--dry-run").stdout == "The database is up to date.\n"


def test_a_folder_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    run = runner(str(tmp_path / "nowhere" / "billing.db"))
    for words in (("migrate",), ("demo",), ("admin", "create", "boss@example.com")):
        refused = run(*words, stdin="a long password\n")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.count("\n") == 1
        assert "does not exist" in refused.stderr
    assert not (tmp_path / "nowhere").exists()


# -- status ----------------------------------------------------------------------------------------


def test_the_status_counts_what_is_there(run: Run, url: str, engine: str, alice: Person) -> None:
    alice.is_on("premium")
    alice.has_used(5)
    told = answer(run("status", "--json"))
    assert (told["version"], told["env"], told["engine"]) == (__version__, "development", engine)
    assert (told["applied"], told["pending"], told["missing"]) == (MIGRATIONS, [], False)
    assert told["counts"] == {
        "users": 5, "tenants": 2, "saas_subscriptions": 1, "consumption_log": 1, "usage_aggregates": 0, "invoices": 0,
    }  # fmt: skip
    assert told["database"] == shown_database(url)


def test_the_status_of_nothing_makes_nothing(run_empty: Run, empty_url: str, engine: str) -> None:
    told = answer(run_empty("status", "--json"))
    assert (told["applied"], told["pending"]) == ([], MIGRATIONS)
    assert (told["users"], told["counts"]) == (None, None)
    assert told["missing"] == (engine == "sqlite")
    assert "0001_foundation" in run_empty("status").stdout
    if engine == "sqlite":
        assert not Path(empty_url).exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://turf:hunter2@db.example/billing", "postgresql://db.example/billing"),
        ("postgresql://db.example:5433/billing?password=hunter2", "postgresql://db.example:5433/billing"),
        ("postgresql://turf@/billing?host=/run/postgresql&password=hunter2", "postgresql:///run/postgresql/billing"),
        ("postgresql://turf:hun@ter2@db.example/billing", "postgresql://db.example/billing"),
    ],
)
def test_the_database_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert shown_database(url) == shown


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project.get("version", __version__) == __version__


# -- demo ------------------------------------------------------------------------------------------


def test_the_demo_is_made_once(run: Run, db: Connection) -> None:
    told = answer(run("demo", "--dry-run", "--json"))
    assert told["made"][0] == "demo@example.com"
    assert fetch_one(db, "SELECT 1 FROM users") is None, "a dry run takes everything back"

    assert answer(run("demo", "--json")) == {"dry_run": False, "made": told["made"]}
    assert answer(run("demo", "--json")) == {"dry_run": False, "made": []}
    assert run("demo").stdout == "the demo data is there already: nothing was done\n"
    assert len(fetch_all(db, "SELECT id FROM users")) == 4


def test_the_demo_is_refused_in_production_and_beside_real_users(run: Run, db: Connection, people: Cast) -> None:
    refused = run("demo", "--json", BILLING_ENV="production")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "production" in refused.stderr
    assert run("demo").stdout == "the database has users already: nothing was done\n"
    assert fetch_one(db, "SELECT 1 FROM billing_logins") is None


# -- admin create ----------------------------------------------------------------------------------


def test_the_first_admin_can_log_in(run: Run, db: Connection) -> None:
    from tests.conftest import NOW

    command = ("admin", "create", "boss@example.com")
    assert "user_id" not in answer(run(*command, "--dry-run", "--json", stdin="a long password\n"))
    assert fetch_one(db, "SELECT 1 FROM users") is None

    made = run(*command, "--json", stdin="a long password\n")
    assert "a long password" not in made.output
    user_id = answer(made)["user_id"]
    user = log_in(
        db, NOW, get_users_table(db), email="boss@example.com", password="a long password", address="127.0.0.1"
    )
    assert (user.id, user.role, user.tenant_id) == (user_id, "admin", 1)

    again = run(*command, stdin="another password\n")
    assert (again.exit_code, again.stdout) == (1, "")


@pytest.mark.parametrize(
    ("email", "password"), [("boss", "a long password"), ("boss@example.com", "short"), ("b@c.d", "")]
)
def test_a_bad_first_admin_is_one_sentence_and_nothing_is_written(
    run: Run, db: Connection, email: str, password: str
) -> None:
    refused = run("admin", "create", email, stdin=password + "\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert fetch_one(db, "SELECT 1 FROM users") is None


# -- doctor ----------------------------------------------------------------------------------------


def findings(result: Result, check: str) -> list[tuple[str, str]]:
    return [
        (found["level"], found["message"]) for found in json.loads(result.stdout)["findings"] if found["check"] == check
    ]


def test_a_healthy_house_has_no_error_and_nothing_is_changed(run: Run, engine: str, alice: Person) -> None:
    alice.is_on("premium")
    alice.has_used(5, day=f"{datetime.now(UTC):%Y-%m-%d}")
    well = run("doctor", "--json", BILLING_TIMEZONE="Europe/Paris", **SELLER)
    assert {found["level"] for found in json.loads(well.stdout)["findings"]} == {"ok"}
    checks = [
        "settings",
        "schema",
        "users",
        "counters",
        "limits",
        "plans",
        "metrics",
        "statuses",
        "instants",
        "rejects",
        "clock",
        "live",
        "periods",
        "series",
        "chain",
        "orphans",
        "seller",
        "jobs",
        "retried_jobs",
        "dead_jobs",
        "months",
        "events",
    ]
    if engine == "sqlite":
        checks[3:3] = ["integrity", "foreign_keys", "journal", "file_mode"]
    assert [found["check"] for found in json.loads(well.stdout)["findings"]] == checks
    assert well.exit_code == 0


def test_counters_that_disagree_with_the_days_are_an_error(run: Run, db: Connection, alice: Person) -> None:
    alice.has_used(5)
    alice.has_used(7, "tokens")
    with atomic(db):
        execute(db, "UPDATE usage_counters SET used = 6 WHERE metric = 'api_calls'")
    ill = run("doctor", "--json")
    assert ill.exit_code == 1
    example = f"user {alice.id} api_calls 2026-05: 6 counted, 5 in the days"
    assert findings(ill, "counters") == [("error", f"1 counters disagree with the days: {example}.")]
    with atomic(db):
        execute(db, "DELETE FROM usage_counters")
    assert findings(run("doctor", "--json"), "counters")[0][1].startswith("2 counters disagree with the days: ")


def test_unknown_plans_and_statuses_are_warnings(run: Run, people: Cast) -> None:
    people.alice.is_on("gold")
    people.bob.is_on("premium", status="paused")
    people.ada.is_on("silver", status="canceled")
    told = run("doctor", "--json")
    assert told.exit_code == 0
    assert findings(told, "plans") == [
        ("warning", "Plans that are not in the catalogue get the default plan's limits: gold (1).")
    ]
    assert findings(told, "statuses") == [("warning", "Subscriptions with these statuses count as ended: paused (1).")]


def test_settings_that_look_mistyped_are_warnings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_LIMIT_PREMIUN_API_CALLS", "5")
    monkeypatch.setenv("BILLING_TIMEZON", "Europe/Paris")
    monkeypatch.setenv("BILLING_MENTION_PENALTY", "3 fois le taux légal")
    told = run("doctor", "--json")
    assert told.exit_code == 0
    sentence = "BILLING_LIMIT_PREMIUN_API_CALLS: no such plan or metric. Is BILLING_LIMIT_PREMIUM_API_CALLS meant?"
    assert findings(told, "limits") == [("warning", sentence)]
    assert findings(told, "settings") == [
        ("warning", "BILLING_TIMEZON: no such setting. Is BILLING_TIMEZONE meant?"),
        ("warning", f"{IN_UTC} Is Europe/Paris meant?"),
    ]


def test_a_weak_secret_is_a_warning_while_trying_out(run: Run) -> None:
    assert findings(run("doctor", "--json", JWT_SECRET_KEY="changeme"), "secret")[0][0] == "warning"
    assert findings(run("doctor", "--json"), "secret") == []


def test_another_users_table_than_the_installed_one_is_an_error(run: Run) -> None:
    ill = run("doctor", "--json", BILLING_USERS_TABLE="member")
    assert ill.exit_code == 1
    [(level, sentence)] = findings(ill, "users")
    assert level == "error"
    assert "member" in sentence


def test_a_folder_that_does_not_exist_is_not_called_a_database_to_come(tmp_path: Path) -> None:
    run = runner(str(tmp_path / "absent" / "app.db"))
    examined = run("doctor", "--json")
    assert findings(examined, "database") == [
        ("error", f"The folder {tmp_path / 'absent'} does not exist, so no database can be there.")
    ]
    assert run("status").exit_code == 1


def test_the_demos_users_in_production_are_an_error(run: Run) -> None:
    assert run("demo").exit_code == 0
    assert findings(run("doctor", "--json"), "demo") == []
    examined = run("doctor", "--json", BILLING_ENV="production")
    assert examined.exit_code == 1
    assert [level for level, _ in findings(examined, "demo")] == ["error"]


def test_a_database_that_is_not_migrated_is_an_error(run_empty: Run, empty_url: str, engine: str) -> None:
    ill = run_empty("doctor", "--json")
    assert ill.exit_code == 1
    assert findings(ill, "schema")[0][0] == "error"
    assert "flask billing migrate" in findings(ill, "schema")[0][1]
    if engine == "sqlite":
        assert not Path(empty_url).exists()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_is_wrong_with_the_file_is_found(run: Run, url: str, db: Connection, alice: Person) -> None:
    Path(url).chmod(0o644)
    alice.has_used(1)
    db.execute("PRAGMA foreign_keys = OFF")
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = :id", id=alice.id)
    ill = run("doctor", "--json")
    assert ill.exit_code == 1
    assert findings(ill, "file_mode")[0][0] == "warning"
    message = "Rows point at rows that do not exist: consumption_log (1), usage_counters (1)."
    assert findings(ill, "foreign_keys") == [("error", message)]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_damaged_file_is_an_error_and_no_traceback(run: Run, url: str, people: Cast, db: Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    raw = bytearray(Path(url).read_bytes())
    raw[8192:] = b"\x5a" * (len(raw) - 8192)
    Path(url).write_bytes(raw)
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "error" in ill.stdout
