"""Tenants: who is kept apart from whom. Tenant 1 exists from the start and may open others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection, atomic, fetch_all, fetch_one
from turf_saas import catalogue
from turf_saas.errors import NotFound
from turf_saas.ids import insert_row
from turf_saas.values import instant_text

FIRST = 1
MAX_NAME = 100


@dataclass(frozen=True)
class Tenant:
    id: int
    name: str
    created_at: str


def get_tenant(db: Connection, tenant_id: int) -> Tenant:
    row = None
    if 0 < tenant_id < 2**63:
        row = fetch_one(db, "SELECT id, name, created_at FROM tenants WHERE id = :id", id=tenant_id)
    if row is None:
        raise NotFound("tenant_not_found")
    return Tenant(row["id"], row["name"], row["created_at"])


def list_tenants(db: Connection) -> list[Tenant]:
    """All of them, the first one first."""
    rows = fetch_all(db, "SELECT id, name, created_at FROM tenants ORDER BY id")
    return [Tenant(row["id"], row["name"], row["created_at"]) for row in rows]


def create_tenant(db: Connection, now: datetime, name: str) -> Tenant:
    """It sells from the start what tenant 1 sells now."""
    with atomic(db):
        tenant_id = insert_row(db, "tenants", "id", name=name, created_at=instant_text(now))
        catalogue.copy_catalogue(db, now, FIRST, tenant_id)
    return Tenant(tenant_id, name, instant_text(now))
