"""A year of one customer whose owner is paid through Stripe: each amount by hand, VAT of 20 % included.

The app and the loopback Stripe talk over sockets, in both directions; one clock is moved for both of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.api.subscribing import THEN
from tests.cast import Cast
from tests.scenarios.at_stripe import Shop, served
from tests.scenarios.test_two_years import LARGE, SMALL
from tests.stripe import settings_of
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER

# 33.60 and 74.40 with VAT; of 1000 calls that are included the first is followed by calls at 0.01, of 5000 the second
# by calls at 0.005.
PLANS = (PlanDraft("solo", "Solo", 2_800, "EUR", **SMALL), PlanDraft("team", "Team", 6_200, "EUR", **LARGE))
URLS = {
    "BILLING_STRIPE_SUCCESS_URL": "https://turf.example/merci",
    "BILLING_STRIPE_CANCEL_URL": "https://turf.example/offres",
    "BILLING_STRIPE_RETURN_URL": "https://turf.example/compte",
}


@pytest.fixture
def shop(make_app: Callable[..., Flask], db: Connection, people: Cast, stripe_fake: StripeFake) -> Iterator[Shop]:
    for draft in PLANS:
        catalogue.create_plan(db, THEN, 1, draft)
    app = make_app(**SELLER, **settings_of(stripe_fake), **URLS)
    stripe_fake.set_clock(datetime(2027, 1, 4, 9, tzinfo=UTC))
    with served(app) as address:
        yield Shop(app, db, people, stripe_fake, address)


def test_a_year_of_one_customer_balances_to_the_cent(shop: Shop, people: Cast) -> None:
    alice = people.alice

    # 4 January: the checkout grants nothing until it is paid; then it is the subscription, and its first invoice.
    shop.at("2027-01-04T09:00")
    shop.done(shop.post(alice, "/checkout", {"plan": "solo"}), 200)
    assert shop.now(alice) is None
    shop.fake.complete_checkout(shop.only("checkout.session"))
    shop.work()
    assert shop.stands(alice) == ("solo", "active", "2027-02-04T09:00:00Z")
    assert shop.books(alice) == [("FACT-202701-0001", "stripe", 3_360, "paid", 0)]

    # January's 1500 calls are 500 too many: 5.00 and 1.00, which the card of the checkout pays. Then Stripe renews.
    alice.has_used(1_500, day="2027-01-20")
    shop.until("2027-02-01T00:05")
    shop.until("2027-02-04T12:00")
    assert shop.books(alice)[1:] == [
        ("FACT-202702-0001", "period", 600, "paid", 0),
        ("FACT-202702-0002", "stripe", 3_360, "paid", 0),
    ]

    # Up on the 18th at nine: half of the 28 days is left, -16.80 and +37.20, paid at once.
    shop.until("2027-02-18T09:00")
    number = shop.now(alice)["id"]
    assert shop.change(alice, number, "team")["subscription"]["plan"] == "team"
    shop.work()
    assert shop.books(alice)[-1] == ("FACT-202702-0003", "stripe", 2_040, "paid", 0)

    # The card is declined from now on. 9000 calls are 4000 too many at 0.005: 24.00 that nobody pays, and on 4 March
    # the renewal; Stripe has tried the first again by then, and says that the subscription is past due.
    shop.fake.card_turns(shop.only("payment_method"), "pm_card_chargeCustomerFail")
    alice.has_used(9_000, day="2027-02-20")
    shop.until("2027-03-01T00:05")
    shop.until("2027-03-04T12:00")
    assert shop.books(alice)[-2:] == [
        ("FACT-202703-0001", "period", 2_400, "pending", 2_400),
        ("FACT-202703-0002", "stripe", 7_440, "pending", 7_440),
    ]
    assert shop.stands(alice) == ("team", "past_due", "2027-04-04T09:00:00Z")
    assert shop.heard["payment_failed"] == ["FACT-202703-0001", "FACT-202703-0001", "FACT-202703-0002"]

    # A new card on the 8th: all that is open is paid with it at once, before anybody would have tried again. Within
    # one second Stripe has told of a card and of a recovery, and is asked which of them came last.
    shop.until("2027-03-08T09:00")
    shop.gives_a_new_card()
    shop.work()
    shop.until("2027-03-08T09:01")
    assert [row[3:] for row in shop.books(alice)[-2:]] == [("paid", 0), ("paid", 0)]
    assert shop.stands(alice) == ("team", "active", "2027-04-04T09:00:00Z")

    # April: she is given back 12.00 of it. May: her bank takes all of it back, and is found to be right.
    shop.until("2027-04-05T09:00")
    shop.done(shop.post(people.ada, f"/payments/{shop.payments(alice)[0]['id']}/refund", {"amount_cents": 1_200}), 200)
    shop.work()
    assert shop.books(alice)[-2:] == [
        ("FACT-202704-0001", "stripe", 7_440, "paid", 0),
        ("FACT-202704-0002", "credit_note", -1_200, "paid", 0),
    ]
    shop.until("2027-05-05T09:00")
    disputed = shop.fake.dispute(shop.newest_charge())
    shop.work()
    assert shop.books(alice)[-1] == ("FACT-202705-0001", "stripe", 7_440, "paid", 0)
    shop.until("2027-05-20T09:00")
    shop.fake.close_dispute(disputed["id"], "lost")
    shop.work()
    assert shop.books(alice)[-2:] == [
        ("FACT-202705-0001", "stripe", 7_440, "refunded", 0),
        ("FACT-202705-0002", "credit_note", -7_440, "paid", 0),
    ]

    # She leaves when the period ends, and nothing is billed any more.
    assert shop.cancel(alice, number)["subscription"]["cancel_at_period_end"] is True
    shop.until("2027-06-05T09:00")
    assert shop.now(alice) is None
    shop.until("2028-01-04T09:00")
    assert len(shop.books(alice)) == 10

    balances(shop, alice.id)


def balances(shop: Shop, user_id: Any) -> None:
    """357.60 were sold and 340.80 paid: the change took back 16.80. Then 86.40 were taken back and given back. Stripe
    took 1.5 % and 0.25 of each charge, 0.75 + 0.34 + 0.75 + 0.56 + 0.61 + 3 × 1.37 = 7.12, and 15.00 for the dispute.
    232.28 came to the bank.
    """
    assert shop.ledger(user_id) == {"sold": 35_760, "taken_back": -10_320, "paid": 34_080, "given_back": 8_640}
    shop.fake.pay_out()
    shop.until("2028-01-08T09:00")
    (payout,) = shop.said("payouts")["payouts"]
    assert (payout["amount_cents"], payout["fees_cents"], payout["agrees"]) == (23_228, 712, True)
    assert payout["dispute_fees_cents"] == 1_500
    assert shop.said("verify")["findings"] == 0
    assert shop.said("reconcile", "--dry-run", "--since", "2027-01-01")["steps"] == []
    assert shop.unsettled() == []
