"""One decorator per route: who may call it, what it reads, what it answers. The documentation comes from the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from flask import Response
from flask.sansio.blueprints import BlueprintSetupState
from pydantic import BaseModel

from api_v1 import auth
from api_v1.blueprint import billing_bp
from api_v1.schemas import NoQuery
from api_v1.wire import json_response, read_body, read_query
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
    body: type[BaseModel] | None
    returns: type[BaseModel] | None
    status: int
    accounts: bool


OPERATIONS: list[Operation] = []


def route(
    method: str,
    rule: str,
    *,
    summary: str,
    who: Who = "user",
    scope: str | None = None,
    query: type[BaseModel] = NoQuery,
    body: type[BaseModel] | None = None,
    returns: type[BaseModel] | None = None,
    status: int = 200,
    accounts: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a view under its rule and under /tenants/<id>/. The view gets `caller`, `query` and `body` as it has them.

    accounts: only where billing keeps the users and their passwords itself (BILLING_ACCOUNTS=1).
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        description = (view.__doc__ or "").strip()
        operation = Operation(
            view.__name__, method, rule, summary, description, who, scope, query, body, returns, status, accounts
        )
        OPERATIONS.append(operation)

        @wraps(view)
        def answer(in_tenant: int | None = None, **path: Any) -> Response:
            if who != "anyone":
                path["caller"] = caller = auth.require(who, scope)
                if in_tenant is not None and in_tenant != caller.tenant_id:
                    raise NotFound("not_found")
            checked_query = read_query(query)
            if query is not NoQuery:
                path["query"] = checked_query
            if body is not None:
                path["body"] = read_body(body)
            return _response(view(**path), status)

        billing_bp.record(lambda state: _add_rules(state, operation, answer))
        return view

    return decorate


def _add_rules(state: BlueprintSetupState, operation: Operation, answer: Callable[..., Response]) -> None:
    if operation.accounts and not state.app.extensions["billing"].settings.accounts:
        return
    # OPTIONS is answered in one place for all paths: ops.nothing_here
    options: dict[str, Any] = {"methods": [operation.method], "provide_automatic_options": False}
    state.add_url_rule(operation.rule, operation.name, answer, **options)
    if operation.who != "anyone" and not operation.rule.startswith("/tenants"):
        in_tenant = f"/tenants/<int:in_tenant>{operation.rule}"
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
