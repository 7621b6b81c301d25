"""For a host's own tests: time that passes when it is told to. `pytest_plugins = ["api_v1.testing"]` in conftest.py.

The fixture `billing_clock` needs a fixture `app`, with billing registered on it and outside production.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from api_v1.runtime import Runtime
from api_v1.schemas_subscriptions import ClockIn
from api_v1.wire import validated
from turf_saas import clock
from turf_saas.rollover import Advanced


class BillingClock:
    """What billing takes for now. It stands still, and what falls due happens while it is moved."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def now(self) -> datetime:
        """In UTC; the real time until it is moved for the first time."""
        self._runtime.ready()
        return self._runtime.now()

    def move_to(self, instant: datetime | str) -> Advanced:
        """To an instant such as "2027-01-01T00:00:00Z": the first time to any, then forward only."""
        text = instant if isinstance(instant, str) else instant.isoformat()
        return self._set(validated(ClockIn, {"now": text}).now)

    def advance(self, *, months: int = 0, **by: float) -> Advanced:
        """By months, to the same day or the month's last, and by `weeks`, `days`, `hours`, `minutes`, `seconds`."""
        now = self.now.astimezone(UTC)
        year, month = divmod(now.year * 12 + now.month - 1 + months, 12)
        day = min(now.day, monthrange(year, month + 1)[1])
        return self._set(now.replace(year=year, month=month + 1, day=day) + timedelta(**by))

    def take_away(self) -> Advanced:
        """The real time holds again."""
        return self._set(None)

    def _set(self, now: datetime | None) -> Advanced:
        runtime = self._runtime
        return clock.set_clock(runtime.db(), runtime.real_now(), runtime.settings, now).advanced


@pytest.fixture
def billing_clock(app: Flask) -> Iterator[BillingClock]:
    """The test clock of the host's app. It is taken away at the end of the test."""
    billing_clock = BillingClock(app.extensions["billing"])
    yield billing_clock
    billing_clock.take_away()
