"""Payments, refunds and account credit: what is due, what is paid, and whose money is where."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.issued import ISSUED_AT, SETTINGS, document, issue_one, owed
from turf_saas import account_credit, invoice_register, invoices, payments, refunds
from turf_saas.credit_notes import credit_invoice
from turf_saas.errors import BillingError, Conflict, NotFound
from turf_saas.invoices import Invoice
from turf_saas.payments import Received
from turf_saas.refunds import Refunded
from turf_saas.settings import read_settings

LATER = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
PARIS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": "Europe/Paris"})


def pay(db: Connection, invoice: Invoice, cents: int, **given: Any) -> Received:
    now = given.pop("now", ISSUED_AT)
    return payments.record_payment(
        db, now, given.pop("settings", SETTINGS), 1, invoice.number, amount_cents=cents, by="admin:4", **given
    )


def refund(db: Connection, received: Received, cents: int | None = None) -> Refunded:
    return refunds.refund(db, LATER, SETTINGS, 1, received.payment.id, amount_cents=cents, by="admin:4")


def credit(db: Connection, invoice: Invoice, cents: int | None = None) -> Invoice:
    return credit_invoice(db, ISSUED_AT, SETTINGS, 1, invoice.number, amount_cents=cents)


def settled(db: Connection, invoice: Invoice) -> tuple[str, int, int, int]:
    now = invoices.get_by_id(db, invoice.id)
    return now.status, now.paid_cents, now.credited_cents, now.due_cents


def balance(db: Connection, person: Person) -> int:
    return account_credit.balance_of(db, person.id, "EUR")


def entries(db: Connection) -> list[tuple[str, int]]:
    rows = fetch_all(db, "SELECT kind, amount_cents FROM billing_account_credit_entries ORDER BY id")
    return [(row["kind"], row["amount_cents"]) for row in rows]


def adopt(db: Connection, person: Person, number: str, status: str, cents: int = 4_900) -> Invoice:
    with atomic(db):
        execute(
            db,
            """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents, status)
               VALUES (:number, :id, '2026-03-01', '2026-03-31', 'pro', :cents, :status)""",
            number=number,
            id=person.id,
            cents=cents,
            status=status,
        )
    return invoices.get_invoice(db, 1, number)


# -- money that comes in ---------------------------------------------------------------------------------


def test_part_payments_leave_it_pending_until_the_last_cent(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    assert pay(db, invoice, 1_199).invoice.due_cents == 1
    assert settled(db, invoice) == ("pending", 1_199, 0, 1)
    last = pay(db, invoice, 1, now=LATER)
    assert (last.excess_cents, last.invoice.status, last.invoice.paid_at) == (0, "paid", "2026-06-01T06:00:00Z")
    assert settled(db, invoice) == ("paid", 1_200, 0, 0)
    history = fetch_one(db, "SELECT * FROM billing_status_history WHERE subject = 'invoice' ORDER BY id DESC")
    assert (history["status"], history["actor"], history["reason"]) == ("paid", "admin:4", "payment")
    assert owed(db, alice) == 0


def test_what_is_more_than_due_is_account_credit(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    assert pay(db, invoice, 1_201).excess_cents == 1
    assert pay(db, invoice, 300).excess_cents == 300
    assert (settled(db, invoice), balance(db, alice)) == (("paid", 1_200, 0, 0), 301)
    assert entries(db) == [("excess", 1), ("excess", 300)]
    assert owed(db, alice) == -301


def test_an_overdue_invoice_is_paid_as_well(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    with atomic(db):
        execute(db, "UPDATE invoices SET status = 'overdue' WHERE id = :id", id=invoice.id)
    assert pay(db, invoice, 500).invoice.status == "overdue"
    assert pay(db, invoice, 700).invoice.status == "paid"


def test_what_takes_no_payment_says_so(db: Connection, alice: Person) -> None:
    cancelled = issue_one(db, alice, 1_000)
    note = credit(db, cancelled)
    negative = adopt(db, alice, "OLD-1", "pending", -100)
    for invoice in (cancelled, note, negative, adopt(db, alice, "OLD-2", "refunded")):
        with pytest.raises(Conflict, match="invoice_takes_no_payment"):
            pay(db, invoice, 1)
    assert fetch_all(db, "SELECT id FROM billing_payments") == []


def test_an_adopted_invoice_is_paid_here_and_one_that_was_paid_there_stays_so(db: Connection, alice: Person) -> None:
    pending, paid = adopt(db, alice, "OLD-1", "pending"), adopt(db, alice, "OLD-2", "paid")
    assert pay(db, pending, 4_000).invoice.due_cents == 900
    assert pay(db, pending, 1_000).excess_cents == 100
    assert settled(db, pending) == ("paid", 4_900, 0, 0)
    assert pay(db, paid, 50).excess_cents == 50
    assert settled(db, paid) == ("paid", 4_900, 0, 0)


def test_money_is_received_today_at_the_latest_as_the_day_is_here(db: Connection, alice: Person) -> None:
    """At 23:00 UTC on 31 May it is 1 June in Paris."""
    invoice, night = issue_one(db, alice, 1_000), datetime(2026, 5, 31, 23, 0, tzinfo=UTC)
    with pytest.raises(BillingError, match="received_in_future"):
        pay(db, invoice, 100, now=night, received_on=date(2026, 6, 1))
    assert pay(db, invoice, 100, now=night, received_on=date(2026, 5, 31)).payment.received_on == "2026-05-31"
    assert pay(db, invoice, 100, now=night, settings=PARIS).payment.received_on == "2026-06-01"
    assert pay(db, invoice, 100, now=night, settings=PARIS, received_on=date(2026, 6, 1))


def test_account_credit_has_an_end(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    pay(db, invoice, 2**53)
    assert balance(db, alice) == 2**53 - 1_200
    pay(db, invoice, 1_200)
    with pytest.raises(Conflict, match="account_credit_too_large"):
        pay(db, invoice, 1)
    assert (balance(db, alice), len(payments.list_payments(db, 1))) == (2**53, 2)


# -- what pays the next invoice --------------------------------------------------------------------------


def test_account_credit_pays_what_is_issued_next_as_far_as_it_goes(db: Connection, alice: Person) -> None:
    pay(db, issue_one(db, alice, 1_000), 3_000)
    paid = issue_one(db, alice, 1_000, month="2026-05", now=LATER)
    assert (paid.status, paid.paid_at, paid.paid_cents) == ("paid", "2026-06-01T06:00:00Z", 1_200)
    assert (paid.net_cents, paid.tax_cents, len(paid.lines)) == (1_000, 200, 1)
    assert balance(db, alice) == 600
    part = issue_one(db, alice, 1_000, month="2026-06")
    assert (part.status, part.paid_cents, part.due_cents, balance(db, alice)) == ("pending", 600, 600, 0)
    assert issue_one(db, alice, 1_000, month="2026-07").paid_cents == 0
    assert entries(db) == [("excess", 1_800), ("applied", -1_200), ("applied", -600)]
    assert owed(db, alice) == 1_800


def test_of_several_at_once_each_has_his_own_credit_in_his_own_currency(
    db: Connection, alice: Person, bob: Person
) -> None:
    pay(db, issue_one(db, alice, 1_000), 1_700)
    pay(db, issue_one(db, bob, 1_000, currency="USD"), 1_500)
    with atomic(db):
        invoice_register.hold_register(db, 1)
        documents = [
            document(alice, 250, month="2026-05"),
            document(alice, 1_000, kind="manual", month=None),
            document(bob, 1_000, month="2026-05"),
            document(bob, 100, month="2026-06", currency="USD"),
        ]
        issued = invoice_register.issue(db, LATER, SETTINGS, 1, documents)
        paid = account_credit.apply(db, LATER, 1, issued)
    assert list(paid.values()) == [300, 200, 120]
    assert [settled(db, invoices.get_by_id(db, one.id))[:2] for one in issued] == [
        ("paid", 300),
        ("pending", 200),
        ("pending", 0),
        ("paid", 120),
    ]
    assert account_credit.balance_of(db, bob.id, "USD") == 180


# -- money that goes out ---------------------------------------------------------------------------------


def test_a_refund_of_an_excess_is_taken_from_the_account_credit(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    received = pay(db, invoice, 1_500)
    done = refund(db, received, 300)
    assert (done.payment.refunded_cents, done.credit_note, balance(db, alice)) == (300, None, 0)
    assert settled(db, invoice) == ("paid", 1_200, 0, 0)
    ledger = fetch_all(db, "SELECT type, amount_cents, invoice_id FROM transactions ORDER BY id")
    assert [(row["type"], row["amount_cents"]) for row in ledger] == [("subscription", 1_200), ("refund", 300)]
    assert owed(db, alice) == 0


def test_what_the_account_lacks_is_given_back_by_a_credit_note(db: Connection, alice: Person) -> None:
    """15.00 for 12.00, and 5.00 go out: 3.00 of account credit, and a credit note of 2.00 (1.67 + 0.33)."""
    invoice = issue_one(db, alice, 1_000)
    done = refund(db, pay(db, invoice, 1_500), 500)
    assert done.credit_note is not None
    assert (done.credit_note.amount_cents, done.credit_note.reason) == (-200, "refund")
    assert settled(db, invoice) == ("paid", 1_000, 200, 0)
    assert (balance(db, alice), owed(db, alice)) == (0, 0)


def test_an_invoice_all_of_whose_money_has_gone_out_is_refunded(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    first, second = pay(db, invoice, 1_000), pay(db, invoice, 200)
    refund(db, first)
    assert settled(db, invoice) == ("paid", 200, 1_000, 0)
    done = refund(db, second)
    assert done.invoice is not None
    assert settled(db, invoice) == ("refunded", 0, 1_200, 0)
    assert [note.amount_cents for note in invoices.list_credit_notes(db, invoice.id)] == [-1_000, -200]
    with pytest.raises(Conflict, match="refund_too_large"):
        refund(db, second)
    assert owed(db, alice) == 0


def test_who_was_credited_before_is_refunded_without_another_credit_note(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    received = pay(db, invoice, 1_200)
    credit(db, invoice)
    assert (settled(db, invoice)[0], balance(db, alice)) == ("paid", 1_200)
    done = refund(db, received)
    assert (done.credit_note, settled(db, invoice)[0]) == (None, "refunded")
    assert owed(db, alice) == 0


def test_an_invoice_that_other_money_pays_stays_paid(db: Connection, alice: Person) -> None:
    """12.00 too much were paid for the other one: they go out, and of neither invoice anything is due."""
    invoice, other = issue_one(db, alice, 1_000), issue_one(db, alice, 1_000, month="2026-05")
    first = pay(db, invoice, 1_200)
    pay(db, other, 2_400)
    assert refund(db, first).credit_note is None
    assert settled(db, invoice) == ("paid", 1_200, 0, 0)
    assert (balance(db, alice), owed(db, alice)) == (0, 0)


@pytest.mark.parametrize("status", ["pending", "overdue"])
def test_what_is_refunded_of_an_open_invoice_is_due_again(db: Connection, alice: Person, status: str) -> None:
    invoice = issue_one(db, alice, 1_000)
    received = pay(db, invoice, 700)
    if status == "overdue":
        with atomic(db):
            execute(db, "UPDATE invoices SET status = 'overdue' WHERE id = :id", id=invoice.id)
    done = refund(db, received, 100)
    assert (done.credit_note, settled(db, invoice)) == (None, (status, 600, 0, 600))
    refund(db, received)
    assert settled(db, invoice) == (status, 0, 0, 1_200)
    assert (balance(db, alice), owed(db, alice)) == (0, 1_200)


@pytest.mark.parametrize(
    ("before", "cheque", "credited", "after"),
    [
        (0, 500, None, ("pending", 0, 0, 1_200)),
        (0, 1_200, -1_200, ("refunded", 0, 1_200, 0)),
        (500, 700, -700, ("paid", 500, 700, 0)),
    ],
)
def test_a_cheque_that_bounces_is_due_again_only_where_something_was_due(
    db: Connection, alice: Person, before: int, cheque: int, credited: int | None, after: tuple[str, int, int, int]
) -> None:
    invoice = issue_one(db, alice, 1_000)
    if before:
        pay(db, invoice, before)
    done = refund(db, pay(db, invoice, cheque))
    assert (done.credit_note.amount_cents if done.credit_note else None) == credited
    assert (settled(db, invoice), owed(db, alice)) == (after, after[3])


def test_no_more_goes_out_than_came_in_nor_than_there_is(db: Connection, alice: Person) -> None:
    """12.00 paid, 4.00 of them credited and spent on the next invoice: 8.00 are left to give back here."""
    invoice = issue_one(db, alice, 1_000)
    received = pay(db, invoice, 1_200)
    credit(db, invoice, 400)
    issue_one(db, alice, 1_000, month="2026-05")
    for cents, code in ((1_201, "refund_too_large"), (1_200, "refund_not_covered"), (801, "refund_not_covered")):
        with pytest.raises(Conflict, match=code) as refused:
            refund(db, received, cents)
        assert refused.value.params["left_cents"] == (1_200 if code == "refund_too_large" else 800)
    assert (len(invoices.list_credit_notes(db, invoice.id)), settled(db, invoice)[1]) == (1, 800)
    refund(db, received, 800)
    assert settled(db, invoice) == ("paid", 0, 1_200, 0)
    assert owed(db, alice) == 800


def test_of_an_adopted_paid_invoice_only_account_credit_goes_out(db: Connection, alice: Person) -> None:
    received = pay(db, adopt(db, alice, "OLD-1", "pending"), 5_000)
    with pytest.raises(Conflict, match="refund_not_covered"):
        refund(db, received, 101)
    assert refund(db, received, 100).payment.refunded_cents == 100


def test_another_tenants_payment_is_not_there(db: Connection, charlie: Person) -> None:
    theirs = issue_one(db, charlie, 1_000)
    done = payments.record_payment(db, ISSUED_AT, SETTINGS, 2, theirs.number, amount_cents=1)
    for missing in (done.payment.id, done.payment.id + 1):
        with pytest.raises(NotFound, match="payment_not_found"):
            refunds.refund(db, ISSUED_AT, SETTINGS, 1, missing)
    with pytest.raises(NotFound, match="invoice_not_found"):
        pay(db, theirs, 1)
