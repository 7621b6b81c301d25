"""Consumption: a user's month against the limits of the plan."""

from __future__ import annotations

import os
from typing import Any

from api_v1 import schemas
from api_v1.auth import Caller
from api_v1.blueprint import billing_bp
from api_v1.errors import locale
from api_v1.quota_headers import ALERT_MEANING, alert_header
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import quotas
from turf_saas.messages import MESSAGES, say
from turf_saas.quotas import Consumption, Gauge
from turf_saas.settings import read_settings
from turf_saas.starter_plans import STARTERS
from turf_saas.values import Month

__all__ = ["PLAN_LIMITS", "PLAN_NAMES", "billing_bp"]  # noqa: F822  __getattr__ below gives PLAN_LIMITS

# As the reference had them, of the plans that a new database sells. GET /plans says what is sold now.
PLAN_NAMES = {plan["code"]: plan["name"] for plan in STARTERS}


@route(
    "GET",
    "/consumption",
    summary="A month's consumption against the plan's limits",
    scope="billing.read",
    query=schemas.ConsumptionQuery,
    returns=schemas.Consumption,
    headers=ALERT_MEANING,
)
def consumption(caller: Caller, query: schemas.ConsumptionQuery) -> Any:
    """Without `month`: the current one. A past month is judged by the plan in force at its end.

    The header `X-Billing-Alert` is `soft_limit_warning` from 80 % and `hard_limit_reached` from 100 %.
    """
    runtime = current_runtime()
    month = Month.parse(query.month) if query.month else None
    found = quotas.get_consumption(runtime.db(), runtime.now(), runtime.settings, caller.user_id, month)
    return _shown(found), alert_header(found.worst_level)


def _shown(found: Consumption) -> dict[str, Any]:
    """As schemas.Consumption says. Not built as one: what we have counted ourselves needs no validating."""
    calls = found.gauges[0]
    return {
        "user_id": found.user_id,
        "plan": found.plan,
        "month": str(found.month),
        "consumption": {"total_api_calls": calls.used, "limit_api_calls": calls.limit, "usage_pct": calls.usage_pct},
        "alerts": [_alert(gauge) for gauge in found.gauges if gauge.level],
        "metrics": [
            {
                "metric": gauge.metric,
                "used": gauge.used,
                "limit": gauge.limit,
                "remaining": gauge.remaining,
                "usage_pct": gauge.usage_pct,
                "level": gauge.level,
            }
            for gauge in found.gauges
        ],
    }


def _alert(gauge: Gauge) -> dict[str, Any]:
    code = f"alert_{gauge.level}_{gauge.metric}"
    if code not in MESSAGES:
        code = f"alert_{gauge.level}"
    return {
        "type": gauge.level,
        "metric": gauge.metric,
        "message": say(code, locale(), pct=gauge.usage_pct, metric=gauge.metric),
        "current": gauge.used,
        "limit": gauge.limit,
    }


def __getattr__(name: str) -> Any:
    """PLAN_LIMITS as the reference had it, read from the environment when it is asked for."""
    if name != "PLAN_LIMITS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = read_settings({"TURF_SAAS_DB": ".", **os.environ})
    return {
        plan["code"]: {
            f"monthly_{metric}": settings.limit(plan["code"], metric, limit["included"])
            for metric, limit in plan["limits"].items()
        }
        for plan in STARTERS
    }
