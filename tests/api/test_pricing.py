"""POST /pricing/quote: what a quantity costs, explained; every fault of a price named; bounded."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api_v1.schemas_pricing import PriceIn, TierIn
from turf_saas.prices import FIELDS
from turf_saas.pricing import CALCULATE

QUOTE = "/api/v1/billing/pricing/quote"
TIERS: list[dict[str, Any]] = [
    {"up_to": 100, "unit_amount": "0.10"},
    {"up_to": 1000, "unit_amount": "0.05"},
    {"up_to": None, "unit_amount": "0.02"},
]
FLAT = {"metric": "api_calls", "model": "flat", "unit_amount": "0.0004"}


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """The database is not asked."""
    return str(request.param)


def ask(client: FlaskClient, price: Any, quantity: Any = 1500, **more: Any) -> TestResponse:
    body = {"price": price, "quantity": quantity, **more}
    return client.post(QUOTE, json=body, headers={"Accept-Language": "en"})


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    assert reply.status_code == 422
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]


@pytest.mark.parametrize(
    ("price", "quantity", "cents"),
    [
        (FLAT, 12_345, 494),
        ({"model": "tiered", "tiers": TIERS}, 1500, 6500),
        ({"model": "volume", "tiers": TIERS}, 1500, 3000),
        ({"model": "package", "package_size": 100, "package_cents": 500}, 101, 1000),
        ({"model": "tiered", "tiers": TIERS}, 0, 0),
        ({"model": "tiered", "tiers": TIERS, "included": 500}, 1500, 5500),
        ({"model": "tiered", "tiers": TIERS, "included": 1500}, 1500, 0),
        ({"model": "tiered", "tiers": TIERS, "included": None}, 1500, 0),
        ({"model": "flat", "unit_amount": 2}, 3, 600),
    ],
)
def test_anybody_may_ask_what_a_quantity_costs(client: FlaskClient, price: Any, quantity: int, cents: int) -> None:
    reply = ask(client, price, quantity)
    assert reply.status_code == 200
    assert (reply.json["amount_cents"], reply.json["currency"]) == (cents, "EUR")
    assert sum(line["amount_cents"] for line in reply.json["lines"]) == cents


def test_a_quote_is_explained_tier_by_tier(client: FlaskClient) -> None:
    tiers = [{**TIERS[0], "flat_cents": 250}, *TIERS[1:]]
    reply = ask(client, {"metric": "storage_gb", "model": "tiered", "tiers": tiers, "included": 20}, 170)
    assert reply.json == {
        "amount_cents": 1500,
        "currency": "EUR",
        "lines": [
            {
                "kind": "overage",
                "metric": "storage_gb",
                "quantity": 150,
                "unit_amount": None,
                "amount": "15.00",
                "amount_cents": 1500,
                "steps": [
                    {
                        "above": 0,
                        "up_to": 100,
                        "quantity": 100,
                        "size": 1,
                        "unit_amount": "0.10",
                        "flat_cents": 250,
                        "amount": "12.50",
                    },
                    {
                        "above": 100,
                        "up_to": 1000,
                        "quantity": 50,
                        "size": 1,
                        "unit_amount": "0.05",
                        "flat_cents": 0,
                        "amount": "2.50",
                    },
                ],
            }
        ],
    }


def test_a_fraction_stays_a_fraction(client: FlaskClient) -> None:
    tiers = [{"up_to": "0.5", "unit_amount": "1"}, TIERS[2]]
    (line,) = ask(client, {"model": "tiered", "tiers": tiers}, 2).json["lines"]
    found = [(step["above"], step["up_to"], step["quantity"]) for step in line["steps"]]
    assert found == [(0, "0.5", "0.5"), ("0.5", None, "1.5")]
    assert (line["amount"], line["amount_cents"]) == ("0.530", 53)


def test_the_exact_amount_stands_beside_the_rounded_one(client: FlaskClient) -> None:
    (line,) = ask(client, FLAT, 12_345).json["lines"]
    assert (line["amount"], line["amount_cents"], line["unit_amount"]) == ("4.9380", 494, "0.0004")


def test_a_currency_has_its_own_smallest_unit(client: FlaskClient) -> None:
    price = {"model": "flat", "unit_amount": "0.5"}
    found = {code: ask(client, price, 3, currency=code).json["amount_cents"] for code in ("EUR", "JPY", "KWD")}
    assert found == {"EUR": 150, "JPY": 2, "KWD": 1500}


def test_the_seller_s_currency_is_the_usual_one(make_app: Any) -> None:
    reply = ask(make_app(BILLING_CURRENCY="JPY").test_client(), {"model": "flat", "unit_amount": "1"}, 3)
    assert (reply.json["amount_cents"], reply.json["currency"]) == (3, "JPY")


def test_every_fault_of_the_body_is_named_at_once(client: FlaskClient) -> None:
    price = {
        "metric": "Storage",
        "model": "tiered",
        "tiers": [{"up_to": 10, "unit_amount": "-1"}, {"up_to": 5, "unit_amount": 0.5, "from": 1}],
        "package_size": 0,
        "included": -1,
        "a/b": 1,
    }
    reply = ask(client, price, "many", currency="EUROS", colour="red")
    assert faults(reply) == [
        ("/price/a~1b", "field_unknown"),
        ("/price/metric", "field_format"),
        ("/price/package_size", "price_field_of_another_model"),
        ("/price/tiers/0/unit_amount", "field_range"),
        ("/price/tiers/1/from", "field_unknown"),
        ("/price/tiers/1/unit_amount", "decimal_invalid"),
        ("/price/tiers/1/up_to", "last_tier_bounded"),
        ("/price/tiers/1/up_to", "tiers_not_rising"),
        ("/price/package_size", "field_range"),
        ("/price/included", "field_range"),
        ("/quantity", "field_type"),
        ("/currency", "currency_unknown"),
        ("/colour", "field_unknown"),
    ]
    assert reply.json["errors"][7]["message"] == "The bound must be above that of the tier before: 10."


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, [("/price", "field_missing"), ("/quantity", "field_missing")]),
        ({"price": None, "quantity": 1}, [("/price", "field_type")]),
        ({"price": [], "quantity": 1}, [("/price", "field_type")]),
        ({"price": "flat", "quantity": 1}, [("/price", "field_type")]),
        ({"price": FLAT, "quantity": -1}, [("/quantity", "field_range")]),
        ({"price": FLAT, "quantity": 2**53 + 1}, [("/quantity", "field_range")]),
        ({"price": FLAT, "quantity": 1.5}, [("/quantity", "field_type")]),
        ({"price": FLAT, "quantity": None}, [("/quantity", "field_type")]),
        ({"price": {**FLAT, "included": 2**53 + 1}, "quantity": 1}, [("/price/included", "field_range")]),
        ({"price": {**FLAT, "included": 1.5}, "quantity": 1}, [("/price/included", "field_type")]),
        ({"price": FLAT, "quantity": 1, "currency": ["EUR"]}, [("/currency", "currency_unknown")]),
    ],
)
def test_what_is_not_a_quote_is_refused_with_its_place(
    client: FlaskClient, body: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert faults(client.post(QUOTE, json=body)) == found


def test_a_single_fault_speaks_for_the_whole_in_the_caller_s_language(client: FlaskClient) -> None:
    price = {**FLAT, "unit_amount": "0.0000000000001"}
    assert ask(client, price).json["error"] == "12 decimal places at most."
    french = client.post(QUOTE, json={"price": price, "quantity": 1})
    assert (french.json["error"], french.json["code"]) == ("12 décimales au plus.", "decimal_places")


def test_the_largest_quote_is_exact_and_a_larger_one_is_refused(client: FlaskClient) -> None:
    cent = {"metric": "units", "model": "flat", "unit_amount": "0.01"}
    assert ask(client, cent, 2**53).json["amount_cents"] == 2**53
    refused = ask(client, {**cent, "unit_amount": "0.02"}, 2**53)
    assert (refused.status_code, refused.json["code"]) == (422, "amount_too_large")


@pytest.mark.parametrize(("count", "status"), [(99, 200), (100, 200), (101, 422)])
def test_a_hundred_tiers_are_the_most(client: FlaskClient, count: int, status: int) -> None:
    bounded = [{"up_to": place, "unit_amount": "1"} for place in range(1, count)]
    reply = ask(client, {"model": "tiered", "tiers": [*bounded, TIERS[2]]}, 1000)
    assert reply.status_code == status


@pytest.mark.parametrize(("size", "status"), [(64 * 1024 - 1, 422), (64 * 1024, 422), (64 * 1024 + 1, 413)])
def test_a_body_has_64_kib_at_most(client: FlaskClient, size: int, status: int) -> None:
    body = b'{"price": 1, "quantity": 1' + b" " * (size - 27) + b"}"
    assert len(body) == size
    assert client.post(QUOTE, data=body, content_type="application/json").status_code == status


def test_the_document_speaks_of_the_models_and_fields_that_are_read() -> None:
    models = get_args(PriceIn.model_fields["model"].annotation)
    assert set(models) == set(CALCULATE) == set(FIELDS)
    of_models = {name for fields in FIELDS.values() for name in fields}
    assert set(PriceIn.model_fields) == {"metric", "model", *of_models}
    assert set(TierIn.model_fields) == {"up_to", "unit_amount", "flat_cents"}


# -- a month on a plan ---------------------------------------------------------------------------------------


def month_on(client: FlaskClient, plan: Any, usage: Any, **given: Any) -> Any:
    return client.post(QUOTE, json={"plan": plan, "usage": usage}, headers={"Accept-Language": "en"}, **given)


@pytest.mark.parametrize(
    ("plan", "usage", "cents"),
    [
        ("free", {"api_calls": 10_000}, [0]),
        ("premium", {}, [1900, 0, 0]),
        ("premium", {"api_calls": 3_000, "tokens": 1_000_000}, [1900, 0, 0]),
        ("premium", {"api_calls": 3_001, "tokens": 1_000_500}, [1900, 1, 1]),  # 500 tokens are half a cent
        ("pro", {"api_calls": 42_345}, [4900, 6173, 0]),  # 12 345 at half a cent: 6172.5
    ],
)
def test_a_month_on_a_plan_is_its_fee_and_what_is_used_above(
    client: FlaskClient, plan: str, usage: dict[str, int], cents: list[int]
) -> None:
    reply = month_on(client, plan, usage)
    assert reply.status_code == 200
    assert [line["amount_cents"] for line in reply.json["lines"]] == cents
    assert (reply.json["amount_cents"], reply.json["lines"][0]["kind"]) == (sum(cents), "base")


def test_a_limit_that_is_set_is_quoted(make_app: Any) -> None:
    client = make_app(BILLING_LIMIT_PREMIUM_API_CALLS="10").test_client()
    assert month_on(client, "premium", {"api_calls": 110}).json["amount_cents"] == 2000


@pytest.mark.parametrize(
    ("plan", "usage", "found"),
    [
        ("gold", {}, [("/plan", "plan_unknown")]),
        ("premium", {"tokns": 1}, [("/usage/tokns", "metric_not_sold")]),
        ("premium", {"api_calls": -1}, [("/usage/api_calls", "field_range")]),
        ("premium", {"api_calls": 1.5}, [("/usage/api_calls", "field_type")]),
        ("premium", [], [("/usage", "field_type")]),
        (7, {}, [("/plan", "field_type")]),
    ],
)
def test_what_is_not_a_month_on_a_plan_is_refused(
    client: FlaskClient, plan: Any, usage: Any, found: list[tuple[str, str]]
) -> None:
    reply = month_on(client, plan, usage)
    assert (reply.status_code, faults(reply)) == (422, found)
