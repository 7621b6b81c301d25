"""Workers that are killed and stopped, as processes: what a job does is done once, and nothing is stuck."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast
from tests.domain.issuing import SETTINGS, assert_sound, at, begin, flat, live, sell
from tests.issued import issue_one
from tests.scenarios.serving import ROOT
from tests.scenarios.worker_host import LATE
from turf_saas import jobs, reservations
from turf_saas.subscription_changes import Wish, change_plan
from turf_saas.users import User

BOUND = 120  # seconds
MOST_COMMITS = 32  # of the work, and some more


def enter_all_kinds(db: Connection, people: Cast) -> None:
    """Something for each kind of job to do on 5 July, after a silence since April."""
    sell(db, "tried", 2_800, flat("api_calls", "0.10"), trial_days=14)
    sell(db, "thirty", 3_000)
    sell(db, "fifteen", 1_500)
    begin(db, people.alice, "tried", at(6, 10))
    begin(db, people.bob, "thirty", at(6, 1))
    change_plan(db, at(6, 5), SETTINGS, live(db, people.bob), Wish("fifteen"))
    begin(db, people.ada, "thirty", at(6, 1))
    people.alice.has_used(300, day="2026-06-25")
    owed = issue_one(db, people.ada, 1_000, now=at(6, 1), month="2001-01", due_on="2026-06-20", settings=SETTINGS)
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_invoiced_months (user_id, month, invoice_id, closed_at)
               VALUES (4, '2001-01', :id, '2026-06-01T00:00:00Z')""",
            id=owed.id,
        )
        user = User(people.bob.id, 1, "user")
        reservations.hold(db, at(7, 1), SETTINGS, user, "tokens", 5)
        execute(
            db,
            """INSERT INTO billing_idempotency_keys (user_id, idempotency_key, request, content, created_at)
               VALUES (1, 'old', '', '', '2026-01-01T00:00:00Z')""",
        )
        jobs.enqueue(db, LATE, "rename", {"user_id": 1}, dedupe_key="rename")
        jobs.enqueue(db, LATE, "nobody.knows", {})
        month = {"tenant_id": 1, "period_start": "2026-06-01", "currency": "EUR"}
        jobs.enqueue(db, LATE, "billing.generate_monthly_invoice", month)
        jobs.enqueue(db, LATE, "billing.aggregate_daily", {"metric": "tokens", "day_start": "2026-06-01"})


@pytest.fixture
def copies(
    engine: str, url: str, db: Connection, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], list[str]]]:
    """Databases that are as this one is: files to be made, or copies on the server, which wants nobody to look."""
    made: list[str] = []

    def make() -> list[str]:
        db.close()
        for number in range(MOST_COMMITS):
            if engine == "sqlite":
                made.append(str(tmp_path / f"copy{number}.db"))
            else:
                made.append(request.getfixturevalue("cluster").new_database(url))
        return made

    yield make
    if engine == "postgresql":
        for one in made:
            request.getfixturevalue("cluster").drop_database(one)


def test_killed_at_whatever_commit_another_worker_goes_on_and_all_is_as_if_nothing_had_happened(
    url: str, db: Connection, people: Cast, copies: Callable[[], list[str]]
) -> None:
    enter_all_kinds(db, people)
    made = copies()
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.worker_host", url],
        input="\n".join(made),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *found, commits = done.stdout.splitlines()
    undisturbed = json.loads(found[-1])
    assert_all_was_done(undisturbed)
    for number, one in enumerate(found, 1):
        assert json.loads(one) == undisturbed, f"killed at commit {number} of {commits}"
    assert int(commits) > 20
    for one in made[: int(commits)]:
        with closing(billing_db.connect(one)) as copy:
            assert_sound(copy)


def assert_all_was_done(told: dict[str, Any]) -> None:
    """Each kind of job has had something to do, and has done it."""
    assert told["jobs"] == [["rename", "completed"], ["nobody.knows", "dead"]]
    assert [name for _, name in told["users"]][:2] == ["alice!", "bob"]
    assert [(user, plan, status) for user, plan, status, *_ in told["subscriptions"]] == [
        (1, "tried", "active"), (2, "fifteen", "active"), (4, "thirty", "past_due")]  # fmt: skip
    # Alice's from the 24th is 7 of 30 days of 28.00 and 300 calls, with VAT: 653 + 3000 = 3653, 4384 in all.
    assert [(user, month, cents, status) for _, user, month, cents, status, _ in told["invoices"]] == [
        (4, "2001-01", 1_200, "overdue"),
        (1, "2026-06", 4_384, "pending"),
        (2, "2026-06", 3_600, "pending"),
        (4, "2026-06", 3_600, "pending"),
    ]
    assert (told["reservations"], told["kept"]) == ([[2, "expired"]], [])


# -- stopped ---------------------------------------------------------------------------------------------


@pytest.fixture
def worker(url: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "HOST_DB": url, "BILLING_ENV": "testing"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "tests.scenarios.worker_host:create_app", "billing", "worker"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate(timeout=BOUND)


def test_a_worker_that_is_told_to_stop_ends_its_job_and_gives_back_the_others(
    db: Connection, people: Cast, worker: subprocess.Popen[str]
) -> None:
    for user_id in (1, 2):
        jobs.enqueue(db, at(1, 1), "rename", {"user_id": user_id})
    assert worker.stdout is not None
    assert worker.stdout.readline() == "begun\n"
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate("\n", timeout=BOUND)
    assert (worker.returncode, out) == (0, "")
    assert err.splitlines() == [
        "billing worker: at work",
        "billing worker: 1 jobs done, 0 to be tried again, 0 parked, 0 taken over",
        "billing worker: stopped",
    ]
    assert [row["name"] for row in fetch_all(db, "SELECT name FROM users ORDER BY id")][:2] == ["alice!", "bob"]
    second, first = jobs.list_jobs(db, name="rename")
    assert (first.state, second.state, second.attempts) == ("completed", "available", 0)
    assert jobs.list_jobs(db, state="executing") == []


def test_a_worker_that_is_killed_in_the_middle_of_a_job_has_done_nothing_of_it(
    db: Connection, people: Cast, worker: subprocess.Popen[str]
) -> None:
    job_id = jobs.enqueue(db, at(1, 1), "rename", {"user_id": 1})
    assert worker.stdout is not None
    assert worker.stdout.readline() == "begun\n"
    worker.kill()
    worker.communicate(timeout=BOUND)
    assert fetch_all(db, "SELECT name FROM users WHERE id = 1")[0]["name"] == "alice"
    found = jobs.get_job(db, job_id or 0)
    assert (found.state, found.attempts) == ("executing", 1)
