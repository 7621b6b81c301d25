"""SQLite gives the id of a removed user to the next one, and a host may remove him with its foreign keys off."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from billing_db import Connection, fetch_all
from turf_saas import admission, idempotency, quotas, spending_caps
from turf_saas.idempotency import Answer, Asked
from turf_saas.settings import read_settings
from turf_saas.users import User

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
SETTINGS = read_settings({"TURF_SAAS_DB": "."})
BOB = User(2, 1, "user")


def test_what_a_removed_user_held_capped_and_asked_is_not_the_next_ones(on_sqlite: Connection) -> None:
    db = on_sqlite
    admission.reserve(db, NOW, SETTINGS, BOB, "tokens", 99_000)
    spending_caps.set_cap(db, NOW, BOB, 0)
    asked = Asked(BOB, "a key", "POST /quotas/reserve", "the same body")
    idempotency.do_once(db, NOW, asked, lambda: Answer(201, {}, "for Bob's eyes"))
    path = fetch_all(db, "PRAGMA database_list")[0]["file"]
    host = sqlite3.connect(path)
    host.execute("DELETE FROM users WHERE id = 2")
    host.execute("INSERT INTO users (id, name) VALUES (2, 'the next')")
    host.commit()
    host.close()
    found = quotas.get_quotas(db, NOW, SETTINGS, BOB.id)
    assert [(quota.gauge.metric, quota.gauge.reserved) for quota in found.quotas] == [("api_calls", 0), ("tokens", 0)]
    assert found.spending.cap_cents is None
    assert (
        idempotency.do_once(db, NOW, asked, lambda: Answer(201, {}, "for the next one's")).body == "for the next one's"
    )
