"""Is it up, is it ready; and the answers for what is not there."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed, NotFound as NoSuchRule
from werkzeug.routing import PathConverter, RequestRedirect

from api_v1.blueprint import billing_bp
from api_v1.errors import error_response
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas.rehearsal import try_a_write

# What a user sees is for that user, now; and JSON is never to be taken for a page.
ALWAYS = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Vary", "Accept-Language"))
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@route("GET", "/healthz", summary="The process answers", who="anyone", returns=Literal["ok"])
def healthz() -> Any:
    return "ok"


@route(
    "GET",
    "/readyz",
    summary="The database is up to date and takes writes",
    who="anyone",
    returns=Literal["ready"],
)
def readyz() -> Any:
    try_a_write(current_runtime().db())
    return "ready"


@billing_bp.after_request
def _never_cached(response: Response) -> Response:
    headers = response.headers
    for name, value in ALWAYS:
        if name not in headers:
            headers.add(name, value)
        elif name == "Vary":
            response.vary.add(value)
    return response


def nothing_here(**_: Any) -> Response:
    """Below our prefix an unknown path is a 404 and a wrong method a 405, in JSON, whatever the host does elsewhere.

    OPTIONS comes here for every path: Flask's own answer would count this rule's methods as the path's.
    """
    rules = current_app.create_url_adapter(request)
    assert rules is not None  # only without a request
    allowed = []
    for method in METHODS:
        try:
            rule, _arguments = rules.match(method=method, return_rule=True)
        except (NoSuchRule, MethodNotAllowed, RequestRedirect):
            continue
        if not rule.endpoint.endswith(".nothing_here"):
            allowed.append(method)
    if not allowed:
        return error_response("not_found", 404)
    names = ", ".join(allowed)
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": names}, mimetype="application/json")
    return error_response("method_not_allowed", 405, {"Allow": names}, allowed=names)


class Rest(PathConverter):
    """Whatever follows, `/` and line ends too: `//consumption` is a 404 here, not Werkzeug's redirect in HTML."""

    regex = "(?s:.*?)"
    part_isolating = False


class EveryMethod(set[str]):
    """Holds any method and lists none, so that a path's own rules alone say what its Allow names."""

    def __contains__(self, method: object) -> bool:
        return method != "--"  # no method: so Werkzeug asks which ones a path has


def _answer_the_rest(state: BlueprintSetupState) -> None:
    """For every method there is or will be, TRACE and inventions too, which add_url_rule has no word for."""
    state.app.url_map.converters["billing_rest"] = Rest
    for rule in ("", "/", "/<billing_rest:rest>"):
        state.add_url_rule(rule, "nothing_here", nothing_here, provide_automatic_options=False)
    for added in state.app.url_map.iter_rules(f"{state.name_prefix}.{state.name}.nothing_here".lstrip(".")):
        added.methods = EveryMethod()


billing_bp.record(_answer_the_rest)
