"""What events do not say is asked of Stripe, over a socket: why a card was refused, and what has paid an invoice."""

from __future__ import annotations

import pytest

from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.cast import Person
from tests.collected import Collector, issue
from tests.domain.at_stripe import stands
from tests.domain.issuing import begin, live, sell
from tests.issued import ISSUED_AT
from tests.stripe import client_of
from tests.stripe_payloads import tell
from turf_saas import invoices, payments
from turf_saas.invoices import Invoice


@pytest.fixture
def collector(db: Connection, stripe_fake: StripeFake) -> Collector:
    return Collector(db, stripe_fake)


def sent(db: Connection, collector: Collector, alice: Person, *, charged: bool = False) -> Invoice:
    """Issued, and finalized at Stripe; and charged there."""
    if charged:
        collector.give_card(alice)
    invoice = issue(db, collector.settings, alice, 1_900)
    collector.work()
    return invoice


def hear_all(db: Connection, collector: Collector, but: tuple[str, ...] = ()) -> None:
    for one in collector.fake.events:
        if one["type"] not in but:
            tell(db, collector.clock.now, collector.settings, one)


def test_a_refusal_that_no_event_explains_is_asked_for_and_is_as_hard(
    db: Connection, collector: Collector, alice: Person
) -> None:
    sell(db, "thirty", 3_000)
    begin(db, alice, "thirty", ISSUED_AT, settings=collector.settings)
    collector.fake.card_turns(collector.give_card(alice), "pm_card_chargeDeclinedLostCard")
    invoice = sent(db, collector, alice)
    hear_all(db, collector)
    assert live(db, alice).status == "active"
    collector.work()
    (attempt,) = stands(db, invoice).attempts
    assert (attempt[0], attempt[2], live(db, alice).status) == ("failed", "lost_card", "unpaid")
    assert "subscription_changed" in [notice.kind for notice in collector.notices]


def test_a_refusal_is_explained_though_it_is_paid_before_anybody_asks(
    db: Connection, collector: Collector, alice: Person
) -> None:
    """Its intent does not say it any more: the charge does."""
    collector.fake.card_turns(collector.give_card(alice), "pm_card_chargeDeclinedInsufficientFunds")
    invoice = sent(db, collector, alice)
    stripe_id = str(collector.row(invoice).provider_id)
    good = client_of(collector.fake).v1.payment_methods.attach(
        "pm_card_visa", {"customer": str(collector.at_stripe()[0]["customer"])}
    )
    client_of(collector.fake).v1.invoices.pay(stripe_id, {"payment_method": good.id})
    hear_all(db, collector, but=("payment_intent.payment_failed", "charge.failed"))
    assert [one[2] for one in stands(db, invoice).attempts if one[0] == "failed"] == [None]
    collector.work()
    assert [one[2] for one in stands(db, invoice).attempts if one[0] == "failed"] == ["insufficient_funds"]
    assert stands(db, invoice)[0] == "paid"


def test_a_card_for_what_was_paid_by_transfer_meanwhile_is_account_credit_though_its_payment_is_never_told(
    db: Connection, collector: Collector, alice: Person
) -> None:
    invoice = sent(db, collector, alice, charged=True)
    payments.record_payment(db, collector.clock.now, collector.settings, 1, invoice.number, amount_cents=2_280)
    hear_all(db, collector, but=("invoice_payment.paid",))
    assert stands(db, invoice)[:4] == ("paid", 2_280, 0, 0)
    collector.work()
    found = stands(db, invoice)
    assert found[:5] == ("paid", 2_280, 0, 2_280, "paid")
    assert [(cents, method) for cents, _, method in found.payments] == [(2_280, "card"), (2_280, "transfer")]


def test_what_the_owner_marks_as_paid_there_after_he_noted_it_here_is_no_second_payment(
    db: Connection, collector: Collector, alice: Person
) -> None:
    invoice = sent(db, collector, alice)
    stripe_id = str(collector.row(invoice).provider_id)
    payments.record_payment(db, collector.clock.now, collector.settings, 1, invoice.number, amount_cents=500)
    client_of(collector.fake).v1.invoices.pay(stripe_id, {"paid_out_of_band": True})
    hear_all(db, collector)
    collector.work()
    found = stands(db, invoices.get_by_id(db, invoice.id))
    assert found[:4] == ("paid", 2_280, 0, 0)
    assert [(cents, method) for cents, _, method in found.payments] == [(1_780, "other"), (500, "transfer")]
