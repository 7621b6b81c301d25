"""A host with Stripe on a socket: people ask, pay on Stripe's pages, and Stripe's events come when they are let in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api_v1.stripe_fake import StripeFake
from billing_db import Connection, fetch_all
from tests.cast import Cast, Person
from tests.stripe import SECRET
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.plans import PlanLimit
from turf_saas.values import parse_instant

PREFIX = "/api/v1/billing"
THEN = parse_instant("2026-01-01T00:00:00Z")
PLANS = (
    PlanDraft("tried", "Tried", 2_800, "EUR", trial_days=14),
    PlanDraft("metered", "Metered", 0, "EUR", limits={"api_calls": PlanLimit(10, "soft")}),
    PlanDraft("dollars", "Dollars", 900, "USD"),
    PlanDraft("yearly", "Yearly", 12_000, "EUR", interval="year", cycle="anniversary"),
)


class Shop:
    """What is sold, and the desk where people ask."""

    def __init__(self, app: Flask, fake: StripeFake, db: Connection, people: Cast) -> None:
        self.app, self.fake, self.db, self.people = app, fake, db, people
        self.client: FlaskClient = app.test_client()
        self._heard = 0
        for draft in PLANS:
            catalogue.create_plan(db, THEN, 1, draft)

    def post(self, person: Person, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {**person.headers, **headers}
        return self.app.test_client().post(f"{PREFIX}{path}", json=body or {}, headers=sent)

    def get(self, person: Person, path: str) -> Any:
        return self.client.get(f"{PREFIX}{path}", headers=person.headers).json

    def checkout(self, person: Person, plan: str = "premium") -> str:
        """The id of the session that he is sent to."""
        reply = self.post(person, "/checkout", {"plan": plan})
        assert reply.status_code == 200, reply.data
        return str(reply.json["url"]).rpartition("/")[2]

    def plan_of(self, person: Person) -> tuple[str, str | None]:
        """The plan in force, and who bills it."""
        now = self.get(person, "/subscription")
        return now["plan"], now["subscription"]["billed_by"] if now["subscription"] else None

    def hear(self, *types: str) -> list[str]:
        """What Stripe has told since the last time, or of that these types only; the answers."""
        events = self.fake.events
        new, self._heard = events[self._heard :], len(events)
        return [self.tell(event) for event in new if not types or event["type"] in types]

    def tell(self, event: dict[str, Any]) -> str:
        raw, signature = self.fake.signed(event, SECRET)
        reply = self.client.post(f"{PREFIX}/webhooks/stripe", data=raw, headers={"Stripe-Signature": signature})
        assert reply.status_code == 200, reply.data
        return str(reply.json["result"])

    def work(self) -> None:
        """What is to be done within a minute is done."""
        clock = self.app.extensions["billing"].real_now() + timedelta(minutes=1)
        while self.app.extensions["billing"].process_one(clock):
            pass

    def sessions(self) -> list[dict[str, Any]]:
        return [one for one in self.fake.objects.values() if one["object"] == "checkout.session"]

    def statuses(self) -> list[str]:
        return [row["status"] for row in fetch_all(self.db, "SELECT status FROM billing_checkouts ORDER BY id")]
