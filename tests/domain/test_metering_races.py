"""Two who count at once for one user: neither waits for the other for ever, and together they pass no limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, engine, fetch_all
from tests.cast import Person
from turf_saas import admission, metering, reservations, spending_caps, usage
from turf_saas.admission import QuotaExceeded
from turf_saas.settings import Settings, read_settings
from turf_saas.usage import NewEvent
from turf_saas.users import User

MAY = datetime(2026, 5, 31, 23, 50, tzinfo=UTC)
JUNE = MAY + timedelta(minutes=20)
BOUND = 30  # seconds

Start = Callable[[Callable[[Connection], Any]], "Future[Any]"]


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url})


@pytest.fixture
def start(url: str, db: Connection) -> Iterator[Start]:
    """Does something on a connection of its own, and comes back when that waits for `db`, or is over."""

    def run(do: Callable[[Connection], Any]) -> Any:
        connection = billing_db.connect(url)
        try:
            return do(connection)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:

        def started(do: Callable[[Connection], Any]) -> Future[Any]:
            future = pool.submit(run, do)
            if engine(db) == "postgresql":  # on SQLite it cannot even begin
                _until_it_waits(db, future)
            return future

        yield started


def _until_it_waits(db: Connection, future: Future[Any]) -> None:
    end = time.monotonic() + BOUND
    while not future.done() and time.monotonic() < end:
        if fetch_all(db, "SELECT 1 AS one FROM pg_locks WHERE NOT granted"):
            return


def user(person: Person) -> User:
    return User(person.id, person.tenant_id, "user")


def counters(db: Connection) -> dict[tuple[str, str], tuple[int, int]]:
    rows = fetch_all(db, "SELECT month, metric, used, reserved FROM usage_counters")
    return {(row["month"], row["metric"]): (row["used"], row["reserved"]) for row in rows}


def test_across_the_end_of_a_month_a_settle_and_an_expiry_do_not_wait_for_each_other(
    db: Connection, settings: Settings, alice: Person, start: Start
) -> None:
    held = [admission.reserve(db, MAY, settings, user(alice), "tokens", 10) for _ in range(2)]
    with atomic(db):
        admission.spend(db, JUNE, settings, user(alice), "tokens", 1)
        settling = start(lambda other: metering.settle(other, JUNE, settings, 1, held[0].id, 7))
        assert reservations.expire(db, JUNE, alice.id, "tokens")
    assert settling.result(BOUND).reservation.settled_quantity == 7
    with atomic(db):
        reservations.expire(db, JUNE, alice.id, "tokens")
    assert counters(db) == {("2026-05", "tokens"): (0, 0), ("2026-06", "tokens"): (8, 0)}


def test_across_the_end_of_a_month_a_batch_and_an_expiry_do_not_wait_for_each_other(
    db: Connection, settings: Settings, alice: Person, start: Start
) -> None:
    admission.reserve(db, MAY, settings, user(alice), "tokens", 10)
    batch = [NewEvent(alice.id, 1, "tokens", 2, at=at) for at in (MAY, JUNE)]
    with atomic(db):
        admission.spend(db, JUNE, settings, user(alice), "tokens", 1)
        reporting = start(lambda other: metering.report_events(other, JUNE, settings, batch))
        assert reservations.expire(db, JUNE, alice.id, "tokens")
    assert len(reporting.result(BOUND).results) == 2
    assert counters(db) == {("2026-05", "tokens"): (2, 0), ("2026-06", "tokens"): (3, 0)}


def test_a_hold_that_is_being_released_is_left_to_who_releases_it(
    db: Connection, settings: Settings, alice: Person, start: Start
) -> None:
    held = admission.reserve(db, MAY, settings, user(alice), "tokens", 10)
    with atomic(db):
        reservations.release(db, MAY, 1, held.id)
        reserving = start(lambda other: admission.reserve(other, JUNE, settings, user(alice), "tokens", 5))
        usage.touch_counters(db, [{"user_id": alice.id, "tenant_id": 1, "metric": "tokens", "day": "2026-06-01"}])
    assert reserving.result(BOUND).state == "held"
    assert counters(db) == {("2026-05", "tokens"): (0, 0), ("2026-06", "tokens"): (0, 5)}


# -- the cap, which is one for all metrics --------------------------------------------------------------

MIDDAY = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def capped(db: Connection, alice: Person) -> User:
    """All that premium includes is used; a call or a thousand tokens more cost a cent."""
    alice.is_on("premium")
    alice.has_used(3_000)
    alice.has_used(1_000_000, "tokens")
    return user(alice)


def test_two_metrics_at_once_do_not_pass_the_cap_together(
    db: Connection, settings: Settings, capped: User, start: Start
) -> None:
    spending_caps.set_cap(db, MIDDAY, capped, 1)

    def call(other: Connection) -> str:
        try:
            admission.spend(other, MIDDAY, settings, capped, "api_calls", 1)
        except QuotaExceeded as refused:
            return refused.code
        return "admitted"

    with atomic(db):
        admission.spend(db, MIDDAY, settings, capped, "tokens", 1_000)
        calling = start(call)
    assert calling.result(BOUND) == "spending_cap_reached"


def test_two_metrics_that_reach_the_cap_do_not_take_back_each_others_holds(
    db: Connection, settings: Settings, capped: User, start: Start
) -> None:
    """Each has its own counter already and would wait for the other's."""
    for metric, quantity in (("tokens", 1_000), ("api_calls", 1)):
        admission.reserve(db, MIDDAY - timedelta(hours=1), settings, capped, metric, quantity)
    spending_caps.set_cap(db, MIDDAY, capped, 1)
    with atomic(db):
        usage.touch_counters(
            db, [{"user_id": capped.id, "tenant_id": 1, "metric": "tokens", "day": MIDDAY.date().isoformat()}]
        )
        calling = start(lambda other: admission.spend(other, MIDDAY, settings, capped, "api_calls", 1))
        if engine(db) == "postgresql":
            assert calling.result(BOUND).gauge.used == 3_001
    assert calling.result(BOUND).gauge.used == 3_001
    with pytest.raises(QuotaExceeded):
        admission.spend(db, MIDDAY, settings, capped, "tokens", 1_000)
