"""Account credit: money of a user that no invoice holds. It pays what is issued next, and changes nothing of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from billing_db import Connection, atomic, execute, execute_many, fetch_all, fetch_one
from turf_saas import invoice_balances
from turf_saas.errors import Conflict
from turf_saas.invoice_register import Issued
from turf_saas.invoices import Invoice
from turf_saas.many import named, parts, places
from turf_saas.money import MAX_CENTS
from turf_saas.values import UserId, instant_text

EntryKind = Literal["excess", "credit_note", "applied", "refund"]


@dataclass(frozen=True)
class Entry:
    """What came to a user's account credit, or negative what went. The entries of a currency sum to its balance."""

    id: int
    kind: EntryKind
    amount_cents: int
    currency: str
    invoice_number: str | None
    payment_id: int | None
    created_at: str


@dataclass(frozen=True)
class Balance:
    """What a user has in a currency."""

    currency: str
    balance_cents: int


def balance_of(db: Connection, user_id: UserId, currency: str) -> int:
    """What the user has, in cents."""
    row = fetch_one(
        db,
        "SELECT balance_cents FROM billing_account_credits WHERE user_id = :user_id AND currency = :currency",
        user_id=user_id,
        currency=currency,
    )
    return int(row["balance_cents"]) if row else 0


def would_pay(db: Connection, user_id: UserId, currency: str, amount_cents: int) -> int:
    """How much of an invoice of this amount it pays when that is issued, as things are now."""
    return min(balance_of(db, user_id, currency), amount_cents)


def list_balances(db: Connection, tenant_id: int, user_id: UserId) -> list[Balance]:
    """What the user has, per currency that he ever had some in."""
    rows = fetch_all(
        db,
        """SELECT currency, balance_cents FROM billing_account_credits
            WHERE tenant_id = :tenant_id AND user_id = :user_id ORDER BY currency""",
        tenant_id=tenant_id,
        user_id=user_id,
    )
    return [Balance(**row) for row in rows]


def list_entries(
    db: Connection, tenant_id: int, user_id: UserId, *, before: int | None = None, limit: int = 51
) -> list[Entry]:
    """A page of what came and went of the user's, the newest first. before: below this id."""
    given = {"before": before} if before is not None else {}
    rows = fetch_all(
        db,
        f"""SELECT e.*, i.invoice_number
              FROM billing_account_credit_entries AS e LEFT JOIN invoices AS i ON i.id = e.invoice_id
             WHERE e.tenant_id = :tenant_id AND e.user_id = :user_id{" AND e.id < :before" if given else ""}
             ORDER BY e.id DESC LIMIT :limit""",  # noqa: S608
        tenant_id=tenant_id,
        user_id=user_id,
        limit=limit,
        **given,
    )
    return [Entry(**{name: row[name] for name in Entry.__dataclass_fields__}) for row in rows]


def add(
    db: Connection,
    now: datetime,
    tenant_id: int,
    user_id: UserId,
    currency: str,
    cents: int,
    kind: EntryKind,
    *,
    invoice_id: int | None = None,
    payment_id: int | None = None,
) -> None:
    """The user has this much more; taken out where it is negative. The row's CHECK lets nobody go below nothing.

    invoice_id: whose money it was. So what is paid of an invoice is its payments less the entries that name it.
    """
    with atomic(db):
        if cents > 0:
            _put_in(db, tenant_id, user_id, currency, cents)
        else:
            taken = execute(
                db,
                """UPDATE billing_account_credits SET balance_cents = balance_cents + :cents
                    WHERE user_id = :user_id AND currency = :currency""",
                cents=cents,
                user_id=user_id,
                currency=currency,
            )
            assert taken, "nothing is taken out of what was never put in"
        execute(
            db,
            _ENTRY,
            tenant_id=tenant_id,
            user_id=user_id,
            currency=currency,
            kind=kind,
            cents=cents,
            invoice_id=invoice_id,
            payment_id=payment_id,
            now=instant_text(now),
        )


_ENTRY = """INSERT INTO billing_account_credit_entries (tenant_id, user_id, currency, kind, amount_cents, invoice_id,
                                                        payment_id, created_at)
            VALUES (:tenant_id, :user_id, :currency, :kind, :cents, :invoice_id, :payment_id, :now)"""


def _put_in(db: Connection, tenant_id: int, user_id: UserId, currency: str, cents: int) -> None:
    row = fetch_one(
        db,
        """INSERT INTO billing_account_credits (tenant_id, user_id, currency, balance_cents)
           VALUES (:tenant_id, :user_id, :currency, :cents)
           ON CONFLICT (user_id, currency) DO UPDATE
              SET balance_cents = billing_account_credits.balance_cents + excluded.balance_cents
            WHERE billing_account_credits.balance_cents + excluded.balance_cents <= :most
           RETURNING balance_cents""",
        tenant_id=tenant_id,
        user_id=user_id,
        currency=currency,
        cents=cents,
        most=MAX_CENTS,
    )
    if row is None:
        raise Conflict("account_credit_too_large", most=MAX_CENTS)


def apply(db: Connection, now: datetime, tenant_id: int, issued: Sequence[Issued]) -> dict[int, int]:
    """What was just issued is paid as far as its user's credit goes: cents by the invoice's id, most often none.

    The caller's transaction holds the register, so nobody else takes from these balances.
    """
    open_ones = [each for each in issued if each.document.kind != "credit_note" and each.document.amount_cents > 0]
    balances = _balances(db, [each.document.user_id for each in open_ones])
    paid: dict[int, int] = {}
    rows = []
    for each in open_ones if balances else ():
        key = (each.document.user_id, each.document.currency)
        cents = min(balances.get(key, 0), each.document.amount_cents)
        if cents:
            balances[key] -= cents
            paid[each.id] = cents
            rows.append(_payment(now, tenant_id, each, cents))
    if rows:
        _write(db, rows)
    return paid


def pay_open(db: Connection, now: datetime, invoice: Invoice, most_cents: int, *, by: str | None = None) -> int:
    """How much of an open invoice it pays now, and no more than this. The caller holds the register and the invoice."""
    cents = min(balance_of(db, invoice.user_id, invoice.currency), invoice.due_cents, most_cents)
    if cents <= 0:
        return 0
    with atomic(db):
        add(
            db,
            now,
            invoice.tenant_id,
            invoice.user_id,
            invoice.currency,
            -cents,
            "applied",
            invoice_id=invoice.id,
        )
        return invoice_balances.pay(db, now, invoice, cents, by=by, reason="account_credit")


def _balances(db: Connection, user_ids: Sequence[UserId]) -> dict[tuple[UserId, str], int]:
    return {
        (row["user_id"], row["currency"]): row["balance_cents"]
        for part in parts(user_ids)
        for row in fetch_all(
            db,
            f"""SELECT user_id, currency, balance_cents FROM billing_account_credits
                 WHERE user_id IN ({places(part)}) AND balance_cents > 0""",  # noqa: S608
            **named(part),
        )
    }


def _payment(now: datetime, tenant_id: int, issued: Issued, cents: int) -> dict[str, object]:
    document = issued.document
    return {
        "tenant_id": tenant_id,
        "user_id": document.user_id,
        "currency": document.currency,
        "kind": "applied",
        "cents": -cents,
        "invoice_id": issued.id,
        "payment_id": None,
        "now": instant_text(now),
        "amount": document.amount_cents,
        "paid": cents,
    }


def _write(db: Connection, rows: Sequence[dict[str, object]]) -> None:
    whole = [row for row in rows if row["paid"] == row["amount"]]
    with atomic(db):
        execute_many(
            db,
            """UPDATE billing_account_credits SET balance_cents = balance_cents + :cents
                WHERE user_id = :user_id AND currency = :currency""",
            rows,
        )
        execute_many(db, _ENTRY, rows)
        execute_many(
            db,
            """INSERT INTO billing_invoice_balances (invoice_id, tenant_id, amount_cents, paid_cents)
               VALUES (:invoice_id, :tenant_id, :amount, :paid)""",
            rows,
        )
        if whole:
            execute_many(
                db,
                """UPDATE invoices
                      SET status = 'paid', paid_at = :now, changed_at = :now, changed_by = 'system',
                          change_reason = 'account_credit', updated_at = :now
                    WHERE id = :invoice_id""",
                whole,
            )
