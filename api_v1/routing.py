"""One decorator per route: who may call it, what it reads, what it answers. The documentation is made of the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import getdoc
from typing import Any, Literal

from flask import Response
from flask.blueprints import BlueprintSetupState
from pydantic import BaseModel
from werkzeug.routing import BaseConverter

from api_v1 import auth
from api_v1.blueprint import billing_bp
from api_v1.idempotency import answer_once
from api_v1.runtime import current_request, current_runtime
from api_v1.schemas import MAX_INT, NoQuery
from api_v1.wire import MAX_BODY, Choice, json_response, read_body, read_query
from turf_saas import tenants
from turf_saas.errors import NotFound

Who = Literal["anyone", "user", "admin"]


@dataclass(frozen=True)
class Operation:
    """A route as the documentation shows it."""

    name: str
    method: str
    rule: str
    summary: str
    description: str
    who: Who
    scope: str | None
    query: type[BaseModel]
    body: type[BaseModel] | Choice | None
    returns: Any
    status: int
    accounts: bool
    refuses: tuple[int, ...]
    headers: dict[str, str]
    takes: dict[str, str]
    judged: bool
    idempotent: bool
    body_optional: bool
    in_production: bool
    of_tenant: bool
    revalidated: bool
    also: dict[int, tuple[str, Any]]
    module: str

    @property
    def bodies(self) -> list[type[BaseModel]]:
        """The shapes that the body may have."""
        if isinstance(self.body, Choice):
            return self.body.models
        return [] if self.body is None else [self.body]

    @property
    def in_tenant(self) -> bool:
        """Whether it answers under /tenants/<id>/ too."""
        by_itself = any(other.rule == f"/tenants/<int:tenant_id>{self.rule}" for other in OPERATIONS)
        return (self.who != "anyone" or self.of_tenant) and not self.rule.startswith("/tenants") and not by_itself


OPERATIONS: list[Operation] = []


def route(
    method: str,
    rule: str,
    *,
    summary: str,
    who: Who = "user",
    scope: str | None = None,
    query: type[BaseModel] = NoQuery,
    body: type[BaseModel] | Choice | None = None,
    returns: Any = None,
    status: int = 200,
    accounts: bool = False,
    refuses: tuple[int, ...] = (),
    headers: dict[str, str] | None = None,
    takes: dict[str, str] | None = None,
    judged: bool = False,
    idempotent: bool = False,
    body_optional: bool = False,
    in_production: bool = True,
    of_tenant: bool = False,
    revalidated: bool = False,
    also: dict[int, tuple[str, Any]] | None = None,
    looks: Callable[..., dict[str, Any]] | None = None,
    max_body: int = MAX_BODY,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a view under its rule and under /tenants/<id>/. It gets `caller`, `query` and `body` as it has them.

    accounts: only where billing keeps the users itself (BILLING_ACCOUNTS=1). also: {status: (when, what it answers)}.
    returns: a model, or any type that pydantic can describe. refuses: statuses that only this route answers (409, 429).
    headers: what the answer carries beside the body, with its meaning. takes: the same of the request, texts up to 255.
    judged: a quota may refuse it, with what that says about itself. in_production=False: there it is not there.
    idempotent: it takes an Idempotency-Key. The view then runs inside a transaction: it writes to our database and
    nowhere else, for what it does outside would not be taken back. looks: called before that transaction; the view
    gets what it found. So of two at once the second can be told.
    of_tenant: anyone may ask about a tenant: his own when we know him, else the one that he names, else the first. The
    view gets `tenant_id`. revalidated: it has an ETag, and whoever has that answer already is answered 304.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        operation = Operation(
            name=view.__name__,
            method=method,
            rule=rule,
            summary=summary,
            description=getdoc(view) or "",
            who=who,
            scope=scope,
            query=query,
            body=body,
            returns=returns,
            status=status,
            accounts=accounts,
            refuses=refuses,
            headers=headers or {},
            takes=takes or {},
            judged=judged,
            idempotent=idempotent,
            body_optional=body_optional,
            in_production=in_production,
            of_tenant=of_tenant,
            revalidated=revalidated,
            also=also or {},
            module=view.__module__,
        )
        OPERATIONS.append(operation)
        answer = _answering(operation, view, max_body, looks)
        billing_bp.record(lambda state: _add_rules(state, operation, answer))
        return view

    return decorate


def _answering(
    operation: Operation, view: Callable[..., Any], max_body: int, looks: Callable[..., dict[str, Any]] | None
) -> Callable[..., Response]:
    """The view, with all that stands before it and after it."""
    who, scope, query, body = operation.who, operation.scope, operation.query, operation.body

    @wraps(view)
    def answer(in_tenant: int | None = None, **path: Any) -> Response:
        if not all(map(_can_be_there, path.values())):
            raise NotFound("not_found")
        if who != "anyone":
            path["caller"] = caller = auth.require(who, scope)
            if in_tenant is not None and in_tenant != caller.tenant_id:
                raise NotFound("not_found")
        elif operation.of_tenant:
            path["tenant_id"] = _tenant_asked(in_tenant)
        checked_query = read_query(query)
        if query is not NoQuery:
            path["query"] = checked_query
        if body is not None:
            path["body"] = read_body(body, most=max_body, optional=operation.body_optional)
        if looks is not None:
            path |= looks(**path)
        if operation.idempotent:
            return answer_once(path, lambda: _response(view(**path), operation.status))
        response = _response(view(**path), operation.status)
        return _revalidated(response) if operation.revalidated else response

    return answer


def _tenant_asked(in_tenant: int | None) -> int:
    """Whose public data are asked for. Whoever is known asks about his own tenant, as on every other route."""
    runtime = current_runtime()
    user = auth.find_user(runtime, current_request())
    if user is None:
        return tenants.get_tenant(runtime.db(), tenants.FIRST if in_tenant is None else in_tenant).id
    if in_tenant not in (None, user.tenant_id):
        raise NotFound("not_found")
    return user.tenant_id


def _revalidated(response: Response) -> Response:
    """It may be kept, and is asked for anew each time: nothing is sent when it is still the same."""
    etag = hashlib.sha256(response.get_data()).hexdigest()[:32]
    if current_request().if_none_match.contains_weak(etag):
        response = Response(status=304)
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache"
    return response


class Id(BaseConverter):
    """`<int:…>` in a rule of ours. Werkzeug's own reads digits of any script, and fails on five thousand of them."""

    regex = "0|[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        return int(value)


class Name(BaseConverter):
    """`<name:…>`: what no other rule says at this place; so `Allow` of /invoices/run does not name GET."""

    regex = "(?!(?:run|upcoming)$)[^/]+"
    part_isolating = True


def _can_be_there(part: Any) -> bool:
    """Whether a row can have this in its key: no text of ours holds a NUL, no integer has more than 64 bits."""
    return part <= MAX_INT if isinstance(part, int) else "\0" not in part


def _add_rules(state: BlueprintSetupState, operation: Operation, answer: Callable[..., Response]) -> None:
    runtime = state.app.extensions["billing"]
    if operation.accounts and not runtime.settings.accounts:
        return
    if not operation.in_production and runtime.settings.production:
        return
    runtime.prefix = state.url_prefix or ""
    runtime.operations.append(operation)
    state.app.url_map.converters |= {"billing_id": Id, "billing_name": Name}
    rule = operation.rule.replace("<int:", "<billing_id:").replace("<name:", "<billing_name:")
    # OPTIONS is answered in one place for all paths: ops.nothing_here
    options: dict[str, Any] = {"methods": [operation.method], "provide_automatic_options": False}
    state.add_url_rule(rule, operation.name, answer, **options)
    if operation.in_tenant:
        in_tenant = f"/tenants/<billing_id:in_tenant>{rule}"
        state.add_url_rule(in_tenant, f"tenant_{operation.name}", answer, **options)


def _response(answered: Any, status: int) -> Response:
    if isinstance(answered, Response):
        return answered
    headers: dict[str, str] | None = None
    if isinstance(answered, tuple):
        answered, *rest = answered
        for extra in rest:
            if isinstance(extra, int):
                status = extra
            else:
                headers = extra
    return json_response(answered, status, headers)
