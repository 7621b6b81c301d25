"""What stands in a really migrated database."""

from __future__ import annotations

from dataclasses import fields

from billing_db import Connection, engine, fetch_all
from turf_saas.schema.host import list_columns

_LISTS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    "postgresql": """SELECT table_name AS name FROM information_schema.tables
                      WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'""",
}


def list_tables(db: Connection) -> set[str]:
    return {row["name"] for row in fetch_all(db, _LISTS[engine(db)])}


def without_tenant(db: Connection) -> set[str]:
    """The tables that do not say whose their rows are."""
    return {
        name for name in list_tables(db) if not any(column.name == "tenant_id" for column in list_columns(db, name))
    }


def unlike_its_table(db: Connection, record: type, table: str) -> list[str]:
    """Fields and columns must be the same names in the same order."""
    columns = [column.name for column in list_columns(db, table)]
    names = [field.name for field in fields(record)]
    return [] if names == columns else [f"{record.__name__} has {names}, {table} has {columns}"]
