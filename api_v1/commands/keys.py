"""`flask billing keys …`: who may come in as a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, get_user, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas import api_keys
from turf_saas.api_keys import ApiKey
from turf_saas.rehearsal import rehearsal

keys = AppGroup("keys", help="API keys: make, list, revoke.")
billing_bp.cli.add_command(keys)


@keys.command("create")
@click.argument("user")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(api_keys.SCOPES),
    multiple=True,
    required=True,
    help="What the key may do. Can be given several times.",
)
@click.option("--name", default="", help="What it is for.")
@as_json
@dry_run
@in_one_sentence
def create(user: str, scopes: tuple[str, ...], name: str, as_json: bool, dry_run: bool) -> None:
    """Make a key that acts as USER (an id or an e-mail). It is shown this once, alone on stdout; its id on stderr."""
    if len(name) > api_keys.MAX_NAME or not name.isprintable():
        raise click.BadParameter(f"printable text of at most {api_keys.MAX_NAME} characters", param_hint="--name")
    runtime = current_runtime()
    holder = get_user(runtime, user)
    with rehearsal(runtime.db(), dry_run=dry_run):
        key, secret = api_keys.create_key(runtime.db(), runtime.now(), holder, name=name, scopes=scopes)
    answer: dict[str, Any] = {"dry_run": dry_run, **asdict(key), "key": secret}
    if dry_run:
        del answer["id"], answer["key"]  # drawn anew by the real one
    show(answer, as_json, [f"would make a key for user {key.user_id}: {', '.join(key.scopes)}" if dry_run else secret])
    if not (dry_run or as_json):
        click.echo(f"Key {key.id} of user {key.user_id}, shown this once. To revoke it: keys revoke {key.id}", err=True)


@keys.command("list")
@click.option("--user", default=None, help="Only the keys of this user (an id or an e-mail).")
@as_json
@in_one_sentence
def list_all(user: str | None, as_json: bool) -> None:
    """All keys, newest first; the revoked ones too, for 90 days and the last hundred of each user."""
    runtime = current_runtime()
    holder = get_user(runtime, user) if user is not None else None
    found = api_keys.list_all_keys(runtime.db(), user_id=holder.id if holder else None)
    nothing = f"User {holder.id} has no keys." if holder else "There are no keys."
    show([asdict(key) for key in found], as_json, _lines(found) if found else [nothing])


def _lines(found: list[ApiKey]) -> Iterator[str]:
    for key in found:
        state = f"revoked {key.revoked_at}" if key.revoked_at else f"last used {key.last_used_at or 'never'}"
        yield f"{key.id}  user {key.user_id}  {','.join(key.scopes)}  {state}  {key.name}".rstrip()


@keys.command("revoke")
@click.argument("key_id")
@as_json
@dry_run
@in_one_sentence
def revoke(key_id: str, as_json: bool, dry_run: bool) -> None:
    """Refuse the key KEY_ID (its eight characters) from now on."""
    runtime = current_runtime()
    with rehearsal(runtime.db(), dry_run=dry_run):
        key = api_keys.revoke_key(runtime.db(), runtime.now(), key_id)
    done = "would revoke" if dry_run else "revoked"
    show({"dry_run": dry_run, **asdict(key)}, as_json, [f"{done} {key.id} of user {key.user_id}"])
