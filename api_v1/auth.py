"""Who is calling, and what they may do. Asked in one order: the host's loader, request.current_user, flask-login,
a JWT, an API key. Role and tenant always come from the database, as they are now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Request
from werkzeug.exceptions import Unauthorized

from api_v1 import csrf, tokens
from api_v1.runtime import Runtime, current_request, current_runtime
from billing_db import Connection
from turf_saas import api_keys, users
from turf_saas.errors import Forbidden, Unauthenticated
from turf_saas.users import User
from turf_saas.values import UserId

# Schemes that a browser answers by itself once the user has logged in, like a cookie.
_BROWSER_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})
# What stands for an id when it is handed over in a user's place, whether or not it can be one.
_BARE_IDS = (int, str, UUID, float, bytes, list)


@dataclass(frozen=True)
class Caller:
    """Somebody whom we know. `scopes` is None for a person, who may do all that the role allows."""

    user_id: UserId
    tenant_id: int
    role: users.Role
    scopes: frozenset[str] | None = None
    by_cookie: bool = False

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    @property
    def user(self) -> User:
        return User(self.user_id, self.tenant_id, self.role)


def require(who: str, scope: str | None = None) -> Caller:
    """The caller, or a refusal: 401 for nobody, 403 for somebody who may not.

    A key needs a scope on every route: where none is named, billing.read to read and billing.write for the rest.
    """
    runtime, asked = current_runtime(), current_request()
    # Kept on the request, not on g: a host's app context may live longer than one request.
    caller: Caller | None = getattr(asked, "billing_caller", None)
    if caller is None:
        caller = asked.billing_caller = _identify(runtime, asked)  # type: ignore[attr-defined]
    if caller.by_cookie:
        csrf.check(caller.user_id)
    if caller.scopes is not None:
        needed = scope or ("billing.read" if asked.method in csrf.SAFE_METHODS else "billing.write")
        if needed not in caller.scopes:
            raise Forbidden("scope_missing", scope=needed)
    if who == "admin" and not caller.is_admin:
        raise Forbidden("forbidden")
    return caller


def find_user(runtime: Runtime, asked: Request) -> User | None:
    """Who calls, when we know him. For routes of the host, which has its own say about who may call them."""
    caller: Caller | None = getattr(asked, "billing_caller", None)
    if caller is None:
        try:
            caller = asked.billing_caller = _identify(runtime, asked)  # type: ignore[attr-defined]
        except (Unauthenticated, Forbidden):
            return None
    return caller.user


def _identify(runtime: Runtime, asked: Request) -> Caller:
    identity, by_cookie = _host_identity(runtime, asked), False
    if identity is not None:
        by_cookie = _sent_by_the_browser(asked)
    else:
        identity, by_cookie = tokens.identity_from_jwt(runtime, asked)
    if identity is not None:
        user = find_vouched(runtime, runtime.db(), identity)
        if user is None:
            raise Unauthenticated("unauthenticated")
        return Caller(user.id, user.tenant_id, _role(runtime, user), by_cookie=by_cookie)
    given = tokens.api_key(asked)
    if given is not None:
        return _key_holder(runtime, given)
    raise Unauthenticated("unauthenticated")


# -- what the host says ------------------------------------------------------------------------------


def _host_identity(runtime: Runtime, asked: Request) -> Any:
    """The id of the user whose credentials the host has checked itself, or None."""
    key = runtime.settings.users_id
    loader = runtime.hooks.user_loader or runtime.app.config.get("BILLING_USER_LOADER")
    if loader is not None:
        found = _id_of(_loaded(loader), key)
        if found is not None:
            return found
    found = _id_of(getattr(asked, "current_user", None), key)
    if found is not None:
        return found
    if hasattr(runtime.app, "login_manager"):
        from flask_login import current_user

        if current_user.is_authenticated:
            found = _id_of(current_user, key)
            return current_user.get_id() if found is None else found
    return None


def _loaded(loader: Callable[[], Any]) -> Any:
    """The host's loader may refuse in its own ways: abort(401), or what flask-jwt-extended raises."""
    try:
        return loader()
    except (Unauthorized, *tokens.JWT_REFUSALS):
        raise Unauthenticated("unauthenticated") from None


def _id_of(user: Any, key: str) -> Any:
    """The id in what a host hands over: a bare one, or a dict, row or object with it, under the column's name or `id`.

    An int, a text or a UUID; anything else that stands there is handed on, to be refused.
    """
    if user is None:
        return None
    found = user
    if not isinstance(user, _BARE_IDS):
        if _is_anonymous(user):
            return None
        found = _field(user, key)
        found = _field(user, "id") if found is None else found
    return str(found) if isinstance(found, UUID) else found


def _is_anonymous(user: Any) -> bool:
    """As flask-login's anonymous users say of themselves, by an attribute or, in older apps, a method."""
    said = _field(user, "is_authenticated")
    said = said() if callable(said) else said
    return said is not None and not said


def _field(user: Any, name: str) -> Any:
    if hasattr(user, "keys") and hasattr(user, "__getitem__"):  # a dict, a sqlite3.Row
        return user[name] if name in user.keys() else None  # noqa: SIM118  a Row looks among its values
    return getattr(user, name, None)


def _sent_by_the_browser(asked: Request) -> bool:
    """True when a browser may have sent the host's credentials by itself, so that any site's page could cause it.

    An Authorization header with a token needs a script that knows the token. Cookies, Basic, a client certificate or
    the address need only the browser: without a cookie, the marks that browsers set tell whether there is one.
    """
    scheme = asked.headers.get("Authorization", "").partition(" ")[0].lower()
    if scheme and scheme not in _BROWSER_SCHEMES:
        return False
    return bool(asked.cookies) or csrf.from_a_browser()


# -- what the database says ----------------------------------------------------------------------------


def find_vouched(runtime: Runtime, db: Connection, identity: Any) -> User | None:
    """The user with this id. Where the host's users are elsewhere, one whom it vouches for is entered."""
    table = runtime.users
    user_id = table.parse_id(identity)
    if user_id is None:
        return None
    user = users.find_user(db, table, user_id)
    if user is None and table.ours and not runtime.settings.accounts:
        users.enter_user(db, runtime.now(), table, user_id)
        user = users.find_user(db, table, user_id)
    return user


def _key_holder(runtime: Runtime, given: str) -> Caller:
    """Who calls with this key: its user, as long as he is in the tenant for which it was made."""
    db = runtime.db()
    key = api_keys.find_by_secret(db, given)
    user = users.find_user(db, runtime.users, key.user_id) if key is not None else None
    if key is None or user is None or user.tenant_id != key.tenant_id:
        raise Unauthenticated("unauthenticated")
    api_keys.note_use(db, runtime.now(), key)
    return Caller(user.id, user.tenant_id, _role(runtime, user), frozenset(key.scopes))


def _role(runtime: Runtime, user: User) -> users.Role:
    is_admin = runtime.hooks.is_admin
    return "admin" if is_admin is not None and is_admin(user.id) else user.role
