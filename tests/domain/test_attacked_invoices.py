"""Money and proof where settings, VAT inside of prices and codes change between what is sold and what is issued."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_db import Connection, atomic, execute
from tests.cast import Person
from tests.domain.issuing import (
    APRIL,
    JUNE,
    MAY,
    SETTINGS,
    add_item,
    at,
    begin,
    correct,
    flat,
    invoice_of,
    lines,
    live,
    move,
    notes_of,
    report,
    run,
    sell,
    settings_with,
    totals,
)
from turf_saas import discounts, dunning, usage
from turf_saas.credit_notes import LineWish, credit_invoice
from turf_saas.errors import Conflict
from turf_saas.invoice_explaining import explain_invoice
from turf_saas.invoices import list_invoices
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.tax import TaxDecision, checked
from turf_saas.verifying import verify

PARIS = settings_with(BILLING_TIMEZONE="Europe/Paris")
NEW_YORK = settings_with(BILLING_TIMEZONE="America/New_York")


def test_a_credit_includes_vat_where_the_fee_does_that_it_gives_back(db: Connection, alice: Person) -> None:
    """10.00 and VAT; then, unprorated, a plan whose price includes it, and from the middle on a dearer one of those."""
    sell(db, "net", 1_000)
    sell(db, "gross", 2_000, tax_behavior="inclusive")
    sell(db, "more", 3_000, tax_behavior="inclusive")
    begin(db, alice, "net", at(4, 1))
    change_plan(db, at(4, 11), SETTINGS, live(db, alice), Wish("gross", "now", prorate=False), is_admin=True)
    move(db, alice, "more", at(4, 16))
    run(db, at(5, 1, 3))
    invoice = invoice_of(db, alice, APRIL)
    assert [(line.kind, line.net_cents, line.tax_behavior) for line in invoice.lines] == [
        ("base", 1_000, "exclusive"),
        ("credit", -500, "exclusive"),
        ("charge", 1_250, "inclusive"),  # 15.00 with VAT
    ]
    assert totals(invoice) == (1_750, 350, 2_100)


def test_who_leaves_after_an_unprorated_change_is_not_given_back_more_than_he_paid(
    db: Connection, alice: Person
) -> None:
    """9.99 with VAT inside, and half a day of thirty: 0.17 with VAT inside, and no invoice below nothing."""
    sell(db, "gross", 999, cycle="anniversary", tax_behavior="inclusive")
    sell(db, "year", 30_000, interval="year", cycle="anniversary")
    begin(db, alice, "gross", at(4, 20))
    change_plan(db, at(4, 20), SETTINGS, live(db, alice), Wish("year", "now", prorate=False), is_admin=True)
    cancel(db, at(4, 20, 12), SETTINGS, live(db, alice), when="now")
    run(db, at(5, 1, 3))
    # 8.33 + 1.66 and -(8.18 + 1.64).
    assert [line.amount_cents for line in invoice_of(db, alice, APRIL).lines] == [999, -982]
    assert totals(invoice_of(db, alice, APRIL)) == (15, 2, 17)


def test_late_use_has_the_vat_inside_or_outside_as_its_days_had_it(db: Connection, alice: Person) -> None:
    """Until the 15th 0.10 and VAT, then 0.10 with VAT inside: late 100 of each; later those of the first are none."""
    sell(db, "net", 1_000, flat("tokens", "0.10"))
    sell(db, "gross", 2_000, flat("tokens", "0.10"), tax_behavior="inclusive")
    begin(db, alice, "net", at(4, 1))
    move(db, alice, "gross", at(4, 16))
    run(db, at(5, 1, 3))
    event = report(db, alice, 100, at(4, 10), at(5, 2), metric="tokens")
    report(db, alice, 100, at(4, 20), at(5, 2), metric="tokens")
    run(db, at(6, 1, 3))
    invoice = invoice_of(db, alice, MAY)
    assert [(line.kind, line.amount_cents, line.net_cents) for line in invoice.lines] == [
        ("base", 2_000, 1_667),
        ("late", 1_000, 1_000),
        ("late", 1_000, 833),
    ]
    assert totals(invoice) == (3_500, 700, 4_200)
    correct(db, event, 100, at(6, 2))
    run(db, at(7, 1, 3))
    assert notes_of(db, invoice) == [(-1_000, -200, -1_200)]
    assert verify(db, SETTINGS, JUNE).wrong.shown == []


def test_late_use_is_given_back_though_the_timezone_is_another_one_since(db: Connection, alice: Person) -> None:
    sell(db, "ten", 1_000, flat("tokens", "0.10"))
    begin(db, alice, "ten", datetime(2026, 3, 31, 22, tzinfo=UTC), settings=PARIS)
    run(db, at(5, 1, 3), PARIS)
    event = usage.record_event(db, at(5, 2), PARIS, usage.NewEvent(alice.id, 1, "tokens", 50, at(4, 20)))
    run(db, at(6, 1, 3), PARIS)
    usage.correct_event(db, at(6, 2), PARIS, 1, event.id, -50)
    run(db, at(7, 1, 6), NEW_YORK)
    assert notes_of(db, invoice_of(db, alice, MAY)) == [(-500, -100, -600)]


def test_a_discount_names_the_code_that_took_it_off_though_another_one_came_since(
    db: Connection, alice: Person
) -> None:
    sell(db, "ten", 1_000)
    sell(db, "big", 3_000)
    for code, percent in (("TENTH", "10"), ("HALF", "50")):
        discounts.create_discount(db, at(1, 1), 1, code=code, percent=percent, duration="forever")
    begin(db, alice, "ten", at(4, 1), discount_code="TENTH")
    change_plan(db, at(4, 16), SETTINGS, live(db, alice), Wish("big", "now", discount_code="HALF"))
    run(db, at(5, 1, 3))
    invoice = invoice_of(db, alice, APRIL)
    assert lines(invoice) == [
        ("base", "1", 1_000),
        ("discount", "1", -100),
        ("credit", "1", -450),
        ("charge", "1", 750),
    ]
    assert "Code TENTH: 10 %" in explain_invoice(db, SETTINGS, invoice, "en").text
    assert verify(db, SETTINGS, APRIL).wrong.shown == []


def test_what_was_issued_proves_though_the_timezone_is_another_one_since(db: Connection, alice: Person) -> None:
    """At 03:00 of 1 May in Paris, which is 30 April in New York; and an hour later in New York."""
    sell(db, "ten", 1_000)
    begin(db, alice, "ten", at(4, 1), settings=PARIS)
    run(db, at(5, 1, 1), PARIS)
    credit_invoice(db, at(5, 1, 2), NEW_YORK, 1, "FACT-202605-0001", amount_cents=100)
    for settings in (PARIS, NEW_YORK):
        assert verify(db, settings, APRIL).wrong.shown == []


def test_a_credit_note_whose_lines_of_a_rate_come_to_nothing_proves(db: Connection, alice: Person) -> None:
    """A fee at 5.5 % and the discount that takes all of it are credited with 4.00 of an item at 20 %."""

    def tax_of(_seller: Any, _buyer: Any, drafted: Any, _on: Any) -> list[TaxDecision]:
        return [TaxDecision("S", Decimal("20" if line.kind == "item" else "5.5")) for line in drafted]

    sell(db, "ten", 1_000)
    discounts.create_discount(db, at(1, 1), 1, code="ALL", percent="100", duration="once")
    begin(db, alice, "ten", at(4, 1), discount_code="ALL")
    add_item(db, alice, 1_000, APRIL)
    run(db, at(5, 1, 3), tax_of=tax_of)
    wishes = [LineWish(1), LineWish(2), LineWish(3, 400)]
    note = credit_invoice(db, at(5, 2), SETTINGS, 1, "FACT-202605-0001", lines=wishes)
    assert totals(note) == (-400, -80, -480)
    assert verify(db, SETTINGS, APRIL).wrong.shown == []


def test_a_rate_of_minus_nothing_is_written_as_nothing() -> None:
    assert checked({"category": "E", "rate": "-0"}).rate_text == "0"


@pytest.mark.parametrize(("before", "after", "late"), [("100", "1000", 500), ("1000", "100", 0), (None, "0", 500)])
def test_late_use_is_rated_by_the_limit_with_which_its_month_was_invoiced(
    db: Connection, alice: Person, before: str | None, after: str, late: int
) -> None:
    """300 used in April and 50 more that come late, at 0.10; the limit of 100 is another one by a setting since."""
    sell(db, "ten", 1_000, flat("tokens", "0.10"), limits={"tokens": 100})
    begin(db, alice, "ten", at(4, 1))
    report(db, alice, 300, at(4, 10), at(4, 10), metric="tokens")
    run(db, at(5, 1, 3), settings_with(**({} if before is None else {"BILLING_LIMIT_TEN_TOKENS": before})))
    report(db, alice, 50, at(4, 11), at(5, 2), metric="tokens")
    run(db, at(6, 1, 3), settings_with(BILLING_LIMIT_TEN_TOKENS=after))
    assert sum(line.net_cents for line in invoice_of(db, alice, MAY).lines if line.kind == "late") == late


def test_no_lines_take_all_that_is_left_and_leave_a_rate_below_nothing(db: Connection, alice: Person) -> None:
    """12.00 at 20 % less 10.00 at no rate: the 2.00 that are left are credited whole, or not by a line of one rate."""

    def tax_of(_seller: Any, _buyer: Any, drafted: Any, _on: Any) -> list[TaxDecision]:
        zero, twenty = TaxDecision("E", Decimal(0)), TaxDecision("S", Decimal(20))
        return [zero if line.kind == "discount" else twenty for line in drafted]

    sell(db, "ten", 1_000)
    discounts.create_discount(db, at(1, 1), 1, code="ALL", percent="100", duration="once")
    begin(db, alice, "ten", at(4, 1), discount_code="ALL")
    run(db, at(5, 1, 3), tax_of=tax_of)
    invoice = invoice_of(db, alice, APRIL)
    assert totals(invoice) == (0, 200, 200)
    with pytest.raises(Conflict, match="credit_too_large"):
        credit_invoice(db, at(5, 2), SETTINGS, 1, invoice.number, lines=[LineWish(1, 167)])  # 1.67 + 0.33
    assert totals(credit_invoice(db, at(5, 2), SETTINGS, 1, invoice.number)) == (0, -200, -200)
    assert verify(db, SETTINGS, APRIL).wrong.shown == []


def test_a_row_that_another_program_wrote_is_shown_whatever_it_holds(db: Connection, alice: Person) -> None:
    with atomic(db):
        execute(
            db,
            """INSERT INTO invoices (user_id, invoice_number, period_start, period_end, plan, amount_cents, currency,
                                     status, seller, buyer, mentions, billed)
               VALUES (:id, 'R-1', '2026-04-01', '2026-05-01', 'pro', 500, 'EUR', 'pending', '{no', '[]', '7', '')""",
            id=alice.id,
        )
    (found,) = list_invoices(db, 1)
    assert (found.number, found.seller, found.buyer, found.mentions, found.billed) == ("R-1", {}, {}, {}, {})


def test_who_is_dunned_late_had_his_earlier_plan_until_he_changed_it(db: Connection, alice: Person) -> None:
    """Not paid since June, and dunned on 5 July after a change: the use of June is of the plan of June."""
    sell(db, "year", 12_000, interval="year", cycle="anniversary")
    sell(db, "big", 24_000, flat("tokens", "0.10"), interval="year", cycle="anniversary")
    begin(db, alice, "year", at(4, 1))
    run(db, at(5, 1, 3))
    report(db, alice, 100, at(6, 10), at(6, 10), metric="tokens")
    move(db, alice, "big", at(7, 5))
    assert dunning.dun(db, at(7, 5, 1), SETTINGS).changed == 1
    assert live(db, alice).status == "unpaid"
    assert run(db, at(7, 6)).skipped == 1
