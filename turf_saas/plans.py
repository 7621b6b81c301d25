"""What is sold: the plans, what of each metric they include, and what more of it costs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from turf_saas.settings import Settings

logger = logging.getLogger("turf_saas.billing")

Limit = int | None  # None is unlimited
Policy = Literal["hard", "soft"]  # refuse past the limit, or let through and warn
Window = Literal["month", "day"]


@dataclass(frozen=True)
class PlanLimit:
    """How much of a metric a plan includes, and what happens past it. A day's limit only decides: it bills nothing."""

    included: Limit
    policy: Policy = "hard"
    window: Window = "month"


UNLIMITED = PlanLimit(None, "soft")


@dataclass(frozen=True)
class Plan:
    """`prices`: what one unit past the included quantity costs, per metric, in the currency's major unit."""

    code: str
    name: str
    limits: Mapping[str, PlanLimit]
    prices: Mapping[str, str] = field(default_factory=dict)


def _plan(code: str, policy: Policy, included: Mapping[str, int], prices: Mapping[str, str]) -> Plan:
    return Plan(code, code.capitalize(), {metric: PlanLimit(n, policy) for metric, n in included.items()}, prices)


CATALOGUE = {
    plan.code: plan
    for plan in (
        _plan("free", "hard", {"api_calls": 300, "tokens": 100_000}, {}),
        _plan(
            "premium",
            "soft",
            {"api_calls": 3_000, "tokens": 1_000_000},
            {"api_calls": "0.01", "tokens": "0.00001"},
        ),
        _plan(
            "pro",
            "soft",
            {"api_calls": 30_000, "tokens": 10_000_000},
            {"api_calls": "0.005", "tokens": "0.000005"},
        ),
    )
}
METRICS = ("api_calls", "tokens")

_unknown_plans_seen: set[str] = set()


def plan_limits(settings: Settings, plan_code: str) -> dict[str, PlanLimit]:
    """What a plan includes per metric and how it decides, after the settings have had their say.

    A plan that is in the data but not in the catalogue gets the default plan's limits.
    """
    plan = _known(settings, plan_code)
    return {
        metric: _including(limit, settings.limit(plan.code, metric, limit.included))
        for metric, limit in plan.limits.items()
    }


def _including(limit: PlanLimit, included: Limit) -> PlanLimit:
    return limit if included == limit.included else PlanLimit(included, limit.policy, limit.window)


def limits_of(settings: Settings, plan_code: str) -> dict[str, Limit]:
    """What a plan includes a month, per metric."""
    plan = _known(settings, plan_code)
    return {
        metric: settings.limit(plan.code, metric, limit.included) if limit.window == "month" else None
        for metric, limit in plan.limits.items()
    }


def overage_cents(settings: Settings, plan_code: str, used: Mapping[str, int]) -> int:
    """What a month's use past the included quantities costs, each metric rounded once."""
    plan = _known(settings, plan_code)
    included = limits_of(settings, plan_code)
    total = 0
    for metric, unit_amount in plan.prices.items():
        limit = included.get(metric, 0)
        over = 0 if limit is None else max(0, used.get(metric, 0) - limit)
        total += int((over * Decimal(unit_amount) * 100).quantize(Decimal(1), ROUND_HALF_UP))
    return total


def _known(settings: Settings, plan_code: str) -> Plan:
    plan = CATALOGUE.get(plan_code)
    if plan is None:
        _say_once(plan_code)
        plan = CATALOGUE[settings.default_plan]
    return plan


def _say_once(plan_code: str) -> None:
    if plan_code not in _unknown_plans_seen and len(_unknown_plans_seen) < 1000:
        _unknown_plans_seen.add(plan_code)
        logger.warning("plan %r is in the data but not in the catalogue: the default plan's limits hold", plan_code)
