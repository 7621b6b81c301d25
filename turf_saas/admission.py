"""May this be used? It is counted first and judged then, in one transaction: a refusal takes the count back.

So a hundred calls at once see each other's counts, on both engines, and never more are admitted than the limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, atomic
from turf_saas import plans, reservations, spending_caps, thresholds, usage
from turf_saas.errors import TooMany
from turf_saas.plans import UNLIMITED, Limit, PlanLimit, Window
from turf_saas.quotas import Gauge, Level, find_standing, gauges_of, list_used_on, without_expired, worst_level
from turf_saas.reservations import Reservation
from turf_saas.settings import Settings
from turf_saas.usage import API_CALLS, NewEvent
from turf_saas.users import User
from turf_saas.values import Month, UserId, end_of_day, local_day


class QuotaExceeded(TooMany):
    """Not admitted, and nothing was counted. `used` is what had been used (and held) before.

    Of a spending cap `used` and `limit` are cents of overage.
    """

    def __init__(self, code: str, *, metric: str, used: int, limit: Limit, resets_in_seconds: int) -> None:
        super().__init__(code, retry_after=resets_in_seconds, metric=metric, used=used, limit=limit)
        self.metric, self.used, self.limit, self.resets_in_seconds = metric, used, limit, resets_in_seconds


@dataclass(frozen=True)
class Terms:
    """What is asked of a decision beside the plan's own words: None leaves them as they are.

    refuses=False: it has happened, and is only seen against the limits.
    """

    refuses: bool = True
    soft: bool | None = None
    limit: int | None = None
    window: Window | None = None

    def of(self, rule: PlanLimit) -> PlanLimit:
        policy = rule.policy if self.soft is None else "soft" if self.soft else "hard"
        if self.limit is not None and self.soft is None:
            policy = "hard"  # who names a limit means it
        included = rule.included if self.limit is None else self.limit
        return PlanLimit(included, policy, self.window or rule.window)


THE_PLANS = Terms()


class Admission(NamedTuple):
    """What was admitted, and where the user stands with it. `crossed`: a threshold was reached for the first time."""

    user: User
    metric: str
    quantity: int
    day: str
    gauge: Gauge
    resets_in_seconds: int
    worst_level: Level | None
    crossed: bool
    endpoint: str = ""
    event_id: str | None = None


class Verdict(NamedTuple):
    """There is room: where the metric stands in the plan's window, every metric of the month, and until when."""

    gauge: Gauge
    month_gauges: tuple[Gauge, ...]
    resets_in_seconds: int


def spend(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    metric: str,
    quantity: int,
    *,
    endpoint: str = "",
    terms: Terms = THE_PLANS,
) -> Admission:
    """Counted, or QuotaExceeded and nothing is. API calls go to the log of calls, everything else is an event."""
    day = local_day(now, settings.timezone).isoformat()
    with atomic(db, durable=metric != API_CALLS):
        event_id = None
        if metric == API_CALLS:
            usage.add_calls(db, now, day, user.id, endpoint, quantity)
        else:
            event = NewEvent(user.id, user.tenant_id, metric, quantity)
            event_id = usage.add_one(db, now, usage.prepare(now, settings, [event])).id
        verdict = judge(db, now, settings, user, metric, quantity, terms)
        month, own = Month.of(now, settings.timezone), [one for one in verdict.month_gauges if one.metric == metric]
        crossed = thresholds.note_crossings(db, now, settings, user, month, own)
    worst = worst_level((*verdict.month_gauges, verdict.gauge))
    return Admission(
        user, metric, quantity, day, verdict.gauge, verdict.resets_in_seconds, worst, crossed, endpoint, event_id
    )


def reserve(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    metric: str,
    quantity: int,
    *,
    lifetime: timedelta = reservations.LIFETIME,
) -> Reservation:
    """Held until it is settled, released or too old; or QuotaExceeded."""
    with atomic(db):
        day = local_day(now, settings.timezone).isoformat()
        counter = {"user_id": user.id, "tenant_id": user.tenant_id, "metric": metric, "day": day}
        usage.touch_counters(db, [counter])
        reservations.expire(db, now, user.id, metric)  # of an unlimited metric nobody else would
        held = reservations.hold(db, now, settings, user, metric, quantity, lifetime)
        judge(db, now, settings, user, metric, quantity, THE_PLANS)
    return held


def give_back(db: Connection, now: datetime, settings: Settings, admission: Admission) -> None:
    """What was admitted did not take place after all."""
    if admission.event_id is None:
        usage.uncount_call(db, admission.day, admission.user.id, admission.endpoint, admission.quantity)
    else:
        anyhow = replace(settings, late_usage="next_invoice")  # the month may have been invoiced meanwhile
        usage.correct_event(db, now, anyhow, admission.user.tenant_id, admission.event_id, -admission.quantity)


def judge(
    db: Connection, now: datetime, settings: Settings, user: User, metric: str, quantity: int, terms: Terms
) -> Verdict:
    """Where the user stands after `quantity` was counted (or held) in this transaction; QuotaExceeded past a limit."""
    today = local_day(now, settings.timezone)
    month = Month(today.year, today.month)
    standing = find_standing(db, now, settings, user.id, month)
    if terms.refuses and standing.cap_cents is not None:
        spending_caps.queue_up(db, user.id)
        standing = find_standing(db, now, settings, user.id, month)
    plan = standing.terms
    rule = terms.of(plans.plan_limits(settings, plan, in_trial=standing.in_trial).get(metric, UNLIMITED))
    gauge = _gauge(db, now, user.id, metric, today.isoformat(), rule, standing.counters)
    over = terms.refuses and rule.policy == "hard" and _is_over(gauge)
    cap_passed = terms.refuses and spending_caps.is_passed(settings, plan, standing.counters, standing.cap_cents)
    if over and reservations.expire(db, now, user.id, metric):
        standing = find_standing(db, now, settings, user.id, month)
        gauge = _gauge(db, now, user.id, metric, today.isoformat(), rule, standing.counters)
        over = _is_over(gauge)
    counters = standing.counters
    if cap_passed:  # other metrics' holds are not ended here: who counts those has their counters
        counters = without_expired(db, now, user.id, month, counters)
        cap_passed = spending_caps.is_passed(settings, plan, counters, standing.cap_cents)
    resets = _seconds_until(now, today if rule.window == "day" else month.last_day, settings)
    if over:
        before = gauge.used + gauge.reserved - quantity
        raise QuotaExceeded("quota_exceeded", metric=metric, used=before, limit=rule.included, resets_in_seconds=resets)
    if cap_passed:
        used, reserved = counters[metric]
        spent = spending_caps.spoken_for_cents(settings, plan, {**counters, metric: (used - quantity, reserved)})
        resets = _seconds_until(now, month.last_day, settings)
        raise QuotaExceeded(
            "spending_cap_reached", metric=metric, used=spent, limit=standing.cap_cents, resets_in_seconds=resets
        )
    return Verdict(gauge, gauges_of(standing.counters, plans.limits_of(settings, plan)), resets)


def _gauge(
    db: Connection,
    now: datetime,
    user_id: UserId,
    metric: str,
    today: str,
    rule: PlanLimit,
    counters: dict[str, tuple[int, int]],
) -> Gauge:
    used, reserved = counters.get(metric, (0, 0))
    if rule.window == "day":
        used, reserved = list_used_on(db, now, user_id, today).get(metric, (0, 0))
    return Gauge(metric, used, rule.included, reserved)


def _is_over(gauge: Gauge) -> bool:
    return gauge.limit is not None and gauge.used + gauge.reserved > gauge.limit


def _seconds_until(now: datetime, last_day: date, settings: Settings) -> int:
    return max(1, math.ceil((end_of_day(last_day, settings.timezone) - now).total_seconds()))
