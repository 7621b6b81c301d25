"""`flask billing admin …`: who runs the place, and in which tenant a user is."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, dry_run, get_user, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas import accounts, users
from turf_saas.assignment import Assigned, assign_user
from turf_saas.rehearsal import rehearsal

admin = AppGroup("admin", help="Who is an admin of his tenant, and who is in which.")
billing_bp.cli.add_command(admin)


@admin.command("create")
@click.argument("email")
@as_json
@dry_run
@in_one_sentence
def create(email: str, as_json: bool, dry_run: bool) -> None:
    """Make a user EMAIL who is an admin: the first one, where billing keeps the users itself.

    The password is asked for, or read as the first line of stdin.
    """
    runtime = current_runtime()
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    db, now, users_table = runtime.db(), runtime.now(), runtime.users
    with rehearsal(db, dry_run=dry_run):
        user_id = accounts.create_user(db, now, users_table, email=email, password=password, role="admin")
    answer = {"dry_run": dry_run, "email": email, "role": "admin"} | ({} if dry_run else {"user_id": user_id})
    show(answer, as_json, [f"would make {email} an admin" if dry_run else f"user {user_id} is an admin: {email}"])


@admin.command("grant")
@click.argument("user")
@click.option("--revoke", is_flag=True, help="Take the role away instead.")
@as_json
@dry_run
@in_one_sentence
def grant(user: str, revoke: bool, as_json: bool, dry_run: bool) -> None:
    """Make USER (an id or an e-mail) an admin of his tenant. It holds from his next request on."""
    runtime = current_runtime()
    found = get_user(runtime, user)
    role: users.Role = "user" if revoke else "admin"
    with rehearsal(runtime.db(), dry_run=dry_run):
        users.set_role(runtime.db(), runtime.now(), found.id, role)
    becomes = f"would be: {role} (is: {found.role})" if dry_run else f"is now: {role}"
    answer = {"dry_run": dry_run, "user_id": found.id, "tenant_id": found.tenant_id, "role": role}
    show(answer, as_json, [f"user {found.id} of tenant {found.tenant_id} {becomes}"])


@admin.command("assign")
@click.argument("user")
@click.option("--tenant", "tenant_id", type=int, required=True, help="The number of the tenant.")
@as_json
@dry_run
@in_one_sentence
def assign(user: str, tenant_id: int, as_json: bool, dry_run: bool) -> None:
    """Put USER (an id or an e-mail) in a tenant, as a plain user of it.

    Refused when he has subscriptions, usage or invoices in another tenant. His API keys for another one are revoked.
    """
    runtime = current_runtime()
    db, found = runtime.db(), get_user(runtime, user)
    with rehearsal(db, dry_run=dry_run):
        done = assign_user(db, runtime.now(), runtime.users, found.id, tenant_id)
    answer = {
        "dry_run": dry_run,
        "user_id": done.user.id,
        "tenant_id": done.user.tenant_id,
        "role": done.user.role,
        "keys_revoked": done.keys_revoked,
    }
    show(answer, as_json, [_assigned(done, dry_run)])


def _assigned(done: Assigned, dry_run: bool) -> str:
    user, before = done.user, done.before
    if user == before:
        return f"user {user.id} is in tenant {user.tenant_id} already: nothing was done"
    becomes = "would be" if dry_run else "is now"
    revoked = f", API keys revoked: {done.keys_revoked}" if done.keys_revoked else ""
    return (
        f"user {user.id} {becomes} in tenant {user.tenant_id}: {user.role} "
        f"({'is' if dry_run else 'was'} in tenant {before.tenant_id}: {before.role}){revoked}"
    )
