"""What stands in a database before we come: its objects, a table's columns, what hangs on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing_db import Connection, engine, fetch_all, fetch_one, quoted

_OURS = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"


@dataclass(frozen=True)
class Column:
    name: str
    declared_type: str
    unique: bool
    default: str | None
    computed: bool  # from other columns of its row


@dataclass(frozen=True)
class Attached:
    """An index, a trigger or a foreign key that goes with its table, and how to make it again."""

    kind: str
    name: str
    sql: str
    undo: str = ""  # what has to be said before the table can go


def folded(db: Connection, name: str) -> str:
    """A name as this engine compares names."""
    return name.lower() if engine(db) == "sqlite" else name


def list_objects(db: Connection) -> dict[tuple[str, str], str]:
    """Every name that is taken, by its name space ('table' or 'trigger', 'function'), and what has it."""
    if engine(db) == "sqlite":
        rows = fetch_all(db, "SELECT type AS kind, name FROM sqlite_master")
    else:
        rows = fetch_all(
            db,
            f"""SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
                                    WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' ELSE 'relation' END AS kind,
                       relname AS name FROM pg_class WHERE relnamespace = {_OURS}
                UNION ALL
                SELECT 'function', proname FROM pg_proc WHERE pronamespace = {_OURS}""",  # noqa: S608
        )
    return {(name_space(row["kind"]), folded(db, row["name"])): row["kind"] for row in rows}


def list_triggers(db: Connection) -> set[str]:
    """The triggers that fire. (On PostgreSQL their names are each table's own, so they take no name from others.)"""
    if engine(db) == "sqlite":
        rows = fetch_all(db, "SELECT name FROM sqlite_master WHERE type = 'trigger'")
    else:
        rows = fetch_all(
            db,
            f"""SELECT t.tgname AS name FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                 WHERE c.relnamespace = {_OURS} AND NOT t.tgisinternal AND t.tgenabled <> 'D'""",  # noqa: S608
        )
    return {row["name"] for row in rows}


def name_space(kind: str) -> str:
    """Tables, views and indexes cannot share a name; triggers and functions have their own."""
    return kind if kind in ("trigger", "function") else "table"


def list_columns(db: Connection, table: str) -> list[Column]:
    """A table's columns as they are declared, in order; none when there is no such table."""
    return _columns_sqlite(db, table) if engine(db) == "sqlite" else _columns_postgresql(db, table)


def _columns_sqlite(db: Connection, table: str) -> list[Column]:
    unique = set()
    for index in fetch_all(db, 'SELECT name FROM pragma_index_list(:t) WHERE "unique" AND NOT partial', t=table):
        columns = fetch_all(db, "SELECT name FROM pragma_index_info(:i)", i=index["name"])
        if len(columns) == 1:
            unique.add(columns[0]["name"])
    rows = fetch_all(db, "SELECT name, type, pk, dflt_value, hidden FROM pragma_table_xinfo(:t)", t=table)
    if sum(1 for row in rows if row["pk"]) == 1:
        unique |= {row["name"] for row in rows if row["pk"]}
    return [
        Column(row["name"], row["type"], row["name"] in unique, row["dflt_value"], row["hidden"] > 0) for row in rows
    ]


def _columns_postgresql(db: Connection, table: str) -> list[Column]:
    rows = fetch_all(
        db,
        """SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
                  EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                             AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_unique,
                  pg_get_expr(d.adbin, d.adrelid) AS "default", a.attgenerated <> '' AS computed
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass(:t) AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum""",
        t=quoted(table),
    )
    return [Column(row["name"], row["type"], row["is_unique"], row["default"], row["computed"]) for row in rows]


def key_kind(declared_type: str) -> str | None:
    """`integer` or `text`, or None for a type that cannot be a user's key."""
    word = declared_type.lower()
    if "int" in word:
        return "integer"
    if any(name in word for name in ("char", "text", "uuid", "clob")):
        return "text"
    return None


def list_attached(db: Connection, table: str, adopted: Sequence[str]) -> list[Attached]:
    """The host's own indexes and triggers on a table, and on PostgreSQL the foreign keys of others that point at it.

    (SQLite's point at a name, so they need nothing.)
    """
    if engine(db) == "sqlite":
        rows = fetch_all(
            db,
            """SELECT type AS kind, name, sql FROM sqlite_master
                WHERE lower(tbl_name) = lower(:t) AND type IN ('index', 'trigger') AND sql IS NOT NULL
                ORDER BY type, name""",
            t=table,
        )
        return [Attached(row["kind"], row["name"], row["sql"]) for row in rows]
    return _indexes_and_triggers(db, table) + _foreign_keys_to(db, table, adopted)


def _indexes_and_triggers(db: Connection, table: str) -> list[Attached]:
    rows = fetch_all(
        db,
        f"""SELECT 'index' AS kind, x.relname AS name, pg_get_indexdef(x.oid) AS sql
              FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
             WHERE c.relname = :t AND c.relnamespace = {_OURS}
               AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = x.oid)
            UNION ALL
            SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid)
              FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
             WHERE c.relname = :t AND c.relnamespace = {_OURS} AND NOT t.tgisinternal
            ORDER BY 1, 2""",  # noqa: S608
        t=table,
    )
    return [Attached(row["kind"], row["name"], row["sql"]) for row in rows]


def _foreign_keys_to(db: Connection, table: str, adopted: Sequence[str]) -> list[Attached]:
    rows = fetch_all(
        db,
        f"""SELECT k.conname AS name, k.conrelid::regclass::text AS holder, pg_get_constraintdef(k.oid) AS rule,
                   h.relname AS holder_name
              FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_class h ON h.oid = k.conrelid
             WHERE k.contype = 'f' AND c.relname = :t AND c.relnamespace = {_OURS} ORDER BY 1""",  # noqa: S608
        t=table,
    )
    return [
        Attached(
            "foreign key",
            row["name"],
            f"ALTER TABLE {row['holder']} ADD CONSTRAINT {quoted(row['name'])} {row['rule']}",
            f"ALTER TABLE {row['holder']} DROP CONSTRAINT {quoted(row['name'])}",
        )
        for row in rows
        if row["holder_name"] not in adopted
    ]


def find_highest_number(db: Connection, table: str) -> int:
    """The last id that a table has given out, also to rows that are gone; 0 when nobody counts."""
    if engine(db) == "sqlite":
        if not fetch_all(db, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            return 0
        row = fetch_one(db, "SELECT seq FROM sqlite_sequence WHERE lower(name) = lower(:t)", t=table)
        return int(row["seq"]) if row else 0
    row = fetch_one(
        db,
        """SELECT COALESCE(pg_sequence_last_value(CAST(pg_get_serial_sequence(:t, 'id') AS regclass)), 0) AS seq""",
        t=quoted(table),
    )
    return int(row["seq"]) if row else 0
