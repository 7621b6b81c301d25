"""How a refusal is answered: one table of statuses, one shape of JSON, never a stack trace."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, current_app, got_request_exception, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge, default_exceptions

from api_v1.blueprint import billing_bp
from api_v1.quota_headers import refusal_fields, refusal_headers
from api_v1.runtime import current_runtime
from api_v1.wire import json_response
from billing_db import DatabaseBusy, DatabaseError, DatabaseRefused, DatabaseUnavailable
from turf_saas import errors, gateways
from turf_saas.admission import QuotaExceeded
from turf_saas.messages import LOCALES, say
from turf_saas.values import plain

RETRY_SECONDS = 1
NOT_SOON_SECONDS = 60

STATUS: dict[type[errors.BillingError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.InvalidInput: 422,
    errors.TooMany: 429,
    gateways.GatewayFailed: 502,
    errors.Unavailable: 503,
}
HTTP_CODES = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    429: "too_many_requests",
    503: "service_unavailable",
}
TOLD_APART = ("closes_at", "left_cents")  # of the sentence's values, what a program acts on
STATUS_OF_CODE = {"json_expected": 415, "encoding_unsupported": 415, "body_too_large": 413}


def locale() -> str:
    """The caller's language: Accept-Language when it names one of ours, else the setting."""
    if "Accept-Language" not in request.headers:
        return current_runtime().settings.locale
    if "billing.locale" not in request.environ:  # not in g: a host's tests may keep one g around many requests
        wanted = (tag.partition("-")[0].lower() for tag, quality in request.accept_languages if quality > 0)
        found = next((word for word in wanted if word in LOCALES), current_runtime().settings.locale)
        request.environ["billing.locale"] = found
    return str(request.environ["billing.locale"])


def error_response(code: str, status: int, headers: dict[str, str] | None = None, **params: Any) -> Response:
    return json_response({"error": say(code, locale(), **params), "code": code}, status, headers)


@billing_bp.errorhandler(errors.BillingError)
def _refused(error: errors.BillingError) -> Response:
    status = STATUS_OF_CODE.get(error.code) or next(
        (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500
    )
    body: dict[str, Any] = {"error": say(error.sentence, locale(), **error.params), "code": error.code}
    faults = error.faults or _fault_of_a_field(error)
    if faults:
        body["errors"] = [
            {"loc": fault.loc, "code": fault.code, "message": say(fault.code, locale(), **fault.params)}
            for fault in faults
        ]
    body |= {name: error.params[name] for name in TOLD_APART if name in error.params}
    headers = {}
    if isinstance(error, errors.TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, QuotaExceeded):
        body |= refusal_fields(error)
        headers |= refusal_headers(error)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, gateways.GatewayFailed):
        _log_gateway(error)
    if status == 503 or isinstance(error, gateways.GatewayDown):  # 503: somebody has to configure or to migrate
        headers["Retry-After"] = str(NOT_SOON_SECONDS)
    return json_response(body, status, headers)


def _log_gateway(error: gateways.GatewayFailed) -> None:
    """Its own words are for whoever runs the app: the caller is not told them."""
    down = isinstance(error, gateways.GatewayDown)
    says = "the payment service did not do it" if down else "the payment service refuses it"
    why = plain(error, most=gateways.MAX_DETAIL)
    current_app.logger.log(
        logging.WARNING if down else logging.ERROR, "billing: %s %s: %s: %s", request.method, request.path, says, why
    )


def _fault_of_a_field(error: errors.BillingError) -> list[errors.Fault]:
    """What the domain found wrong with one field, which it names."""
    if not isinstance(error, (errors.InvalidInput, errors.Conflict)) or "field" not in error.params:
        return []
    return [errors.Fault(errors.pointer(error.params["field"]), error.code, error.params)]


@billing_bp.errorhandler(DatabaseError)
def _database(error: DatabaseError) -> Response:
    if isinstance(error, DatabaseUnavailable):
        busy = isinstance(error, DatabaseBusy)
        current_app.logger.warning("%s %s: %s", request.method, request.path, error)
        code = "database_busy" if busy else "database_unavailable"
        return error_response(code, 503, {"Retry-After": str(RETRY_SECONDS)})
    if isinstance(error, DatabaseRefused):
        current_app.logger.error("billing: %s", error)
        return error_response("database_refused", 503, {"Retry-After": str(NOT_SOON_SECONDS)})
    return _unexpected(error)


@billing_bp.errorhandler(HTTPException)
def _http(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return error.response  # type: ignore[return-value]
    if isinstance(error, RequestEntityTooLarge):
        return error_response("body_too_large", 413, limit=request.max_content_length)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return error_response("method_not_allowed", 405, {"Allow": allowed}, allowed=allowed)
    status = error.code or 500
    code = HTTP_CODES.get(status, "bad_request" if status < 500 else "internal_error")
    # Retry-After, Allow, WWW-Authenticate: what whoever raised it has to say beside the page, which is ours
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return error_response(code, status, headers)


# One by one: for an exception with a status Flask prefers an app's handler of that status to a blueprint's class.
for _status in default_exceptions:
    billing_bp.register_error_handler(_status, _http)


@billing_bp.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    """The host hears of it as of any other: through Flask's signal and its own log."""
    if current_runtime().is_outdated():
        current_app.logger.error("billing: %s (%s)", say("not_migrated", "en"), error)
        return error_response("not_migrated", 503, {"Retry-After": str(NOT_SOON_SECONDS)})
    host = current_app._get_current_object()  # type: ignore[attr-defined]
    got_request_exception.send(host, _async_wrapper=host.ensure_sync, exception=error)
    host.log_exception((type(error), error, error.__traceback__))
    return error_response("internal_error", 500)


def answer_for(error: errors.BillingError | DatabaseError) -> Response:
    """For a route of the host, whose own handlers know nothing of our refusals."""
    return _refused(error) if isinstance(error, errors.BillingError) else _database(error)


def answer_all(app: Flask) -> None:
    """For a host that is ours altogether: outside the prefix, too, a refusal is this JSON."""
    app.register_error_handler(errors.BillingError, _refused)
    app.register_error_handler(DatabaseError, _database)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)
