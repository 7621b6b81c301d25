"""How an invoice came about, told to the cent and in both languages."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

import pytest

from billing_db import Connection
from tests.billed import APRIL, BIG, JUNE, MAY, SETTINGS, at, begin, bill, event, issue, sell, use_april
from tests.cast import Cast, Person
from tests.domain.reference_database import insert, invoice as adopted
from tests.issued import issue_one, line
from turf_saas import catalogue, invoices
from turf_saas.catalogue import PlanDraft
from turf_saas.invoice_explaining import Explanation, explain_invoice, explain_month
from turf_saas.prices import Price, Tier
from turf_saas.users import User
from turf_saas.values import Month

ENGLISH = """\
Invoice FACT-202605-0001 of 2026-05-01, month 2026-04, amounts in EUR.

1. Ten subscription: 10.00
   Period from 2026-04-01 to 2026-04-30, whole: 10.00.

2. Discount on the Ten subscription: -1.00
   Code TENTH: 10 % of the subscription that begins on 2026-04-01, which is 1.00.

3. api_calls above the ten plan: 15.00
   From 2026-04-01 to 2026-04-15: 300 used, 100 included in the month, 0 of them used before. To be billed: 200.
   By day: 2026-04-10: 300.
   From 0 to 100: 100 × 0.10 = 10.00.
   From 100 to 1000: 100 × 0.05 = 5.00.
   Last day of use: 2026-04-10, 300.

4. api_calls above the big plan: 2.00
   From 2026-04-16 to 2026-04-30: 900 used, 1000 included in the month, 300 of them used before. To be billed: 200.
   By day: 2026-04-20: 900.
   200 × 0.01 = 2.00.
   Last day of use: 2026-04-20, 900.

5. reports above the big plan: 15.00
   From 2026-04-16 to 2026-04-30: 250 used, 0 included in the month, 0 of them used before. To be billed: 250.
   By day: 2026-04-20: 250.
   Packages of 100, one that is begun is paid whole: 3 × 5.00 = 15.00.
   Last event: 250 at 2026-04-20T00:00:00Z, recorded at 2026-04-20T00:00:00Z as ID.

6. Credit for the time left on Ten (change to Big): -4.50
   From 2026-04-16 to 2026-04-30, 15 days of 30: 9.00 × 15 / 30 = 4.50.

7. Time left of the period on Big (before: Ten): 11.25
   From 2026-04-16 to 2026-04-30, 15 days of 30: 22.50 × 15 / 30 = 11.25.

VAT 20 % (S) on 47.75: 9.55
Net 47.75 + VAT 9.55 = 57.30 EUR
"""
LATE = """\
2. api_calls of 2026-04, reported after that month's invoice: 0.30
   api_calls of 2026-04, known after its invoice: 1200 → 1230, 17.00 → 17.30.
   By day: 2026-04-30: 0 → 30.
   Plan ten: 200 had been billed (15.00), it is 200 (15.00).
   From 0 to 100: 100 × 0.10 = 10.00.
   From 100 to 1000: 100 × 0.05 = 5.00.
   Plan big: 200 had been billed (2.00), it is 230 (2.30).
   230 × 0.01 = 2.30.
   Difference: 17.30 - 17.00 = 0.30.
   Last day of use: 2026-04-30, 30.
"""


def explained(db: Connection, number: str, locale: str | None = "en") -> Explanation:
    return explain_invoice(db, SETTINGS, invoices.get_invoice(db, 1, number), locale)


def of_month(db: Connection, person: Person, now: datetime, month: Month) -> Explanation:
    return explain_month(db, now, SETTINGS, User(person.id, person.tenant_id, "user"), month, "en")


def test_every_line_is_told_to_the_cent(db: Connection, people: Cast) -> None:
    bill(db, people)
    april = explained(db, "FACT-202605-0001")
    assert re.sub(r"[0-9a-f]{32}", "ID", april.text) == ENGLISH
    assert april.recomputed_cents == april.amount_cents == 5_730
    assert [one.recomputed_cents for one in april.lines] == [1_000, -100, 1_500, 200, 1_500, -450, 1_125]
    calls, reports = april.lines[2], april.lines[4]
    assert calls.plan == "ten"
    assert calls.price is not None
    assert [tier["unit_amount"] for tier in calls.price["tiers"]] == ["0.10", "0.05", "0.02"]
    assert calls.included == ({"first_day": "2026-04-01", "last_day": "2026-04-15", "included": 100},)
    assert [(step["above"], step["up_to"], step["quantity"], step["amount"]) for step in calls.steps] == [
        (0, 100, 100, "10.00"),
        (100, 1000, 100, "5.00"),
    ]
    assert calls.days == {"2026-04-10": 300}
    assert reports.last_event is not None
    assert reports.last_event.quantity == 250  # not the correction, which was recorded after it was issued
    assert LATE in explained(db, "FACT-202606-0001").text


def test_it_is_told_in_french_too(db: Connection, people: Cast) -> None:
    bill(db, people)
    text = explained(db, "FACT-202605-0001", "fr").text
    assert text.startswith("Facture FACT-202605-0001 du 2026-05-01, mois 2026-04, montants en EUR.\n")
    assert "   De 100 à 1000 : 100 × 0,05 = 5,00.\n" in text
    assert text.endswith("TVA 20 % (S) sur 47,75 : 9,55\nNet 47,75 + TVA 9,55 = 57,30 EUR\n")
    note = explained(db, "FACT-202606-0002", "fr").text
    assert note.startswith("Avoir FACT-202606-0002 du 2026-06-01 sur la facture FACT-202605-0001, montants en EUR.\n")
    assert "   Repris sur la ligne 5 de la facture FACT-202605-0001.\n" in note
    assert note.endswith("Net -10,00 + TVA -2,00 = -12,00 EUR\n")


def test_a_price_that_has_changed_since_is_told_as_it_was(db: Connection, people: Cast) -> None:
    bill(db, people)
    before = explained(db, "FACT-202605-0001").text
    dearer = {"name": "Bigger", "prices": (Price("api_calls", "flat", unit_amount=Decimal(1)),)}
    catalogue.edit_plan(db, at(6, 5), 1, "big", dearer, existing="next_period")
    assert explained(db, "FACT-202605-0001").text == before


def test_a_month_without_an_invoice_is_told_as_the_draft_that_it_is(db: Connection, people: Cast) -> None:
    use_april(db, people)
    draft = of_month(db, people.alice, at(4, 25), APRIL)
    assert draft.number is None
    assert draft.text.splitlines()[0] == "Draft of the invoice of 2026-04, amounts in EUR. Nothing has been issued yet."
    assert draft.text.splitlines()[-1] == "Net 47.75 + VAT 9.55 = 57.30 EUR"
    issue(db, at(5, 1, 3))
    assert of_month(db, people.alice, at(5, 2), APRIL).number == "FACT-202605-0001"
    assert of_month(db, people.bob, at(5, 2), MAY).text == "The month 2026-05 has nothing to bill.\n"


@pytest.mark.parametrize(
    ("price", "used", "told"),
    [
        (Price("seats", "volume", tiers=(Tier(Decimal(15), Decimal(10), 500), Tier(None, Decimal(5)))), 15,
         ["From 0 to 15: 15 × 10.00 + 5.00 = 155.00."]),
        (Price("seats", "volume", tiers=(Tier(Decimal(15), Decimal(10), 500), Tier(None, Decimal(5)))), 16,
         ["Above 15: 16 × 5.00 = 80.00."]),
        (Price("seats", "flat", unit_amount=Decimal("0.0004")), 12_345,
             ["12345 × 0.0004 = 4.938.", "Rounded once: 4.94."]),
    ],
)  # fmt: skip
def test_each_model_is_told(db: Connection, alice: Person, price: Price, used: int, told: list[str]) -> None:
    catalogue.create_plan(db, at(1, 1), 1, PlanDraft("one", "One", 0, "EUR", prices=(price,)))
    begin(db, alice, "one", at(4, 1))
    event(db, alice, "seats", used, at(4, 2))
    draft = of_month(db, alice, at(4, 3), APRIL)
    text = draft.text.replace("   ", "").splitlines()
    assert [sentence for sentence in text if "×" in sentence or "Rounded" in sentence] == told
    assert draft.recomputed_cents == draft.amount_cents


def test_tax_inside_and_a_part_of_a_period_are_told(db: Connection, alice: Person) -> None:
    sell(db)
    inside = PlanDraft("inside", "Inside", 999, "EUR", tax_behavior="inclusive")
    catalogue.create_plan(db, at(1, 1), 1, inside)
    begin(db, alice, "inside", at(6, 16))
    text = of_month(db, alice, at(6, 20), JUNE).text
    assert "From 2026-06-16 to 2026-06-30, 15 days of 30: 9.99 × 15 / 30 = 5.00." in text
    assert "VAT is inside the price: net 4.17." in text
    assert BIG.tax_behavior == "exclusive"


def test_what_another_program_wrote_has_no_lines_and_what_was_written_by_hand_no_origin(
    db: Connection, alice: Person
) -> None:
    insert(db, "invoices", adopted(user_id=alice.id, invoice_number="OLD-1", amount_cents=1_234))
    found = explained(db, "OLD-1")
    assert found.text == "Invoice OLD-1: 12.34 EUR. Another program wrote it, and its lines are not known here.\n"
    assert (found.lines, found.net_cents, found.recomputed_cents) == ((), None, 1_234)
    by_hand = issue_one(db, alice, line(500, description="By hand"))
    assert "1. By hand: 5.00\n" in explained(db, by_hand.number).text
