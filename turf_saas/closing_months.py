"""Which months of which users are closed, and which are over and wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, execute_many, fetch_all, fetch_one
from turf_saas.many import named, parts, places
from turf_saas.month_use import Used, as_json
from turf_saas.settings import Settings
from turf_saas.subscriptions import LIVE
from turf_saas.values import Month, UserId, compact_json, instant_text, read_instant

# Who has something in a month: use, a fee that began in it, or an item that waits for its invoice.
_TOUCHED = """SELECT user_id, month FROM usage_counters
               WHERE tenant_id = :tenant_id AND used > 0 AND month {0}
              UNION
              SELECT user_id, month FROM billing_periods
               WHERE tenant_id = :tenant_id AND invoice_id IS NULL AND fee_cents > 0 AND month {0}
              UNION
              SELECT user_id, month FROM billing_pending_items
               WHERE tenant_id = :tenant_id AND invoice_id IS NULL AND month {0}"""
# Whose closed months have something that their invoices did not know.
_LEFT_OVER = """SELECT c.user_id FROM usage_counters AS c
                  JOIN billing_invoiced_months AS m ON m.user_id = c.user_id AND m.month = c.month
                 WHERE c.tenant_id = :tenant_id AND c.month < :month AND c.used <> COALESCE(c.billed, 0)
                UNION
                SELECT b.user_id FROM billing_periods AS b
                  JOIN billing_invoiced_months AS m ON m.user_id = b.user_id AND m.month = b.month
                 WHERE b.tenant_id = :tenant_id AND b.month < :month AND b.invoice_id IS NULL AND b.fee_cents > 0
                UNION
                SELECT p.user_id FROM billing_pending_items AS p
                  JOIN billing_invoiced_months AS m ON m.user_id = p.user_id AND m.month = p.month
                 WHERE p.tenant_id = :tenant_id AND p.month < :month AND p.invoice_id IS NULL"""
# All that is known of who has ever been on one of these plans.
_OF_THESE_PLANS = """SELECT user_id, at, status, plan_id FROM billing_status_history
                      WHERE subject = 'subscription' AND user_id IN (
                            SELECT user_id FROM billing_status_history
                             WHERE tenant_id = :tenant_id AND subject = 'subscription' AND plan_id IN (
                                   SELECT id FROM billing_plans WHERE prices LIKE '%flat_at_zero%'))
                      ORDER BY id"""
_NOT_CLOSED = """NOT EXISTS (SELECT 1 FROM billing_invoiced_months AS closed
                              WHERE closed.user_id = found.user_id AND closed.month = {0})"""


class Closed(NamedTuple):
    """A user's month that is closed: with its invoice, or without one; and all of its use that was known."""

    user_id: UserId
    invoice_id: int | None
    used: dict[str, Used]


def is_closed(db: Connection, user_id: UserId, month: Month) -> bool:
    return bool(list_closed(db, [user_id], month))


def list_closed(db: Connection, user_ids: Sequence[UserId], month: Month) -> set[UserId]:
    """Which of the users have closed the month."""
    found: set[UserId] = set()
    for part in parts(user_ids):
        rows = fetch_all(
            db,
            f"""SELECT user_id FROM billing_invoiced_months
                 WHERE month = :month AND user_id IN ({places(part)})""",  # noqa: S608
            month=str(month),
            **named(part),
        )
        found.update(row["user_id"] for row in rows)
    return found


def list_closed_of(db: Connection, months: Sequence[tuple[UserId, str]]) -> set[tuple[UserId, str]]:
    """Which of these months, each of its user, are closed."""
    closed: set[tuple[UserId, str]] = set()
    for part in parts(months):
        asked = ", ".join(f"(:u{n}, :m{n})" for n in range(len(part)))
        values: dict[str, UserId] = {}
        for n, (user_id, month) in enumerate(part):
            values |= {f"u{n}": user_id, f"m{n}": month}
        rows = fetch_all(
            db,
            f"""SELECT user_id, month FROM billing_invoiced_months
                 WHERE (user_id, month) IN (VALUES {asked})""",  # noqa: S608  placeholders
            **values,
        )
        closed.update((row["user_id"], row["month"]) for row in rows)
    return closed


def list_open_months(db: Connection, settings: Settings, tenant_id: int, last: Month) -> list[Month]:
    """The months up to the last closed one that somebody has not closed, the oldest first."""
    rows = fetch_all(
        db,
        f"""SELECT DISTINCT month FROM ({_TOUCHED.format("<= :last")}) AS found
             WHERE {_NOT_CLOSED.format("found.month")} ORDER BY month""",  # noqa: S608
        tenant_id=tenant_id,
        last=str(last),
    )
    months = {month for row in rows if (month := Month.parse(row["month"])) is not None}
    for user_id, standing in _list_standing(db, settings, tenant_id, last).items():
        months |= standing - _closed_by(db, user_id)
    return sorted({*months, last})


def list_users(db: Connection, settings: Settings, tenant_id: int, month: Month) -> list[UserId]:
    """Whose month is to be closed: it has something of him, or takes what is left over from earlier ones."""
    rows = fetch_all(
        db,
        f"""SELECT DISTINCT user_id FROM (
                SELECT user_id FROM ({_TOUCHED.format("= :month")}) AS touched
                UNION {_LEFT_OVER}) AS found
             WHERE {_NOT_CLOSED.format(":month")} ORDER BY user_id""",  # noqa: S608
        tenant_id=tenant_id,
        month=str(month),
    )
    found = {row["user_id"]: None for row in rows}
    standing = _list_standing(db, settings, tenant_id, month)
    more = [user_id for user_id, months in standing.items() if month in months and user_id not in found]
    if not more:
        return list(found)
    closed = list_closed(db, more, month)
    return sorted([*found, *(user_id for user_id in more if user_id not in closed)])


def _list_standing(db: Connection, settings: Settings, tenant_id: int, last: Month) -> dict[UserId, set[Month]]:
    """Whose months, up to this one, cost something though nothing may have been used, begun or added in them."""
    plans = {row["id"] for row in fetch_all(db, "SELECT id FROM billing_plans WHERE prices LIKE '%flat_at_zero%'")}
    first: dict[UserId, Month] = {}
    until: dict[UserId, Month] = {}
    for row in fetch_all(db, _OF_THESE_PLANS, tenant_id=tenant_id) if plans else ():
        at = read_instant(row["at"])
        if at is None:
            continue
        user_id, month = row["user_id"], Month.of(at, settings.timezone)
        if row["plan_id"] in plans:
            first[user_id] = min(month, first.get(user_id, month))
        until[user_id] = last if row["status"] in LIVE else min(month, last)
    return {user_id: set(_months(month, until[user_id])) for user_id, month in first.items()}


def _months(first: Month, last: Month) -> Iterator[Month]:
    while first <= last:
        yield last
        last = last.before


def _closed_by(db: Connection, user_id: UserId) -> set[Month]:
    rows = fetch_all(db, "SELECT month FROM billing_invoiced_months WHERE user_id = :user_id", user_id=user_id)
    return {month for row in rows if (month := Month.parse(row["month"])) is not None}


def count_invoiced(db: Connection, tenant_id: int, month: Month, user_id: UserId | None = None) -> int:
    """How many invoices of the month there are, the user's or everybody's."""
    given: dict[str, UserId] = {} if user_id is None else {"user_id": user_id}
    row = fetch_one(
        db,
        f"""SELECT COUNT(*) AS many FROM billing_invoiced_months
             WHERE tenant_id = :tenant_id AND month = :month AND invoice_id IS NOT NULL
               {"AND user_id = :user_id" if given else ""}""",  # noqa: S608
        tenant_id=tenant_id,
        month=str(month),
        **given,
    )
    return int(row["many"]) if row else 0


def close_months(
    db: Connection, now: datetime, settings: Settings, tenant_id: int, month: Month, closed: Iterable[Closed]
) -> None:
    """Once each; a second time is a UniqueConflict. What was read of their use is billed: what comes now is late."""
    limits = compact_json(dict(settings.limits)) if settings.limits else None
    rows, sums = [], []
    for user_id, invoice_id, used in closed:
        rows.append(
            {
                "user_id": user_id,
                "month": str(month),
                "tenant_id": tenant_id,
                "invoice_id": invoice_id,
                "billed": as_json(used) if invoice_id is None and used else None,
                "limits": limits,
                "now": instant_text(now),
            }
        )
        sums += [
            {"user_id": user_id, "month": str(month), "metric": metric, "total": of.total}
            for metric, of in used.items()
        ]
    with atomic(db):
        execute_many(
            db,
            """INSERT INTO billing_invoiced_months (user_id, month, tenant_id, invoice_id, billed, limits, closed_at)
               VALUES (:user_id, :month, :tenant_id, :invoice_id, :billed, :limits, :now)""",
            rows,
        )
        execute_many(
            db,
            """UPDATE usage_counters SET billed = :total
                WHERE user_id = :user_id AND month = :month AND metric = :metric""",
            sums,
        )
