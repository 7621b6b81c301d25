"""What is sold: the plans, and how much of each metric they include."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from turf_saas.settings import Settings

logger = logging.getLogger("turf_saas.billing")

Limit = int | None  # None is unlimited


@dataclass(frozen=True)
class Plan:
    code: str
    name: str
    included: Mapping[str, Limit]


CATALOGUE = {
    plan.code: plan
    for plan in (
        Plan("free", "Free", {"api_calls": 300, "tokens": 100_000}),
        Plan("premium", "Premium", {"api_calls": 3_000, "tokens": 1_000_000}),
        Plan("pro", "Pro", {"api_calls": 30_000, "tokens": 10_000_000}),
    )
}
METRICS = ("api_calls", "tokens")

_unknown_plans_seen: set[str] = set()


def limits_of(settings: Settings, plan_code: str) -> dict[str, Limit]:
    """What a plan includes a month, per metric, after the settings have had their say.

    A plan that is in the data but not in the catalogue gets the default plan's limits.
    """
    plan = CATALOGUE.get(plan_code)
    if plan is None:
        _say_once(plan_code)
        plan = CATALOGUE[settings.default_plan]
    return {metric: settings.limit(plan.code, metric, built_in) for metric, built_in in plan.included.items()}


def _say_once(plan_code: str) -> None:
    if plan_code not in _unknown_plans_seen and len(_unknown_plans_seen) < 1000:
        _unknown_plans_seen.add(plan_code)
        logger.warning("plan %r is in the data but not in the catalogue: the default plan's limits hold", plan_code)
