"""What is installed here: which database, how far it is migrated, how much is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from billing_db import Connection, engine, fetch_all, fetch_one, is_postgresql, sqlite_path
from turf_saas import schema
from turf_saas.settings import Settings
from turf_saas.users import UsersTable, get_users_table, list_columns
from turf_saas.values import Month

COUNTED = ("tenants", "saas_subscriptions", "consumption_log", "usage_aggregates", "invoices")


@dataclass(frozen=True)
class Status:
    """`users` and `counts` are None until the first migration."""

    engine: str
    database: str
    month: str
    applied: list[str]
    pending: list[str]
    users: UsersTable | None
    counts: Mapping[str, int] | None


def get_status(db: Connection, now: datetime, settings: Settings) -> Status:
    applied = list_applied(db)
    users = get_users_table(db) if applied else None
    return Status(
        engine=engine(db),
        database=shown_database(settings.database),
        month=str(Month.of(now, settings.timezone)),
        applied=applied,
        pending=[name for name in _names(db, settings) if name not in applied],
        users=users,
        counts=_counts(db, users) if users else None,
    )


def is_missing(settings: Settings) -> bool:
    """Whether the SQLite file has still to be made."""
    return not is_postgresql(settings.database) and not sqlite_path(settings.database).exists()


def list_applied(db: Connection) -> list[str]:
    """The migrations that the database has, in order."""
    if not list_columns(db, "billing_migrations"):
        return []
    rows = fetch_all(db, "SELECT number, name FROM billing_migrations ORDER BY number")
    return [f"{row['number']:04d}_{row['name']}" for row in rows]


def _names(db: Connection, settings: Settings) -> list[str]:
    return [str(step) for step in schema.migrations(settings, engine(db))]


def shown_database(url: str) -> str:
    """Where the database is, without user and password."""
    if not is_postgresql(url):
        return str(sqlite_path(url))
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or "".join(parse_qs(parts.query).get("host", [])[:1])
    return f"postgresql://{host}{parts.path}"


def _counts(db: Connection, users: UsersTable) -> dict[str, int]:
    counts = {"users": _count(db, users.sql_table)}
    return counts | {table: _count(db, table) for table in COUNTED}


def _count(db: Connection, table: str) -> int:
    row = fetch_one(db, f"SELECT COUNT(*) AS rows FROM {table}")  # noqa: S608  our own names, and a quoted one
    return int(row["rows"]) if row else 0
