"""Subscriptions: who is on which plan, how that changes, and what money comes of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api_v1 import acting_for, schemas_subscriptions as shapes
from api_v1.auth import Caller
from api_v1.cursors import read_cursor
from api_v1.idempotency import was_answered
from api_v1.lists import Page, page
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.schemas import NoBody
from api_v1.telling import tell, tell_issued, tell_notices, word_for
from turf_saas import (
    rollover,
    stripe_changes,
    subscribing,
    subscription_changes,
    subscription_history,
    subscriptions,
)
from turf_saas.errors import Conflict, Forbidden, NotFound
from turf_saas.periods import start_of_day
from turf_saas.stripe_changes import Asked
from turf_saas.subscription_changes import Changed, Wish
from turf_saas.subscriptions import Subscription

SET_BY_ADMINS = ("start_at", "trial_days")


@route(
    "GET",
    "/subscription",
    summary="The live subscription, and the plan in force",
    scope="billing.read",
    query=shapes.SubscriptionQuery,
    returns=shapes.SubscriptionNow,
)
def get_subscription(caller: Caller, query: shapes.SubscriptionQuery) -> Any:
    """As it is now: what fell due has taken place. `subscription` is null for who has none."""
    runtime, user_id = current_runtime(), acting_for.get_visible(caller, query.user_id)
    db, now = runtime.db(), runtime.now()
    found = rollover.bring_up_to_date(db, now, runtime.settings, user_id)
    gives = found is not None and found.gives_its_plan(now)
    return shapes.SubscriptionNow(
        subscription=shown(found) if found else None,
        plan=found.plan if found and gives else runtime.settings.default_plan,
    )


@route(
    "POST",
    "/subscriptions",
    summary="Subscribe to a plan",
    scope="billing.write",
    body=shapes.SubscribeIn,
    returns=shapes.SubscriptionOut,
    status=201,
    refuses=(409,),
    idempotent=True,
)
def create_subscription(caller: Caller, body: shapes.SubscribeIn) -> Any:
    """From 00:00 of the local day on. A plan is tried once: who has had its trial begins with a paid period.

    `start_at`, `trial_days` and another one's `user_id` are an admin's to give. Who has a live subscription: 409.
    """
    given = [name for name in SET_BY_ADMINS if getattr(body, name) is not None]
    if given and not caller.is_admin:
        raise Forbidden("admin_sets_it", fields=", ".join(given))
    runtime = current_runtime()
    named = caller.user_id if body.user_id is None else body.user_id
    with acting_for.users_named(caller, [named]) as found:
        user = found.get(named)
        if user is None:
            raise NotFound("user_not_found")
        begun = subscribing.subscribe(
            runtime.db(),
            runtime.now(),
            runtime.settings,
            user,
            body.plan,
            start_at=beginning(body.start_at),
            trial_days=body.trial_days,
            discount_code=body.discount_code,
            by=_by(caller),
        )
    tell(runtime, begun, "subscribed")
    return shown(begun)


def _seen(caller: Caller, subscription_id: int, **_: Any) -> dict[str, Subscription]:
    """The subscription as the caller could see it when he asked. Somebody else's is not there."""
    runtime = current_runtime()
    db = runtime.db()
    found = subscriptions.get_subscription(db, caller.tenant_id, subscription_id)
    if found.user_id != caller.user_id and not caller.is_admin:
        raise NotFound("subscription_not_found")
    if rollover.is_due(found, now := runtime.now()):
        rollover.bring_up_to_date(db, now, runtime.settings, found.user_id)
        found = subscriptions.get_subscription(db, caller.tenant_id, subscription_id)
    return {"seen": found}


def _asked(caller: Caller, subscription_id: int, body: Any, **_: Any) -> dict[str, Any]:
    """The same; and of one that Stripe runs what Stripe says to the wish, which it is asked before anything is locked.

    A request that comes again with its key has its answer: nobody is asked twice.
    """
    runtime, found = current_runtime(), _seen(caller, subscription_id)
    seen = found["seen"]
    stripe = runtime.stripe if seen.billed_by == "stripe" else None  # without a key it is refused
    if stripe is None or was_answered({"caller": caller, "body": body}):
        return {**found, "asked": None}
    if getattr(body, "dry_run", False):
        is_end = isinstance(body, shapes.CancelIn)
        raise Conflict("stripe_no_dry_run", sentence="stripe_no_dry_cancel" if is_end else None)
    db, now = runtime.db(), runtime.now()
    if isinstance(body, shapes.ChangeIn):
        wish = Wish(body.plan, body.when, body.prorate, body.discount_code)
        asked = stripe_changes.ask_change(
            db, now, runtime.settings, stripe, seen, wish, by=_by(caller), is_admin=caller.is_admin
        )
    elif isinstance(body, shapes.CancelIn):
        asked = stripe_changes.ask_cancel(db, now, runtime.settings, stripe, seen, when=body.when, reason=body.reason)
    else:
        asked = stripe_changes.ask_resume(db, now, stripe, seen)
    return {**found, "asked": asked}


def _take(caller: Caller, seen: Subscription, asked: Asked) -> Changed:
    """What Stripe has answered is how it stands; the host hears of it."""
    runtime = current_runtime()
    done = stripe_changes.take_answer(runtime.db(), runtime.now(), runtime.settings, seen, asked, by=_by(caller))
    tell_notices(runtime, done.notices)
    tell_issued(runtime, done.changed.credit_notes)
    return done.changed


@route(
    "POST",
    "/subscriptions/<int:subscription_id>/change",
    summary="Change to another plan",
    scope="billing.write",
    body=shapes.ChangeIn,
    returns=shapes.SubscriptionChanged,
    refuses=(409, 502),
    idempotent=True,
    looks=_asked,
)
def change_subscription(
    caller: Caller,
    subscription_id: int,  # noqa: ARG001  it has found `seen`
    body: shapes.ChangeIn,
    seen: Subscription,
    asked: Asked | None,
) -> Any:
    """An upgrade now, a downgrade when the period ends; a newer change replaces the one that waits.

    A downgrade now is an admin's. The plan that is in force drops the change that waits. Two at once: the second
    is 409 `subscription_changed`. One that Stripe runs is changed there: the new plan is in force when it is paid for.
    """
    if asked is not None:
        return _changed(_take(caller, seen, asked))
    runtime = current_runtime()
    changed = subscription_changes.change_plan(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        seen,
        Wish(body.plan, body.when, body.prorate, body.discount_code),
        by=_by(caller),
        is_admin=caller.is_admin,
        dry_run=body.dry_run,
        at=body.at,
    )
    if not body.dry_run:
        tell(runtime, changed.subscription, word_for(seen, changed.subscription))
        tell_issued(runtime, changed.credit_notes)
    return _changed(changed)


@route(
    "POST",
    "/subscriptions/<int:subscription_id>/cancel",
    summary="End it, when the period ends or now",
    scope="billing.write",
    body=shapes.CancelIn,
    body_optional=True,
    returns=shapes.SubscriptionChanged,
    refuses=(409, 502),
    idempotent=True,
    looks=_asked,
)
def cancel_subscription(
    caller: Caller,
    subscription_id: int,  # noqa: ARG001
    body: shapes.CancelIn,
    seen: Subscription,
    asked: Asked | None,
) -> Any:
    """Now credits what is left of the fee. A change that waits is dropped."""
    if asked is not None:
        return _changed(_take(caller, seen, asked))
    runtime = current_runtime()
    changed = subscription_changes.cancel(
        runtime.db(),
        runtime.now(),
        runtime.settings,
        seen,
        when=body.when,
        by=_by(caller),
        reason=body.reason,
        dry_run=body.dry_run,
        at=body.at,
    )
    if not body.dry_run:
        tell(runtime, changed.subscription, "cancel_scheduled" if changed.subscription.is_live else "canceled")
        tell_issued(runtime, changed.credit_notes)
    return _changed(changed)


@route(
    "POST",
    "/subscriptions/<int:subscription_id>/resume",
    summary="Take back the end that was asked for",
    scope="billing.write",
    body=NoBody,
    body_optional=True,
    returns=shapes.SubscriptionOut,
    refuses=(409, 502),
    idempotent=True,
    looks=_asked,
)
def resume_subscription(
    caller: Caller,
    subscription_id: int,  # noqa: ARG001
    body: NoBody,  # noqa: ARG001
    seen: Subscription,
    asked: Asked | None,
) -> Any:
    """Until the end has come. A change that waited before is not brought back."""
    if asked is not None:
        return shown(_take(caller, seen, asked).subscription)
    runtime = current_runtime()
    resumed = subscription_changes.resume(runtime.db(), runtime.now(), runtime.settings, seen, by=_by(caller))
    tell(runtime, resumed, "resumed")
    return shown(resumed)


@route(
    "GET",
    "/subscriptions/<int:subscription_id>/history",
    summary="What it has been: from when, by whom, why",
    scope="billing.read",
    query=Page,
    returns=shapes.SubscriptionHistory,
)
def subscription_history_of(caller: Caller, subscription_id: int, query: Page) -> Any:
    """What became known last stands first."""
    subscription = _seen(caller, subscription_id)["seen"]
    before = read_cursor(query.cursor, int)[0] if query.cursor is not None else None
    found = subscription_history.list_history(
        current_runtime().db(),
        subscription,
        limit=query.limit + 1,
        before=before,  # type: ignore[arg-type]
    )
    entries, more = page(found, query.limit, lambda entry: (entry.id,))
    items = [
        shapes.HistoryEntry(
            at=entry.at,
            plan=entry.plan,
            status=entry.status,
            by=entry.actor,
            reason=entry.reason,
            noted_at=entry.noted_at,
        )
        for entry in entries
    ]
    return shapes.SubscriptionHistory(items=items, next_cursor=more)


def beginning(given: Any) -> datetime | None:
    """The instant that is meant: of a day its 00:00 in BILLING_TIMEZONE."""
    if given is None or isinstance(given, datetime):
        return given
    return start_of_day(given, current_runtime().settings.timezone)


def _by(caller: Caller) -> str:
    return f"{caller.role}:{caller.user_id}"


def shown(subscription: Subscription) -> shapes.SubscriptionOut:
    fields = {
        name: getattr(subscription, name) for name in shapes.SubscriptionOut.model_fields if name != "pending_change"
    }
    plan, at = subscription.pending_plan, subscription.pending_at
    pending = shapes.PendingChange(plan=plan, at=at) if plan is not None and at is not None else None
    return shapes.SubscriptionOut(**fields, pending_change=pending)


def _changed(changed: Changed) -> shapes.SubscriptionChanged:
    money = changed.proration
    return shapes.SubscriptionChanged(
        subscription=shown(changed.subscription),
        proration=shapes.ProrationOut(
            credit_cents=money.credit_cents,
            charge_cents=money.charge_cents,
            net_cents=money.net_cents,
            currency=changed.currency,
        ),
    )
