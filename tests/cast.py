"""The same people in every test: Alice uses, Bob is her colleague, Charlie is in another tenant and sees nothing,
Ada is the admin of tenant 1, Dora the admin of Charlie's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt

from billing_db import Connection, atomic, execute
from turf_saas import catalogue

SECRET = "a-secret-for-tests-only-0123456789abcdef"
OTHER_TENANT = 2


@dataclass
class Person:
    name: str
    id: int
    tenant_id: int = 1
    role: str = "user"
    db: Connection = field(default=None, repr=False)

    @property
    def token(self) -> str:
        return token_for(self.id)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def has_used(self, quantity: int, metric: str = "api_calls", day: str = "2026-05-15") -> None:
        """Written as another program would: rows in the daily tables."""
        with atomic(self.db):
            if metric == "api_calls":
                execute(
                    self.db,
                    """INSERT INTO consumption_log (user_id, date, api_calls, endpoint)
                       VALUES (:user, :day, :quantity, '/races')
                       ON CONFLICT (user_id, date, endpoint)
                       DO UPDATE SET api_calls = consumption_log.api_calls + excluded.api_calls""",
                    user=self.id,
                    day=day,
                    quantity=quantity,
                )
            else:
                execute(
                    self.db,
                    """INSERT INTO usage_aggregates (user_id, metric, period_start, total)
                       VALUES (:user, :metric, :day, :quantity)
                       ON CONFLICT (user_id, metric, period_start)
                       DO UPDATE SET total = usage_aggregates.total + excluded.total""",
                    user=self.id,
                    metric=metric,
                    day=day,
                    quantity=quantity,
                )

    def is_on(self, plan: str | None, status: str = "active", **columns: Any) -> None:
        """A three-value row, as the outside writes it."""
        names = ["user_id", "plan", "status", *columns]
        with atomic(self.db):
            execute(
                self.db,
                f"INSERT INTO saas_subscriptions ({', '.join(names)}) VALUES ({', '.join(':' + n for n in names)})",
                user_id=self.id,
                plan=plan,
                status=status,
                **columns,
            )


def token_for(user_id: Any, secret: str = SECRET, **claims: Any) -> str:
    now = int(time.time())
    body = {"sub": str(user_id), "type": "access", "iat": now, "nbf": now, "exp": now + 86_400, **claims}
    return jwt.encode({name: value for name, value in body.items() if value is not None}, secret, algorithm="HS256")


@dataclass
class Cast:
    alice: Person
    bob: Person
    charlie: Person
    ada: Person
    dora: Person


def enter(db: Connection) -> Cast:
    """Write the cast into a migrated database that has our own users table."""
    cast = Cast(
        Person("alice", 1),
        Person("bob", 2),
        Person("charlie", 3, OTHER_TENANT),
        Person("ada", 4, role="admin"),
        Person("dora", 5, OTHER_TENANT, role="admin"),
    )
    with atomic(db):
        execute(db, "INSERT INTO tenants (id, name) VALUES (:id, 'another')", id=OTHER_TENANT)
        catalogue.copy_catalogue(db, datetime(2026, 1, 1, tzinfo=UTC), 1, OTHER_TENANT)
        for person in vars(cast).values():
            person.db = db
            execute(db, "INSERT INTO users (id, name) VALUES (:id, :name)", id=person.id, name=person.name)
            execute(
                db,
                "INSERT INTO billing_accounts (user_id, tenant_id, role) VALUES (:id, :tenant_id, :role)",
                id=person.id,
                tenant_id=person.tenant_id,
                role=person.role,
            )
    return cast
