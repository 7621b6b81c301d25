"""Who is calling, and what they may do. Asked in one order: the host's loader, request.current_user, flask-login,
a JWT, an API key. Role and tenant always come from the database, as they are now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import current_app, g, request

from api_v1 import tokens
from api_v1.runtime import Runtime, current_runtime
from turf_saas import users
from turf_saas.errors import Forbidden, Unauthenticated
from turf_saas.users import UserId

SCOPES = ("billing.read", "billing.write", "usage:write")


@dataclass(frozen=True)
class Caller:
    """Somebody whom we know. `scopes` is None for a person, who may do all that the role allows."""

    user_id: UserId
    tenant_id: int
    role: str
    scopes: frozenset[str] | None = None
    by_cookie: bool = False


def require(who: str, scope: str | None = None) -> Caller:
    """The caller, or a refusal: 401 for nobody, 403 for somebody who may not."""
    caller = _identified()
    if caller.scopes is not None and scope is not None and scope not in caller.scopes:
        raise Forbidden("scope_missing", scope=scope)
    if who == "admin" and caller.role != "admin":
        raise Forbidden("forbidden")
    return caller


def _identified() -> Caller:
    if "billing_caller" not in g:
        g.billing_caller = _identify(current_runtime())
    return g.billing_caller  # type: ignore[no-any-return]


def _identify(runtime: Runtime) -> Caller:
    identity, by_cookie = _host_identity(runtime)
    if identity is None:
        identity, by_cookie = tokens.identity_from_jwt()
    if identity is None:
        raise Unauthenticated("unauthenticated")
    return _known(runtime, identity, by_cookie)


def _host_identity(runtime: Runtime) -> tuple[Any, bool]:
    """What the host itself says: it has checked the credentials already."""
    by_cookie = "Authorization" not in request.headers and bool(request.cookies)
    loader = runtime.hooks.user_loader or current_app.config.get("BILLING_USER_LOADER")
    if loader is not None:
        found = _id_of(loader())
        if found is not None:
            return found, by_cookie
    found = _id_of(getattr(request, "current_user", None))
    if found is not None:
        return found, by_cookie
    if hasattr(current_app, "login_manager"):
        from flask_login import current_user

        if current_user.is_authenticated:
            return current_user.get_id(), by_cookie
    return None, False


def _id_of(user: Any) -> Any:
    """The id in what a host hands over: a bare id, a dict with `id`, or an object with `id`."""
    if user is None or isinstance(user, (int, str)):
        return user
    if isinstance(user, dict):
        return user.get("id")
    return getattr(user, "id", None)


def _known(runtime: Runtime, identity: Any, by_cookie: bool) -> Caller:
    db, table = runtime.db(), runtime.users
    user_id = table.parse_id(identity)
    if user_id is None:
        raise Unauthenticated("unauthenticated")
    user = users.find_user(db, table, user_id)
    if user is None and table.ours and not runtime.settings.accounts:
        users.enter_user(db, runtime.now(), table, user_id)
        user = users.find_user(db, table, user_id)
    if user is None:
        raise Unauthenticated("unauthenticated")
    is_admin = runtime.hooks.is_admin
    role = "admin" if is_admin is not None and is_admin(user.id) else user.role
    return Caller(user.id, user.tenant_id, role, by_cookie=by_cookie)
