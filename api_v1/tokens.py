"""JSON Web Tokens: the host's own flask-jwt-extended when it has one, else JWT_SECRET_KEY alone.

A header token whose signature was checked is remembered by its SHA-256. Everything that can change
is asked again every time: its expiry, its type, the host's blocklist and callbacks.
"""

from __future__ import annotations

import time
from typing import Any

import jwt
from flask import current_app, request
from flask_jwt_extended import exceptions as jwt_errors
from flask_jwt_extended import get_jwt_request_location, verify_jwt_in_request
from flask_jwt_extended.config import config as jwt_config
from flask_jwt_extended.default_callbacks import default_decode_key_callback
from flask_jwt_extended.internal_utils import (
    custom_verification_for_token,
    get_jwt_manager,
    has_user_lookup,
    user_lookup,
    verify_token_not_blocklisted,
    verify_token_type,
)

from api_v1.runtime import current_runtime, jwt_secret
from api_v1.token_memory import Checked
from turf_saas.errors import Forbidden, Unauthenticated

API_KEY_PREFIX = "bk_"
_BAD_TOKEN = (jwt_errors.JWTExtendedException, jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError)


def bearer_token(header: str = "Authorization", kind: str = "Bearer") -> str | None:
    """What stands behind `Bearer` in the header, or None."""
    words = request.headers.get(header, "").split()
    if not kind:
        return words[0] if len(words) == 1 else None
    return words[1] if len(words) == 2 and words[0].lower() == kind.lower() else None


def identity_from_jwt() -> tuple[Any, bool]:
    """(identity, whether it came by cookie) of a good token, (None, False) without one; a bad one is refused."""
    try:
        if "flask-jwt-extended" in current_app.extensions:
            return _by_extension()
        return _by_secret()
    except jwt_errors.CSRFError:
        raise Forbidden("cross_site_request") from None
    except _BAD_TOKEN:
        raise Unauthenticated("unauthenticated") from None


def _by_extension() -> tuple[Any, bool]:
    """As the host's JWTManager would decide, callbacks included."""
    locations = list(jwt_config.token_location)
    if "headers" in locations:
        locations.remove("headers")
        token = bearer_token(jwt_config.header_name, jwt_config.header_type)
        if token is not None and not token.startswith(API_KEY_PREFIX):
            return _ask_host(_decoded_by_extension(token)), False
    if not locations:
        return None, False
    found = verify_jwt_in_request(optional=True, locations=locations)
    if found is None:
        return None, False
    return found[1][jwt_config.identity_claim_key], get_jwt_request_location() == "cookies"


def _decoded_by_extension(token: str) -> Checked:
    manager = get_jwt_manager()
    if getattr(manager, "_decode_key_callback", None) is not default_decode_key_callback:
        return Checked(jwt.get_unverified_header(token), manager._decode_jwt_from_config(token), None)
    memory, secret = current_runtime().tokens, jwt_config.decode_key
    checked = memory.get(token, secret)
    if checked is None:
        checked = Checked(jwt.get_unverified_header(token), manager._decode_jwt_from_config(token), secret)
        memory.put(token, checked)
    return checked


def _ask_host(token: Checked) -> Any:
    """What may have changed since the signature was checked."""
    _check_expiry(token.claims, jwt_config.leeway, required=jwt_config.access_expires is not False)
    verify_token_type(token.claims, refresh=False)
    verify_token_not_blocklisted(token.header, token.claims)
    custom_verification_for_token(token.header, token.claims)
    if has_user_lookup() and user_lookup(token.header, token.claims) is None:
        raise ValueError("the host knows no such user")
    return token.claims[jwt_config.identity_claim_key]


def _by_secret() -> tuple[Any, bool]:
    """A host without flask-jwt-extended: HS256 under JWT_SECRET_KEY, `sub` is the user's id."""
    token, secret = bearer_token(), jwt_secret(current_app)
    if token is None or token.startswith(API_KEY_PREFIX) or not secret:
        return None, False
    memory = current_runtime().tokens
    checked = memory.get(token, secret)
    if checked is None:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["exp", "sub"]})
        checked = Checked(jwt.get_unverified_header(token), claims, secret)
        memory.put(token, checked)
    _check_expiry(checked.claims, 0, required=True)
    if checked.claims.get("type", "access") != "access":
        raise ValueError("not an access token")
    return checked.claims["sub"], False


def _check_expiry(claims: dict[str, Any], leeway: Any, *, required: bool) -> None:
    if "exp" not in claims:
        if required:
            raise ValueError("a token that never ends")
        return
    grace = leeway.total_seconds() if hasattr(leeway, "total_seconds") else leeway
    if time.time() >= float(claims["exp"]) + grace:
        raise ValueError("expired")
