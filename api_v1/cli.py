"""`flask billing …`: what is run at a prompt or by cron. Data on stdout, refusals on stderr; exit 0, 1 or 2."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from flask import current_app

import billing_db
from api_v1.blueprint import billing_bp
from api_v1.cli_keys import admin, as_json, dry_run, in_one_sentence, keys
from api_v1.runtime import Runtime, current_runtime, jwt_secret, settings_source
from billing_db import Connection, DatabaseError, atomic
from turf_saas import __version__, accounts, demo as demo_data, doctor, schema, status
from turf_saas.doctor import Finding
from turf_saas.schema import MigrationReport
from turf_saas.settings import Settings

billing_bp.cli.help = "Metering, plans and invoices: what the owner does at a prompt."
billing_bp.cli.short_help = "Metering, plans and invoices."
billing_bp.cli.add_command(keys)
billing_bp.cli.add_command(admin)


@contextmanager
def _database_as_it_is(settings: Settings) -> Iterator[Connection]:
    """Without migrating it. One that is not there yet is not made: an empty one stands in for it."""
    if not status.is_missing(settings):
        yield billing_db.get_db(settings.database)
        return
    with tempfile.TemporaryDirectory() as folder:
        db = billing_db.connect(str(Path(folder) / "not-there-yet.db"))
        try:
            yield db
        finally:
            db.close()


class _RehearsalEnds(Exception):
    """Takes back what a dry run did."""


@contextmanager
def _rehearsal(db: Connection, *, dry_run: bool) -> Iterator[None]:
    """One transaction; a dry run does all of it, so that every refusal is met, and takes it back."""
    with suppress(_RehearsalEnds), atomic(db):
        yield
        if dry_run:
            raise _RehearsalEnds


def _say(answer: Any, as_json: bool, lines: list[str]) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else "\n".join(lines))


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
            report = schema.plan(db, runtime.settings)
    else:
        db = billing_db.get_db(runtime.settings.database)
        report = schema.migrate(db, runtime.now(), runtime.settings)
    _say({"dry_run": dry_run, **_migrated(report)}, as_json, report.sentences)


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
    _say(answer, as_json, list(_status_lines(answer)))


def _status_lines(answer: dict[str, Any]) -> Iterator[str]:
    absent = " (not there yet)" if answer["missing"] else ""
    yield f"version    {answer['version']} ({answer['env']})"
    yield f"database   {answer['engine']} {answer['database']}{absent}"
    yield f"applied    {', '.join(answer['applied']) or 'nothing'}"
    yield f"pending    {', '.join(answer['pending']) or 'nothing'}"
    yield f"month      {answer['month']}"
    users = answer["users"]
    if users:
        yield f"users      {users['table']}.{users['id']}, {users['key']}, {'ours' if users['ours'] else 'of the host'}"
        for table, rows in answer["counts"].items():
            yield f"           {rows:>9} {table}"


# -- demo --------------------------------------------------------------------------------------------


@billing_bp.cli.command("demo")
@as_json
@dry_run
@in_one_sentence
def demo(as_json: bool, dry_run: bool) -> None:
    """Fill a database without users with demo data. Refused in production (BILLING_ENV)."""
    runtime = current_runtime()
    db = runtime.db()
    there_already = demo_data.is_installed(db)
    with _rehearsal(db, dry_run=dry_run):
        made = demo_data.install(db, runtime.now(), runtime.settings, runtime.users)
    emails = [person.email for person in demo_data.PEOPLE] if made else []
    if made:
        sentence = f"{'would make' if dry_run else 'made'} {', '.join(emails)}; the password is {demo_data.PASSWORD}"
    else:
        sentence = f"the {'demo data is there' if there_already else 'database has users'} already: nothing was done"
    _say({"dry_run": dry_run, "made": emails}, as_json, [sentence])


# -- doctor ------------------------------------------------------------------------------------------


@billing_bp.cli.command("doctor")
@as_json
@in_one_sentence
def examine(as_json: bool) -> None:
    """What is wrong, or soon will be. Nothing is changed; exit 1 when something is an error."""
    runtime = current_runtime()
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    findings = doctor.examine_settings(runtime.settings, settings_source(app), jwt_secret(app))
    findings += _database_findings(runtime)
    sick = any(finding.level == "error" for finding in findings)
    answer = {"ok": not sick, "findings": [asdict(finding) for finding in findings]}
    _say(answer, as_json, [f"{finding.level:<8}{finding.check:<13}{finding.message}" for finding in findings])
    if sick:
        click.get_current_context().exit(1)


def _database_findings(runtime: Runtime) -> list[Finding]:
    if status.is_missing(runtime.settings):
        where = status.shown_database(runtime.settings.database)
        return [Finding("schema", "error", f"{where} is not there yet: flask billing migrate makes it.")]
    try:
        return doctor.examine_database(billing_db.get_db(runtime.settings.database), runtime.settings)
    except DatabaseError as error:
        return [Finding("database", "error", str(error))]


# -- admin create ------------------------------------------------------------------------------------


@admin.command("create")
@click.argument("email")
@as_json
@dry_run
@in_one_sentence
def create_admin(email: str, as_json: bool, dry_run: bool) -> None:
    """Make a user EMAIL who is an admin: the first one, where billing keeps the users itself.

    The password is asked for, or read as the first line of stdin.
    """
    runtime = current_runtime()
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    db, now, users = runtime.db(), runtime.now(), runtime.users
    with _rehearsal(db, dry_run=dry_run):
        user_id = accounts.create_user(db, now, users, email=email, password=password, role="admin")
    answer = {"dry_run": dry_run, "email": email, "role": "admin"} | ({} if dry_run else {"user_id": user_id})
    _say(answer, as_json, [f"would make {email} an admin" if dry_run else f"user {user_id} is an admin: {email}"])
