"""How much of a month is used, against what the plan includes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from billing_db import Connection, fetch_all
from turf_saas import plans, subscriptions
from turf_saas.plans import Limit
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId, instant_text

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
    plan, counters = _plan_and_counters(db, now, user_id, month)
    if month < current:
        plan = subscriptions.find_plan_before(db, user_id, month.ends_at(settings.timezone))
    plan = plan or settings.default_plan
    return Consumption(user_id, plan, month, _gauges(counters, plans.limits_of(settings, plan)))


def _plan_and_counters(
    db: Connection, now: datetime, user_id: UserId, month: Month
) -> tuple[str | None, dict[str, tuple[int, int]]]:
    """Today's plan, and used and reserved per metric: in one statement, for each is a wait among busy threads."""
    rows = fetch_all(
        db,
        f"""SELECT s.plan, c.metric, c.used, c.reserved
              FROM (SELECT 1 AS one) AS always
              LEFT JOIN saas_subscriptions AS s ON s.user_id = :user_id AND {subscriptions.GIVES_ITS_PLAN}
              LEFT JOIN usage_counters AS c ON c.user_id = :user_id AND c.month = :month""",  # noqa: S608  a constant
        user_id=user_id,
        now=instant_text(now),
        month=str(month),
    )
    return rows[0]["plan"], {row["metric"]: (row["used"], row["reserved"]) for row in rows if row["metric"]}


def _gauges(counters: dict[str, tuple[int, int]], limits: dict[str, Limit]) -> tuple[Gauge, ...]:
    metrics = ["api_calls", *sorted((limits.keys() | counters.keys()) - {"api_calls"})]
    found = []
    for metric in metrics:
        used, reserved = counters.get(metric, (0, 0))
        found.append(Gauge(metric, used, limits.get(metric), reserved))
    return tuple(found)
