"""What a host can hear of: blinker signals, sent after the commit, with the app as sender.

A receiver is kept: a function inside create_app() would be forgotten with blinker's own default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from blinker import ANY, NamedSignal, Namespace
from flask import Flask

Receiver = TypeVar("Receiver", bound=Callable[..., Any])


class _Signal(NamedSignal):
    def connect(self, receiver: Receiver, sender: Any = ANY, weak: bool = False) -> Receiver:
        return super().connect(receiver, sender, weak)


class _Signals(Namespace):
    def signal(self, name: str, doc: str | None = None) -> NamedSignal:
        return self.setdefault(name, _Signal(name, doc))


_signals = _Signals()

# crossing: a turf_saas.thresholds.Crossing. Once per user, metric, month and percentage.
usage_threshold_reached = _signals.signal("usage-threshold-reached")

# subscription: a turf_saas.subscriptions.Subscription as it is now; what: "subscribed", "changed", "change_scheduled",
# "change_dropped", "cancel_scheduled", "canceled" or "resumed" when somebody asked for it; "trial_ended",
# "rolled_over", "changed", "past_due", "unpaid", "canceled" or "active" when a job or a payment has brought it.
subscription_changed = _signals.signal("subscription-changed")

# invoice: a turf_saas.invoices.Invoice, or a credit note (its kind says so), with its lines. Once, when it is issued.
invoice_issued = _signals.signal("invoice-issued")

# invoice: a turf_saas.invoices.Invoice as it is now; payment: the turf_saas.payments.Payment that brought the last of
# it, or None where account credit has paid it when it was issued. Once, when it is paid, by whatever way.
invoice_paid = _signals.signal("invoice-paid")

# invoice: a turf_saas.invoices.Invoice; attempt: a turf_saas.payment_attempts.Attempt. Once per try to collect it.
payment_failed = _signals.signal("payment-failed")

# The same where the payer has to confirm it at his bank: the invoice's payment_url leads him there.
payment_action_required = _signals.signal("payment-action-required")

# payment: a turf_saas.payments.Payment; refund: a turf_saas.refund_rows.Refund, or None where the refund was noted by
# hand. Once, when money of it has gone back.
payment_refunded = _signals.signal("payment-refunded")

# The same when the money could not go back: it is the payer's account credit again.
refund_failed = _signals.signal("refund-failed")

# payment: a turf_saas.payments.Payment; dispute: a turf_saas.stripe_disputes.Dispute. Once, when it begins.
payment_disputed = _signals.signal("payment-disputed")

# The same when it is over: its status says how, "won", "lost" or "warning_closed".
dispute_closed = _signals.signal("dispute-closed")

# reason: in a sentence; event: the turf_saas.stripe_applying.Event that contradicts what we know, or None where none
# alone does; invoice: the turf_saas.invoices.Invoice that it is about, or None. Somebody has to look.
payment_mismatch = _signals.signal("payment-mismatch")

# subscription: a turf_saas.subscriptions.Subscription whose trial ends in a few days, as Stripe tells it.
trial_will_end = _signals.signal("trial-will-end")


def signal_named(name: str) -> NamedSignal:
    """One of those above, by its name here: `invoice_paid`."""
    found = _signals.get(name.replace("_", "-"))
    assert found is not None, f"there is no signal {name}"
    return found


def send(app: Flask, signal: NamedSignal, **about: Any) -> None:
    """Each receiver by itself: what one cannot do is in the log, and harms no other and nobody who waits."""
    if signal.is_muted:
        return
    for receiver in signal.receivers_for(app):
        try:
            app.ensure_sync(receiver)(app, **about)
        except Exception:
            app.logger.exception("a receiver of %s failed", signal.name.replace("-", "_"))
