"""API keys: a program's way in. A key acts as its user, in its tenant, never beyond its scopes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing_db import Connection, DatabaseError, Row, atomic, execute, fetch_all, fetch_one, lock
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.users import User
from turf_saas.values import UserId, instant_text

PREFIX = "bk_"
SCOPES = ("billing.read", "billing.write", "usage:write")
MAX_NAME = 100
MAX_LIVE_KEYS = 100  # per user
MAX_REVOKED_KEYS = 100  # per user, the last ones, so that making and revoking in turn fills nothing
REVOKED_KEPT = timedelta(days=90)
NOTED_EVERY = timedelta(hours=1)

_KEY = re.compile(r"bk_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_ID = re.compile(r"[0-9a-f]{8}")
_NOBODY = "0" * 64


@dataclass(frozen=True)
class ApiKey:
    """A key as it may be shown: its secret is stored nowhere."""

    id: str
    tenant_id: int
    user_id: UserId
    name: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None = None
    revoked_at: str | None = None


def create_key(db: Connection, now: datetime, user: User, *, name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """A new key for the user, and what the program has to send. Nobody can tell it a second time."""
    asked = set(scopes)
    if not asked or not asked <= set(SCOPES):
        raise InvalidInput("scope_unknown", known=", ".join(SCOPES))
    granted = tuple(scope for scope in SCOPES if scope in asked)
    secret = secrets.token_urlsafe(32)
    with atomic(db):
        lock(db, _lock_name(user.id))
        _purge_revoked(db, now, user.id)
        _refuse_too_many(db, user)
        key_id = _insert(db, now, user, name, granted, _digest(secret))
    key = ApiKey(key_id, user.tenant_id, user.id, name, granted, created_at=instant_text(now))
    return key, f"{PREFIX}{key.id}_{secret}"


def find_by_secret(db: Connection, given: str) -> ApiKey | None:
    """The live key that was sent, or None."""
    match = _KEY.fullmatch(given)
    if match is None:
        return None
    row = fetch_one(db, "SELECT * FROM billing_api_keys WHERE id = :id AND revoked_at IS NULL", id=match[1])
    stored = row["secret_sha256"] if row else _NOBODY
    return _shown(row) if hmac.compare_digest(stored, _digest(match[2])) and row else None


def note_use(db: Connection, now: datetime, key: ApiKey) -> None:
    """Keep roughly when a key was last used. It is not worth waiting for: a busy database is left alone."""
    if key.last_used_at is not None and key.last_used_at > instant_text(now - NOTED_EVERY):
        return
    with suppress(DatabaseError), atomic(db, durable=False, wait=False):
        execute(
            db,
            "UPDATE billing_api_keys SET last_used_at = :now WHERE id = :id",
            id=key.id,
            now=instant_text(now),
        )


def list_keys(
    db: Connection,
    *,
    tenant_id: int,
    user_id: UserId | None = None,
    limit: int,
    before: tuple[str, str] | None = None,
) -> list[ApiKey]:
    """Keys of a tenant or of one user in it, newest first; `before` is the (created_at, id) to go on from."""
    whose = "" if user_id is None else "AND user_id = :user_id"
    older = "" if before is None else "AND (created_at, id) < (:created_at, :id)"
    created_at, key_id = before or ("", "")
    rows = fetch_all(
        db,
        f"""SELECT * FROM billing_api_keys WHERE tenant_id = :tenant_id {whose} {older}
             ORDER BY created_at DESC, id DESC LIMIT :limit""",  # noqa: S608  two fixed fragments
        tenant_id=tenant_id,
        user_id=user_id,
        created_at=created_at,
        id=key_id,
        limit=limit,
    )
    return [_shown(row) for row in rows]


def list_all_keys(db: Connection, *, user_id: UserId | None = None) -> list[ApiKey]:
    """Every key of every tenant, or every key of one user, newest first: for the command line."""
    whose = "" if user_id is None else "WHERE user_id = :user_id"
    rows = fetch_all(
        db,
        f"SELECT * FROM billing_api_keys {whose} ORDER BY created_at DESC, id DESC",  # noqa: S608  a fixed fragment
        user_id=user_id,
    )
    return [_shown(row) for row in rows]


def get_key(db: Connection, key_id: str, *, tenant_id: int | None = None, user_id: UserId | None = None) -> ApiKey:
    """A live key of this tenant and user, where they are given."""
    key = None
    if _ID.fullmatch(key_id):
        row = fetch_one(db, "SELECT * FROM billing_api_keys WHERE id = :id", id=key_id)
        key = _shown(row) if row else None
    mine = key is not None and tenant_id in (None, key.tenant_id) and user_id in (None, key.user_id)
    if key is None or not mine or key.revoked_at is not None:
        raise NotFound("key_not_found")
    return key


def revoke_key(
    db: Connection, now: datetime, key_id: str, *, tenant_id: int | None = None, user_id: UserId | None = None
) -> ApiKey:
    """The key, from now on refused. A key that is revoked already is not found."""
    key = get_key(db, key_id, tenant_id=tenant_id, user_id=user_id)
    with atomic(db):
        lock(db, _lock_name(key.user_id))
        changed = execute(
            db,
            "UPDATE billing_api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL",
            id=key.id,
            now=instant_text(now),
        )
        if not changed:
            raise NotFound("key_not_found")
        _purge_revoked(db, now, key.user_id)
    return replace(key, revoked_at=instant_text(now))


def revoke_keys_elsewhere(db: Connection, now: datetime, user_id: UserId, tenant_id: int) -> int:
    """How many live keys of the user for another tenant have been revoked."""
    with atomic(db):
        lock(db, _lock_name(user_id))
        return execute(
            db,
            """UPDATE billing_api_keys SET revoked_at = :now
                WHERE user_id = :user_id AND tenant_id <> :tenant_id AND revoked_at IS NULL""",
            user_id=user_id,
            tenant_id=tenant_id,
            now=instant_text(now),
        )


def _lock_name(user_id: UserId) -> str:
    return f"billing_api_keys_{user_id}"


def _purge_revoked(db: Connection, now: datetime, user_id: UserId) -> None:
    execute(
        db,
        """DELETE FROM billing_api_keys
            WHERE user_id = :user_id AND revoked_at IS NOT NULL
              AND (revoked_at <= :long_ago OR id NOT IN (
                      SELECT id FROM billing_api_keys WHERE user_id = :user_id AND revoked_at IS NOT NULL
                       ORDER BY revoked_at DESC, id DESC LIMIT :most))""",
        user_id=user_id,
        long_ago=instant_text(now - REVOKED_KEPT),
        most=MAX_REVOKED_KEYS,
    )


def _refuse_too_many(db: Connection, user: User) -> None:
    row = fetch_one(
        db,
        "SELECT COUNT(*) AS live FROM billing_api_keys WHERE user_id = :user_id AND revoked_at IS NULL",
        user_id=user.id,
    )
    if row is not None and row["live"] >= MAX_LIVE_KEYS:
        raise Conflict("too_many_keys", most=MAX_LIVE_KEYS)


def _insert(db: Connection, now: datetime, user: User, name: str, scopes: tuple[str, ...], digest: str) -> str:
    while True:
        key_id = secrets.token_hex(4)
        written = execute(
            db,
            """INSERT INTO billing_api_keys (id, tenant_id, user_id, name, secret_sha256, scopes, created_at)
               VALUES (:id, :tenant_id, :user_id, :name, :digest, :scopes, :now) ON CONFLICT (id) DO NOTHING""",
            id=key_id,
            tenant_id=user.tenant_id,
            user_id=user.id,
            name=name,
            digest=digest,
            scopes=" ".join(scopes),
            now=instant_text(now),
        )
        if written:
            return key_id


def _shown(row: Row) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        name=row["name"],
        scopes=tuple(row["scopes"].split()),
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash: there is no list of likely ones to try.
    return hashlib.sha256(secret.encode()).hexdigest()
