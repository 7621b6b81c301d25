"""`flask billing stripe-doctor`: each thing that does not fit is named, with what to click; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.api.subscribing import THEN
from tests.stripe import KEY, SECRET, client_of, settings_of
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.settings import read_settings
from turf_saas.stripe_events import HANDLERS
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_permissions import PERMISSIONS
from turf_saas.stripe_prices import price_for

ROOT = Path(__file__).parents[2]
HOOK = "https://app.example.com/api/v1/billing/webhooks/stripe"
URLS = {
    f"BILLING_STRIPE_{name}_URL": f"https://app.example.com/{name.lower()}" for name in ("SUCCESS", "CANCEL", "RETURN")
}
PRO = PlanDraft("studio", "Studio", 4_900, "EUR")
Run = Callable[..., tuple[int, list[tuple[str, str]], str]]


@pytest.fixture
def run(make_app: Callable[..., Flask], stripe_fake: StripeFake) -> Run:
    def run(**given: Any) -> tuple[int, list[tuple[str, str]], str]:
        """The exit code, level and check of all but what is well, and all that was said."""
        app = make_app(BILLING_LOCALE="en", **{**settings_of(stripe_fake), **URLS, **given})
        result = app.test_cli_runner().invoke(billing_bp.cli, ["stripe-doctor", "--json"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        answer = json.loads(result.stdout)
        assert answer["ok"] is (result.exit_code == 0)
        found = [(one["level"], one["check"]) for one in answer["findings"] if one["level"] != "ok"]
        return result.exit_code, found, "\n".join(one["message"] for one in answer["findings"])

    return run


@pytest.fixture
def well(stripe_fake: StripeFake, db: Connection) -> str:
    """All fits, but that it is a fake that answers. The id of the plan's price."""
    stripe_fake.silence()
    stripe_fake.add_endpoint(HOOK, SECRET, list(HANDLERS))
    client = client_of(stripe_fake)
    product = client.v1.products.create({"name": "Studio"})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "eur", "unit_amount": 4_900, "recurring": {"interval": "month"}}
    )
    catalogue.create_plan(db, THEN, 1, replace(PRO, stripe_price_id=price.id))
    with stripe_fake.world.lock:
        for event in stripe_fake.world.all("event"):
            event["_undelivered"] = set()
    return str(price.id)


BASE = ("warning", "base")


def test_where_all_fits_nothing_is_wrong_and_nothing_is_changed(run: Run, well: str, stripe_fake: StripeFake) -> None:
    before = len(stripe_fake.events)
    code, found, said = run()
    assert (code, found) == (0, [BASE]), said
    assert {one.method for one in stripe_fake.requests if one.path != "/v1/products"} >= {"GET"}
    assert len(stripe_fake.events) == before
    assert SECRET not in said


def test_without_a_key_there_is_one_thing_to_do(run: Run) -> None:
    code, found, said = run(STRIPE_SECRET_KEY="", BILLING_STRIPE_API_BASE="")
    assert (code, found) == (1, [("error", "key")])
    assert "API keys" in said


def test_a_key_that_stripe_refuses_is_told_without_it(run: Run, stripe_fake: StripeFake) -> None:
    stripe_fake.key = "sk_test_the_right_one"
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "key")])
    assert "of_the_tests" not in said


def test_a_stripe_that_does_not_answer_is_told(run: Run, stripe_fake: StripeFake) -> None:
    stripe_fake.down = True
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "key")])
    assert f"Stripe ({stripe_fake.url}) does not answer" in said


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        ("customers:write", "Customers: Write"),
        ("invoices:write", "Invoices: Write"),
        ("events:read", "Events: Read"),
        ("checkout:write", "Checkout Sessions: Write"),
        ("billing_portal:write", "Customer portal: Write"),
        ("subscriptions:read", "Subscriptions: Write"),
        ("prices:write", "Prices: Write (prices:write)"),
    ],
)
def test_each_permission_that_a_restricted_key_lacks_is_named(
    run: Run, well: str, stripe_fake: StripeFake, refused: str, named: str
) -> None:
    run()  # the fake makes its account and its portal when they are asked for
    before = stripe_fake.objects
    stripe_fake.refused_permissions = {refused}
    code, found, said = run(STRIPE_SECRET_KEY="rk_test_of_the_tests")
    assert (code, found) == (1, [BASE, ("error", "permissions")]), said
    assert f"lacks {named}" in said
    assert stripe_fake.objects == before


def test_a_restricted_key_with_all_permissions_is_well(run: Run, well: str) -> None:
    assert run(STRIPE_SECRET_KEY="rk_test_of_the_tests")[:2] == (0, [BASE])


def test_what_settings_lack_is_named(run: Run, well: str) -> None:
    code, found, said = run(STRIPE_WEBHOOK_SECRET="", BILLING_STRIPE_RETURN_URL="")
    assert (code, found) == (1, [("error", "secret"), BASE, ("warning", "urls")])
    assert "BILLING_STRIPE_RETURN_URL not set" in said


def test_an_endpoint_that_is_not_there_or_is_disabled_is_told(run: Run, well: str, stripe_fake: StripeFake) -> None:
    client = client_of(stripe_fake)
    [endpoint] = client.v1.webhook_endpoints.list().data
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "endpoint")])
    assert "is disabled" in said
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": False, "url": "https://app.example.com/other"})
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "endpoint")])
    assert "/api/v1/billing/webhooks/stripe" in said
    assert f"or the {len(HANDLERS)} that docs/stripe.md lists" in said
    client.v1.webhook_endpoints.update(endpoint.id, {"url": HOOK, "enabled_events": [*HANDLERS][:3]})
    assert f"{', '.join([*HANDLERS][3:8])}, and {len(HANDLERS) - 8} more." in run()[2]


def test_each_event_that_the_endpoint_is_not_sent_is_named(run: Run, well: str, stripe_fake: StripeFake) -> None:
    client = client_of(stripe_fake)
    [endpoint] = client.v1.webhook_endpoints.list().data
    some = [name for name in HANDLERS if name != "invoice.paid"]
    client.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": [*some, "product.created"]})
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "events")])
    assert "does not send invoice.paid." in said
    assert "It sends product.created, too" in said
    client.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": ["*"]})
    assert run()[:2] == (0, [BASE])


def test_events_that_nobody_took_are_counted(run: Run, well: str, stripe_fake: StripeFake) -> None:
    client = client_of(stripe_fake)
    [endpoint] = client.v1.webhook_endpoints.list().data
    client.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": ["*"]})
    client.v1.customers.create({"email": "alice@example.com"})
    code, found, said = run()
    assert (code, found) == (0, [BASE, ("warning", "deliveries")])
    assert "1 events were not delivered yet, of which customer.created (1)" in said
    assert "the likely cause is STRIPE_WEBHOOK_SECRET" in said
    client.v1.webhook_endpoints.update(endpoint.id, {"enabled_events": ["customer.created"]})
    assert "likely cause" not in run()[2], "that its endpoint lacks events is told already"


def test_an_address_with_a_path_is_told_with_the_one_that_works(run: Run, stripe_fake: StripeFake) -> None:
    code, found, said = run(BILLING_STRIPE_API_BASE=f"{stripe_fake.url}/v1")
    assert (code, found[:2]) == (1, [BASE, ("error", "base")])
    assert f"has a path ({stripe_fake.url}/v1); the SDK adds /v1 itself: {stripe_fake.url}." in said


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ({"unit_amount": 4_901}, "costs 49.01 EUR / month, the plan 49.00 EUR / month"),
        ({"currency": "usd"}, "costs 49.00 USD / month, the plan 49.00 EUR / month"),
        ({"recurring": {"interval": "year"}}, "costs 49.00 EUR / year, the plan 49.00 EUR / month"),
        (
            {"recurring": {"interval": "month", "interval_count": 3}},
            "costs 49.00 EUR / 3 month, the plan 49.00 EUR / month",
        ),
        ({"active": False}, "is archived"),
    ],
)
def test_a_price_that_is_not_the_plans_is_told(
    run: Run, well: str, stripe_fake: StripeFake, price: dict[str, Any], said: str
) -> None:
    with stripe_fake.world.lock:
        known = stripe_fake.world.objects[well]
        known |= {
            **price,
            **({"recurring": {**known["recurring"], **price["recurring"]}} if "recurring" in price else {}),
        }
    code, found, told = run()
    assert (code, found) == (1, [BASE, ("error", "prices")])
    assert f"Plan studio: {well} {said}" in told


def test_a_price_that_is_not_there_is_told_and_one_of_two_plans_too(run: Run, well: str, db: Connection) -> None:
    catalogue.create_plan(db, THEN, 1, replace(PRO, code="other", stripe_price_id=well))
    catalogue.create_plan(db, THEN, 1, replace(PRO, code="third", stripe_price_id="price_gone"))
    code, found, said = run()
    assert (code, found) == (1, [BASE, ("error", "prices"), ("error", "prices")])
    assert "Plan third: there is no price price_gone" in said
    assert f"have one price, {well}" in said


def test_a_price_that_we_have_made_and_that_is_gone_is_told(
    run: Run, well: str, db: Connection, stripe_fake: StripeFake
) -> None:
    plan = catalogue.create_plan(db, THEN, 1, replace(PRO, code="own", tax_behavior="inclusive"))
    settings = read_settings({"TURF_SAAS_DB": "unused", **SELLER})
    price = price_for(db, THEN, settings, StripeGateway(KEY, stripe_fake.url), plan, 1)
    assert ("warning", "prices") not in run()[1]
    del stripe_fake.world.objects[price]
    code, found, said = run()
    assert (code, ("warning", "prices") in found) == (0, True)
    assert f"Plan own: {price}, which was made for it, is not known at Stripe any more" in said


def test_the_document_names_each_event_and_each_permission() -> None:
    text = (ROOT / "docs" / "stripe.md").read_text(encoding="utf-8")
    listed = text.partition("### The events")[2].partition("```\n")[2].partition("```")[0]
    assert sorted(listed.split()) == sorted(HANDLERS)
    assert [
        row for row in text.splitlines() if row.endswith("|") and row.split("|")[2].strip() in ("Read", "Write")
    ] == [f"| {needed.name} | {needed.level} | {needed.why} |" for needed in PERMISSIONS]
