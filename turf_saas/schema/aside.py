"""A reference table is copied under another name, so that ours can take its place.

The copy has our names only: the reference's columns, `row_id`, and `extra_0`, `extra_1` … for what the host has added,
so that no column of a host can be taken for one of ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from billing_db import Connection, DatabaseRefused, engine, execute, fetch_all, fetch_one, quoted
from turf_saas.schema.adopted_rows import Row, is_text
from turf_saas.schema.host import (
    Attached,
    Column,
    find_highest_number,
    folded,
    key_kind,
    list_attached,
    list_columns,
    list_rules,
)
from turf_saas.schema.preflight import ASIDE, ReferenceTable, way_out
from turf_saas.schema.render import PER_ENGINE
from turf_saas.schema.report import AdoptedTable

MAX_ID = 2**62  # beyond it there is no room for the ids to come


@dataclass
class OldTable:
    """A reference table that was set aside: where it is now and what has to be put back."""

    name: str
    columns: dict[str, str]  # the table's own names, and how the copy calls them
    extras: dict[str, Column]  # the host's further columns, by their name in the copy
    shown: str  # what is read from the copy `o`, each value as a text or number
    attached: list[Attached]
    rules: list[tuple[str, ...]]
    counts: AdoptedTable
    highest: int = 0
    new_ids: int = 0

    @property
    def aside(self) -> str:
        return ASIDE + self.name

    @property
    def has_users(self) -> bool:
        return "user_id" in self.columns.values()

    def as_json(self, row: Row) -> str:
        """The row as it was."""
        return json.dumps({name: _plain(row[copy]) for name, copy in self.columns.items()}, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str) and not is_text(value):
        told = value.encode(errors="surrogateescape")
        return {"text": told.decode(errors="replace"), "hex": told.hex()}
    return value


@contextmanager
def any_text(db: Connection) -> Iterator[None]:
    """SQLite keeps texts that are not UTF-8. They are read with their bytes as half surrogates, which is_text tells."""
    if engine(db) != "sqlite":
        yield
        return
    before, db.text_factory = db.text_factory, lambda told: told.decode(errors="surrogateescape")
    try:
        yield
    finally:
        db.text_factory = before


def set_aside(db: Connection, references: Sequence[ReferenceTable]) -> list[OldTable]:
    """Copies under another name. The tables themselves go, with everything that hangs on them."""
    names = [reference.name for reference in references]
    attached = {name: list_attached(db, name, names) for name in names}
    return [_set_aside(db, reference, attached[reference.name]) for reference in references]


def _set_aside(db: Connection, reference: ReferenceTable, attached: list[Attached]) -> OldTable:
    parts, old = _describe(db, reference, attached)
    id_column = next((name for name, copy in old.columns.items() if copy == "id"), None)
    sound = id_column is not None and _ids_are_sound(db, old.name, quoted(id_column))
    parts.append("CAST(NULL AS BIGINT) AS row_id" if id_column is None else f"{quoted(id_column)} AS row_id")
    if not sound:
        parts.append("ROW_NUMBER() OVER () AS place")
    execute(db, f"CREATE TABLE {old.aside} AS SELECT {', '.join(parts)} FROM {old.name}")  # noqa: S608
    old.highest = find_highest_number(db, old.name) if id_column is not None else 0
    if old.highest > MAX_ID:
        raise DatabaseRefused(
            f"The ids of the table {old.name} are used up ({old.highest}): no row could follow. "
            f"Nothing was changed; {way_out(db)}"
        )
    for each in attached:
        if each.undo:
            execute(db, each.undo)
    _drop(db, old.name)
    if not sound:
        given = _give_ids(db, old)
        old.new_ids = given if id_column is not None else 0
    row = fetch_one(db, f"SELECT COUNT(*) AS rows, COALESCE(MAX(row_id), 0) AS last FROM {old.aside}")  # noqa: S608
    assert row is not None
    old.counts.rows, old.highest = row["rows"], max(old.highest, row["last"])
    return old


def _describe(db: Connection, reference: ReferenceTable, attached: list[Attached]) -> tuple[list[str], OldTable]:
    """What is copied of each column, and the table as it is."""
    ours = {*reference.needed, *reference.known}
    columns: dict[str, str] = {}
    extras: dict[str, Column] = {}
    parts, shown = [], ["o.row_id"]
    for column in list_columns(db, reference.name):
        copy = folded(db, column.name)
        if copy in ours:
            parts.append(f"{_as_text(db, quoted(column.name), column.declared_type)} AS {copy}")
            shown.append(f"o.{copy}")
        else:
            copy = f"extra_{len(extras)}"
            extras[copy] = column
            parts.append(f"{quoted(column.name)} AS {copy}")
            shown.append(f"{_as_text(db, f'o.{copy}', column.declared_type)} AS {copy}")
        columns[column.name] = copy
    rules = list_rules(db, reference.name)
    return parts, OldTable(reference.name, columns, extras, ", ".join(shown), attached, rules, AdoptedTable())


def _as_text(db: Connection, column: str, declared_type: str) -> str:
    """A column of PostgreSQL as the texts and whole numbers that SQLite would give."""
    if engine(db) == "sqlite" or key_kind(declared_type) == "integer":
        return column
    text, form = f"CAST({column} AS TEXT)", None
    if declared_type == "date":
        form = f"to_char({column}, 'YYYY-MM-DD')"
    elif declared_type.startswith("timestamp") and "without" in declared_type:
        form = f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS')"""
    elif declared_type.startswith("timestamp"):
        form = f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
    return f"COALESCE({form}, {text})" if form else text  # infinity has no form


def _is_an_id(db: Connection, column: str) -> str:
    return f"({PER_ENGINE[engine(db)]['is_int'].format(column)} AND {column} BETWEEN -{MAX_ID} AND {MAX_ID})"


def _ids_are_sound(db: Connection, table: str, column: str) -> bool:
    """Whether each row has its own whole number. (Without a primary key, ids are empty or given twice.)"""
    unsound = f"COUNT(*) > 1 OR NOT {_is_an_id(db, column)}"
    return not fetch_all(db, f"SELECT 1 FROM {table} GROUP BY {column} HAVING {unsound} LIMIT 1")  # noqa: S608


def _give_ids(db: Connection, old: OldTable) -> int:
    """New ids, after the highest one, for the rows that have none or somebody else's. Returns how many."""
    is_an_id = _is_an_id(db, "row_id")
    row = fetch_one(db, f"SELECT COALESCE(MAX(row_id), 0) AS last FROM {old.aside} WHERE {is_an_id}")  # noqa: S608
    assert row is not None
    return execute(
        db,
        f"""UPDATE {old.aside} SET row_id = CAST(:last AS BIGINT) + place
             WHERE NOT {is_an_id}
                OR place NOT IN (SELECT MIN(place) FROM {old.aside} GROUP BY row_id)""",  # noqa: S608
        last=max(old.highest, row["last"]),
    )


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
