"""Jobs in Python: a host's own kinds of work, in its own transactions, by its own scheduler."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask import Flask, current_app

import billing_db
from api_v1 import Billing
from api_v1.signals import invoice_issued, subscription_changed
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import SECRET, Cast, Person
from turf_saas import clock, jobs
from turf_saas.demo import SELLER
from turf_saas.errors import InvalidInput
from turf_saas.settings import read_settings
from turf_saas.subscriptions import Subscription

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, **SELLER)
    return app


@pytest.fixture
def billing(app: Flask, db: Connection) -> Billing:
    it_is(db, NOW)
    return Billing(app)


def it_is(db: Connection, now: datetime) -> None:
    clock.set_clock(db, NOW, SETTINGS, now)


@contextmanager
def lent(url: str) -> Iterator[Any]:
    """A connection of the host's own, with its driver's usual ways."""
    if "://" in url:
        import psycopg

        given = psycopg.connect(url)
    else:
        given = sqlite3.connect(url)
    try:
        yield given
    finally:
        given.close()


def renames(billing: Billing, name: str = "rename") -> None:
    @billing.job(name)
    def rename(payload: Mapping[str, Any], db: Connection) -> None:
        assert current_app.name == "host"
        execute(db, "UPDATE users SET name = :name WHERE id = :id", name=payload["to"], id=payload["user_id"])
        if payload["to"] == "":
            raise ValueError("nobody is called so")


def names(db: Connection) -> list[str]:
    return [row["name"] for row in fetch_all(db, "SELECT name FROM users WHERE id <= 2 ORDER BY id")]


def test_a_hosts_own_job_is_done_with_its_payload_in_its_own_transaction(billing: Billing, db: Connection) -> None:
    renames(billing)
    assert billing.process_one() is False
    first = billing.enqueue("rename", user_id=1, to="Alix")
    failing = billing.enqueue("rename", user_id=2, to="")
    assert (first, failing) == (jobs.list_jobs(db)[1].id, jobs.list_jobs(db)[0].id)
    assert [billing.process_one() for _ in range(3)] == [True, True, False]
    assert names(db) == ["Alix", "bob"], "what failed has changed nothing"
    assert [(job.state, job.last_error) for job in jobs.list_jobs(db)] == [
        ("retryable", "ValueError: nobody is called so"), ("completed", None)]  # fmt: skip


def test_enqueued_in_the_hosts_transaction_it_goes_with_it(billing: Billing, db: Connection, url: str) -> None:
    with lent(url) as given:
        assert billing.enqueue("rename", db=given, user_id=1, to="x") is not None
        given.rollback()
        assert jobs.list_jobs(db) == []
        assert billing.enqueue("rename", db=given, dedupe_key="a", user_id=1, to="x") is not None
        given.commit()
    assert billing.enqueue("rename", dedupe_key="a", user_id=1, to="y") is None
    with pytest.raises(ZeroDivisionError), atomic(billing_db.get_db(url)):  # noqa: PT012
        billing.enqueue("rename", user_id=1, to="y")
        raise ZeroDivisionError
    assert [job.payload for job in jobs.list_jobs(db)] == [{"user_id": 1, "to": "x"}]


def test_a_job_waits_for_its_instant_and_is_looked_at_as_of_the_one_that_is_given(billing: Billing) -> None:
    renames(billing)
    billing.enqueue("rename", run_at=datetime(2026, 6, 1, 12, 0, tzinfo=UTC), user_id=1, to="Alix")
    assert billing.process_one() is False
    assert billing.process_one(datetime(2026, 6, 1, 11, 59, 59, tzinfo=UTC)) is False
    assert billing.process_one(now=datetime(2026, 6, 1, 12, 0, tzinfo=UTC)) is True


def test_what_no_row_can_hold_is_refused_in_a_sentence(billing: Billing, db: Connection) -> None:
    for refused in (
        lambda: billing.enqueue(""),
        lambda: billing.enqueue("x" * 201),
        lambda: billing.enqueue("a\0"),
        lambda: billing.enqueue(5),  # type: ignore[arg-type]
        lambda: billing.enqueue("a", dedupe_key=""),
        lambda: billing.enqueue("a", run_at=datetime(2026, 6, 1)),  # noqa: DTZ001
        lambda: billing.enqueue("a", run_at="2026-06-01"),  # type: ignore[arg-type]
        lambda: billing.enqueue("a", on=date(2026, 6, 1)),
        lambda: billing.enqueue("a", text="\ud800"),
        lambda: billing.process_one(datetime(2026, 6, 1)),  # noqa: DTZ001
    ):
        with pytest.raises(InvalidInput):
            refused()
    assert jobs.list_jobs(db) == []
    assert billing.enqueue("x" * 200, text="\0é") is not None
    assert jobs.list_jobs(db)[0].payload == {"text": "\0é"}


def test_a_name_is_given_once_and_none_of_billings_own(billing: Billing) -> None:
    renames(billing)
    with pytest.raises(ValueError, match="two functions"):
        renames(billing)
    with pytest.raises(ValueError, match=r"billing\.dun"):
        renames(billing, "billing.dun")


def test_jobs_may_be_named_before_there_is_an_app_and_on_what_the_blueprint_leaves(
    app: Flask, db: Connection, make_app: Callable[..., Flask]
) -> None:
    early = Billing()
    renames(early)
    early.init_app(app)
    other = make_app().extensions["billing"]
    early.enqueue("rename", user_id=1, to="Alix")
    assert (other.process_one(), jobs.list_jobs(db)[0].state) == (True, "dead"), "another app knows no such name"
    jobs.retry(db, NOW, jobs.list_jobs(db)[0].id)
    assert (early.process_one(), names(db)[0]) == (True, "Alix")
    renames(other, "another")
    other.enqueue("another", user_id=1, to="Alice")
    with pytest.raises(RuntimeError), atomic(other.db()):
        other.process_one()
    assert (other.process_one(), names(db)[0]) == (True, "Alice")


def test_the_documented_jobs_issue_a_month_and_wait_for_one_that_is_open(
    billing: Billing, db: Connection, people: Cast
) -> None:
    billing.subscribe(people.alice.id, "premium", start_at="2026-05-01")
    for month, end in (("2026-05-01", "2026-06-01"), ("2026-06-01", "2026-07-01")):
        billing.enqueue(
            "billing.generate_monthly_invoice",
            tenant_id=1,
            period_start=f"{month}T00:00:00Z",
            period_end=f"{end}T00:00:00Z",
            currency="EUR",
        )
    billing.enqueue("billing.aggregate_daily", tenant_id=1, metric="api_calls", day_start="2026-05-31T00:00:00Z")
    for wrong in (
        {"period_start": "2026-05-02", "tenant_id": 1},
        {"period_start": "2026-05-01", "tenant_id": 1, "currency": "USD"},
        {"period_start": "soon", "tenant_id": 1},
        {"period_start": "2026-05-01", "tenant_id": 99},
    ):
        billing.enqueue("billing.generate_monthly_invoice", **wrong)
    while billing.process_one():
        continue
    found = [(job.state, job.attempts, job.run_at[:16]) for job in jobs.list_jobs(db, limit=100)][::-1]
    assert found[0] == found[2] == ("completed", 1, "2026-06-01T09:00")
    assert found[1] == ("available", 0, "2026-07-01T00:00")
    assert [state for state, _, _ in found[3:]] == ["retryable"] * 4
    assert [row["month"] for row in fetch_all(db, "SELECT month FROM invoices")] == ["2026-05"]
    assert billing.process_one(datetime(2026, 7, 1, 0, 0, tzinfo=UTC)) is True


def test_run_due_does_all_that_time_brings(billing: Billing, db: Connection, people: Cast) -> None:
    billing.subscribe(people.alice.id, "premium", start_at="2026-05-01")
    renames(billing)
    billing.enqueue("rename", user_id=2, to="Bo")
    ran = billing.run_due()
    assert (ran.completed, ran.many) == (9, 9)
    assert [row["month"] for row in fetch_all(db, "SELECT month FROM invoices")] == ["2026-05"]
    assert (names(db)[1], billing.run_due().many) == ("Bo", 0)
    assert billing.run_due(most=1).many == 0


def test_a_scheduler_of_the_hosts_is_given_one_function_that_works_in_any_thread(
    billing: Billing, db: Connection
) -> None:
    added: list[tuple[str, int, Callable[[], Any]]] = []
    billing.register_jobs(lambda name, seconds, function: added.append((name, seconds, function)))
    ((name, seconds, function),) = added
    assert (name, seconds) == ("billing.run_due", 60)
    done: list[Any] = []

    def in_a_thread() -> None:
        done.append(function())
        billing_db.close_db()

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join(60)
    assert (done[0].completed, {job.state for job in jobs.list_jobs(db)}) == (8, {"completed"})


def test_what_time_brings_is_told_after_its_commit(billing: Billing, db: Connection, alice: Person) -> None:
    heard: list[str] = []

    def changed(_: Flask, subscription: Subscription, what: str) -> None:
        seen = fetch_all(db, "SELECT status FROM saas_subscriptions WHERE id = :id", id=subscription.id)
        assert seen[0]["status"] == subscription.status
        heard.append(what)

    def issued(_: Flask, invoice: Any) -> None:
        heard.append(invoice.month)

    billing.subscribe(alice.id, "premium", trial_days=10)  # until 11 June
    subscription_changed.connect(changed)
    invoice_issued.connect(issued)
    try:
        for day in ("2026-06-11", "2026-07-02", "2026-08-04", "2026-08-24"):  # due on 1 August
            with atomic(db):  # it only becomes later: to move the clock would bring the periods with it
                execute(db, "UPDATE billing_test_clock SET now = :now", now=f"{day}T00:00:00Z")
            billing.run_due()
        billing.record_payment("FACT-202607-0001", 99_999)
    finally:
        subscription_changed.disconnect(changed)
        invoice_issued.disconnect(issued)
    # The run of 4 August finds July over and June's invoice three days late.
    assert heard == [
        "trial_ended", "rolled_over", "2026-06", "rolled_over", "past_due", "2026-07", "unpaid", "active",
    ]  # fmt: skip
