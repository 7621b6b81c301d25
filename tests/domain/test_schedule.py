"""Periodic work: enqueued when it is due, once whoever looks, and never a second one beside one that is not done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast
from tests.domain.issuing import at
from tests.domain.working import Clock, drain, pass_time
from turf_saas import jobs, schedule
from turf_saas.job_kinds import KINDS
from turf_saas.jobs import SKEW
from turf_saas.schedule import SCHEDULE
from turf_saas.working import Kind

NOW = at(6, 1, 9)
ALL = len(SCHEDULE)
NOTHING = {periodic.name: Kind(lambda _: None) for periodic in SCHEDULE}


def due_at(db: Connection, now: datetime) -> list[str]:
    """What is enqueued at an instant."""
    before = {job.id for job in jobs.list_jobs(db, limit=1_000)}
    many = schedule.enqueue_due(db, now)
    found = [job.name for job in jobs.list_jobs(db, limit=1_000) if job.id not in before]
    assert len(found) == many
    return found[::-1]


def test_everything_is_due_at_first_in_the_order_of_the_table_and_then_as_often_as_it_says(db: Connection) -> None:
    assert due_at(db, NOW) == [periodic.name for periodic in SCHEDULE]
    drain(db, Clock(NOW), NOTHING)
    assert due_at(db, NOW + timedelta(minutes=5, seconds=-1)) == []
    assert due_at(db, NOW + timedelta(minutes=5)) == ["billing.roll_over", "billing.expire_reservations"]
    drain(db, Clock(NOW + timedelta(minutes=5)), NOTHING)
    assert due_at(db, NOW + timedelta(days=90)) == [periodic.name for periodic in SCHEDULE], "once, however long"


def test_every_name_of_the_schedule_is_known() -> None:
    assert {periodic.name for periodic in SCHEDULE} < KINDS.keys()


def test_several_who_look_at_once_enqueue_each_once(url: str, db: Connection) -> None:
    begin = Barrier(4)

    def look(_: int) -> int:
        with closing(billing_db.connect(url)) as mine:
            begin.wait(10)
            return schedule.enqueue_due(mine, NOW)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, range(4))) == [0, 0, 0, ALL]
    assert len(jobs.list_jobs(db)) == ALL


def test_of_each_there_is_one_and_one_that_waits_to_be_tried_again_is_due_at_its_next_turn(db: Connection) -> None:
    due_at(db, NOW)
    roll_over = jobs.list_jobs(db, name="billing.roll_over")[0].id
    with atomic(db):
        execute(
            db,
            "UPDATE billing_jobs SET state = 'retryable', run_at = '2026-06-01T09:59:00Z' WHERE id = :id",
            id=roll_over,
        )
    assert due_at(db, NOW + timedelta(minutes=5)) == []
    assert jobs.get_job(db, roll_over).run_at == "2026-06-01T09:05:00Z"
    jobs.claim(db, NOW + timedelta(minutes=5), most=ALL)
    assert due_at(db, NOW + timedelta(days=1)) == [], "and one that is under way is under way"
    with atomic(db):
        execute(
            db,
            """UPDATE billing_jobs SET state = 'dead', lease_token = NULL, lease_until = NULL WHERE id = :id""",
            id=roll_over,
        )
    assert due_at(db, NOW + timedelta(days=2)) == ["billing.roll_over"]


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=1), timedelta(days=365)])
def test_a_clock_that_was_ahead_stops_no_schedule(db: Connection, ahead: timedelta) -> None:
    due_at(db, NOW + ahead)
    assert len(jobs.claim(db, NOW + ahead, most=ALL)) == ALL
    back = NOW + timedelta(minutes=1)
    assert due_at(db, back) == [], "they are there, with a lease of the time ahead"
    assert drain(db, Clock(back), NOTHING).completed == ALL
    assert due_at(db, back + timedelta(days=1)) == [periodic.name for periodic in SCHEDULE]


def test_clocks_a_little_apart_do_not_turn_it_for_each_other(db: Connection) -> None:
    due_at(db, NOW)
    drain(db, Clock(NOW), NOTHING)
    assert [due_at(db, NOW - apart) for apart in (timedelta(seconds=2), SKEW)] == [[], []]


@pytest.mark.parametrize(
    "turn",
    [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)],
    ids=["summer begins", "summer ends", "a year ends"],
)
def test_neither_a_clock_change_nor_a_months_end_adds_or_leaves_out_a_turn(db: Connection, turn: datetime) -> None:
    clock = Clock(turn - timedelta(hours=3))
    turns = 0
    for _ in range(12):
        turns += "billing.dun" in due_at(db, clock.pass_(minutes=30))
        drain(db, clock, NOTHING)
    assert turns == 6


def test_it_says_when_each_was_begun_and_is_next(db: Connection) -> None:
    assert {(one.begun_at, one.next_at) for one in schedule.list_schedule(db)} == {(None, None)}
    due_at(db, NOW)
    first = schedule.list_schedule(db)[0]
    assert (first.name, first.begun_at, first.next_at) == (
        "billing.mark_overdue", "2026-06-01T09:00:00Z", "2026-06-01T10:00:00Z")  # fmt: skip


# -- purge -----------------------------------------------------------------------------------------------


def test_what_was_done_again_and_again_is_forgotten_after_thirty_days_and_nothing_else(
    db: Connection, people: Cast
) -> None:
    pass_time(db, NOW)
    jobs.enqueue(db, NOW, "billing.aggregate_daily", {"metric": "tokens", "day_start": "2026-05-31"})
    for name in ("billing.dun", "of.the.host"):
        jobs.enqueue(db, NOW, name, {})
    drain(db, Clock(NOW), {"billing.aggregate_daily": KINDS["billing.aggregate_daily"]})  # the others are parked
    pass_time(db, NOW + timedelta(days=1))
    edge = NOW + timedelta(days=30)
    assert schedule.forget_done(db, edge - timedelta(seconds=1)) == 0
    pass_time(db, edge)
    states = {(job.name, job.state) for job in jobs.list_jobs(db, limit=100) if job.created_at <= "2026-06-02"}
    assert states == {("billing.aggregate_daily", "completed"), ("billing.dun", "dead"), ("of.the.host", "dead")}
    assert fetch_all(db, "SELECT name FROM billing_schedule WHERE job_id IS NULL") == []


def test_the_last_job_of_a_schedule_stays_however_old(db: Connection) -> None:
    pass_time(db, NOW)
    assert schedule.forget_done(db, NOW + timedelta(days=400)) == 0
    assert len(jobs.list_jobs(db)) == ALL
