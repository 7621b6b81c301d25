"""A hold whose time is over is left out of the month that it was made in, and of no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing_db import Connection, fetch_one
from tests.cast import Person
from turf_saas import admission, quotas
from turf_saas.settings import Settings, read_settings
from turf_saas.users import User
from turf_saas.values import Month

MAY, JUNE = Month(2026, 5), Month(2026, 6)
LIFETIME = timedelta(minutes=15)


def free_of_expired(db: Connection, at: datetime, person: Person, month: Month) -> int:
    """What is held of a month's tokens, as who only reads sees it."""
    row = fetch_one(
        db,
        "SELECT used, reserved FROM usage_counters WHERE user_id = :user_id AND month = :month",
        user_id=person.id,
        month=str(month),
    )
    counters = {"tokens": (row["used"], row["reserved"])} if row else {}
    return quotas.without_expired(db, at, person.id, month, counters).get("tokens", (0, 0))[1]


def hold(
    db: Connection, at: datetime, settings: Settings, person: Person, quantity: int, metric: str = "tokens"
) -> None:
    user = User(person.id, person.tenant_id, "user")
    admission.reserve(db, at, settings, user, metric, quantity, lifetime=LIFETIME)


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", datetime(2026, 6, 1, tzinfo=UTC)),
        ("Europe/Paris", datetime(2026, 5, 31, 22, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 6, 1, 4, tzinfo=UTC)),
    ],
)
def test_a_hold_of_each_side_of_midnight_ends_in_its_own_month(
    url: str, db: Connection, alice: Person, zone: str, midnight: datetime
) -> None:
    settings = read_settings({"TURF_SAAS_DB": url, "BILLING_TIMEZONE": zone})
    second = timedelta(seconds=1)
    hold(db, midnight - second, settings, alice, 10)  # the last second of May
    hold(db, midnight, settings, alice, 7)  # the first of June, which takes nothing of May's back
    ends = midnight + LIFETIME
    held = {
        at: (free_of_expired(db, at, alice, MAY), free_of_expired(db, at, alice, JUNE))
        for at in (ends - 2 * second, ends - second, ends - second / 2, ends, ends + second)
    }
    assert held == {
        ends - 2 * second: (10, 7),
        ends - second: (0, 7),
        ends - second / 2: (0, 7),
        ends: (0, 0),
        ends + second: (0, 0),
    }


def test_the_first_and_the_last_day_are_of_the_month_and_their_neighbours_are_not(
    url: str, db: Connection, alice: Person
) -> None:
    settings = read_settings({"TURF_SAAS_DB": url})
    days = {"last_of_april": 30, "first_of_may": 31, "last_of_may": 61, "first_of_june": 62}
    for metric, day in days.items():
        hold(db, datetime(2026, 3, 31, 12, tzinfo=UTC) + timedelta(days=day), settings, alice, 5, metric)
    all_held = dict.fromkeys(days, (0, 5))
    in_july = datetime(2026, 7, 1, tzinfo=UTC)
    assert quotas.without_expired(db, in_july, alice.id, MAY, all_held) == {
        "last_of_april": (0, 5),
        "first_of_may": (0, 0),
        "last_of_may": (0, 0),
        "first_of_june": (0, 5),
    }
