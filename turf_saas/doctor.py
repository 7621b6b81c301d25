"""What is wrong here, or soon will be: findings about settings, secret, database and data. Nothing is changed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import partial
from typing import Any

from billing_db import Connection, DatabaseError, engine, fetch_all, fetch_one, snapshot, sqlite_path
from turf_saas import clock, demo, schema
from turf_saas.catalogue import list_metrics
from turf_saas.doctor_collecting import examine_collecting
from turf_saas.doctor_contested import examine_disputes, examine_refunds
from turf_saas.doctor_findings import SHOWN, Finding, listed
from turf_saas.doctor_invariants import INVARIANTS
from turf_saas.doctor_stripe import examine_events, examine_webhook
from turf_saas.doctor_work import examine_dead, examine_jobs, examine_months, examine_retrying, examine_seller
from turf_saas.plans import terms_of
from turf_saas.schema.host import is_named
from turf_saas.seller import seller_of
from turf_saas.settings import (
    LIMIT_PREFIX,
    MENTION_PREFIX,
    SELLER_FIELDS,
    SETTINGS,
    Settings,
    limit_name,
    secret_is_weak,
)
from turf_saas.status import shown_database
from turf_saas.subscriptions import LIVE
from turf_saas.usage_check import find_counters
from turf_saas.users import get_users_table
from turf_saas.values import instant_text, plain

OUR_PREFIXES = ("BILLING_", "TURF_SAAS_")
KNOWN = {*SETTINGS, *(f"BILLING_SELLER_{name}" for name in SELLER_FIELDS), "BILLING_USER_LOADER"}

# -- settings: pure --------------------------------------------------------------------------------


def examine_settings(
    settings: Settings, source: Mapping[str, Any], secret: str, *, jwt_needed: bool = False
) -> list[Finding]:
    """source is what the settings were read from, secret what tokens are signed with (may be empty).

    jwt_needed: the app was seen to have no other way to say who is calling.
    """
    found = [*_strange_names(source), *_strange_values(settings, secret)]
    if jwt_needed and not secret:
        found.append(
            Finding(
                "secret",
                "warning",
                "JWTs are not accepted: JWT_SECRET_KEY is not set, and this app has no user_loader, Flask-Login or "
                "flask-jwt-extended; unless it sets request.current_user, only API keys are known.",
            )
        )
    return found or [Finding("settings", "ok", "Every setting is known and can be used.")]


def _strange_names(source: Mapping[str, Any]) -> Iterator[Finding]:
    for name in sorted(source):
        if not name.startswith(OUR_PREFIXES) or name.startswith((LIMIT_PREFIX, MENTION_PREFIX)):
            continue
        if name not in KNOWN:
            yield Finding("settings", "warning", f"{name}: no such setting.{_meant(name, KNOWN)}")


def _meant(name: str, known: set[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return f" Is {close[0]} meant?" if close else ""


def _strange_values(settings: Settings, secret: str) -> Iterator[Finding]:
    if settings.timezone_name == "UTC" and settings.locale == "fr" and seller_of(settings).country == "FR":
        sentence = "BILLING_TIMEZONE is UTC: months of French customers close at 01:00, in summer at 02:00."
        yield Finding("settings", "warning", f"{sentence} Is Europe/Paris meant?")
    if secret and secret_is_weak(secret):
        level = "error" if settings.production else "warning"
        yield Finding("secret", level, "JWT_SECRET_KEY is known or shorter than 32 bytes: anybody could sign a token.")


# -- the database ----------------------------------------------------------------------------------


def examine_database(db: Connection, now: datetime, settings: Settings) -> list[Finding]:
    """The schema first: of a database that is not up to date, or lacks a table, nothing else can be said.

    now: the real time; outside production a test clock may have another.
    """
    try:
        pending = schema.list_pending(db)
        missing = [] if pending else schema.list_missing(db)
    except Exception as error:
        return [_unreadable("schema", error)]
    found = [_schema(settings, pending, missing)]
    if pending or any(kind in ("table", "view") for kind, _ in missing):
        return found
    return found + [finding for check, look in _checks(db, now, settings).items() for finding in _looked(check, look)]


def _checks(db: Connection, now: datetime, settings: Settings) -> dict[str, Callable[[], Finding | None]]:
    of_sqlite: dict[str, Callable[[], Finding | None]] = {
        "integrity": lambda: _integrity(db),
        "foreign_keys": lambda: _foreign_keys(db),
        "journal": lambda: _journal(db),
        "file_mode": lambda: _file_mode(settings),
    }
    return {
        "users": lambda: _users(db, settings),
        **(of_sqlite if engine(db) == "sqlite" else {}),
        "counters": lambda: _counters(db),
        "limits": lambda: _limits(db, settings),
        "plans": lambda: _plans(db),
        "metrics": lambda: _metrics(db),
        "statuses": lambda: _statuses(db),
        "instants": lambda: _instants(db),
        "rejects": lambda: _rejects(db),
        "demo": lambda: _demo(db, settings),
        "clock": lambda: _clock(db, settings),
        **{check: partial(examine, db) for check, examine in INVARIANTS.items()},
        "seller": lambda: examine_seller(db, settings),
        "jobs": lambda: examine_jobs(db, _time(db, now, settings)),
        "retried_jobs": lambda: examine_retrying(db, _time(db, now, settings)),
        "dead_jobs": lambda: examine_dead(db),
        "months": lambda: examine_months(db, _time(db, now, settings), settings),
        "webhook": lambda: examine_webhook(settings),
        "events": lambda: examine_events(db, _time(db, now, settings)),
        "collecting": lambda: examine_collecting(db, _time(db, now, settings)),
        "disputes": lambda: examine_disputes(db),
        "refunds": lambda: examine_refunds(db, _time(db, now, settings)),
    }


def _time(db: Connection, now: datetime, settings: Settings) -> datetime:
    """What billing takes for now."""
    return now if settings.production else clock.find_clock(db) or now


def _looked(check: str, look: Callable[[], Finding | None]) -> list[Finding]:
    try:
        finding = look()
    except Exception as error:
        finding = _unreadable(check, error)
    return [finding] if finding else []


def _unreadable(check: str, error: Exception) -> Finding:
    """What a driver says of a changed table or a damaged row, whatever its kind: a finding like any other."""
    said = str(error) if isinstance(error, DatabaseError) else f"This cannot be looked at: {error}"
    return Finding(check, "error", plain(said.partition("\n")[0], most=300))


def _schema(settings: Settings, pending: list[str], missing: list[tuple[str, str]]) -> Finding:
    if pending:
        return Finding("schema", "error", "Migrations are pending: run flask billing migrate.")
    if missing:
        names = ", ".join(f"{kind} {name}" for kind, name in missing)
        return Finding("schema", "error", f"Migrations made these, and they are gone or turned off: {names}.")
    return Finding("schema", "ok", f"{shown_database(settings.database)} is up to date.")


def _users(db: Connection, settings: Settings) -> Finding:
    users = get_users_table(db)
    if not is_named(db, users, settings.users_table, settings.users_id):
        sentence = (
            f"BILLING_USERS_TABLE and BILLING_USERS_ID say {settings.users_table}.{settings.users_id}, "
            f"but the database was installed for {users.table}.{users.id}."
        )
        return Finding("users", "error", sentence)
    whose = "ours" if users.ours else "the host's"
    return Finding("users", "ok", f"Users are in {users.table}.{users.id} ({users.key}, {whose}).")


def _integrity(db: Connection) -> Finding:
    said = [row["quick_check"] for row in fetch_all(db, f"PRAGMA quick_check({SHOWN})")]
    intact = said == ["ok"]
    return Finding("integrity", "ok" if intact else "error", "The file is intact." if intact else " ".join(said))


def _foreign_keys(db: Connection) -> Finding:
    """In our tables only: what is broken in the host's own is the host's affair."""
    ours = {table for step in schema.migrations("sqlite") for table in step.tables}
    counted = "SELECT CAST(:t AS TEXT) AS name, COUNT(*) AS rows FROM pragma_foreign_key_check(:t)"
    broken = [row for table in sorted(ours) for row in fetch_all(db, counted, t=table) if row["rows"]]
    if broken:
        return Finding("foreign_keys", "error", f"Rows point at rows that do not exist: {listed(broken, 'name')}.")
    return Finding("foreign_keys", "ok", "Every row points at rows that exist.")


def _journal(db: Connection) -> Finding:
    mode = fetch_all(db, "PRAGMA journal_mode")[0]["journal_mode"]
    if mode != "wal":
        return Finding("journal", "warning", f"The journal is {mode}, not wal: readers and writers block each other.")
    return Finding("journal", "ok", "Readers and writers do not block each other (WAL).")


def _file_mode(settings: Settings) -> Finding:
    path = sqlite_path(settings.database)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("file_mode", "warning", f"{path} has mode {mode:04o}: other users of this machine can open it.")
    return Finding("file_mode", "ok", f"{path} is its owner's alone.")


# -- the data --------------------------------------------------------------------------------------


def _counters(db: Connection) -> Finding:
    """The month's counters against the days that they sum up, and against what is held."""
    with snapshot(db):
        wrong = [found.sentence for found in find_counters(db)]
    if not wrong:
        return Finding("counters", "ok", "The month's counters agree with the days.")
    return Finding("counters", "error", f"{len(wrong)} counters disagree with the days: {'; '.join(wrong[:SHOWN])}.")


def _limits(db: Connection, settings: Settings) -> Finding:
    """Settings that replace what a plan includes, and name one that is not there."""
    rows = fetch_all(db, "SELECT code, limits, prices, currency FROM billing_plans WHERE superseded_at IS NULL")
    sold = [terms_of(row["code"], row["limits"], row["prices"], row["currency"]) for row in rows]
    known = {limit_name(terms.code, metric) for terms in sold for metric in terms.limits}
    strange = [
        f"{name}: no such plan or metric.{_meant(name, known)}" for name in sorted(settings.limits.keys() - known)
    ]
    if strange:
        return Finding("limits", "warning", " ".join(strange))
    return Finding("limits", "ok", "Every limit that is set is one of a plan.")


def _plans(db: Connection) -> Finding:
    unknown = fetch_all(
        db,
        """SELECT plan, COUNT(*) AS rows FROM saas_subscriptions AS s
            WHERE status IN ('trialing', 'active', 'past_due') AND plan_id IS NULL
              AND NOT EXISTS (SELECT 1 FROM billing_plans AS p WHERE p.tenant_id = s.tenant_id AND p.code = s.plan)
            GROUP BY plan ORDER BY plan""",
    )
    if unknown:
        said = listed(unknown, "plan")
        return Finding(
            "plans", "warning", f"Plans that are not in the catalogue get the default plan's limits: {said}."
        )
    return Finding("plans", "ok", "Every plan in use is in the catalogue.")


def _metrics(db: Connection) -> Finding:
    """A mistyped metric is counted, and limited and billed by nobody."""
    rows = fetch_all(
        db,
        """SELECT tenant_id, metric, COUNT(*) AS rows FROM usage_counters
            GROUP BY tenant_id, metric ORDER BY metric, tenant_id""",
    )
    known = {tenant_id: list_metrics(db, tenant_id) for tenant_id in {row["tenant_id"] for row in rows}}
    unknown = [row for row in rows if row["metric"] not in known[row["tenant_id"]]]
    if unknown:
        said = listed(unknown, "metric")
        return Finding(
            "metrics", "warning", f"No plan knows these metrics, so they have no limit and no price: {said}."
        )
    return Finding("metrics", "ok", "Every metric in use is known to the plans.")


def _statuses(db: Connection) -> Finding:
    rows = fetch_all(db, "SELECT status, COUNT(*) AS rows FROM saas_subscriptions GROUP BY status ORDER BY status")
    unknown = [row for row in rows if row["status"] not in (*LIVE, "canceled")]
    if unknown:
        said = listed(unknown, "status")
        return Finding("statuses", "warning", f"Subscriptions with these statuses count as ended: {said}.")
    return Finding("statuses", "ok", "Every subscription's status is known.")


def _instants(db: Connection) -> Finding:
    """One that cannot be read was left as it is, and is compared as a text."""
    row = fetch_one(
        db,
        """SELECT COUNT(*) AS rows FROM saas_subscriptions
            WHERE COALESCE(effective_at, '2000-01-01T00:00:00Z') NOT LIKE '____-__-__T__:__:__Z'
               OR COALESCE(current_period_end, '2000-01-01T00:00:00Z') NOT LIKE '____-__-__T__:__:__Z'""",
    )
    if row and row["rows"]:
        sentence = f"{row['rows']} subscriptions have an effective_at or a current_period_end that cannot be read."
        return Finding("instants", "warning", sentence)
    return Finding("instants", "ok", "Every subscription's beginning can be read.")


def _rejects(db: Connection) -> Finding:
    rows = fetch_all(db, "SELECT table_name, COUNT(*) AS rows FROM billing_rejects GROUP BY table_name ORDER BY 1")
    if rows:
        said = listed(rows, "table_name")
        return Finding("rejects", "warning", f"Rows that could not be adopted are kept in billing_rejects: {said}.")
    return Finding("rejects", "ok", "No row was rejected.")


def _demo(db: Connection, settings: Settings) -> Finding | None:
    if settings.production and demo.is_installed(db):
        return Finding("demo", "error", "The demo's users are in a production database: begin with a new one.")
    return None


def _clock(db: Connection, settings: Settings) -> Finding:
    now = clock.find_clock(db)
    if now is None:
        return Finding("clock", "ok", "Billing goes by the real time.")
    if settings.production:
        said = "Production does not look at it: but what fell due by then has happened. Is this a copy of a test?"
        return Finding("clock", "error", f"A test clock stands at {instant_text(now)}. {said}")
    said = "Billing takes that for now until POST /test-clock moves it, or takes it away with null."
    return Finding("clock", "warning", f"A test clock stands at {instant_text(now)}. {said}")
