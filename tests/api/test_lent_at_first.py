"""A host that lends its connection before anything else was asked of billing, or whose keys are UUIDs."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

import billing_db
from billing_db import fetch_all
from tests.api.test_auth import host_with_own_users


def connect_as_a_host(url: str) -> Any:
    if not billing_db.is_postgresql(url):
        return sqlite3.connect(url)
    import psycopg

    return psycopg.connect(url)


def test_the_first_use_may_be_on_a_lent_connection_and_a_key_may_be_a_uuid(empty_url: str, engine: str) -> None:
    known = uuid.uuid4()
    app = host_with_own_users(empty_url, "VARCHAR(36)" if engine == "sqlite" else "uuid", str(known))
    billing, lent = app.extensions["billing"], connect_as_a_host(empty_url)
    with app.app_context():
        first = billing.record_usage(known, "tokens", 3, idempotency_key="once", db=lent)
        assert billing.record_usage(str(known), "tokens", 3, idempotency_key="once", db=lent) == (first.id, True)
        billing.check_and_increment(known, "tokens", 4, db=lent)
        lent.commit()
        assert billing.list_daily_aggregates(known, "tokens", "2000-01-01", "2100-01-01")[0].total == 7
        [counter] = fetch_all(billing.db(), "SELECT user_id, used FROM usage_counters")
        assert (str(counter["user_id"]), counter["used"]) == (str(known), 7)
    lent.close()
