"""Many at once pay, credit and refund one invoice, each on a connection of its own: never more than there is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import billing_db
from billing_db import Connection
from tests.cast import Person
from tests.issued import ISSUED_AT, SETTINGS, issue_one, owed
from turf_saas import account_credit, credit_notes, invoices, payments
from turf_saas.errors import Conflict

AT_ONCE = 4
BOUND = 60  # seconds


def at_once(url: str, deeds: list[Callable[[Connection], Any]]) -> list[str]:
    """What each came to: "done", or the code of its Conflict."""

    def run(deed: Callable[[Connection], Any]) -> str:
        db = billing_db.connect(url)
        try:
            deed(db)
        except Conflict as refused:
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
        payments.refund(other, ISSUED_AT, SETTINGS, 1, paid.id, amount_cents=500)

    assert sorted(at_once(url, [refund] * 5)) == ["done"] * 3 + ["refund_too_large"] * 2
    assert invoices.get_by_id(db, invoice.id).status == "refunded"
    assert owed(db, alice) == 0
