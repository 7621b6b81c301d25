"""A reference database becomes ours: its tables are set aside, ours are made, every row is taken over or kept apart.

The log may be large and is moved by whole statements; the other tables go row by row through adopted_rows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from billing_db import Connection, DatabaseRefused, engine, execute, fetch_all, fetch_one, quoted
from turf_saas.schema.adopted_rows import CLEAN, Rejected, Row, Seen, adopted_day, series_of, subscription_order
from turf_saas.schema.host import (
    Attached,
    find_highest_number,
    folded,
    key_kind,
    list_attached,
    list_columns,
    name_space,
)
from turf_saas.schema.preflight import ASIDE, ReferenceTable, way_out
from turf_saas.schema.render import PER_ENGINE
from turf_saas.schema.report import AdoptedTable
from turf_saas.users import UsersTable

# Indexes of the reference that one of ours serves as well.
REDUNDANT = ("idx_invoices_user", "idx_transactions_user", "idx_consumption_user", "idx_saas_subs_stripe")


@dataclass
class OldTable:
    """A reference table that was set aside: where it is now and what has to be put back."""

    name: str
    columns: list[str]
    extras: list[tuple[str, str, str | None]]  # the host's further columns: name, type, default
    attached: list[Attached]
    highest: int
    counts: AdoptedTable

    @property
    def aside(self) -> str:
        return ASIDE + self.name

    @property
    def has_users(self) -> bool:
        return "user_id" in self.columns


# -- setting aside -------------------------------------------------------------------------------------


def set_aside(db: Connection, references: Sequence[ReferenceTable]) -> list[OldTable]:
    """Copies under another name. The tables themselves go, with everything that hangs on them."""
    names = [reference.name for reference in references]
    attached = {name: list_attached(db, name, names) for name in names}
    return [_set_aside(db, reference, attached[reference.name]) for reference in references]


def _set_aside(db: Connection, reference: ReferenceTable, attached: list[Attached]) -> OldTable:
    ours = {*reference.needed, *reference.known}
    columns, extras, parts = [], [], []
    for column in list_columns(db, reference.name):
        name = folded(db, column.name)
        if name in ours:
            parts.append(f"{_as_text(db, column.name, column.declared_type)} AS {quoted(name)}")
        else:
            name = column.name
            parts.append(quoted(name))
            extras.append((name, column.declared_type, column.default))
        columns.append(name)
    highest = find_highest_number(db, reference.name) if "id" in columns else 0
    made = [] if "id" in columns else ["ROW_NUMBER() OVER () AS id"]
    old = OldTable(reference.name, columns, extras, attached, highest, AdoptedTable())
    execute(db, f"CREATE TABLE {old.aside} AS SELECT {', '.join(parts + made)} FROM {old.name}")  # noqa: S608
    for each in attached:
        if each.undo:
            execute(db, each.undo)
    _drop(db, old.name)
    row = fetch_one(db, f"SELECT COUNT(*) AS rows, COALESCE(MAX(id), 0) AS last FROM {old.aside}")  # noqa: S608
    assert row is not None
    old.counts.rows, old.highest = row["rows"], max(old.highest, row["last"])
    return old


def _as_text(db: Connection, name: str, declared_type: str) -> str:
    """A column of PostgreSQL as the texts and whole numbers that SQLite would give."""
    if engine(db) == "sqlite" or key_kind(declared_type) == "integer":
        return quoted(name)
    if declared_type.startswith("timestamp"):
        if "without" in declared_type:
            return f"""to_char({quoted(name)}, 'YYYY-MM-DD"T"HH24:MI:SS')"""
        return f"""to_char({quoted(name)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    return f"CAST({quoted(name)} AS TEXT)"


def _drop(db: Connection, table: str) -> None:
    try:
        execute(db, f"DROP TABLE {table}")
    except Exception as error:
        if getattr(error, "sqlstate", None) != "2BP01":
            raise
        raise DatabaseRefused(
            f"Views or other objects depend on the table {table}, so it cannot be adopted. Nothing was changed; "
            f"remove them for the migration, or {way_out(db)}"
        ) from None


# -- taking over ---------------------------------------------------------------------------------------


def prepare(db: Connection, now: str, olds: Sequence[OldTable], users: UsersTable, declared_type: str) -> None:
    """Ours are made and empty: give them the host's further columns, and note which users exist."""
    for old in olds:
        for name, declared, default in old.extras:
            execute(db, f"ALTER TABLE {old.name} ADD COLUMN {quoted(name)} {_definition(db, declared, default)}")
    with_users = [old for old in olds if old.has_users]
    given = " UNION ".join(f"SELECT CAST(user_id AS TEXT) AS given FROM {old.aside}" for old in with_users)  # noqa: S608
    if not given:
        return
    if users.ours:
        _enter_users(db, now, users, given)
    execute(db, f"CREATE TABLE {ASIDE}keys (given TEXT PRIMARY KEY, id {declared_type})")
    execute(
        db,
        f"""INSERT INTO {ASIDE}keys (given, id)
            SELECT CAST(u.{users.sql_id} AS TEXT), u.{users.sql_id} FROM {users.sql_table} AS u
             WHERE CAST(u.{users.sql_id} AS TEXT) IN ({given})""",  # noqa: S608
    )


def _definition(db: Connection, declared_type: str, default: str | None) -> str:
    """Nullable and without any rule, so that the host's statements go on and no row is lost over it."""
    if engine(db) == "sqlite":
        kind = declared_type if re.fullmatch(r"[\w (),]*", declared_type) else ""
        return f"{kind} DEFAULT ({default})" if default is not None else kind
    return declared_type if default is None or "nextval(" in default else f"{declared_type} DEFAULT {default}"


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
    execute(db, f"CREATE TABLE {ASIDE}days (given TEXT PRIMARY KEY, day TEXT)")
    for row in fetch_all(db, f"SELECT DISTINCT date FROM {old.aside}"):  # noqa: S608
        day = adopted_day(row["date"], seen.zone)
        if day is not None:
            execute(db, f"INSERT INTO {ASIDE}days VALUES (:given, :day)", given=row["date"], day=day)  # noqa: S608
    is_int = PER_ENGINE[engine(db)]["is_int"].format("o.api_calls")
    reason = f"""CASE WHEN k.id IS NULL THEN 'there is no such user' WHEN d.day IS NULL THEN 'date is not a day'
                      WHEN NOT ({is_int} AND o.api_calls BETWEEN 0 AND {2**53})
                      THEN 'api_calls is not a whole number from 0 to 2^53' END"""
    source = f"""{old.aside} AS o LEFT JOIN {ASIDE}keys AS k ON k.given = CAST(o.user_id AS TEXT)
                 LEFT JOIN {ASIDE}days AS d ON d.given = o.date"""
    endpoint = "COALESCE(CAST(o.endpoint AS TEXT), '')"
    # As a float the sum cannot overflow, and up to 2^53 it is exact.
    total = "SUM(CAST(o.api_calls AS DOUBLE PRECISION))"
    good = f"WHERE {reason} IS NULL GROUP BY k.id, d.day, {endpoint} HAVING"
    fits = f"COUNT(*) = 1 OR {total} < {2**53}"
    old.counts.kept = execute(
        db,
        f"""INSERT INTO consumption_log (id, user_id, date, api_calls, endpoint, created_at)
            SELECT MIN(o.id), k.id, d.day, CAST({total} AS BIGINT), {endpoint},
                   CASE length(MIN(o.created_at))
                        WHEN 19 THEN substr(MIN(o.created_at), 1, 10) || 'T' || substr(MIN(o.created_at), 12) || 'Z'
                        WHEN 20 THEN MIN(o.created_at) ELSE :now END
              FROM {source} {good} {fits} ORDER BY 1""",  # noqa: S608
        now=now,
    )
    for row in fetch_all(db, f"SELECT o.*, {reason} AS billing_reason FROM {source} WHERE {reason} IS NOT NULL"):  # noqa: S608
        _reject(db, now, old, row, row["billing_reason"])
    too_many = f"SELECT k.id, d.day, {endpoint} AS endpoint FROM {source} {good} NOT ({fits})"  # noqa: S608
    for row in fetch_all(
        db,
        f"""SELECT o.* FROM {source} JOIN ({too_many}) AS g
                ON g.id = k.id AND g.day = d.day AND g.endpoint = {endpoint} WHERE {reason} IS NULL""",  # noqa: S608
    ):
        _reject(db, now, old, row, "the sum of its day is not below 2^53")
    old.counts.merged = old.counts.rows - old.counts.kept - old.counts.rejected
    execute(
        db,
        """INSERT INTO usage_counters (user_id, metric, month, used)
           SELECT user_id, 'api_calls', substr(date, 1, 7), CAST(SUM(api_calls) AS BIGINT) FROM consumption_log
            GROUP BY user_id, substr(date, 1, 7)""",
    )


def copy_rows(db: Connection, now: str, old: OldTable, seen: Seen) -> None:
    """Any other table, row by row, the triggers writing its history."""
    key = f", k.id AS billing_key FROM {old.aside} AS o LEFT JOIN {ASIDE}keys AS k ON k.given = CAST(o.user_id AS TEXT)"
    source = key if old.has_users else f" FROM {old.aside} AS o"
    rows: list[Row] = [dict(row) for row in fetch_all(db, f"SELECT o.*{source} ORDER BY o.id")]
    if old.name == "saas_subscriptions":
        rows = subscription_order(rows)
    ids = set()
    for row in rows:
        seen.notes.clear()
        try:
            if row["id"] in ids:
                raise Rejected("id is there already")
            values = CLEAN[old.name](row, seen)
        except Rejected as rejected:
            _reject(db, now, old, row, str(rejected))
            continue
        ids.add(row["id"])
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
        row=json.dumps({name: _plain(row[name]) for name in old.columns}, ensure_ascii=False),
        reason=reason,
        now=now,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool, list, dict)) else str(value)


# -- putting back --------------------------------------------------------------------------------------


def finish(db: Connection, olds: Sequence[OldTable], ours: set[tuple[str, str]]) -> list[str]:
    """The host's further columns, indexes and triggers and the next ids; what was set aside goes. Says what is lost."""
    left_out = []
    for old in olds:
        if old.extras:
            pairs = ", ".join(f"{quoted(name)} = o.{quoted(name)}" for name, _, _ in old.extras)
            execute(db, f"UPDATE {old.name} SET {pairs} FROM {old.aside} AS o WHERE o.id = {old.name}.id")  # noqa: S608
        for each in old.attached:
            if (name_space(each.kind), folded(db, each.name)) in ours:
                left_out.append(f"The {each.kind} {each.name} of the old {old.name} was left out: billing has one.")
            elif each.name not in REDUNDANT:
                _put_back(db, old, each)
        _go_on_after(db, old)
        execute(db, f"DROP TABLE {old.aside}")
    for name in ("keys", "days"):
        execute(db, f"DROP TABLE IF EXISTS {ASIDE}{name}")
    return left_out


def _put_back(db: Connection, old: OldTable, each: Attached) -> None:
    loses = each.undo and (old.counts.rejected or old.counts.merged)
    try:
        execute(db, f"{each.sql} NOT VALID" if loses else each.sql)
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
