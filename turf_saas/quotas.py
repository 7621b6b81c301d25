"""How much of a month is used, against what the plan includes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from billing_db import Connection, fetch_all
from turf_saas import plans, subscriptions
from turf_saas.plans import Limit
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId

Level = Literal["soft", "hard"]
SOFT_PERCENT = 80


def alert_level(used: int, limit: Limit) -> Level | None:
    """`hard` from 100 %, `soft` from 80 %, compared as integers: 29 985 of 30 000 is soft."""
    if limit is None or used <= 0:
        return None
    if used >= limit:
        return "hard"
    return "soft" if used * 100 >= limit * SOFT_PERCENT else None


def usage_pct(used: int, limit: Limit) -> float | None:
    """For display: cut after one decimal, so that it never shows a threshold that is not reached."""
    if limit is None:
        return None
    if limit == 0:
        return 100.0 if used > 0 else 0.0
    return used * 1000 // limit / 10


@dataclass(frozen=True)
class Gauge:
    """One metric of a user's month."""

    metric: str
    used: int
    limit: Limit
    reserved: int = 0

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used - self.reserved)

    @property
    def level(self) -> Level | None:
        return alert_level(self.used, self.limit)

    @property
    def usage_pct(self) -> float | None:
        return usage_pct(self.used, self.limit)


@dataclass(frozen=True)
class Consumption:
    """A user's month: the plan that judges it and a gauge per metric, api_calls first."""

    user_id: UserId
    plan: str
    month: Month
    gauges: tuple[Gauge, ...]

    @property
    def worst_level(self) -> Level | None:
        levels = {gauge.level for gauge in self.gauges}
        return "hard" if "hard" in levels else "soft" if "soft" in levels else None


def get_consumption(
    db: Connection, now: datetime, settings: Settings, user_id: UserId, month: Month | None = None
) -> Consumption:
    """The month's use against its limits; a past month is judged by the plan in force at its end."""
    current = Month.of(now, settings.timezone)
    month = month or current
    if month < current:
        plan = subscriptions.find_plan_before(db, user_id, month.ends_at(settings.timezone))
    else:
        plan = subscriptions.find_plan_now(db, now, user_id)
    plan = plan or settings.default_plan
    return Consumption(user_id, plan, month, _gauges(db, user_id, month, plans.limits_of(settings, plan)))


def _gauges(db: Connection, user_id: UserId, month: Month, limits: dict[str, Limit]) -> tuple[Gauge, ...]:
    rows = fetch_all(
        db,
        """SELECT metric, used, reserved FROM usage_counters
            WHERE user_id = :user_id AND month = :month""",
        user_id=user_id,
        month=str(month),
    )
    counted = {row["metric"]: row for row in rows}
    metrics = ["api_calls", *sorted((limits.keys() | counted.keys()) - {"api_calls"})]
    return tuple(
        Gauge(
            metric,
            used=counted[metric]["used"] if metric in counted else 0,
            limit=limits.get(metric),
            reserved=counted[metric]["reserved"] if metric in counted else 0,
        )
        for metric in metrics
    )
