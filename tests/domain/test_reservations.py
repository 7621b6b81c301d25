"""Quantities held for work under way: settled, released or expired, each once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all, fetch_one
from tests.cast import Cast, Person
from tests.domain.tables import change
from turf_saas import admission, catalogue, metering, quotas, reservations
from turf_saas.admission import QuotaExceeded
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.plans import PlanLimit
from turf_saas.reservations import Reservation
from turf_saas.settings import Settings, read_settings
from turf_saas.users import User

NOW = datetime(2026, 5, 31, 23, 0, tzinfo=UTC)
OVER = NOW + timedelta(minutes=15)
MOST = 2**53


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url, "BILLING_LIMIT_FREE_TOKENS": "100"})


@pytest.fixture
def held(db: Connection, settings: Settings, alice: Person) -> Reservation:
    return admission.reserve(db, NOW, settings, user(alice), "tokens", 60)


def user(person: Person) -> User:
    return User(person.id, person.tenant_id, "user")


def of(db: Connection, settings: Settings, person: Person, at: datetime = NOW, metric: str = "tokens") -> Any:
    """used, reserved, remaining"""
    found = quotas.get_quotas(db, at, settings, person.id).quotas
    gauge = next(quota.gauge for quota in found if quota.gauge.metric == metric)
    return gauge.used, gauge.reserved, gauge.remaining


# -- settled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", [0, 1, 59, 60, 61, 100, 101, MOST])
def test_the_true_quantity_counts_whatever_was_held(
    db: Connection, settings: Settings, alice: Person, held: Reservation, quantity: int
) -> None:
    assert of(db, settings, alice) == (0, 60, 40)
    settled = metering.settle(db, NOW, settings, 1, held.id, quantity)
    assert (settled.reservation.state, settled.reservation.settled_quantity) == ("settled", quantity)
    assert of(db, settings, alice) == (quantity, 0, max(0, 100 - quantity))
    assert settled.worst_level == (None if quantity < 80 else "soft" if quantity < 100 else "hard")


def test_settling_again_is_the_same_answer_and_counts_nothing(
    db: Connection, settings: Settings, alice: Person, held: Reservation
) -> None:
    answers = [metering.settle(db, NOW, settings, 1, held.id, 85) for _ in range(3)]
    assert [answer.reservation for answer in answers] == [answers[0].reservation] * 3
    assert [answer.crossed for answer in answers] == [True, False, False]
    assert of(db, settings, alice) == (85, 0, 15)
    with pytest.raises(Conflict) as refused:
        metering.settle(db, NOW, settings, 1, held.id, 84)
    assert refused.value.code == "reservation_settled"
    assert of(db, settings, alice) == (85, 0, 15)


@pytest.mark.parametrize("noticed", [False, True])
def test_what_was_used_counts_also_when_the_hold_is_over(
    db: Connection, settings: Settings, alice: Person, held: Reservation, noticed: bool
) -> None:
    at = NOW + timedelta(minutes=30)
    if noticed:  # somebody needed the room
        admission.spend(db, at, settings, user(alice), "tokens", 100)
        assert reservations.get_reservation(db, 1, held.id).state == "expired"
    settled = metering.settle(db, at, settings, 1, held.id, 70)
    assert settled.reservation.state == "settled"
    assert of(db, settings, alice, at) == (170 if noticed else 70, 0, 0 if noticed else 30)


def test_it_counts_in_the_month_of_the_settle_and_frees_the_month_of_the_hold(
    db: Connection, settings: Settings, alice: Person, held: Reservation
) -> None:
    june = NOW + timedelta(hours=1)
    metering.settle(db, june, settings, 1, held.id, 30)
    assert of(db, settings, alice, NOW) == (0, 0, 100)
    assert of(db, settings, alice, june) == (30, 0, 70)


def test_reaching_a_threshold_is_noted_with_the_settle(
    db: Connection, settings: Settings, alice: Person, held: Reservation
) -> None:
    metering.settle(db, NOW, settings, 1, held.id, 100)
    rows = fetch_all(db, "SELECT user_id, metric, percent, used FROM usage_thresholds ORDER BY percent")
    assert [tuple(dict(row).values()) for row in rows] == [(1, "tokens", 80, 100), (1, "tokens", 100, 100)]


# -- released, and not there -------------------------------------------------------------------------------


def test_what_is_released_is_free_and_stays_released(
    db: Connection, settings: Settings, alice: Person, held: Reservation
) -> None:
    answers = [reservations.release(db, NOW, 1, held.id) for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert answers[0].state == "released"
    assert of(db, settings, alice) == (0, 0, 100)
    with pytest.raises(Conflict) as refused:
        metering.settle(db, NOW, settings, 1, held.id, 60)
    assert refused.value.code == "reservation_released"
    assert of(db, settings, alice) == (0, 0, 100)


def test_what_is_settled_is_not_released(db: Connection, settings: Settings, alice: Person, held: Reservation) -> None:
    metering.settle(db, NOW, settings, 1, held.id, 60)
    with pytest.raises(Conflict) as refused:
        reservations.release(db, NOW, 1, held.id)
    assert refused.value.code == "reservation_settled"
    assert of(db, settings, alice) == (60, 0, 40)


def test_another_tenants_reservation_is_not_there(db: Connection, held: Reservation) -> None:
    for tenant_id, reservation_id in ((2, held.id), (1, held.id[:-1]), (1, "")):
        with pytest.raises(NotFound):
            reservations.get_reservation(db, tenant_id, reservation_id)


@pytest.mark.parametrize(("tenant_id", "as_bob"), [(2, False), (1, True), (None, True)])
def test_who_ends_another_ones_hold_changes_nothing(
    db: Connection, settings: Settings, people: Cast, held: Reservation, tenant_id: int | None, as_bob: bool
) -> None:
    user_id = people.bob.id if as_bob else None
    with pytest.raises(NotFound):
        metering.settle(db, NOW, settings, tenant_id, held.id, 60, user_id=user_id)
    with pytest.raises(NotFound):
        reservations.release(db, NOW, tenant_id, held.id, user_id=user_id)
    assert of(db, settings, people.alice) == (0, 60, 40)
    assert reservations.release(db, NOW, None, held.id, user_id=people.alice.id).state == "released"


# -- expired ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "free"), [(-1, False), (0, True), (1, True)])
def test_a_hold_ends_at_its_second(
    db: Connection, settings: Settings, alice: Person, held: Reservation, seconds: int, free: bool
) -> None:
    at = OVER + timedelta(seconds=seconds)
    assert of(db, settings, alice, at) == ((0, 0, 100) if free else (0, 60, 40))
    if not free:
        with pytest.raises(QuotaExceeded):
            admission.reserve(db, at, settings, user(alice), "tokens", 41)
        return
    admission.reserve(db, at, settings, user(alice), "tokens", 100)
    assert of(db, settings, alice, at) == (0, 100, 0)
    assert reservations.release(db, at, 1, held.id).state == "expired"


def test_expired_holds_of_an_unlimited_metric_are_taken_back_too(
    db: Connection, settings: Settings, people: Cast
) -> None:
    for at in (NOW, OVER, OVER + timedelta(minutes=15)):
        admission.reserve(db, at, settings, user(people.charlie), "reports", 5)
    row = fetch_one(db, "SELECT reserved, tenant_id FROM usage_counters WHERE metric = 'reports'")
    assert (row["reserved"], row["tenant_id"]) == (5, people.charlie.tenant_id)


def test_more_than_a_counter_holds_cannot_be_reserved(db: Connection, settings: Settings, alice: Person) -> None:
    admission.reserve(db, NOW, settings, user(alice), "reports", MOST)
    change(db, "UPDATE usage_counters SET reserved = :most", most=2**62 - MOST)
    admission.reserve(db, NOW, settings, user(alice), "reports", MOST)
    with pytest.raises(InvalidInput) as refused:
        admission.reserve(db, NOW, settings, user(alice), "reports", 1)
    assert refused.value.code == "reservations_full"


# -- a limit of the day --------------------------------------------------------------------------------------


@pytest.fixture
def _a_daily_plan(db: Connection) -> None:
    limits = {"api_calls": PlanLimit(50), "tokens": PlanLimit(100, "hard", "day")}
    catalogue.create_plan(db, NOW, 1, PlanDraft("daily", "Daily", 0, "EUR", limits=limits))


@pytest.mark.usefixtures("_a_daily_plan")
def test_where_the_limit_is_of_the_day_the_day_is_shown(db: Connection, settings: Settings, alice: Person) -> None:
    alice.is_on("daily")
    alice.has_used(500, "tokens", "2026-05-30")
    alice.has_used(20, "tokens", "2026-05-31")
    admission.reserve(db, NOW - timedelta(days=1), settings, user(alice), "reports", 9)
    admission.reserve(db, NOW, settings, user(alice), "tokens", 30)
    admission.reserve(db, NOW, settings, user(alice), "tokens", 1, lifetime=timedelta(minutes=1))
    found = {quota.gauge.metric: quota for quota in quotas.get_quotas(db, OVER, settings, alice.id).quotas}
    admission.reserve(db, NOW, settings, user(alice), "tokens", 49)
    with pytest.raises(QuotaExceeded):
        admission.reserve(db, NOW, settings, user(alice), "tokens", 1)
    shown = {quota.gauge.metric: quota for quota in quotas.get_quotas(db, NOW, settings, alice.id).quotas}
    tokens = shown["tokens"]
    assert (tokens.gauge.used, tokens.gauge.reserved, tokens.gauge.remaining) == (20, 80, 0)
    assert (tokens.rule.window, tokens.resets_at) == ("day", "2026-06-01T00:00:00Z")
    assert (found["tokens"].gauge.used, found["tokens"].gauge.reserved) == (20, 0)  # a quarter of an hour later
    assert shown["api_calls"].resets_at == "2026-06-01T00:00:00Z"
    assert found["reports"].gauge.reserved == 0
    yesterday = quotas.get_quotas(db, NOW - timedelta(days=1), settings, alice.id).quotas
    [before] = [quota for quota in yesterday if quota.gauge.metric == "tokens"]
    assert (before.gauge.used, before.gauge.level, before.resets_at) == (500, "hard", "2026-05-31T00:00:00Z")


# -- at once -------------------------------------------------------------------------------------------------


def at_once(url: str, times: int, do: Callable[[Connection, int], Any]) -> list[Any]:
    together = Barrier(times)

    def one(number: int) -> Any:
        connection = billing_db.connect(url)
        try:
            together.wait(30)
            return do(connection, number)
        except Conflict as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_of_many_ends_at_once_one_holds(
    url: str, db: Connection, settings: Settings, alice: Person, held: Reservation
) -> None:
    def end(connection: Connection, number: int) -> Any:
        if number % 2:
            return reservations.release(connection, NOW, 1, held.id).state
        return metering.settle(connection, NOW, settings, 1, held.id, 50 + number).reservation.settled_quantity

    answers = at_once(url, 8, end)
    state = reservations.get_reservation(db, 1, held.id)
    if state.state == "released":
        assert answers == ["reservation_released", "released"] * 4
        assert of(db, settings, alice) == (0, 0, 100)
    else:
        won = state.settled_quantity
        assert set(answers) == {won, "reservation_settled"}
        assert answers.count(won) == 1
        assert of(db, settings, alice)[:2] == (won, 0)
