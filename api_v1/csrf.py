"""A browser sends cookies by itself, also for another site's page. Here is told whether a request is the user's own."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer

from api_v1.runtime import jwt_secret
from turf_saas.errors import Forbidden, Unavailable
from turf_saas.values import UserId

HEADER = "X-CSRF-Token"
LIFETIME = 12 * 3600  # seconds: a working day
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_DEFAULT_PORTS = {"http": 80, "https": 443}


def make_token(user_id: UserId) -> str:
    """What a page sends back in X-CSRF-Token. Good for this user, for LIFETIME."""
    serializer = _serializer()
    if serializer is None:
        raise Unavailable("csrf_unavailable")
    return str(serializer.dumps(user_id))


def check(user_id: UserId) -> None:
    """Nothing for a safe method, for a request from our own pages or with our token; else a refusal."""
    if request.method in SAFE_METHODS or _from_our_own_page() or _token_is_of(user_id):
        return
    raise Forbidden("cross_site_request")


def from_a_browser() -> bool:
    """True when the request has a mark that only browsers set."""
    return "Origin" in request.headers or "Sec-Fetch-Site" in request.headers


def _from_our_own_page() -> bool:
    """By the two headers that no page can forge: what is there must agree, and one of them must be."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    return _is_our_origin(origin) if origin is not None else site is not None


def _is_our_origin(origin: str) -> bool:
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"{request.scheme}://{request.host}")
        if theirs.scheme not in _DEFAULT_PORTS or not theirs.hostname:
            return False
        # TLS may end at a proxy in front of us: then https is theirs, http is ours. Never the other way round.
        if theirs.scheme not in (ours.scheme, "https"):
            return False
        default = _DEFAULT_PORTS[theirs.scheme]
        return (theirs.hostname, theirs.port or default) == (ours.hostname, ours.port or default)
    except ValueError:
        return False


def _token_is_of(user_id: UserId) -> bool:
    given, serializer = request.headers.get(HEADER, ""), _serializer()
    if not given or serializer is None:
        return False
    try:
        return bool(serializer.loads(given, max_age=LIFETIME) == user_id)
    except BadData:
        return False


def _serializer() -> URLSafeTimedSerializer | None:
    secret = current_app.secret_key or jwt_secret(current_app)
    return URLSafeTimedSerializer(secret, salt="turf_saas.billing.csrf") if secret else None
