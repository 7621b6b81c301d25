"""One-off items: rounded once, in the user's currency, on his next invoice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_db import Connection
from tests.cast import Person
from tests.domain.test_subscriptions import at, user
from turf_saas import catalogue, invoice_items, issuing
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.invoice_items import Item
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": "Europe/Paris", **SELLER})


def add(db: Connection, person: Person, quantity: str, unit: str, **given: Any) -> Item:
    now = given.pop("now", at("05-20 10:00"))
    return invoice_items.add_item(
        db,
        now,
        SETTINGS,
        user(person),
        description=given.pop("description", "Setup"),
        quantity=Decimal(quantity),
        unit_amount=Decimal(unit),
        **given,
    )


@pytest.mark.parametrize(
    ("quantity", "unit", "cents"),
    [
        ("1.5", "120.00", 18_000),
        ("1", "0.005", 1),
        ("3", "0.335", 101),
        ("0.0001", "50", 1),
        ("12345", "0.0004", 494),
        ("1000000000", "90071.99254740", 9_007_199_254_740_000),
    ],
)
def test_an_item_is_rounded_once_half_a_cent_upwards(
    db: Connection, alice: Person, quantity: str, unit: str, cents: int
) -> None:
    found = add(db, alice, quantity, unit)
    assert (found.amount_cents, found.quantity, found.unit_amount) == (cents, quantity, unit)


@pytest.mark.parametrize(("quantity", "unit"), [("1", "0"), ("1", "0.0049"), ("1000000000", "1000000000")])
def test_an_item_costs_a_cent_at_least_and_no_more_than_can_be_kept(
    db: Connection, alice: Person, quantity: str, unit: str
) -> None:
    with pytest.raises(InvalidInput, match="item_amount_invalid"):
        add(db, alice, quantity, unit)


def test_it_stands_on_the_invoice_of_its_local_month_with_vat(db: Connection, alice: Person) -> None:
    """At 22:30 UTC on 31 May it is June in Paris. 3 × 0.335 = 1.005, so 1.01, and 0.20 of VAT."""
    night = datetime(2026, 5, 31, 22, 30, tzinfo=UTC)
    assert add(db, alice, "3", "0.335", now=night).month == "2026-06"
    assert issuing.issue_month(db, at("07-01 00:00"), SETTINGS, 1, alice.id, Month(2026, 5)).invoice is None
    invoice = issuing.issue_month(db, at("07-01 00:00"), SETTINGS, 1, alice.id, Month(2026, 6)).invoice
    assert invoice is not None
    assert (invoice.net_cents, invoice.tax_cents) == (101, 20)
    (line,) = invoice.lines
    assert (line.kind, line.description, line.quantity, line.unit_amount) == ("item", "Setup", "3", "0.335")


def test_a_user_has_one_currency(db: Connection, alice: Person, bob: Person) -> None:
    for draft in (PlanDraft("dollars", "Dollars", 5_000, "USD"), PlanDraft("ten", "Ten", 1_000, "EUR")):
        catalogue.create_plan(db, at("01-01"), 1, draft)
    subscribe(db, at("05-20"), SETTINGS, user(alice), "dollars")
    assert add(db, alice, "1", "1").currency == "USD"
    with pytest.raises(Conflict, match="currency_mismatch"):
        add(db, alice, "1", "1", currency="EUR")
    assert add(db, bob, "1", "1", currency="JPY").amount_cents == 1
    with pytest.raises(Conflict, match="currency_mismatch"):
        add(db, bob, "1", "1", currency="EUR")
    with pytest.raises(Conflict, match="currency_mismatch"):
        subscribe(db, at("05-20"), SETTINGS, user(bob), "ten")


def test_in_a_trial_the_currency_is_that_of_the_plan(db: Connection, alice: Person) -> None:
    catalogue.create_plan(db, at("01-01"), 1, PlanDraft("tried", "Tried", 5_000, "USD", trial_days=14))
    subscribe(db, at("05-20"), SETTINGS, user(alice), "tried")
    with pytest.raises(Conflict, match="currency_mismatch"):
        add(db, alice, "1", "1", currency="EUR")
