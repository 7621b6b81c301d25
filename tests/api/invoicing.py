"""A clerk who issues and looks at invoices over HTTP, for the tests of invoices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing_db import Connection
from tests.cast import Person
from turf_saas.clock import set_clock
from turf_saas.demo import SELLER
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscriptions import Subscription
from turf_saas.users import User

PREFIX = "/api/v1/billing"
SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing", **SELLER})


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2030, month, day, hour, tzinfo=UTC)


def begin(db: Connection, person: Person, plan: str, month: int, day: int = 1, **given: Any) -> Subscription:
    return subscribe(db, at(month, day), SETTINGS, User(person.id, person.tenant_id, "user"), plan, **given)


class Office:
    """Each call is a request as its person, at the time of the test clock."""

    def __init__(self, client: FlaskClient, db: Connection) -> None:
        self.client, self.db = client, db

    def it_is(self, month: int, day: int, hour: int = 0) -> None:
        set_clock(self.db, datetime(2026, 5, 1, tzinfo=UTC), SETTINGS, at(month, day, hour))

    def get(self, person: Person, path: str = "", **query: Any) -> TestResponse:
        return self.client.get(f"{PREFIX}/invoices{path}", headers=self._headers(person), query_string=query)

    def post(self, person: Person, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.post(
            f"{PREFIX}/invoices{path}", json=body or {}, headers={**self._headers(person), **headers}
        )

    def numbers(self, person: Person, path: str = "", **query: Any) -> list[str]:
        reply = self.get(person, path, **query)
        assert reply.status_code == 200, reply.data
        return [item["number"] for item in reply.json["items"]]

    @staticmethod
    def _headers(person: Person) -> dict[str, str]:
        return {**person.headers, "Accept-Language": "en"}
