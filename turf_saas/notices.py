"""What the host is to hear of, once it is committed: noted where it happens, told by whoever committed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from billing_db import Connection, fetch_one

Kind = Literal[
    "invoice_issued", "invoice_paid", "payment_failed", "payment_action_required", "payment_refunded", "refund_failed",
    "payment_disputed", "dispute_closed", "payment_mismatch", "subscription_changed", "trial_will_end",
]  # fmt: skip


class Notice(NamedTuple):
    """A signal's name and what it is sent with: records of the domain, by the names that the signal documents."""

    kind: Kind
    about: Mapping[str, Any]


# Where what a notice is about has its row.
_ROWS = {
    "payment": "SELECT 1 AS there FROM billing_payments WHERE id = :id",
    "attempt": "SELECT 1 AS there FROM billing_payment_attempts WHERE id = :id",
    "refund": "SELECT 1 AS there FROM billing_refunds WHERE id = :id",
    "dispute": "SELECT 1 AS there FROM billing_disputes WHERE id = :id",
    "invoice": """SELECT 1 AS there FROM invoices
                   WHERE id = :id AND (status NOT IN ('pending', 'overdue') OR :status IN ('pending', 'overdue'))""",
    "subscription": "SELECT 1 AS there FROM saas_subscriptions WHERE id = :id AND revision >= :revision",
}


def is_committed(db: Connection, notice: Notice) -> bool:
    """Whether everybody can see what it tells of: what was taken back is nobody's news."""
    return all(_is_there(db, name, about) for name, about in notice.about.items() if about is not None)


def _is_there(db: Connection, name: str, about: Any) -> bool:
    query = _ROWS.get(name)
    if query is None:
        return True  # no record of ours: a word, or what Stripe has said
    wanted = {field: getattr(about, field) for field in ("id", "status", "revision") if f":{field}" in query}
    return fetch_one(db, query, **wanted) is not None
