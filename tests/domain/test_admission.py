"""What may be used: counted and judged in one step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing_db import Connection
from tests.cast import Cast, Person
from turf_saas import admission, quotas, reservations
from turf_saas.admission import QuotaExceeded, Terms
from turf_saas.errors import InvalidInput
from turf_saas.settings import Settings, read_settings
from turf_saas.users import User

NOW = datetime(2026, 5, 31, 23, 0, tzinfo=UTC)


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url, "BILLING_LIMIT_FREE_API_CALLS": "3", "BILLING_LIMIT_FREE_TOKENS": "100"})


def user(person: Person) -> User:
    return User(person.id, person.tenant_id, "user")


def used(db: Connection, settings: Settings, person: Person, metric: str = "api_calls") -> tuple[int, int]:
    month = quotas.get_consumption(db, NOW, settings, person.id)
    gauge = next(gauge for gauge in month.gauges if gauge.metric == metric)
    return gauge.used, gauge.reserved


def test_calls_are_admitted_up_to_the_limit_and_a_refused_one_leaves_nothing(
    db: Connection, settings: Settings, alice: Person
) -> None:
    for _ in range(3):
        admission.spend(db, NOW, settings, user(alice), "api_calls", 1, endpoint="/races")
    with pytest.raises(QuotaExceeded) as refused:
        admission.spend(db, NOW, settings, user(alice), "api_calls", 1, endpoint="/races")
    assert (refused.value.metric, refused.value.used, refused.value.limit) == ("api_calls", 3, 3)
    assert refused.value.resets_in_seconds == 3600
    assert used(db, settings, alice) == (3, 0)


@pytest.mark.parametrize(("quantity", "admitted"), [(99, True), (100, True), (101, False)])
def test_a_quantity_is_admitted_whole_or_not_at_all(
    db: Connection, settings: Settings, alice: Person, quantity: int, admitted: bool
) -> None:
    if admitted:
        admission.spend(db, NOW, settings, user(alice), "tokens", quantity)
    else:
        with pytest.raises(QuotaExceeded):
            admission.spend(db, NOW, settings, user(alice), "tokens", quantity)
    assert used(db, settings, alice, "tokens") == (quantity if admitted else 0, 0)


def test_a_soft_limit_lets_through_and_says_so(db: Connection, settings: Settings, alice: Person) -> None:
    levels = [
        admission.spend(db, NOW, settings, user(alice), "tokens", 79, terms=Terms(soft=True)).worst_level,
        admission.spend(db, NOW, settings, user(alice), "tokens", 1, terms=Terms(soft=True)).worst_level,
        admission.spend(db, NOW, settings, user(alice), "tokens", 30, terms=Terms(soft=True)).worst_level,
    ]
    assert levels == [None, "soft", "hard"]
    assert used(db, settings, alice, "tokens") == (110, 0)


def test_a_limit_of_the_day_counts_the_day(db: Connection, settings: Settings, alice: Person) -> None:
    of_the_day = Terms(limit=2, window="day")
    alice.has_used(1, day="2026-05-30")
    for _ in range(2):
        admission.spend(db, NOW, settings, user(alice), "api_calls", 1, terms=of_the_day)
    with pytest.raises(QuotaExceeded) as refused:
        admission.spend(db, NOW - timedelta(minutes=1), settings, user(alice), "api_calls", 1, terms=of_the_day)
    assert (refused.value.used, refused.value.resets_in_seconds) == (2, 3660)


def test_a_hold_counts_against_the_limit_until_its_time_is_over(
    db: Connection, settings: Settings, people: Cast
) -> None:
    alice = people.alice
    held = admission.reserve(db, NOW, settings, user(alice), "tokens", 60, lifetime=timedelta(minutes=5))
    assert used(db, settings, alice, "tokens") == (0, 60)
    with pytest.raises(QuotaExceeded) as refused:
        admission.reserve(db, NOW, settings, user(alice), "tokens", 41)
    assert refused.value.used == 60
    admission.spend(db, NOW, settings, user(alice), "tokens", 40)
    in_time, over = NOW + timedelta(minutes=4, seconds=59), NOW + timedelta(minutes=5)
    with pytest.raises(QuotaExceeded):
        admission.spend(db, in_time, settings, user(alice), "tokens", 1)
    admission.spend(db, over, settings, user(alice), "tokens", 60)
    settled = reservations.settle(db, over, settings, 1, held.id, 70)
    assert (settled.state, settled.settled_quantity) == ("settled", 70)
    assert used(db, settings, alice, "tokens") == (170, 0)


def test_what_is_given_back_was_never_used(db: Connection, settings: Settings, alice: Person) -> None:
    for metric in ("api_calls", "tokens"):
        admitted = admission.spend(db, NOW, settings, user(alice), metric, 2, endpoint="/races")
        admission.give_back(db, NOW, settings, admitted)
        assert used(db, settings, alice, metric) == (0, 0)


def test_a_day_of_calls_that_cannot_be_counted_is_refused(db: Connection, settings: Settings, alice: Person) -> None:
    unlimited = Terms(soft=True)
    admission.spend(db, NOW, settings, user(alice), "api_calls", 2**53, terms=unlimited)
    with pytest.raises(InvalidInput, match="day_is_full"):
        admission.spend(db, NOW, settings, user(alice), "api_calls", 1, terms=unlimited)
    assert used(db, settings, alice) == (2**53, 0)
