"""GET /quotas and PUT /quotas/cap: what is left, and what overage may cost at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.cast import Cast, Person
from turf_saas import admission, api_keys
from turf_saas.settings import read_settings
from turf_saas.users import User

QUOTAS = "/api/v1/billing/quotas"
CAP = f"{QUOTAS}/cap"
MOST = 2**53
SETTINGS = read_settings({"TURF_SAAS_DB": "."})


@pytest.fixture
def today() -> str:
    return datetime.now(UTC).date().isoformat()


def month_ends(day: str) -> str:
    first = datetime.fromisoformat(day).replace(day=1)
    return (first + timedelta(days=32)).strftime("%Y-%m-01T00:00:00Z")


def key_of(person: Person, *scopes: str) -> dict[str, str]:
    user = User(person.id, person.tenant_id, "user")
    _, secret = api_keys.create_key(person.db, datetime.now(UTC), user, name="a key", scopes=list(scopes))
    return {"X-API-Key": secret}


def test_the_whole_answer(client: FlaskClient, alice: Person, today: str) -> None:
    alice.is_on("premium")
    alice.has_used(3_100, day=today)
    alice.has_used(12, "reports", today)
    now, user = datetime.now(UTC), User(alice.id, 1, "user")
    admission.reserve(alice.db, now, SETTINGS, user, "tokens", 850_000)
    admission.reserve(alice.db, now - timedelta(hours=2), SETTINGS, user, "reports", 5)  # over
    client.put(CAP, json={"amount_cents": 250}, headers=alice.headers)
    reply = client.get(QUOTAS, headers=alice.headers)
    ends = month_ends(today)
    assert reply.status_code == 200
    assert reply.json == {
        "user_id": 1,
        "month": today[:7],
        "plan": "premium",
        "quotas": [
            {"metric": "api_calls", "policy": "soft", "window": "month", "limit": 3_000, "used": 3_100, "reserved": 0,
             "remaining": 0, "level": "hard", "resets_at": ends},
            {"metric": "reports", "policy": "soft", "window": "month", "limit": None, "used": 12, "reserved": 0,
             "remaining": None, "level": None, "resets_at": ends},
            {"metric": "tokens", "policy": "soft", "window": "month", "limit": 1_000_000, "used": 0,
             "reserved": 850_000, "remaining": 150_000, "level": None, "resets_at": ends},
        ],
        "spending_cap": {"amount_cents": 250, "overage_cents": 100, "currency": "EUR", "reached": False},
    }  # fmt: skip
    assert reply.headers["X-Billing-Alert"] == "hard_limit_reached"
    assert reply.headers["Cache-Control"] == "no-store"


def test_without_use_everything_is_left(client: FlaskClient, alice: Person) -> None:
    reply = client.get(QUOTAS, headers=alice.headers)
    assert [(quota["metric"], quota["policy"], quota["remaining"]) for quota in reply.json["quotas"]] == [
        ("api_calls", "hard", 300),
        ("tokens", "hard", 100_000),
    ]
    assert reply.json["spending_cap"] == {
        "amount_cents": None, "overage_cents": 0, "currency": "EUR", "reached": False,
    }  # fmt: skip
    assert "X-Billing-Alert" not in reply.headers


def test_an_admin_sees_anybodys_of_his_tenant_and_a_user_his_own(client: FlaskClient, people: Cast) -> None:
    def seen(who: Person, whom: Any) -> Any:
        reply = client.get(f"{QUOTAS}?user_id={whom}", headers=who.headers)
        return reply.json["user_id"] if reply.status_code == 200 else (reply.status_code, reply.json["code"])

    nobody = (404, "user_not_found")
    assert seen(people.ada, people.alice.id) == people.alice.id
    assert seen(people.alice, people.alice.id) == people.alice.id
    assert seen(people.dora, people.charlie.id) == people.charlie.id
    assert [seen(people.alice, 2), seen(people.ada, 3), seen(people.dora, 1), seen(people.ada, 99)] == [nobody] * 4
    assert seen(people.ada, "1,2") == nobody


# -- the cap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cents", [0, 1, MOST])
def test_a_cap_is_set_and_taken_away(client: FlaskClient, alice: Person, cents: int) -> None:
    reply = client.put(CAP, json={"amount_cents": cents}, headers=alice.headers)
    expected = {"amount_cents": cents, "overage_cents": 0, "currency": "EUR", "reached": False}
    assert (reply.status_code, reply.json) == (200, expected)
    assert client.get(QUOTAS, headers=alice.headers).json["spending_cap"] == expected
    reply = client.put(CAP, json={"amount_cents": None}, headers=alice.headers)
    assert reply.json == {**expected, "amount_cents": None}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (-1, "field_range"), (MOST + 1, "field_range"), (10**40, "field_range"), (0.5, "field_type"),
        ("5", "field_type"), (True, "field_type"), ([], "field_type"),
    ],
)  # fmt: skip
def test_what_is_no_cap_is_refused(client: FlaskClient, alice: Person, sent: Any, code: str) -> None:
    client.put(CAP, json={"amount_cents": 7}, headers=alice.headers)
    reply = client.put(CAP, json={"amount_cents": sent}, headers=alice.headers)
    assert reply.status_code == 422
    assert [(fault["loc"], fault["code"]) for fault in reply.json["errors"]] == [("/amount_cents", code)]
    assert client.get(QUOTAS, headers=alice.headers).json["spending_cap"]["amount_cents"] == 7


def test_a_cap_is_named_or_named_null(client: FlaskClient, alice: Person) -> None:
    reply = client.put(CAP, json={}, headers=alice.headers)
    assert (reply.status_code, reply.json["errors"][0]["code"]) == (422, "field_missing")


def test_a_cap_is_everybodys_own(client: FlaskClient, people: Cast) -> None:
    client.put(CAP, json={"amount_cents": 7}, headers=people.ada.headers)
    caps = [
        client.get(QUOTAS, headers=person.headers).json["spending_cap"]["amount_cents"]
        for person in (people.ada, people.alice, people.dora)
    ]
    assert caps == [7, None, None]


def test_a_key_needs_the_scope_to_write(client: FlaskClient, alice: Person) -> None:
    for scopes, status in ((["billing.write"], 200), (["billing.read", "usage:write"], 403)):
        reply = client.put(CAP, json={"amount_cents": 7}, headers=key_of(alice, *scopes))
        assert reply.status_code == status
    assert client.get(QUOTAS, headers=key_of(alice, "billing.read")).status_code == 200
    assert client.get(QUOTAS, headers=key_of(alice, "billing.write")).status_code == 403


@pytest.mark.parametrize(("used", "status"), [(3_098, 201), (3_099, 201), (3_100, 429)])
def test_past_the_cap_a_quota_answers_429_in_cents(
    make_app: Callable[..., Flask], alice: Person, today: str, used: int, status: int
) -> None:
    client = make_app(BILLING_SELF_REPORT="1").test_client()
    alice.is_on("premium")
    alice.has_used(used, day=today)
    client.put(CAP, json={"amount_cents": 100}, headers=alice.headers)
    reply = client.post(f"{QUOTAS}/reserve", json={"metric": "api_calls", "quantity": 1}, headers=alice.headers)
    assert reply.status_code == status
    if status == 429:
        body = reply.json
        seconds = body.pop("resets_in_seconds")
        assert body == {
            "error": "Votre plafond de dépense pour ce mois est atteint.",
            "code": "spending_cap_reached",
            "metric": "api_calls",
            "used": 100,
            "limit": 100,
        }
        assert reply.headers["Retry-After"] == str(seconds)
        assert reply.headers["X-Billing-Alert"] == "hard_limit_reached"
        assert not [name for name, _ in reply.headers if name.startswith("RateLimit")]
    assert client.get(QUOTAS, headers=alice.headers).json["spending_cap"]["reached"] is (used >= 3_099)
