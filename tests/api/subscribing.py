"""A client that subscribes, moves the clock and reads, for the tests of subscriptions over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing_db import Connection, fetch_all
from tests.cast import Cast, Person
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft

PREFIX = "/api/v1/billing"
THEN = datetime(2025, 1, 1, tzinfo=UTC)  # before any of these tests' clocks
PLANS = (
    PlanDraft("ten", "Ten", 1_000, "EUR"),
    PlanDraft("twentyfive", "Twenty-five", 2_500, "EUR"),
    PlanDraft("forty", "Forty", 4_000, "EUR"),
    PlanDraft("anniversary", "Anniversary", 3_000, "EUR", cycle="anniversary"),
    PlanDraft("yearly", "Yearly", 12_000, "EUR", interval="year"),
    PlanDraft("tried", "Tried", 2_800, "EUR", trial_days=14),
)


class Desk:
    """Where people ask: each call is a request as its person, at the time of the test clock."""

    def __init__(self, client: FlaskClient, db: Connection, people: Cast) -> None:
        self.client, self.db, self.people = client, db, people
        for draft in PLANS:
            catalogue.create_plan(db, THEN, 1, draft)

    def get(self, person: Person, path: str, **query: Any) -> TestResponse:
        return self.client.get(f"{PREFIX}{path}", query_string=query, headers=person.headers)

    def post(self, person: Person, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.post(f"{PREFIX}{path}", json=body or {}, headers={**person.headers, **headers})

    def at(self, text: str) -> TestResponse:
        """It is then: `2026-05-20T10:00`, UTC."""
        moved = self.post(self.people.ada, "/test-clock", {"now": f"{text}:00Z"})
        assert moved.status_code == 200, moved.data
        return moved

    def subscribe(self, person: Person, plan: str, **given: Any) -> dict[str, Any]:
        return self.done(self.post(person, "/subscriptions", {"plan": plan, **given}), 201)

    def change(self, person: Person, number: int, plan: str, **given: Any) -> dict[str, Any]:
        return self.done(self.post(person, f"/subscriptions/{number}/change", {"plan": plan, **given}), 200)

    def cancel(self, person: Person, number: int, **given: Any) -> dict[str, Any]:
        return self.done(self.post(person, f"/subscriptions/{number}/cancel", given), 200)

    def now(self, person: Person) -> Any:
        """The live subscription as GET /subscription shows it."""
        return self.get(person, "/subscription").json["subscription"]

    @staticmethod
    def done(reply: TestResponse, status: int) -> dict[str, Any]:
        assert reply.status_code == status, reply.data
        body: dict[str, Any] = reply.json
        return body

    def fees(self) -> list[tuple[Any, ...]]:
        """Every period that was opened: plan, first day, fee, discount."""
        found = fetch_all(
            self.db,
            """SELECT p.code, b.starts_at, b.fee_cents, b.discount_cents FROM billing_periods AS b
                 JOIN billing_plans AS p ON p.id = b.plan_id ORDER BY b.id""",
        )
        return [(row["code"], row["starts_at"][:10], row["fee_cents"], row["discount_cents"]) for row in found]

    def items(self) -> list[tuple[Any, ...]]:
        """What waits for an invoice: its month, and how much."""
        found = fetch_all(self.db, "SELECT month, amount_cents FROM billing_pending_items ORDER BY id")
        return [(row["month"], row["amount_cents"]) for row in found]


def money(answer: dict[str, Any]) -> tuple[int, int, int]:
    found = answer["proration"]
    return found["credit_cents"], found["charge_cents"], found["net_cents"]


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]
