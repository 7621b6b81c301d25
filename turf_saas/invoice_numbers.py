"""Numbers without a hole: FACT-{YYYYMM}-{XXXX} by the month of issue, drawn in the transaction that writes the invoice.

XXXX is as wide as it has to be, at least four. What counts is the number, never its text.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_one
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.settings import Settings
from turf_saas.values import Month

MAX_NUMBER = 10**12


class Number(NamedTuple):
    """A number, and which one of its series it is."""

    text: str
    series: str
    of_series: int


def series_of(settings: Settings, month: Month) -> str:
    """The series that an invoice issued in this month is of: the month's own, or its year's."""
    return f"{month.year:04d}" if settings.numbering_reset == "year" else f"{month.year:04d}{month.number:02d}"


def draw(db: Connection, now: datetime, settings: Settings, tenant_id: int, count: int) -> list[Number]:
    """The next numbers, in the caller's transaction: undone with it, they are nobody's and are drawn again."""
    month = Month.of(now, settings.timezone)
    series = series_of(settings, month)
    with atomic(db):
        drawn = _drawn(db, tenant_id, series, count)
        if drawn is None:
            _open(db, tenant_id, series, _taken(db, tenant_id, series, month) + 1)
            drawn = _drawn(db, tenant_id, series, count)
    assert drawn is not None, "a series is never deleted"
    prefix = f"FACT-{month.year:04d}{month.number:02d}"
    return [Number(f"{prefix}-{number:04d}", series, number) for number in range(drawn - count + 1, drawn + 1)]


def start_series(db: Connection, now: datetime, settings: Settings, tenant_id: int, first: int) -> str:
    """The series that is numbered now begins with this number; its name is given back. Once, before its first use."""
    month = Month.of(now, settings.timezone)
    series = series_of(settings, month)
    with atomic(db):
        least = _taken(db, tenant_id, series, month) + 1
        if not least <= first <= MAX_NUMBER:
            raise InvalidInput("first_number_invalid", least=least, most=MAX_NUMBER)
        if not _open(db, tenant_id, series, first):
            raise Conflict("series_in_use", series=series)
    return series


def _drawn(db: Connection, tenant_id: int, series: str, count: int) -> int | None:
    """The last of the numbers that were drawn; None where the series has not begun."""
    row = fetch_one(
        db,
        """UPDATE billing_invoice_series SET last_number = last_number + :count
            WHERE tenant_id = :tenant_id AND series = :series RETURNING last_number""",
        count=count,
        tenant_id=tenant_id,
        series=series,
    )
    return int(row["last_number"]) if row else None


def _open(db: Connection, tenant_id: int, series: str, first: int) -> int:
    return execute(
        db,
        """INSERT INTO billing_invoice_series (tenant_id, series, first_number, last_number)
           SELECT :tenant_id, :series, :first, :first - 1
            WHERE NOT EXISTS (SELECT 1 FROM billing_invoice_series WHERE tenant_id = :tenant_id AND series = :series)
           ON CONFLICT DO NOTHING""",
        tenant_id=tenant_id,
        series=series,
        first=first,
    )


def _taken(db: Connection, tenant_id: int, series: str, month: Month) -> int:
    """The highest number that a new series must not give out again: BILLING_NUMBERING_RESET may have been changed."""
    row = fetch_one(
        db,
        """SELECT MAX(number) AS number
             FROM (SELECT last_number AS number FROM billing_invoice_series
                    WHERE tenant_id = :tenant_id AND series LIKE :of_series
                   UNION ALL
                   SELECT series_number AS number FROM invoices
                    WHERE tenant_id = :tenant_id AND invoice_number LIKE :of_month) AS taken""",
        tenant_id=tenant_id,
        of_series=f"{series}%",
        of_month=f"FACT-{month.year:04d}{month.number:02d}-%",
    )
    return int(row["number"] or 0) if row else 0
