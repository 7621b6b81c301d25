"""Demo data: the same for the same day, exact to the call, and never where real users are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all, fetch_one
from tests.cast import Cast
from turf_saas import admission, demo, quotas
from turf_saas.accounts import log_in
from turf_saas.errors import Forbidden
from turf_saas.settings import Settings, read_settings
from turf_saas.users import User, find_user, get_users_table
from turf_saas.values import Month

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


def settings_of(url: str, **given: Any) -> Settings:
    return read_settings({"TURF_SAAS_DB": url, "BILLING_ENV": "development", **given})


@pytest.fixture
def settings(url: str) -> Settings:
    return settings_of(url)


def install(db: Connection, settings: Settings, now: datetime = NOW) -> bool:
    return demo.install(db, now, settings, get_users_table(db))


def months(db: Connection) -> list[tuple[Any, ...]]:
    rows = fetch_all(db, "SELECT user_id, month, used FROM usage_counters ORDER BY user_id, month")
    return [(row["user_id"], row["month"], row["used"]) for row in rows]


EXPECTED = [
    (1, "2026-03", 1_980), (1, "2026-04", 3_240), (1, "2026-05", 2_550),
    (2, "2026-03", 120), (2, "2026-04", 240), (2, "2026-05", 312),
    (3, "2026-03", 9_600), (3, "2026-04", 11_400), (3, "2026-05", 4_200),
]  # fmt: skip


def test_three_months_end_today(db: Connection, settings: Settings) -> None:
    assert install(db, settings)
    assert months(db) == EXPECTED
    days = fetch_one(db, "SELECT MIN(date) AS first, MAX(date) AS last, COUNT(*) AS days FROM consumption_log")
    # March 31, April 30, May 20 days of three people; Basile's 120 calls leave no day of March out
    assert (days["first"], days["last"], days["days"]) == ("2026-03-01", "2026-05-20", 3 * 81)

    assert not install(db, settings)
    assert months(db) == EXPECTED, "a second time nothing is done"


def test_the_demo_user_is_told_softly_the_free_one_hard_and_the_pro_not_at_all(
    db: Connection, settings: Settings
) -> None:
    install(db, settings)
    found = [quotas.get_consumption(db, NOW, settings, user_id) for user_id in (1, 2, 3, 4)]
    assert [(month.plan, month.worst_level) for month in found] == [
        ("premium", "soft"), ("free", "hard"), ("pro", None), ("free", None),
    ]  # fmt: skip
    assert found[0].gauges[0].usage_pct == 85.0
    assert found[1].gauges[0].usage_pct == 104.0

    march = quotas.get_consumption(db, NOW, settings, 1, Month(2026, 3))
    assert (march.plan, march.gauges[0].used, march.worst_level) == ("premium", 1_980, None)


@pytest.mark.parametrize(
    ("now", "first", "before", "current"),
    [
        (datetime(2026, 3, 1, 0, 0, tzinfo=UTC), "2026-01", "2026-02", "2026-03"),
        (datetime(2026, 1, 1, 0, 0, tzinfo=UTC), "2025-11", "2025-12", "2026-01"),
        (datetime(2028, 2, 29, 23, 59, tzinfo=UTC), "2027-12", "2028-01", "2028-02"),
    ],
)
def test_on_any_day_each_month_has_its_sum(
    db: Connection, settings: Settings, people: Cast, now: datetime, first: str, before: str, current: str
) -> None:
    demo.give_history(db, now, settings, people.alice.id, demo.DEMO)
    assert [row[1:] for row in months(db)] == [(first, 1_980), (before, 3_240), (current, 2_550)]


def test_the_month_is_that_of_the_zone(db: Connection, url: str, people: Cast) -> None:
    settings = settings_of(url, BILLING_TIMEZONE="Europe/Paris")
    half_past_midnight_in_paris = datetime(2026, 4, 30, 22, 30, tzinfo=UTC)
    demo.give_history(db, half_past_midnight_in_paris, settings, people.alice.id, demo.DEMO)
    assert [row[1] for row in months(db)] == ["2026-03", "2026-04", "2026-05"]
    row = fetch_one(db, "SELECT * FROM saas_subscriptions WHERE user_id = 1")
    assert (row["effective_at"], row["current_period_start"], row["current_period_end"]) == (
        "2026-02-28T23:00:00Z", "2026-04-30T22:00:00Z", "2026-05-31T22:00:00Z",
    )  # fmt: skip


def test_everybody_can_log_in_and_one_is_an_admin(db: Connection, settings: Settings) -> None:
    install(db, settings)
    users = get_users_table(db)
    for number, person in enumerate(demo.PEOPLE, 1):
        user = log_in(db, NOW, users, email=person.email, password=demo.PASSWORD, address="127.0.0.1")
        assert (user.id, user.role) == (number, "admin" if person is demo.ADMIN else "user")


def test_a_database_that_has_users_is_left_alone(db: Connection, settings: Settings, people: Cast) -> None:
    assert install(db, settings) is False
    assert not demo.is_installed(db)
    assert months(db) == []


def test_production_refuses_it(db: Connection, url: str) -> None:
    with pytest.raises(Forbidden) as refused:
        install(db, settings_of(url, BILLING_ENV="production"))
    assert refused.value.code == "demo_in_production"
    assert find_user(db, get_users_table(db), 1) is None


def test_of_several_starters_one_makes_it(url: str, settings: Settings) -> None:
    made: list[bool] = []
    start = threading.Barrier(4)

    def work() -> None:
        db = billing_db.connect(url)
        start.wait()
        made.append(install(db, settings))
        db.close()

    in_threads(4, work)
    assert sorted(made) == [False, False, False, True]


@pytest.mark.parametrize(
    ("total", "shares"),
    [
        (0, [0, 0, 0]),
        (1, [0, 0, 1]),
        (5, [1, 3, 1]),  # Friday 1, Saturday 3, Monday 1
        (7, [1, 4, 2]),
        (2_550, [510, 1_530, 510]),
    ],
)
def test_a_total_is_spread_to_the_last_call(total: int, shares: list[int]) -> None:
    days = [date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 4)]
    assert demo.spread(total, days) == shares


# -- counting a call -------------------------------------------------------------------------------


def test_calls_at_the_same_time_are_all_counted(url: str, db: Connection, people: Cast) -> None:
    settings, charlie = settings_of(url), User(people.charlie.id, 2, "user")

    def work() -> None:
        own = billing_db.connect(url)
        for number in range(10):
            admission.spend(own, NOW, settings, charlie, "api_calls", 1, endpoint=f"/races/{number % 2}")
        own.close()

    in_threads(4, work)
    rows = fetch_all(db, "SELECT endpoint, date, api_calls, tenant_id FROM consumption_log ORDER BY endpoint")
    assert [tuple(row[name] for name in ("endpoint", "date", "api_calls", "tenant_id")) for row in rows] == [
        ("/races/0", "2026-05-20", 20, 2),
        ("/races/1", "2026-05-20", 20, 2),
    ]
    assert months(db) == [(people.charlie.id, "2026-05", 40)]


def test_a_call_counts_on_the_day_of_the_zone(url: str, db: Connection, people: Cast) -> None:
    half_past_midnight_in_paris = datetime(2026, 5, 31, 22, 30, tzinfo=UTC)
    settings = settings_of(url, BILLING_TIMEZONE="Europe/Paris")
    admission.spend(db, half_past_midnight_in_paris, settings, User(people.alice.id, 1, "user"), "api_calls", 1)
    assert months(db) == [(people.alice.id, "2026-06", 1)]


def in_threads(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
