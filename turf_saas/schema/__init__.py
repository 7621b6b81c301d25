"""The migrations: numbered files in this folder, applied in order, once, together with their record."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from billing_db import Connection, DatabaseRefused, DatabaseUnavailable, engine, execute, run_script
from turf_saas.schema import adoption, aside, runner
from turf_saas.schema.adopted_rows import Seen
from turf_saas.schema.host import (
    find_table,
    folded,
    is_named,
    key_kind,
    list_columns,
    list_objects,
    list_triggers,
    name_space,
)
from turf_saas.schema.preflight import ReferenceTable, check
from turf_saas.schema.render import OWN_USERS, PER_ENGINE, rendered
from turf_saas.schema.report import AdoptedTable, MigrationReport
from turf_saas.schema.runner import Migration
from turf_saas.settings import Settings
from turf_saas.users import UsersTable, get_users_table
from turf_saas.values import instant_text

__all__ = [
    "AdoptedTable", "MigrationReport", "is_current", "list_applied", "list_missing", "list_pending", "migrate",
    "migrations", "rehearse",
]  # fmt: skip

logger = logging.getLogger("turf_saas.billing")

FOLDER = Path(__file__).parent
DEFAULT_USERS_TABLE = "users"


def migrate(db: Connection, now: datetime, settings: Settings) -> MigrationReport:
    """Bring the database up to date and say what was done. The second run does nothing and locks nothing."""
    return _run(db, now, settings, rehearse=False)


def rehearse(db: Connection, settings: Settings) -> MigrationReport:
    """What migrate would do. It does all of it and takes it back, so the counts are the true ones."""
    return _run(db, datetime.min.replace(tzinfo=UTC), settings, rehearse=True)


def is_current(db: Connection, settings: Settings) -> bool:
    """Whether nothing is pending. A database that was installed for other users is refused."""
    if list_pending(db):
        return False
    _check_users(db, settings)
    return True


def list_applied(db: Connection) -> list[str]:
    """The migrations that the database has, in order."""
    return [runner.titled(row["number"], row["name"]) for row in runner.list_applied(db)]


def list_pending(db: Connection) -> list[str]:
    """What migrate would apply, in order. A database that an edited or a newer program migrated is refused."""
    return [str(step) for step in runner.pending(db, migrations(engine(db)))]


def list_missing(db: Connection) -> list[tuple[str, str]]:
    """What the database's migrations made, and the users' table, where they are gone: ('trigger', 'invoices_told')."""
    applied, objects, triggers = list_applied(db), list_objects(db), list_triggers(db)
    made = [each for step in migrations(engine(db)) if str(step) in applied for each in step.creates]
    missing = [
        (kind, name)
        for kind, name in made
        if (name not in triggers if kind == "trigger" else objects.get((name_space(kind), name)) != kind)
    ]
    if applied and ("table", "billing_installation") not in missing:
        users = get_users_table(db)
        if not list_columns(db, users.table):
            missing.append(("table", users.table))
    return missing


def migrations(engine_name: str) -> list[Migration]:
    """All migrations, in order. A number is one common file and, where needed, one for this engine."""
    commons = sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [_read(path, engine_name) for path in commons if path.name.count(".") == 1]


def _read(common: Path, engine_name: str) -> Migration:
    number, name = common.stem.split("_", 1)
    own = sorted(FOLDER.glob(f"{number}_*.{engine_name}.sql"))
    engines = "".join(path.read_text(encoding="utf-8") for path in own)
    return Migration(int(number), name, common.read_text(encoding="utf-8"), engines)


def _run(db: Connection, now: datetime, settings: Settings, *, rehearse: bool) -> MigrationReport:
    steps = migrations(engine(db))
    run = _Run(settings, instant_text(now), steps)
    try:
        with aside.any_text(db):
            applied = runner.migrate(db, run.now, steps, run.apply, preflight=run.preflight, rehearse=rehearse)
    except (DatabaseRefused, DatabaseUnavailable):
        raise
    except Exception as error:
        if not run.adopted:
            raise
        raise DatabaseRefused(f"The rows of this database cannot be adopted: {error}. Nothing was changed.") from error
    if not applied or not rehearse:
        _check_users(db, settings)
    if not applied:
        return MigrationReport()
    run.report.applied = applied
    if run.beside_a_host and run.report.users is not None and run.report.users.ours and not rehearse:
        logger.warning("this database had no table %s: billing made a small one of its own", settings.users_table)
    return run.report


class _Run:
    """One run over the pending migrations: what the preflight found, and the report that grows."""

    def __init__(self, settings: Settings, now: str, steps: Sequence[Migration]) -> None:
        self.settings = settings
        self.now = now
        self.steps = steps
        self.report = MigrationReport()
        self.adopted: list[ReferenceTable] = []
        self.beside_a_host = False
        self.created: set[tuple[str, str]] = set()

    def preflight(self, db: Connection, todo: list[Migration]) -> None:
        """Refuse what cannot be done, before the first change."""
        old = {made for step in self.steps if step not in todo for made in step.creates}
        new = [made for step in todo for made in step.creates if made not in old]
        if todo and todo[0].number == 1:
            users, _ = find_users(db, self.settings)
            if users.ours:
                new.append(("table", users.table))
            elif ("table", folded(db, users.table)) in new:
                raise DatabaseRefused(f"BILLING_USERS_TABLE={users.table}: that is a table of billing, not of users.")
        self.beside_a_host = "table" in list_objects(db).values()
        self.created = {(name_space(kind), name) for kind, name in new}
        self.adopted = check(db, new)

    def apply(self, db: Connection, step: Migration) -> None:
        if step.number == 1:
            self._install(db, step)
            return
        users = get_users_table(db)
        declared = next(column.declared_type for column in list_columns(db, users.table) if column.name == users.id)
        run_script(db, rendered(step.sql, engine(db), users, declared))

    def _install(self, db: Connection, step: Migration) -> None:
        """The first migration: find the host's users, make what is ours beside them, take over what is there."""
        users, declared = find_users(db, self.settings)
        olds = aside.set_aside(db, self.adopted)
        own_users = OWN_USERS if users.ours else ""
        run_script(db, rendered(own_users + step.common, engine(db), users, declared))
        _record_users(db, users)
        adoption.prepare(db, self.now, olds, users, declared)
        by_name = {old.name: old for old in olds}
        seen = Seen(self.settings.timezone, self.now)
        if "consumption_log" in by_name:
            adoption.copy_log(db, self.now, by_name["consumption_log"], seen)
        run_script(db, rendered(step.engines, engine(db), users, declared))
        for name in ("invoices", "transactions", "saas_subscriptions", "billing_events"):
            if name in by_name:
                adoption.copy_rows(db, self.now, by_name[name], seen)
        self.report.users = users
        self.report.notes += adoption.finish(db, olds, self.created)
        self.report.adopted = {old.name: old.counts for old in reversed(olds)}


def _record_users(db: Connection, users: UsersTable) -> None:
    execute(
        db,
        """INSERT INTO billing_installation (id, users_table, users_id, users_key, users_are_ours)
           VALUES (1, :table, :id, :key, :ours)""",
        table=users.table,
        id=users.id,
        key=users.key,
        ours=int(users.ours),
    )


def find_users(db: Connection, settings: Settings) -> tuple[UsersTable, str]:
    """The host's users table and its key's declared type; a small one of ours where the host has none here."""
    table = find_table(db, settings.users_table)
    if table is None:
        if folded(db, settings.users_table) != DEFAULT_USERS_TABLE:
            raise DatabaseRefused(
                f"BILLING_USERS_TABLE={settings.users_table}: there is no such table in this database. Name the host's "
                "(and create it first), or leave the setting away and billing keeps a small table of its own."
            )
        own_type = {"integer": PER_ENGINE[engine(db)]["int"], "text": "TEXT"}[settings.users_id_type]
        return UsersTable(settings.users_table, settings.users_id, settings.users_id_type, ours=True), own_type
    wanted = folded(db, settings.users_id)
    column = next((each for each in list_columns(db, table) if folded(db, each.name) == wanted), None)
    if column is None:
        raise DatabaseRefused(f"BILLING_USERS_ID: the table {table} has no column {settings.users_id}.")
    where = f"{table}.{column.name}"
    key = key_kind(column.declared_type)
    if key is None or not re.fullmatch(r"[\w (),]+", column.declared_type):
        raise DatabaseRefused(f"{where} is {column.declared_type or 'untyped'}: a user's key is an integer or a text.")
    if not column.unique:
        raise DatabaseRefused(f"{where} is not unique, so no row can point at one user.")
    return UsersTable(table, column.name, key, ours=False), column.declared_type


def _check_users(db: Connection, settings: Settings) -> None:
    """Rows point at the users that were found first; another table later would be other people."""
    users = get_users_table(db)
    if not is_named(db, users, settings.users_table, settings.users_id):
        raise DatabaseRefused(
            f"BILLING_USERS_TABLE and BILLING_USERS_ID say {settings.users_table}.{settings.users_id}, but this "
            f"database was installed for {users.table}.{users.id}: set them back, or use another database."
        )
