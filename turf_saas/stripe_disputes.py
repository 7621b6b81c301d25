"""Disputes: a payer's bank calls a payment into question. The books change when one is lost, and nowhere before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, Row, atomic, execute, fetch_all, fetch_one
from turf_saas import refunds
from turf_saas.many import named, parts, places
from turf_saas.notices import Notice
from turf_saas.payments import Payment
from turf_saas.refund_rows import Told
from turf_saas.refunds import DISPUTE, Noted
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, applied, is_news, mismatch
from turf_saas.stripe_objects import dig, instant
from turf_saas.stripe_payments import amount_of, fault_of, get_payment_of
from turf_saas.stripe_refunds import notices_of
from turf_saas.values import UserId, instant_text

# Of one second, what stands later here is the newer. What is won may have been lost before, and not the other way.
_RANKS = (
    "warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review", "prevented",
    "lost", "won",
)  # fmt: skip
CLOSED = ("warning_closed", "prevented", "lost", "won")


@dataclass(frozen=True)
class Dispute:
    """Of an inquiry (its status begins with "warning_") no money goes; of the others it does when they begin.

    withdrawn_at, reinstated_at: when Stripe took the money, and when it gave it back.
    """

    id: int
    tenant_id: int
    user_id: UserId
    payment_id: int
    stripe_dispute_id: str
    amount_cents: int
    currency: str
    status: str
    reason: str | None
    evidence_due_at: str | None
    withdrawn_at: str | None
    reinstated_at: str | None
    refund_id: int | None
    created_at: str

    @property
    def is_closed(self) -> bool:
        return self.status in CLOSED


class Contested(NamedTuple):
    """A dispute, and the number of the invoice that its payment came in for."""

    dispute: Dispute
    invoice_number: str | None


def changed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """A dispute has begun, goes on or is over, or its money has moved."""
    payment, amount, status = get_payment_of(db, event.object), amount_of(event.object), event.object.get("status")
    fault = fault_of(payment, event.object, amount)
    if fault is not None or amount is None or status not in _RANKS or event.object_id is None:
        return mismatch(fault or f"a dispute is not {status}", event)
    with atomic(db):
        before = find_dispute(db, event.object_id)
        if before is None:
            _insert(db, now, event, payment, amount)
        if is_news(db, event, event.object_id, rank=_RANKS.index(status), tenant_id=payment.tenant_id):
            _write_state(db, now, event)
        _note_money(db, event)
        noted = _book(db, now, settings, event, payment, amount)
        after = find_dispute(db, event.object_id)
        assert after is not None, "it was just written"
    notices = [Notice("invoice_issued", {"invoice": note}) for one in noted for note in one.credit_notes]
    notices += [notice for one in noted for notice in notices_of(event, one) if notice.kind == "payment_mismatch"]
    about = {"payment": noted[-1].payment if noted else payment, "dispute": after}
    if before is None:
        notices.append(Notice("payment_disputed", about))
    if after.is_closed and (before is None or before.status != after.status):
        notices.append(Notice("dispute_closed", about))
    return applied(*notices, known=(event.object_id,))


def find_dispute(db: Connection, stripe_id: str) -> Dispute | None:
    row = fetch_one(db, "SELECT * FROM billing_disputes WHERE stripe_dispute_id = :id", id=stripe_id)
    return _dispute(row) if row is not None else None


def _dispute(row: Row) -> Dispute:
    return Dispute(**{name: row[name] for name in Dispute.__dataclass_fields__})


def list_of_payments(db: Connection, payment_ids: Sequence[int]) -> dict[int, list[Dispute]]:
    """Those of each payment that has any, as they were heard of."""
    found: dict[int, list[Dispute]] = {}
    for part in parts(payment_ids):
        for row in fetch_all(
            db,
            f"SELECT * FROM billing_disputes WHERE payment_id IN ({places(part)}) ORDER BY id",  # noqa: S608
            **named(part),
        ):
            found.setdefault(row["payment_id"], []).append(_dispute(row))
    return found


def list_disputes(db: Connection, *, only_open: bool = False, limit: int = 20) -> list[Contested]:
    """The newest first; only_open: those that are not decided."""
    rows = fetch_all(
        db,
        f"""SELECT d.*, i.invoice_number FROM billing_disputes AS d
              JOIN billing_payments AS p ON p.id = d.payment_id
              LEFT JOIN invoices AS i ON i.id = p.invoice_id
             {_UNDECIDED if only_open else ""} ORDER BY d.id DESC LIMIT :limit""",  # noqa: S608  a constant
        limit=limit,
    )
    return [Contested(_dispute(row), row["invoice_number"]) for row in rows]


_UNDECIDED = f"WHERE d.status NOT IN ({', '.join(repr(status) for status in CLOSED)})"


def _insert(db: Connection, now: datetime, event: Event, payment: Payment, amount: int) -> None:
    execute(
        db,
        """INSERT INTO billing_disputes (tenant_id, user_id, payment_id, stripe_dispute_id, amount_cents, currency,
                                         status, created_at, updated_at)
           VALUES (:tenant_id, :user_id, :payment_id, :stripe_id, :amount, :currency, :status, :now, :now)
           ON CONFLICT DO NOTHING""",
        tenant_id=payment.tenant_id,
        user_id=payment.user_id,
        payment_id=payment.id,
        stripe_id=event.object_id,
        amount=amount,
        currency=payment.currency,
        status=event.object["status"],
        now=instant_text(now),
    )


def _write_state(db: Connection, now: datetime, event: Event) -> None:
    due, reason = instant(dig(event.object, "evidence_details", "due_by")), event.object.get("reason")
    execute(
        db,
        """UPDATE billing_disputes
              SET status = :status, reason = :reason, evidence_due_at = :due, updated_at = :now
            WHERE stripe_dispute_id = :id""",
        status=event.object["status"],
        reason=reason if isinstance(reason, str) else None,
        due=instant_text(due) if due is not None else None,
        now=instant_text(now),
        id=event.object_id,
    )


def _note_money(db: Connection, event: Event) -> None:
    """When the money went and came. It comes back once: whichever event tells it first."""
    column = {
        "charge.dispute.funds_withdrawn": "withdrawn_at",
        "charge.dispute.funds_reinstated": "reinstated_at",
    }.get(event.type)
    if column is not None:
        execute(
            db,
            f"UPDATE billing_disputes SET {column} = :at WHERE stripe_dispute_id = :id AND {column} IS NULL",  # noqa: S608
            at=instant_text(event.created),
            id=event.object_id,
        )


def _book(
    db: Connection, now: datetime, settings: Settings, event: Event, payment: Payment, amount: int
) -> list[Noted]:
    """What is lost has gone out, as a refund does. Given back after a loss it is the user's account credit.

    Whether it was ever lost is what counts, whenever that was told.
    """
    dispute_id = str(event.object_id)
    noted = []
    if event.object["status"] == "lost":
        lost = Told(dispute_id, amount, "succeeded", DISPUTE)
        noted.append(refunds.note(db, now, settings, payment, lost))
        execute(
            db,
            "UPDATE billing_disputes SET refund_id = :refund_id WHERE stripe_dispute_id = :id",
            refund_id=noted[-1].refund.id,
            id=dispute_id,
        )
    now_is = find_dispute(db, dispute_id)
    if now_is is not None and now_is.refund_id is not None and now_is.reinstated_at is not None:
        noted.append(refunds.note(db, now, settings, payment, Told(dispute_id, amount, "canceled", DISPUTE)))
    return noted
