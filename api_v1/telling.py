"""The signals of what somebody did, or time brought: sent when it is committed, and never for what was taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flask import has_request_context

import billing_db
from api_v1.runtime import Runtime, at_end_of_request, current_request
from api_v1.signals import invoice_issued, invoice_paid, send, signal_named
from turf_saas import invoices, notices as notes
from turf_saas.errors import NotFound
from turf_saas.invoice_register import Issued
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.payments import Received
from turf_saas.refunds import Refunded
from turf_saas.subscription_words import What, words_for
from turf_saas.subscriptions import Subscription


def tell(runtime: Runtime, subscription: Subscription, what: What) -> None:
    """Now; in a request at its end, for what the change is committed with may not be over before."""
    _when_it_is_over(lambda: _tell(runtime, subscription, what))


def tell_issued(runtime: Runtime, issued: Iterable[Issued | Invoice]) -> None:
    """The same of what was issued: invoices and credit notes, and those that account credit has paid at once."""
    if invoice_issued.receivers or invoice_paid.receivers:  # a run issues thousands, and each is read for them
        ids = [one.id for one in issued]
        _when_it_is_over(lambda: _tell_issued(runtime, ids))


def tell_paid(runtime: Runtime, received: Received) -> None:
    """The same of money that was noted by hand: what it has paid, and whoever is served again by it."""
    if received.recovered is not None:
        tell(runtime, received.recovered, "active")
    if received.has_paid_it:
        tell_notices(runtime, [Notice("invoice_paid", {"invoice": received.invoice, "payment": received.payment})])


def tell_refunded(runtime: Runtime, done: Refunded) -> None:
    """The same of money that goes back. What a gateway has to send is told when that is done."""
    if done.credit_note is not None:
        tell_issued(runtime, [done.credit_note])
    if done.refund is None or done.refund.status == "succeeded":
        tell_notices(runtime, [Notice("payment_refunded", {"payment": done.payment, "refund": done.refund})])


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


def word_for(seen: Subscription, changed: Subscription) -> What:
    """What a change of plan came to."""
    if changed.pending_plan_id is not None:
        return "change_scheduled"
    return "changed" if (changed.plan, changed.plan_id) != (seen.plan, seen.plan_id) else "change_dropped"


def _tell(runtime: Runtime, subscription: Subscription, what: What) -> None:
    _tell_notices(runtime, [Notice("subscription_changed", {"subscription": subscription, "what": what})])


def _tell_issued(runtime: Runtime, ids: list[int]) -> None:
    for invoice_id in ids:
        try:
            db = runtime.db()
            if billing_db.in_transaction(db):
                continue
            invoice = invoices.get_by_id(db, invoice_id)
        except NotFound:
            continue  # taken back
        except billing_db.DatabaseError:
            runtime.app.logger.exception("invoice_issued could not be told")
            continue
        send(runtime.app, invoice_issued, invoice=invoice)
        if invoice.status == "paid" and invoice.kind != "credit_note":
            send(runtime.app, invoice_paid, invoice=invoice, payment=None)


def _tell_notices(runtime: Runtime, notices: Sequence[Notice]) -> None:
    """What everybody can see by now. Of what a transaction of ours still holds open, only we could."""
    for notice in notices:
        signal = signal_named(notice.kind)
        if not signal.receivers:
            continue
        try:
            db = runtime.db()
            committed = not billing_db.in_transaction(db) and notes.is_committed(db, notice)
        except billing_db.DatabaseError:
            runtime.app.logger.exception("%s could not be told", notice.kind)
            continue
        if committed:
            send(runtime.app, signal, **notice.about)
