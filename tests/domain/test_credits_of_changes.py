"""What a change of a subscription gives back: on the invoice that will have the fee, or on the one that had it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.cast import Person
from tests.domain.test_subscriptions import at, user
from tests.issued import owed
from turf_saas import account_credit, catalogue, invoice_register, invoices, issuing, payments
from turf_saas.catalogue import PlanDraft
from turf_saas.credit_notes import credit_invoice
from turf_saas.demo import SELLER
from turf_saas.invoices import Invoice
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Changed, Wish, cancel, change_plan
from turf_saas.subscriptions import find_live
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", **SELLER})
BOUND = 30  # seconds


@pytest.fixture(autouse=True)
def _plans(db: Connection) -> None:
    for draft in (
        PlanDraft("ten", "Ten", 1_000, "EUR"),
        PlanDraft("forty", "Forty", 4_000, "EUR"),
        PlanDraft("sixty", "Sixty", 6_000, "EUR"),
        PlanDraft("anniversary", "Anniversary", 3_100, "EUR", cycle="anniversary"),
        PlanDraft("gross", "Gross", 999, "EUR", cycle="anniversary", tax_behavior="inclusive"),
        PlanDraft("yearly", "Yearly", 36_500, "EUR", interval="year", cycle="anniversary"),
        PlanDraft("dearer", "Dearer", 73_000, "EUR", interval="year", cycle="anniversary"),
    ):
        catalogue.create_plan(db, at("01-01"), 1, draft)


def begin(db: Connection, person: Person, plan: str, when: str) -> None:
    subscribe(db, at(when), SETTINGS, user(person), plan)


def live(db: Connection, person: Person) -> Any:
    return find_live(db, person.id)


def change(db: Connection, person: Person, plan: str, when: str, **given: Any) -> Changed:
    wish = Wish(plan, "now")
    return change_plan(db, at(when), SETTINGS, live(db, person), wish, is_admin=True, by="admin:4", **given)


def end(db: Connection, person: Person, when: str, **given: Any) -> Changed:
    return cancel(db, at(when), SETTINGS, live(db, person), when="now", by="admin:4", **given)


def issue(db: Connection, person: Person, month: str, when: str) -> Invoice | None:
    wanted = Month.parse(month)
    assert wanted is not None
    return issuing.issue_month(db, at(when), SETTINGS, 1, person.id, wanted).invoice


def lines(invoice: Invoice | None) -> list[tuple[str, int]]:
    return [(line.kind, line.net_cents) for line in invoice.lines] if invoice else []


def items(db: Connection) -> list[tuple[str, str, int, int | None, int | None]]:
    rows = fetch_all(db, "SELECT * FROM billing_pending_items ORDER BY id")
    return [(row["month"], row["kind"], row["amount_cents"], row["credits_item_id"], row["invoice_id"]) for row in rows]


def test_what_is_not_invoiced_yet_is_credited_on_the_invoice_that_will_have_it(db: Connection, alice: Person) -> None:
    """31.00 from 20 May to 20 June, left on 4 June at 12:00: half of 31 days. May is not issued yet."""
    begin(db, alice, "anniversary", "05-20")
    end(db, alice, "06-04 12:00")
    assert items(db) == [("2026-05", "credit", -1_550, None, None)]
    assert lines(issue(db, alice, "2026-05", "06-05")) == [("base", 3_100), ("credit", -1_550)]
    assert issue(db, alice, "2026-06", "07-02") is None


def test_a_fee_that_was_invoiced_is_given_back_by_a_credit_note(db: Connection, alice: Person) -> None:
    begin(db, alice, "anniversary", "05-20")
    invoice = issue(db, alice, "2026-05", "06-01")
    assert invoice is not None
    assert end(db, alice, "06-04 12:00", dry_run=True).proration.credit_cents == 1_550
    assert (items(db), invoices.list_credit_notes(db, invoice.id)) == ([], [])
    end(db, alice, "06-04 12:00")
    (note,) = invoices.list_credit_notes(db, invoice.id)
    assert (note.net_cents, note.tax_cents, note.reason) == (-1_550, -310, "subscription_change")
    assert (note.number, note.issued_at) == ("FACT-202606-0002", "2026-06-04T12:00:00Z")
    assert items(db) == [("2026-05", "credit", -1_550, None, note.id)]
    assert invoices.get_by_id(db, invoice.id).due_cents == 3_720 - 1_860
    assert issue(db, alice, "2026-06", "07-02") is None
    assert owed(db, alice) == 1_860


def test_what_was_paid_already_pays_the_next_invoice(db: Connection, alice: Person) -> None:
    """Half of 31.00 and its VAT, 18.60, come back; the next plan's fee of 10.00 + 2.00 is paid with them."""
    begin(db, alice, "anniversary", "05-20")
    invoice = issue(db, alice, "2026-05", "06-01")
    assert invoice is not None
    payments.record_payment(db, at("06-02"), SETTINGS, 1, invoice.number, amount_cents=3_720)
    end(db, alice, "06-04 12:00")
    assert account_credit.balance_of(db, alice.id, "EUR") == 1_860
    begin(db, alice, "ten", "07-01")
    paid = issue(db, alice, "2026-07", "08-01")
    assert paid is not None
    assert (paid.status, paid.amount_cents, paid.tax_cents) == ("paid", 1_200, 200)
    assert account_credit.balance_of(db, alice.id, "EUR") == 660


def test_a_price_with_its_vat_inside_is_given_back_with_it(db: Connection, alice: Person) -> None:
    """9.99 from 20 May on, left on 4 June at 12:00: 4.995, and half a cent goes away from zero: 5.00."""
    begin(db, alice, "gross", "05-20")
    invoice = issue(db, alice, "2026-05", "06-01")
    assert invoice is not None
    end(db, alice, "06-04 12:00")
    (note,) = invoices.list_credit_notes(db, invoice.id)
    assert (note.net_cents, note.tax_cents, note.amount_cents) == (-417, -83, -500)


def test_the_newest_charge_is_given_back_before_the_fee(db: Connection, alice: Person) -> None:
    """June has 30 days. On the 11th 10.00 → 40.00: −6.67 of the fee, +26.67; on the 21st 13.33 of that charge."""
    begin(db, alice, "ten", "06-01")
    change(db, alice, "forty", "06-11")
    end(db, alice, "06-21")
    (fee, charge, credit) = items(db)
    charge_id = fetch_one(db, "SELECT id FROM billing_pending_items WHERE kind = 'charge'")["id"]
    assert fee == ("2026-06", "credit", -667, None, None)
    assert charge == ("2026-06", "charge", 2_667, None, None)
    assert credit == ("2026-06", "credit", -1_333, charge_id, None)


def test_of_two_charges_the_newest_is_given_back_first(db: Connection, alice: Person) -> None:
    """+26.67 on the 11th; on the 16th −20.00 of that and +30.00; on the 21st 20.00 of those."""
    begin(db, alice, "ten", "06-01")
    change(db, alice, "forty", "06-11")
    change(db, alice, "sixty", "06-16")
    end(db, alice, "06-21")
    charges = [row["id"] for row in fetch_all(db, "SELECT id FROM billing_pending_items WHERE kind = 'charge'")]
    assert [item[2:4] for item in items(db) if item[3] is not None] == [(-2_000, charges[0]), (-2_000, charges[1])]


def test_what_one_charge_does_not_cover_comes_from_the_fee(db: Connection, alice: Person) -> None:
    """Of the charge of 26.67 another credit has taken 20.00, so that 6.67 of the 13.33 are its, and 6.66 the fee's."""
    begin(db, alice, "ten", "06-01")
    change(db, alice, "forty", "06-11")
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_pending_items (user_id, month, kind, amount_cents, currency, billing_period_id,
                                                  credits_item_id, created_at)
               SELECT user_id, month, 'credit', -2000, currency, billing_period_id, id, created_at
                 FROM billing_pending_items WHERE kind = 'charge'""",
        )
    end(db, alice, "06-21")
    assert [(item[2], item[3] is None) for item in items(db)[-2:]] == [(-667, False), (-666, True)]


def test_each_credit_goes_to_the_invoice_of_what_it_gives_back(db: Connection, alice: Person) -> None:
    """A year from 1 May at 365.00. On 1 June, 334 of 365 days left: −334.00 of May's fee, +668.00 in June; at the end
    of 30 June 304 days are left, and 608.00 of June's charge are given back on June's invoice.
    """
    begin(db, alice, "yearly", "05-01")
    may = issue(db, alice, "2026-05", "06-01")
    change(db, alice, "dearer", "06-01")
    june = issue(db, alice, "2026-06", "07-01")
    end(db, alice, "07-01")
    assert may is not None
    assert june is not None
    assert lines(june) == [("charge", 66_800)]
    assert [note.net_cents for note in invoices.list_credit_notes(db, may.id)] == [-33_400]
    (note,) = invoices.list_credit_notes(db, june.id)
    assert (note.net_cents, note.lines[0].description) == (
        -60_800,
        f"Avoir sur la facture {june.number} : {june.lines[0].description}",
    )
    assert owed(db, alice) == (36_500 - 33_400 + 66_800 - 60_800) * 12 // 10


def test_what_an_admin_has_credited_is_not_given_back_again(db: Connection, alice: Person) -> None:
    begin(db, alice, "anniversary", "05-20")
    invoice = issue(db, alice, "2026-05", "06-01")
    assert invoice is not None
    credit_invoice(db, at("06-02"), SETTINGS, 1, invoice.number)
    end(db, alice, "06-04 12:00")
    assert len(invoices.list_credit_notes(db, invoice.id)) == 1
    assert items(db) == [("2026-05", "credit", -1_550, None, invoice.id)]


def test_a_change_waits_for_who_is_issuing_and_then_knows_it(db: Connection, url: str, alice: Person) -> None:
    begin(db, alice, "anniversary", "05-20")

    def leave() -> None:
        other = billing_db.connect(url)
        try:
            end(other, alice, "06-04 12:00")
        finally:
            other.close()

    with ThreadPoolExecutor(1) as pool:
        with atomic(db):
            invoice_register.hold_register(db, 1)
            left = pool.submit(leave)
            until = time.monotonic() + BOUND
            while billing_db.engine(db) == "postgresql" and time.monotonic() < until:
                if fetch_all(db, "SELECT 1 AS one FROM pg_locks WHERE NOT granted"):
                    break
            invoice = issue(db, alice, "2026-05", "06-01")
        left.result(BOUND)
    assert invoice is not None
    assert [note.net_cents for note in invoices.list_credit_notes(db, invoice.id)] == [-1_550]
    assert [item[2] for item in items(db)] == [-1_550]
