"""Refunds, disputes, credit notes and payouts: every cent is booked once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from api_v1.stripe_fake import StripeFake
from tests.stripe import paying_customer
from tests.stripe_fake.test_invoices import open_invoice, refused, types

Client = stripe.StripeClient


def paid_charge(client: Client, amount: int = 10_000, card: str = "pm_card_visa") -> stripe.Charge:
    open_invoice(client, paying_customer(client, card), amount, advance=True)
    return client.v1.charges.list().data[0]


def booked(client: Client) -> list[tuple[str, int, int]]:
    """Type, amount and fee of every booking, the oldest first."""
    return [
        (each.type, each.amount, each.fee) for each in client.v1.balance_transactions.list({"limit": 100}).data[::-1]
    ]


def test_a_charge_is_refunded_in_parts_and_never_beyond(stripe_fake: StripeFake, stripe_client: Client) -> None:
    charge, create = paid_charge(stripe_client), stripe_client.v1.refunds.create
    first = create({"charge": charge.id, "amount": 4_000, "metadata": {"a": "b"}})
    assert (first.status, first.amount, first.payment_intent) == ("succeeded", 4_000, charge.payment_intent)
    refused(None, lambda: create({"charge": charge.id, "amount": 6_001}))
    assert create({"payment_intent": str(charge.payment_intent)}).amount == 6_000
    refused("charge_already_refunded", lambda: create({"charge": charge.id}))
    read = stripe_client.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (read.amount_refunded, read.refunded) == (10_000, True)
    assert read.refunds is not None
    assert [each.amount for each in read.refunds.data] == [6_000, 4_000]
    assert "refunds" not in stripe_client.v1.charges.retrieve(charge.id).to_dict()
    assert types(stripe_fake, "refund.", "charge.refunded") == ["refund.created", "charge.refunded"] * 2
    assert booked(stripe_client) == [("charge", 10_000, 175), ("refund", -4_000, 0), ("refund", -6_000, 0)]


def test_a_refund_that_fails_gives_the_money_back(stripe_fake: StripeFake, stripe_client: Client) -> None:
    charge = paid_charge(stripe_client, card="pm_card_refundFail")
    refund = stripe_client.v1.refunds.create({"charge": charge.id, "amount": 4_000})
    assert refund.status == "succeeded"
    stripe_fake.fail_refund(refund.id)
    read = stripe_client.v1.refunds.retrieve(refund.id)
    assert (read.status, read.failure_reason) == ("failed", "lost_or_stolen_card")
    assert stripe_client.v1.charges.retrieve(charge.id).amount_refunded == 0
    assert types(stripe_fake, "refund.")[-1] == "refund.failed"
    assert sum(amount for _, amount, _ in booked(stripe_client)) == 10_000


def test_a_pending_refund_arrives_later(stripe_fake: StripeFake, stripe_client: Client) -> None:
    charge = paid_charge(stripe_client, card="pm_card_pendingRefund")
    refund = stripe_client.v1.refunds.create({"charge": charge.id})
    assert refund.status == "pending"
    assert stripe_fake.succeed_refund(refund.id)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("outcome", "bookings", "last"),
    [
        ("lost", [("adjustment", -10_000, 1_500)], ["charge.dispute.closed"]),
        (
            "won",
            [("adjustment", -10_000, 1_500), ("adjustment", 10_000, -1_500)],
            ["charge.dispute.funds_reinstated", "charge.dispute.closed"],
        ),
    ],
)
def test_a_dispute_takes_the_money_until_it_is_decided(
    stripe_fake: StripeFake, stripe_client: Client, outcome: Any, bookings: list[Any], last: list[str]
) -> None:
    charge = paid_charge(stripe_client)
    dispute = stripe_fake.dispute(charge.id)
    refused("charge_disputed", lambda: stripe_client.v1.refunds.create({"charge": charge.id}))
    assert stripe_client.v1.disputes.list({"charge": charge.id}).data[0].status == "needs_response"
    stripe_fake.close_dispute(dispute["id"], outcome)
    read = stripe_client.v1.disputes.retrieve(dispute["id"])
    assert (read.status, len(read.balance_transactions)) == (outcome, len(bookings))
    told = types(stripe_fake, "charge.dispute.")
    assert told == ["charge.dispute.created", "charge.dispute.funds_withdrawn", *last]
    assert booked(stripe_client)[1:] == bookings


def test_an_inquiry_moves_no_money(stripe_fake: StripeFake, stripe_client: Client) -> None:
    charge = paid_charge(stripe_client)
    dispute = stripe_fake.dispute(charge.id, inquiry=True)
    stripe_fake.close_dispute(dispute["id"], "warning_closed")
    assert types(stripe_fake, "charge.dispute.") == ["charge.dispute.created", "charge.dispute.closed"]
    assert len(booked(stripe_client)) == 1


def test_a_credit_note_of_an_open_invoice_lowers_what_is_due(stripe_client: Client) -> None:
    invoice = open_invoice(stripe_client, paying_customer(stripe_client), 10_000)
    note = stripe_client.v1.credit_notes.create({"invoice": invoice.id, "amount": 4_000})
    assert (note.pre_payment_amount, note.post_payment_amount, note.type) == (4_000, 0, "pre_payment")
    assert stripe_client.v1.invoices.retrieve(invoice.id).amount_remaining == 6_000
    assert stripe_client.v1.credit_notes.void_credit_note(note.id).status == "void"
    assert stripe_client.v1.invoices.retrieve(invoice.id).amount_remaining == 10_000
    stripe_client.v1.credit_notes.create({"invoice": invoice.id, "amount": 10_000})
    assert stripe_client.v1.invoices.retrieve(invoice.id).status == "paid", "nothing is left to pay"


def test_a_credit_note_of_a_paid_invoice_says_where_each_cent_goes(stripe_client: Client) -> None:
    customer, v1 = paying_customer(stripe_client), stripe_client.v1
    invoice = open_invoice(stripe_client, customer, 10_000, advance=True)
    refused(None, lambda: v1.credit_notes.create({"invoice": invoice.id, "amount": 4_000}))
    refused(None, lambda: v1.credit_notes.create({"invoice": invoice.id, "amount": 4_000, "refund_amount": 3_999}))
    seen = v1.credit_notes.preview({"invoice": invoice.id, "amount": 4_000, "refund_amount": 4_000})
    assert seen.total == 4_000
    assert v1.credit_notes.list({"invoice": invoice.id}).data == []
    note = v1.credit_notes.create(
        {
            "invoice": invoice.id,
            "amount": 4_000,
            "refund_amount": 1_000,
            "credit_amount": 2_000,
            "out_of_band_amount": 1_000,
        }
    )
    assert (note.post_payment_amount, [each.amount_refunded for each in note.refunds]) == (4_000, [1_000])
    assert v1.customers.retrieve(customer).balance == -2_000
    assert v1.charges.list().data[0].amount_refunded == 1_000
    beyond: Any = {"invoice": invoice.id, "amount": 6_001, "credit_amount": 6_001}
    refused(None, lambda: v1.credit_notes.create(beyond))
    assert v1.credit_notes.create({"invoice": invoice.id, "amount": 6_000, "credit_amount": 6_000}).number.endswith(
        "02"
    )


def test_a_refused_credit_note_leaves_nothing(stripe_fake: StripeFake, stripe_client: Client) -> None:
    invoice = open_invoice(stripe_client, paying_customer(stripe_client), 10_000, advance=True)
    stripe_client.v1.refunds.create({"charge": stripe_client.v1.charges.list().data[0].id, "amount": 9_500})
    before = len(stripe_fake.events)
    asked: Any = {"invoice": invoice.id, "amount": 2_000, "credit_amount": 1_000, "refund_amount": 1_000}
    refused(None, lambda: stripe_client.v1.credit_notes.create(asked))
    assert stripe_client.v1.credit_notes.list({"invoice": invoice.id}).data == []
    assert stripe_client.v1.customers.retrieve(str(invoice.customer)).balance == 0
    assert len(stripe_fake.events) == before


def test_a_payout_is_the_sum_of_its_bookings(stripe_fake: StripeFake, stripe_client: Client) -> None:
    start = datetime(2027, 1, 10, tzinfo=UTC)
    stripe_fake.set_clock(start)
    assert stripe_fake.pay_out() is None
    charge = paid_charge(stripe_client)
    stripe_client.v1.refunds.create({"charge": charge.id, "amount": 1_000})
    payout = stripe_fake.pay_out()
    assert payout is not None
    inside = stripe_client.v1.balance_transactions.list({"payout": payout["id"]}).data
    assert [(each.type, each.net) for each in inside] == [("payout", -8_825), ("refund", -1_000), ("charge", 9_825)]
    assert (payout["amount"], payout["status"], stripe_fake.pay_out()) == (8_825, "pending", None)
    stripe_fake.move_clock(start + timedelta(days=1))
    assert stripe_client.v1.payouts.retrieve(payout["id"]).status == "paid"
    assert types(stripe_fake, "payout.") == ["payout.created", "payout.paid"]
    refused("balance_insufficient", lambda: stripe_client.v1.payouts.create({"amount": 1, "currency": "eur"}))
