"""Both directions at once: what we do at Stripe comes back as events, and neither books nor asks for it twice."""

from __future__ import annotations

import pytest

from api_v1.stripe_fake import StripeFake
from billing_db import Connection, fetch_all
from tests.cast import Person
from tests.collected import SOON, Collector, calls, issue
from tests.issued import line, owed
from tests.stripe import client_of
from turf_saas import account_credit, credit_notes, invoices, payments
from turf_saas.invoices import Invoice


@pytest.fixture
def collector(db: Connection, stripe_fake: StripeFake) -> Collector:
    stripe_fake.world.retry_days = ()
    return Collector(db, stripe_fake)


def now_of(collector: Collector, invoice: Invoice) -> tuple[str, int, str]:
    found = invoices.get_by_id(collector.db, invoice.id)
    return found.status, found.due_cents, collector.row(invoice).status


def go_round(collector: Collector) -> None:
    """Until neither side has anything new."""
    for _ in range(6):
        collector.work_through(1)
        if not collector.hear():
            return
    raise AssertionError("both sides go on telling each other")


def test_a_card_pays_and_both_sides_say_so(collector: Collector, db: Connection, alice: Person) -> None:
    collector.give_card(alice)
    invoice = issue(db, collector.settings, alice, 1_000)
    go_round(collector)
    assert now_of(collector, invoice) == ("paid", 0, "paid")
    (payment,) = payments.list_payments(db, 1)
    assert (payment.amount_cents, payment.method) == (1_200, "card")
    assert [notice.kind for notice in collector.notices].count("invoice_paid") == 1
    assert owed(db, alice) == 0


def test_a_transfer_is_told_there_and_comes_back_as_no_money(
    collector: Collector, db: Connection, alice: Person
) -> None:
    invoice = issue(db, collector.settings, alice, 1_000)
    go_round(collector)
    payments.record_payment(db, SOON, collector.settings, 1, invoice.number, amount_cents=200)
    go_round(collector)
    assert collector.at_stripe()[0]["amount_remaining"] == 1_000
    payments.record_payment(db, SOON, collector.settings, 1, invoice.number, amount_cents=1_000)
    go_round(collector)
    assert now_of(collector, invoice) == ("paid", 0, "paid")
    assert [payment.amount_cents for payment in payments.list_payments(db, 1)] == [1_000, 200]
    assert account_credit.balance_of(db, alice.id, "EUR") == 0
    assert not [one for one in collector.notices if one.kind == "payment_mismatch"]
    assert owed(db, alice) == 0


def test_credit_notes_of_ours_come_back_as_nothing_new(collector: Collector, db: Connection, alice: Person) -> None:
    part = issue(db, collector.settings, alice, 1_000, month="2026-01")
    whole = issue(db, collector.settings, alice, 1_000, month="2026-02")
    go_round(collector)
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, part.number, amount_cents=300)
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, whole.number)
    go_round(collector)
    assert now_of(collector, whole) == ("cancelled", 0, "void")
    assert now_of(collector, part) == ("pending", 900, "open")
    notes = fetch_all(db, "SELECT amount_cents FROM invoices WHERE kind = 'credit_note' ORDER BY id")
    assert [note["amount_cents"] for note in notes] == [-300, -1_200]
    assert owed(db, alice) == 900


def test_what_was_carried_is_paid_with_what_carries_it(collector: Collector, db: Connection, alice: Person) -> None:
    small = issue(db, collector.settings, alice, line(40, "0"), month="2026-01")
    go_round(collector)
    assert now_of(collector, small) == ("pending", 40, "waiting")
    collector.give_card(alice)
    large = issue(db, collector.settings, alice, 1_000, month="2026-02")
    go_round(collector)
    assert now_of(collector, large) == ("paid", 0, "paid")
    assert now_of(collector, small) == ("paid", 0, "paid")
    assert owed(db, alice) == 0


def test_a_new_card_pays_what_was_declined(collector: Collector, db: Connection, alice: Person) -> None:
    card = collector.give_card(alice, "pm_card_chargeCustomerFail")
    invoice = issue(db, collector.settings, alice, 1_000)
    go_round(collector)
    assert now_of(collector, invoice) == ("pending", 1_200, "open")
    assert [notice.kind for notice in collector.notices].count("payment_failed") == 1
    collector.fake.card_turns(card, "pm_card_visa")
    collector.fake.card_updated(card, exp_year=2031)
    collector.hear()
    go_round(collector)
    assert now_of(collector, invoice) == ("paid", 0, "paid")
    assert owed(db, alice) == 0


def test_what_an_event_has_told_before_its_answer_came_is_noted_all_the_same(
    collector: Collector, db: Connection, alice: Person
) -> None:
    """Finalized, the answer lost, the event heard; and meanwhile a part was paid by other ways."""
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.fake.fault("POST", r"^/v1/invoices/.*/finalize", drop="after")
    collector.work()
    assert "invoice.finalized applied" in collector.hear()
    assert [call for call in calls(db) if call.endswith("pending")] == ["finalize v1 pending"]
    payments.record_payment(db, SOON, collector.settings, 1, invoice.number, amount_cents=300)
    go_round(collector)
    assert not [call for call in calls(db) if call.endswith("pending")]
    assert now_of(collector, invoice) == ("pending", 900, "open")
    assert collector.at_stripe()[0]["amount_remaining"] == 900


def test_a_customer_who_was_deleted_there_is_made_anew(collector: Collector, db: Connection, alice: Person) -> None:
    issue(db, collector.settings, alice, 1_000, month="2026-01")
    go_round(collector)
    client_of(collector.fake).v1.customers.delete(collector.at_stripe()[0]["customer"])
    assert "customer.deleted applied" in collector.hear()
    second = issue(db, collector.settings, alice, 1_000, month="2026-02")
    go_round(collector)
    assert now_of(collector, second)[2] == "open"
    assert len({there["customer"] for there in collector.at_stripe()}) == 2
