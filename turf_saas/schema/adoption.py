"""A reference database becomes ours: its tables are set aside, ours are made, every row is taken over or kept apart.

The log may be large and is moved by whole statements; the other tables go row by row through adopted_rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from billing_db import (
    Connection,
    DatabaseRefused,
    engine,
    execute,
    fetch_all,
    fetch_each,
    fetch_one,
    quoted,
    run_script,
)
from turf_saas.schema.adopted_rows import (
    CLEAN,
    Rejected,
    Row,
    Seen,
    adopted_day,
    is_text,
    readable,
    series_of,
    subscription_order,
)
from turf_saas.schema.aside import OldTable
from turf_saas.schema.host import Attached, folded, list_rules, name_space
from turf_saas.schema.preflight import ASIDE, way_out
from turf_saas.schema.render import PER_ENGINE
from turf_saas.users import UsersTable

# Indexes of the reference that one of ours serves as well.
REDUNDANT = ("idx_invoices_user", "idx_transactions_user", "idx_consumption_user", "idx_saas_subs_stripe")


# -- taking over ---------------------------------------------------------------------------------------


def prepare(db: Connection, now: str, olds: Sequence[OldTable], users: UsersTable, declared_type: str) -> None:
    """Ours are made and empty: give them the host's further columns, and note which users exist."""
    for old in olds:
        for extra in old.extras.values():
            definition = _definition(db, extra.declared_type, extra.default)
            execute(db, f"ALTER TABLE {old.name} ADD COLUMN {quoted(extra.name)} {definition}")
    with_users = [old for old in olds if old.has_users]
    given = " UNION ".join(f"SELECT CAST(user_id AS TEXT) AS given FROM {old.aside}" for old in with_users)  # noqa: S608
    if not given:
        return
    if users.ours:
        _enter_users(db, now, users, given)
    others = f" AND typeof(u.{users.sql_id}) <> 'blob'" if engine(db) == "sqlite" else ""
    execute(db, f"CREATE TABLE {ASIDE}keys (given TEXT PRIMARY KEY, id {declared_type})")
    execute(
        db,
        f"""INSERT INTO {ASIDE}keys (given, id)
            SELECT CAST(u.{users.sql_id} AS TEXT), u.{users.sql_id} FROM {users.sql_table} AS u
             WHERE CAST(u.{users.sql_id} AS TEXT) IN ({given}){others}""",  # noqa: S608
    )
    if engine(db) == "sqlite" and users.key == "text":
        _leave_out_unreadable(db)


def _leave_out_unreadable(db: Connection) -> None:
    """A user whose id is not UTF-8 can be named by nobody, so no row is his."""
    keys = fetch_all(db, f"SELECT rowid AS place, given FROM {ASIDE}keys")  # noqa: S608
    for row in keys:
        if not is_text(row["given"]):
            execute(db, f"DELETE FROM {ASIDE}keys WHERE rowid = :place", place=row["place"])  # noqa: S608


def _definition(db: Connection, declared_type: str, default: str | None) -> str:
    """Nullable and without any rule, so that the host's statements go on and no row is lost over it."""
    if engine(db) == "sqlite":
        kind = declared_type if re.fullmatch(r"[\w (),]*", declared_type) else ""
        return f"{kind} DEFAULT ({default}\n)" if default is not None else kind  # it may end with a comment
    return declared_type if default is None else f"{declared_type} DEFAULT {default}"


def _enter_users(db: Connection, now: str, users: UsersTable, given: str) -> None:
    """There is no users table here, so the rows themselves say who exists."""
    for row in fetch_all(db, given):
        user_id = users.parse_id(row["given"])
        if user_id is not None:
            execute(
                db,
                f"INSERT INTO {users.sql_table} ({users.sql_id}, created_at) VALUES (:id, :now)",  # noqa: S608
                id=user_id,
                now=now,
            )


def copy_log(db: Connection, now: str, old: OldTable, seen: Seen) -> None:
    """The log, before its triggers are there: its months are summed up at once afterwards."""
    _read_days(db, old, seen)
    is_int = PER_ENGINE[engine(db)]["is_int"].format("o.api_calls")
    reason = f"""CASE WHEN k.id IS NULL THEN 'there is no such user' WHEN d.day IS NULL THEN 'date is not a day'
                      WHEN NOT ({is_int} AND o.api_calls BETWEEN 0 AND {2**53})
                      THEN 'api_calls is not a whole number from 0 to 2^53' END"""
    source = f"""{old.aside} AS o LEFT JOIN {ASIDE}keys AS k ON k.given = CAST(o.user_id AS TEXT)
                 LEFT JOIN {ASIDE}days AS d ON d.given = o.date"""
    _read_endpoints(db, now, old, f"{source} WHERE {reason} IS NULL")
    endpoint = "COALESCE(CAST(o.endpoint AS TEXT), '')"
    # As a float the sum cannot overflow, and up to 2^53 it is exact.
    total = "SUM(CAST(o.api_calls AS DOUBLE PRECISION))"
    good = f"WHERE {reason} IS NULL GROUP BY k.id, d.day, {endpoint} HAVING"
    fits = f"COUNT(*) = 1 OR {total} < {2**53}"
    old.counts.kept = execute(
        db,
        f"""INSERT INTO consumption_log (id, user_id, date, api_calls, endpoint, created_at)
            SELECT MIN(o.row_id), k.id, d.day, CAST({total} AS BIGINT), {endpoint}, {_told_at(db, "MIN(o.created_at)")}
              FROM {source} {good} {fits} ORDER BY 1""",  # noqa: S608
        now=now,
    )
    shown = f"SELECT {old.shown}"
    for row in fetch_all(db, f"{shown}, {reason} AS reason FROM {source} WHERE {reason} IS NOT NULL"):
        _reject(db, now, old, row, row["reason"])
    too_many = f"SELECT k.id, d.day, {endpoint} AS endpoint FROM {source} {good} NOT ({fits})"  # noqa: S608
    for row in fetch_all(
        db,
        f"""{shown} FROM {source} JOIN ({too_many}) AS g
                ON g.id = k.id AND g.day = d.day AND g.endpoint = {endpoint} WHERE {reason} IS NULL""",
    ):
        _reject(db, now, old, row, "the sum of its day is not below 2^53")
    old.counts.merged = old.counts.rows - old.counts.kept - old.counts.rejected
    execute(
        db,
        """INSERT INTO usage_counters (user_id, metric, month, used)
           SELECT user_id, 'api_calls', substr(date, 1, 7), CAST(SUM(api_calls) AS BIGINT) FROM consumption_log
            GROUP BY user_id, substr(date, 1, 7)""",
    )


def _read_days(db: Connection, old: OldTable, seen: Seen) -> None:
    """Which day each way of writing one means."""
    execute(db, f"CREATE TABLE {ASIDE}days (given TEXT PRIMARY KEY, day TEXT)")
    for row in fetch_all(db, f"SELECT DISTINCT date FROM {old.aside}"):  # noqa: S608
        day = adopted_day(row["date"], seen.zone)
        if day is not None:
            execute(db, f"INSERT INTO {ASIDE}days VALUES (:given, :day)", given=row["date"], day=day)  # noqa: S608


def _read_endpoints(db: Connection, now: str, old: OldTable, good: str) -> None:
    """A call counts also where its endpoint is not UTF-8, under as much of the name as can be read."""
    if engine(db) != "sqlite":
        return
    endpoint = "CAST(o.endpoint AS TEXT) AS told"
    all_of_them = f"SELECT DISTINCT {endpoint} FROM {old.aside} AS o"  # noqa: S608
    if all(is_text(row["told"] or "") for row in fetch_each(db, all_of_them)):
        return
    told = fetch_each(db, f"SELECT {old.shown}, o.rowid AS place, {endpoint} FROM {good}")  # noqa: S608
    note = "endpoint is not UTF-8: kept as far as it can be read"
    for row in [row for row in told if not is_text(row["told"] or "")]:
        old.counts.changes[note] += 1
        _keep_apart(db, now, old, row, note)
        execute(
            db,
            f"UPDATE {old.aside} SET endpoint = :endpoint WHERE rowid = :place",  # noqa: S608
            endpoint=readable(row["told"]),
            place=row["place"],
        )


def _told_at(db: Connection, column: str) -> str:
    """A row's instant as we write it: whole seconds of UTC; now where it is not plain."""
    digits = "[0-9][0-9]"
    form = f"{digits}{digits}-{digits}-{digits}[ T]{digits}:{digits}:{digits}"
    is_plain = f"GLOB '{form}'" if engine(db) == "sqlite" else f"~ '^{form}$'"
    return f"""CASE WHEN substr({column}, 1, 19) {is_plain}
                     AND ltrim(substr({column}, 20), '.0123456789') IN ('', 'Z', '+00:00')
                    THEN substr({column}, 1, 10) || 'T' || substr({column}, 12, 8) || 'Z' ELSE :now END"""


def copy_rows(db: Connection, now: str, old: OldTable, seen: Seen) -> None:
    """Any other table, row by row, the triggers writing its history."""
    key = f", k.id AS billing_key FROM {old.aside} AS o LEFT JOIN {ASIDE}keys AS k ON k.given = CAST(o.user_id AS TEXT)"
    source = key if old.has_users else f" FROM {old.aside} AS o"
    rows: list[Row] = [dict(row) for row in fetch_all(db, f"SELECT {old.shown}{source} ORDER BY o.row_id")]
    if old.name == "saas_subscriptions":
        rows = subscription_order(rows)
    for row in rows:
        seen.notes.clear()
        try:
            values = CLEAN[old.name](row, seen)
        except Rejected as rejected:
            _reject(db, now, old, row, str(rejected))
            continue
        names = list(values)
        execute(
            db,
            f"INSERT INTO {old.name} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})",  # noqa: S608
            **values,
        )
        old.counts.kept += 1
        for note in seen.notes:
            old.counts.changes[note] += 1
            _keep_apart(db, now, old, row, note)
    if old.name == "invoices":
        _start_series(db, rows)


def _start_series(db: Connection, rows: Sequence[Row]) -> None:
    """The next number of a month follows the highest one that was given out."""
    last: dict[str, int] = {}
    for row in rows:
        found = series_of(row["invoice_number"])
        if found:
            last[found[0]] = max(last.get(found[0], 0), found[1])
    for series, number in last.items():
        execute(
            db,
            "INSERT INTO billing_invoice_series (series, last_number) VALUES (:series, :number)",
            series=series,
            number=number,
        )


def _reject(db: Connection, now: str, old: OldTable, row: Row, reason: str) -> None:
    old.counts.rejected += 1
    old.counts.reasons[reason] += 1
    _keep_apart(db, now, old, row, reason)


def _keep_apart(db: Connection, now: str, old: OldTable, row: Row, reason: str) -> None:
    execute(
        db,
        """INSERT INTO billing_rejects (table_name, row_json, reason, created_at)
           VALUES (:name, :row, :reason, :now)""",
        name=old.name,
        row=old.as_json(row),
        reason=reason,
        now=now,
    )


# -- putting back --------------------------------------------------------------------------------------


def finish(db: Connection, olds: Sequence[OldTable], ours: set[tuple[str, str]]) -> list[str]:
    """The host's further columns, indexes and triggers and the next ids; what was set aside goes. Says what is lost."""
    notes = []
    for old in olds:
        if old.new_ids:
            notes.append(f"{old.name}: {old.new_ids} rows had no id of their own and were given a new one.")
        if old.extras:
            pairs = ", ".join(f"{quoted(extra.name)} = o.{copy}" for copy, extra in old.extras.items())
            execute(db, f"UPDATE {old.name} SET {pairs} FROM {old.aside} AS o WHERE o.row_id = {old.name}.id")  # noqa: S608
        for each in old.attached:
            if (name_space(each.kind), folded(db, each.name)) in ours:
                notes.append(f"The {each.kind} {each.name} of the old {old.name} was left out: billing has one.")
            elif each.name not in REDUNDANT:
                _put_back(db, old, each)
        notes += _put_rules_back(db, old)
        _go_on_after(db, old)
        execute(db, f"DROP TABLE {old.aside}")
    for name in ("keys", "days"):
        execute(db, f"DROP TABLE IF EXISTS {ASIDE}{name}")
    return notes


def _put_rules_back(db: Connection, old: OldTable) -> list[str]:
    """What the host keeps unique stays so, for its ON CONFLICT. Says where that binds billing as well."""
    ours = {frozenset(rule) - {"tenant_id"} for rule in list_rules(db, old.name)}
    notes = []
    for rule in old.rules:
        if frozenset(folded(db, name) for name in rule) in ours:
            continue
        index = quoted("_".join((old.name, *rule, "key")))
        columns = ", ".join(quoted(name) for name in rule)
        made = f"CREATE UNIQUE INDEX {index} ON {old.name} ({columns})"
        _put_back(db, old, Attached("rule", f"UNIQUE ({', '.join(rule)})", made))
        if not set(rule) <= {extra.name for extra in old.extras.values()}:
            notes.append(f"{old.name} stays unique by {', '.join(rule)}, also for what billing writes.")
    return notes


def _put_back(db: Connection, old: OldTable, each: Attached) -> None:
    loses = each.undo and (old.counts.rejected or old.counts.merged)
    try:
        (execute if engine(db) == "sqlite" else run_script)(db, f"{each.sql} NOT VALID" if loses else each.sql)
    except Exception as error:
        raise DatabaseRefused(
            f"The {each.kind} {each.name} cannot be made again on the adopted table {old.name} ({error}). "
            f"Nothing was changed; remove it for the migration, or {way_out(db)}"
        ) from None


def _go_on_after(db: Connection, old: OldTable) -> None:
    if old.highest <= 0:
        return
    if engine(db) == "postgresql":
        fetch_one(db, f"SELECT setval(pg_get_serial_sequence('{old.name}', 'id'), :last)", last=old.highest)
        return
    changed = execute(
        db,
        "UPDATE sqlite_sequence SET seq = MAX(seq, :last) WHERE name = :name",
        last=old.highest,
        name=old.name,
    )
    if not changed:
        execute(db, "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)", name=old.name, last=old.highest)
