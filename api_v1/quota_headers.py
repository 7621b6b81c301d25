"""What an answer says about a quota, beside its own body."""

from __future__ import annotations

from typing import Any

from turf_saas.admission import Admission, QuotaExceeded
from turf_saas.quotas import Level

ALERT = "X-Billing-Alert"
ALERT_HEADERS = {"soft": "soft_limit_warning", "hard": "hard_limit_reached"}
ALERT_MEANING = {ALERT: "`soft_limit_warning` or `hard_limit_reached`, of the worst metric; absent below 80 %"}


def alert_header(level: Level | None) -> dict[str, str]:
    """Of an answer that tells of a level: nothing below the first one."""
    return {ALERT: ALERT_HEADERS[level]} if level else {}


def quota_headers(admitted: Admission) -> dict[str, str]:
    """Of an answer that was counted: how much is left, and the alert of the worst metric."""
    gauge, headers = admitted.gauge, alert_header(admitted.worst_level)
    if gauge.limit is not None:
        headers |= _rate_limit(gauge.limit, gauge.remaining or 0, admitted.resets_in_seconds)
    return headers


def refusal_headers(refused: QuotaExceeded) -> dict[str, str]:
    """Of a 429. A spending cap is money, not a number of calls: it has no RateLimit headers."""
    headers = alert_header("hard")
    if refused.code == "quota_exceeded" and refused.limit is not None:
        left = max(0, refused.limit - refused.used)
        headers |= _rate_limit(refused.limit, left, refused.resets_in_seconds)
    return headers


def refusal_fields(refused: QuotaExceeded) -> dict[str, Any]:
    """What the body of a 429 says beside sentence and code: see schemas.QuotaRefusal."""
    return {
        "metric": refused.metric,
        "used": refused.used,
        "limit": refused.limit,
        "resets_in_seconds": refused.resets_in_seconds,
    }


def _rate_limit(limit: int, remaining: int, resets: int) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(limit),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(resets),
    }
