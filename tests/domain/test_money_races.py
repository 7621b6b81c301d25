"""Many at once pay, credit, refund and remove, each on a connection of its own: never more than there is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import billing_db
from billing_db import Connection
from tests.cast import Person
from tests.issued import ISSUED_AT, SETTINGS, issue_one, owed
from turf_saas import account_credit, credit_notes, invoice_items, invoices, issuing, jobs, payments, refunds
from turf_saas.demo import SELLER
from turf_saas.errors import BillingError
from turf_saas.settings import read_settings
from turf_saas.users import User
from turf_saas.values import Month

AT_ONCE = 4
BOUND = 60  # seconds
SOLD = read_settings({"TURF_SAAS_DB": "unused", **SELLER})


def at_once(url: str, deeds: list[Callable[[Connection], Any]]) -> list[str]:
    """What each came to: "done", or the code of its refusal."""

    def run(deed: Callable[[Connection], Any]) -> str:
        db = billing_db.connect(url)
        try:
            deed(db)
        except BillingError as refused:
            return refused.code
        finally:
            db.close()
        return "done"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [future.result(BOUND) for future in [pool.submit(run, deed) for deed in deeds]]


def test_credit_notes_at_once_credit_an_invoice_once(db: Connection, url: str, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)

    def credit(other: Connection) -> None:
        credit_notes.credit_invoice(other, ISSUED_AT, SETTINGS, 1, invoice.number, amount_cents=400)

    came_to = at_once(url, [credit] * 6)
    assert sorted(came_to) == ["done"] * 3 + ["nothing_left_to_credit"] * 3
    notes = invoices.list_credit_notes(db, invoice.id)
    assert [(note.net_cents, note.tax_cents) for note in notes] == [(-333, -67), (-333, -67), (-334, -66)]
    assert [note.number for note in notes] == [f"FACT-202605-000{number}" for number in (2, 3, 4)]


def test_payments_and_credit_notes_at_once_settle_it_to_the_cent(db: Connection, url: str, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)

    def pay(other: Connection) -> None:
        payments.record_payment(other, ISSUED_AT, SETTINGS, 1, invoice.number, amount_cents=500)

    def credit(other: Connection) -> None:
        credit_notes.credit_invoice(other, ISSUED_AT, SETTINGS, 1, invoice.number, amount_cents=300)

    assert at_once(url, [pay, credit] * 3) == ["done"] * 6
    settled = invoices.get_by_id(db, invoice.id)
    assert (settled.status, settled.paid_cents, settled.credited_cents) == ("paid", 300, 900)
    assert account_credit.balance_of(db, alice.id, "EUR") == 1_200
    assert owed(db, alice) == -1_200


def test_refunds_at_once_give_a_payment_back_once(db: Connection, url: str, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    paid = payments.record_payment(db, ISSUED_AT, SETTINGS, 1, invoice.number, amount_cents=1_500).payment

    def refund(other: Connection) -> None:
        refunds.refund(other, ISSUED_AT, SETTINGS, 1, paid.id, amount_cents=500)

    assert sorted(at_once(url, [refund] * 5)) == ["done"] * 3 + ["refund_too_large"] * 2
    assert invoices.get_by_id(db, invoice.id).status == "refunded"
    assert owed(db, alice) == 0


def test_admins_who_refund_what_stripe_took_at_once_send_it_once(db: Connection, url: str, alice: Person) -> None:
    source = payments.Source("stripe", "in_1", "pi_1", "ch_1")
    invoice = issue_one(db, alice, 1_000)
    taken = payments.receive(db, ISSUED_AT, SETTINGS, invoice, source, amount_cents=1_200, method="card")
    assert taken is not None

    def refund(other: Connection) -> None:
        refunds.refund(other, ISSUED_AT, SETTINGS, 1, taken.payment.id)

    assert sorted(at_once(url, [refund] * 4)) == ["done"] + ["refund_too_large"] * 3
    assert [(job.name, job.state) for job in jobs.list_jobs(db, name=refunds.SEND_JOB)] == [
        (refunds.SEND_JOB, "available")
    ]
    assert owed(db, alice) == 0


def test_an_item_that_is_removed_while_its_month_is_issued_is_billed_or_gone(
    db: Connection, url: str, alice: Person
) -> None:
    """Whoever comes first: it stands on the invoice and cannot be removed, or it is on none."""
    user, may = User(alice.id, 1, "user"), datetime(2026, 5, 20, tzinfo=UTC)
    item = invoice_items.add_item(
        db, may, SOLD, user, description="Setup", quantity=Decimal(1), unit_amount=Decimal(10)
    )

    def issue(other: Connection) -> None:
        issuing.issue_month(other, datetime(2026, 6, 1, tzinfo=UTC), SOLD, 1, alice.id, Month(2026, 5))

    def remove(other: Connection) -> None:
        invoice_items.remove_item(other, 1, item.id)

    came_to = at_once(url, [issue, remove, issue, remove])
    assert (came_to[0], came_to[2]) == ("done", "done")
    billed = [line for invoice in invoices.list_invoices(db, 1) for line in invoice.lines]
    if billed:
        assert (came_to[1], came_to[3]) == ("item_invoiced", "item_invoiced")
    else:
        assert sorted((came_to[1], came_to[3])) == ["done", "invoice_item_not_found"]
