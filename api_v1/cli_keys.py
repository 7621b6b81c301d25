"""`flask billing keys …` and `flask billing admin …`: who may come in as a program, and who runs the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from flask.cli import AppGroup

from api_v1.runtime import Runtime, current_runtime
from billing_db import DatabaseError
from turf_saas import accounts, api_keys, users
from turf_saas.api_keys import ApiKey
from turf_saas.errors import BillingError
from turf_saas.messages import say
from turf_saas.users import User

Command = TypeVar("Command", bound=Callable[..., Any])

keys = AppGroup("keys", help="API keys: make, list, revoke.")
admin = AppGroup("admin", help="Who is an admin of his tenant.")

as_json = click.option("--json", "as_json", is_flag=True, help="Answer as one JSON document.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def in_one_sentence(command: Command) -> Command:
    """A refusal is one sentence on stderr and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BillingError as error:
            raise click.ClickException(say(error.code, current_runtime().settings.locale, **error.params)) from None
        except DatabaseError as error:
            raise click.ClickException(str(error)) from None

    return run  # type: ignore[return-value]


def _user(runtime: Runtime, named: str) -> User:
    return accounts.get_user_named(runtime.db(), runtime.users, named)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "user_id": key.user_id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _say(answer: dict[str, Any], as_json: bool, sentence: str) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else sentence)


# -- keys --------------------------------------------------------------------------------------------


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
def create_key(user: str, scopes: tuple[str, ...], name: str, as_json: bool, dry_run: bool) -> None:
    """Make a key that acts as USER (an id or an e-mail). It is shown this once."""
    if len(name) > api_keys.MAX_NAME or not name.isprintable():
        raise click.BadParameter(f"printable text of at most {api_keys.MAX_NAME} characters", param_hint="--name")
    runtime = current_runtime()
    holder = _user(runtime, user)
    if dry_run:
        asked = sorted(set(scopes))
        answer = {"dry_run": True, "user_id": holder.id, "tenant_id": holder.tenant_id, "scopes": asked}
        _say(answer, as_json, f"would make a key for user {holder.id}: {', '.join(asked)}")
        return
    key, secret = api_keys.create_key(runtime.db(), runtime.now(), holder, name=name, scopes=scopes)
    _say({**_fields(key), "key": secret}, as_json, secret)


@keys.command("list")
@click.option("--user", default=None, help="Only the keys of this user (an id or an e-mail).")
@as_json
@in_one_sentence
def list_keys(user: str | None, as_json: bool) -> None:
    """All keys, newest first; the revoked ones too."""
    runtime = current_runtime()
    holder = _user(runtime, user) if user is not None else None
    found = api_keys.list_all_keys(runtime.db(), user_id=holder.id if holder else None)
    if as_json:
        click.echo(json.dumps([_fields(key) for key in found], ensure_ascii=False))
        return
    for key in found:
        state = f"revoked {key.revoked_at}" if key.revoked_at else f"last used {key.last_used_at or 'never'}"
        click.echo(f"{key.id}  user {key.user_id}  {','.join(key.scopes)}  {state}  {key.name}".rstrip())


@keys.command("revoke")
@click.argument("key_id")
@as_json
@dry_run
@in_one_sentence
def revoke_key(key_id: str, as_json: bool, dry_run: bool) -> None:
    """Refuse the key KEY_ID (its eight characters) from now on."""
    runtime = current_runtime()
    if dry_run:
        key = api_keys.get_key(runtime.db(), key_id)
        _say({"dry_run": True, **_fields(key)}, as_json, f"would revoke {key.id} of user {key.user_id}")
        return
    key = api_keys.revoke_key(runtime.db(), runtime.now(), key_id)
    _say(_fields(key), as_json, f"revoked {key.id} of user {key.user_id}")


# -- admin -------------------------------------------------------------------------------------------


@admin.command("grant")
@click.argument("user")
@click.option("--revoke", is_flag=True, help="Take the role away instead.")
@as_json
@dry_run
@in_one_sentence
def grant(user: str, revoke: bool, as_json: bool, dry_run: bool) -> None:
    """Make USER (an id or an e-mail) an admin of his tenant. It holds from his next request on."""
    runtime = current_runtime()
    found = _user(runtime, user)
    role = "user" if revoke else "admin"
    answer = {"user_id": found.id, "tenant_id": found.tenant_id, "role": role}
    if dry_run:
        sentence = f"user {found.id} of tenant {found.tenant_id} would be: {role} (is: {found.role})"
        _say({"dry_run": True, **answer}, as_json, sentence)
        return
    users.set_role(runtime.db(), runtime.now(), found.id, role)
    _say(answer, as_json, f"user {found.id} of tenant {found.tenant_id} is now: {role}")
