"""What is installed here: which database, how far it is migrated, how much is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from billing_db import Connection, DatabaseRefused, engine, fetch_one, is_postgresql, sqlite_path
from turf_saas import schema
from turf_saas.settings import Settings
from turf_saas.users import UsersTable, get_users_table
from turf_saas.values import Month

COUNTED = ("tenants", "saas_subscriptions", "consumption_log", "usage_aggregates", "invoices")


@dataclass(frozen=True)
class Status:
    """`users` and `counts` are None until the first migration. `absent` names what a migration made and is gone."""

    engine: str
    database: str
    month: str
    applied: list[str]
    pending: list[str]
    absent: list[str]
    users: UsersTable | None
    counts: Mapping[str, int] | None


def get_status(db: Connection, now: datetime, settings: Settings) -> Status:
    applied = schema.list_applied(db)
    absent = schema.list_missing(db)
    gone = {name for kind, name in absent if kind in ("table", "view")}
    users = get_users_table(db) if applied and "billing_installation" not in gone else None
    return Status(
        engine=engine(db),
        database=shown_database(settings.database),
        month=str(Month.of(now, settings.timezone)),
        applied=applied,
        pending=[str(step) for step in schema.migrations(engine(db)) if str(step) not in applied],
        absent=[f"{kind} {name}" for kind, name in absent],
        users=users,
        counts=_counts(db, users, gone) if users else None,
    )


def is_missing(settings: Settings) -> bool:
    """Whether the SQLite file has still to be made. A folder that is not there is refused: nobody will make it."""
    if is_postgresql(settings.database):
        return False
    path = sqlite_path(settings.database)
    if not path.parent.is_dir():
        raise DatabaseRefused(f"The folder {path.parent} does not exist, so no database can be there.")
    return not path.exists()


def shown_database(url: str) -> str:
    """Where the database is, without user and password."""
    if not is_postgresql(url):
        return str(sqlite_path(url))
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or "".join(parse_qs(parts.query).get("host", [])[:1])
    return f"postgresql://{host}{parts.path}"


def _counts(db: Connection, users: UsersTable, gone: set[str]) -> dict[str, int]:
    counts = {} if users.table in gone else {"users": _count(db, users.sql_table)}
    return counts | {table: _count(db, table) for table in COUNTED if table not in gone}


def _count(db: Connection, table: str) -> int:
    row = fetch_one(db, f"SELECT COUNT(*) AS rows FROM {table}")  # noqa: S608  our own names, and a quoted one
    return int(row["rows"]) if row else 0
