"""A user's month as it was: which plan each day belonged to, what was used on it, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from billing_db import Connection, fetch_all
from turf_saas import plans, rating
from turf_saas.rating import RatedLine, Segment, Terms
from turf_saas.settings import Settings
from turf_saas.subscriptions import Change, list_changes
from turf_saas.values import Month, UserId, parse_instant

_GIVING = ("trialing", "active", "past_due")


def rate_month(db: Connection, settings: Settings, user_id: UserId, month: Month) -> list[RatedLine]:
    """What the month's use costs above what its plans include: a line per plan and metric that costs something.

    Several statements: who needs one state of the database asks inside a transaction.
    """
    versions = _Versions(db, settings, user_id, month)
    return rating.rate_month(_segments(db, settings, user_id, month, versions), versions.currency)


def list_segments(db: Connection, settings: Settings, user_id: UserId, month: Month) -> list[Segment]:
    """The month's days in rows of one plan each, with what they used."""
    return _segments(db, settings, user_id, month, _Versions(db, settings, user_id, month))


def _segments(db: Connection, settings: Settings, user_id: UserId, month: Month, versions: _Versions) -> list[Segment]:
    changes = [
        rating.Change(at, versions.of(change), billed=change.status != "trialing")
        for at, change in in_force(list_changes(db, user_id), before=month.ends_at(settings.timezone))
    ]
    segments = rating.split_days(changes, month, settings.timezone, versions.default)
    days = _list_days(db, user_id, month)
    return [replace(segment, used=_sum(days, segment.first_day, segment.last_day)) for segment in segments]


def in_force(changes: Sequence[Change], before: datetime) -> list[tuple[datetime, Change]]:
    """From when on which change held, as everything is known today; a status that gives no plan is an end.

    Of two that speak of the same time the one written later holds. A user has one subscription at a time: an end is
    heard only if it is that of the one in force.
    """
    readable = [(parse_instant(change.at), change) for change in changes]
    found: list[tuple[datetime, Change]] = []
    for at in sorted({at for at, _ in readable if at < before}):
        held = _at(readable, at)
        if held is not None and (not found or found[-1][1] is not held):
            found.append((at, held))
    return found


def _at(changes: Sequence[tuple[datetime, Change]], instant: datetime) -> Change | None:
    """What holds at an instant: the plan that was begun last, or the end of that one."""
    known = [change for at, change in changes if at <= instant]
    begun = next((place for place in range(len(known) - 1, -1, -1) if known[place].status in _GIVING), None)
    if begun is None:
        return None
    same = [change for change in known[begun:] if change.subscription_id == known[begun].subscription_id]
    return same[-1]


class _Versions:
    """The terms of each version that the month has to do with, read once."""

    def __init__(self, db: Connection, settings: Settings, user_id: UserId, month: Month) -> None:
        self._db, self._settings, self._user_id = db, settings, user_id
        self._end = month.ends_at(settings.timezone)
        self.currency = settings.currency
        self._known: dict[tuple[str | None, int | None], Terms] = {}
        self.default = self._terms(None, None)

    def of(self, change: Change) -> Terms | None:
        if change.status not in _GIVING:
            return None
        return self._terms(change.plan, change.plan_id)

    def _terms(self, code: str | None, plan_id: int | None) -> Terms:
        key = (code, plan_id)
        if key not in self._known:
            if plan_id is not None:
                found = plans.find_terms(self._db, self._settings, plan_id)
            else:
                found = plans.find_terms_before(self._db, self._settings, self._user_id, code, self._end)
            if found.prices:
                self.currency = found.currency  # a user has one
            self._known[key] = Terms(found.code, plans.limits_of(self._settings, found), found.prices)
        return self._known[key]


def _list_days(db: Connection, user_id: UserId, month: Month) -> list[tuple[date, str, int]]:
    rows = fetch_all(
        db,
        """SELECT day, metric, SUM(quantity) AS quantity FROM daily_usage
            WHERE user_id = :user_id AND day BETWEEN :first AND :last GROUP BY day, metric""",
        user_id=user_id,
        first=month.first_day.isoformat(),
        last=month.last_day.isoformat(),
    )
    return [(date.fromisoformat(row["day"]), row["metric"], int(row["quantity"])) for row in rows]


def _sum(days: Sequence[tuple[date, str, int]], first: date, last: date) -> dict[str, int]:
    used: dict[str, int] = {}
    for day, metric, quantity in days:
        if first <= day <= last:
            used[metric] = used.get(metric, 0) + quantity
    return used
