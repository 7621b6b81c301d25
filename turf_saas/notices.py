"""What the host is to hear of, once it is committed: noted where it happens, told by whoever committed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "invoice_issued", "invoice_paid", "payment_failed", "payment_action_required", "payment_refunded", "refund_failed",
    "payment_disputed", "dispute_closed", "payment_mismatch", "subscription_changed", "trial_will_end",
]  # fmt: skip


class Notice(NamedTuple):
    """A signal's name and what it is sent with: records of the domain, by the names that the signal documents."""

    kind: Kind
    about: Mapping[str, Any]
