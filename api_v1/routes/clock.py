"""The test clock: outside production, the time that billing believes it is."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_subscriptions as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import clock, tenants
from turf_saas.errors import Forbidden
from turf_saas.values import instant_text


@route(
    "GET",
    "/test-clock",
    summary="What billing takes for now",
    who="admin",
    scope="billing.read",
    returns=shapes.ClockOut,
    in_production=False,
)
def get_test_clock(caller: Caller) -> Any:
    """For an admin of tenant 1: the clock is one for all tenants. In production there is no such route: 404."""
    _of_the_first_tenant(caller)
    runtime = current_runtime()
    is_set = clock.find_clock(runtime.db()) is not None
    return shapes.ClockOut(now=instant_text(runtime.now()), is_set=is_set)


@route(
    "POST",
    "/test-clock",
    summary="Move the time that billing believes it is",
    who="admin",
    scope="billing.write",
    body=shapes.ClockIn,
    returns=shapes.ClockMoved,
    refuses=(409,),
    in_production=False,
)
def move_test_clock(caller: Caller, body: shapes.ClockIn) -> Any:
    """Everything that falls due up to then happens, in order. It stands still until it is moved again, forward only.

    It starts anywhere within ten years of the real time; `null` takes it away. Tokens expire by the real time.
    The same instant again changes nothing: no Idempotency-Key is needed.
    """
    _of_the_first_tenant(caller)
    runtime = current_runtime()
    moved = clock.set_clock(runtime.db(), runtime.real_now(), runtime.settings, body.now)
    failed = [shapes.NotAdvanced(subscription_id=number, why=why) for number, why in moved.advanced.failed]
    return shapes.ClockMoved(
        now=instant_text(moved.now), is_set=moved.is_set, advanced=moved.advanced.done, failed=failed
    )


def _of_the_first_tenant(caller: Caller) -> None:
    if caller.tenant_id != tenants.FIRST:
        raise Forbidden("forbidden")
