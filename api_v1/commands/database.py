"""`flask billing migrate, status, doctor`: the database as a whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

import click
from flask import current_app

import billing_db
from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, in_one_sentence, show
from api_v1.runtime import Runtime, current_runtime, jwt_secret, settings_source
from billing_db import Connection, DatabaseError
from turf_saas import __version__, doctor, schema, status
from turf_saas.doctor_findings import Finding
from turf_saas.schema import MigrationReport
from turf_saas.settings import Settings


@contextmanager
def _database_as_it_is(settings: Settings) -> Iterator[Connection]:
    """Without migrating or changing it. One that is not there yet is not made: an empty one stands in for it."""
    if not status.is_missing(settings):
        with closing(billing_db.connect(settings.database, create=False, wal=False)) as db:
            yield db
        return
    with tempfile.TemporaryDirectory() as folder, closing(billing_db.connect(f"{folder}/not-there-yet.db")) as db:
        yield db


# -- migrate -----------------------------------------------------------------------------------------


@billing_bp.cli.command("migrate")
@as_json
@dry_run
@in_one_sentence
def migrate(as_json: bool, dry_run: bool) -> None:
    """Bring the database up to date. Safe to run twice and side by side."""
    runtime = current_runtime()
    if dry_run:
        with _database_as_it_is(runtime.settings) as db:
            report = schema.rehearse(db, runtime.settings)
    else:
        db = billing_db.get_db(runtime.settings.database, create=True)
        report = schema.migrate(db, runtime.now(), runtime.settings)
    show({"dry_run": dry_run, **_migrated(report)}, as_json, report.sentences)


def _migrated(report: MigrationReport) -> dict[str, Any]:
    return {
        "applied": report.applied,
        "users": asdict(report.users) if report.users else None,
        "adopted": {name: vars(table) for name, table in report.adopted.items()},
        "notes": report.notes,
    }


# -- status ------------------------------------------------------------------------------------------


@billing_bp.cli.command("status")
@as_json
@in_one_sentence
def show_status(as_json: bool) -> None:
    """What is installed: version, database, migrations, how much is in it."""
    runtime = current_runtime()
    settings = runtime.settings
    missing = status.is_missing(settings)
    with _database_as_it_is(settings) as db:
        found = status.get_status(db, runtime.now(), settings)
    answer = {"version": __version__, "env": settings.env, "missing": missing, **asdict(found)}
    show(answer, as_json, _status_lines(answer))


def _status_lines(answer: dict[str, Any]) -> Iterator[str]:
    absent = " (not there yet)" if answer["missing"] else ""
    yield f"version    {answer['version']} ({answer['env']})"
    yield f"database   {answer['engine']} {answer['database']}{absent}"
    yield f"applied    {', '.join(answer['applied']) or 'nothing'}"
    yield f"pending    {', '.join(answer['pending']) or 'nothing'}"
    if answer["absent"]:
        yield f"absent     {', '.join(answer['absent'])}"
    yield f"month      {answer['month']}"
    users = answer["users"]
    if users:
        yield f"users      {users['table']}.{users['id']}, {users['key']}, {'ours' if users['ours'] else 'of the host'}"
        for table, rows in answer["counts"].items():
            yield f"           {rows:>9} {table}"


# -- doctor ------------------------------------------------------------------------------------------


@billing_bp.cli.command("doctor")
@as_json
@in_one_sentence
def examine(as_json: bool) -> None:
    """What is wrong, or soon will be. Nothing is changed; exit 1 when something is an error."""
    runtime = current_runtime()
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    source, secret = settings_source(app), jwt_secret(app)
    findings = doctor.examine_settings(runtime.settings, source, secret, jwt_needed=not _knows_its_users(runtime))
    findings += _database_findings(runtime)
    sick = any(finding.level == "error" for finding in findings)
    answer = {"ok": not sick, "findings": [asdict(finding) for finding in findings]}
    show(answer, as_json, [f"{finding.level:<8}{finding.check:<13}{finding.message}" for finding in findings])
    if sick:
        click.get_current_context().exit(1)


def _knows_its_users(runtime: Runtime) -> bool:
    """Whether the app was seen to have a way of its own to say who is calling."""
    app = runtime.app
    loader = runtime.hooks.user_loader or app.config.get("BILLING_USER_LOADER")
    return loader is not None or hasattr(app, "login_manager") or "flask-jwt-extended" in app.extensions


def _database_findings(runtime: Runtime) -> list[Finding]:
    try:
        if status.is_missing(runtime.settings):
            where = status.shown_database(runtime.settings.database)
            return [Finding("schema", "error", f"{where} is not there yet: flask billing migrate makes it.")]
        with _database_as_it_is(runtime.settings) as db:
            return doctor.examine_database(db, runtime.real_now(), runtime.settings)
    except DatabaseError as error:
        return [Finding("database", "error", str(error))]
