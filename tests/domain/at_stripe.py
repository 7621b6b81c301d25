"""Invoices of ours that stand at Stripe, and what has become of them by what Stripe tells."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.issued import SETTINGS, issue_one, owed
from tests.stripe_payloads import Payload, is_customer, tell
from turf_saas import account_credit, gateway_invoices, invoices, payment_attempts
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.invoices import Invoice
from turf_saas.money_proof import prove_money
from turf_saas.notices import Notice
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
TOTAL = 2_280  # 19.00 and 20 % VAT


class Standing(NamedTuple):
    """Everything that events about invoices move."""

    status: str
    paid: int
    credited: int
    account_credit: int
    at_stripe: str
    payments: list[tuple[int, str | None, str]]  # cents, the intent, the method
    attempts: list[tuple[str, int, str | None]]  # what each try came to


def collected(
    db: Connection,
    person: Person,
    cents: int = 1_900,
    stripe_id: str | None = "in_1",
    status: str = "open",
    **given: Any,
) -> Invoice:
    """Issued, and sent: Stripe's in_1 stands for it. stripe_id=None: it is not there yet."""
    is_customer(db, person.id)
    invoice = issue_one(db, person, cents, **given)
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_gateway_invoices (invoice_id, user_id, gateway, provider_id, status, amount_cents,
                                                     created_at, updated_at)
               VALUES (:id, :user_id, 'stripe', :stripe_id, :status, :cents, '2026-05-01T06:00:00Z',
                       '2026-05-01T06:00:00Z')""",
            id=invoice.id,
            user_id=person.id,
            stripe_id=stripe_id,
            status=status,
            cents=invoice.due_cents,
        )
        execute(
            db, "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id", stripe_id=stripe_id, id=invoice.id
        )
    return invoices.get_by_id(db, invoice.id)


def row_of(db: Connection, invoice: Invoice) -> GatewayInvoice:
    found = gateway_invoices.find(db, invoice.id)
    assert found is not None
    return found


def hear(
    db: Connection, *payloads: Payload, now: datetime = NOW, settings: Settings = SETTINGS
) -> tuple[list[str], list[Notice]]:
    """What became of each, and what the host is told."""
    received = [tell(db, now, settings, payload) for payload in payloads]
    return [one.result for one in received], [notice for one in received for notice in one.notices]


def stands(db: Connection, invoice: Invoice) -> Standing:
    """And `flask billing verify` finds nothing wrong in the books."""
    with atomic(db):
        assert [one.sentence for one in prove_money(db, None)] == []
    owed(db, Person("", invoice.user_id, invoice.tenant_id))
    now = invoices.get_by_id(db, invoice.id)
    rows = fetch_all(
        db,
        "SELECT amount_cents, stripe_payment_intent_id AS intent, method FROM billing_payments WHERE invoice_id = :id",
        id=invoice.id,
    )
    return Standing(
        now.status,
        now.paid_cents,
        now.credited_cents,
        account_credit.balance_of(db, invoice.user_id, "EUR"),
        row_of(db, invoice).status,
        sorted(((row["amount_cents"], row["intent"], row["method"]) for row in rows), key=str),
        sorted((one.status, one.amount_cents, one.code) for one in payment_attempts.list_attempts(db, invoice.id)),
    )


def stands_after(db: Connection, invoice: Invoice, payloads: Iterable[Payload]) -> Standing:
    """The same after these events, of which nothing stays."""
    with rehearsal(db, dry_run=True):
        hear(db, *payloads)
        return stands(db, invoice)
    raise AssertionError("a rehearsal swallows no error")
