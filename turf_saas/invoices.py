"""Invoices as they are read: what was issued, how far it is paid, and which of them a caller may see."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing_db import Connection, Row, engine, fetch_all, fetch_one
from turf_saas.errors import NotFound
from turf_saas.invoice_documents import DocumentLine, DocumentTax
from turf_saas.many import named, parts, places
from turf_saas.values import UserId


@dataclass(frozen=True)
class Invoice:
    """One that was issued, or adopted: then it has neither net nor lines, and `is_ours` is false."""

    id: int
    tenant_id: int
    number: str
    kind: str
    user_id: UserId
    month: str | None
    period_start: str
    period_end: str
    plan: str
    status: str
    currency: str
    net_cents: int | None
    tax_cents: int | None
    amount_cents: int
    paid_cents: int
    credited_cents: int
    issued_at: str
    due_on: str | None
    paid_at: str | None
    locale: str | None
    seller: Mapping[str, Any]
    buyer: Mapping[str, Any]
    mentions: Mapping[str, Mapping[str, str]]
    billed: Mapping[str, Mapping[str, int]]
    credited_invoice_id: int | None
    credited_number: str | None
    reason: str | None
    hash: str | None
    lines: tuple[DocumentLine, ...] = ()
    taxes: tuple[DocumentTax, ...] = ()
    payment_url: str | None = None  # where whoever owes it can pay it, while a gateway waits for that

    @property
    def is_ours(self) -> bool:
        return self.hash is not None

    @property
    def due_cents(self) -> int:
        """What is still to be paid. Of a credit note, and of what is cancelled or refunded, nothing."""
        if self.status not in ("pending", "overdue"):
            return 0
        return max(0, self.amount_cents - self.paid_cents - self.credited_cents)

    @property
    def usage(self) -> dict[str, int]:
        """What was used in its month, per metric."""
        return {metric: sum(days.values()) for metric, days in self.billed.items()}


_FROM = """SELECT i.*, b.paid_cents, b.credited_cents, c.invoice_number AS credited_number,
                  CASE WHEN i.status IN ('pending', 'overdue') THEN g.hosted_url END AS payment_url
             FROM invoices AS i
             LEFT JOIN billing_invoice_balances AS b ON b.invoice_id = i.id
             LEFT JOIN invoices AS c ON c.id = i.credited_invoice_id
             LEFT JOIN billing_gateway_invoices AS g ON g.invoice_id = i.id AND g.status = 'open'"""


def get_invoice(db: Connection, tenant_id: int, number: str, *, user_id: UserId | None = None) -> Invoice:
    """The one with this number, with its lines. NotFound also when it is another user's (user_id: whose it must be)."""
    row = fetch_one(
        db,
        f"{_FROM} WHERE i.tenant_id = :tenant_id AND i.invoice_number = :number",
        tenant_id=tenant_id,
        number=number,
    )
    if row is None or (user_id is not None and row["user_id"] != user_id):
        raise NotFound("invoice_not_found")
    return with_lines(db, [_invoice(row)])[0]


def get_by_id(db: Connection, invoice_id: int) -> Invoice:
    """The same, for whoever has its id."""
    row = fetch_one(db, f"{_FROM} WHERE i.id = :id", id=invoice_id)
    if row is None:
        raise NotFound("invoice_not_found")
    return with_lines(db, [_invoice(row)])[0]


def hold(db: Connection, invoice_id: int) -> Invoice:
    """As it is now, and nobody else pays or credits it until the transaction ends."""
    if engine(db) == "postgresql":
        fetch_one(db, "SELECT id FROM invoices WHERE id = :id FOR UPDATE", id=invoice_id)
    return get_by_id(db, invoice_id)


def find_of_month(db: Connection, user_id: UserId, month: str) -> Invoice | None:
    """The user's invoice of a month."""
    row = fetch_one(
        db,
        f"{_FROM} WHERE i.user_id = :user_id AND i.month = :month AND i.kind = 'period'",
        user_id=user_id,
        month=month,
    )
    return with_lines(db, [_invoice(row)])[0] if row else None


def list_invoices(
    db: Connection,
    tenant_id: int,
    *,
    user_id: UserId | None = None,
    status: str | None = None,
    before: int | None = None,
    limit: int = 51,
) -> list[Invoice]:
    """A page of a tenant's, or of a user's, the newest first, with their lines. before: below this id."""
    wanted = {"user_id": user_id, "status": status}
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = "".join(f" AND i.{name} = :{name}" for name in given)
    if before is not None:
        conditions += " AND i.id < :before"
        given["before"] = before
    rows = fetch_all(
        db,
        f"{_FROM} WHERE i.tenant_id = :tenant_id{conditions} ORDER BY i.id DESC LIMIT :limit",
        tenant_id=tenant_id,
        limit=limit,
        **given,
    )
    return with_lines(db, [_invoice(row) for row in rows])


def list_credit_notes(db: Connection, invoice_id: int) -> list[Invoice]:
    """Those of an invoice, the first one first."""
    rows = fetch_all(db, f"{_FROM} WHERE i.credited_invoice_id = :id ORDER BY i.id", id=invoice_id)
    return with_lines(db, [_invoice(row) for row in rows])


def with_lines(db: Connection, invoices: Sequence[Invoice]) -> list[Invoice]:
    """The same, with their lines and taxes."""
    lines = _list_parts(db, "billing_invoice_lines", DocumentLine, [invoice.id for invoice in invoices])
    taxes = _list_parts(db, "billing_invoice_taxes", DocumentTax, [invoice.id for invoice in invoices])
    return [
        Invoice(
            **{**vars(invoice), "lines": tuple(lines.get(invoice.id, ())), "taxes": tuple(taxes.get(invoice.id, ()))}
        )
        for invoice in invoices
    ]


def _list_parts(db: Connection, table: str, kind: Any, ids: Sequence[int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for part in parts(ids):
        for row in fetch_all(
            db,
            f"""SELECT invoice_id, {", ".join(kind._fields)} FROM {table}
                 WHERE invoice_id IN ({places(part)}) ORDER BY invoice_id, position""",  # noqa: S608  names of ours
            **named(part),
        ):
            found.setdefault(row["invoice_id"], []).append(kind(*(row[name] for name in kind._fields)))
    return found


def _invoice(row: Row) -> Invoice:
    """Of an adopted one nothing is known of what was paid, but that it was."""
    paid = row["paid_cents"]
    if paid is None:
        paid = row["amount_cents"] if row["status"] in ("paid", "refunded") and row["kind"] != "credit_note" else 0
    return Invoice(
        row["id"],
        row["tenant_id"],
        row["invoice_number"],
        row["kind"],
        row["user_id"],
        row["month"],
        row["period_start"],
        row["period_end"],
        row["plan"],
        row["status"],
        row["currency"],
        row["net_cents"],
        row["tax_cents"],
        row["amount_cents"],
        paid,
        row["credited_cents"] or 0,
        row["issued_at"] or row["created_at"],
        row["due_on"],
        row["paid_at"],
        row["locale"],
        _object(row["seller"]),
        _object(row["buyer"]),
        _object(row["mentions"]),
        _object(row["billed"]),
        row["credited_invoice_id"],
        row["credited_number"],
        row["reason"],
        row["hash"],
        payment_url=row["payment_url"],
    )


def _object(text: str | None) -> dict[str, Any]:
    """What is kept as JSON; of a row that another program wrote it may be anything, and then it says nothing."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
