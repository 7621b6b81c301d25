"""Checkout and portal, over HTTP, with Stripe on a socket: what was paid for begins, once, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask

from api_v1.stripe_fake import StripeFake
from billing_db import Connection, atomic, execute, fetch_all
from tests.api.shop import PREFIX, THEN, Shop
from tests.cast import Cast, Person
from tests.stripe import client_of, with_pages
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER


@pytest.fixture
def shop(make_app: Callable[..., Flask], stripe_fake: StripeFake, db: Connection, people: Cast) -> Shop:
    return Shop(make_app(BILLING_LOCALE="en", **SELLER, **with_pages(stripe_fake)), stripe_fake, db, people)


def named_price(shop: Shop, code: str, cents: int) -> str:
    """A plan by the month that names a price of Stripe's, of that many cents. The price's id."""
    client = client_of(shop.fake)
    product = client.v1.products.create({"name": code})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "eur", "unit_amount": cents, "recurring": {"interval": "month"}}
    )
    draft = PlanDraft(code, code.title(), cents, "EUR", tax_behavior="inclusive", stripe_price_id=price.id)
    catalogue.create_plan(shop.db, THEN, 1, draft)
    return str(price.id)


def test_whoever_pays_gets_the_plan_and_an_invoice_of_what_he_paid(shop: Shop, alice: Person) -> None:
    session_id = shop.checkout(alice)
    assert shop.plan_of(alice) == ("free", None)
    shop.fake.complete_checkout(session_id)
    assert shop.plan_of(alice) == ("free", None)  # he came back: that grants nothing
    shop.hear()
    assert shop.plan_of(alice) == ("premium", "stripe")
    (invoice,) = shop.get(alice, "/invoices")["items"]
    assert (invoice["kind"], invoice["status"], invoice["amount_cents"]) == ("stripe", "paid", 2_280)
    assert (invoice["net_cents"], invoice["tax_cents"], invoice["paid_cents"]) == (1_900, 380, 2_280)
    assert shop.statuses() == ["complete"]


def test_in_whatever_order_stripe_tells_it(shop: Shop, alice: Person) -> None:
    shop.fake.complete_checkout(shop.checkout(alice))
    events = [event for event in reversed(shop.fake.events) if not event["type"].startswith("customer.created")]
    for event in [*events, *events]:
        shop.tell(event)
    assert shop.plan_of(alice) == ("premium", "stripe")
    (invoice,) = shop.get(alice, "/invoices")["items"]
    assert (invoice["status"], invoice["paid_cents"]) == ("paid", 2_280)


def test_the_page_stays_the_same_while_it_is_open_and_closes_for_another_plan(shop: Shop, alice: Person) -> None:
    first = shop.checkout(alice)
    assert shop.checkout(alice) == first
    second = shop.checkout(alice, "pro")
    assert second != first
    assert {one["id"]: one["status"] for one in shop.sessions()} == {first: "expired", second: "open"}
    assert shop.statuses() == ["expired", "open"]


def test_a_page_that_has_expired_is_followed_by_another(shop: Shop, alice: Person) -> None:
    first = shop.checkout(alice)
    shop.fake.move_clock(shop.fake.now + timedelta(days=2))
    shop.hear("checkout.session.expired")
    assert shop.statuses() == ["expired"]
    assert shop.checkout(alice) != first


def test_two_requests_at_once_come_to_one_page(shop: Shop, alice: Person) -> None:
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: shop.post(alice, "/checkout", {"plan": "premium"}), range(4)))
    assert {reply.status_code for reply in replies} <= {200, 502}  # 502: Stripe answers the first one still
    assert len({reply.json["url"] for reply in replies if reply.status_code == 200}) == 1
    assert len(shop.sessions()) == 1
    assert shop.statuses() == ["open"]


def test_a_lost_answer_makes_no_second_page(shop: Shop, alice: Person) -> None:
    shop.fake.fault("POST", "/v1/checkout/sessions", drop="after", times=3)
    assert shop.post(alice, "/checkout", {"plan": "premium"}).status_code == 502
    assert shop.statuses() == ["opening"]
    shop.checkout(alice)
    assert len(shop.sessions()) == 1


def test_one_of_which_nobody_knows_whether_there_is_a_page_is_given_up_after_a_day(shop: Shop, alice: Person) -> None:
    shop.fake.fault("POST", "/v1/checkout/sessions", drop="after", times=3)
    assert shop.post(alice, "/checkout", {"plan": "premium"}).status_code == 502
    with atomic(shop.db):
        execute(shop.db, "UPDATE billing_checkouts SET created_at = '2026-01-01T00:00:00Z'")
    shop.checkout(alice)
    assert shop.statuses() == ["expired", "open"]


def test_who_pays_already_changes_his_subscription_instead(shop: Shop, alice: Person, bob: Person) -> None:
    shop.fake.complete_checkout(shop.checkout(alice))
    assert shop.post(alice, "/checkout", {"plan": "pro"}).json["code"] == "checkout_processing"
    shop.hear()
    assert shop.post(alice, "/checkout", {"plan": "pro"}).json["code"] == "subscription_exists"
    assert shop.post(bob, "/subscriptions", {"plan": "pro"}).status_code == 201
    refused = shop.post(bob, "/checkout", {"plan": "premium"})
    assert (refused.status_code, refused.json["code"]) == (409, "subscription_exists")


def test_a_bank_that_takes_its_time_grants_when_it_has_paid(shop: Shop, alice: Person) -> None:
    session_id = shop.checkout(alice)
    shop.fake.complete_checkout(session_id, later=True)
    shop.hear()
    assert (shop.plan_of(alice), shop.statuses()) == (("free", None), ["processing"])
    assert shop.post(alice, "/checkout", {"plan": "premium"}).json["code"] == "checkout_processing"
    shop.fake.decide_payment(session_id, succeeded=True)
    shop.hear()
    shop.work()
    assert (shop.plan_of(alice), shop.statuses()) == (("premium", "stripe"), ["complete"])
    assert [one["status"] for one in shop.get(alice, "/invoices")["items"]] == ["paid"]


def test_who_begins_to_pay_here_closes_the_page_that_is_open_for_him_there(
    shop: Shop, alice: Person, bob: Person
) -> None:
    page, other = shop.checkout(alice), shop.checkout(bob)
    assert shop.post(alice, "/subscriptions", {"plan": "pro"}).status_code == 201
    number = shop.post(bob, "/subscriptions", {"plan": "free"}).json["id"]
    dry = {"plan": "pro", "dry_run": True}
    assert shop.post(bob, f"/subscriptions/{number}/change", dry).status_code == 200
    shop.work()
    assert {one["id"]: one["status"] for one in shop.sessions()} == {page: "expired", other: "open"}
    assert shop.post(bob, f"/subscriptions/{number}/change", {"plan": "pro"}).status_code == 200
    shop.work()
    shop.hear()
    assert {one["status"] for one in shop.sessions()} == {"expired"}
    assert (shop.statuses(), shop.plan_of(alice), shop.plan_of(bob)) == (
        ["expired", "expired"], ("pro", "local"), ("pro", "local"))  # fmt: skip


def test_nobody_begins_to_pay_here_while_his_bank_is_about_to_pay_there(shop: Shop, alice: Person) -> None:
    shop.fake.complete_checkout(shop.checkout(alice), later=True)
    shop.hear()
    refused = shop.post(alice, "/subscriptions", {"plan": "pro"})
    assert (refused.status_code, refused.json["code"]) == (409, "checkout_processing")
    assert shop.plan_of(alice) == ("free", None)


def test_a_bank_that_does_not_pay_grants_nothing(shop: Shop, alice: Person) -> None:
    session_id = shop.checkout(alice)
    shop.fake.complete_checkout(session_id, later=True)
    shop.hear()
    shop.fake.decide_payment(session_id, succeeded=False)
    shop.hear()
    assert (shop.plan_of(alice), shop.statuses()) == (("free", None), ["failed"])
    assert shop.get(alice, "/invoices")["items"] == []
    assert shop.checkout(alice) != session_id


def test_a_trial_is_given_once(shop: Shop, alice: Person) -> None:
    shop.fake.complete_checkout(shop.checkout(alice, "tried"))
    shop.hear()
    assert shop.get(alice, "/subscription")["subscription"]["status"] == "trialing"
    assert shop.get(alice, "/invoices")["items"] == []  # nothing was paid
    subscription_id = next(one["id"] for one in shop.fake.objects.values() if one["object"] == "subscription")
    client_of(shop.fake).v1.subscriptions.cancel(subscription_id)
    shop.hear()
    assert shop.plan_of(alice) == ("free", None)
    shop.fake.complete_checkout(shop.checkout(alice, "tried"))
    shop.hear()
    assert shop.get(alice, "/subscription")["subscription"]["status"] == "active"


def test_a_plan_without_a_fee_asks_for_a_card_and_is_billed_here(shop: Shop, alice: Person) -> None:
    session_id = shop.checkout(alice, "metered")
    shop.fake.complete_checkout(session_id)
    assert shop.sessions()[0]["mode"] == "setup"
    shop.hear()
    assert shop.plan_of(alice) == ("metered", "local")
    card = fetch_all(shop.db, "SELECT stripe_payment_method_id AS card FROM billing_accounts WHERE user_id = 1")
    assert card[0]["card"]
    shop.fake.complete_checkout(shop.checkout(alice))  # nobody pays a fee for that one: it gives way
    shop.hear()
    assert shop.plan_of(alice) == ("premium", "stripe")


def test_another_ones_page_is_of_no_use(shop: Shop, alice: Person, bob: Person) -> None:
    """Bob says that Alice's session was his: by his customer, at Stripe."""
    session_id = shop.checkout(alice)
    shop.checkout(bob)
    theirs = fetch_all(shop.db, "SELECT stripe_customer_id AS id FROM billing_accounts WHERE user_id = 2")[0]["id"]
    shop.fake.complete_checkout(session_id)
    completed = next(one for one in shop.fake.events if one["type"] == "checkout.session.completed")
    completed["data"]["object"]["customer"] = theirs
    assert shop.tell(completed) == "ignored"
    assert shop.plan_of(bob) == ("free", None)
    assert shop.statuses() == ["open", "open"]


@pytest.mark.parametrize("name", ["BILLING_STRIPE_SUCCESS_URL", "BILLING_STRIPE_CANCEL_URL"])
def test_where_stripe_sends_him_stands_in_the_settings_alone(
    make_app: Callable[..., Flask], stripe_fake: StripeFake, alice: Person, name: str
) -> None:
    pages = with_pages(stripe_fake)
    client = make_app(BILLING_LOCALE="en", **{**pages, name: ""}).test_client()
    reply = client.post(f"{PREFIX}/checkout", json={"plan": "premium"}, headers=alice.headers)
    assert (reply.status_code, reply.json["code"]) == (503, "stripe_url_missing")
    assert name in reply.json["error"]
    given = {"plan": "premium", "success_url": "https://evil.example"}
    assert client.post(f"{PREFIX}/checkout", json=given, headers=alice.headers).status_code == 422


def test_the_portal_is_the_callers_own(shop: Shop, alice: Person, bob: Person) -> None:
    for person in (alice, bob, alice):
        assert shop.post(person, "/portal").status_code == 200
    opened = [one for one in shop.fake.objects.values() if one["object"] == "billing_portal.session"]
    rows = fetch_all(shop.db, "SELECT stripe_customer_id AS id FROM billing_accounts WHERE user_id IN (1, 2)")
    assert {one["customer"] for one in opened} == {row["id"] for row in rows}
    assert {one["return_url"] for one in opened} == {"https://host.example/return"}


def test_without_a_key_there_are_no_pages(make_app: Callable[..., Flask], alice: Person) -> None:
    client = make_app().test_client()
    for path, body in (("/checkout", {"plan": "premium"}), ("/portal", {})):
        reply = client.post(f"{PREFIX}{path}", json=body, headers=alice.headers)
        assert (reply.status_code, reply.json["code"]) == (503, "stripe_not_configured")


def test_another_currency_and_an_unknown_plan_are_refused(shop: Shop, alice: Person) -> None:
    shop.fake.complete_checkout(shop.checkout(alice))
    shop.hear()
    assert shop.post(alice, "/checkout", {"plan": "nowhere"}).status_code == 422
    with atomic(shop.db):
        execute(shop.db, "UPDATE saas_subscriptions SET status = 'canceled'")
    refused = shop.post(alice, "/checkout", {"plan": "dollars"})
    assert (refused.status_code, refused.json["code"]) == (409, "currency_mismatch")


def test_a_currency_that_stripe_counts_otherwise_is_not_sold_there(shop: Shop, alice: Person) -> None:
    catalogue.create_plan(shop.db, THEN, 1, PlanDraft("krona", "Krona", 900, "ISK"))
    refused = shop.post(alice, "/checkout", {"plan": "krona"})
    assert (refused.status_code, refused.json["code"]) == (409, "stripe_currency")


def test_stripe_charges_what_the_plan_costs_this_buyer(shop: Shop, alice: Person, bob: Person) -> None:
    profile = {"kind": "pro", "name": "B", "address": "Weg 1", "city": "Zürich", "country": "CH"}
    assert shop.client.put(f"{PREFIX}/profile", json=profile, headers=bob.headers).status_code == 200
    for person in (alice, bob):
        shop.checkout(person)
    assert sorted(one["amount_total"] for one in shop.sessions()) == [1_900, 2_280]


def test_what_stripe_refuses_or_does_not_answer_is_said_so(shop: Shop, alice: Person) -> None:
    shop.fake.down = True
    assert shop.post(alice, "/checkout", {"plan": "premium"}).json["code"] == "gateway_failed"
    shop.fake.down = False
    shop.checkout(alice)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit_amount": 900}, "The plan named is 19.00 EUR / month, its price {price} at Stripe 9.00 EUR / month"),
        ({"recurring": {"interval": "year", "interval_count": 1}}, "at Stripe 19.00 EUR / year: it is not sold"),
        ({"active": False}, "its price {price} is archived at Stripe"),
        (None, "Stripe does not know its price {price}"),
    ],
)
def test_a_price_of_stripes_that_is_not_the_plans_is_not_sold(
    shop: Shop, alice: Person, caplog: pytest.LogCaptureFixture, changed: dict[str, object] | None, said: str
) -> None:
    price = named_price(shop, "named", 1_900)
    objects = shop.fake.world.objects
    objects[price] = {**objects[price], **changed} if changed else objects.pop(price) | {"object": "gone"}
    refused = shop.post(alice, "/checkout", {"plan": "named"})
    assert (refused.status_code, refused.json["code"]) == (409, "stripe_price_differs")
    assert said.format(price=price) in refused.json["error"]
    assert (shop.sessions(), shop.statuses()) == ([], [])
    assert [one.levelname for one in caplog.records if f"its price {price} at Stripe is" in one.message] == ["ERROR"]


def test_a_price_of_stripes_that_is_the_plans_is_sold(shop: Shop, alice: Person) -> None:
    price = named_price(shop, "named", 1_900)
    shop.fake.complete_checkout(shop.checkout(alice, "named"))
    shop.hear()
    assert shop.plan_of(alice) == ("named", "stripe")
    (sold,) = [one for one in shop.fake.objects.values() if one["object"] == "subscription"]
    assert sold["items"]["data"][0]["price"]["id"] == price


def test_nobody_pays_before_it_is_known_who_sells(
    make_app: Callable[..., Flask], stripe_fake: StripeFake, alice: Person
) -> None:
    seller = {**SELLER, "BILLING_SELLER_SIREN": "", "BILLING_SELLER_SIRET": ""}
    client = make_app(BILLING_LOCALE="en", **seller, **with_pages(stripe_fake)).test_client()
    refused = client.post(f"{PREFIX}/checkout", json={"plan": "premium"}, headers=alice.headers)
    assert (refused.status_code, refused.json["code"]) == (409, "seller_incomplete")
    assert "BILLING_SELLER_SIREN" in refused.json["error"]
    assert stripe_fake.requests == []


@pytest.mark.parametrize("kinds", [{"price", "product"}, {"customer"}, {"price", "product", "customer"}])
def test_what_stripe_does_not_know_any_more_is_made_anew(shop: Shop, alice: Person, kinds: set[str]) -> None:
    """As with the key of another account, or a fake that was started again."""
    first = shop.checkout(alice)
    objects = shop.fake.world.objects
    for name in [name for name, one in objects.items() if one["object"] in {*kinds, "checkout.session"}]:
        del objects[name]
    second = shop.checkout(alice)
    assert second != first
    shop.fake.complete_checkout(second)
    shop.hear()
    assert shop.plan_of(alice) == ("premium", "stripe")


def test_a_price_of_ours_that_somebody_has_archived_is_made_anew(shop: Shop, alice: Person, bob: Person) -> None:
    shop.checkout(alice)
    (made,) = [one for one in shop.fake.objects.values() if one["object"] == "price"]
    client_of(shop.fake).v1.prices.update(made["id"], {"active": False})
    shop.checkout(bob)
    prices = [one for one in shop.fake.objects.values() if one["object"] == "price"]
    assert [(one["active"], one["unit_amount"]) for one in prices] == [(False, 2_280), (True, 2_280)]
