"""Invoices are brought to Stripe over real sockets: once, to the cent, whatever is lost on the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

import billing_db
from api_v1.stripe_fake import StripeFake
from billing_db import Connection, atomic, fetch_all
from tests.cast import Cast, Person
from tests.collected import SOON, Collector, calls, issue
from tests.issued import ISSUED_AT, line
from tests.stripe import client_of
from turf_saas import credit_notes, invoices, jobs, payment_attempts, payments
from turf_saas.doctor_collecting import examine_collecting
from turf_saas.invoices import Invoice
from turf_saas.payment_attempts import Failure


@pytest.fixture
def collector(db: Connection, stripe_fake: StripeFake) -> Collector:
    return Collector(db, stripe_fake)


def lines_of(there: Any) -> list[tuple[str, int]]:
    return [(one["description"], one["amount"]) for one in there["lines"]["data"]]


def test_an_invoice_stands_at_stripe_once_to_the_cent(collector: Collector, alice: Person) -> None:
    invoice = issue(
        collector.db,
        collector.settings,
        alice,
        line(4_900),
        line(-490, kind="discount"),
        line(1_055, "5.5", inclusive=True),
    )
    assert (invoice.net_cents, invoice.tax_cents, invoice.amount_cents) == (5_410, 937, 6_347)
    collector.work()
    (there,) = collector.at_stripe()
    assert lines_of(there) == [
        ("Pro subscription", 4_900), ("Pro subscription", -490), ("Pro subscription", 1_000),
        ("VAT 20 %", 882), ("VAT 5.5 %", 55),
    ]  # fmt: skip
    assert (there["status"], there["total"], there["number"]) == ("open", 6_347, invoice.number)
    assert there["collection_method"] == "send_invoice"
    assert there["due_date"] == 1780271999  # 31 May 2026, 23:59:59: its due_on
    assert there["metadata"]["local_invoice_id"] == str(invoice.id)
    row = collector.row(invoice)
    assert (row.status, row.provider_id, row.amount_cents) == ("open", there["id"], 6_347)
    assert row.hosted_url == there["hosted_invoice_url"]
    assert {call.rpartition(" ")[2] for call in calls(collector.db)} == {"done"}
    before = len(collector.fake.requests)
    collector.work_through(24)
    assert len(collector.fake.requests) == before


# -- how much ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cents", "status"), [(49, "waiting"), (50, "open"), (51, "open")])
def test_less_than_the_minimum_waits(collector: Collector, alice: Person, cents: int, status: str) -> None:
    invoice = issue(collector.db, collector.settings, alice, line(cents, "0"))
    collector.work()
    assert collector.row(invoice).status == status
    assert [there["total"] for there in collector.at_stripe()] == ([cents] if status == "open" else [])


def test_what_is_too_small_goes_with_the_next_invoice(collector: Collector, alice: Person, bob: Person) -> None:
    """Two of them come to enough. Another user's, and another currency, stay where they are."""
    dollars = issue(collector.db, collector.settings, alice, line(20, "0"), month="2026-01", currency="USD")
    small = issue(collector.db, collector.settings, alice, line(20, "0"), month="2026-02")
    others = issue(collector.db, collector.settings, bob, line(20, "0"))
    collector.work()
    assert not collector.at_stripe()
    smaller = issue(collector.db, collector.settings, alice, line(30, "0"), month="2026-03")
    collector.work()
    (there,) = collector.at_stripe()
    assert lines_of(there) == [("Pro subscription", 30), (f"Invoice {small.number} (carried forward)", 20)]
    assert there["total"] == 50
    rows = [collector.row(invoice) for invoice in (small, smaller, others, dollars)]
    assert [row.status for row in rows] == ["carried", "open", "waiting", "waiting"]
    assert rows[0].carried_into == smaller.id
    issue(collector.db, collector.settings, alice, 1_000, month="2026-04")
    collector.work()
    assert collector.at_stripe()[1]["total"] == 1_200  # none is carried twice


def test_account_credit_is_taken_off_and_what_it_pays_wholly_is_never_sent(
    collector: Collector, db: Connection, alice: Person
) -> None:
    first = issue(db, collector.settings, alice, 1_000, month="2026-01")
    payments.record_payment(db, SOON, collector.settings, 1, first.number, amount_cents=2_700)
    part = issue(db, collector.settings, alice, 2_000, month="2026-02")  # 24.00, of which 15.00 are paid
    collector.work()
    (there,) = collector.at_stripe()
    assert lines_of(there) == [("Pro subscription", 2_000), ("VAT 20 %", 400), ("Settled already", -1_500)]
    assert there["total"] == 900
    assert collector.row(part).amount_cents == 900
    assert collector.row(first).status == "skipped"
    payments.record_payment(db, SOON, collector.settings, 1, first.number, amount_cents=120)
    whole = issue(db, collector.settings, alice, 100, month="2026-03")
    collector.work()
    assert (whole.status, collector.row(whole).status) == ("paid", "skipped")
    assert len(collector.at_stripe()) == 1


def test_another_total_stops_before_it_is_finalized(collector: Collector, db: Connection, alice: Person) -> None:
    """Somebody has added a line to the draft. Once it is right again, the parked job is tried again, and goes on."""
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.fake.fault("GET", "/v1/invoices/", status=503)
    collector.work()
    draft_id, customer = collector.row(invoice).provider_id, collector.at_stripe()[0]["customer"]
    client = client_of(collector.fake)
    added = client.v1.invoice_items.create(
        {"customer": customer, "invoice": str(draft_id), "amount": 1, "currency": "eur"}
    )
    assert collector.work_through(1).dead == 1
    assert collector.at_stripe()[0]["status"] == "draft"
    row = collector.row(invoice)
    assert row.status == "parked"
    assert row.last_error == f"{draft_id} comes to 1201 at Stripe, and to 1200 here"
    found = examine_collecting(db, collector.clock())
    assert found is not None
    assert (found.level, found.message.startswith(f"{invoice.number} is parked: {draft_id} comes")) == ("error", True)
    (notice,) = collector.notices
    assert (notice.kind, notice.about["invoice"].id) == ("payment_mismatch", invoice.id)
    client.v1.invoice_items.delete(added.id)
    (job,) = jobs.list_jobs(db, state="dead")
    jobs.retry(db, collector.clock(), job.id)
    collector.work()
    assert [(there["status"], there["total"]) for there in collector.at_stripe()] == [("open", 1_200)]
    assert (collector.row(invoice).status, collector.row(invoice).last_error) == ("open", None)


def test_a_key_that_may_not_parks_nothing(collector: Collector, db: Connection, alice: Person) -> None:
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.fake.fault("POST", "/v1/invoices", status=403)
    collector.work()
    assert (collector.row(invoice).status, len(jobs.list_jobs(db, state="retryable"))) == ("draft", 1)
    assert "required permissions" in str(collector.row(invoice).last_error)
    levels = [examine_collecting(db, ISSUED_AT + timedelta(minutes=after)) for after in (59, 60)]
    assert [found.level for found in levels if found is not None] == ["ok", "warning"]
    collector.work_through(1)
    assert collector.row(invoice).status == "open"


@pytest.mark.parametrize(("currency", "cents"), [("ISK", 5_000), ("KWD", 5_001)])
def test_what_stripe_counts_in_another_unit_is_parked(
    collector: Collector, alice: Person, currency: str, cents: int
) -> None:
    invoice = issue(collector.db, collector.settings, alice, line(cents, "0"), currency=currency)
    assert collector.work().dead == 1
    assert collector.row(invoice).status == "parked"
    assert not collector.at_stripe()


# -- what changes here afterwards --------------------------------------------------------------------------


def test_a_transfer_ends_what_stripe_waits_for(collector: Collector, db: Connection, alice: Person) -> None:
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.work()
    payments.record_payment(db, SOON, collector.settings, 1, invoice.number, amount_cents=500)
    collector.work()
    (there,) = collector.at_stripe()
    assert (there["status"], there["amount_remaining"]) == ("open", 700)
    payments.record_payment(db, SOON, collector.settings, 1, invoice.number, amount_cents=700)
    collector.work()
    (there,) = collector.at_stripe()
    assert (there["status"], there["amount_remaining"]) == ("paid", 0)
    assert not [one for one in collector.fake.objects.values() if one["object"] == "charge"]
    assert collector.row(invoice).status == "paid"


def test_a_cancelled_invoice_is_void_there_and_a_partly_credited_one_asks_for_less(
    collector: Collector, db: Connection, alice: Person
) -> None:
    whole = issue(db, collector.settings, alice, 1_000, month="2026-01")
    part = issue(db, collector.settings, alice, 1_000, month="2026-02")
    collector.work()
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, whole.number)
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, part.number, amount_cents=120)
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, part.number, amount_cents=240)
    collector.work()
    there = {one["metadata"]["number"]: one for one in collector.at_stripe()}
    assert there[whole.number]["status"] == "void"
    assert (there[part.number]["status"], there[part.number]["amount_remaining"]) == ("open", 840)
    notes = [one for one in collector.fake.objects.values() if one["object"] == "credit_note"]
    assert {one["metadata"]["app"] for one in notes} == {"turf_saas"}


def test_what_was_settled_before_it_is_sent_is_not_asked_for(
    collector: Collector, db: Connection, alice: Person
) -> None:
    collector.fake.down = True
    paid = issue(db, collector.settings, alice, 1_000, month="2026-01")
    part = issue(db, collector.settings, alice, 1_000, month="2026-02")
    collector.work()
    payments.record_payment(db, SOON, collector.settings, 1, paid.number, amount_cents=1_200)
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, part.number, amount_cents=200)
    collector.fake.down = False
    collector.work_through(1)
    collector.work_through(1)
    left = [
        (there["metadata"]["number"], there["status"], there["amount_remaining"]) for there in collector.at_stripe()
    ]
    # The first that was tried had begun when Stripe was away, and is ended there; or it was never sent.
    assert (part.number, "open", 1_000) in left
    assert {each[1:] for each in left if each[0] == paid.number} <= {("paid", 0)}


def test_nothing_is_charged_that_was_paid_while_it_was_sent(
    collector: Collector, db: Connection, alice: Person
) -> None:
    """There is a card, and finalizing would charge it: so what is less due by then is settled first."""
    collector.give_card(alice)
    paid = issue(db, collector.settings, alice, 1_000, month="2026-01")
    part = issue(db, collector.settings, alice, 1_000, month="2026-02")
    collector.fake.fault("POST", "/v1/invoiceitems", status=409, times=2)
    collector.work()
    payments.record_payment(db, SOON, collector.settings, 1, paid.number, amount_cents=1_200)
    payments.record_payment(db, SOON, collector.settings, 1, part.number, amount_cents=200)
    collector.work_through(1)
    there = {one["metadata"]["number"]: one for one in collector.at_stripe()}
    assert there[paid.number]["status"] == "paid"
    assert there[part.number]["status"] == "paid"
    charges = [one["amount"] for one in collector.fake.objects.values() if one["object"] == "charge"]
    assert charges == [1_000]


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_lost_answer_lowers_nothing_twice(collector: Collector, db: Connection, alice: Person, drop: str) -> None:
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.work()
    for cents in (100, 200):
        credit_notes.credit_invoice(db, SOON, collector.settings, 1, invoice.number, amount_cents=cents)
        collector.fake.fault("POST", "/v1/credit_notes", drop=drop)
        collector.work_through(1)
    collector.work_through(1)
    assert collector.at_stripe()[0]["amount_remaining"] == 900
    credit_notes.credit_invoice(db, SOON, collector.settings, 1, invoice.number)
    collector.fake.fault("POST", "/v1/invoices", drop=drop)
    collector.work_through(1)
    collector.work_through(25)
    assert collector.at_stripe()[0]["status"] == "void"


# -- asked again -------------------------------------------------------------------------------------------


def charges_of(collector: Collector) -> list[str]:
    made = [one for one in collector.fake.objects.values() if one["object"] == "charge"]
    return [one["status"] for one in sorted(made, key=lambda one: one["created"])]


def test_a_card_is_charged_at_once(collector: Collector, alice: Person) -> None:
    collector.give_card(alice)
    issue(collector.db, collector.settings, alice, 1_000)
    collector.work()
    (there,) = collector.at_stripe()
    assert (there["collection_method"], there["status"]) == ("charge_automatically", "paid")
    assert charges_of(collector) == ["succeeded"]


def test_a_declined_charge_is_tried_again_on_our_days_alone_and_once(
    collector: Collector, db: Connection, alice: Person
) -> None:
    """Stripe has no next try of its own, the outbox repeats no declined charge, and a new card is tried at once."""
    collector.fake.world.retry_days = ()
    card = collector.give_card(alice, "pm_card_chargeCustomerFail")
    invoice = issue(db, collector.settings, alice, 1_000)
    collector.work()
    assert charges_of(collector) == ["failed"]
    note_failed(db, collector, invoice)
    seen = []
    for _ in range(9):  # days, of which the second and the seventh are ours
        collector.clock.pass_(days=1)
        pass_hour(collector)
        pass_hour(collector)
        seen.append(len(charges_of(collector)))
    assert seen == [1, 2, 2, 2, 2, 2, 3, 3, 3]
    collector.fake.card_turns(card, "pm_card_visa")
    with atomic(db):
        jobs.enqueue(db, collector.clock(), "billing.pay_open_invoices", {"user_id": alice.id})
    collector.work()
    assert charges_of(collector) == ["failed"] * 3 + ["succeeded"]
    assert collector.at_stripe()[0]["status"] == "paid"


def pass_hour(collector: Collector) -> None:
    with atomic(collector.db):
        jobs.enqueue(collector.db, collector.clock(), "billing.collect", {})
    collector.work()


def note_failed(db: Connection, collector: Collector, invoice: Invoice) -> None:
    """As the event would have told it."""
    with atomic(db):
        held = invoices.hold(db, invoice.id)
        told = Failure("failed", 1_200, collector.clock(), "generic_decline")
        payment_attempts.note_failure(db, collector.clock(), held, "in_1:1", told)


# -- many ----------------------------------------------------------------------------------------------------


def test_eight_workers_at_once_send_each_invoice_once(
    collector: Collector, db: Connection, url: str, people: Cast
) -> None:
    for month in range(1, 5):
        for user in (people.alice, people.bob):
            issue(db, collector.settings, user, 1_000, line(40, "0"), month=f"2026-0{month}")
            issue(db, collector.settings, user, line(30, "0"), month=f"2025-0{month}")

    def work(_number: int) -> None:
        with closing(billing_db.connect(url)) as own:
            Collector(own, collector.fake, collector.clock()).work()

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        if {job.state for job in jobs.list_jobs(db)} == {"completed"}:
            break
        collector.clock.pass_(hours=1)
    assert {job.state for job in jobs.list_jobs(db)} == {"completed"}
    there = collector.at_stripe()
    sent = [one["metadata"]["local_invoice_id"] for one in there]
    assert len(sent) == len(set(sent))
    assert {one["status"] for one in there} == {"open"}
    left = fetch_all(db, "SELECT amount_cents FROM billing_gateway_invoices WHERE status = 'waiting'")
    # 8 × 12.40 and 8 × 0.30; of the small ones at most one per user still waits for company
    assert sum(one["total"] for one in there) + sum(row["amount_cents"] for row in left) == 8 * 1_240 + 8 * 30
    assert len([one for one in collector.fake.objects.values() if one["object"] == "customer"]) == 2
