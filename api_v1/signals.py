"""What a host can hear of: blinker signals, sent after the commit, with the app as sender.

A receiver is kept: a function inside create_app() would be forgotten with blinker's own default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from blinker import ANY, NamedSignal, Namespace

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

# invoice: a turf_saas.invoices.Invoice as it is now; payment: the turf_saas.payments.Payment that brought it, or None
# where nothing had to be paid any more.
invoice_paid = _signals.signal("invoice-paid")

# invoice: a turf_saas.invoices.Invoice; attempt: a turf_saas.payment_attempts.Attempt. Once per try to collect it.
payment_failed = _signals.signal("payment-failed")


def signal_named(name: str) -> NamedSignal:
    """One of those above, by its name here: `invoice_paid`."""
    found = _signals.get(name.replace("_", "-"))
    assert found is not None, f"there is no signal {name}"
    return found
