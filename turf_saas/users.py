"""The host's users, as far as billing knows them: where they are, who exists, their role and tenant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal
from uuid import UUID

from billing_db import Connection, RuleBroken, atomic, execute, fetch_all, fetch_one, quoted
from turf_saas.many import named, parts, places
from turf_saas.values import MAX_USER_ID, UserId, can_be_stored, instant_text

Role = Literal["user", "admin"]


@dataclass(frozen=True)
class UsersTable:
    """Where the users are and what their key is, as it was read when the database was installed."""

    table: str
    id: str
    key: str  # "integer" or "text"
    ours: bool  # the host has no such table here: we keep a small one

    @cached_property
    def sql_table(self) -> str:
        return quoted(self.table)

    @cached_property
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
        text = str(given) if isinstance(given, (str, int, UUID)) and not isinstance(given, bool) else ""
        return text if 0 < len(text) <= MAX_USER_ID and can_be_stored(text) else None


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
    role: Role


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


def find_tenant(db: Connection, user_id: UserId) -> int:
    """The tenant of a user; 1 for who is in none."""
    row = fetch_one(db, "SELECT tenant_id FROM billing_accounts WHERE user_id = :user_id", user_id=user_id)
    return int(row["tenant_id"]) if row else 1


def find_tenants(db: Connection, users: UsersTable, user_ids: Sequence[UserId]) -> dict[UserId, int]:
    """The tenant of each of these users; who does not exist is not in it."""
    found: dict[UserId, int] = {}
    for part in parts(user_ids):
        try:
            rows = fetch_all(
                db,
                f"""SELECT u.{users.sql_id} AS id, COALESCE(a.tenant_id, 1) AS tenant_id
                      FROM {users.sql_table} AS u LEFT JOIN billing_accounts AS a ON a.user_id = u.{users.sql_id}
                     WHERE u.{users.sql_id} IN ({places(part)})""",  # noqa: S608
                **named(part),
            )
            found |= {row["id"]: row["tenant_id"] for row in rows}
        except RuleBroken:  # a column of type uuid refuses all of them for one that is none
            one_by_one = (find_user(db, users, user_id) for user_id in dict.fromkeys(part))
            found |= {user.id: user.tenant_id for user in one_by_one if user is not None}
    return found


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


def enter_users(db: Connection, now: datetime, users: UsersTable, user_ids: Sequence[UserId]) -> None:
    """Many of them, in one order for everybody: two who enter the same ones never wait for each other."""
    with atomic(db):
        for user_id in sorted(user_ids):
            enter_user(db, now, users, user_id)


def set_role(db: Connection, now: datetime, user_id: UserId, role: Role) -> None:
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
