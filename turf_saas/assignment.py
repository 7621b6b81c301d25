"""Putting a user in a tenant, as long as nothing of his stands in another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection, atomic, engine, execute, fetch_one, quoted
from turf_saas import api_keys, schema, tenants
from turf_saas.errors import Conflict, NotFound
from turf_saas.schema.host import list_columns
from turf_saas.users import User, UsersTable, find_user
from turf_saas.values import UserId, instant_text

# What says who a user is and goes with him. In every other table his rows are records, and stay where they are.
_GOES_WITH_HIM = {"billing_accounts", "billing_logins", "billing_api_keys"}


@dataclass(frozen=True)
class Assigned:
    """The user as he is now and as he was, and how many keys the move has revoked."""

    user: User
    before: User
    keys_revoked: int = 0


def assign_user(db: Connection, now: datetime, users: UsersTable, user_id: UserId, tenant_id: int) -> Assigned:
    """Put a user in a tenant, as a plain user of it. Conflict when he has records in another one.

    A role and a key are good for one tenant, so neither comes along. Who is in the tenant already stays as he is.
    """
    with atomic(db):
        tenants.get_tenant(db, tenant_id)
        records = _tables_of_records(db)
        _hold_writers(db, records)
        before = find_user(db, users, user_id)
        if before is None:
            raise NotFound("user_not_found")
        if before.tenant_id == tenant_id:
            return Assigned(before, before)
        _refuse_records_elsewhere(db, records, user_id, tenant_id)
        _write(db, now, user_id, tenant_id)
        keys_revoked = api_keys.revoke_keys_elsewhere(db, now, user_id, tenant_id)
    return Assigned(User(before.id, tenant_id, "user"), before, keys_revoked)


def _tables_of_records(db: Connection) -> list[str]:
    """Every table of ours whose rows are a user's and a tenant's, also those of later migrations."""
    ours = [table for migration in schema.migrations(engine(db)) for table in migration.tables]
    columns = {table: {column.name for column in list_columns(db, table)} for table in ours}
    return [table for table in ours if table not in _GOES_WITH_HIM and {"user_id", "tenant_id"} <= columns[table]]


def _hold_writers(db: Connection, tables: list[str]) -> None:
    """Let running writers end and new ones wait, so that none writes for the old tenant while we look.

    SQLite has one writer, and in this transaction it is us.
    """
    if engine(db) == "postgresql":
        execute(db, f"LOCK TABLE {', '.join(map(quoted, tables))} IN SHARE ROW EXCLUSIVE MODE")


def _refuse_records_elsewhere(db: Connection, tables: list[str], user_id: UserId, tenant_id: int) -> None:
    for table in tables:
        found = fetch_one(
            db,
            f"""SELECT tenant_id FROM {quoted(table)}
                 WHERE user_id = :user_id AND tenant_id <> :tenant_id LIMIT 1""",  # noqa: S608  a table of ours
            user_id=user_id,
            tenant_id=tenant_id,
        )
        if found is not None:
            raise Conflict("user_has_records", table=table, tenant_id=found["tenant_id"])


def _write(db: Connection, now: datetime, user_id: UserId, tenant_id: int) -> None:
    execute(
        db,
        """INSERT INTO billing_accounts (user_id, tenant_id, created_at, updated_at)
           VALUES (:user_id, :tenant_id, :now, :now)
           ON CONFLICT (user_id) DO UPDATE
              SET tenant_id = excluded.tenant_id, role = 'user', updated_at = excluded.updated_at""",
        user_id=user_id,
        tenant_id=tenant_id,
        now=instant_text(now),
    )
    execute(
        db,
        "UPDATE billing_logins SET tenant_id = :tenant_id, updated_at = :now WHERE user_id = :user_id",
        user_id=user_id,
        tenant_id=tenant_id,
        now=instant_text(now),
    )
