"""Stored jobs: enqueued with what they are about, claimed by one, done once, tried again, parked, never stuck."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast
from tests.domain.issuing import SETTINGS, at
from tests.domain.working import TOUCHING, Clock, drain, get, marks, state, touch
from turf_saas import jobs, working
from turf_saas.errors import Conflict, NotFound
from turf_saas.job_kinds import KINDS
from turf_saas.jobs import LEASE, MAX_ATTEMPTS, SKEW, LeaseLost
from turf_saas.values import parse_instant
from turf_saas.working import Around, Kind, Work, list_due, run_due

NOW = at(6, 1, 9)


@pytest.fixture(autouse=True)
def _people(people: Cast) -> None:
    """Whom the marks belong to."""


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def enqueue(db: Connection, name: str = "touch", mark: str = "a", **given: Any) -> int | None:
    return jobs.enqueue(db, given.pop("now", NOW), name, {"mark": mark}, **given)


# -- enqueued ------------------------------------------------------------------------------------------


def test_a_job_goes_with_the_transaction_in_which_it_was_enqueued(db: Connection) -> None:
    with pytest.raises(ZeroDivisionError), atomic(db):  # noqa: PT012
        assert enqueue(db) is not None
        raise ZeroDivisionError
    assert jobs.list_jobs(db) == []
    with atomic(db):
        kept = enqueue(db)
    assert (state(db, kept), get(db, kept).payload) == (("available", 0), {"mark": "a"})


def test_a_dedupe_key_is_used_once_whatever_became_of_its_job(db: Connection, clock: Clock) -> None:
    first = enqueue(db, dedupe_key="welcome-1")
    assert first is not None
    assert enqueue(db, dedupe_key="welcome-1") is None
    assert enqueue(db, dedupe_key="welcome-2") is not None
    assert enqueue(db, "unknown", dedupe_key="welcome-1") is not None
    ran = drain(db, clock)
    assert (ran.completed, ran.dead) == (2, 1)
    assert enqueue(db, dedupe_key="welcome-1") is None
    assert enqueue(db) is not None
    assert enqueue(db) is not None


def test_a_dedupe_key_of_two_at_once_is_one_job(url: str, db: Connection) -> None:
    begin = Barrier(4)

    def ask(_: int) -> int | None:
        with closing(billing_db.connect(url)) as mine:
            begin.wait(10)
            return enqueue(mine, dedupe_key="once")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert [job_id for job_id in found if job_id] == [job.id for job in jobs.list_jobs(db)]
    assert len(jobs.list_jobs(db)) == 1


def test_jobs_are_done_when_they_are_due_and_the_longest_due_first(db: Connection, clock: Clock) -> None:
    enqueue(db, mark="c", run_at=NOW + timedelta(seconds=1))
    enqueue(db, mark="b", run_at=NOW)
    enqueue(db, mark="a", run_at=NOW - timedelta(days=1))
    assert [job.payload for job in list_due(db, NOW)[:1]] == [{"mark": "a"}]
    assert [job.payload for job in jobs.claim(db, NOW, most=3)] == [{"mark": "a"}, {"mark": "b"}]
    assert [job.payload for job in jobs.claim(db, NOW + timedelta(seconds=1), most=3)] == [{"mark": "c"}]


# -- claimed -------------------------------------------------------------------------------------------


def test_several_workers_never_claim_the_same_job(url: str, db: Connection) -> None:
    for number in range(60):
        enqueue(db, mark=str(number))
    begin = Barrier(4)

    def claim_all(_: int) -> list[int]:
        mine: list[int] = []
        with closing(billing_db.connect(url)) as own:
            begin.wait(10)
            while claimed := jobs.claim(own, NOW, most=3):
                assert len(claimed) <= 3
                mine += [job.id for job in claimed]
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [job_id for mine in pool.map(claim_all, range(4)) for job_id in mine]
    assert sorted(claimed) == sorted(job.id for job in jobs.list_jobs(db, limit=100))
    assert len(claimed) == 60


def test_a_lease_that_is_over_frees_its_job_and_an_attempt_is_lost(db: Connection) -> None:
    job_id = enqueue(db)
    jobs.claim(db, NOW)
    assert jobs.free_leases(db, NOW + LEASE - timedelta(seconds=1)) == 0
    assert state(db, job_id) == ("executing", 1)
    assert jobs.free_leases(db, NOW + LEASE) == 1
    assert (state(db, job_id), get(db, job_id).last_error) == (("retryable", 1), "the worker was lost")
    jobs.claim(db, NOW + LEASE)
    assert state(db, job_id) == ("executing", 2)


def test_of_what_a_lost_worker_had_only_the_job_under_way_loses_an_attempt(db: Connection, clock: Clock) -> None:
    """The first was killing each worker: the others are not parked with it."""
    killer, *others = [enqueue(db, mark=mark) for mark in "abc"]
    for _ in range(MAX_ATTEMPTS):
        assert len(jobs.claim(db, clock.now, most=3)) == 3
        assert jobs.free_leases(db, clock.pass_(minutes=5)) in (1, 3)
        with atomic(db):  # it is due longest again
            execute(db, "UPDATE billing_jobs SET run_at = created_at WHERE state = 'retryable'")
    assert state(db, killer) == ("dead", MAX_ATTEMPTS)
    assert [state(db, other) for other in others] == [("available", 0)] * 2
    assert drain(db, clock).completed == 2


def test_what_was_done_under_a_lost_lease_is_taken_back(db: Connection, clock: Clock) -> None:
    job_id = enqueue(db)

    def slow(work: Work) -> None:
        """Another worker has begun it anew meanwhile."""
        touch(work)
        execute(work.db, "UPDATE billing_jobs SET lease_token = 'another' WHERE id = :id", id=work.job.id)

    ran = drain(db, clock, {"touch": Kind(slow)})
    assert (ran.lost, ran.completed, marks(db)) == (1, 0, [])
    assert state(db, job_id) == ("executing", 1)
    clock.pass_(minutes=5)
    assert (drain(db, clock).completed, marks(db)) == (1, ["a"])


def test_nobody_ends_a_job_that_another_has(db: Connection) -> None:
    enqueue(db)
    (late,) = jobs.claim(db, NOW)
    jobs.free_leases(db, NOW + LEASE)
    (mine,) = jobs.claim(db, NOW + LEASE)
    with pytest.raises(LeaseLost):
        jobs.finish(db, NOW + LEASE, late)
    with pytest.raises(LeaseLost):
        jobs.renew(db, NOW + LEASE, late)
    assert jobs.fail(db, NOW + LEASE, late, "late") is None
    jobs.put_off(db, late)
    assert state(db, mine.id) == ("executing", 2)
    jobs.finish(db, NOW + LEASE, mine)
    assert state(db, mine.id) == ("completed", 2)


def test_long_work_keeps_its_lease_and_those_of_what_waits_behind_it(db: Connection, clock: Clock) -> None:
    def long(work: Work) -> None:
        for _ in range(10):
            clock.pass_(minutes=2)
            work.go_on()
            assert jobs.free_leases(db, clock.now) == 0

    first, second = enqueue(db, "long"), enqueue(db)
    assert drain(db, clock, {**TOUCHING, "long": Kind(long, by_itself=True)}).completed == 2
    assert (state(db, first), state(db, second)) == (("completed", 1), ("completed", 1))


# -- failed, tried again, parked -------------------------------------------------------------------------


def test_a_job_that_fails_leaves_nothing_and_is_parked_after_twelve_attempts(db: Connection, clock: Clock) -> None:
    job_id = jobs.enqueue(db, NOW, "explode", {"why": "x" * 3_000 + "\0"})
    enqueue(db)
    waits = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        ran = drain(db, clock)
        assert (ran.retryable, ran.dead) == ((1, 0) if attempt < MAX_ATTEMPTS else (0, 1))
        found = get(db, job_id)
        assert found.attempts == attempt
        waits.append((parse_instant(found.run_at).timestamp() - clock.now.timestamp(), 5 * 2 ** (attempt - 1)))
        clock.pass_(hours=1)
    assert marks(db) == ["a"], "and the other one was not held up"
    for waited, longest in waits[:-1]:
        assert min(longest, 3600) * 0.5 - 1 <= waited <= min(longest, 3600)
    found = get(db, job_id)
    assert (found.state, str(found.last_error)[:21], len(str(found.last_error))) == (
        "dead", "ZeroDivisionError: xx", 2_000)  # fmt: skip
    assert drain(db, clock).many == 0


def test_an_error_that_no_row_can_hold_stops_no_worker(
    db: Connection, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working.logger, "disabled", True)  # nor can what gathers the log of several processes

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail(work: Work) -> None:
        raise Mute if work.payload["mark"] == "mute" else ValueError("\ud800\0")

    for mark in ("mute", "half"):
        enqueue(db, "fail", mark)
    assert drain(db, clock, {"fail": Kind(fail)}).retryable == 2
    assert [job.last_error for job in jobs.list_jobs(db)] == ["ValueError: ??", "Mute"]


def test_unknown_names_and_unreadable_payloads_are_parked_and_hold_up_nobody(db: Connection, clock: Clock) -> None:
    unknown, broken, listed = enqueue(db, "nobody.knows"), enqueue(db), enqueue(db)
    with atomic(db):
        execute(db, "UPDATE billing_jobs SET payload = '{' WHERE id = :id", id=broken)
        execute(db, "UPDATE billing_jobs SET payload = '[]' WHERE id = :id", id=listed)
    enqueue(db, mark="b")
    ran = drain(db, clock)
    assert (ran.dead, ran.completed, marks(db)) == (3, 1, ["b"])
    assert [get(db, one).last_error for one in (unknown, broken)] == [
        "no job is called nobody.knows", "its payload is no JSON object"]  # fmt: skip


def test_a_parked_job_is_tried_again_with_all_of_its_attempts(db: Connection, clock: Clock) -> None:
    parked = enqueue(db, "later.known")
    drain(db, clock)
    assert jobs.retry(db, NOW, parked or 0).state == "available"
    assert drain(db, clock, {"later.known": Kind(touch)}).completed == 1
    running = enqueue(db)
    jobs.claim(db, NOW)
    for one in (parked, running):
        with pytest.raises(Conflict, match="job_not_waiting"):
            jobs.retry(db, NOW, one or 0)
    with pytest.raises(NotFound):
        jobs.retry(db, NOW, 4711)


def test_a_worker_that_is_stopped_ends_its_job_and_gives_the_others_back(db: Connection, clock: Clock) -> None:
    first, *others = [enqueue(db, mark=mark) for mark in "abc"]
    drain(db, clock, most=3, stop=lambda: bool(marks(db)))
    assert (marks(db), state(db, first)) == (["a"], ("completed", 1))
    assert [state(db, other) for other in others] == [("available", 0)] * 2


def test_a_worker_stands_in_nobodys_transaction(db: Connection, clock: Clock) -> None:
    with atomic(db), pytest.raises(RuntimeError):
        drain(db, clock)
    with atomic(db), pytest.raises(RuntimeError):
        run_due(db, clock, Around(SETTINGS), KINDS)


def test_a_thousand_jobs_are_drained_each_once(db: Connection, clock: Clock) -> None:
    with atomic(db):
        for number in range(1_000):
            enqueue(db, "count", str(number))
    done: list[str] = []
    ran = drain(db, clock, {"count": Kind(lambda work: done.append(str(work.payload["mark"])))})
    assert (ran.completed, done) == (1_000, [str(number) for number in range(1_000)])
    assert jobs.count_by_state(db)["completed"] == 1_000


# -- clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=1), timedelta(days=365)])
def test_a_clock_that_was_ahead_leaves_nothing_stuck_and_does_nothing_twice(
    db: Connection, clock: Clock, ahead: timedelta
) -> None:
    then = Clock(NOW + ahead)
    failed = enqueue(db, "explode", now=then.now, run_at=NOW)
    assert drain(db, then).retryable == 1
    claimed = enqueue(db, mark="claimed", now=then.now, run_at=NOW)
    assert [job.id for job in jobs.claim(db, then.now)] == [claimed]
    enqueue(db, mark="enqueued", now=then.now)
    clock.pass_(minutes=1)
    assert (drain(db, clock).completed, sorted(marks(db))) == (2, ["claimed", "enqueued"])
    clock.pass_(hours=2)
    assert drain(db, clock).completed == 0
    assert state(db, failed) == ("retryable", 3 if ahead > timedelta(hours=2) else 2)


def test_clocks_a_little_apart_take_no_job_from_each_other(db: Connection) -> None:
    enqueue(db)
    jobs.claim(db, NOW)
    for apart in (-SKEW, timedelta(seconds=-1), timedelta(seconds=1)):
        assert jobs.free_leases(db, NOW + apart) == 0
    assert jobs.free_leases(db, NOW - SKEW - timedelta(seconds=1)) == 1


def test_what_is_meant_for_later_is_not_taken_for_a_clock_that_was_ahead(db: Connection, clock: Clock) -> None:
    later = enqueue(db, run_at=NOW + timedelta(days=400))
    assert (drain(db, clock).many, state(db, later)) == (0, ("available", 0))
    assert get(db, later).run_at == "2027-07-06T09:00:00Z"


def test_a_dry_look_leaves_nothing(db: Connection) -> None:
    enqueue(db)
    before = fetch_all(db, "SELECT * FROM billing_jobs")
    assert len(list_due(db, NOW)) == 9
    assert [dict(row) for row in fetch_all(db, "SELECT * FROM billing_jobs")] == [dict(row) for row in before]
    assert fetch_all(db, "SELECT * FROM billing_schedule") == []
