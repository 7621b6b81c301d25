"""JSON Web Tokens: the host's own flask-jwt-extended when it has one, else JWT_SECRET_KEY alone.

A header token whose signature was checked is remembered by its SHA-256. Everything that can change
is asked again every time: its expiry, its type, the host's blocklist and callbacks.
"""

from __future__ import annotations

import hmac
import logging
import time
from datetime import timedelta
from operator import itemgetter
from typing import Any

import jwt
from flask import Flask, Request, current_app
from flask_jwt_extended import create_access_token, exceptions as jwt_errors
from flask_jwt_extended.config import config as jwt_config
from flask_jwt_extended.default_callbacks import (
    default_blocklist_callback,
    default_decode_key_callback,
    default_token_verification_callback,
)
from flask_jwt_extended.internal_utils import (
    custom_verification_for_token,
    get_jwt_manager,
    user_lookup,
    verify_token_not_blocklisted,
    verify_token_type,
)

from api_v1.runtime import Runtime, jwt_secret
from api_v1.token_memory import Checked
from turf_saas import api_keys
from turf_saas.errors import Forbidden, Unauthenticated, Unavailable
from turf_saas.users import User

logger = logging.getLogger("turf_saas.billing")

EXTENSION = "flask-jwt-extended"
_DEFAULTS = {
    "_decode_key_callback": default_decode_key_callback,
    "_token_in_blocklist_callback": default_blocklist_callback,
    "_token_verification_callback": default_token_verification_callback,
    "_user_lookup_callback": None,
}
MAX_TOKEN = 8192  # what servers take as a header; longer ones are not worth reading
LIFETIME = timedelta(hours=1)  # of a token of ours, where no JWTManager says otherwise

JWT_REFUSALS = (jwt_errors.JWTExtendedException, jwt.PyJWTError)
# What reading a hostile token can end in beside them, in PyJWT or in a host's choice of a key.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class _NotAToken(Exception):
    """Why a token is refused. Only for us: the answer is the same for all of them."""


def bearer_token(asked: Request, header: str = "Authorization", kind: str = "Bearer") -> str | None:
    """What stands behind `Bearer` in the header, or None."""
    words = asked.headers.get(header, "").split()
    if not kind:
        return words[0] if len(words) == 1 else None
    return words[1] if len(words) == 2 and words[0].lower() == kind.lower() else None


def api_key(asked: Request) -> str | None:
    """The API key that was sent, as `Authorization: Bearer bk_…` or as X-API-Key, or None."""
    token = bearer_token(asked)
    if token is not None and token.startswith(api_keys.PREFIX):
        return token
    return asked.headers.get("X-API-Key") or None


def identity_from_jwt(runtime: Runtime, asked: Request) -> tuple[Any, bool]:
    """(identity, whether it came by cookie alone) of a good token, (None, False) without one; a bad one is refused."""
    try:
        if EXTENSION in runtime.app.extensions:
            return _by_extension(runtime, asked)
        return _by_secret(runtime, asked)
    except (*JWT_REFUSALS, _NotAToken) as refusal:
        why = refusal if isinstance(refusal, _NotAToken) else type(refusal).__name__
        logger.info("a JWT was refused: %s", why)  # the caller is not told
        raise Unauthenticated("unauthenticated") from None


# -- the host has flask-jwt-extended -----------------------------------------------------------------


def _by_extension(runtime: Runtime, asked: Request) -> tuple[Any, bool]:
    """As the host's JWTManager would decide, callbacks included; a token in a URL or a body is not looked for."""
    config = runtime.app.config
    places = config["JWT_TOKEN_LOCATION"]
    if "headers" in places:
        token = bearer_token(asked, config["JWT_HEADER_NAME"], config["JWT_HEADER_TYPE"])
        if token is not None and not token.startswith(api_keys.PREFIX):
            return _ask_host(runtime.app, _decoded_once(runtime, token)), False
    if "cookies" in places and api_key(asked) is None:
        token = asked.cookies.get(jwt_config.access_cookie_name)
        if token:
            proof = _double_submitted(asked)
            checked = _decoded(token, None)
            bound = str(checked.claims.get("csrf", ""))
            if proof is not None and not hmac.compare_digest(bound.encode(), proof.encode()):
                raise Forbidden("cross_site_request")
            return _ask_host(runtime.app, checked), proof is None
    return None, False


def _double_submitted(asked: Request) -> str | None:
    """The extension's own token against cross-site requests, where the host's settings ask for one."""
    if not jwt_config.cookie_csrf_protect or asked.method not in jwt_config.csrf_request_methods:
        return None
    given = asked.headers.get(jwt_config.access_csrf_header_name)
    if not given and jwt_config.csrf_check_form:
        given = asked.form.get(jwt_config.access_csrf_field_name)
    if not given:
        raise Forbidden("cross_site_request")
    return given


# Of the extension's settings, those that a signature depends on.
_KEYS = itemgetter("JWT_ALGORITHM", "JWT_DECODE_ALGORITHMS", "JWT_SECRET_KEY", "JWT_PUBLIC_KEY", "SECRET_KEY")


def _decoded_once(runtime: Runtime, token: str) -> Checked:
    """A header token, its signature checked now or before."""
    if not _is_default(runtime.app, "_decode_key_callback"):
        return _decoded(token, None)  # the host chooses the key anew each time
    keys = _KEYS(runtime.app.config)
    checked = runtime.tokens.get(token, keys)
    if checked is None:
        checked = _decoded(token, keys)
        runtime.tokens.put(token, checked)
    return checked


def _is_default(app: Flask, callback: str) -> bool:
    """Whether the host has left one of the extension's callbacks as it came."""
    return getattr(app.extensions[EXTENSION], callback, None) is _DEFAULTS[callback]


def _decoded(token: str, secret: Any) -> Checked:
    if len(token) > MAX_TOKEN:
        raise _NotAToken("too long")
    try:
        claims = get_jwt_manager()._decode_jwt_from_config(token)
        return Checked(jwt.get_unverified_header(token), claims, secret)
    except _UNREADABLE as error:
        raise _NotAToken(f"unreadable ({type(error).__name__})") from None
    except RuntimeError:  # the extension was set up, its key was not
        raise Unavailable("tokens_unavailable") from None


def _ask_host(app: Flask, token: Checked) -> Any:
    """What may have changed since the signature was checked. A host's callback that breaks is the host's to see."""
    config = app.config
    never_ends = config["JWT_ACCESS_TOKEN_EXPIRES"] is False
    _check_expiry(token.claims, config["JWT_DECODE_LEEWAY"], required=not never_ends)
    verify_token_type(token.claims, refresh=False)
    if not _is_default(app, "_token_in_blocklist_callback"):
        verify_token_not_blocklisted(token.header, token.claims)
    if not _is_default(app, "_token_verification_callback"):
        custom_verification_for_token(token.header, token.claims)
    if not _is_default(app, "_user_lookup_callback") and user_lookup(token.header, token.claims) is None:
        raise _NotAToken("the host knows no such user")
    return token.claims[config["JWT_IDENTITY_CLAIM"]]


# -- JWT_SECRET_KEY alone ------------------------------------------------------------------------------


def _by_secret(runtime: Runtime, asked: Request) -> tuple[Any, bool]:
    """A host without flask-jwt-extended: HS256 under JWT_SECRET_KEY, `sub` is the user's id."""
    token, secret = bearer_token(asked), jwt_secret(runtime.app)
    if token is None or token.startswith(api_keys.PREFIX) or not secret:
        return None, False
    checked = runtime.tokens.get(token, secret)
    if checked is None:
        checked = _signed_with(secret, token)
        runtime.tokens.put(token, checked)
    _check_expiry(checked.claims, 0, required=True)
    if checked.claims.get("type", "access") != "access":
        raise _NotAToken("not an access token")
    return checked.claims["sub"], False


def _signed_with(secret: str, token: str) -> Checked:
    if len(token) > MAX_TOKEN:
        raise _NotAToken("too long")
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["exp", "sub"]})
        return Checked(jwt.get_unverified_header(token), claims, secret)
    except _UNREADABLE as error:
        raise _NotAToken(f"unreadable ({type(error).__name__})") from None


def _check_expiry(claims: dict[str, Any], leeway: Any, *, required: bool) -> None:
    if "exp" not in claims:
        if required:
            raise _NotAToken("it never ends")
        return
    grace = leeway.total_seconds() if isinstance(leeway, timedelta) else leeway
    if time.time() >= int(claims["exp"]) + grace:
        raise _NotAToken("expired")


# -- making one ----------------------------------------------------------------------------------------


def make_access_token(user: User) -> tuple[str, int | None]:
    """A token for the user and the seconds that it lives. Role and tenant in it are for the client's use only."""
    hints = {"tenant_id": user.tenant_id, "role": user.role}
    if EXTENSION in current_app.extensions:
        token = create_access_token(identity=str(user.id), fresh=True, additional_claims=hints)
        lifetime = jwt_config.access_expires
        return token, int(lifetime.total_seconds()) if isinstance(lifetime, timedelta) else None
    secret = jwt_secret(current_app)
    if not secret:
        raise Unavailable("login_unavailable")
    issued = int(time.time())
    claims = {"sub": str(user.id), "type": "access", "iat": issued, "nbf": issued, **hints}
    lasting = int(LIFETIME.total_seconds())
    return jwt.encode({**claims, "exp": issued + lasting}, secret, algorithm="HS256"), lasting
