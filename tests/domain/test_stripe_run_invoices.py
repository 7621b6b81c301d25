"""Invoices of subscriptions that Stripe runs, as ours: its lines and totals to the cent, in our numbers and chain."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all
from tests.cast import Person
from tests.conftest import NOW
from tests.domain.issuing import JUNE as JUNE_MONTH, MAY as MAY_MONTH, SETTINGS, assert_sound, flat, run, sell, totals
from tests.stripe_payloads import (
    AT,
    JUNE,
    MAY,
    SHAPES,
    Payload,
    Shape,
    event,
    invoice,
    is_customer,
    line,
    subscription,
    tell,
)
from turf_saas import invoices, profiles, stripe_inbox
from turf_saas.buyer import Buyer
from turf_saas.invoice_explaining import explain_invoice
from turf_saas.invoices import Invoice
from turf_saas.stripe_applying import Unknown
from turf_saas.stripe_run_invoices import find_or_issue
from turf_saas.verifying import verify

LATER = datetime(2026, 6, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _sold(db: Connection, alice: Person) -> None:
    sell(db, "nineteen", 1_900, flat("api_calls", "0.01"), limits={"api_calls": 100}, stripe_price_id="price_1")
    is_customer(db, alice.id)


def subscribed(db: Connection, **changed: Any) -> None:
    tell(db, NOW, SETTINGS, event("customer.subscription.created", subscription(**changed)))


def fee(amount: int = 2_280, shape: Shape = "endive", **changed: Any) -> Payload:
    return line(amount=amount, price="price_1", subscription_item="si_1", shape=shape, **changed)


def issue(db: Connection, given: Payload, kind: str = "invoice.finalized", now: datetime = NOW) -> Invoice | None:
    return find_or_issue(db, now, SETTINGS, stripe_inbox.event_of(event(kind, given)))


def issued(db: Connection, *lines: Payload, total: int = 2_280, **changed: Any) -> Invoice:
    found = issue(db, invoice(subscription="sub_1", total=total, lines=list(lines or (fee(),)), **changed))
    assert found is not None
    return found


def shown(found: Invoice) -> list[tuple[str, int, int, str]]:
    return [(each.kind, each.amount_cents, each.net_cents, each.vat_rate) for each in found.lines]


def assert_whole(db: Connection) -> None:
    assert_sound(db)
    proved = verify(db, SETTINGS, MAY_MONTH)
    assert [one.sentence for one in proved.wrong.shown] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_paid_holds_our_vat_where_stripe_says_none(db: Connection, alice: Person, shape: Shape) -> None:
    subscribed(db, shape=shape)
    given = invoice(subscription="sub_1", total=2_280, lines=[fee(shape=shape)], shape=shape)
    found = issue(db, given)
    assert found is not None
    assert (found.kind, found.user_id, found.plan, found.status) == ("stripe", alice.id, "nineteen", "pending")
    assert totals(found) == (1_900, 380, 2_280)
    assert shown(found) == [("base", 2_280, 1_900, "20")]
    assert (found.period_start, found.period_end) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
    assert found.number == "FACT-202605-0001"
    assert_whole(db)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tax_that_stripe_has_worked_out_is_the_invoices(db: Connection, alice: Person, shape: Shape) -> None:
    subscribed(db)
    given = invoice(
        subscription="sub_1", total=2_005, tax=105, lines=[fee(1_900, shape=shape)], shape=shape, status="paid"
    )
    found = issue(db, given)
    assert found is not None
    assert totals(found) == (1_900, 105, 2_005)
    assert [(tax.vat_category, tax.vat_rate, tax.tax_cents) for tax in found.taxes] == [("S", "5.53", 105)]
    assert_whole(db)


def test_each_line_keeps_the_tax_that_stripe_says_of_it(db: Connection, alice: Person) -> None:
    subscribed(db)
    taxes = [{"amount": 380, "tax_behavior": "exclusive"}], [{"amount": 55, "tax_behavior": "inclusive"}]
    rates = {"tax_rates": [{"id": "txr_2", "percentage": 5.5}]}
    found = issued(
        db,
        fee(1_900, taxes=taxes[0]),
        line("il_2", amount=1_055, taxes=taxes[1], **rates),
        total=1_900 + 380 + 1_055,
        total_taxes=[{"amount": 380, "tax_behavior": "exclusive"}, {"amount": 55, "tax_behavior": "inclusive"}],
    )
    assert shown(found) == [("base", 1_900, 1_900, "20"), ("item", 1_000, 1_000, "5.5")]
    assert totals(found) == (2_900, 435, 3_335)
    assert_whole(db)


def test_a_reverse_charge_is_said_to_be_one(db: Connection, alice: Person) -> None:
    subscribed(db)
    none = [{"amount": 0, "tax_behavior": "exclusive", "taxability_reason": "reverse_charge"}]
    found = issued(db, fee(1_900, taxes=none), total=1_900, total_taxes=none)
    assert [(tax.vat_category, tax.tax_cents) for tax in found.taxes] == [("AE", 0)]
    assert totals(found) == (1_900, 0, 1_900)


def test_what_a_change_brings_is_a_credit_and_a_charge(db: Connection, alice: Person) -> None:
    subscribed(db)
    found = issued(
        db,
        fee(-1_140, proration=True, description="Unused time on Nineteen"),
        fee(2_940, proration=True),
        fee(4_800),
        line("il_4", amount=0),
        total=6_600,
    )
    assert shown(found) == [
        ("credit", -1_140, -950, "20"), ("charge", 2_940, 2_450, "20"), ("base", 4_800, 4_000, "20"),
    ]  # fmt: skip
    assert totals(found) == (5_500, 1_100, 6_600)
    kinds = {row["type"]: row["amount_cents"] for row in fetch_all(db, "SELECT type, amount_cents FROM transactions")}
    assert kinds == {"subscription": 7_740, "credit": -1_140}
    assert_whole(db)


def test_a_discount_is_a_line_so_that_the_total_is_what_was_paid(db: Connection, alice: Person) -> None:
    subscribed(db)
    assert shown(issued(db, fee(2_280), total=1_710)) == [("base", 2_280, 1_900, "20"), ("discount", -570, -475, "20")]
    assert_whole(db)


def test_a_buyer_outside_the_union_pays_no_vat(db: Connection, alice: Person) -> None:
    subscribed(db)
    buyer = Buyer("pro", "Alice AG", "Weg 1", "8000", "Zürich", "CH", locale="en")
    profiles.set_profile(db, NOW, alice.id, 1, buyer)
    found = issued(db, fee(1_900), total=1_900)
    assert totals(found) == (1_900, 0, 1_900)
    assert [tax.vat_category for tax in found.taxes] == ["O"]
    assert found.buyer["country"] == "CH"


def test_an_invoice_is_issued_once_however_often_and_by_however_many_it_is_told(
    db: Connection, url: str, alice: Person
) -> None:
    subscribed(db)
    given = invoice(subscription="sub_1", lines=[fee()])
    together = Barrier(3)

    def issue_alone() -> None:
        own = billing_db.connect(url)
        together.wait(timeout=30)
        try:
            issue(own, given)
        finally:
            own.close()

    threads = [Thread(target=issue_alone) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert issue(db, {**given, "status": "paid"}, "invoice.paid") is not None
    assert len(invoices.list_invoices(db, 1)) == 1
    assert_whole(db)


@pytest.mark.parametrize("changed", [{"status": "draft"}, {"status": "void"}, {"total": 0}, {"customer": "cus_Nobody"}])
def test_what_is_no_invoice_yet_or_any_more_is_none_of_ours(
    db: Connection, alice: Person, changed: dict[str, Any]
) -> None:
    subscribed(db)
    assert issue(db, invoice(subscription="sub_1", **{"lines": [fee()], **changed})) is None
    assert invoices.list_invoices(db, 1) == []


def test_what_gives_back_more_than_it_costs_is_noted_and_not_issued(
    db: Connection, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    subscribed(db)
    with caplog.at_level(logging.WARNING):
        assert issue(db, invoice(subscription="sub_1", total=-500, lines=[fee(-500, proration=True)])) is None
    assert "in_1 gives 500 back" in caplog.text


def test_an_invoice_waits_for_its_subscription_and_not_for_one_that_never_began(db: Connection, alice: Person) -> None:
    given = invoice(subscription="sub_1", lines=[fee()])
    with pytest.raises(Unknown, match="sub_1"):
        issue(db, given)
    subscribed(db, status="incomplete")
    assert issue(db, given) is None
    with pytest.raises(Unknown, match="sub_1"):
        issue(db, {**given, "status": "paid"})
    expired = event("customer.subscription.updated", subscription(status="incomplete_expired"), at=AT + 1)
    tell(db, NOW, SETTINGS, expired)
    assert issue(db, {**given, "status": "paid"}) is None


def test_it_explains_itself_and_can_be_credited(db: Connection, alice: Person) -> None:
    from turf_saas.credit_notes import credit_invoice

    subscribed(db)
    found = issued(db)
    told = explain_invoice(db, SETTINGS, found)
    assert (told.amount_cents, told.recomputed_cents) == (2_280, 2_280)
    assert "1 × Premium" in told.text
    note = credit_invoice(db, NOW, SETTINGS, 1, found.number, amount_cents=1_140)
    assert totals(note) == (-950, -190, -1_140)
    assert_whole(db)


def test_the_months_own_invoice_has_its_overage_and_no_fee(db: Connection, alice: Person) -> None:
    subscribed(db)
    issued(db)
    alice.has_used(150)
    assert run(db, LATER).issued == 1
    own = invoices.find_of_month(db, alice.id, "2026-05")
    assert own is not None
    assert [(each.kind, each.quantity, each.net_cents) for each in own.lines] == [("overage", "50", 50)]
    assert fetch_all(db, "SELECT * FROM billing_periods") == []
    assert verify(db, SETTINGS, JUNE_MONTH).wrong.many == 0


def test_days_before_it_began_belong_to_the_default_plan(db: Connection, alice: Person) -> None:
    """Free, which includes 300, until the 14th; from the 15th on this plan, whose 100 are used up by then."""
    subscribed(db, start=int(datetime(2026, 5, 15, tzinfo=UTC).timestamp()))
    alice.has_used(120, day="2026-05-10")
    alice.has_used(30, day="2026-05-16")
    run(db, LATER)
    own = invoices.find_of_month(db, alice.id, "2026-05")
    assert own is not None
    assert [(each.kind, each.quantity, each.net_cents) for each in own.lines] == [("overage", "30", 30)]


def test_the_titles_of_lines_hold_nothing_that_does_something(db: Connection, alice: Person) -> None:
    subscribed(db)
    found = issued(db, fee(description="Pro\u202e\n\0  plan" + "x" * 500), period_start=MAY, period_end=JUNE)
    assert found.lines[0].description.startswith("Pro plan")
    assert len(found.lines[0].description) == 300
