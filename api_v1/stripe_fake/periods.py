"""Days, weeks, months and years on the fake's calendar, which is UTC."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta


def after(start: int, interval: str, count: int, anchor: int) -> int:
    """The next start of a period. A month that lacks the anchor's day ends on its last one."""
    at = datetime.fromtimestamp(start, UTC)
    if interval in {"day", "week"}:
        return int((at + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = at.year * 12 + at.month - 1 + count * (12 if interval == "year" else 1)
    year, month = months // 12, months % 12 + 1
    wanted = datetime.fromtimestamp(anchor, UTC)
    day = min(wanted.day, monthrange(year, month)[1])
    return int(wanted.replace(year=year, month=month, day=day).timestamp())
