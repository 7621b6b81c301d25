"""How far an invoice is settled: what was paid of it, what was credited, and the status that follows.

The caller's transaction holds the invoice (invoices.hold).
"""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, atomic, execute
from turf_saas.invoices import Invoice
from turf_saas.values import instant_text

OPEN = ("pending", "overdue")


def pay(db: Connection, now: datetime, invoice: Invoice, cents: int, *, by: str | None, reason: str) -> int:
    """How much of these cents the invoice takes: what is due at most. With the last of it, it is paid."""
    taken = min(cents, invoice.due_cents)
    with atomic(db):
        if taken:
            _add(db, invoice, paid_cents=taken)
        if invoice.status in OPEN and taken == invoice.due_cents:
            move(db, now, invoice, "paid", by=by, reason=reason)
    return taken


def credit(db: Connection, now: datetime, invoice: Invoice, cents: int, *, by: str | None, reason: str) -> int:
    """It costs this much less: first what is due goes down. Given back is what was paid too much with that."""
    freed = max(0, cents - invoice.due_cents)
    with atomic(db):
        _add(db, invoice, paid_cents=-freed, credited_cents=cents)
        if invoice.status in OPEN and cents >= invoice.due_cents:
            move(db, now, invoice, "paid" if invoice.paid_cents > freed else "cancelled", by=by, reason=reason)
    return freed


def take_back(db: Connection, invoice: Invoice, cents: int) -> None:
    """What was paid of an open invoice has gone out again: it is due again."""
    _add(db, invoice, paid_cents=-cents)


def move(db: Connection, now: datetime, invoice: Invoice, status: str, *, by: str | None, reason: str) -> None:
    """The invoice stands elsewhere now. When it was paid is written once."""
    paid_at = ", paid_at = COALESCE(paid_at, :now)" if status == "paid" else ""
    with atomic(db):
        execute(
            db,
            f"""UPDATE invoices
                   SET status = :status, changed_at = :now, changed_by = :by, change_reason = :reason,
                       updated_at = :now{paid_at}
                 WHERE id = :id""",  # noqa: S608
            status=status,
            now=instant_text(now),
            by=by,
            reason=reason,
            id=invoice.id,
        )


def _add(db: Connection, invoice: Invoice, *, paid_cents: int = 0, credited_cents: int = 0) -> None:
    """Both statements: what is taken away would be refused as a row of its own. The row's CHECK has the last word."""
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_invoice_balances (invoice_id, tenant_id, amount_cents)
               VALUES (:id, :tenant_id, :amount) ON CONFLICT (invoice_id) DO NOTHING""",
            id=invoice.id,
            tenant_id=invoice.tenant_id,
            amount=invoice.amount_cents,
        )
        execute(
            db,
            """UPDATE billing_invoice_balances
                  SET paid_cents = paid_cents + :paid, credited_cents = credited_cents + :credited
                WHERE invoice_id = :id""",
            paid=paid_cents,
            credited=credited_cents,
            id=invoice.id,
        )
