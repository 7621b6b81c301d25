"""A subscription that Stripe runs, changed through our routes: Stripe is asked, and ours stands as it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from api_v1.signals import subscription_changed
from api_v1.stripe_fake import StripeFake
from billing_db import Connection, fetch_all
from tests.api.shop import THEN, Shop
from tests.cast import Cast, Person
from tests.stripe import client_of, with_pages
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.settings import read_settings
from turf_saas.values import Month
from turf_saas.verifying import verify


@pytest.fixture
def shop(make_app: Callable[..., Flask], stripe_fake: StripeFake, db: Connection, people: Cast) -> Shop:
    """Where Alice has bought premium, 19.00 and 20 % VAT, or pro for 49.00."""
    return Shop(make_app(BILLING_LOCALE="en", **SELLER, **with_pages(stripe_fake)), stripe_fake, db, people)


def buy(shop: Shop, person: Person, plan: str = "premium", card: str = "pm_card_visa") -> int:
    """The subscription's id here."""
    shop.fake.complete_checkout(shop.checkout(person, plan), card)
    shop.hear()
    return int(shop.get(person, "/subscription")["subscription"]["id"])


def there(shop: Shop) -> Mapping[str, Any]:
    (found,) = [one for one in shop.fake.objects.values() if one["object"] == "subscription"]
    return found


def change(shop: Shop, person: Person, number: int, plan: str, status: int = 200, **given: Any) -> Any:
    reply = shop.post(person, f"/subscriptions/{number}/change", {"plan": plan, **given})
    assert reply.status_code == status, reply.data
    return reply.json


def assert_whole(shop: Shop) -> None:
    settings = read_settings({"TURF_SAAS_DB": "unused", **SELLER})
    found = verify(shop.db, settings, Month.of(shop.app.extensions["billing"].real_now(), settings.timezone))
    assert [one.sentence for one in found.wrong.shown] == []


def test_an_upgrade_is_in_force_when_it_is_paid_and_our_books_have_it(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    done = change(shop, alice, number, "pro")
    assert (done["subscription"]["plan"], done["subscription"]["billed_by"]) == ("pro", "stripe")
    money = done["proration"]
    assert money["charge_cents"] - money["credit_cents"] == money["net_cents"] > 0
    shop.hear()
    assert shop.plan_of(alice) == ("pro", "stripe")
    newest, first = shop.get(alice, "/invoices")["items"]
    assert (first["amount_cents"], newest["amount_cents"]) == (2_280, money["net_cents"])
    assert [line["kind"] for line in newest["lines"]] == ["credit", "charge"]
    assert newest["status"] == "paid"
    assert_whole(shop)


def test_an_upgrade_that_the_card_does_not_pay_for_is_none(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    card = there(shop)["default_payment_method"]
    shop.fake.card_turns(card, "pm_card_chargeDeclined")
    done = change(shop, alice, number, "pro")
    assert done["subscription"]["plan"] == "premium"
    assert done["proration"]["net_cents"] == 0
    shop.hear()
    assert shop.plan_of(alice) == ("premium", "stripe")


def test_a_downgrade_waits_for_the_period_that_was_not_paid_yet(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice, "pro")
    done = change(shop, alice, number, "premium")["subscription"]
    assert done["plan"] == "pro"
    assert done["pending_change"] == {"plan": "premium", "at": done["current_period_end"]}
    shop.hear()
    assert shop.plan_of(alice) == ("pro", "stripe")
    shop.fake.move_clock(shop.fake.now + timedelta(days=32))
    shop.hear()
    now = shop.get(alice, "/subscription")["subscription"]
    assert (now["plan"], now["pending_change"]) == ("premium", None)
    newest = shop.get(alice, "/invoices")["items"][0]
    assert (newest["kind"], newest["amount_cents"]) == ("stripe", 2_280)
    assert_whole(shop)


def test_who_stays_after_all_drops_the_change_there_as_well(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice, "pro")
    change(shop, alice, number, "premium")
    assert change(shop, alice, number, "pro")["subscription"]["pending_change"] is None
    shop.hear()
    assert there(shop)["items"]["data"][0]["price"]["unit_amount"] == 5_880
    assert shop.get(alice, "/subscription")["subscription"]["pending_change"] is None


def test_an_end_drops_the_change_that_waits_and_going_on_does_not_bring_it_back(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice, "pro")
    change(shop, alice, number, "premium")
    ended = shop.post(alice, f"/subscriptions/{number}/cancel").json["subscription"]
    assert (ended["plan"], ended["pending_change"], ended["cancel_at_period_end"]) == ("pro", None, True)
    assert change(shop, alice, number, "premium", 409)["code"] == "cancel_scheduled"
    shop.post(alice, f"/subscriptions/{number}/resume")
    shop.hear()
    assert shop.plan_of(alice) == ("pro", "stripe")


def test_an_admin_may_make_the_waiting_plan_the_one_of_now(shop: Shop, alice: Person, ada: Person) -> None:
    number = buy(shop, alice, "pro")
    change(shop, alice, number, "premium")
    assert change(shop, alice, number, "premium", 403, when="now")["code"] == "downgrade_now"
    assert change(shop, ada, number, "premium", when="now")["subscription"]["plan"] == "premium"
    shop.hear()
    assert shop.plan_of(alice) == ("premium", "stripe")


def test_from_month_to_year_begins_a_new_period_now_and_never_back(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    done = change(shop, alice, number, "yearly")
    assert done["subscription"]["plan"] == "yearly"
    assert done["proration"]["charge_cents"] == 14_400
    shop.hear()
    assert change(shop, alice, number, "premium", 409)["code"] == "stripe_year_to_month"
    assert_whole(shop)


def test_an_end_with_the_period_can_be_taken_back_until_it_has_come(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    ended = shop.post(alice, f"/subscriptions/{number}/cancel", {"reason": "too dear"}).json["subscription"]
    assert (ended["status"], ended["cancel_at_period_end"]) == ("active", True)
    assert there(shop)["cancellation_details"]["comment"] == "too dear"
    assert shop.post(alice, f"/subscriptions/{number}/resume").json["cancel_at_period_end"] is False
    assert shop.post(alice, f"/subscriptions/{number}/resume").json["code"] == "nothing_to_resume"
    shop.post(alice, f"/subscriptions/{number}/cancel")
    shop.fake.move_clock(shop.fake.now + timedelta(days=32))
    shop.hear()
    assert shop.plan_of(alice) == ("free", None)


def test_an_end_now_gives_back_what_was_paid_for_the_rest(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    done = shop.post(alice, f"/subscriptions/{number}/cancel", {"when": "now"}).json
    assert done["subscription"]["status"] == "canceled"
    credit = done["proration"]["credit_cents"]
    assert 2_200 <= credit <= 2_280  # it was bought a moment ago
    assert there(shop)["status"] == "canceled"
    shop.hear()
    assert shop.get(alice, "/account-credit")["balances"] == [{"currency": "EUR", "balance_cents": credit}]
    assert shop.post(alice, f"/subscriptions/{number}/cancel").json["code"] == "subscription_ended"
    assert_whole(shop)


def test_a_request_that_comes_again_with_its_key_asks_nobody_twice(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    replies = [
        shop.post(alice, f"/subscriptions/{number}/change", {"plan": "pro"}, **{"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert replies[0].json == replies[1].json
    asked = [one for one in shop.fake.requests if one.method == "POST" and "/v1/subscriptions/" in one.path]
    assert len(asked) == 1


def test_two_at_once_are_one_change(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    with ThreadPoolExecutor(2) as threads:
        replies = list(
            threads.map(lambda _: shop.post(alice, f"/subscriptions/{number}/change", {"plan": "pro"}), range(2))
        )
    assert {reply.status_code for reply in replies} <= {200, 409, 502}
    assert 200 in {reply.status_code for reply in replies}
    shop.hear()
    assert [one["amount_cents"] > 0 for one in shop.get(alice, "/invoices")["items"]] == [True, True]


def test_a_lost_answer_changes_it_once_and_the_next_request_knows(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    shop.fake.fault("POST", "/v1/subscriptions", drop="after", times=3)
    assert change(shop, alice, number, "pro", 502)["code"] == "gateway_failed"
    assert change(shop, alice, number, "pro")["subscription"]["plan"] == "pro"
    shop.hear()
    assert len(shop.get(alice, "/invoices")["items"]) == 2


def test_what_stripe_refuses_leaves_everything_as_it_was_and_only_the_log_says_why(
    shop: Shop, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    number = buy(shop, alice, "pro")
    shop.fake.fault("POST", "/v1/subscriptions", status=400, message="No such price, says sk_test_of_the_tests.")
    refused = shop.post(alice, f"/subscriptions/{number}/change", {"plan": "premium"})
    assert (refused.status_code, refused.json["code"], "Retry-After" in refused.headers) == (
        502, "gateway_refused", False)  # fmt: skip
    assert "No such price" not in refused.text
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "the payment service refuses it: " in said
    assert "No such price, says ?" in said
    assert shop.get(alice, "/subscription")["subscription"]["pending_change"] is None


def test_a_stripe_that_is_away_is_asked_again_in_a_minute(
    shop: Shop, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    shop.fake.down = True
    refused = shop.post(alice, "/portal", {})
    assert (refused.status_code, refused.json["code"], refused.headers["Retry-After"]) == (502, "gateway_failed", "60")
    (said,) = [record for record in caplog.records if record.name == "wsgi" or "payment service" in record.message]
    assert (said.levelname, "the payment service did not do it: unreachable" in said.message) == ("WARNING", True)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"plan": "premium"}, "plan_unchanged"),
        ({"plan": "free"}, "stripe_plan_free"),
        ({"plan": "dollars"}, "currency_mismatch"),
        ({"plan": "pro", "discount_code": "SPRING"}, "stripe_takes_no_code"),
        ({"plan": "pro", "dry_run": True}, "stripe_no_dry_run"),
    ],
)
def test_what_stripe_could_not_bill_is_refused_before_it_is_asked(
    shop: Shop, alice: Person, given: dict[str, Any], code: str
) -> None:
    number = buy(shop, alice)
    assert change(shop, alice, number, status=409, **given)["code"] == code


def test_a_plan_whose_price_at_stripe_is_another_is_not_changed_to(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    catalogue.create_plan(shop.db, THEN, 1, PlanDraft("named", "Named", 9_900, "EUR", stripe_price_id="price_nowhere"))
    refused = change(shop, alice, number, "named", 409)
    assert refused["code"] == "stripe_price_differs"
    assert shop.get(alice, "/subscription")["subscription"]["pending_change"] is None


def test_what_an_end_would_give_back_is_not_worked_out_here(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    refused = shop.post(alice, f"/subscriptions/{number}/cancel", {"dry_run": True})
    assert (refused.status_code, refused.json["code"]) == (409, "stripe_no_dry_run")
    assert "what its end would give back" in refused.json["error"]


@pytest.mark.parametrize("when", ["period_end", "now"])
def test_one_that_stripe_does_not_know_ends_here(shop: Shop, alice: Person, when: str) -> None:
    number = buy(shop, alice)
    del shop.fake.world.objects[there(shop)["id"]]
    reply = shop.post(alice, f"/subscriptions/{number}/cancel", {"when": when})
    assert (reply.status_code, reply.json["subscription"]["status"]) == (200, "canceled"), reply.data
    assert 2_200 <= reply.json["proration"]["credit_cents"] <= 2_280  # it was bought a moment ago
    assert shop.get(alice, f"/subscriptions/{number}/history")["items"][0]["reason"] == "unknown_to_stripe"
    assert shop.plan_of(alice) == ("free", None)
    assert_whole(shop)


def test_one_that_a_test_key_cannot_see_goes_on(shop: Shop, alice: Person) -> None:
    number = buy(shop, alice)
    live = "a similar object exists in live mode, but a test mode key was used to make this request."
    shop.fake.fault("*", "/v1/subscriptions", status=404, message=live, times=2)
    assert shop.post(alice, f"/subscriptions/{number}/cancel").status_code == 502
    assert shop.plan_of(alice) == ("premium", "stripe")


def test_somebody_elses_is_not_there(shop: Shop, alice: Person, bob: Person) -> None:
    number = buy(shop, alice)
    change(shop, bob, number, "pro", 404)
    assert there(shop)["items"]["data"][0]["price"]["unit_amount"] == 2_280


def test_a_change_in_stripes_dashboard_is_followed(shop: Shop, alice: Person) -> None:
    buy(shop, alice)
    client = client_of(shop.fake)
    client.v1.subscriptions.update(there(shop)["id"], {"cancel_at_period_end": True})
    shop.hear()
    assert shop.get(alice, "/subscription")["subscription"]["cancel_at_period_end"] is True
    client.v1.subscriptions.cancel(there(shop)["id"])
    shop.hear()
    assert shop.plan_of(alice) == ("free", None)


def test_the_host_hears_once_of_each_change(shop: Shop, alice: Person) -> None:
    heard: list[str] = []

    def note(_app: Flask, subscription: Any, what: str) -> None:
        heard.append(what)

    subscription_changed.connect(note, sender=shop.app)
    number = buy(shop, alice)
    change(shop, alice, number, "pro")
    shop.hear()
    shop.post(alice, f"/subscriptions/{number}/cancel")
    shop.hear()
    subscription_changed.disconnect(note, sender=shop.app)
    assert heard == ["subscribed", "changed", "cancel_scheduled"]


def test_the_months_invoice_of_a_renewed_subscription_has_no_fee(shop: Shop, alice: Person, ada: Person) -> None:
    buy(shop, alice)
    shop.fake.move_clock(shop.fake.now + timedelta(days=32))
    shop.hear()
    kinds = [row["kind"] for row in fetch_all(shop.db, "SELECT kind FROM invoices ORDER BY id")]
    assert kinds == ["stripe", "stripe"]
    assert fetch_all(shop.db, "SELECT * FROM billing_periods") == []


# -- its buyer -------------------------------------------------------------------------------------------


def live_in(shop: Shop, person: Person, country: str) -> None:
    reply = shop.client.put(
        "/api/v1/billing/profile", json={"kind": "consumer", "country": country}, headers=person.headers
    )
    assert reply.status_code == 200, reply.data
    shop.work()


def costs(shop: Shop) -> int:
    """A month of it, at Stripe."""
    amount: int = there(shop)["items"]["data"][0]["price"]["unit_amount"]
    return amount


def test_who_lives_elsewhere_pays_the_vat_of_there_from_the_next_period_on(shop: Shop, alice: Person) -> None:
    """19.00, and 20 % in France. So nobody subscribes from where there is none, and moves home."""
    live_in(shop, alice, "US")
    number = buy(shop, alice)
    assert costs(shop) == 1_900
    live_in(shop, alice, "FR")
    assert costs(shop) == 2_280
    live_in(shop, alice, "US")
    live_in(shop, alice, "FR")
    assert costs(shop) == 2_280
    shop.hear()
    shop.work()
    assert len(shop.get(alice, "/invoices")["items"]) == 1, "nothing is billed for the period that is paid"
    assert shop.plan_of(alice) == ("premium", "stripe")
    change(shop, alice, number, "pro")
    assert costs(shop) == 5_880


def test_a_plan_that_names_its_price_keeps_it_wherever_its_buyer_lives(shop: Shop, alice: Person) -> None:
    price = client_of(shop.fake).v1.prices.create(
        {"currency": "eur", "unit_amount": 3_000, "recurring": {"interval": "month"}, "product_data": {"name": "Named"}}
    )
    catalogue.create_plan(shop.db, THEN, 1, PlanDraft("named", "Named", 3_000, "EUR", stripe_price_id=price.id))
    buy(shop, alice, "named")
    live_in(shop, alice, "US")
    assert costs(shop) == 3_000
