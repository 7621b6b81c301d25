"""Numbers without a hole: FACT-{YYYYMM}-{XXXX} by the month of issue, drawn in the transaction that writes the invoice.

XXXX is as wide as it has to be, at least four. What counts is the number, never its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.many import named, parts, places
from turf_saas.settings import Settings
from turf_saas.values import Month

MAX_NUMBER = 10**12


class Number(NamedTuple):
    """A number, and which one of its series it is."""

    text: str
    series: str
    of_series: int


def text_of(month: Month, number: int) -> str:
    """How a number is written that is given out in this month."""
    return f"FACT-{month.year:04d}{month.number:02d}-{number:04d}"


def draw(db: Connection, now: datetime, settings: Settings, tenant_id: int, count: int) -> list[Number]:
    """The next numbers, in the caller's transaction: undone with it, they are nobody's and are drawn again.

    It holds the register. A number that another program has given out is stepped over.
    """
    month = Month.of(now, settings.timezone)
    series = _series_now(db, settings, tenant_id, month)
    drawn: list[int] = []
    with atomic(db):
        last = _find_last(db, tenant_id, series)
        if last is None:
            _open(db, tenant_id, series, _taken(db, tenant_id, series, month) + 1)
            last = _find_last(db, tenant_id, series)
        assert last is not None, "a series is never deleted"
        while len(drawn) < count:
            wanted = range(last + 1, last + 1 + count - len(drawn))
            there = _list_there(db, tenant_id, [text_of(month, number) for number in wanted])
            drawn += [number for number in wanted if text_of(month, number) not in there]
            last = wanted[-1]
        execute(
            db,
            """UPDATE billing_invoice_series SET last_number = :last
                WHERE tenant_id = :tenant_id AND series = :series""",
            last=last,
            tenant_id=tenant_id,
            series=series,
        )
    return [Number(text_of(month, number), series, number) for number in drawn]


def start_series(db: Connection, now: datetime, settings: Settings, tenant_id: int, first: int) -> str:
    """The series that is numbered now begins with this number; its name is given back. Once, before its first use."""
    month = Month.of(now, settings.timezone)
    with atomic(db):
        series = _series_now(db, settings, tenant_id, month)
        least = _taken(db, tenant_id, series, month) + 1
        if not least <= first <= MAX_NUMBER:
            raise InvalidInput("first_number_invalid", least=least, most=MAX_NUMBER)
        if not _open(db, tenant_id, series, first):
            raise Conflict("series_in_use", series=series)
    return series


def _series_now(db: Connection, settings: Settings, tenant_id: int, month: Month) -> str:
    """The series of what is issued in this month: the month's own, or its year's.

    A month goes on in the one in which it has begun: another BILLING_NUMBERING_RESET takes hold with the next one.
    """
    of_year = f"{month.year:04d}"
    of_month = f"{of_year}{month.number:02d}"
    begun = fetch_one(
        db,
        """SELECT i.series FROM billing_invoice_series AS s
             JOIN invoices AS i ON i.tenant_id = s.tenant_id AND i.series = s.series AND i.series_number = s.last_number
            WHERE s.tenant_id = :tenant_id AND s.series IN (:of_month, :of_year) AND i.invoice_number LIKE :prefix
            ORDER BY i.chain_position DESC LIMIT 1""",
        tenant_id=tenant_id,
        of_month=of_month,
        of_year=of_year,
        prefix=f"FACT-{of_month}-%",
    )
    if begun is not None:
        return str(begun["series"])
    return of_year if settings.numbering_reset == "year" else of_month


def _find_last(db: Connection, tenant_id: int, series: str) -> int | None:
    """The last number that was given out; None where the series has not begun."""
    row = fetch_one(
        db,
        "SELECT last_number FROM billing_invoice_series WHERE tenant_id = :tenant_id AND series = :series",
        tenant_id=tenant_id,
        series=series,
    )
    return int(row["last_number"]) if row else None


def _list_there(db: Connection, tenant_id: int, numbers: Sequence[str]) -> set[str]:
    """Which of them an invoice has already."""
    return {
        row["invoice_number"]
        for part in parts(numbers)
        for row in fetch_all(
            db,
            f"""SELECT invoice_number FROM invoices
                 WHERE tenant_id = :tenant_id AND invoice_number IN ({places(part)})""",  # noqa: S608
            tenant_id=tenant_id,
            **named(part),
        )
    }


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
    """The highest number that a new series must not give out again: of the year's others, and of other programs."""
    row = fetch_one(
        db,
        """SELECT MAX(last_number) AS number FROM billing_invoice_series
            WHERE tenant_id = :tenant_id AND series LIKE :of_series""",
        tenant_id=tenant_id,
        of_series=f"{series}%",
    )
    others = fetch_all(
        db,
        """SELECT invoice_number FROM invoices
            WHERE tenant_id = :tenant_id AND hash IS NULL AND invoice_number LIKE :of_month""",
        tenant_id=tenant_id,
        of_month=f"FACT-{month.year:04d}{month.number:02d}-%",
    )
    ends = [other["invoice_number"].rpartition("-")[2] for other in others]
    numbers = [int(end) for end in ends if end.isascii() and end.isdigit() and len(end) <= len(str(MAX_NUMBER))]
    return max(int(row["number"] or 0) if row else 0, *numbers, 0)
