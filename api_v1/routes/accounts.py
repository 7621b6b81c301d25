"""Tenants, and the users whom billing keeps itself where a host has none: making them, logging in."""

from __future__ import annotations

from typing import Any

from flask import request

from api_v1 import csrf, schemas_accounts as shapes, tokens
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import accounts, api_keys, demo, tenants
from turf_saas.errors import Forbidden, NotFound
from turf_saas.users import Role
from turf_saas.values import UserId


@route("GET", "/csrf-token", summary="The token that a page sends with unsafe requests", returns=shapes.CsrfToken)
def csrf_token(caller: Caller) -> Any:
    """For callers whom a cookie identifies: POST, PUT, PATCH and DELETE want it in `X-CSRF-Token`,
    or an `Origin` of our own."""
    return shapes.CsrfToken(csrf_token=csrf.make_token(caller.user_id), expires_in=csrf.LIFETIME)


@route(
    "POST",
    "/auth/login",
    summary="An access token for an e-mail and a password",
    who="anyone",
    body=shapes.LoginIn,
    returns=shapes.LoginOut,
    accounts=True,
    refuses=(401, 403, 429),
)
def log_in(body: shapes.LoginIn) -> Any:
    """After 10 failures for an account or 100 from an address within 15 minutes: 429, with `Retry-After`."""
    runtime = current_runtime()
    address = client_address(runtime.settings.trusted_proxies)
    user = accounts.log_in(
        runtime.db(), runtime.now(), runtime.users, email=body.email, password=body.password, address=address
    )
    demo.refuse_password(runtime.settings, body.password)
    token, expires_in = tokens.make_access_token(user)
    return shapes.LoginOut(
        access_token=token,
        expires_in=expires_in,
        user_id=user.id,
        tenant_id=user.tenant_id,
        role=user.role,
    )


def client_address(trusted_proxies: int) -> str:
    """Where the request came from. X-Forwarded-For is believed as far as there are proxies of ours that wrote it."""
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    if 0 < trusted_proxies <= len(hops):
        return hops[-trusted_proxies]
    return request.remote_addr or ""


@route(
    "POST",
    "/users",
    summary="Make a user in one's own tenant",
    who="admin",
    body=shapes.UserIn,
    returns=shapes.UserOut,
    status=201,
    accounts=True,
    refuses=(409,),
)
def create_user(caller: Caller, body: shapes.UserIn) -> Any:
    return _created(caller.tenant_id, "user", body)


@route(
    "POST",
    "/tenants",
    summary="Open a tenant",
    who="admin",
    body=shapes.TenantIn,
    returns=shapes.TenantOut,
    status=201,
    accounts=True,
    refuses=(409,),
)
def create_tenant(caller: Caller, body: shapes.TenantIn) -> Any:
    """Only an admin of tenant 1 may. With `admin_email` and `admin_password` it gets its first admin at once."""
    if body.admin_email is not None:
        _not_beyond(caller)
    if caller.tenant_id != tenants.FIRST:
        raise Forbidden("forbidden")
    runtime = current_runtime()
    tenant, admin_id = accounts.open_tenant(
        runtime.db(),
        runtime.now(),
        runtime.users,
        name=body.name,
        admin_email=body.admin_email,
        admin_password=body.admin_password,
    )
    return shapes.TenantOut(id=tenant.id, name=tenant.name, created_at=tenant.created_at, admin_user_id=admin_id)


@route(
    "POST",
    "/tenants/<int:tenant_id>/users",
    summary="Make a user or an admin in a tenant",
    who="admin",
    body=shapes.TenantUserIn,
    returns=shapes.UserOut,
    status=201,
    accounts=True,
    refuses=(404, 409),
)
def create_tenant_user(caller: Caller, tenant_id: int, body: shapes.TenantUserIn) -> Any:
    """For an admin of that tenant, or of tenant 1."""
    if body.role == "admin":
        _not_beyond(caller)
    if caller.tenant_id not in (tenant_id, tenants.FIRST):
        raise NotFound("tenant_not_found")
    return _created(tenant_id, body.role, body)


def _not_beyond(caller: Caller) -> None:
    """An admin who logs in with a password has no scopes to hold him: a key that lacks one makes none."""
    lacking = sorted(set(api_keys.SCOPES) - caller.scopes) if caller.scopes is not None else []
    if lacking:
        raise Forbidden("scope_missing", scope=lacking[0])


def _created(tenant_id: int, role: Role, body: shapes.UserIn) -> shapes.UserOut:
    runtime = current_runtime()
    user_id: UserId = accounts.create_user(
        runtime.db(),
        runtime.now(),
        runtime.users,
        email=body.email,
        password=body.password,
        tenant_id=tenant_id,
        role=role,
        name=body.name,
    )
    return shapes.UserOut(id=user_id, user_id=user_id, tenant_id=tenant_id, email=body.email, name=body.name, role=role)
