"""GET /consumption: a user's month against the limits of the plan."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.cast import Person

CONSUMPTION = "/api/v1/billing/consumption"


@pytest.mark.parametrize(
    ("used", "pct", "level"),
    [
        (0, 0.0, None),
        (2_397, 79.9, None),
        (2_399, 79.9, None),
        (2_400, 80.0, "soft"),
        (2_999, 99.9, "soft"),
        (3_000, 100.0, "hard"),
        (3_030, 101.0, "hard"),
    ],
)
def test_thresholds_are_compared_as_integers(
    client: FlaskClient, alice: Person, used: int, pct: float, level: str | None
) -> None:
    alice.is_on("premium")
    alice.has_used(used)
    reply = client.get(f"{CONSUMPTION}?month=2026-05", headers=alice.headers)
    assert reply.status_code == 200
    assert reply.json["consumption"] == {"total_api_calls": used, "limit_api_calls": 3_000, "usage_pct": pct}
    assert [alert["type"] for alert in reply.json["alerts"]] == ([level] if level else [])
    expected = {None: None, "soft": "soft_limit_warning", "hard": "hard_limit_reached"}[level]
    assert reply.headers.get("X-Billing-Alert") == expected
