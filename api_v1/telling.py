"""The signal subscription_changed: sent when the change is committed, and never for one that was taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from flask import has_request_context

import billing_db
from api_v1.signals import subscription_changed
from turf_saas import subscriptions
from turf_saas.subscriptions import Subscription

if TYPE_CHECKING:
    from api_v1.runtime import Runtime

What = Literal["subscribed", "changed", "change_scheduled", "change_dropped", "cancel_scheduled", "canceled", "resumed"]


def tell(runtime: Runtime, subscription: Subscription, what: What) -> None:
    """Now; in a request at its end, for a key's record or a host's own rows may still be committed with the change."""
    if has_request_context():
        from api_v1.runtime import at_end_of_request, current_request

        at_end_of_request(current_request(), lambda _: _tell(runtime, subscription, what))
    else:
        _tell(runtime, subscription, what)


def word_for(seen: Subscription, changed: Subscription) -> What:
    """What a change of plan came to."""
    if changed.pending_plan_id is not None:
        return "change_scheduled"
    return "changed" if (changed.plan, changed.plan_id) != (seen.plan, seen.plan_id) else "change_dropped"


def _tell(runtime: Runtime, subscription: Subscription, what: What) -> None:
    try:
        if _is_committed(runtime, subscription):
            subscription_changed.send(runtime.app, subscription=subscription, what=what)
    except Exception:
        runtime.app.logger.exception("subscription_changed could not be told, or a receiver failed")


def _is_committed(runtime: Runtime, subscription: Subscription) -> bool:
    """Whether everybody sees the change. Of what a transaction of ours still holds open, only we do."""
    db = runtime.db()
    if billing_db.in_transaction(db):
        return False
    stored = subscriptions.get_subscription(db, subscription.tenant_id, subscription.id)
    return stored.revision >= subscription.revision
