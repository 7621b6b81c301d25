"""The host's users, as far as billing knows them: where they are, who exists, their role and tenant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection, RuleBroken, atomic, engine, execute, fetch_all, fetch_one
from turf_saas.values import instant_text

UserId = int | str
MAX_ID_LENGTH = 255


@dataclass(frozen=True)
class UsersTable:
    """Where the users are and what their key is, as it was read when the database was installed."""

    table: str
    id: str
    key: str  # "integer" or "text"
    ours: bool  # the host has no such table here: we keep a small one

    @property
    def sql_table(self) -> str:
        return quoted(self.table)

    @property
    def sql_id(self) -> str:
        return quoted(self.id)

    def parse_id(self, given: object) -> UserId | None:
        """The key that a token, header or host names, or None when it cannot be one."""
        if self.key == "integer":
            if isinstance(given, int) and not isinstance(given, bool):
                return given if 0 <= given < 2**63 else None
            if isinstance(given, str) and re.fullmatch(r"0|[1-9][0-9]{0,18}", given):
                return int(given) if int(given) < 2**63 else None
            return None
        text = str(given) if isinstance(given, (str, int)) and not isinstance(given, bool) else ""
        if not 0 < len(text) <= MAX_ID_LENGTH or "\0" in text or any(0xD800 <= ord(c) < 0xE000 for c in text):
            return None
        return text


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def get_users_table(db: Connection) -> UsersTable:
    """As recorded by the first migration."""
    row = fetch_one(db, "SELECT users_table, users_id, users_key, users_are_ours FROM billing_installation")
    if row is None:
        raise RuntimeError("the database has not been migrated")
    return UsersTable(row["users_table"], row["users_id"], row["users_key"], bool(row["users_are_ours"]))


@dataclass(frozen=True)
class User:
    id: UserId
    tenant_id: int
    role: str


def find_user(db: Connection, users: UsersTable, user_id: UserId) -> User | None:
    """The user, with role and tenant as the database has them now."""
    try:
        row = fetch_one(
            db,
            f"""SELECT u.{users.sql_id} AS id, COALESCE(a.tenant_id, 1) AS tenant_id, COALESCE(a.role, 'user') AS role
                  FROM {users.sql_table} AS u LEFT JOIN billing_accounts AS a ON a.user_id = u.{users.sql_id}
                 WHERE u.{users.sql_id} = :user_id""",  # noqa: S608  names read from the database itself, quoted
            user_id=user_id,
        )
    except RuleBroken:  # a PostgreSQL column of type uuid refuses what is not one
        return None
    return User(row["id"], row["tenant_id"], row["role"]) if row else None


def enter_user(db: Connection, now: datetime, users: UsersTable, user_id: UserId) -> None:
    """Note a user for whom the host vouches, in the small table that we keep when the host's is elsewhere."""
    with atomic(db):
        execute(
            db,
            f"""INSERT INTO {users.sql_table} ({users.sql_id}, created_at) VALUES (:user_id, :now)
                ON CONFLICT DO NOTHING""",  # noqa: S608
            user_id=user_id,
            now=instant_text(now),
        )


def set_role(db: Connection, now: datetime, user_id: UserId, role: str) -> None:
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_accounts (user_id, role, created_at, updated_at)
               VALUES (:user_id, :role, :now, :now)
               ON CONFLICT (user_id) DO UPDATE SET role = excluded.role, updated_at = excluded.updated_at""",
            user_id=user_id,
            role=role,
            now=instant_text(now),
        )


# -- reading a host's table ------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    name: str
    declared_type: str
    not_null: bool
    unique: bool


def list_columns(db: Connection, table: str) -> list[Column]:
    """A table's columns as they are declared, in order; none when there is no such table."""
    return _columns_sqlite(db, table) if engine(db) == "sqlite" else _columns_postgresql(db, table)


def _columns_sqlite(db: Connection, table: str) -> list[Column]:
    unique = set()
    for index in fetch_all(db, 'SELECT name FROM pragma_index_list(:t) WHERE "unique" AND NOT partial', t=table):
        columns = fetch_all(db, "SELECT name FROM pragma_index_info(:i)", i=index["name"])
        if len(columns) == 1:
            unique.add(columns[0]["name"])
    rows = fetch_all(db, 'SELECT name, type, "notnull", pk FROM pragma_table_info(:t)', t=table)
    if sum(1 for row in rows if row["pk"]) == 1:
        unique |= {row["name"] for row in rows if row["pk"]}
    return [Column(row["name"], row["type"], bool(row["notnull"]), row["name"] in unique) for row in rows]


def _columns_postgresql(db: Connection, table: str) -> list[Column]:
    rows = fetch_all(
        db,
        """SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
                  EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                             AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_unique
             FROM pg_attribute a
            WHERE a.attrelid = to_regclass(:t) AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY a.attnum""",
        t=quoted(table),
    )
    return [Column(row["name"], row["type"], row["not_null"], row["is_unique"]) for row in rows]


def key_kind(declared_type: str) -> str | None:
    """`integer` or `text`, or None for a type that cannot be a user's key."""
    word = declared_type.lower()
    if "int" in word:
        return "integer"
    if any(name in word for name in ("char", "text", "uuid", "clob")):
        return "text"
    return None
