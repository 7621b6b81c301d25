"""How tests write what is sold: plans and discounts over HTTP, and rows of those who are on a plan."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.cast import Person

PLANS = "/api/v1/billing/plans"
DISCOUNTS = "/api/v1/billing/discounts"
# As the contract shows a plan: each of the four models once.
PLAN: dict[str, Any] = {
    "code": "studio",
    "name": "Studio",
    "description": "For small teams",
    "interval": "month",
    "cycle": "anniversary",
    "amount_cents": 2_900,
    "currency": "EUR",
    "tax_behavior": "inclusive",
    "trial_days": 14,
    "stripe_price_id": "price_1",
    "limits": {
        "api_calls": {"included": 30_000, "policy": "soft", "window": "month"},
        "exports": {"included": 20, "policy": "hard", "window": "day"},
        "tokens": {"included": None, "policy": "hard", "window": "month"},
    },
    "prices": [
        {"metric": "api_calls", "model": "flat", "unit_amount": "0.0004"},
        {
            "metric": "storage_gb",
            "model": "tiered",
            "tiers": [
                {"up_to": 100, "unit_amount": "0.10", "flat_cents": 0},
                {"up_to": None, "unit_amount": "0.02", "flat_cents": 0},
            ],
        },
        {
            "metric": "seats",
            "model": "volume",
            "tiers": [
                {"up_to": 15, "unit_amount": "10", "flat_cents": 250},
                {"up_to": None, "unit_amount": "5", "flat_cents": 0},
            ],
            "flat_at_zero": True,
        },
        {"metric": "reports", "model": "package", "package_size": 100, "package_cents": 500},
    ],
}
DISCOUNT: dict[str, Any] = {"code": "SPRING-25", "percent": 25, "duration": "months", "months": 3, "max_uses": 10}


def plan(**changed: Any) -> dict[str, Any]:
    return {**PLAN, **changed}


def sell(client: FlaskClient, admin: Person, **changed: Any) -> TestResponse:
    return client.post(PLANS, json=plan(**changed), headers=admin.headers)


def change(client: FlaskClient, admin: Person, plan_code: str, /, **changes: Any) -> TestResponse:
    return client.patch(f"{PLANS}/{plan_code}", json=changes, headers=admin.headers)


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    assert reply.status_code == 422, reply.data
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]
