"""What the doctor says of work that nobody does, of months that nobody invoiced, and of a seller nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_db import Connection
from tests.billed import SETTINGS, issue, use_april
from tests.cast import Cast, Person
from tests.conftest import NOW
from tests.domain.tables import change
from turf_saas import clock, jobs, schedule
from turf_saas.demo import SELLER
from turf_saas.doctor import examine_database, examine_settings
from turf_saas.doctor_work import examine_dead, examine_jobs, examine_months, examine_retrying, examine_seller
from turf_saas.settings import read_settings

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NOBODY = (
    "nothing runs the jobs, or too little: flask billing run-due has to be in cron, or flask billing worker has to run."
)


def waiting(db: Connection, now: datetime) -> str:
    found = examine_jobs(db, now)
    assert (found.check, found.level) == ("jobs", "warning" if found.message.endswith(NOBODY) else "ok")
    return "" if found.level == "ok" else found.message.removesuffix(f": {NOBODY}")


# -- jobs ------------------------------------------------------------------------------------------


def test_a_job_that_was_due_an_hour_ago_is_told(db: Connection) -> None:
    assert waiting(db, NOW) == ""
    first = jobs.enqueue(db, NOW, "billing.generate_monthly_invoice", {})
    jobs.enqueue(db, NOW, "later", {}, run_at=NOW + HOUR)
    told = f"Job {first} (billing.generate_monthly_invoice) is due since 2026-05-20T10:00:00Z"
    said = [waiting(db, NOW + HOUR + beside) for beside in (-SECOND, timedelta(), SECOND)]
    assert said == ["", told, told]


def test_one_whose_worker_is_gone_is_told_and_one_that_is_done_is_not(db: Connection) -> None:
    jobs.enqueue(db, NOW, "mine", {})
    [job] = jobs.claim(db, NOW)
    ends = NOW + jobs.LEASE
    assert waiting(db, ends + HOUR - SECOND) == ""
    assert waiting(db, ends + HOUR) == f"Job {job.id} (mine) is due since 2026-05-20T10:05:00Z"
    jobs.finish(db, NOW, job)
    assert waiting(db, ends + HOUR) == ""


def test_the_schedule_that_nobody_turns_is_told(db: Connection) -> None:
    schedule.enqueue_due(db, NOW)
    for job in jobs.claim(db, NOW, most=100):
        jobs.finish(db, NOW, job)
    first = "billing.roll_over is due since 2026-05-20T10:05:00Z"
    assert waiting(db, NOW + timedelta(minutes=65) - SECOND) == ""
    assert waiting(db, NOW + timedelta(minutes=65)) == first


def test_where_no_job_was_ever_run_subscriptions_that_wait_are_told(db: Connection, people: Cast) -> None:
    use_april(db, people)  # Alice and Charlie, until 1 May
    may = datetime(2026, 5, 1, tzinfo=UTC)
    told = "No job was ever run, and 2 subscriptions wait to go on, the first since 2026-05-01T00:00:00Z"
    assert [waiting(db, may + HOUR + beside) for beside in (-SECOND, timedelta())] == ["", told]
    schedule.enqueue_due(db, may + HOUR)
    assert waiting(db, may + HOUR) == ""


def test_jobs_that_were_given_up_are_told_by_name(db: Connection) -> None:
    assert examine_dead(db).level == "ok"
    for name in ("b", "a", "b"):
        jobs.enqueue(db, NOW, name, {})
    for job in jobs.claim(db, NOW, most=3):
        jobs.fail(db, NOW, job, "no", park=True)
    found = examine_dead(db)
    said = "Jobs that were given up: a (1), b (2). flask billing jobs list --state dead says why, "
    assert (found.level, found.message) == ("warning", f"{said}and flask billing jobs retry JOB makes one due again.")


def test_what_fails_for_an_hour_is_told_with_its_last_error(db: Connection) -> None:
    for name in ("b", "a", "b"):
        jobs.enqueue(db, NOW, name, {})
    jobs.enqueue(db, NOW, "once", {})
    for again in (3, 4):
        for job in jobs.claim(db, NOW + again * HOUR, most=again):
            jobs.fail(db, NOW, job, f"{job.name} is refused by Stripe")
    late = [examine_retrying(db, NOW + HOUR + beside) for beside in (-SECOND, timedelta(), SECOND)]
    assert [one.level for one in late] == ["ok", "warning", "warning"]
    said = "Jobs that fail for an hour, and are tried again: a (1), b (2). Last: b is refused by Stripe"
    assert late[1].message == said


# -- months ----------------------------------------------------------------------------------------


def test_months_that_are_over_for_three_days_and_not_invoiced_are_told(db: Connection, people: Cast) -> None:
    use_april(db, people)
    over = datetime(2026, 5, 4, tzinfo=UTC)
    assert examine_months(db, over - SECOND, SETTINGS).level == "ok"
    found = examine_months(db, over, SETTINGS)
    assert (found.check, found.level) == ("months", "warning")
    assert "invoiced for so many users: 2026-04 (3)." in found.message
    people.ada.has_used(1, day="2026-03-31")
    assert "2026-03 (1), 2026-04 (3)." in examine_months(db, over, SETTINGS).message
    issue(db, over)
    assert examine_months(db, over, SETTINGS).level == "ok"


def test_a_month_ends_where_the_seller_is(db: Connection, alice: Person) -> None:
    alice.has_used(1, day="2026-04-30")
    paris = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": "Europe/Paris"})
    over = datetime(2026, 5, 3, 22, tzinfo=UTC)
    assert [examine_months(db, at, paris).level for at in (over - SECOND, over)] == ["ok", "warning"]


def test_who_sells_nothing_has_no_month_to_invoice_and_no_seller_to_name(db: Connection, alice: Person) -> None:
    alice.has_used(1, day="2026-01-31")
    bare = read_settings({"TURF_SAAS_DB": "unused"})
    assert [one.level for one in (examine_seller(db, bare), examine_months(db, NOW, bare))] == ["warning"] * 2
    change(db, "UPDATE billing_plans SET amount_cents = 0, prices = '[]'")
    assert [one.level for one in (examine_seller(db, bare), examine_months(db, NOW, bare))] == ["ok"] * 2
    change(db, "UPDATE billing_plans SET amount_cents = 1 WHERE code = 'pro'")
    assert examine_seller(db, bare).level == "warning"


# -- the seller ------------------------------------------------------------------------------------


def test_what_is_missing_of_the_seller_is_named(db: Connection) -> None:
    given = {"TURF_SAAS_DB": "unused", **SELLER}
    assert examine_seller(db, read_settings(given)).level == "ok"
    del given["BILLING_SELLER_CITY"], given["BILLING_SELLER_RCS"]
    found = examine_seller(db, read_settings(given))
    said = "no invoice can be issued before these are set: BILLING_SELLER_CITY, BILLING_SELLER_RCS."
    assert (found.level, said in found.message) == ("warning", True)


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({}, True),
        ({"BILLING_SELLER_COUNTRY": "FR"}, True),
        ({"BILLING_SELLER_COUNTRY": "SN"}, False),
        ({"BILLING_LOCALE": "en"}, False),
        ({"BILLING_TIMEZONE": "Europe/Paris"}, False),
    ],
)
def test_french_months_in_utc_are_a_warning(given: dict[str, Any], warned: bool) -> None:
    settings = read_settings({"TURF_SAAS_DB": "unused", **given})
    said = [one for one in examine_settings(settings, given, "") if "BILLING_TIMEZONE is UTC" in one.message]
    assert [one.level for one in said] == (["warning"] if warned else [])


# -- all of it -------------------------------------------------------------------------------------


def test_outside_production_a_test_clock_says_what_has_waited(db: Connection, url: str) -> None:
    jobs.enqueue(db, NOW, "mine", {})
    testing = read_settings({"TURF_SAAS_DB": url, "BILLING_ENV": "testing"})
    clock.set_clock(db, NOW, testing, NOW + HOUR)
    for settings, level in ((testing, "warning"), (read_settings({"TURF_SAAS_DB": url}), "ok")):
        found = {one.check: one.level for one in examine_database(db, NOW, settings)}
        assert found["jobs"] == level
        assert found.keys() >= {"live", "periods", "series", "chain", "orphans", "seller", "dead_jobs", "months"}
