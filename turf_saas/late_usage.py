"""Use that was reported, or corrected, after its month had been invoiced: what it costs more, or less.

The month is priced twice by its own plans, with all of its use and with what was billed. What is more is a line of the
next invoice; what is less is given back on the invoices that billed it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from billing_db import Connection, atomic, execute_many, fetch_all
from turf_saas.invoice_drafts import DraftLine
from turf_saas.many import named, parts, places
from turf_saas.messages import say
from turf_saas.month_rating import RatedMonth, read_months
from turf_saas.month_use import Used, as_json
from turf_saas.periods import start_of_day
from turf_saas.plans import TaxBehavior
from turf_saas.prices import price_as_json
from turf_saas.pricing import calculate
from turf_saas.rating import Part, parts_of, rated_quantity
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId, compact_json, instant_text

NOTHING = Used(0, "{}")


@dataclass(frozen=True)
class LateUse:
    """A metric of a month that was used otherwise than was billed. `amount_cents`: what it costs more, or less.

    Of days whose prices include VAT and of days whose prices do not there is one each.
    """

    user_id: UserId
    month: Month
    metric: str
    amount_cents: int
    quantity: int
    tax_behavior: TaxBehavior
    currency: str
    parts: tuple[Part, ...]
    before: Mapping[int, int]
    after: Used

    @property
    def origin(self) -> str:
        return compact_json(
            {
                "month": str(self.month),
                "parts": [_part_as_json(part) for part in self.parts],
                "before": self.before,
                "after": self.after.days,
            }
        )


def _part_as_json(part: Part) -> dict[str, Any]:
    return {
        "plan": part.plan,
        "price": price_as_json(part.price),
        "spans": [[first.isoformat(), last.isoformat(), included] for first, last, included in part.spans],
    }


def list_late(
    db: Connection, settings: Settings, tenant_id: int, user_ids: Sequence[UserId], before: Month
) -> dict[UserId, list[LateUse]]:
    """Of each user's closed months before this one, the oldest first; by the limits that were set when they closed."""
    found: dict[UserId, list[LateUse]] = {}
    of_month: dict[tuple[Month, str], dict[UserId, tuple[set[str], dict[str, dict[str, int]]]]] = {}
    for user_id, month, limits, metric, billed in _list_changed(db, user_ids, before):
        users = of_month.setdefault((month, limits), {})
        users.setdefault(user_id, (set(), billed))[0].add(metric)
    for (month, limits), users in sorted(of_month.items()):
        then = replace(settings, limits=json.loads(limits))
        months = read_months(db, then, tenant_id, list(users), month)
        for user_id, (metrics, billed) in users.items():
            rated = months.of(user_id)
            found.setdefault(user_id, []).extend(
                _late(settings, user_id, month, rated, metric, billed.get(metric, {}), behavior, priced)
                for metric in sorted(metrics)
                for behavior, priced in _parts_of(rated, metric).items()
            )
    return found


def _list_changed(
    db: Connection, user_ids: Sequence[UserId], before: Month
) -> Iterable[tuple[UserId, Month, str, str, dict[str, dict[str, int]]]]:
    """Which closed months, the limits as they were set then, which metrics, and what was billed of the month."""
    for part in parts(user_ids):
        for row in fetch_all(
            db,
            f"""SELECT c.user_id, c.month, m.limits, c.metric, COALESCE(m.billed, i.billed) AS billed
                  FROM usage_counters AS c
                  JOIN billing_invoiced_months AS m ON m.user_id = c.user_id AND m.month = c.month
                  LEFT JOIN invoices AS i ON i.id = m.invoice_id
                 WHERE c.user_id IN ({places(part)}) AND c.month < :before AND c.used <> COALESCE(c.billed, 0)
                 ORDER BY c.user_id, c.month, c.metric""",  # noqa: S608
            before=str(before),
            **named(part),
        ):
            month = Month.parse(row["month"])
            if month is not None:
                yield row["user_id"], month, row["limits"] or "{}", row["metric"], json.loads(row["billed"] or "{}")


def _parts_of(rated: RatedMonth, metric: str) -> dict[TaxBehavior, tuple[Part, ...]]:
    """What prices the metric in the month, by whether VAT is included. What has no price costs nothing."""
    found: dict[TaxBehavior, tuple[Part, ...]] = {}
    for part in parts_of(rated.segments):
        if part.price.metric == metric:
            found[part.tax_behavior] = (*found.get(part.tax_behavior, ()), part)
    return found or {"exclusive": ()}


def _late(
    settings: Settings,
    user_id: UserId,
    month: Month,
    rated: RatedMonth,
    metric: str,
    billed: Mapping[str, int],
    behavior: TaxBehavior,
    priced: tuple[Part, ...],
) -> LateUse:
    before, after = {int(day): quantity for day, quantity in billed.items()}, rated.used.get(metric, NOTHING)
    currency = rated.currency or settings.currency
    amount = quantity = 0
    for part in priced:
        now, then = rated_quantity(part.spans, after.days), rated_quantity(part.spans, before)
        quantity += now - then
        amount += calculate(part.price, now, currency).amount_cents
        amount -= calculate(part.price, then, currency).amount_cents
    return LateUse(user_id, month, metric, amount, quantity, behavior, currency, priced, before, after)


def late_line(settings: Settings, late: LateUse, locale: str) -> DraftLine:
    """What it costs more, with its original month."""
    return DraftLine(
        "late",
        late.amount_cents,
        late.tax_behavior,
        say("line_late", locale, metric=late.metric, month=str(late.month)),
        quantity=str(late.quantity),
        metric=late.metric,
        period_start=instant_text(start_of_day(late.month.first_day, settings.timezone)),
        period_end=instant_text(late.month.ends_at(settings.timezone)),
        origin=late.origin,
    )


def note_billed(db: Connection, late: Sequence[LateUse]) -> None:
    """All of it is billed now, in the caller's transaction: what was read, not what has come since."""
    of_month: dict[tuple[UserId, str], dict[str, Used]] = {}
    for one in late:
        of_month.setdefault((one.user_id, str(one.month)), {})[one.metric] = one.after
    with atomic(db):
        execute_many(
            db,
            """UPDATE usage_counters SET billed = :total
                WHERE user_id = :user_id AND month = :month AND metric = :metric""",
            [
                {"user_id": one.user_id, "month": str(one.month), "metric": one.metric, "total": one.after.total}
                for one in sorted(late, key=_as_writers)
            ],
        )
        for (user_id, month), changed in of_month.items():
            _note_days(db, user_id, month, changed)


def _as_writers(late: LateUse) -> tuple[Any, ...]:
    """The newest month first, as a batch of events holds the counters: neither waits for the other for ever."""
    return -late.month.year, -late.month.number, late.user_id, late.metric


def _note_days(db: Connection, user_id: UserId, month: str, changed: Mapping[str, Used]) -> None:
    rows = fetch_all(
        db,
        """SELECT COALESCE(m.billed, i.billed) AS billed FROM billing_invoiced_months AS m
             LEFT JOIN invoices AS i ON i.id = m.invoice_id WHERE m.user_id = :user_id AND m.month = :month""",
        user_id=user_id,
        month=month,
    )
    known = json.loads(rows[0]["billed"] or "{}") if rows else {}
    billed = {metric: Used(sum(days.values()), json.dumps(days)) for metric, days in known.items()} | dict(changed)
    execute_many(
        db,
        "UPDATE billing_invoiced_months SET billed = :billed WHERE user_id = :user_id AND month = :month",
        [{"billed": as_json(billed), "user_id": user_id, "month": month}],
    )
