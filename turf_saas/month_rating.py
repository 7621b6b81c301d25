"""A user's month as it was: which plan each day belonged to, what was used on it, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from billing_db import Connection, fetch_all
from turf_saas import plans, rating
from turf_saas.many import named, parts, places
from turf_saas.month_use import Used, list_used
from turf_saas.plans import PlanTerms
from turf_saas.rating import RatedLine, Segment, Terms
from turf_saas.settings import Settings
from turf_saas.subscriptions import Change
from turf_saas.users import find_tenant
from turf_saas.values import Month, UserId, parse_instant

_GIVING = ("trialing", "active", "past_due")


@dataclass(frozen=True)
class RatedMonth:
    """A month's segments and what they cost above what is included; `used` per metric, `plan` the last one."""

    segments: list[Segment]
    lines: list[RatedLine]
    used: Mapping[str, Used]
    plan: str
    currency: str | None  # None: nothing in it has a price


def rate_month(db: Connection, settings: Settings, user_id: UserId, month: Month) -> RatedMonth:
    """Several statements: who needs one state of the database asks inside a transaction."""
    return read_months(db, settings, find_tenant(db, user_id), [user_id], month).of(user_id)


def read_months(
    db: Connection, settings: Settings, tenant_id: int, user_ids: Sequence[UserId], month: Month
) -> ReadMonths:
    """What rates the month of each of these users of a tenant, read by whole statements."""
    versions = _Versions(db, settings, tenant_id, month)
    return ReadMonths(settings, month, versions, list_changes(db, user_ids), list_used(db, user_ids, month))


@dataclass(frozen=True)
class ReadMonths:
    """A month of many users. Each is rated when it is asked for, so that what is wrong with one stops no other."""

    settings: Settings
    month: Month
    versions: _Versions
    changes: Mapping[UserId, Sequence[Change]]
    used: Mapping[UserId, Mapping[str, Used]]

    def of(self, user_id: UserId) -> RatedMonth:
        zone, versions = self.settings.timezone, self.versions
        held = in_force(self.changes.get(user_id, ()), before=self.month.ends_at(zone))
        known = [rating.Change(at, versions.of(change), billed=_is_billed(change)) for at, change in held]
        segments = rating.split_days(known, self.month, zone, versions.default)
        used = self.used.get(user_id, {})
        segments = _filled(segments, used)
        currency = next((versions.currency_of(one.terms) for one in reversed(segments) if one.terms.prices), None)
        last = held[-1][1] if held and held[-1][1].status in _GIVING else None
        plan = (last.plan if last else None) or self.settings.default_plan
        lines = rating.rate_month(segments, currency or self.settings.currency)
        return RatedMonth(segments, lines, used, plan, currency)


def _is_billed(change: Change) -> bool:
    """Not in a trial; nor where a row of three values only says who is on which plan. An end leaves nothing free."""
    return change.status not in _GIVING or (change.status != "trialing" and change.is_billed)


def _filled(segments: list[Segment], used: Mapping[str, Used]) -> list[Segment]:
    """The segments with what was used in each."""
    if len(segments) == 1:
        (whole,) = segments
        totals = {metric: of.total for metric, of in used.items()}
        return [Segment(whole.terms, whole.first_day, whole.last_day, whole.billed, totals)]
    days = {metric: of.days for metric, of in used.items()}
    return [
        replace(one, used={metric: _sum(of, one.first_day.day, one.last_day.day) for metric, of in days.items()})
        for one in segments
    ]


def _sum(days: Mapping[int, int], first: int, last: int) -> int:
    return sum(quantity for day, quantity in days.items() if first <= day <= last)


def in_force(changes: Sequence[Change], before: datetime) -> list[tuple[datetime, Change]]:
    """From when on which change held, as everything is known today; a status that gives no plan is an end.

    Of two that speak of the same time the one written later holds. A user has one subscription at a time: an end is
    heard only if it is that of the one in force. What has no readable instant holds nothing.
    """
    readable = [(at, place) for place, change in enumerate(changes) if (at := _instant_of(change.at)) is not None]
    if len(readable) == 1:  # as of most users
        at, place = readable[0]
        return [(at, changes[place])] if at < before and changes[place].status in _GIVING else []
    begun = -1  # the latest written of those that give a plan, of all that is known up to an instant
    last_of: dict[int, int] = {}  # and of each subscription the latest written
    found: list[tuple[datetime, Change]] = []
    for at, known in groupby(sorted(readable), key=itemgetter(0)):
        if at >= before:
            break
        for _, place in known:
            subject = changes[place].subscription_id
            last_of[subject] = max(last_of.get(subject, -1), place)
            if changes[place].status in _GIVING:
                begun = max(begun, place)
        if begun < 0:
            continue
        held = changes[last_of[changes[begun].subscription_id]]
        if not found or found[-1][1] is not held:
            found.append((at, held))
    return found


def _instant_of(text: str) -> datetime | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None


class _Versions:
    """The terms of each version that a tenant's month has to do with, read once."""

    def __init__(self, db: Connection, settings: Settings, tenant_id: int, month: Month) -> None:
        self._db, self._settings, self._tenant_id = db, settings, tenant_id
        self._end = month.ends_at(settings.timezone)
        self._known: dict[tuple[str | None, int | None], Terms] = {}
        self._currencies: dict[int, str] = {}
        self.default = self._terms(None, None)

    def of(self, change: Change) -> Terms | None:
        if change.status not in _GIVING:
            return None
        return self._terms(change.plan, change.plan_id)

    def currency_of(self, terms: Terms) -> str:
        return self._currencies[id(terms)]

    def _terms(self, code: str | None, plan_id: int | None) -> Terms:
        key = (code, plan_id)
        if key not in self._known:
            found = self._find(code, plan_id)
            self._known[key] = Terms(
                found.code, plans.limits_of(self._settings, found), found.prices, found.tax_behavior
            )
            self._currencies[id(self._known[key])] = found.currency
        return self._known[key]

    def _find(self, code: str | None, plan_id: int | None) -> PlanTerms:
        if plan_id is not None:
            return plans.find_terms(self._db, plan_id)
        return plans.find_terms_before(self._db, self._settings, self._tenant_id, code, self._end)


def list_changes(db: Connection, user_ids: Sequence[UserId]) -> dict[UserId, list[Change]]:
    """Each user's history, in the order in which it became known."""
    found: dict[UserId, list[Change]] = {}
    for part in parts(user_ids):
        rows = fetch_all(
            db,
            f"""SELECT h.user_id, h.at, h.plan, h.plan_id, h.status, h.actor, h.reason, h.subject_id,
                       h.plan_id IS NOT NULL OR s.effective_at <= h.at AS is_billed
                  FROM billing_status_history AS h LEFT JOIN saas_subscriptions AS s ON s.id = h.subject_id
                 WHERE h.subject = 'subscription' AND h.user_id IN ({places(part)}) ORDER BY h.id""",  # noqa: S608
            **named(part),
        )
        for row in rows:
            change = Change(
                row["at"],
                row["plan"],
                row["plan_id"],
                row["status"],
                row["actor"],
                row["reason"],
                row["subject_id"],
                bool(row["is_billed"]),
            )
            found.setdefault(row["user_id"], []).append(change)
    return found
