"""What was billed of each closed month's use, against what the counters and the days say now; and what waits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from billing_db import Connection, Row, fetch_all, fetch_each
from turf_saas.findings import Finding
from turf_saas.many import AT_ONCE, named, parts, places
from turf_saas.month_use import Used, list_used
from turf_saas.register_proof import of_tenant
from turf_saas.values import Month, UserId, plain

NONE = Used(0, "{}")
# -- what was billed -------------------------------------------------------------------------------


def count_months(db: Connection, tenant_id: int | None) -> int:
    """How many months of users are closed."""
    whose, given = of_tenant("tenant_id", tenant_id)
    rows = fetch_all(db, f"SELECT COUNT(*) AS many FROM billing_invoiced_months WHERE {whose}", **given)  # noqa: S608
    return int(rows[0]["many"])


def prove_use(db: Connection, tenant_id: int | None) -> Iterator[tuple[int, list[Finding], list[Finding]]]:
    """Of some closed months each time: how many, what is wrong, and what is only told.

    What was billed of a month is what its counter says was. That the month was used otherwise since is told.
    """
    whose, given = of_tenant("m.tenant_id", tenant_id)
    for month in _list_months(db, tenant_id):
        rows = fetch_each(
            db,
            f"""SELECT m.user_id, m.tenant_id, i.invoice_number, COALESCE(m.billed, i.billed) AS billed
                  FROM billing_invoiced_months AS m LEFT JOIN invoices AS i ON i.id = m.invoice_id
                 WHERE m.month = :month AND {whose}""",  # noqa: S608
            month=str(month),
            **given,
        )
        while part := list(islice(rows, AT_ONCE)):
            user_ids = [row["user_id"] for row in part]
            counters, used = _list_counters(db, user_ids, month), list_used(db, user_ids, month)
            wrong, told = list[Finding](), list[Finding]()
            for row in part:
                billed = _days_of(row["billed"])
                wrong += _prove_counters(row, month, billed, counters.get(row["user_id"], {}))
                told += _tell_moved(row, month, billed, used.get(row["user_id"], {}))
            yield len(part), wrong, told


def _list_months(db: Connection, tenant_id: int | None) -> list[Month]:
    whose, given = of_tenant("tenant_id", tenant_id)
    rows = fetch_all(
        db,
        f"SELECT DISTINCT month FROM billing_invoiced_months WHERE {whose} ORDER BY month",  # noqa: S608
        **given,
    )
    return [month for row in rows if (month := Month.parse(row["month"])) is not None]


def _list_counters(db: Connection, user_ids: list[UserId], month: Month) -> dict[UserId, dict[str, int]]:
    found: dict[UserId, dict[str, int]] = {}
    for part in parts(user_ids):
        for row in fetch_all(
            db,
            f"""SELECT user_id, metric, billed FROM usage_counters
                 WHERE month = :month AND billed IS NOT NULL AND user_id IN ({places(part)})""",  # noqa: S608
            month=str(month),
            **named(part),
        ):
            found.setdefault(row["user_id"], {})[row["metric"]] = row["billed"]
    return found


def _days_of(billed: str | None) -> Mapping[str, Mapping[str, int]]:
    try:
        found = json.loads(billed or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _prove_counters(
    row: Row, month: Month, billed: Mapping[str, Mapping[str, int]], counters: Mapping[str, int]
) -> Iterator[Finding]:
    for metric in sorted(billed.keys() | counters.keys()):
        right, stored = sum(billed.get(metric, {}).values()), counters.get(metric, 0)
        if right != stored:
            said = f"{_of(row, month, metric)}: {right} were billed, and its counter says {stored}"
            yield Finding("billed", said, row["invoice_number"], row["tenant_id"])


def _tell_moved(
    row: Row, month: Month, billed: Mapping[str, Mapping[str, int]], used: Mapping[str, Used]
) -> Iterator[Finding]:
    """Of other days, though the sums agree. Where they do not, late usage is told."""
    for metric, days in billed.items():
        now = used.get(metric, NONE)
        if now.total == sum(days.values()) and now.days != {int(day): many for day, many in days.items() if many}:
            said = f"{_of(row, month, metric)}: as much as was billed, and of other days"
            yield Finding("moved", said, row["invoice_number"], row["tenant_id"])


def _of(row: Row, month: Month, metric: str) -> str:
    number = f"{row['invoice_number']}, " if row["invoice_number"] else ""
    return f"{number}user {plain(row['user_id'])} {plain(metric)} {month}"


# -- what waits ------------------------------------------------------------------------------------

_WAITING = {
    "late": (
        """SELECT x.tenant_id, x.user_id, x.month, x.metric, x.used - COALESCE(x.billed, 0) AS quantity
             FROM usage_counters AS x
             JOIN billing_invoiced_months AS m ON m.user_id = x.user_id AND m.month = x.month
            WHERE x.used <> COALESCE(x.billed, 0)""",
        "{quantity} {metric} are known since it was closed",
    ),
    "use": (
        """SELECT x.tenant_id, x.user_id, x.month, x.metric, x.used AS quantity FROM usage_counters AS x
            WHERE x.used > 0 AND x.month < :open
              AND NOT EXISTS (SELECT 1 FROM billing_invoiced_months AS m
                               WHERE m.user_id = x.user_id AND m.month = x.month)""",
        "{quantity} {metric} of a month that is over and not closed",
    ),
    "fee": (
        """SELECT x.tenant_id, x.user_id, x.month, x.fee_cents FROM billing_periods AS x
            WHERE x.invoice_id IS NULL AND x.fee_cents > 0 AND x.month < :open""",
        "a fee of {fee_cents} cents is on no invoice",
    ),
    "item": (
        """SELECT x.tenant_id, x.user_id, x.month, x.kind, x.amount_cents FROM billing_pending_items AS x
            WHERE x.invoice_id IS NULL AND x.month < :open""",
        "{kind} of {amount_cents} cents is on no invoice",
    ),
}


def list_waiting(db: Connection, open_month: Month, tenant_id: int | None) -> Iterator[Finding]:
    """What of the months before this one stands unbilled: no fault, the next run takes it."""
    whose, given = of_tenant("x.tenant_id", tenant_id)
    for kind, (sql, said) in _WAITING.items():
        asked = {"open": str(open_month)} if ":open" in sql else {}
        for row in fetch_each(db, f"{sql} AND {whose}", **asked, **given):
            values = {name: row[name] for name in row.keys()}  # noqa: SIM118  sqlite3.Row is no mapping
            told = f"user {plain(row['user_id'])} {row['month']}: {said.format_map(values)}"
            yield Finding(kind, told, None, row["tenant_id"])
