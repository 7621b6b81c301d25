"""Quotas: what is left, a cap on what overage costs, and quantities held for work under way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api_v1 import acting_for, schemas_quotas as shapes
from api_v1.auth import Caller
from api_v1.quota_headers import ALERT_MEANING, alert_header
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.schemas import NoBody
from turf_saas import admission, metering, quotas, reservations, spending_caps
from turf_saas.checks import invalid
from turf_saas.errors import NotFound
from turf_saas.quotas import Quota, Quotas
from turf_saas.reservations import Reservation
from turf_saas.values import UserId


@route(
    "GET",
    "/quotas",
    summary="What may still be used, per metric, and the spending cap",
    scope="billing.read",
    query=shapes.QuotasQuery,
    returns=shapes.QuotasOut,
    headers=ALERT_MEANING,
)
def list_quotas(caller: Caller, query: shapes.QuotasQuery) -> Any:
    """Every metric of the plan and every other one that was used. Where the window is a day, today's numbers."""
    runtime, user_id = current_runtime(), acting_for.get_visible(caller, query.user_id)
    found = quotas.get_quotas(runtime.db(), runtime.now(), runtime.settings, user_id)
    return _shown(found), alert_header(found.worst_level)


@route(
    "PUT",
    "/quotas/cap",
    summary="Cap what a month's overage may cost",
    scope="billing.write",
    body=shapes.CapIn,
    returns=shapes.SpendingCap,
)
def set_spending_cap(caller: Caller, body: shapes.CapIn) -> Any:
    """The caller's own. Past it every decision about a quota is 429 `spending_cap_reached`; what is reported counts."""
    runtime = current_runtime()
    db, now = runtime.db(), runtime.now()
    spending_caps.set_cap(db, now, caller.user, body.amount_cents)
    return _cap(quotas.get_quotas(db, now, runtime.settings, caller.user_id))


@route(
    "POST",
    "/quotas/reserve",
    summary="Hold a quantity for work that is about to begin",
    scope="usage:write",
    body=shapes.ReserveIn,
    returns=shapes.ReservationOut,
    status=201,
    judged=True,
    idempotent=True,
)
def reserve(caller: Caller, body: shapes.ReserveIn) -> Any:
    """What is held counts against the limit until it is settled, released or too old.

    Who reports for whom is as with usage: an admin for anybody of the tenant, a key for its user, a person for himself
    with BILLING_SELF_REPORT=1.
    """
    acting_for.require_reporter(caller)
    if fault := acting_for.metric_fault(caller, body.metric):
        raise invalid([fault])
    runtime, lifetime = current_runtime(), timedelta(seconds=body.expires_in)
    named = caller.user_id if body.user_id is None else body.user_id
    with acting_for.users_named(caller, [named]) as found:
        user = found.get(named)
        if user is None:
            raise NotFound("user_not_found")
        held = admission.reserve(
            runtime.db(), runtime.now(), runtime.settings, user, body.metric, body.quantity, lifetime=lifetime
        )
    return shapes.ReservationOut(**_fields(held))


@route(
    "POST",
    "/quotas/reservations/<reservation_id>/settle",
    summary="Count what was used in truth, in place of what was held",
    scope="usage:write",
    body=shapes.SettleIn,
    returns=shapes.ClosedReservation,
    refuses=(409,),
    headers=ALERT_MEANING,
)
def settle_reservation(caller: Caller, reservation_id: str, body: shapes.SettleIn) -> Any:
    """On the day of the settle, even above the hold or the limit, and after the hold has expired.

    Again with the same quantity: the same answer. With another one, or after a release: 409.
    """
    runtime, user_id = current_runtime(), _whose(caller)
    settled = metering.settle(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        caller.tenant_id,
        reservation_id,
        body.quantity,
        user_id=user_id,
    )
    if settled.crossed:
        runtime.signal_crossings()
    return _closed(settled.reservation), alert_header(settled.worst_level)


@route(
    "POST",
    "/quotas/reservations/<reservation_id>/release",
    summary="Nothing was used: let go of what was held",
    scope="usage:write",
    body=NoBody,
    body_optional=True,
    returns=shapes.ClosedReservation,
    refuses=(409,),
)
def release_reservation(caller: Caller, reservation_id: str, body: NoBody) -> Any:  # noqa: ARG001  there is nothing in it
    """Again: the same answer. After a settle: 409."""
    runtime, user_id = current_runtime(), _whose(caller)
    released = reservations.release(runtime.db(), runtime.now(), caller.tenant_id, reservation_id, user_id=user_id)
    return _closed(released)


def _whose(caller: Caller) -> UserId | None:
    """Whose reservations the caller may end: those of the users for whom he may report; None is all of the tenant."""
    acting_for.require_reporter(caller)
    return None if caller.is_admin else caller.user_id


def _shown(found: Quotas) -> dict[str, Any]:
    """As shapes.QuotasOut says. Not built as one: what we have counted ourselves needs no validating."""
    return {
        "user_id": found.user_id,
        "month": str(found.month),
        "plan": found.plan,
        "quotas": [_quota(quota) for quota in found.quotas],
        "spending_cap": _cap(found),
    }


def _quota(quota: Quota) -> dict[str, Any]:
    rule, gauge = quota.rule, quota.gauge
    return {
        "metric": gauge.metric,
        "policy": rule.policy,
        "window": rule.window,
        "limit": gauge.limit,
        "used": gauge.used,
        "reserved": gauge.reserved,
        "remaining": gauge.remaining,
        "level": gauge.level,
        "resets_at": quota.resets_at,
    }


def _cap(found: Quotas) -> dict[str, Any]:
    return {
        "amount_cents": found.spending.cap_cents,
        "overage_cents": found.spending.overage_cents,
        "currency": current_runtime().settings.currency,
        "reached": found.spending.reached,
    }


def _fields(reservation: Reservation) -> dict[str, Any]:
    return {name: getattr(reservation, name) for name in shapes.ReservationOut.model_fields}


def _closed(reservation: Reservation) -> shapes.ClosedReservation:
    return shapes.ClosedReservation(**_fields(reservation), settled_quantity=reservation.settled_quantity)
