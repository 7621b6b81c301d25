"""`flask billing run-due`, `worker` and `jobs …`: what is due is done, what failed is shown and tried again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from billing_db import Connection, fetch_all
from tests.cast import Cast
from turf_saas import clock, jobs
from turf_saas.settings import read_settings

Run = Callable[..., tuple[int, str, str]]
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
PERIODIC = [
    "billing.mark_overdue", "billing.dun", "billing.roll_over", "billing.issue_invoices",
    "billing.collect", "billing.expire_reservations", "billing.check_usage", "billing.purge",
]  # fmt: skip


@pytest.fixture
def run(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Run:
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
    clock.set_clock(db, NOW, settings, NOW)
    app = make_app(BILLING_LOCALE="en")

    def run(*words: str) -> tuple[int, str, str]:
        result = app.test_cli_runner().invoke(billing_bp.cli, list(words))
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def test_run_due_does_what_is_due_once_and_says_how_much(run: Run, db: Connection) -> None:
    code, out, _ = run("run-due", "--dry-run")
    assert (code, out.splitlines()) == (0, [*PERIODIC, "8 jobs would be done"])
    assert json.loads(run("run-due", "--dry-run", "--json")[1]) == {"dry_run": True, "due": PERIODIC}
    assert jobs.list_jobs(db) == []
    none = "0 to be tried again, 0 parked, 0 taken over\n"
    assert run("run-due", "--most", "5") == (0, f"5 jobs done, {none}", "")
    assert run("run-due") == (0, f"3 jobs done, {none}", "")
    assert json.loads(run("run-due", "--json")[1]) == {
        "completed": 0, "retryable": 0, "dead": 0, "lost": 0, "put_off": 0}  # fmt: skip


def test_what_failed_ends_with_1_and_can_be_listed_shown_and_tried_again(run: Run, db: Connection) -> None:
    unknown = jobs.enqueue(db, NOW, "mail.welcome", {"user_id": 1})
    broken = jobs.enqueue(db, NOW, "billing.aggregate_daily", {"day_start": "soon"})
    assert run("run-due")[:2] == (1, "8 jobs done, 1 to be tried again, 1 parked, 0 taken over\n")
    due = jobs.get_job(db, unknown or 0).run_at
    code, out, _ = run("jobs", "list", "--state", "dead")
    assert (code, out.splitlines()) == (0, [
        f"{unknown}  mail.welcome  dead  due {due}  1 of 12  no job is called mail.welcome",
        "0 available, 0 executing, 1 retryable, 8 completed, 1 dead",
    ])  # fmt: skip
    assert run("jobs", "list", "--name", "billing.purge", "--limit", "1")[1].count("billing.purge") == 1
    shown = json.loads(run("jobs", "show", str(broken), "--json")[1])
    assert (shown["payload"], shown["attempts"], "lease_token" in shown) == ({"day_start": "soon"}, 1, False)
    assert "name: mail.welcome" in run("jobs", "show", str(unknown))[1].splitlines()
    done = fetch_all(db, "SELECT MIN(id) AS id FROM billing_jobs WHERE state = 'completed'")[0]["id"]
    assert run("jobs", "retry", str(unknown), str(done)) == (
        1,
        "",
        f"Error: Job {done} does not wait: it is completed.\n",
    )
    assert run("jobs", "retry", str(unknown), "--dry-run")[0] == 0
    assert jobs.get_job(db, unknown or 0).state == "dead", "all of them or none, and a dry run none"
    assert run("jobs", "retry", str(unknown), str(broken))[1].count("available") == 2
    assert run("jobs", "show", "4711") == (1, "", "Error: There is no such job.\n")


def test_the_schedule_says_how_often_when_last_and_when_next(run: Run) -> None:
    assert run("jobs", "schedule")[1].splitlines()[0].startswith("billing.mark_overdue  every 1:00:00  not yet")
    run("run-due")
    answer = json.loads(run("jobs", "schedule", "--json")[1])["schedule"]
    assert [one["name"] for one in answer] == PERIODIC
    assert (answer[0]["every"], answer[0]["begun_at"], answer[0]["next_at"]) == (
        3600, "2026-06-01T09:00:00Z", "2026-06-01T10:00:00Z")  # fmt: skip


def test_a_worker_says_one_line_per_look_and_leaves_the_signals_as_they_were(run: Run) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    code, out, err = run("worker", "--ticks", "2", "--every", "0.1")
    assert (code, out, err.splitlines()) == (0, "", [
        "billing worker: at work",
        "billing worker: 8 jobs done, 0 to be tried again, 0 parked, 0 taken over",
        "billing worker: 0 jobs done, 0 to be tried again, 0 parked, 0 taken over",
        "billing worker: stopped",
    ])  # fmt: skip
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize("words", ["run-due --most 0", "worker --every 0", "jobs list --state x", "jobs retry"])
def test_nonsense_ends_with_2(run: Run, words: str) -> None:
    assert run(*words.split())[0] == 2
