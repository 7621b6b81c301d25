"""The register of what is issued: numbers without a hole, one chain of hashes per tenant, and rows that never change.

Whoever issues holds the tenant's register first, writes everything in one transaction, and draws the numbers last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from billing_db import Connection, atomic, execute, execute_many, fetch_one, lock
from turf_saas import invoice_numbers
from turf_saas.ids import draw_ids
from turf_saas.invoice_documents import NO_HASH, Document, hash_of, ledger_of
from turf_saas.settings import Settings
from turf_saas.values import Month, instant_text, parse_instant

AT_ONCE = 20  # rows in one INSERT: all of them are new, and lie together


class Issued(NamedTuple):
    """A document that stands in the register."""

    id: int
    number: str
    document: Document


def hold_register(db: Connection, tenant_id: int) -> None:
    """Nobody else issues for the tenant until the caller's transaction ends. (On SQLite nobody could anyway.)"""
    lock(db, f"invoices of tenant {tenant_id}")


def earliest_issue(db: Connection, now: datetime, tenant_id: int) -> datetime:
    """When the tenant can issue: now, or where the clock has gone back, when it issued last."""
    return _chain_end(db, now, tenant_id)[2]


def issue(
    db: Connection, now: datetime, settings: Settings, tenant_id: int, documents: Sequence[Document]
) -> list[Issued]:
    """The documents are issued, in their order. What costs nothing is paid with that.

    The caller's transaction holds the register. None is dated before the one that was issued last.
    """
    if not documents:
        return []
    with atomic(db):
        position, previous, at = _chain_end(db, now, tenant_id)
        ids = draw_ids(db, "invoices", "id", len(documents))
        numbers = invoice_numbers.draw(db, at, settings, tenant_id, len(documents))
        rows, lines, taxes = [], [], []
        for invoice_id, number, document in zip(ids, numbers, documents, strict=True):
            position += 1
            row = _row(document, tenant_id, instant_text(at), position, number)
            row |= {"id": invoice_id, "previous_hash": previous}
            row["hash"] = previous = hash_of(previous, row, document.lines, document.taxes)
            rows.append(row)
            lines += _numbered(document.lines, invoice_id, tenant_id)
            taxes += _numbered(document.taxes, invoice_id, tenant_id)
        _write(db, rows, lines, taxes)
        issued = [Issued(*each) for each in zip(ids, (number.text for number in numbers), documents, strict=True)]
        _write_ledger(db, at, tenant_id, issued)
        _end_chain(db, tenant_id, position, previous, at)  # from here on their ledger gets no further row
        _add_revenue(db, tenant_id, Month.of(at, settings.timezone), documents)
    return issued


def _chain_end(db: Connection, now: datetime, tenant_id: int) -> tuple[int, str, datetime]:
    """Position and hash of what was issued last, and the earliest instant at which more can be."""
    row = fetch_one(
        db,
        "SELECT position, hash, issued_at FROM billing_invoice_chains WHERE tenant_id = :tenant_id",
        tenant_id=tenant_id,
    )
    now = now.replace(microsecond=0)
    if row is None:
        return 0, NO_HASH, now
    return row["position"], row["hash"], max(now, parse_instant(row["issued_at"]))


def _end_chain(db: Connection, tenant_id: int, position: int, last: str, at: datetime) -> None:
    execute(
        db,
        """INSERT INTO billing_invoice_chains (tenant_id, position, hash, issued_at)
           VALUES (:tenant_id, :position, :hash, :at)
           ON CONFLICT (tenant_id) DO UPDATE
              SET position = excluded.position, hash = excluded.hash, issued_at = excluded.issued_at""",
        tenant_id=tenant_id,
        position=position,
        hash=last,
        at=instant_text(at),
    )


def _row(document: Document, tenant_id: int, at: str, position: int, number: invoice_numbers.Number) -> dict[str, Any]:
    amount = document.amount_cents
    is_settled = document.kind == "credit_note" or amount == 0
    return {
        "tenant_id": tenant_id,
        "chain_position": position,
        "invoice_number": number.text,
        "series": number.series,
        "series_number": number.of_series,
        "kind": document.kind,
        "user_id": document.user_id,
        "month": document.month,
        "period_start": document.period_start,
        "period_end": document.period_end,
        "plan": document.plan,
        "currency": document.currency,
        "net_cents": document.net_cents,
        "tax_cents": document.tax_cents,
        "amount_cents": amount,
        "issued_at": at,
        "due_on": document.due_on,
        "locale": document.locale,
        "seller": document.seller,
        "buyer": document.buyer,
        "mentions": document.mentions,
        "billed": document.billed,
        "credited_invoice_id": document.credited_invoice_id,
        "reason": document.reason,
        "line_count": len(document.lines),
        "tax_count": len(document.taxes),
        "created_at": at,
        "status": "paid" if is_settled else "pending",
        "paid_at": at if is_settled else None,
    }


def _numbered(parts: Sequence[Any], invoice_id: int, tenant_id: int) -> list[dict[str, Any]]:
    return [
        {**part._asdict(), "invoice_id": invoice_id, "tenant_id": tenant_id, "position": position}
        for position, part in enumerate(parts, start=1)
    ]


def _write(
    db: Connection, rows: list[dict[str, Any]], lines: list[dict[str, Any]], taxes: list[dict[str, Any]]
) -> None:
    """The invoice first: it says how many lines and taxes may follow."""
    for table, values in (("invoices", rows), ("billing_invoice_lines", lines), ("billing_invoice_taxes", taxes)):
        if values:
            names = list(values[0])
            places = ", ".join(f":{name}" for name in names)
            execute_many(db, f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", values, at_once=AT_ONCE)  # noqa: S608


def _write_ledger(db: Connection, at: datetime, tenant_id: int, issued: Sequence[Issued]) -> None:
    rows = [
        {
            "tenant_id": tenant_id,
            "user_id": document.user_id,
            "invoice_id": invoice_id,
            "type": of,
            "amount_cents": cents,
            "currency": document.currency,
            "description": number,
            "now": instant_text(at),
        }
        for invoice_id, number, document in issued
        for of, cents in ledger_of(document.lines, document.taxes).items()
    ]
    execute_many(
        db,
        """INSERT INTO transactions (tenant_id, user_id, invoice_id, type, amount_cents, currency, description,
                                     created_at)
           VALUES (:tenant_id, :user_id, :invoice_id, :type, :amount_cents, :currency, :description, :now)""",
        rows,
        at_once=AT_ONCE,
    )


def _add_revenue(db: Connection, tenant_id: int, month: Month, documents: Sequence[Document]) -> None:
    """What was issued is in its month's sum, with the document itself."""
    sums: dict[str, dict[str, int]] = {}
    for document in documents:
        of = sums.setdefault(document.currency, dict.fromkeys(("invoices", "credit_notes", "net", "tax", "amount"), 0))
        of["credit_notes" if document.kind == "credit_note" else "invoices"] += 1
        of["net"] += document.net_cents
        of["tax"] += document.tax_cents
        of["amount"] += document.amount_cents
    for currency, values in sorted(sums.items()):
        execute(
            db,
            """INSERT INTO billing_revenue (tenant_id, month, currency, invoices, credit_notes, net_cents, tax_cents,
                                            amount_cents)
               VALUES (:tenant_id, :month, :currency, :invoices, :credit_notes, :net, :tax, :amount)
               ON CONFLICT (tenant_id, month, currency) DO UPDATE
                  SET invoices = billing_revenue.invoices + excluded.invoices,
                      credit_notes = billing_revenue.credit_notes + excluded.credit_notes,
                      net_cents = billing_revenue.net_cents + excluded.net_cents,
                      tax_cents = billing_revenue.tax_cents + excluded.tax_cents,
                      amount_cents = billing_revenue.amount_cents + excluded.amount_cents""",
            tenant_id=tenant_id,
            month=str(month),
            currency=currency,
            **values,
        )
