"""Invoices against the fake: totals, numbers, what is refused, and when Stripe tries again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from api_v1.stripe_fake import StripeFake
from tests.stripe import client_of, paying_customer

Client = stripe.StripeClient
START = datetime(2027, 1, 10, 12, tzinfo=UTC)


def open_invoice(client: Client, customer: str, *amounts: int, advance: bool = False, **params: Any) -> stripe.Invoice:
    """A finalized invoice with a line for each amount."""
    draft = client.v1.invoices.create({"customer": customer, "currency": "eur", **params})
    for amount in amounts:
        client.v1.invoice_items.create({"customer": customer, "invoice": draft.id, "amount": amount, "currency": "eur"})
    return client.v1.invoices.finalize_invoice(draft.id, {"auto_advance": advance})


def types(fake: StripeFake, *prefixes: str) -> list[str]:
    return [event["type"] for event in fake.events if event["type"].startswith(prefixes)]


def test_a_draft_with_lines_is_finalized_charged_and_paid(stripe_fake: StripeFake, stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    paid = open_invoice(stripe_client, customer, 10_000, -1_500, 1, advance=True, number="FACT-202701-0001")
    assert (paid.status, paid.number, paid.total, paid.amount_paid, paid.amount_remaining) == (
        "paid", "FACT-202701-0001", 8_501, 8_501, 0,
    )  # fmt: skip
    assert (paid.attempt_count, paid.attempted, paid.next_payment_attempt) == (1, True, None)
    payments = stripe_client.v1.invoice_payments.list({"invoice": paid.id}).data
    assert [(each.status, each.amount_paid, each.payment.type) for each in payments] == [
        ("paid", 8_501, "payment_intent")
    ]
    intent_id = str(payments[0].payment.payment_intent)
    asked: Any = {"payment": {"type": "payment_intent", "payment_intent": intent_id}}
    assert stripe_client.v1.invoice_payments.list(asked).data[0].invoice == paid.id
    intent = stripe_client.v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge.balance_transaction"]})
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    booked = charge.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.net) == (8_501, 153, 8_348)  # 1.5 % of 85.01 is 1.28, and 0.25
    told = types(stripe_fake, "invoice.", "invoice_payment.", "charge.", "payment_intent.")
    after = ["charge.succeeded", "payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded"]
    assert told[-6:] == [*after, "invoice_payment.paid", "invoice.updated"]


def test_the_webhook_of_an_invoice_says_nothing_of_its_payment(stripe_fake: StripeFake, stripe_client: Client) -> None:
    paid = open_invoice(stripe_client, paying_customer(stripe_client), 500, advance=True)
    told = next(event for event in stripe_fake.events if event["type"] == "invoice.paid")["data"]["object"]
    assert not {"payments", "payment_intent", "charge", "paid", "subscription"} & told.keys()
    assert told["parent"] is None
    expanded = stripe_client.v1.invoices.retrieve(paid.id, {"expand": ["payments.data.payment.payment_intent"]})
    assert expanded.payments is not None
    assert expanded.payments.data[0].payment.payment_intent.status == "succeeded"  # type: ignore[union-attr]


@pytest.mark.parametrize(("amounts", "left"), [((), 0), ((700, -700), 0), ((49,), 49), ((-300,), -300)])
def test_what_leaves_nothing_to_charge_is_paid_and_carried(
    stripe_client: Client, amounts: tuple[int, ...], left: int
) -> None:
    """Zero, below the minimum of 0.50, or less than nothing: the rest waits in the customer's balance."""
    customer = paying_customer(stripe_client)
    paid = open_invoice(stripe_client, customer, *amounts, advance=True)
    assert (paid.status, paid.amount_due, paid.amount_paid, paid.ending_balance) == ("paid", 0, 0, left)
    assert stripe_client.v1.invoice_payments.list({"invoice": paid.id}).data == []
    assert stripe_client.v1.customers.retrieve(customer).balance == left
    following = open_invoice(stripe_client, customer, 1_000, advance=True)
    assert (following.total, following.amount_paid) == (1_000, 1_000 + left)


def test_a_credit_given_by_hand_is_taken_along(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    stripe_client.v1.customers.balance_transactions.create(customer, {"amount": -300, "currency": "eur"})
    assert open_invoice(stripe_client, customer, 1_000, advance=True).amount_paid == 700
    rows = stripe_client.v1.customers.balance_transactions.list(customer).data
    assert [(row.type, row.amount, row.ending_balance) for row in rows] == [
        ("applied_to_invoice", 300, 0),
        ("adjustment", -300, -300),
    ]


def test_fifty_cents_are_charged(stripe_client: Client) -> None:
    assert open_invoice(stripe_client, paying_customer(stripe_client), 50, advance=True).amount_paid == 50


def test_an_invoice_embeds_ten_lines_and_lists_all(stripe_client: Client) -> None:
    invoice = open_invoice(stripe_client, paying_customer(stripe_client), *range(100, 112))
    assert (len(invoice.lines.data), invoice.lines.has_more, invoice.total) == (10, True, 1_266)
    lines = list(stripe_client.v1.invoices.line_items.list(invoice.id, {"limit": 5}).auto_paging_iter())
    assert [line.amount for line in lines] == list(range(100, 112))


def test_taxes_are_reckoned_per_line(stripe_client: Client) -> None:
    on_top = stripe_client.v1.tax_rates.create({"display_name": "TVA", "inclusive": False, "percentage": 20.0})
    within = stripe_client.v1.tax_rates.create({"display_name": "TVA", "inclusive": True, "percentage": 20.0})
    customer = paying_customer(stripe_client)
    draft = stripe_client.v1.invoices.create({"customer": customer, "default_tax_rates": [on_top.id]})
    stripe_client.v1.invoice_items.create({"invoice": draft.id, "amount": 999, "customer": customer})
    stripe_client.v1.invoice_items.create(
        {"invoice": draft.id, "amount": 1_200, "customer": customer, "tax_rates": [within.id]}
    )
    read = stripe_client.v1.invoices.retrieve(draft.id)
    assert (read.subtotal, read.total, read.total_excluding_tax) == (2_199, 2_399, 1_999)
    assert [tax.amount for tax in read.total_taxes or []] == [200, 200]


def refused(code: str | None, act: Any) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as error:
        act()
    assert error.value.code == code, error.value
    return error.value


def test_a_finalized_invoice_is_not_edited(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    invoice = open_invoice(stripe_client, customer, 500)
    v1 = stripe_client.v1
    refused("invoice_not_editable", lambda: v1.invoices.update(invoice.id, {"description": "x"}))
    refused("invoice_not_editable", lambda: v1.invoices.delete(invoice.id))
    refused(
        "invoice_not_editable",
        lambda: v1.invoice_items.create({"customer": customer, "invoice": invoice.id, "amount": 1}),
    )
    item = v1.invoice_items.list({"invoice": invoice.id}).data[0]
    refused("invoice_not_editable", lambda: v1.invoice_items.delete(item.id))
    refused(None, lambda: v1.invoices.finalize_invoice(invoice.id))
    assert v1.invoices.update(invoice.id, {"metadata": {"a": "b"}}).to_dict()["metadata"] == {"a": "b"}
    assert v1.invoices.retrieve(invoice.id).total == 500


def test_a_draft_is_edited_and_deleted(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    draft = stripe_client.v1.invoices.create({"customer": customer, "metadata": {"a": "1", "b": "2"}})
    item = stripe_client.v1.invoice_items.create({"customer": customer, "invoice": draft.id, "amount": 500})
    stripe_client.v1.invoice_items.update(item.id, {"amount": 700})
    changed = stripe_client.v1.invoices.update(draft.id, {"metadata": {"a": "", "c": "3"}, "number": "N-1"})
    assert (changed.total, changed.to_dict()["metadata"], changed.number) == (700, {"b": "2", "c": "3"}, "N-1")
    stripe_client.v1.invoice_items.delete(item.id)
    assert stripe_client.v1.invoices.retrieve(draft.id).total == 0
    assert stripe_client.v1.invoices.delete(draft.id).deleted
    refused("resource_missing", lambda: stripe_client.v1.invoices.retrieve(draft.id))


def test_what_does_not_fit_the_invoice_is_refused(stripe_client: Client) -> None:
    customer, other = paying_customer(stripe_client), paying_customer(stripe_client)
    v1, draft = stripe_client.v1, stripe_client.v1.invoices.create({"customer": customer, "number": "N-1"})
    item: Any = {"customer": customer, "invoice": draft.id, "amount": 1}
    assert "currency" in str(refused(None, lambda: v1.invoice_items.create({**item, "currency": "usd"})))
    assert "another customer" in str(refused(None, lambda: v1.invoice_items.create({**item, "customer": other})))
    assert "in use" in str(refused(None, lambda: v1.invoices.create({"customer": customer, "number": "N-1"})))
    refused(
        "parameter_missing", lambda: v1.invoices.create({"customer": customer, "collection_method": "send_invoice"})
    )
    refused(None, lambda: v1.invoices.create({"customer": customer, "days_until_due": 5}))
    v1.customers.delete(other)
    refused("resource_missing", lambda: v1.invoices.create({"customer": other}))
    assert v1.invoices.retrieve(draft.id).total == 0


def test_an_archived_price_is_refused(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    product = stripe_client.v1.products.create({"name": "Pro"})
    price = stripe_client.v1.prices.create({"currency": "eur", "product": product.id, "unit_amount": 900})
    item: Any = {"customer": customer, "pricing": {"price": price.id}, "quantity": 3}
    assert stripe_client.v1.invoice_items.create(item).amount == 2_700
    stripe_client.v1.prices.update(price.id, {"active": False})
    assert "inactive" in str(refused(None, lambda: stripe_client.v1.invoice_items.create(item)))


def test_pending_items_come_when_they_are_asked_for(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    stripe_client.v1.invoice_items.create({"customer": customer, "amount": 300, "currency": "eur"})
    assert stripe_client.v1.invoices.create_preview({"customer": customer, "currency": "eur"}).total == 300
    assert stripe_client.v1.invoices.create({"customer": customer}).total == 0
    asked = stripe_client.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert asked.total == 300
    assert stripe_client.v1.invoices.create(
        {"customer": customer, "pending_invoice_items_behavior": "include"}
    ).total == 0  # fmt: skip


def test_lines_are_added_all_or_none(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    draft = stripe_client.v1.invoices.create({"customer": customer})
    pending = stripe_client.v1.invoice_items.create({"customer": customer, "amount": 300, "currency": "eur"})
    full = stripe_client.v1.invoices.add_lines(
        draft.id, {"lines": [{"invoice_item": pending.id}, {"amount": 50, "description": "x"}]}
    )
    assert [line.amount for line in full.lines.data] == [300, 50]
    again: Any = {"lines": [{"amount": 1}, {"invoice_item": pending.id}]}
    refused(None, lambda: stripe_client.v1.invoices.add_lines(draft.id, again))
    assert stripe_client.v1.invoices.retrieve(draft.id).total == 350


def test_paying_voiding_and_giving_up_refuse_what_is_over(stripe_client: Client) -> None:
    customer, v1 = paying_customer(stripe_client), stripe_client.v1
    paid, lost, void = (open_invoice(stripe_client, customer, 500) for _ in range(3))
    v1.invoices.pay(paid.id)
    assert v1.invoices.mark_uncollectible(lost.id).status == "uncollectible"
    assert v1.invoices.void_invoice(void.id).status == "void"
    refused("status_transition_invalid", lambda: v1.invoices.void_invoice(paid.id))
    refused("status_transition_invalid", lambda: v1.invoices.mark_uncollectible(paid.id))
    refused(None, lambda: v1.invoices.pay(paid.id))
    refused(None, lambda: v1.invoices.pay(void.id))
    assert v1.invoices.pay(lost.id).status == "paid", "what was given up can still come in"


def test_paid_elsewhere_makes_no_charge(stripe_fake: StripeFake, stripe_client: Client) -> None:
    customer = stripe_client.v1.customers.create({}).id
    invoice = open_invoice(stripe_client, customer, 500, collection_method="send_invoice", days_until_due=30)
    assert invoice.due_date == invoice.created + 30 * 86_400
    paid = stripe_client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid, paid.amount_paid_off_stripe) == ("paid", 500, 500)
    assert stripe_client.v1.charges.list().data == []
    assert types(stripe_fake, "payment_intent.") == ["payment_intent.created", "payment_intent.canceled"]


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
def test_a_card_is_declined_with_its_reason(
    stripe_fake: StripeFake, stripe_client: Client, card: str, code: str, decline: str
) -> None:
    customer = paying_customer(stripe_client)
    held = stripe_client.v1.payment_methods.list({"customer": customer}).data[0]
    stripe_fake.card_turns(held.id, card)
    invoice = open_invoice(stripe_client, customer, 500)
    error = refused(code, lambda: stripe_client.v1.invoices.pay(invoice.id))
    assert isinstance(error, stripe.CardError)
    assert (error.json_body or {})["error"]["decline_code"] == decline
    read = stripe_client.v1.invoices.retrieve(invoice.id)
    assert (read.status, read.attempt_count, read.amount_remaining) == ("open", 1, 500)
    assert "invoice.payment_failed" in types(stripe_fake, "invoice.")
    if decline == "authentication_required":
        assert "invoice.payment_action_required" in types(stripe_fake, "invoice.")
        assert stripe_fake.confirm_payment(invoice.id)["status"] == "paid"


@pytest.mark.parametrize("card", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedLostCard"])
def test_a_card_that_is_always_declined_cannot_be_attached(stripe_client: Client, card: str) -> None:
    customer = stripe_client.v1.customers.create({})
    refused("card_declined", lambda: stripe_client.v1.payment_methods.attach(card, {"customer": customer.id}))
    assert stripe_client.v1.payment_methods.list({"customer": customer.id}).data == []


def test_stripe_tries_again_on_its_own_days_and_then_no_more() -> None:
    with StripeFake(retry_days=(3, 5)) as fake:
        fake.set_clock(START)
        client = client_of(fake)
        invoice = open_invoice(client, paying_customer(client, "pm_card_chargeCustomerFail"), 500, advance=True)
        seen = [(invoice.attempt_count, invoice.next_payment_attempt)]
        for days in (3, 8, 30):
            fake.move_clock(START + timedelta(days=days))
            read = client.v1.invoices.retrieve(invoice.id)
            seen.append((read.attempt_count, read.next_payment_attempt))
        start = int(START.timestamp())
        assert seen == [(1, start + 3 * 86_400), (2, start + 8 * 86_400), (3, None), (3, None)]
        failed = [event["created"] - start for event in fake.events if event["type"] == "invoice.payment_failed"]
        assert failed == [0, 3 * 86_400, 8 * 86_400], "each at its own instant"


def test_a_lost_card_is_not_charged_again_but_a_new_one_is(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(START)
    customer = paying_customer(stripe_client)
    held = stripe_client.v1.payment_methods.list({"customer": customer}).data[0]
    stripe_fake.card_turns(held.id, "pm_card_chargeDeclinedLostCard")
    invoice = open_invoice(stripe_client, customer, 500, advance=True)
    stripe_fake.move_clock(START + timedelta(days=4))
    assert len(stripe_client.v1.charges.list().data) == 1
    new = stripe_client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe_client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": new.id}})
    stripe_fake.move_clock(START + timedelta(days=9))
    assert stripe_client.v1.invoices.retrieve(invoice.id).status == "paid"


def test_a_draft_that_advances_is_finalized_after_an_hour(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(START)
    draft = stripe_client.v1.invoices.create({"customer": paying_customer(stripe_client), "auto_advance": True})
    stripe_fake.move_clock(START + timedelta(minutes=59))
    assert stripe_client.v1.invoices.retrieve(draft.id).status == "draft"
    stripe_fake.move_clock(START + timedelta(minutes=60))
    assert stripe_client.v1.invoices.retrieve(draft.id).status == "paid", "empty: there is nothing to pay"


def test_lists_are_paged_and_filtered(stripe_client: Client) -> None:
    customer, other = paying_customer(stripe_client), paying_customer(stripe_client)
    made = [stripe_client.v1.invoices.create({"customer": customer}).id for _ in range(5)]
    open_invoice(stripe_client, other, 500)
    mine: Any = {"customer": customer, "status": "draft"}
    page = stripe_client.v1.invoices.list({**mine, "limit": 2})
    assert ([each.id for each in page.data], page.has_more) == (made[:2:-1], True)
    older = stripe_client.v1.invoices.list({**mine, "limit": 3, "starting_after": page.data[-1].id})
    assert ([each.id for each in older.data], older.has_more) == (made[2::-1], False)
    newer = stripe_client.v1.invoices.list({**mine, "limit": 1, "ending_before": older.data[0].id})
    assert ([each.id for each in newer.data], newer.has_more) == ([made[3]], True)
    assert len(list(stripe_client.v1.invoices.list({"limit": 2}).auto_paging_iter())) == 6
    assert stripe_client.v1.invoices.list({"due_date": {"gt": 1}}).data == []
    refused("parameter_invalid_integer", lambda: stripe_client.v1.invoices.list({"limit": 101}))
    refused("resource_missing", lambda: stripe_client.v1.invoices.list({"starting_after": "in_0"}))
    refused(None, lambda: stripe_client.v1.invoices.list({"expand": ["data.nothing"]}))
    expanded = stripe_client.v1.invoices.list({"expand": ["data.customer"], "limit": 1}).data[0].customer
    assert isinstance(expanded, stripe.Customer)
