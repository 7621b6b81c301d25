"""A database as the reference left it: its tables, and rows written its way."""

from __future__ import annotations

import re
from typing import Any

import billing_db
from billing_db import Connection, atomic, engine, execute, fetch_all

USERS = "CREATE TABLE users (id {pk}, email TEXT);"
TABLES = """
CREATE TABLE subscriptions (id {pk}, stripe_subscription_id TEXT, stripe_customer_id TEXT);
CREATE TABLE saas_subscriptions (
    id {pk}, user_id BIGINT NOT NULL REFERENCES users(id), plan TEXT DEFAULT 'free', status TEXT DEFAULT 'active',
    stripe_subscription_id TEXT, seats INTEGER DEFAULT 1, created_at TEXT DEFAULT ({now})
);
CREATE TABLE billing_events (
    id {pk}, stripe_event_id TEXT, event_type TEXT NOT NULL, payload TEXT, processed INTEGER DEFAULT 0
);
CREATE TABLE invoices (
    id {pk},
    invoice_number TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES users(id),
    period_start TEXT NOT NULL,
    period_end TEXT NOT NULL,
    plan TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL DEFAULT 'EUR',
    status TEXT NOT NULL DEFAULT 'pending' CHECK(status IN ('pending','paid','overdue','cancelled','refunded')),
    pdf_path TEXT,
    stripe_invoice_id TEXT,
    created_at TEXT NOT NULL DEFAULT ({now}),
    paid_at TEXT
);
CREATE TABLE transactions (
    id {pk},
    user_id BIGINT NOT NULL REFERENCES users(id),
    invoice_id BIGINT REFERENCES invoices(id),
    type TEXT NOT NULL CHECK(type IN ('subscription','overage','credit','refund')),
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL DEFAULT 'EUR',
    stripe_payment_intent_id TEXT,
    description TEXT,
    created_at TEXT NOT NULL DEFAULT ({now})
);
CREATE TABLE consumption_log (
    id {pk},
    user_id BIGINT NOT NULL REFERENCES users(id),
    date TEXT NOT NULL,
    api_calls BIGINT NOT NULL DEFAULT 0,
    endpoint TEXT,
    created_at TEXT NOT NULL DEFAULT ({now}),
    UNIQUE(user_id, date, endpoint)
);
CREATE INDEX idx_invoices_user ON invoices(user_id);
CREATE INDEX idx_invoices_status ON invoices(status);
CREATE INDEX idx_transactions_user ON transactions(user_id);
CREATE INDEX idx_consumption_user ON consumption_log(user_id);
CREATE INDEX idx_consumption_date ON consumption_log(date);
CREATE INDEX idx_saas_subs_stripe ON saas_subscriptions(stripe_subscription_id);
"""
WORDS = {
    "sqlite": {"pk": "INTEGER PRIMARY KEY AUTOINCREMENT", "now": "datetime('now')"},
    "postgresql": {
        "pk": "BIGSERIAL PRIMARY KEY",
        "now": "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
    },
}
# What an older or looser program may have made: the same columns without a rule, so that any row can be written.
RULE = re.compile(r",\s*UNIQUE\([^)]*\)| REFERENCES \w+\(\w+\)| UNIQUE| CHECK\(\w+ IN \([^)]*\)\)| NOT NULL")


def create(url: str, *, loose: bool = False, users: bool = True, more: str = "") -> Connection:
    """An open connection to a reference database with the users 1 and 2 in it."""
    db = billing_db.connect(url)
    tables = RULE.sub("", TABLES) if loose else TABLES
    sql = (USERS if users else "") + tables + more
    if not users:
        sql = sql.replace(" REFERENCES users(id)", "")
    with atomic(db):
        billing_db.run_script(db, sql.format(**WORDS[engine(db)]).replace("; ", ";\n"))
        if users:
            execute(db, "INSERT INTO users (email) VALUES ('alice@example.org'), ('bob@example.org')")
    return db


def script(db: Connection, sql: str) -> None:
    with atomic(db):
        billing_db.run_script(db, sql.replace("; ", ";\n"))


def insert(db: Connection, table: str, *rows: dict[str, Any]) -> None:
    with atomic(db):
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            values = {f"value{n}": value for n, value in enumerate(row.values())}
            execute(db, f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + name for name in values)})", **values)


def rows(db: Connection, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    """What a question gives, as plain tuples."""
    return [tuple(dict(row).values()) for row in fetch_all(db, sql, **params)]


def log(
    user_id: Any = 1, date: Any = "2026-05-01", api_calls: Any = 1, endpoint: Any = "/races", **columns: Any
) -> dict[str, Any]:
    return {"user_id": user_id, "date": date, "api_calls": api_calls, "endpoint": endpoint, **columns}


def invoice(number: str = "FACT-202605-0001", **columns: Any) -> dict[str, Any]:
    return {
        "invoice_number": number, "user_id": 1, "period_start": "2026-05-01", "period_end": "2026-05-31",
        "plan": "pro", "amount_cents": 4900, **columns,
    }  # fmt: skip


def everything(db: Connection) -> dict[str, Any]:
    """All that stands in a database, objects and rows, to be compared before and after."""
    if engine(db) == "sqlite":
        objects = rows(db, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        tables = [name for kind, name, _ in objects if kind == "table"]
    else:
        objects = rows(
            db,
            """SELECT relkind::text, relname,
                      COALESCE(string_agg(attname || ' ' || atttypid::regtype, ',' ORDER BY attnum), '')
                 FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
                WHERE relnamespace = 'public'::regnamespace GROUP BY relkind, relname ORDER BY 1, 2""",
        )
        tables = [name for kind, name, _ in objects if kind == "r"]
    return {"objects": objects, **{name: rows(db, f'SELECT * FROM "{name}"') for name in tables}}
