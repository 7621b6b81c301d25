"""A host whose workers are killed and stopped: `flask --app tests.scenarios.worker_host billing worker`.

And `python -m tests.scenarios.worker_host URL COPIES`: for each number N, a copy of the database in which a worker is
killed at its Nth commit, and another one goes on; it prints what came of it, one JSON text a line, and at last how
many commits the work has.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from flask import Flask

import billing_db
from api_v1 import Billing
from billing_db import Connection, execute, fetch_all, fetch_one
from tests.cast import SECRET
from tests.domain.issuing import SETTINGS, at
from turf_saas.demo import SELLER
from turf_saas.job_kinds import KINDS
from turf_saas.working import Around, Kind, Work, run_due

LATE = at(7, 5, 9)
TRIES = 20  # more turns than a job that is lost needs to be done


def create_app() -> Flask:
    """Its job says that it has begun, waits for a line, and renames a user."""
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=os.environ["HOST_DB"], JWT_SECRET_KEY=SECRET, BILLING_LOCALE="en", **SELLER)
    billing = Billing(app)

    @billing.job("rename")
    def rename(payload: Mapping[str, Any], db: Connection) -> None:
        execute(db, "UPDATE users SET name = name || '!' WHERE id = :id", id=payload["user_id"])
        print("begun", flush=True)
        sys.stdin.readline()

    return app


# -- killed at a commit ----------------------------------------------------------------------------------


def rename(work: Work) -> None:
    """In the job's own transaction: a second time would be seen."""
    execute(work.db, "UPDATE users SET name = name || '!' WHERE id = :id", id=work.payload["user_id"])


OF_THE_HOST = {**KINDS, "rename": Kind(rename)}
# What is written once, whoever was killed; instants of writing are other ones.
TOLD = {
    "jobs": "SELECT name, state FROM billing_jobs WHERE name NOT LIKE 'billing.%' OR state <> 'completed' ORDER BY id",
    "users": "SELECT id, name FROM users ORDER BY id",
    "subscriptions": """SELECT user_id, plan, status, current_period_start, current_period_end, anchor
                          FROM saas_subscriptions ORDER BY user_id""",
    "history": """SELECT user_id, subject, plan, status, reason,
                         CASE WHEN subject = 'subscription' OR status = 'overdue' THEN at END AS at
                    FROM billing_status_history ORDER BY user_id, subject, subject_id, id""",
    "periods": "SELECT user_id, starts_at, ends_at, fee_cents, month FROM billing_periods ORDER BY user_id, starts_at",
    "invoices": """SELECT invoice_number, user_id, month, amount_cents, status, chain_position FROM invoices
                    ORDER BY tenant_id, chain_position""",
    "ledger": "SELECT user_id, type, amount_cents FROM transactions ORDER BY id",
    "closed": "SELECT user_id, month FROM billing_invoiced_months ORDER BY user_id, month",
    "held": "SELECT user_id, metric, month, used, reserved FROM usage_counters ORDER BY user_id, metric, month",
    "reservations": "SELECT user_id, state FROM usage_reservations ORDER BY user_id",
    "kept": "SELECT user_id, idempotency_key FROM billing_idempotency_keys",
}


def what_came_of_it(db: Connection) -> dict[str, Any]:
    return {name: [list(dict(row).values()) for row in fetch_all(db, sql)] for name, sql in TOLD.items()}


def work_until_killed(url: str, commit: int) -> NoReturn:
    """In a process of its own: it ends by a signal in front of its Nth commit, or well, when it has fewer."""
    many = 0
    run = billing_db._run

    def count(db: Connection, sql: str) -> Any:
        nonlocal many
        if sql == "COMMIT":
            many += 1
            if many == commit:
                os.kill(os.getpid(), signal.SIGKILL)
        return run(db, sql)

    billing_db._run = count
    status = 1
    try:
        work(billing_db.connect(url), 0)
        status = 0
    finally:
        os._exit(status)


def work(db: Connection, minutes: int) -> None:
    run_due(db, lambda: LATE + timedelta(minutes=minutes), Around(SETTINGS), OF_THE_HOST)


def is_killed_at(url: str, commit: int) -> bool:
    child = os.fork()
    if not child:
        work_until_killed(url, commit)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the worker failed by itself"
    return os.WIFSIGNALED(status)


def go_on(db: Connection) -> None:
    """Another worker comes by every six minutes, until nothing is left that is under way."""
    for turn in range(1, TRIES):
        work(db, 6 * turn)
        left = fetch_one(db, "SELECT COUNT(*) AS many FROM billing_jobs WHERE state NOT IN ('completed', 'dead')")
        if left is not None and not left["many"]:
            return
    raise AssertionError("something is stuck")


def main(url: str, urls: list[str]) -> None:
    """urls: copies of the database, one per kill, made by whoever calls."""
    for number, copy in enumerate(urls, 1):
        if "://" not in copy:
            shutil.copy(url, Path(copy))
        killed = is_killed_at(copy, number)
        db = billing_db.connect(copy)
        go_on(db)
        print(json.dumps(what_came_of_it(db)), flush=True)
        db.close()
        if not killed:
            print(number - 1, flush=True)
            return
    raise AssertionError("more commits than copies")


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.read().split())
