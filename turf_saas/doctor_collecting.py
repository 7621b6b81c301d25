"""What is wrong with the invoices that a gateway collects: those that are stuck, and those that wait for its answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from billing_db import Connection, Row, fetch_all, fetch_one
from turf_saas.doctor_findings import Finding, broken
from turf_saas.values import instant_text, plain

LONG = timedelta(hours=1)


def examine_collecting(db: Connection, now: datetime) -> Finding | None:
    """Invoices that somebody has to look at, those that are settled only there, and those not sent for an hour.

    None: none is collected.
    """
    if fetch_one(db, "SELECT 1 AS one FROM billing_gateway_invoices LIMIT 1") is None:
        return None
    found = broken("collecting", _sentences(_list(db, "'parked', 'mismatch'", "9999")), "")
    if found.level == "error":
        return Finding("collecting", "error", f"{found.message} flask billing jobs list --state dead has their jobs.")
    settled = " AND i.status IN ('pending', 'overdue') AND g.updated_at <= :before"
    found = broken("collecting", _unsettled(_list(db, "'paid', 'void'", instant_text(now - LONG), settled)), "")
    if found.level == "error":
        return Finding("collecting", "error", f"{found.message} flask billing reconcile mends it.")
    late = _list(db, "'waiting', 'draft'", instant_text(now - LONG), " AND g.last_error IS NOT NULL")
    found = broken("collecting", _sentences(late), "Every invoice is where it is collected.")
    return Finding(found.check, "ok" if found.level == "ok" else "warning", found.message)


def _list(db: Connection, statuses: str, before: str, more: str = "") -> list[Row]:
    return fetch_all(
        db,
        f"""SELECT i.invoice_number, g.status, g.last_error
              FROM billing_gateway_invoices AS g JOIN invoices AS i ON i.id = g.invoice_id
             WHERE g.status IN ({statuses}) AND g.created_at <= :before{more} ORDER BY g.invoice_id""",  # noqa: S608
        before=before,
    )


def _sentences(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row['invoice_number']} is {row['status']}: {plain(row['last_error'] or 'nobody knows why', 200)}"


def _unsettled(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield f"{row['invoice_number']} is {row['status']} at its gateway, and open here"
