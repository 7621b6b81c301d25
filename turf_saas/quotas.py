"""How much of a month is used, against what the plan includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Literal, NamedTuple

from billing_db import Connection, Row, fetch_all, fetch_one
from turf_saas import plans, rollover, spending_caps, subscriptions
from turf_saas.many import named, parts, places
from turf_saas.plans import UNLIMITED, Limit, PlanLimit, PlanTerms
from turf_saas.settings import Settings
from turf_saas.spending_caps import Spending
from turf_saas.users import find_tenant
from turf_saas.values import Month, UserId, end_of_day, instant_text, local_day

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


class Gauge(NamedTuple):
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


def worst_level(gauges: Iterable[Gauge]) -> Level | None:
    worst: Level | None = None
    for gauge in gauges:
        level = alert_level(gauge.used, gauge.limit)
        if level == "hard":
            return level
        worst = level or worst
    return worst


@dataclass(frozen=True)
class Consumption:
    """A user's month: the plan that judges it and a gauge per metric, api_calls first."""

    user_id: UserId
    plan: str
    month: Month
    gauges: tuple[Gauge, ...]

    @property
    def worst_level(self) -> Level | None:
        return worst_level(self.gauges)


def get_consumption(
    db: Connection, now: datetime, settings: Settings, user_id: UserId, month: Month | None = None
) -> Consumption:
    """The month's use against its limits; a past month is judged by the plan in force at its end."""
    current = Month.of(now, settings.timezone)
    month = month or current
    standing = find_standing(db, now, settings, user_id, month)
    plan, terms = standing.plan, standing.terms
    if month < current:
        plan, terms = find_plan_of(db, settings, user_id, month)
    counters = without_expired(db, now, user_id, month, standing.counters)
    return Consumption(user_id, plan, month, gauges_of(counters, plans.limits_of(settings, terms)))


def find_plan_of(db: Connection, settings: Settings, user_id: UserId, month: Month) -> tuple[str, PlanTerms]:
    """The plan that was in force at a past month's end."""
    end = month.ends_at(settings.timezone)
    held = subscriptions.find_plan_before(db, user_id, end)
    if held.plan_id is not None:
        terms = plans.find_terms(db, held.plan_id)
    else:
        terms = plans.find_terms_before(db, settings, find_tenant(db, user_id), held.plan, end)
    return held.plan or settings.default_plan, terms


@dataclass(frozen=True)
class Quota:
    """What a plan says of a metric, and where the user stands in its window."""

    rule: PlanLimit
    gauge: Gauge
    resets_at: str


@dataclass(frozen=True)
class Quotas:
    """What a user may still use this month (or, where a plan says so, today), api_calls first."""

    user_id: UserId
    plan: str
    month: Month
    quotas: tuple[Quota, ...]
    spending: Spending

    @property
    def worst_level(self) -> Level | None:
        return worst_level(quota.gauge for quota in self.quotas)


def get_quotas(db: Connection, now: datetime, settings: Settings, user_id: UserId) -> Quotas:
    """Every metric of the plan and every other one that was used. A hold whose time is over counts for nothing."""
    today, month = local_day(now, settings.timezone), Month.of(now, settings.timezone)
    standing = find_standing(db, now, settings, user_id, month)
    counters = without_expired(db, now, user_id, month, standing.counters)
    rules = plans.plan_limits(settings, standing.terms, in_trial=standing.in_trial)
    of_today = {}
    if any(rule.window == "day" for rule in rules.values()):
        of_today = list_used_on(db, now, user_id, today.isoformat())
    found = []
    for gauge in gauges_of(counters, {metric: rule.included for metric, rule in rules.items()}):
        rule, ends = rules.get(gauge.metric, UNLIMITED), month.last_day
        if rule.window == "day":
            used, reserved = of_today.get(gauge.metric, (0, 0))
            gauge, ends = Gauge(gauge.metric, used, rule.included, reserved), today  # noqa: PLW2901
        found.append(Quota(rule, gauge, instant_text(end_of_day(ends, settings.timezone))))
    spending = spending_caps.spending_of(settings, standing.terms, counters, standing.cap_cents)
    return Quotas(user_id, standing.plan, month, tuple(found), spending)


def list_used_on(db: Connection, now: datetime, user_id: UserId, day: str) -> dict[str, tuple[int, int]]:
    """A day's use and what is held on it, per metric."""
    rows = fetch_all(
        db,
        """SELECT metric, SUM(used) AS used, SUM(reserved) AS reserved
             FROM (SELECT metric, quantity AS used, 0 AS reserved FROM daily_usage
                    WHERE user_id = :user_id AND day = :day
                    UNION ALL
                   SELECT metric, 0 AS used, quantity AS reserved FROM usage_reservations
                    WHERE user_id = :user_id AND day = :day AND state = 'held' AND expires_at > :now) AS of_the_day
            GROUP BY metric""",
        user_id=user_id,
        day=day,
        now=instant_text(now),
    )
    return {row["metric"]: (int(row["used"]), int(row["reserved"])) for row in rows}


class Standing(NamedTuple):
    """Where a user stands in a month: today's plan as it is named and as it decides, used and reserved, the cap."""

    plan: str
    terms: PlanTerms
    counters: dict[str, tuple[int, int]]
    cap_cents: int | None
    in_trial: bool = False


def find_standing(db: Connection, now: datetime, settings: Settings, user_id: UserId, month: Month) -> Standing:
    """In one statement, for each is a wait among busy threads."""
    rows = _standing(db, now, settings, user_id, month)
    if rows[0]["is_due"]:  # the period is over, and no job has been by yet
        rollover.bring_up_to_date(db, now, settings, user_id)
        rows = _standing(db, now, settings, user_id, month)
    first = rows[0]
    counters = {row["metric"]: (row["used"], row["reserved"]) for row in rows if row["metric"]}
    terms = plans.found_or_default(db, settings, first, first["plan"])
    return Standing(
        first["plan"] or settings.default_plan, terms, counters, first["amount_cents"], first["status"] == "trialing"
    )


def _standing(db: Connection, now: datetime, settings: Settings, user_id: UserId, month: Month) -> list[Row]:
    return fetch_all(
        db,
        f"""SELECT whose.tenant_id, s.plan, s.status, p.code, p.limits, p.prices, p.currency,
                   s.current_period_end <= :now AND s.billed_by = 'local' AS is_due,
                   c.metric, c.used, c.reserved, k.amount_cents
              FROM (SELECT COALESCE((SELECT tenant_id FROM billing_accounts WHERE user_id = :user_id), 1) AS tenant_id)
                   AS whose
              LEFT JOIN saas_subscriptions AS s ON s.user_id = :user_id AND {subscriptions.GIVES_ITS_PLAN}
              LEFT JOIN billing_plans AS p ON {plans.PLAN_IN_FORCE}
              LEFT JOIN billing_spending_caps AS k ON k.user_id = :user_id
              LEFT JOIN usage_counters AS c ON c.user_id = :user_id AND c.month = :month""",  # noqa: S608  constants
        user_id=user_id,
        now=instant_text(now),
        month=str(month),
        default_plan=settings.default_plan,
    )


def list_near_limits(
    db: Connection, now: datetime, settings: Settings, tenants: Mapping[UserId, int]
) -> list[tuple[UserId, Gauge]]:
    """The gauges of many users that have reached the first alert or threshold of this month's limit.

    tenants: whose each of the users is. Most of them are on the same few plans, whose limits are read once each.
    """
    least = min((SOFT_PERCENT, *settings.alert_thresholds))
    month = Month.of(now, settings.timezone)
    if len(tenants) == 1:
        [user_id] = tenants
        return _list_near_limits_of(db, now, settings, user_id, month, least)
    found: dict[tuple[UserId, str], Gauge] = {}
    limits: dict[tuple[int, int | None, str | None], dict[str, Limit]] = {}
    for part in parts(list(tenants)):
        rows = fetch_all(
            db,
            f"""SELECT c.user_id, c.metric, c.used, s.plan_id, s.plan
                  FROM usage_counters AS c
                  LEFT JOIN saas_subscriptions AS s ON s.user_id = c.user_id AND {subscriptions.GIVES_ITS_PLAN}
                 WHERE c.month = :month AND c.user_id IN ({places(part)})""",  # noqa: S608  constants
            now=instant_text(now),
            month=str(month),
            **named(part),
        )
        for user_id, metric, used, plan_id, code in map(_USED_ON_A_PLAN, rows):
            plan = (tenants[user_id], plan_id, code)
            if plan not in limits:
                limits[plan] = plans.limits_of(settings, _find_terms(db, settings, *plan))
            limit = limits[plan].get(metric)
            if limit is not None and used * 100 >= limit * least:
                found[user_id, metric] = Gauge(metric, used, limit)
    return [(user_id, gauge) for (user_id, _), gauge in found.items()]


def _list_near_limits_of(
    db: Connection, now: datetime, settings: Settings, user_id: UserId, month: Month, least: int
) -> list[tuple[UserId, Gauge]]:
    """Of one user, with his plan in the same statement."""
    rows = _standing(db, now, settings, user_id, month)
    limits = plans.limits_of(settings, plans.found_or_default(db, settings, rows[0], rows[0]["plan"]))
    gauges = [Gauge(row["metric"], row["used"], limits.get(row["metric"])) for row in rows if row["metric"]]
    return [(user_id, one) for one in gauges if one.limit is not None and one.used * 100 >= one.limit * least]


_USED_ON_A_PLAN = itemgetter("user_id", "metric", "used", "plan_id", "plan")


def _find_terms(db: Connection, settings: Settings, tenant_id: int, plan_id: int | None, code: str | None) -> PlanTerms:
    """Of the version or the plan that a subscription names; of the default plan where there is none."""
    row = fetch_one(
        db,
        f"""SELECT whose.tenant_id, p.code, p.limits, p.prices, p.currency
              FROM (SELECT CAST(:tenant_id AS bigint) AS tenant_id) AS whose
             CROSS JOIN (SELECT CAST(:plan_id AS bigint) AS plan_id, CAST(:plan AS text) AS plan) AS s
              LEFT JOIN billing_plans AS p ON {plans.PLAN_IN_FORCE}""",  # noqa: S608  constants
        tenant_id=tenant_id,
        plan_id=plan_id,
        plan=code,
        default_plan=settings.default_plan,
    )
    return plans.found_or_default(db, settings, row, code)


def without_expired(
    db: Connection, now: datetime, user_id: UserId, month: Month, counters: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """The counters without the holds whose time is over, though nobody has taken them back yet."""
    if not any(reserved for _, reserved in counters.values()):
        return counters
    rows = fetch_all(
        db,
        """SELECT metric, SUM(quantity) AS quantity FROM usage_reservations
            WHERE user_id = :user_id AND state = 'held' AND expires_at <= :now AND day BETWEEN :first AND :last
            GROUP BY metric""",
        user_id=user_id,
        now=instant_text(now),
        first=month.first_day.isoformat(),
        last=month.last_day.isoformat(),
    )
    expired = {row["metric"]: int(row["quantity"]) for row in rows}
    return {metric: (used, reserved - expired.get(metric, 0)) for metric, (used, reserved) in counters.items()}


def gauges_of(counters: dict[str, tuple[int, int]], limits: dict[str, Limit]) -> tuple[Gauge, ...]:
    """A gauge per metric that the plan names or that was used, api_calls first."""
    metrics = ["api_calls", *sorted((limits.keys() | counters.keys()) - {"api_calls"})]
    found = []
    for metric in metrics:
        used, reserved = counters.get(metric, (0, 0))
        found.append(Gauge(metric, used, limits.get(metric), reserved))
    return tuple(found)
