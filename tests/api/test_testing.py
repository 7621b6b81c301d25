"""The fixture for a host's own tests: `if TYPE_CHECKING:
    from api_v1.testing import BillingClock

pytest_plugins = ["api_v1.testing"]`, and time passes when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from billing_db import Connection, fetch_one
from tests.cast import Cast
from turf_saas.errors import Conflict, Forbidden, InvalidInput

if TYPE_CHECKING:
    from api_v1.testing import BillingClock

pytest_plugins = ["api_v1.testing"]


@pytest.fixture
def app(make_app: Callable[..., Flask], people: Cast) -> Flask:
    """As a host has one in its tests."""
    return make_app()


def test_a_year_passes_in_a_moment(app: Flask, billing_clock: BillingClock, people: Cast) -> None:
    billing = app.extensions["billing"]
    billing_clock.move_to("2026-02-01T00:00:00Z")
    billing.subscribe(people.alice.id, "premium")
    for month in range(3, 13):
        assert billing_clock.move_to(datetime(2026, month, 1, tzinfo=UTC)).done == 1
    billing_clock.advance(days=31)
    assert billing_clock.now == datetime(2027, 1, 1, tzinfo=UTC)
    assert billing.get_subscription(people.alice.id).current_period_end == "2027-02-01T00:00:00Z"


def test_a_month_on_is_the_same_day_or_the_months_last(billing_clock: BillingClock) -> None:
    billing_clock.move_to("2027-12-31T10:00:00Z")
    for months, then in ((2, datetime(2028, 2, 29, 10, tzinfo=UTC)), (12, datetime(2029, 2, 28, 10, tzinfo=UTC))):
        billing_clock.advance(months=months)
        assert billing_clock.now == then


def test_a_request_of_the_host_sees_the_same_time(app: Flask, billing_clock: BillingClock, people: Cast) -> None:
    billing_clock.move_to("2027-03-10T10:00:00Z")
    reply = app.test_client().get("/api/v1/billing/consumption", headers=people.alice.headers)
    assert reply.json["month"] == "2027-03"


def test_it_begins_at_the_real_time_and_moves_forward_only(billing_clock: BillingClock) -> None:
    assert abs(billing_clock.now - datetime.now(UTC)) < timedelta(minutes=5)
    billing_clock.move_to("2027-01-01T00:00:00+02:00")
    assert billing_clock.now == datetime(2026, 12, 31, 22, tzinfo=UTC)
    with pytest.raises(Conflict, match="clock_backwards"):
        billing_clock.advance(seconds=-1)
    for wrong in ("2027-01-01", datetime(2027, 1, 1)):  # noqa: DTZ001
        with pytest.raises(InvalidInput):
            billing_clock.move_to(wrong)


def test_in_production_it_cannot_be_moved(make_app: Callable[..., Flask]) -> None:
    from api_v1.testing import BillingClock

    clock = BillingClock(make_app(BILLING_ENV="production").extensions["billing"])
    with pytest.raises(Forbidden, match="clock_in_production"):
        clock.move_to("2027-01-01T00:00:00Z")


@pytest.fixture
def looked_at_last(db: Connection) -> Iterator[None]:
    """Asked for before the clock, and so the last to be torn down."""
    yield
    assert fetch_one(db, "SELECT COUNT(*) AS n FROM billing_test_clock")["n"] == 0


def test_at_the_end_it_is_taken_away(looked_at_last: None, billing_clock: BillingClock, db: Connection) -> None:
    billing_clock.move_to("2027-01-01T00:00:00Z")
    assert fetch_one(db, "SELECT COUNT(*) AS n FROM billing_test_clock")["n"] == 1
