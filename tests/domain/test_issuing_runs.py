"""Runs: every month that is over becomes one invoice or is known to have none, whatever one user lacks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_db import Connection, RuleBroken, atomic, execute, fetch_all
from tests.cast import Cast, Person
from tests.domain import issuing as desk
from tests.domain.issuing import APRIL, JUNE, MAY, SETTINGS, at, begin, invoice_of, lines, numbers, run, totals
from tests.domain.tables import change
from turf_saas import discounts, issuing, profiles
from turf_saas.buyer import Buyer
from turf_saas.errors import BillingError, Conflict
from turf_saas.invoice_drafts import DraftLine
from turf_saas.tax import TaxDecision, decide
from turf_saas.values import Month

TWENTY = TaxDecision("S", Decimal(20))


def closed(db: Connection) -> list[tuple[int, str, bool]]:
    rows = fetch_all(db, "SELECT user_id, month, invoice_id FROM billing_invoiced_months ORDER BY month, user_id")
    return [(row["user_id"], row["month"], row["invoice_id"] is not None) for row in rows]


def failures(found: issuing.RunReport) -> list[tuple[Any, str, str]]:
    return [(one.user_id, str(one.month), one.error.code) for one in found.failed]


# -- nothing, zero, less than nothing --------------------------------------------------------------------


def test_nothing_to_bill_is_recorded_and_not_looked_at_again(db: Connection, bob: Person) -> None:
    bob.has_used(100)
    assert numbers(run(db, at(6, 1))) == (0, 0, 1, 0)
    assert closed(db) == [(bob.id, "2026-05", False)]
    assert numbers(run(db, at(6, 2))) == (0, 0, 0, 0)
    again = issuing.issue_month(db, at(6, 3), SETTINGS, 1, bob.id, MAY)
    assert (again.invoice, again.existed) == (None, True)
    assert fetch_all(db, "SELECT 1 AS one FROM billing_invoice_series") == []


def test_a_month_in_which_nobody_did_anything_is_nobody_s(db: Connection, people: Cast) -> None:
    assert numbers(run(db, at(6, 1))) == (0, 0, 0, 0)
    assert closed(db) == []


def test_an_invoice_of_nothing_is_paid_when_it_is_issued(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at(1, 1), 1, code="FREE", percent="100", duration="once")
    begin(db, alice, "premium", at(5, 1), discount_code="FREE")
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert lines(found) == [("base", "1", 1_900), ("discount", "1", -1_900)]
    assert (totals(found), found.status, found.paid_at, found.due_cents) == (
        (0, 0, 0),
        "paid",
        "2026-06-01T00:00:00Z",
        0,
    )
    sold = fetch_all(db, "SELECT type, amount_cents FROM transactions ORDER BY id")
    assert [(row["type"], row["amount_cents"]) for row in sold] == [("subscription", 2_280), ("credit", -2_280)]
    desk.assert_sound(db)


def test_less_than_nothing_is_refused_for_that_user_and_the_others_go_on(db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", at(5, 1))
    desk.add_item(db, people.bob, -100, kind="credit", description="From nowhere")
    found = issuing.run(db, at(6, 1), SETTINGS, 1)
    assert (found.issued, failures(found)) == (1, [(people.bob.id, "2026-05", "invoice_negative")])
    assert closed(db) == [(people.alice.id, "2026-05", True)]
    desk.add_item(db, people.bob, 150)
    assert numbers(run(db, at(6, 2)))[0] == 1
    assert lines(invoice_of(db, people.bob, MAY)) == [("credit", "1", -100), ("item", "1", 150)]
    desk.assert_sound(db)


# -- one user's fault ---------------------------------------------------------------------------------


def mixed_currencies(db: Connection, person: Person) -> str:
    desk.add_item(db, person, 100, currency="USD")
    return "currencies_mixed"


def unknown_vat(db: Connection, person: Person) -> str:
    profiles.set_profile(db, at(5, 2), person.id, 1, Buyer("consumer", country="GP"))
    return "tax_undecided"


def unreadable_plan(db: Connection, person: Person) -> str:
    change(db, """UPDATE billing_plans SET limits = '{"api_calls": {"most": 1}}' WHERE code = 'other'""")
    return "invoice_refused"


def too_much(db: Connection, person: Person) -> str:
    """More than a column holds, which only the database says."""
    for number in range(3):
        desk.add_item(db, person, 2**53, description=f"Planet {number}")
    return "invoice_refused"


@pytest.mark.parametrize("fault", [mixed_currencies, unknown_vat, unreadable_plan, too_much])
def test_what_is_wrong_with_one_stops_no_other(db: Connection, people: Cast, fault: Any) -> None:
    desk.sell(db, "other", 500)
    for person, plan in ((people.alice, "premium"), (people.bob, "other"), (people.ada, "premium")):
        begin(db, person, plan, at(5, 1))
        person.has_used(3_100)
    code = fault(db, people.bob)
    found = issuing.run(db, at(6, 1), SETTINGS, 1)
    assert (found.issued, failures(found)) == (2, [(people.bob.id, "2026-05", code)])
    assert totals(invoice_of(db, people.alice, MAY)) == totals(invoice_of(db, people.ada, MAY)) == (2_000, 400, 2_400)
    with pytest.raises(Conflict) as refused:
        issuing.issue_month(db, at(6, 1), SETTINGS, 1, people.bob.id, MAY)
    assert refused.value.code == code
    desk.assert_sound(db)
    mend(db, people.bob)
    assert numbers(run(db, at(6, 2)))[0] == 1
    assert desk.all_numbers(db) == ["FACT-202606-0001", "FACT-202606-0002", "FACT-202606-0003"]
    desk.assert_sound(db)


def mend(db: Connection, person: Person) -> None:
    change(db, "DELETE FROM billing_pending_items WHERE user_id = :id", id=person.id)
    change(db, "UPDATE billing_plans SET limits = '{}' WHERE code = 'other'")
    profiles.set_profile(db, at(6, 2), person.id, 1, Buyer("consumer", country="FR"))


def test_a_late_month_that_cannot_be_rated_stops_no_other(db: Connection, people: Cast) -> None:
    for person in (people.alice, people.bob):
        begin(db, person, "premium", at(4, 1))
    run(db, at(5, 1))
    for person in (people.alice, people.bob):
        person.has_used(3_100, day="2026-04-20")
    change(db, "UPDATE billing_invoiced_months SET billed = '{\"api_calls' WHERE user_id = :id", id=people.bob.id)
    found = issuing.run(db, at(6, 1), SETTINGS, 1)
    assert (found.issued, failures(found)) == (1, [(people.bob.id, "2026-05", "invoice_refused")])
    assert lines(invoice_of(db, people.alice, MAY)) == [("base", "1", 1_900), ("late", "100", 100)]
    change(db, "UPDATE billing_invoiced_months SET billed = NULL WHERE user_id = :id", id=people.bob.id)
    assert numbers(run(db, at(6, 2)))[0] == 1
    desk.assert_sound(db)


def test_a_tax_function_that_fails_leaves_its_user_for_the_next_run(db: Connection, people: Cast) -> None:
    for person in (people.alice, people.bob):
        begin(db, person, "premium", at(5, 1))
    profiles.set_profile(db, at(5, 2), people.bob.id, 1, Buyer("consumer", "Bob", country="FR"))

    def down_for_bob(_seller: Any, buyer: Buyer, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        if buyer.name == "Bob":
            raise TimeoutError("the service does not answer")
        return [TWENTY] * len(drafted)

    found = issuing.run(db, at(6, 1), SETTINGS, 1, tax_of=down_for_bob)
    assert (found.issued, failures(found)) == (1, [(people.bob.id, "2026-05", "tax_failed")])
    asked: list[str | None] = []

    def well_again(_seller: Any, buyer: Buyer, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        asked.append(buyer.name)
        return [TWENTY] * len(drafted)

    assert run(db, at(6, 1), tax_of=well_again).issued == 1
    assert asked == ["Bob"], "nobody is asked about what is issued already"
    desk.assert_sound(db)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([TWENTY], "/: Length out of bounds: 2"),
        (None, "/: Expected type: object"),
        ("20", "/: Expected type: object"),
        ({"category": "S"}, "/rate: Required"),
        ([TWENTY, {"category": "X", "rate": "20"}], "/1/category: Possible values: S, E, AE, O, G, K"),
        ({"category": "S", "rate": "0"}, "/rate: Out of range: > 0, ≤ 100"),
    ],
)
def test_an_answer_of_the_tax_function_that_cannot_be_right_is_told(
    db: Connection, alice: Person, caplog: pytest.LogCaptureFixture, answer: Any, why: str
) -> None:
    def vat(*_given: Any) -> Any:
        return answer

    begin(db, alice, "premium", at(5, 1))
    alice.has_used(3_100)
    found = issuing.run(db, at(6, 1), SETTINGS, 1, tax_of=vat)
    assert failures(found) == [(alice.id, "2026-05", "tax_failed")]
    assert f"The app's tax function vat failed ({why})" in str(found.failed[0].error)
    assert "the tax function vat failed" in caplog.text


def test_what_our_own_table_refuses_in_a_tax_function_is_told_as_it_is(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    profiles.set_profile(db, at(5, 2), alice.id, 1, Buyer("consumer", "Alice", country="RE"))
    found = issuing.run(db, at(6, 1), SETTINGS, 1, tax_of=lambda seller, buyer, _lines, on: decide(seller, buyer, on))
    assert failures(found) == [(alice.id, "2026-05", "tax_undecided")]


def test_what_changes_while_the_tax_is_asked_waits_for_the_next_run(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    alice.has_used(3_100)

    def busy(_seller: Any, _buyer: Any, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        alice.has_used(1)
        return [TWENTY] * len(drafted)

    assert failures(issuing.run(db, at(6, 1), SETTINGS, 1, tax_of=busy)) == [(alice.id, "2026-05", "draft_changed")]
    run(db, at(6, 1), tax_of=lambda *given: [TWENTY] * len(given[2]))
    assert lines(invoice_of(db, alice, MAY)) == [("base", "1", 1_900), ("overage", "101", 101)]


# -- again, and when ------------------------------------------------------------------------------------


def test_a_second_run_and_a_second_asking_change_nothing(db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", at(4, 1))
    begin(db, people.bob, "pro", at(5, 10))
    people.alice.has_used(3_050)
    assert numbers(run(db, at(6, 1))) == (3, 0, 0, 0)
    before = state(db)
    assert run(db, at(6, 1)).issued == 0
    first = invoice_of(db, people.alice, MAY)
    again = issuing.issue_month(db, at(6, 9), SETTINGS, 1, people.alice.id, MAY)
    assert (again.invoice, again.existed) == (first, True)
    assert state(db) == before


def state(db: Connection) -> list[Any]:
    tables = ("invoices", "billing_invoice_lines", "transactions", "billing_revenue", "billing_invoiced_months")
    return [[dict(row) for row in fetch_all(db, f"SELECT * FROM {table} ORDER BY 1, 2")] for table in tables]


@pytest.mark.parametrize(
    ("zone", "month", "closes_at"),
    [
        ("UTC", Month(2026, 5), "2026-06-01T00:00:00Z"),
        ("Europe/Paris", Month(2026, 2), "2026-02-28T23:00:00Z"),
        ("Europe/Paris", Month(2026, 3), "2026-03-31T22:00:00Z"),  # the clocks went forward on the 29th
        ("Europe/Paris", Month(2026, 10), "2026-10-31T23:00:00Z"),  # and back on the 25th
    ],
)
def test_a_month_is_open_until_its_last_second_is_over(
    db: Connection, alice: Person, zone: str, month: Month, closes_at: str
) -> None:
    settings = desk.settings_with(BILLING_TIMEZONE=zone)
    close = month.ends_at(settings.timezone)
    begin(db, alice, "premium", close - timedelta(days=10), settings=settings)
    early = close - timedelta(seconds=1)
    for refused in (
        lambda: issuing.issue_month(db, early, settings, 1, alice.id, month),
        lambda: issuing.run(db, early, settings, 1, month),
    ):
        with pytest.raises(Conflict) as error:
            refused()
        assert error.value.code == "period_open"
        assert error.value.params["closes_at"] == closes_at
    assert issuing.run(db, early, settings, 1).issued == 0
    assert issuing.run(db, close, settings, 1, month).issued == 1
    found = invoice_of(db, alice, month)
    assert (found.period_end, found.issued_at) == (closes_at, closes_at)
    assert found.number == f"FACT-2026{month.number + 1:02d}-0001", "the month of issue is the zone's"
    assert issuing.run(db, close + timedelta(seconds=1), settings, 1).issued == 0


def test_a_month_with_a_changed_clock_is_billed_by_the_second(db: Connection, alice: Person) -> None:
    """Paris, March 2026: 31 days less an hour. From the 16th on there are 383 of its 743 hours left."""
    settings = desk.settings_with(BILLING_TIMEZONE="Europe/Paris")
    begin(db, alice, "premium", at(3, 15, 23), settings=settings)  # 00:00 of the 16th there
    alice.has_used(3_001, day="2026-03-31")
    run(db, at(4, 1), settings)
    found = invoice_of(db, alice, Month(2026, 3))
    assert lines(found) == [("base", "1", 979), ("overage", "1", 1)]  # 1900 × 383 / 743 = 979.4
    assert (found.period_start, found.period_end) == ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z")
    desk.assert_sound(db)


def test_months_are_closed_in_their_order(db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", at(4, 1))
    begin(db, people.bob, "premium", at(5, 1))
    progress: list[tuple[int, int]] = []
    told: list[str] = []
    report = run(
        db,
        at(7, 1),
        progress=lambda done, of: progress.append((done, of)),
        told=lambda issued: told.extend(one.number for one in issued),
    )
    assert numbers(report) == (5, 0, 0, 0)
    assert progress == [(1, 5), (3, 5), (5, 5)]
    rows = fetch_all(db, "SELECT user_id, month, invoice_number FROM invoices ORDER BY chain_position")
    assert [(row["user_id"], row["month"]) for row in rows] == [
        (1, "2026-04"), (1, "2026-05"), (2, "2026-05"), (1, "2026-06"), (2, "2026-06"),
    ]  # fmt: skip
    assert told == [row["invoice_number"] for row in rows] == desk.all_numbers(db)


def test_a_clock_that_goes_back_dates_nothing_before_what_was_issued(db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", at(5, 1))
    begin(db, people.bob, "premium", at(4, 1))
    issuing.issue_month(db, at(7, 2, 3), SETTINGS, 1, people.alice.id, MAY)
    issuing.issue_month(db, at(5, 20), SETTINGS, 1, people.bob.id, APRIL)
    first, second = invoice_of(db, people.alice, MAY), invoice_of(db, people.bob, APRIL)
    assert first.issued_at == second.issued_at == "2026-07-02T03:00:00Z"
    assert (first.number, second.number) == ("FACT-202607-0001", "FACT-202607-0002")
    assert first.due_on == second.due_on == "2026-08-01", "and nothing is due before it is issued"
    desk.assert_sound(db)


def test_what_is_taken_back_leaves_nothing_and_its_numbers_are_drawn_again(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    before = state(db)

    def run_and_fail() -> None:
        with atomic(db):
            run(db, at(6, 1))
            execute(db, "INSERT INTO invoices (invoice_number) VALUES (NULL)")

    with pytest.raises(RuleBroken):
        run_and_fail()
    assert state(db) == before
    assert run(db, at(6, 1)).issued == 1
    assert desk.all_numbers(db) == ["FACT-202606-0001"]


def test_without_a_seller_nothing_is_issued(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    with pytest.raises(BillingError) as refused:
        issuing.run(db, at(6, 1), desk.settings_with(BILLING_SELLER_NAME=""), 1)
    assert refused.value.code == "seller_incomplete"
    assert closed(db) == []


def test_what_began_in_a_month_that_is_closed_is_on_the_next_invoice(db: Connection, alice: Person) -> None:
    alice.has_used(1, day="2026-04-02")
    run(db, at(5, 1))
    begin(db, alice, "premium", at(5, 3), start_at=at(4, 16))  # half of April, and May
    desk.add_item(db, alice, 250, APRIL)
    run(db, at(6, 1))
    assert lines(invoice_of(db, alice, MAY)) == [("base", "1", 950), ("base", "1", 1_900), ("item", "1", 250)]
    assert run(db, at(7, 1)).issued == 1
    assert lines(invoice_of(db, alice, JUNE)) == [("base", "1", 1_900)]
    desk.assert_sound(db)
