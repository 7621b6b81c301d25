"""What stands in a database before we come: its objects, a table's columns, what hangs on a table."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from billing_db import Connection, engine, fetch_all, fetch_one, quoted
from turf_saas.users import UsersTable

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_OURS = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"


@dataclass(frozen=True)
class Column:
    name: str
    declared_type: str
    unique: bool
    default: str | None
    computed: bool  # from other columns of its row
    numbered: bool  # by the database, for a row that comes without


@dataclass(frozen=True)
class Attached:
    """An index, a trigger or a foreign key that goes with its table, and how to make it again."""

    kind: str
    name: str
    sql: str
    undo: str = ""  # what has to be said before the table can go


def folded(db: Connection, name: str) -> str:
    """A name as this engine compares names."""
    return name.translate(_LOWER) if engine(db) == "sqlite" else name


def is_named(db: Connection, users: UsersTable, table: str, key: str) -> bool:
    """Whether these settings name the users that the database was installed for."""
    return (folded(db, users.table), folded(db, users.id)) == (folded(db, table), folded(db, key))


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
    keys = [row["name"] for row in rows if row["pk"]]
    return [
        Column(
            row["name"],
            row["type"],
            row["name"] in unique,
            _default_sqlite(row["dflt_value"]),
            computed=row["hidden"] > 0,
            numbered=keys == [row["name"]] and row["type"].upper() == "INTEGER",
        )
        for row in rows
    ]


_CONSTANTS = ("NULL", "TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP")


def _default_sqlite(written: str | None) -> str | None:
    """A default as an expression: DEFAULT "x y" and DEFAULT x are texts, and would be columns inside parentheses."""
    if written is None or written.upper() in _CONSTANTS:
        return written
    for mark, _ in ('""', "``", "[]"):
        if written.startswith(mark):
            text = written[1:-1] if mark == "[" else written[1:-1].replace(mark * 2, mark)
            return "'" + text.replace("'", "''") + "'"
    return f"'{written}'" if re.fullmatch(r"[^\W\d][\w$]*", written) else written


def _columns_postgresql(db: Connection, table: str) -> list[Column]:
    rows = fetch_all(
        db,
        """SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
                  EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                             AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_unique,
                  pg_get_expr(d.adbin, d.adrelid) AS "default", a.attgenerated <> '' AS computed,
                  a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%' AS numbered
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass(:t) AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum""",
        t=quoted(table),
    )
    return [
        Column(row["name"], row["type"], row["is_unique"], row["default"], row["computed"], bool(row["numbered"]))
        for row in rows
    ]


def find_table(db: Connection, name: str) -> str | None:
    """A table's name as it was given to it. (SQLite finds a table and its columns by their names in any case.)"""
    if engine(db) == "postgresql":
        return name if list_columns(db, name) else None
    row = fetch_one(
        db, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = lower(:n)", n=name
    )
    return row["name"] if row else None


def list_rules(db: Connection, table: str) -> list[tuple[str, ...]]:
    """The columns of each PRIMARY KEY and UNIQUE constraint."""
    if engine(db) == "sqlite":
        keys = fetch_all(db, "SELECT name FROM pragma_table_info(:t) WHERE pk ORDER BY pk", t=table)
        rows = fetch_all(
            db,
            """SELECT l.name AS rule, i.name FROM pragma_index_list(:t) AS l, pragma_index_info(l.name) AS i
                WHERE l.origin = 'u' ORDER BY l.seq DESC, i.seqno""",
            t=table,
        )
    else:
        keys = []
        rows = fetch_all(
            db,
            """SELECT k.conname AS rule, a.attname AS name
                 FROM pg_constraint AS k, unnest(k.conkey) WITH ORDINALITY AS c (number, place), pg_attribute AS a
                WHERE k.conrelid = to_regclass(:t) AND k.contype IN ('p', 'u')
                  AND a.attrelid = k.conrelid AND a.attnum = c.number
                ORDER BY k.conname, c.place""",
            t=quoted(table),
        )
    rules: dict[str, list[str]] = {"": [row["name"] for row in keys]}
    for row in rows:
        rules.setdefault(row["rule"], []).append(row["name"])
    return [tuple(columns) for columns in rules.values() if columns]


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
            SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid) ||
                   CASE WHEN t.tgenabled = 'D'
                        THEN '; ALTER TABLE ' || c.relname || ' DISABLE TRIGGER ' || quote_ident(t.tgname) ELSE '' END
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
