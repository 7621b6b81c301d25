"""What this month's invoice would say now, VAT included. Premium is 19.00, a call above 3000 a cent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing_db import Connection
from tests.cast import Cast, Person
from turf_saas import account_credit, catalogue, discounts, profiles
from turf_saas.buyer import Buyer
from turf_saas.catalogue import PlanDraft
from turf_saas.clock import set_clock
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import Subscription
from turf_saas.users import User

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
UPCOMING = "/api/v1/billing/invoices/upcoming"


def at(day: int, hour: int = 0, month: int = 5) -> datetime:
    return datetime(2030, month, day, hour, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_may(db: Connection, people: Cast) -> None:
    set_clock(db, datetime(2026, 5, 1, tzinfo=UTC), SETTINGS, at(31, 12))


def begin(db: Connection, person: Person, plan: str, day: int, **given: Any) -> Subscription:
    return subscribe(db, at(day), SETTINGS, User(person.id, person.tenant_id, "user"), plan, **given)


def ask(client: FlaskClient, person: Person, **query: Any) -> Any:
    headers = {**person.headers, "Accept-Language": "en"}
    return client.get(UPCOMING, headers=headers, query_string=query)


def lines(reply: Any) -> list[tuple[str, str, int]]:
    return [(line["kind"], line["description"], line["net_cents"]) for line in reply.json["lines"]]


def test_a_month_on_one_plan(client: FlaskClient, db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", 1)
    alice.has_used(3_150, day="2030-05-20")
    reply = ask(client, alice)
    assert lines(reply) == [
        ("base", "Premium subscription", 1_900),
        ("overage", "api_calls above the premium plan", 150),
    ]
    overage = reply.json["lines"][1]
    assert (overage["quantity"], overage["unit_amount"], overage["metric"]) == ("150", "0.01", "api_calls")
    assert (overage["period_start"], overage["period_end"]) == ("2030-05-01T00:00:00Z", "2030-06-01T00:00:00Z")
    # 20.50 at 20 %: 4.10
    assert [reply.json[name] for name in ("net_cents", "tax_cents", "amount_cents")] == [2_050, 410, 2_460]
    tax = {"category": "S", "vat_rate": "20", "base_cents": 2_050, "tax_cents": 410, "vatex": None}
    assert reply.json["taxes"] == [tax]
    assert [line["tax_behavior"] for line in reply.json["lines"]] == ["exclusive"] * 2
    assert [reply.json[name] for name in ("account_credit_cents", "due_cents")] == [0, 2_460]
    assert (reply.json["plan"], reply.json["usage"], reply.json["currency"]) == ("premium", {"api_calls": 3_150}, "EUR")


def test_a_month_with_a_change_a_discount_and_an_end(client: FlaskClient, db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at(1), 1, code="TEN", percent="10", duration="forever")
    begun = begin(db, alice, "premium", 1, discount_code="TEN")
    pro = change_plan(db, at(16, 12), SETTINGS, begun, Wish("pro")).subscription
    cancel(db, at(24), SETTINGS, pro, when="now")
    alice.has_used(3_100, day="2030-05-10")
    # Half of May is left: 1710 and 4410 give 855 and 2205. On the 24th 8 of 31 days: 4410 × 8/31 = 1138.06
    assert lines(ask(client, alice)) == [
        ("base", "Premium subscription", 1_900),
        ("discount", "Discount on the Premium subscription", -190),
        ("overage", "api_calls above the premium plan", 100),
        ("credit", "Credit for the time left on Premium (change to Pro)", -855),
        ("charge", "Time left of the period on Pro (before: Premium)", 2_205),
        ("credit", "Credit for the time left on Pro (end of the subscription)", -1_138),
    ]


def test_nothing_is_due_of_who_has_nothing(client: FlaskClient, alice: Person) -> None:
    reply = ask(client, alice)
    assert (reply.status_code, reply.json["lines"], reply.json["taxes"], reply.json["amount_cents"]) == (200, [], [], 0)
    assert reply.json["plan"] == "free"


@pytest.mark.parametrize(("has", "taken", "due"), [(2_279, 2_279, 1), (2_280, 2_280, 0), (2_281, 2_280, 0)])
def test_account_credit_will_pay_what_it_can(
    client: FlaskClient, db: Connection, alice: Person, has: int, taken: int, due: int
) -> None:
    """19.00 and 3.80; dollars pay no euros."""
    begin(db, alice, "premium", 1)
    for currency in ("EUR", "USD"):
        account_credit.add(db, at(2), 1, alice.id, currency, has, "excess")
    foreseen = ask(client, alice).json
    assert [foreseen[name] for name in ("amount_cents", "account_credit_cents", "due_cents")] == [2_280, taken, due]
    assert account_credit.balance_of(db, alice.id, "EUR") == has, "looking takes nothing"


def test_where_the_price_includes_vat_the_customer_pays_exactly_it(
    client: FlaskClient, db: Connection, alice: Person
) -> None:
    catalogue.create_plan(db, at(1), 1, PlanDraft("all", "All", 999, "EUR", tax_behavior="inclusive"))
    begin(db, alice, "all", 1)
    reply = ask(client, alice)
    assert [reply.json[name] for name in ("net_cents", "tax_cents", "amount_cents")] == [833, 166, 999]
    assert reply.json["lines"][0]["tax_behavior"] == "inclusive"


@pytest.mark.parametrize(
    ("buyer", "config", "found"),
    [
        (
            Buyer("pro", "GmbH", "Weg 1", "10115", "Berlin", "DE", vat_id="DE136695976"),
            {},
            ("AE", "0", 0, "VATEX-EU-AE"),
        ),
        (Buyer("consumer", country="DE"), {}, ("S", "20", 380, None)),
        (Buyer("consumer", country="DE"), {"BILLING_OSS": "1"}, ("S", "19", 361, None)),
        (Buyer("consumer", country="US"), {}, ("O", "0", 0, "VATEX-EU-O")),
        (Buyer("consumer"), {"BILLING_VAT_REGIME": "franchise"}, ("E", "0", 0, "VATEX-FR-FRANCHISE")),
    ],
)
def test_vat_is_that_of_the_buyer(
    make_app: Callable[..., Flask],
    db: Connection,
    alice: Person,
    buyer: Buyer,
    config: dict[str, str],
    found: tuple[str, str, int, str | None],
) -> None:
    begin(db, alice, "premium", 1)
    profiles.set_profile(db, at(2), alice.id, 1, buyer)
    reply = ask(make_app(**config).test_client(), alice)
    [tax] = reply.json["taxes"]
    assert (tax["category"], tax["vat_rate"], tax["tax_cents"], tax["vatex"]) == found


def test_what_the_hosts_tax_function_says_holds(db: Connection, url: str, alice: Person) -> None:
    from api_v1 import Billing
    from tests.cast import SECRET

    begin(db, alice, "premium", 1)
    app = Flask("taxed")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET)
    Billing(app, tax=lambda seller, buyer, lines, on: {"category": "S", "rate": "8.5"})
    assert ask(app.test_client(), alice).json["tax_cents"] == 162  # 1900 × 8.5 % = 161.5


def test_it_is_ones_own_and_the_admins(client: FlaskClient, db: Connection, people: Cast) -> None:
    begin(db, people.alice, "premium", 1)
    assert ask(client, people.ada, user_id=people.alice.id).json["net_cents"] == 1_900
    for stranger in (people.bob, people.charlie, people.dora):
        refused = ask(client, stranger, user_id=people.alice.id)
        assert (refused.status_code, refused.json["code"]) == (404, "user_not_found")


def test_who_is_asked_first_brings_the_next_period(client: FlaskClient, db: Connection, alice: Person) -> None:
    subscribe(db, at(15, month=4), SETTINGS, User(alice.id, 1, "user"), "premium")
    assert lines(ask(client, alice)) == [("base", "Premium subscription", 1_900)]
