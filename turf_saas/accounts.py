"""Users whom billing keeps itself, with their passwords: for a host that has no users of its own."""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
import uuid
from datetime import datetime, timedelta

from billing_db import Connection, atomic, execute, fetch_all, fetch_one, lock
from turf_saas import passwords, tenants
from turf_saas.errors import Conflict, Fault, InvalidInput, NotFound, TooMany, Unauthenticated
from turf_saas.ids import insert_row
from turf_saas.tenants import Tenant
from turf_saas.users import Role, User, UsersTable, find_user
from turf_saas.values import UserId, instant_text, parse_instant

MAX_EMAIL = 254
MAX_LOCAL_PART = 64

FAILURES_PER_ACCOUNT = 10
FAILURES_PER_ADDRESS = 100
WINDOW = timedelta(minutes=15)
PURGED_AT_ONCE = 100
# A failure that is further ahead than servers' clocks differ and writers wait is of a clock that was set back since.
AHEAD = timedelta(minutes=1)


# -- making users ----------------------------------------------------------------------------------


def create_user(
    db: Connection,
    now: datetime,
    users: UsersTable,
    *,
    email: str,
    password: str,
    tenant_id: int = tenants.FIRST,
    role: Role = "user",
    name: str | None = None,
) -> UserId:
    """The id of a new user, who can log in with e-mail and password. Conflict when the e-mail is taken."""
    tenants.get_tenant(db, tenant_id)
    email, password_hash = _checked(users, email, password)
    with atomic(db):
        return _write_user(db, now, users, email, password_hash, tenant_id, role, name)


def open_tenant(
    db: Connection,
    now: datetime,
    users: UsersTable,
    *,
    name: str,
    admin_email: str | None = None,
    admin_password: str | None = None,
) -> tuple[Tenant, UserId | None]:
    """A new tenant and, when an e-mail and a password are given, its first admin: both or neither."""
    if admin_email is None or admin_password is None:
        return tenants.create_tenant(db, now, name), None
    email, password_hash = _checked(users, admin_email, admin_password)
    with atomic(db):
        tenant = tenants.create_tenant(db, now, name)
        return tenant, _write_user(db, now, users, email, password_hash, tenant.id, "admin", None)


def clean_email(given: str) -> str | None:
    """The e-mail as it is stored and compared, in small letters, or None when it cannot be one."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", given).lower())
    if len(text) > MAX_EMAIL or not text.isprintable() or not re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)*", text):
        return None
    return text if text.index("@") <= MAX_LOCAL_PART else None


def _checked(users: UsersTable, email: str, password: str) -> tuple[str, str]:
    """Ready to be stored. Hashing takes long, so it is done before the database is held."""
    if not users.ours:
        raise Conflict("users_not_ours")
    cleaned = clean_email(email)
    if cleaned is None:
        raise InvalidInput("email_invalid", faults=[Fault("/email", "email_invalid", {})])
    if not passwords.MIN_LENGTH <= len(password) <= passwords.MAX_LENGTH:
        least, most = passwords.MIN_LENGTH, passwords.MAX_LENGTH
        fault = Fault("/password", "password_length", {"least": least, "most": most})
        raise InvalidInput("password_length", faults=[fault], least=least, most=most)
    return cleaned, passwords.hashed(password)


def _write_user(
    db: Connection,
    now: datetime,
    users: UsersTable,
    email: str,
    password_hash: str,
    tenant_id: int,
    role: Role,
    name: str | None,
) -> UserId:
    at = instant_text(now)
    user_id = _new_user_row(db, users, name, at)
    execute(
        db,
        """INSERT INTO billing_accounts (user_id, tenant_id, role, email, created_at, updated_at)
           VALUES (:user_id, :tenant_id, :role, :email, :at, :at)""",
        user_id=user_id,
        tenant_id=tenant_id,
        role=role,
        email=email,
        at=at,
    )
    written = execute(
        db,
        """INSERT INTO billing_logins (user_id, tenant_id, email, password_hash, created_at, updated_at)
           VALUES (:user_id, :tenant_id, :email, :password_hash, :at, :at)
           ON CONFLICT (email) DO NOTHING""",
        user_id=user_id,
        tenant_id=tenant_id,
        email=email,
        password_hash=password_hash,
        at=at,
    )
    if not written:
        raise Conflict("email_taken")
    return user_id


def _new_user_row(db: Connection, users: UsersTable, name: str | None, at: str) -> UserId:
    if users.key == "integer":
        return insert_row(db, users.table, users.id, name=name, created_at=at)
    user_id = str(uuid.uuid4())
    execute(
        db,
        f"""INSERT INTO {users.sql_table} ({users.sql_id}, name, created_at)
            VALUES (:user_id, :name, :at)""",  # noqa: S608  names read from the database itself, quoted
        user_id=user_id,
        name=name,
        at=at,
    )
    return user_id


# -- finding users ---------------------------------------------------------------------------------


def get_user_named(db: Connection, users: UsersTable, id_or_email: str) -> User:
    """The user with this id or, failing that, who logs in with this e-mail."""
    user_id = users.parse_id(id_or_email)
    user = find_user(db, users, user_id) if user_id is not None else None
    if user is None:
        user = _find_by_email(db, users, id_or_email)
    if user is None:
        raise NotFound("user_not_found")
    return user


def _find_by_email(db: Connection, users: UsersTable, given: str) -> User | None:
    email = clean_email(given)
    if email is None:
        return None
    # Of the logins alone: where his invoices go everybody writes himself, and could write somebody else's address.
    row = fetch_one(db, "SELECT user_id FROM billing_logins WHERE email = :email", email=email)
    return find_user(db, users, row["user_id"]) if row else None


# -- logging in ------------------------------------------------------------------------------------


def log_in(db: Connection, now: datetime, users: UsersTable, *, email: str, password: str, address: str) -> User:
    """The user with this e-mail and password. An unknown one costs the same work and gets the same answer.

    Attempts are counted per account and per address: too many failures, and the next waits, right or wrong.
    """
    account = clean_email(email) or ""
    wait = _claim_attempt(db, now, account, network_of(address))
    if wait is not None:
        raise TooMany("too_many_logins", retry_after=wait, seconds=wait)
    row = fetch_one(db, "SELECT user_id, password_hash FROM billing_logins WHERE email = :email", email=account)
    good = passwords.matches(row["password_hash"] if row else passwords.NOBODY, password)
    user = find_user(db, users, row["user_id"]) if row else None
    if not good or user is None:
        raise Unauthenticated("login_failed")
    with atomic(db, durable=False):
        execute(db, "DELETE FROM billing_login_failures WHERE account = :account", account=account)
    return user


def network_of(address: str) -> str:
    """Who counts as one address: an IPv4 address, or the /64 that an IPv6 user has to himself."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))


def _claim_attempt(db: Connection, now: datetime, account: str, network: str) -> int | None:
    """Count the attempt as failed before it is judged, so that simultaneous ones see each other.

    When there have been too many, nothing is counted: the answer is the seconds to wait.
    """
    with atomic(db, durable=False):
        lock(db, "billing_login_failures")
        _purge(db, now)
        waits = (
            _wait(db, now, FAILURES_PER_ACCOUNT, account=account),
            _wait(db, now, FAILURES_PER_ADDRESS, address=network),
        )
        if any(waits):
            return max(waits)
        execute(
            db,
            """INSERT INTO billing_login_failures (account, address, failed_at)
               VALUES (:account, :address, :at)""",
            account=account,
            address=network,
            at=instant_text(now),
        )
    return None


def _wait(db: Connection, now: datetime, allowed: int, **whose: str) -> int:
    """Seconds until one of `allowed` failures is out of the window; 0 when there are fewer."""
    (column,) = whose  # account or address
    rows = fetch_all(
        db,
        f"""SELECT failed_at FROM billing_login_failures
             WHERE {column} = :{column} AND failed_at > :since AND failed_at <= :until
             ORDER BY failed_at DESC LIMIT :allowed""",  # noqa: S608  one of two names of our own
        since=instant_text(now - WINDOW),
        until=instant_text(now + AHEAD),
        allowed=allowed,
        **whose,
    )
    if len(rows) < allowed:
        return 0
    return max(1, math.ceil((parse_instant(rows[-1]["failed_at"]) + WINDOW - now).total_seconds()))


def forget_failures(db: Connection, now: datetime) -> int:
    """All attempts that count no more, also where nobody tries; how many there were."""
    with atomic(db):
        return execute(
            db,
            "DELETE FROM billing_login_failures WHERE failed_at <= :since OR failed_at > :until",
            since=instant_text(now - WINDOW),
            until=instant_text(now + AHEAD),
        )


def _purge(db: Connection, now: datetime) -> None:
    """Each attempt adds a row and takes up to a hundred old ones away: the table cannot grow past the window."""
    execute(
        db,
        """DELETE FROM billing_login_failures WHERE id IN (
               SELECT id FROM (SELECT id, failed_at FROM billing_login_failures ORDER BY id LIMIT :most) AS oldest
                WHERE failed_at <= :since OR failed_at > :until)""",
        most=PURGED_AT_ONCE,
        since=instant_text(now - WINDOW),
        until=instant_text(now + AHEAD),
    )
