"""How the tests of usage report it and read it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing_db import Connection, fetch_one
from tests.cast import Person
from turf_saas import api_keys
from turf_saas.users import User

USAGE = "/api/v1/billing/usage"
NOW = datetime(2026, 5, 20, 10, tzinfo=UTC)


def key_of(db: Connection, person: Person, *scopes: str) -> dict[str, str]:
    user = User(person.id, person.tenant_id, person.role)
    _, secret = api_keys.create_key(db, NOW, user, name="program", scopes=list(scopes or ("usage:write",)))
    return {"X-API-Key": secret}


def post(client: FlaskClient, body: Any, who: Person | dict[str, str], **headers: str) -> TestResponse:
    known = who.headers if isinstance(who, Person) else who
    return client.post(USAGE, json=body, headers={**known, **{k.replace("_", "-"): v for k, v in headers.items()}})


def days(client: FlaskClient, who: Person, query: str = "") -> list[tuple[str, str, int]]:
    items = client.get(f"{USAGE}?{query}", headers=who.headers).json["items"]
    return [(item["period_start"], item["metric"], item["total"]) for item in items]


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]


def events_in(db: Connection) -> int:
    row = fetch_one(db, "SELECT COUNT(*) AS many FROM usage_events")
    return int(row["many"]) if row else 0
