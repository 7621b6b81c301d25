"""The signals of what somebody did, or time brought: sent when it is committed, and never for what was taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, cast

from blinker import NamedSignal
from flask import has_request_context

import billing_db
from api_v1.runtime import Runtime, at_end_of_request, current_request
from api_v1.signals import invoice_issued, signal_named, subscription_changed
from turf_saas import invoices, subscriptions
from turf_saas.errors import NotFound
from turf_saas.invoice_register import Issued
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.subscriptions import Subscription

What = Literal[
    "subscribed", "changed", "change_scheduled", "change_dropped", "cancel_scheduled", "canceled", "resumed",
    "trial_ended", "rolled_over", "past_due", "unpaid", "active",
]  # fmt: skip


def tell(runtime: Runtime, subscription: Subscription, what: What) -> None:
    """Now; in a request at its end, for what the change is committed with may not be over before."""
    _when_it_is_over(lambda: _tell(runtime, subscription, what))


def tell_issued(runtime: Runtime, issued: Iterable[Issued | Invoice]) -> None:
    """The same of what was issued: invoices and credit notes."""
    if invoice_issued.receivers:  # a run issues thousands, and each is read for them
        ids = [one.id for one in issued]
        _when_it_is_over(lambda: _tell_issued(runtime, ids))


def tell_notices(runtime: Runtime, notices: Sequence[Notice]) -> None:
    """The same of what an event of the payment service, or a job, has brought."""
    if notices:
        _when_it_is_over(lambda: _tell_notices(runtime, notices))


def _when_it_is_over(send: Callable[[], None]) -> None:
    if has_request_context():
        at_end_of_request(current_request(), lambda _: send())
    else:
        send()


def tell_what_time_brought(runtime: Runtime, before: Subscription, after: Subscription) -> None:
    """The same of what nobody asked for: in a job, once for each thing that happened, whatever was caught up."""
    for what in words_for(before, after):
        tell(runtime, after, what)


def words_for(before: Subscription, after: Subscription) -> list[What]:
    """What became of a subscription while time passed, in order."""
    words: list[What] = []
    if before.status == "trialing" and after.status != "trialing" and after.trial_end == before.current_period_end:
        words.append("trial_ended")
    elif after.current_period_start != before.current_period_start:
        words.append("rolled_over")
    if (after.plan, after.plan_id) != (before.plan, before.plan_id):
        words.append("changed")
    if after.status != before.status and after.status in ("past_due", "unpaid", "canceled"):
        words.append(cast(What, after.status))
    elif after.status == "active" and before.status in ("past_due", "unpaid"):
        words.append("active")
    return words


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


def _tell_issued(runtime: Runtime, ids: list[int]) -> None:
    for invoice_id in ids:
        try:
            db = runtime.db()
            if not billing_db.in_transaction(db):
                invoice_issued.send(runtime.app, invoice=invoices.get_by_id(db, invoice_id))
        except NotFound:
            continue  # taken back
        except Exception:
            runtime.app.logger.exception("invoice_issued could not be told, or a receiver failed")


def _tell_notices(runtime: Runtime, notices: Sequence[Notice]) -> None:
    for notice in notices:
        _send(runtime, signal_named(notice.kind), **notice.about)


def _send(runtime: Runtime, signal: NamedSignal, **about: Any) -> None:
    """Each receiver by itself: what one cannot do harms no other."""
    for receiver in signal.receivers_for(runtime.app):
        try:
            receiver(runtime.app, **about)
        except Exception:
            runtime.app.logger.exception("a receiver of %s failed", signal.name)


def _is_committed(runtime: Runtime, subscription: Subscription) -> bool:
    """Whether everybody sees the change. Of what a transaction of ours still holds open, only we do."""
    db = runtime.db()
    if billing_db.in_transaction(db):
        return False
    try:
        return (
            subscriptions.get_subscription(db, subscription.tenant_id, subscription.id).revision
            >= subscription.revision
        )
    except NotFound:
        return False
