"""GET /consumption: a user's month against the limits of the plan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.cast import Cast, Person

CONSUMPTION = "/api/v1/billing/consumption"
MAY = f"{CONSUMPTION}?month=2026-05"
HEADER = {None: None, "soft": "soft_limit_warning", "hard": "hard_limit_reached"}


@pytest.mark.parametrize(
    ("plan", "limit", "used", "pct", "level"),
    [
        ("premium", 3_000, 0, 0.0, None),
        ("premium", 3_000, 2_397, 79.9, None),
        ("premium", 3_000, 2_399, 79.9, None),
        ("premium", 3_000, 2_400, 80.0, "soft"),
        ("premium", 3_000, 2_997, 99.9, "soft"),
        ("premium", 3_000, 2_999, 99.9, "soft"),
        ("premium", 3_000, 3_000, 100.0, "hard"),
        ("premium", 3_000, 3_030, 101.0, "hard"),
        ("pro", 30_000, 29_985, 99.9, "soft"),
    ],
)
def test_thresholds_are_compared_as_integers(
    client: FlaskClient, alice: Person, plan: str, limit: int, used: int, pct: float, level: str | None
) -> None:
    alice.is_on(plan)
    alice.has_used(used)
    reply = client.get(MAY, headers=alice.headers)
    assert reply.status_code == 200
    assert reply.json["consumption"] == {"total_api_calls": used, "limit_api_calls": limit, "usage_pct": pct}
    assert [alert["type"] for alert in reply.json["alerts"]] == ([level] if level else [])
    assert reply.headers.get("X-Billing-Alert") == HEADER[level]


def test_the_whole_answer(client: FlaskClient, alice: Person) -> None:
    alice.is_on("premium")
    alice.has_used(2_550)
    alice.has_used(1_000_000, "tokens")
    alice.has_used(12, "reports")
    reply = client.get(MAY, headers=alice.headers)
    assert reply.json == {
        "user_id": 1,
        "plan": "premium",
        "month": "2026-05",
        "consumption": {"total_api_calls": 2_550, "limit_api_calls": 3_000, "usage_pct": 85.0},
        "alerts": [
            {
                "type": "soft",
                "metric": "api_calls",
                "message": "Appels API à 85.0% de la limite mensuelle.",
                "current": 2_550,
                "limit": 3_000,
            },
            {
                "type": "hard",
                "metric": "tokens",
                "message": "Limite mensuelle atteinte pour tokens.",
                "current": 1_000_000,
                "limit": 1_000_000,
            },
        ],
        "metrics": [
            {
                "metric": "api_calls",
                "used": 2_550,
                "limit": 3_000,
                "remaining": 450,
                "usage_pct": 85.0,
                "level": "soft",
            },
            {"metric": "reports", "used": 12, "limit": None, "remaining": None, "usage_pct": None, "level": None},
            {
                "metric": "tokens",
                "used": 1_000_000,
                "limit": 1_000_000,
                "remaining": 0,
                "usage_pct": 100.0,
                "level": "hard",
            },
        ],
    }
    assert reply.headers["X-Billing-Alert"] == "hard_limit_reached"  # the worst metric speaks
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "Accept-Language" in reply.headers["Vary"]


def test_a_reached_limit_is_said_in_the_callers_language(client: FlaskClient, alice: Person) -> None:
    alice.has_used(300)
    french = client.get(MAY, headers=alice.headers)
    english = client.get(MAY, headers={**alice.headers, "Accept-Language": "en-GB,en;q=0.8"})
    german = client.get(MAY, headers={**alice.headers, "Accept-Language": "de"})
    assert french.json["alerts"][0]["message"] == "Limite mensuelle d'appels API atteinte."
    assert english.json["alerts"][0]["message"] == "Monthly API call limit reached."
    assert german.json["alerts"] == french.json["alerts"]


def test_a_setting_makes_english_the_default(make_app: Callable[..., Flask], alice: Person) -> None:
    alice.has_used(240)
    reply = make_app(BILLING_LOCALE="en").test_client().get(MAY, headers=alice.headers)
    assert reply.json["alerts"][0]["message"] == "API calls at 80.0% of the monthly limit."


def test_zeros_without_data(client: FlaskClient, alice: Person) -> None:
    reply = client.get(f"{CONSUMPTION}?month=1999-12", headers=alice.headers)
    assert reply.status_code == 200
    assert reply.json["consumption"] == {"total_api_calls": 0, "limit_api_calls": 300, "usage_pct": 0.0}
    assert reply.json["alerts"] == []
    assert "X-Billing-Alert" not in reply.headers


@pytest.mark.parametrize("month", ["0001-01", "9999-12"])
def test_the_calendars_edges_are_months_too(client: FlaskClient, alice: Person, month: str) -> None:
    reply = client.get(f"{CONSUMPTION}?month={month}", headers=alice.headers)
    assert (reply.status_code, reply.json["month"]) == (200, month)


def test_without_a_month_it_is_the_current_one(client: FlaskClient, alice: Person) -> None:
    before = datetime.now(UTC)
    reply = client.get(CONSUMPTION, headers=alice.headers)
    assert reply.json["month"] in {f"{before:%Y-%m}", f"{datetime.now(UTC):%Y-%m}"}


@pytest.mark.parametrize(
    ("inside", "outside", "month"),
    [
        (["2026-05-01", "2026-05-31"], ["2026-04-30", "2026-06-01"], "2026-05"),
        (["2024-02-01", "2024-02-29"], ["2024-01-31", "2024-03-01"], "2024-02"),
        (["2026-02-28"], ["2026-01-31", "2026-03-01"], "2026-02"),
        (["2026-12-01", "2026-12-31"], ["2026-11-30", "2027-01-01"], "2026-12"),
    ],
)
def test_a_month_holds_both_its_ends_and_nothing_else(
    client: FlaskClient, alice: Person, inside: list[str], outside: list[str], month: str
) -> None:
    for day in inside:
        alice.has_used(7, day=day)
    for day in outside:
        alice.has_used(1_000, day=day)
    reply = client.get(f"{CONSUMPTION}?month={month}", headers=alice.headers)
    assert reply.json["consumption"]["total_api_calls"] == 7 * len(inside)


def test_everybody_sees_only_their_own(client: FlaskClient, people: Cast) -> None:
    people.alice.has_used(10)
    people.bob.has_used(200)
    people.charlie.has_used(3_000)
    seen = {
        person.name: client.get(MAY, headers=person.headers).json["consumption"]["total_api_calls"]
        for person in (people.alice, people.bob, people.charlie, people.ada)
    }
    assert seen == {"alice": 10, "bob": 200, "charlie": 3_000, "ada": 0}


@pytest.mark.parametrize(
    "month",
    [
        "2026-1", "2026-13", "2026-00", "0000-01", "2026-01%0A", "%20", "", "2026-01-01", "２０２６-01", "٢٠٢٦-٠١",
        "2026-01%00", "2" * 5_000, "%27%20OR%201=1--", "%ED%A0%80",
    ],
)  # fmt: skip
def test_a_malformed_month_is_refused_in_a_sentence(client: FlaskClient, alice: Person, month: str) -> None:
    reply = client.get(f"{CONSUMPTION}?month={month}", headers=alice.headers)
    assert reply.status_code == 422
    assert reply.json == {
        "error": "Format mois invalide. Utiliser YYYY-MM",
        "code": "month_invalid",
        "errors": [
            {"loc": "/month", "code": "month_invalid", "message": "Format mois invalide. Utiliser YYYY-MM"},
        ],
    }


def test_every_fault_of_the_query_is_named(client: FlaskClient, alice: Person) -> None:
    reply = client.get(f"{CONSUMPTION}?month=mai&user_id=2&tenant_id=2", headers=alice.headers)
    assert reply.status_code == 422
    assert [(fault["loc"], fault["code"]) for fault in reply.json["errors"]] == [
        ("/month", "month_invalid"),
        ("/user_id", "field_unknown"),
        ("/tenant_id", "field_unknown"),
    ]
    twice = client.get(f"{CONSUMPTION}?month=2026-05&month=2026-06", headers=alice.headers)
    assert (twice.status_code, twice.json["errors"][0]["code"]) == (422, "field_repeated")


def test_limit_zero_includes_nothing(make_app: Callable[..., Flask], alice: Person, bob: Person) -> None:
    client = make_app(BILLING_LIMIT_FREE_API_CALLS="0").test_client()
    alice.has_used(1)
    used = client.get(MAY, headers=alice.headers)
    unused = client.get(MAY, headers=bob.headers)
    assert used.json["consumption"] == {"total_api_calls": 1, "limit_api_calls": 0, "usage_pct": 100.0}
    assert used.headers["X-Billing-Alert"] == "hard_limit_reached"
    assert unused.json["consumption"] == {"total_api_calls": 0, "limit_api_calls": 0, "usage_pct": 0.0}
    assert "X-Billing-Alert" not in unused.headers


def test_unlimited_never_alerts(make_app: Callable[..., Flask], alice: Person) -> None:
    alice.has_used(10**9)
    reply = make_app(BILLING_LIMIT_FREE_API_CALLS="unlimited").test_client().get(MAY, headers=alice.headers)
    assert reply.json["consumption"] == {"total_api_calls": 10**9, "limit_api_calls": None, "usage_pct": None}
    assert reply.json["metrics"][0] == {
        "metric": "api_calls", "used": 10**9, "limit": None, "remaining": None, "usage_pct": None, "level": None,
    }  # fmt: skip
    assert reply.json["alerts"] == []


def test_the_largest_counts_do_not_overflow(client: FlaskClient, alice: Person) -> None:
    for day in range(1, 32):
        alice.has_used(2**53, day=f"2026-05-{day:02d}")
    reply = client.get(MAY, headers=alice.headers)
    assert reply.json["consumption"]["total_api_calls"] == 31 * 2**53


def test_api_calls_reported_as_usage_count_with_the_logged_ones(client: FlaskClient, alice: Person) -> None:
    alice.has_used(5)
    alice.db.execute(
        "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'api_calls', '2026-05-02', 6)"
    )
    alice.db.commit()
    assert client.get(MAY, headers=alice.headers).json["consumption"]["total_api_calls"] == 11


def test_the_same_answer_stands_under_the_callers_own_tenant_only(client: FlaskClient, people: Cast) -> None:
    people.charlie.has_used(9)
    own = client.get("/api/v1/billing/tenants/2/consumption?month=2026-05", headers=people.charlie.headers)
    others = client.get("/api/v1/billing/tenants/1/consumption?month=2026-05", headers=people.charlie.headers)
    missing = client.get("/api/v1/billing/tenants/77/consumption?month=2026-05", headers=people.charlie.headers)
    assert own.json["consumption"]["total_api_calls"] == 9
    assert (others.status_code, missing.status_code) == (404, 404)
    assert others.data == missing.data


def test_a_plan_in_the_token_is_no_plan(client: FlaskClient, alice: Person) -> None:
    from tests.cast import token_for

    token = token_for(alice.id, plan="pro", role="admin", tenant_id=2)
    reply = client.get(MAY, headers={"Authorization": f"Bearer {token}"})
    assert (reply.json["plan"], reply.json["consumption"]["limit_api_calls"]) == ("free", 300)
