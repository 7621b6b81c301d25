"""What an issued invoice says, from the tables to the cent: its lines, their VAT, who sells, who buys, the ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_db import Connection, fetch_all
from tests.cases import cases
from tests.cast import Cast, Person
from tests.domain import issuing as desk
from tests.domain.issuing import APRIL, JUNE, MAY, SETTINGS, at, begin, invoice_of, lines, run, sell, totals
from turf_saas import catalogue, discounts, invoice_items, invoices, profiles, usage
from turf_saas.buyer import Buyer
from turf_saas.invoice_drafts import DraftLine
from turf_saas.money import to_cents
from turf_saas.pricing import price_from
from turf_saas.tax import TaxDecision
from turf_saas.users import User

TWENTY, TEN, REDUCED, LEAST = (TaxDecision("S", Decimal(rate)) for rate in ("20", "10", "5.5", "2.1"))


def ledger(db: Connection, person: Person) -> dict[str, int]:
    rows = fetch_all(db, "SELECT type, amount_cents FROM transactions WHERE user_id = :id ORDER BY id", id=person.id)
    return {row["type"]: row["amount_cents"] for row in rows}


# -- numbers by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("invoicing"), ids=lambda case: case["id"])
def test_documents_are_issued_to_the_cent(db: Connection, alice: Person, case: dict[str, Any]) -> None:
    given = case["inputs"]["lines"]
    for number, line in enumerate(given):
        offer(db, alice, f"line {number}", line)

    def tax_of(_seller: Any, _buyer: Any, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        said = {f"line {number}": line for number, line in enumerate(given)}
        of = [said.get(line.description, given[0]) for line in drafted]
        return [TaxDecision(one.get("category", "S"), Decimal(one["rate"])) for one in of]

    run(db, at(6, 1), tax_of=tax_of)
    expected = case["expected"]
    found = invoice_of(db, alice, MAY)
    assert totals(found) == (expected["net_cents"], expected["tax_cents"], expected["amount_cents"])
    assert len(found.lines) == len(given)
    desk.assert_sound(db)


def offer(db: Connection, person: Person, name: str, line: dict[str, Any]) -> None:
    """What makes such a line: tiers are used, an inclusive price is a fee, and everything else an item."""
    if "tiers" in line:
        sell(db, "tiered", 0, price_from({"metric": "tokens", "model": "tiered", "tiers": line["tiers"]}))
        begin(db, person, "tiered", at(5, 1))
        person.has_used(line["quantity"], "tokens")
    elif line.get("tax_behavior") == "inclusive":
        sell(db, "inclusive", to_cents(Decimal(line["unit_amount"]), "EUR"), tax_behavior="inclusive")
        begin(db, person, "inclusive", at(5, 1))
    elif line["quantity"] < 0:  # nobody can ask for one: another program's row
        cents = to_cents(line["quantity"] * Decimal(line["unit_amount"]), "EUR")
        desk.add_item(db, person, cents, description=name)
    else:
        invoice_items.add_item(
            db,
            at(5, 3),
            SETTINGS,
            User(person.id, 1, "user"),
            description=name,
            quantity=Decimal(line["quantity"]),
            unit_amount=Decimal(line["unit_amount"]),
        )


def test_each_line_has_the_rate_that_was_decided_for_it(db: Connection, alice: Person) -> None:
    """19.00 at 20 %, half of it off, 1.50 of calls at 5.5 % and an item of 10.00 at 10 %."""
    discounts.create_discount(db, at(1, 1), 1, code="HALF", percent="50", duration="once")
    begin(db, alice, "premium", at(5, 1), discount_code="HALF")
    alice.has_used(3_150)
    desk.add_item(db, alice, 1_000)
    asked: list[tuple[str, ...]] = []

    def tax_of(_seller: Any, _buyer: Any, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        asked.append(tuple(line.kind for line in drafted))
        rates = {"base": TWENTY, "discount": TWENTY, "overage": REDUCED, "item": TEN}
        return [rates[line.kind] for line in drafted]

    run(db, at(6, 1), tax_of=tax_of)
    found = invoice_of(db, alice, MAY)
    assert asked == [("base", "discount", "overage", "item")]
    assert [(line.kind, line.net_cents, line.vat_rate) for line in found.lines] == [
        ("base", 1_900, "20"),
        ("discount", -950, "20"),
        ("overage", 150, "5.5"),
        ("item", 1_000, "10"),
    ]
    assert [(tax.vat_rate, tax.base_cents, tax.tax_cents) for tax in found.taxes] == [
        ("20", 950, 190),
        ("10", 1_000, 100),
        ("5.5", 150, 8),  # 8.25
    ]
    assert totals(found) == (2_100, 298, 2_398)
    # 19.00 + 3.80 and 10.00 + 1.00; 1.50 + 0.08; -9.50 - 1.90
    assert ledger(db, alice) == {"subscription": 3_380, "overage": 158, "credit": -1_140}
    desk.assert_sound(db)


def test_a_rate_that_comes_to_less_than_nothing_is_issued_too(db: Connection, alice: Person) -> None:
    """10.00 at 20 %, and 4.00 less at 10 %: 6.00 + 2.00 - 0.40."""
    desk.add_item(db, alice, 1_000)
    desk.add_item(db, alice, -400, kind="credit", description="Regrets")
    desk.add_item(db, alice, 100, description="Postage")

    def tax_of(_seller: Any, _buyer: Any, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        return [TWENTY if line.description == "Setting up" else TEN for line in drafted]

    run(db, at(6, 1), tax_of=tax_of)
    found = invoice_of(db, alice, MAY)
    assert [(tax.base_cents, tax.tax_cents) for tax in found.taxes] == [(1_000, 200), (-300, -30)]
    assert totals(found) == (700, 170, 870)
    assert ledger(db, alice) == {"subscription": 1_310, "credit": -440}
    desk.assert_sound(db)


def test_a_credit_with_another_rate_than_its_fee_is_in_the_ledger(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    desk.leave(db, alice, at(5, 16, 12))  # half of the month: 9.50

    def tax_of(_seller: Any, _buyer: Any, drafted: Sequence[DraftLine], _on: Any) -> list[TaxDecision]:
        return [TWENTY if line.kind == "base" else TEN for line in drafted]

    run(db, at(6, 1), tax_of=tax_of)
    assert totals(invoice_of(db, alice, MAY)) == (950, 285, 1_235)
    assert ledger(db, alice) == {"subscription": 2_280, "credit": -1_045}
    desk.assert_sound(db)


# -- snapshots ----------------------------------------------------------------------------------------

PRO = Buyer("pro", "Écurie SARL", "3 rue du Pré", "59000", "Lille", "FR", "123456782", "FR11123456782", locale="fr")


def test_who_sells_who_buys_and_what_has_to_be_said_stay_as_they_were(db: Connection, alice: Person) -> None:
    profiles.set_profile(db, at(5, 2), alice.id, 1, PRO)
    begin(db, alice, "premium", at(5, 1))
    run(db, at(6, 1))
    first = invoice_of(db, alice, MAY)
    assert (first.seller["name"], first.seller["vat"]) == ("Turf Démo", "FR11123456782")
    assert (first.buyer["name"], first.buyer["siren"], first.locale) == ("Écurie SARL", "123456782", "fr")
    assert {"operation", "penalty", "recovery_fee", "early_payment"} <= first.mentions["fr"].keys()
    assert (first.period_start, first.period_end) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
    assert (first.issued_at, first.due_on, first.status) == ("2026-06-01T00:00:00Z", "2026-07-01", "pending")

    profiles.set_profile(db, at(6, 2), alice.id, 1, Buyer("consumer", "Alice", country="DE"))
    catalogue.edit_plan(db, at(6, 2), 1, "premium", {"name": "Dearer", "amount_cents": 9_900})
    other = desk.settings_with(BILLING_SELLER_NAME="Another", BILLING_MENTION_OPERATION="x", BILLING_PAYMENT_DAYS="5")
    run(db, at(7, 1), other)
    assert invoice_of(db, alice, MAY) == first
    second = invoice_of(db, alice, JUNE)
    assert (second.seller["name"], second.buyer["country"], second.due_on) == ("Another", "DE", "2026-07-06")
    assert second.mentions["fr"]["operation"] == "x"
    assert second.lines[0].net_cents == 1_900, "who is on a version keeps its price"
    desk.assert_sound(db)


def test_the_price_of_a_month_is_kept_with_its_lines(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    alice.has_used(3_100, day="2026-05-09")
    alice.has_used(7, "tokens", day="2026-05-31")
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert found.billed == {"api_calls": {"9": 3_100}, "tokens": {"31": 7}}
    assert json.loads(found.lines[1].origin) == {
        "plan": "premium",
        "price": {"metric": "api_calls", "model": "flat", "unit_amount": "0.01"},
        "spans": [["2026-05-01", "2026-05-31", 3_000]],
    }
    assert (found.lines[1].quantity, found.lines[1].unit_amount) == ("100", "0.01")


# -- users of every kind ------------------------------------------------------------------------------


def test_a_user_who_has_never_said_who_he_is_is_a_consumer_at_home(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(5, 1))
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert found.buyer == {"kind": "consumer", "country": "FR"}
    assert totals(found) == (1_900, 380, 2_280)


def test_a_subscription_that_ends_in_the_month_has_its_credit_beside_its_fee(db: Connection, alice: Person) -> None:
    """31 days, 15.5 of them over: of 19.00 are given back 9.50. 20 calls too many are billed all the same."""
    begin(db, alice, "premium", at(5, 1))
    alice.has_used(3_020, day="2026-05-10")
    desk.leave(db, alice, at(5, 16, 12))
    alice.has_used(100, day="2026-05-20")  # on the default plan
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert lines(found) == [("base", "1", 1_900), ("overage", "20", 20), ("credit", "1", -950)]
    assert totals(found) == (970, 194, 1_164)
    assert found.plan == "free"
    assert run(db, at(7, 1)).issued == 0
    desk.assert_sound(db)


def test_three_plans_in_a_month_are_one_invoice(db: Connection, alice: Person) -> None:
    """Ten for ten days, twenty for ten, thirty for eleven; each includes 100 calls, of which one month has one lot."""
    for number, cents in (("ten", 1_000), ("twenty", 2_000), ("thirty", 3_000)):
        sell(db, number, cents, desk.flat("api_calls", "0.10"), limits={"api_calls": 100})
    begin(db, alice, "ten", at(5, 1))
    alice.has_used(90, day="2026-05-05")
    desk.move(db, alice, "twenty", at(5, 11))
    alice.has_used(30, day="2026-05-15")
    desk.move(db, alice, "thirty", at(5, 21))
    alice.has_used(5, day="2026-05-25")
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert lines(found) == [
        ("base", "1", 1_000),
        ("overage", "20", 200),  # of twenty's 100 are 10 left, and 30 are used
        ("overage", "5", 50),
        ("credit", "1", -677),  # 21/31 of 10.00
        ("charge", "1", 1_355),  # 21/31 of 20.00
        ("credit", "1", -710),  # 11/31 of 20.00
        ("charge", "1", 1_065),  # 11/31 of 30.00
    ]
    assert totals(found) == (2_283, 457, 2_740)
    assert found.plan == "thirty"
    desk.assert_sound(db)


def test_a_year_is_paid_once_and_what_is_above_it_every_month(db: Connection, alice: Person) -> None:
    sell(
        db, "yearly", 12_000, desk.flat("api_calls", "0.10"),
        limits={"api_calls": 100}, interval="year", cycle="anniversary",
    )  # fmt: skip
    begin(db, alice, "yearly", at(4, 15))
    for month in ("04", "05", "06"):
        alice.has_used(110, day=f"2026-{month}-20")
    run(db, at(7, 1))
    assert lines(invoice_of(db, alice, APRIL)) == [("base", "1", 12_000), ("overage", "10", 100)]
    for month in (MAY, JUNE):
        assert lines(invoice_of(db, alice, month)) == [("overage", "10", 100)]
    assert invoice_of(db, alice, APRIL).lines[0].period_end == "2027-04-15T00:00:00Z"


def test_a_trial_costs_nothing_and_the_first_period_after_it_is_a_part(db: Connection, alice: Person) -> None:
    """Trial from the 1st to the 21st; of 19.00 are 10/31 left: 6.13. The trial has used up what is included."""
    begin(db, alice, "premium", at(5, 1), trial_days=21)
    alice.has_used(3_500, day="2026-05-10")
    alice.has_used(40, day="2026-05-25")
    run(db, at(6, 1))
    found = invoice_of(db, alice, MAY)
    assert lines(found) == [("base", "1", 613), ("overage", "40", 40)]
    assert (found.lines[0].period_start, found.lines[0].period_end) == ("2026-05-22T00:00:00Z", "2026-06-01T00:00:00Z")
    assert found.lines[0].description == "Premium subscription, short period"


def test_a_short_first_period_is_its_part_by_second(db: Connection, alice: Person) -> None:
    begin(db, alice, "pro", at(5, 20, 17))
    run(db, at(6, 1))
    assert lines(invoice_of(db, alice, MAY)) == [("base", "1", 1_897)]  # 12/31 of 49.00: 1896.77


def test_a_price_at_zero_is_billed_to_who_used_nothing(db: Connection, alice: Person, bob: Person) -> None:
    """A seat costs 7.00 a month whether it is used or not: also without a fee, and in a year's other months."""
    seat = {"up_to": None, "unit_amount": "0", "flat_cents": 700}
    price = price_from({"metric": "seats", "model": "volume", "tiers": [seat], "flat_at_zero": True})
    sell(db, "seats", 0, price)
    sell(db, "years", 12_000, price, interval="year", cycle="anniversary")
    begin(db, alice, "seats", at(4, 10))
    begin(db, bob, "years", at(4, 1))
    desk.leave(db, alice, at(6, 12))
    report = run(db, at(7, 1))
    for month in (APRIL, MAY, JUNE):
        assert lines(invoice_of(db, alice, month)) == [("overage", "0", 700)]
    assert lines(invoice_of(db, bob, APRIL)) == [("base", "1", 12_000), ("overage", "0", 700)]
    assert lines(invoice_of(db, bob, JUNE)) == [("overage", "0", 700)]
    assert desk.numbers(report) == (6, 0, 0, 0)
    assert desk.numbers(run(db, at(7, 2)))[0] == 0
    assert run(db, at(9, 1)).issued == 2, "July and August of Bob, who goes on"
    desk.assert_sound(db)


def test_a_row_that_only_says_who_is_on_which_plan_costs_nothing(db: Connection, alice: Person, bob: Person) -> None:
    """Until it has an effective_at: here of 11 May."""
    alice.is_on("premium")
    bob.is_on("premium", effective_at="2026-05-11T00:00:00Z")
    for person in (alice, bob):
        person.has_used(3_500, day="2026-05-10")
        person.has_used(25, day="2026-05-20")
    assert desk.numbers(run(db, at(6, 1))) == (1, 0, 1, 0)
    assert lines(invoice_of(db, bob, MAY)) == [("base", "1", 1_287), ("overage", "25", 25)]  # 21/31 of 19.00


def test_tenants_are_billed_apart(db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", at(5, 1))
    begin(db, people.charlie, "pro", at(5, 1))
    people.charlie.has_used(30_100)
    assert desk.numbers(run(db, at(6, 1))) == (1, 0, 0, 0)
    assert desk.numbers(run(db, at(6, 1), tenant_id=2)) == (1, 0, 0, 0)
    assert desk.all_numbers(db, 1) == desk.all_numbers(db, 2) == ["FACT-202606-0001"]
    assert totals(invoice_of(db, people.charlie, MAY)) == (4_950, 990, 5_940)
    assert {row["tenant_id"] for row in fetch_all(db, "SELECT tenant_id FROM transactions WHERE user_id = 3")} == {2}
    desk.assert_sound(db)


def test_the_rate_is_that_of_the_month_that_is_billed_and_not_of_the_day_of_issue(
    db: Connection, alice: Person
) -> None:
    """Romania went from 19 to 21 % on 1 August 2025: July is at 19, also what of it comes with August's invoice."""
    settings = desk.settings_with(BILLING_OSS="1")
    profiles.set_profile(db, datetime(2025, 7, 1, tzinfo=UTC), alice.id, 1, Buyer(country="RO"))
    begin(db, alice, "premium", datetime(2025, 7, 1, tzinfo=UTC), settings=settings)
    run(db, datetime(2025, 8, 1, 3, tzinfo=UTC), settings)
    event = usage.NewEvent(alice.id, 1, "api_calls", 5000, datetime(2025, 7, 20, tzinfo=UTC))
    usage.record_event(db, datetime(2025, 8, 5, tzinfo=UTC), settings, event)
    run(db, datetime(2025, 9, 1, 3, tzinfo=UTC), settings)
    august, july = invoices.list_invoices(db, 1)
    assert [(tax.vat_rate, tax.base_cents, tax.tax_cents) for tax in july.taxes] == [("19", 1900, 361)]
    # 2000 calls above the 3000 that are included, at 0.01
    assert [(line.kind, line.net_cents, line.vat_rate) for line in august.lines] == [
        ("base", 1900, "21"),
        ("late", 2000, "19"),
    ]
    assert [(tax.vat_rate, tax.tax_cents) for tax in august.taxes] == [("21", 399), ("19", 380)]
