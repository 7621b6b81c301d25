"""Credit notes: what they say, what is left after them, and where their money goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing_db import Connection, RuleBroken, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.issued import ISSUED_AT, SETTINGS, issue_one, line, owed
from turf_saas import account_credit, invoice_register, invoices
from turf_saas.credit_notes import LineWish, Wanted, credit_invoice, give_back
from turf_saas.errors import BillingError, Conflict, InvalidInput
from turf_saas.invoice_documents import hash_of
from turf_saas.invoices import Invoice
from turf_saas.payments import record_payment


def credit(db: Connection, invoice: Invoice, **wish: Any) -> Invoice:
    return credit_invoice(db, ISSUED_AT, SETTINGS, invoice.tenant_id, invoice.number, by="admin:4", **wish)


def lines(*wishes: tuple[int, int | None]) -> list[LineWish]:
    return [LineWish(*wish) for wish in wishes]


def pay(db: Connection, invoice: Invoice, cents: int) -> Invoice:
    return record_payment(db, ISSUED_AT, SETTINGS, invoice.tenant_id, invoice.number, amount_cents=cents).invoice


def sums(invoice: Invoice) -> tuple[int | None, int | None, int]:
    return invoice.net_cents, invoice.tax_cents, invoice.amount_cents


def settled(db: Connection, invoice: Invoice) -> tuple[str, int, int, int]:
    now = invoices.get_by_id(db, invoice.id)
    return now.status, now.paid_cents, now.credited_cents, now.due_cents


def balance(db: Connection, person: Person) -> int:
    return account_credit.balance_of(db, person.id, "EUR")


def refusal(db: Connection, invoice: Invoice, **wish: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(BillingError) as refused:
        credit(db, invoice, **wish)
    return refused.value.code, refused.value.params


def test_three_thirds_of_twelve_euros_add_up_to_the_invoice(db: Connection, alice: Person) -> None:
    """10.00 + 2.00 in thirds of 4.00: 3.33 + 0.67 twice, and 3.34 + 0.66 at the end."""
    invoice = issue_one(db, alice, 1_000)
    notes = [credit(db, invoice, amount_cents=400) for _ in range(3)]
    assert [sums(note) for note in notes] == [(-333, -67, -400), (-333, -67, -400), (-334, -66, -400)]
    assert settled(db, invoice) == ("cancelled", 0, 1_200, 0)
    assert refusal(db, invoice, amount_cents=1) == ("nothing_left_to_credit", {})
    assert owed(db, alice) == 0


def test_a_credit_note_is_a_document_of_its_own_that_says_what_the_invoice_said(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000, line(2_000, "5.5"), kind="manual", locale="fr")
    note = credit(db, invoice, reason="Panne")
    assert (note.kind, note.number, note.status) == ("credit_note", "FACT-202605-0002", "paid")
    assert (note.credited_invoice_id, note.credited_number, note.reason) == (invoice.id, invoice.number, "Panne")
    assert sums(note) == (-3_000, -310, -3_310)
    for name in ("user_id", "month", "period_start", "period_end", "plan", "currency", "locale"):
        assert getattr(note, name) == getattr(invoice, name)
    assert (note.seller, note.buyer, note.mentions) == (invoice.seller, invoice.buyer, invoice.mentions)
    assert (note.due_on, note.due_cents) == ("2026-05-01", 0)
    assert [(one.kind, one.description, one.quantity, one.unit_amount, one.net_cents) for one in note.lines] == [
        ("credit", "Avoir sur la facture FACT-202605-0001", "1", "-10.00", -1_000),
        ("credit", "Avoir sur la facture FACT-202605-0001", "1", "-20.00", -2_000),
    ]
    assert [(tax.vat_rate, tax.base_cents, tax.tax_cents) for tax in note.taxes] == [
        ("20", -1_000, -200),
        ("5.5", -2_000, -110),
    ]


def test_it_stands_in_the_chain_the_ledger_and_the_month_of_revenue(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    note = credit(db, invoice, amount_cents=400)
    row = fetch_one(db, "SELECT * FROM invoices WHERE id = :id", id=note.id)
    assert (row["chain_position"], row["previous_hash"]) == (2, invoice.hash)
    assert row["hash"] == hash_of(invoice.hash or "", row, note.lines, note.taxes)
    ledger = fetch_all(db, "SELECT type, amount_cents FROM transactions WHERE invoice_id = :id", id=note.id)
    assert [(entry["type"], entry["amount_cents"]) for entry in ledger] == [("credit", -400)]
    revenue = fetch_one(db, "SELECT * FROM billing_revenue")
    assert (revenue["invoices"], revenue["credit_notes"], revenue["net_cents"]) == (1, 1, 667)


@pytest.mark.parametrize(
    ("paid", "credited", "expected", "given_back"),
    [
        (0, 400, ("pending", 0, 400, 800), 0),
        (0, 1_199, ("pending", 0, 1_199, 1), 0),
        (0, 1_200, ("cancelled", 0, 1_200, 0), 0),
        (500, 699, ("pending", 500, 699, 1), 0),
        (500, 700, ("paid", 500, 700, 0), 0),
        (500, 701, ("paid", 499, 701, 0), 1),
        (500, 1_199, ("paid", 1, 1_199, 0), 499),
        (500, 1_200, ("cancelled", 0, 1_200, 0), 500),
        (1_200, 400, ("paid", 800, 400, 0), 400),
        (1_200, 1_200, ("paid", 0, 1_200, 0), 1_200),
    ],
)
def test_it_lowers_what_is_due_first_and_the_rest_is_account_credit(
    db: Connection, alice: Person, paid: int, credited: int, expected: tuple[str, int, int, int], given_back: int
) -> None:
    invoice = issue_one(db, alice, 1_000)
    if paid:
        pay(db, invoice, paid)
    credit(db, invoice, amount_cents=credited)
    assert settled(db, invoice) == expected
    assert balance(db, alice) == given_back
    assert owed(db, alice) == 1_200 - paid - credited


def test_the_history_says_who_cancelled_it(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    credit(db, invoice)
    history = fetch_all(
        db,
        """SELECT status, actor, reason FROM billing_status_history
            WHERE subject = 'invoice' AND subject_id = :id ORDER BY id""",
        id=invoice.id,
    )
    assert [(row["status"], row["actor"], row["reason"]) for row in history][1:] == [
        ("cancelled", "admin:4", "credited")
    ]
    assert invoices.get_by_id(db, invoice.id).paid_at is None


# -- by line -------------------------------------------------------------------------------------------


def test_a_line_is_credited_whole_in_part_and_never_twice(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000, line(500, description="Setup"), line(2_000, "5.5"))
    part = credit(db, invoice, lines=lines((2, 200)))
    assert sums(part) == (-200, -40, -240)
    (said,) = part.lines
    assert said.description == "Credit on invoice FACT-202605-0001: Setup"
    assert json.loads(said.origin) == {"invoice_id": invoice.id, "position": 2}
    assert refusal(db, invoice, lines=lines((2, 301))) == ("credit_too_large", {"left_cents": 300, "position": 2})
    assert sums(credit(db, invoice, lines=lines((2, None), (3, None)))) == (-2_300, -170, -2_470)
    assert refusal(db, invoice, lines=lines((2, None))) == ("credit_too_large", {"left_cents": 0, "position": 2})
    assert sums(credit(db, invoice)) == (-1_000, -200, -1_200)
    assert settled(db, invoice)[:3] == ("cancelled", 0, invoice.amount_cents)


def test_a_line_whose_price_includes_its_vat_is_given_back_at_that_price(db: Connection, alice: Person) -> None:
    """Two of 9.99: 8.33 + 1.66 each. By its net alone the first would have had 1.67."""
    invoice = issue_one(db, alice, line(999, inclusive=True), line(999, inclusive=True))
    assert sums(credit(db, invoice, lines=lines((1, None)))) == (-833, -166, -999)
    assert sums(credit(db, invoice, lines=lines((2, None)))) == (-833, -166, -999)


def test_of_a_discounted_fee_the_fee_goes_with_its_discount(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000, line(-250))
    assert refusal(db, invoice, lines=lines((1, None))) == ("credit_too_large", {"left_cents": 750, "rate": "20"})
    assert refusal(db, invoice, lines=lines((2, None)))[0] == "credit_invalid"
    assert refusal(db, invoice, lines=lines((2, 100)))[0] == "credit_invalid"
    assert sums(credit(db, invoice, lines=lines((1, None), (2, None)))) == (-750, -150, -900)


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ([], "credit_lines_invalid"),
        ([(1, None), (1, None)], "credit_lines_invalid"),
        ([(0, None)], "credit_line_unknown"),
        ([(2, None)], "credit_line_unknown"),
        ([(1, 0)], "credit_invalid"),
        ([(1, -1)], "credit_invalid"),
        ([(1, 1_001)], "credit_too_large"),
    ],
)
def test_lines_that_cannot_be_credited_are_refused(
    db: Connection, alice: Person, wishes: list[tuple[int, int | None]], code: str
) -> None:
    invoice = issue_one(db, alice, 1_000)
    assert refusal(db, invoice, lines=lines(*wishes))[0] == code
    assert len(invoices.list_invoices(db, 1)) == 1


# -- what is refused -----------------------------------------------------------------------------------


def test_no_more_is_credited_than_is_left_and_nothing_stays_of_what_is_refused(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    credit(db, invoice, amount_cents=400)
    assert refusal(db, invoice, amount_cents=801) == ("credit_too_large", {"left_cents": 800})
    assert sums(credit(db, invoice, amount_cents=800)) == (-667, -133, -800)
    assert [one.number for one in invoices.list_invoices(db, 1)] == [f"FACT-202605-000{n}" for n in (3, 2, 1)]
    with pytest.raises(InvalidInput, match="credit_amount_or_lines"):
        credit(db, invoice, amount_cents=1, lines=lines((1, None)))


def test_a_credit_note_and_an_adopted_invoice_are_not_credited(db: Connection, alice: Person) -> None:
    note = credit(db, issue_one(db, alice, 1_000))
    assert refusal(db, note) == ("credit_note_not_creditable", {"number": note.number})
    with atomic(db):
        execute(
            db,
            """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents)
               VALUES ('OLD-7', :id, '2026-03-01', '2026-03-31', 'pro', 4900)""",
            id=alice.id,
        )
    assert refusal(db, invoices.get_invoice(db, 1, "OLD-7")) == ("adopted_not_creditable", {"number": "OLD-7"})


def test_the_balance_refuses_what_the_code_would_let_through(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    credit(db, invoice, amount_cents=400)
    with pytest.raises(RuleBroken), atomic(db):
        execute(db, "UPDATE billing_invoice_balances SET credited_cents = 1201 WHERE invoice_id = :id", id=invoice.id)


# -- what the system gives back --------------------------------------------------------------------------


def back(db: Connection, invoice: Invoice, *wanted: tuple[int, int]) -> Invoice | None:
    with atomic(db):
        invoice_register.hold_register(db, 1)
        return give_back(db, ISSUED_AT, SETTINGS, invoice.id, [Wanted(*one) for one in wanted], reason="late_usage")


def test_what_is_wanted_back_is_net_or_with_its_vat_as_the_line_is(db: Connection, alice: Person) -> None:
    exclusive, inclusive = issue_one(db, alice, 1_000), issue_one(db, alice, line(999, inclusive=True), month=None)
    note = back(db, exclusive, (1, 250))
    assert note is not None
    assert sums(note) == (-250, -50, -300)
    notes = [back(db, inclusive, (1, 503)), back(db, inclusive, (1, 503))]
    assert [sums(note) for note in notes if note] == [(-419, -84, -503), (-414, -82, -496)]
    assert back(db, inclusive, (1, 1)) is None


def test_no_more_is_given_back_than_the_line_and_the_invoice_have_left(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000, 500)
    first = back(db, invoice, (2, 9_999))
    assert first is not None
    assert sums(first) == (-500, -100, -600)
    assert back(db, invoice, (2, 1)) is None
    credit(db, invoice, amount_cents=900)
    last = back(db, invoice, (1, 1_000))
    assert last is not None
    assert sums(last) == (-250, -50, -300)
    assert back(db, invoice, (1, 1_000), (2, 500)) is None
    assert settled(db, invoice) == ("cancelled", 0, 1_800, 0)


def test_a_conflict_leaves_no_number_behind(db: Connection, alice: Person) -> None:
    invoice = issue_one(db, alice, 1_000)
    with pytest.raises(Conflict):
        credit(db, invoice, amount_cents=1_201)
    assert fetch_one(db, "SELECT last_number FROM billing_invoice_series")["last_number"] == 1
