"""A payment that Stripe has taken for an invoice of ours, and what stands in the books of it afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.issued import SETTINGS, issue_one, owed
from tests.stripe_payloads import Payload, is_customer, tell
from turf_saas import account_credit, invoices, payments
from turf_saas.invoices import Invoice
from turf_saas.money_proof import prove_money
from turf_saas.payments import Payment, Source

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


class Books(NamedTuple):
    """Everything that money has moved."""

    status: str
    paid: int
    credited: int
    due: int
    account_credit: int
    refunded: int
    refunds: list[tuple[str | None, int, str, int]]  # what Stripe calls it, cents, status, booked
    notes: list[int]
    ledger: int  # what went out, by the ledger


def taken(
    db: Connection, alice: Person, cents: int = 1_200, *, number: int = 1, **given: Any
) -> tuple[Invoice, Payment]:
    """An invoice of 1200 cents that is in_<number> over there, and what came in for it."""
    is_customer(db, alice.id)
    invoice = issue_one(db, alice, 1_000, **given)
    with atomic(db):
        execute(
            db,
            "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id",
            stripe_id=f"in_{number}",
            id=invoice.id,
        )
    source = Source("stripe", f"in_{number}", f"pi_{number}", f"ch_{number}")
    done = payments.receive(db, NOW, SETTINGS, invoice, source, amount_cents=cents, method="card")
    assert done is not None
    return done.invoice, done.payment


def books(db: Connection, invoice: Invoice, payment: Payment) -> Books:
    """And `flask billing verify` finds nothing wrong in them."""
    with atomic(db):
        assert [one.sentence for one in prove_money(db, None)] == []
    now = invoices.get_by_id(db, invoice.id)
    rows = fetch_all(
        db, "SELECT * FROM billing_refunds WHERE payment_id = :id ORDER BY stripe_refund_id", id=payment.id
    )
    notes = invoices.list_credit_notes(db, invoice.id)
    ledger = fetch_one(db, "SELECT COALESCE(SUM(amount_cents), 0) AS cents FROM transactions WHERE type = 'refund'")
    assert ledger is not None
    return Books(
        now.status,
        now.paid_cents,
        now.credited_cents,
        now.due_cents,
        account_credit.balance_of(db, invoice.user_id, "EUR"),
        payments.get_payment(db, 1, payment.id).refunded_cents,
        [(row["stripe_refund_id"], row["amount_cents"], row["status"], row["booked_cents"]) for row in rows],
        [note.amount_cents for note in notes],
        int(ledger["cents"]),
    )


class _Undone(Exception):
    """What was tried is taken back."""


def after(
    db: Connection, alice: Person, of: tuple[Invoice, Payment], payloads: Iterable[Payload]
) -> tuple[Books, list[str]]:
    """The books after these events, and which signals were sent; nothing of it stays."""
    told: list[str] = []
    try:
        with atomic(db):
            for payload in payloads:
                told += [notice.kind for notice in tell(db, NOW, SETTINGS, payload).notices]
            assert (
                fetch_all(db, "SELECT note FROM billing_received_events WHERE status IN ('deferred', 'failed')") == []
            )
            owed(db, alice)
            found = books(db, *of)
            raise _Undone
    except _Undone:
        return found, told
