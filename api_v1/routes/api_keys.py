"""API keys: for programs that call without a person."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_accounts as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.lists import Page, page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import api_keys, users
from turf_saas.api_keys import ApiKey
from turf_saas.errors import Forbidden, NotFound
from turf_saas.users import User
from turf_saas.values import UserId


@route(
    "POST",
    "/api-keys",
    summary="Make an API key",
    scope="billing.write",
    body=shapes.KeyIn,
    returns=shapes.NewKey,
    status=201,
    refuses=(404, 409),
)
def create_api_key(caller: Caller, body: shapes.KeyIn) -> Any:
    """Users make keys for themselves to read and write; `usage:write` and keys for others are an admin's to give.

    A key that makes a key gives no scope that it does not have.
    """
    if not caller.is_admin and "usage:write" in body.scopes:
        raise Forbidden("scope_not_yours", scope="usage:write")
    if caller.scopes is not None and not caller.scopes.issuperset(body.scopes):
        raise Forbidden("scope_not_yours", scope=", ".join(sorted(set(body.scopes) - caller.scopes)))
    runtime = current_runtime()
    holder = _holder(caller, body.user_id)
    key, secret = api_keys.create_key(runtime.db(), runtime.now(), holder, name=body.name, scopes=body.scopes)
    return shapes.NewKey(**vars(_shown(key)), key=secret)


@route(
    "GET",
    "/api-keys",
    summary="One's own API keys; for an admin all of the tenant",
    scope="billing.read",
    query=Page,
    returns=shapes.Keys,
)
def list_api_keys(caller: Caller, query: Page) -> Any:
    """Newest first. The secret of a key is shown when it is made, and never again."""
    before = read_cursor(query.cursor, str, str) if query.cursor is not None else None
    found = api_keys.list_keys(
        current_runtime().db(),
        tenant_id=caller.tenant_id,
        user_id=_whose(caller),
        limit=query.limit + 1,
        before=before,  # type: ignore[arg-type]
    )
    shown, more = page(found, query.limit, lambda key: (key.created_at, key.id))
    return shapes.Keys(items=[_shown(key) for key in shown], next_cursor=more)


@route(
    "DELETE",
    "/api-keys/<key_id>",
    summary="Revoke an API key",
    scope="billing.write",
    returns=shapes.Key,
    refuses=(404,),
)
def revoke_api_key(caller: Caller, key_id: str) -> Any:
    """At once and for good: a revoked key is answered 401, and revoking it again 404."""
    runtime = current_runtime()
    key = api_keys.revoke_key(runtime.db(), runtime.now(), key_id, tenant_id=caller.tenant_id, user_id=_whose(caller))
    return _shown(key)


def _whose(caller: Caller) -> UserId | None:
    """Whose keys the caller sees: None is everybody's in the tenant."""
    return None if caller.is_admin else caller.user_id


def _holder(caller: Caller, named: UserId | None) -> User:
    """The user for whom a key is made: the caller, or for an admin anybody of the tenant."""
    runtime = current_runtime()
    user_id = caller.user_id if named is None else runtime.users.parse_id(named)
    user = users.find_user(runtime.db(), runtime.users, user_id) if user_id is not None else None
    if user is None or user.tenant_id != caller.tenant_id or (user.id != caller.user_id and not caller.is_admin):
        raise NotFound("user_not_found")
    return user


def _shown(key: ApiKey) -> shapes.Key:
    return shapes.Key.model_validate(key, from_attributes=True)
