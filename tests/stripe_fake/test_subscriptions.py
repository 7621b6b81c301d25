"""Subscriptions against the fake: periods, renewals, prorations, failures, ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from api_v1.stripe_fake import StripeFake
from tests.stripe import client_of, paying_customer
from tests.stripe_fake.test_invoices import refused, types

Client = stripe.StripeClient
START = datetime(2027, 1, 31, 12, tzinfo=UTC)


def at(month: int, day: int, hour: int = 12, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def price(client: Client, cents: int, interval: Any = "month") -> str:
    product = client.v1.products.create({"name": f"Plan of {cents}"})
    made = client.v1.prices.create(
        {"currency": "eur", "product": product.id, "unit_amount": cents, "recurring": {"interval": interval}}
    )
    return made.id


def subscribe(client: Client, customer: str, price_id: str, **more: Any) -> stripe.Subscription:
    return client.v1.subscriptions.create({"customer": customer, "items": [{"price": price_id}], **more})


def period(subscription: stripe.Subscription) -> tuple[datetime, datetime]:
    item = subscription["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    return datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)


def latest(client: Client, subscription_id: str) -> stripe.Invoice:
    read = client.v1.subscriptions.retrieve(subscription_id, {"expand": ["latest_invoice"]}).latest_invoice
    assert isinstance(read, stripe.Invoice)
    return read


def totals(client: Client) -> list[tuple[str, str, int]]:
    invoices = client.v1.invoices.list({"limit": 100}).data[::-1]
    return [(str(each.billing_reason), str(each.status), each.total) for each in invoices]


def test_a_subscription_is_paid_and_renewed_on_the_last_day_of_short_months(
    stripe_fake: StripeFake, stripe_client: Client
) -> None:
    stripe_fake.set_clock(START)
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900), metadata={"user": "1"})
    assert (made.status, period(made)) == ("active", (START, at(2, 28)))
    first = latest(stripe_client, made.id)
    assert first.parent is not None
    assert first.parent.subscription_details is not None
    assert first.parent.subscription_details.subscription == made.id
    assert first.parent.to_dict()["subscription_details"]["metadata"] == {"user": "1"}
    assert "current_period_end" not in made.to_dict(), "it is on the items since basil"
    stripe_fake.move_clock(at(2, 28))
    assert latest(stripe_client, made.id).status == "draft", "the app has an hour to add to it"
    stripe_fake.move_clock(at(4, 1))
    renewed = stripe_client.v1.subscriptions.retrieve(made.id)
    assert period(renewed) == (at(3, 31), at(4, 30)), "the anchor is the 31st"
    cycle = ("subscription_cycle", "paid", 4_900)
    assert totals(stripe_client) == [("subscription_create", "paid", 4_900), cycle, cycle]


def test_what_falls_due_comes_in_its_order(stripe_fake: StripeFake, stripe_client: Client) -> None:
    """One subscription on the 1st, one on the 10th: their renewals alternate, each at its own instant."""
    stripe_fake.set_clock(at(2, 1))
    plan = price(stripe_client, 4_900)
    subscribe(stripe_client, paying_customer(stripe_client), plan)
    stripe_fake.move_clock(at(2, 10))
    subscribe(stripe_client, paying_customer(stripe_client), plan)
    stripe_fake.move_clock(at(4, 20))
    invoices = stripe_client.v1.invoices.list({"limit": 100}).data[::-1]
    days = [at(2, 1), at(2, 10), at(3, 1), at(3, 10), at(4, 1), at(4, 10)]
    assert [datetime.fromtimestamp(each.created, UTC) for each in invoices] == days


def test_what_was_pending_comes_with_the_renewal(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(START)
    customer = paying_customer(stripe_client)
    made = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    stripe_client.v1.invoice_items.create({"customer": customer, "amount": 150, "currency": "eur"})
    assert stripe_client.v1.invoices.create_preview({"subscription": made.id}).total == 5_050
    assert len(totals(stripe_client)) == 1, "a preview leaves nothing"
    stripe_fake.move_clock(at(3, 1))
    assert totals(stripe_client)[-1] == ("subscription_cycle", "paid", 5_050)


def test_an_upgrade_in_the_middle_is_prorated_to_the_second(stripe_fake: StripeFake, stripe_client: Client) -> None:
    """February 2027 has 28 days: after 7 of them three quarters are left. -3675 + 7425 = 3750."""
    stripe_fake.set_clock(at(2, 1))
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900))
    stripe_fake.move_clock(at(2, 8))
    item = made["items"]["data"][0]["id"]
    bigger: Any = [{"id": item, "price": price(stripe_client, 9_900)}]
    seen = stripe_client.v1.invoices.create_preview(
        {"subscription": made.id, "subscription_details": {"items": bigger, "proration_behavior": "always_invoice"}}
    )
    assert [line.amount for line in seen.lines.data] == [-3_675, 7_425]
    stripe_client.v1.subscriptions.update(made.id, {"items": bigger, "proration_behavior": "always_invoice"})
    paid = latest(stripe_client, made.id)
    assert (paid.billing_reason, paid.status, paid.total) == ("subscription_update", "paid", 3_750)
    parents = [line.to_dict()["parent"]["invoice_item_details"] for line in paid.lines.data]
    assert [(each["proration"], each["subscription"]) for each in parents] == [(True, made.id)] * 2
    stripe_fake.move_clock(at(3, 2))
    assert totals(stripe_client)[-1] == ("subscription_cycle", "paid", 9_900)


@pytest.mark.parametrize(("behaviour", "at_renewal"), [("create_prorations", 13_650), ("none", 9_900)])
def test_prorations_wait_for_the_renewal_or_are_not_made(
    stripe_fake: StripeFake, stripe_client: Client, behaviour: Any, at_renewal: int
) -> None:
    stripe_fake.set_clock(at(2, 1))
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900))
    stripe_fake.move_clock(at(2, 8))
    change: Any = {"id": made["items"]["data"][0]["id"], "price": price(stripe_client, 9_900)}
    stripe_client.v1.subscriptions.update(made.id, {"items": [change], "proration_behavior": behaviour})
    assert len(totals(stripe_client)) == 1
    stripe_fake.move_clock(at(3, 2))
    assert totals(stripe_client)[-1] == ("subscription_cycle", "paid", at_renewal)


def test_another_interval_begins_a_new_period_at_once(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900))
    stripe_fake.move_clock(at(2, 8))
    yearly: Any = {"id": made["items"]["data"][0]["id"], "price": price(stripe_client, 49_000, "year")}
    changed = stripe_client.v1.subscriptions.update(made.id, {"items": [yearly]})
    assert period(changed) == (at(2, 8), at(2, 8, year=2028))
    assert totals(stripe_client)[-1] == ("subscription_update", "paid", 49_000 - 3_675)


def test_an_upgrade_that_cannot_be_paid_is_taken_back(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    customer = paying_customer(stripe_client)
    made = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    stripe_fake.card_turns(
        stripe_client.v1.payment_methods.list({"customer": customer}).data[0].id, "pm_card_chargeCustomerFail"
    )
    change: Any = {"id": made["items"]["data"][0]["id"], "price": price(stripe_client, 9_900)}
    asked: Any = {"items": [change], "proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
    told = len(stripe_fake.events)
    refused("card_declined", lambda: stripe_client.v1.subscriptions.update(made.id, asked))
    read = stripe_client.v1.subscriptions.retrieve(made.id)
    assert (read["items"]["data"][0]["price"]["unit_amount"], read.status) == (4_900, "active")
    assert (len(totals(stripe_client)), len(stripe_fake.events)) == (1, told)
    held = stripe_client.v1.subscriptions.update(made.id, {**asked, "payment_behavior": "pending_if_incomplete"})
    assert (held.status, held["items"]["data"][0]["price"]["unit_amount"]) == ("active", 4_900)
    assert held.pending_update is not None
    new = stripe_client.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe_client.v1.invoices.pay(str(held.latest_invoice), {"payment_method": new.id})
    done = stripe_client.v1.subscriptions.retrieve(made.id)
    assert (done["items"]["data"][0]["price"]["unit_amount"], done.pending_update) == (9_900, None)


@pytest.mark.parametrize(
    ("exhausted", "last"),
    [("canceled", "customer.subscription.deleted"), ("unpaid", "customer.subscription.updated")],
)
def test_a_failed_renewal_is_past_due_and_then_what_the_settings_say(exhausted: Any, last: str) -> None:
    with StripeFake(retry_days=(3,), when_exhausted=exhausted) as fake:
        fake.set_clock(at(2, 1))
        client = client_of(fake)
        customer = paying_customer(client)
        made = subscribe(client, customer, price(client, 4_900))
        card = client.v1.payment_methods.list({"customer": customer}).data[0].id
        fake.card_turns(card, "pm_card_chargeDeclinedInsufficientFunds")
        fake.move_clock(at(3, 2))
        assert client.v1.subscriptions.retrieve(made.id).status == "past_due"
        fake.move_clock(at(3, 5))
        assert client.v1.subscriptions.retrieve(made.id).status == exhausted
        assert types(fake, "customer.subscription.")[-1] == last
        assert not fake.failures


def test_a_payment_makes_a_past_due_subscription_active_again(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    customer = paying_customer(stripe_client)
    made = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    card = stripe_client.v1.payment_methods.list({"customer": customer}).data[0].id
    stripe_fake.card_turns(card, "pm_card_chargeCustomerFail")
    stripe_fake.move_clock(at(3, 2))
    stripe_fake.card_turns(card, "pm_card_visa")
    stripe_client.v1.invoices.pay(latest(stripe_client, made.id).id)
    assert stripe_client.v1.subscriptions.retrieve(made.id).status == "active"


def test_a_first_invoice_that_nobody_pays_expires(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    customer = paying_customer(stripe_client, "pm_card_chargeCustomerFail")
    plan = price(stripe_client, 4_900)
    made = subscribe(stripe_client, customer, plan)
    assert made.status == "incomplete"
    refused("card_declined", lambda: subscribe(stripe_client, customer, plan, payment_behavior="error_if_incomplete"))
    assert len(stripe_client.v1.subscriptions.list({"customer": customer}).data) == 1
    stripe_fake.move_clock(at(2, 2, 11))
    assert stripe_client.v1.subscriptions.retrieve(made.id).status == "incomplete_expired"
    assert latest(stripe_client, made.id).status == "void"


def test_a_trial_costs_nothing_and_warns_before_it_ends(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900), trial_period_days=14)
    assert (made.status, latest(stripe_client, made.id).total) == ("trialing", 0)
    stripe_fake.move_clock(at(2, 12))
    assert types(stripe_fake, "customer.subscription.")[-1] == "customer.subscription.trial_will_end"
    stripe_fake.move_clock(at(2, 16))
    read = stripe_client.v1.subscriptions.retrieve(made.id)
    assert (read.status, period(read)) == ("active", (at(2, 15), at(3, 15)))
    assert totals(stripe_client)[-1] == ("subscription_cycle", "paid", 4_900)


def test_an_end_is_planned_taken_back_and_comes(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    customer = paying_customer(stripe_client)
    made = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    update = stripe_client.v1.subscriptions.update
    ends = update(made.id, {"cancel_at_period_end": True})
    assert (ends.status, ends.cancel_at_period_end, ends.cancel_at) == ("active", True, int(at(3, 1).timestamp()))
    assert update(made.id, {"cancel_at_period_end": False}).cancel_at is None
    update(made.id, {"cancel_at_period_end": True})
    stripe_fake.move_clock(at(3, 2))
    read = stripe_client.v1.subscriptions.retrieve(made.id)
    assert (read.status, read.ended_at) == ("canceled", int(at(3, 1).timestamp()))
    assert types(stripe_fake, "customer.subscription.")[-1] == "customer.subscription.deleted"
    assert len(totals(stripe_client)) == 1
    refused("invalid_canceled_subscription_fields", lambda: update(made.id, {"cancel_at_period_end": False}))
    refused("resource_missing", lambda: stripe_client.v1.subscriptions.cancel(made.id))
    assert stripe_client.v1.subscriptions.list({"customer": customer}).data == []
    assert len(stripe_client.v1.subscriptions.list({"customer": customer, "status": "all"}).data) == 1


def test_a_customer_who_is_deleted_takes_subscriptions_along(stripe_fake: StripeFake, stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    made = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    stripe_client.v1.customers.delete(customer)
    assert stripe_client.v1.subscriptions.retrieve(made.id).status == "canceled"
    assert stripe_client.v1.customers.retrieve(customer).deleted
    told = types(stripe_fake, "customer.", "payment_method.")[-3:]
    assert told == ["customer.subscription.deleted", "payment_method.detached", "customer.deleted"]


def test_a_pause_is_ended_by_resuming(stripe_fake: StripeFake, stripe_client: Client) -> None:
    stripe_fake.set_clock(at(2, 1))
    made = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900))
    stripe_fake.pause_subscription(made.id)
    stripe_fake.move_clock(at(6, 1))
    assert len(totals(stripe_client)) == 1
    resumed = stripe_client.v1.subscriptions.resume(made.id)
    assert (resumed.status, period(resumed)) == ("active", (at(6, 1), at(7, 1)))


def test_the_clock_goes_forward_only(stripe_fake: StripeFake) -> None:
    stripe_fake.set_clock(START)
    with pytest.raises(ValueError, match="forward only"):
        stripe_fake.move_clock(START - timedelta(seconds=1))
    with pytest.raises(ValueError, match="zone"):
        stripe_fake.move_clock(datetime(2028, 1, 1))  # noqa: DTZ001  what is refused
