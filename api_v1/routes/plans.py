"""What is sold: the catalogue, for anyone to see and for admins to change."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_plans as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import catalogue
from turf_saas.plan_drafts import changes_from, draft_as_json, draft_from, draft_of, limits_as_json
from turf_saas.plans import Plan, plan_limits
from turf_saas.settings import Settings


@route(
    "GET",
    "/plans",
    summary="What is sold, the cheapest first",
    who="anyone",
    of_tenant=True,
    revalidated=True,
    query=shapes.PlansQuery,
    returns=shapes.PlansOut,
)
def list_plans(tenant_id: int, query: shapes.PlansQuery) -> Any:
    """Of the caller's tenant, or of the one that nobody in particular asks about; else of tenant 1."""
    runtime = current_runtime()
    found = catalogue.list_plans(runtime.db(), tenant_id, archived=query.archived == "true")
    return {"items": [_shown(runtime.settings, plan) for plan in found]}


@route(
    "GET",
    "/plans/<code>",
    summary="A plan",
    who="anyone",
    of_tenant=True,
    revalidated=True,
    returns=shapes.PlanOut,
)
def show_plan(tenant_id: int, code: str) -> Any:
    """Its newest version, also when it is sold no more."""
    runtime = current_runtime()
    return _shown(runtime.settings, catalogue.get_plan(runtime.db(), tenant_id, code))


@route(
    "POST",
    "/plans",
    summary="Sell a plan",
    who="admin",
    scope="billing.write",
    body=shapes.PlanIn,
    returns=shapes.PlanOut,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def create_plan(caller: Caller, body: shapes.PlanIn) -> Any:
    """One that was archived is sold again, in a version of its own."""
    runtime = current_runtime()
    draft = draft_from(body.model_dump(exclude_unset=True), currency=runtime.settings.currency)
    plan = catalogue.create_plan(runtime.db(), runtime.now(), caller.tenant_id, draft, by=_by(caller))
    return _shown(runtime.settings, plan)


@route(
    "PATCH",
    "/plans/<code>",
    summary="Change a plan",
    who="admin",
    scope="billing.write",
    body=shapes.PlanChangesIn,
    returns=shapes.PlanOut,
    refuses=(409,),
)
def change_plan(caller: Caller, code: str, body: shapes.PlanChangesIn) -> Any:
    """The next version, for whoever subscribes from now on. What changes nothing makes no version."""
    runtime = current_runtime()
    plan = catalogue.edit_plan(
        runtime.db(),
        runtime.now(),
        caller.tenant_id,
        code,
        changes_from(body.model_dump(exclude_unset=True, exclude={"existing"})),
        existing=body.existing,
        by=_by(caller),
    )
    return _shown(runtime.settings, plan)


@route(
    "DELETE",
    "/plans/<code>",
    summary="Archive a plan",
    who="admin",
    scope="billing.write",
    returns=shapes.PlanOut,
    refuses=(409,),
)
def archive_plan(caller: Caller, code: str) -> Any:
    """It is sold no more. Whoever is on it stays on it."""
    runtime = current_runtime()
    default_plan = runtime.settings.default_plan
    plan = catalogue.archive_plan(runtime.db(), runtime.now(), caller.tenant_id, code, default_plan=default_plan)
    return _shown(runtime.settings, plan)


def _by(caller: Caller) -> str:
    return f"user:{caller.user_id}"


def _shown(settings: Settings, plan: Plan) -> dict[str, Any]:
    """As schemas_plans.PlanOut says, with the limits that hold."""
    return {
        **draft_as_json(draft_of(plan)),
        "limits": limits_as_json(plan_limits(settings, plan.terms)),
        "version": plan.version,
        "archived": plan.archived_at is not None,
    }
