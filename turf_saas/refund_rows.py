"""The rows of refunds: each once, by what Stripe calls it, by our own id, or as a part of a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from billing_db import Connection, Row, execute, fetch_all, fetch_one
from turf_saas.gateways import STRIPE
from turf_saas.ids import insert_row
from turf_saas.many import named, parts, places
from turf_saas.payments import Payment
from turf_saas.refund_books import Booked
from turf_saas.values import UserId, instant_text

Status = Literal["pending", "action_required", "succeeded", "failed", "canceled"]


@dataclass(frozen=True)
class Refund:
    """A refund that a gateway has to send, or has sent. `booked_cents` of it are in the books.

    `credited_cents`: as much as it needed a credit note for. failure: why it was not sent, or came back.
    """

    id: int
    tenant_id: int
    user_id: UserId
    payment_id: int
    stripe_refund_id: str | None
    amount_cents: int
    currency: str
    status: Status
    booked_cents: int
    credited_cents: int
    credit_note_id: int | None
    reason: str | None
    failure: str | None
    created_at: str


class Told(NamedTuple):
    """What is heard of a refund. local_id: the row that it is said to be of; only a hint."""

    id: str
    amount_cents: int
    status: Status
    reason: str | None = None
    local_id: int | None = None
    failure: str | None = None


def get_refund(db: Connection, refund_id: int) -> Refund:
    row = fetch_one(db, "SELECT * FROM billing_refunds WHERE id = :id", id=refund_id)
    assert row is not None, "a refund that was asked for is never deleted"
    return _refund(row)


def find_refund(db: Connection, stripe_id: str) -> Refund | None:
    """The one that Stripe calls so."""
    row = fetch_one(db, "SELECT * FROM billing_refunds WHERE stripe_refund_id = :id", id=stripe_id)
    return _refund(row) if row is not None else None


def list_of_payments(db: Connection, payment_ids: Sequence[int]) -> dict[int, list[Refund]]:
    """Those of each payment that has any, as they were made."""
    found: dict[int, list[Refund]] = {}
    for part in parts(payment_ids):
        for row in fetch_all(
            db,
            f"SELECT * FROM billing_refunds WHERE payment_id IN ({places(part)}) ORDER BY id",  # noqa: S608
            **named(part),
        ):
            found.setdefault(row["payment_id"], []).append(_refund(row))
    return found


def find_own(db: Connection, now: datetime, payment: Payment, told: Told) -> Refund | None:
    """The one that we have asked for: our process may have ended before it wrote down what Stripe calls it."""
    row = fetch_one(
        db,
        """UPDATE billing_refunds SET stripe_refund_id = :stripe_id, updated_at = :now
            WHERE id = :id AND payment_id = :payment_id AND amount_cents = :cents AND stripe_refund_id IS NULL
        RETURNING *""",
        stripe_id=told.id,
        now=instant_text(now),
        id=told.local_id or 0,
        payment_id=payment.id,
        cents=told.amount_cents,
    )
    return _refund(row) if row is not None else None


def take_over(db: Connection, now: datetime, payment: Payment, told: Told) -> Refund | None:
    """What was known as a sum alone has a name now; None where there is no such sum."""
    sums = [
        _refund(row)
        for row in fetch_all(
            db,
            """SELECT * FROM billing_refunds
                WHERE payment_id = :id AND stripe_refund_id IS NULL AND status = 'succeeded' ORDER BY id""",
            id=payment.id,
        )
    ]
    if not sums:
        return None
    same = next((one for one in sums if one.amount_cents == told.amount_cents), None)
    if same is not None:
        execute(
            db,
            """UPDATE billing_refunds
                  SET stripe_refund_id = :stripe_id, status = 'pending', reason = :reason, updated_at = :now
                WHERE id = :id""",
            stripe_id=told.id,
            reason=told.reason,
            now=instant_text(now),
            id=same.id,
        )
        return get_refund(db, same.id)
    entry = insert(db, now, payment, told.id, told.amount_cents, "pending", told.reason, STRIPE)
    for one in sums:
        entry = _move(db, now, one, entry)
    return entry


def _move(db: Connection, now: datetime, of: Refund, to: Refund) -> Refund:
    """As much of a sum as the refund still lacks is the refund's, with what is booked of it."""
    part = min(of.amount_cents, to.amount_cents - to.booked_cents)
    booked, credited = min(of.booked_cents, part), min(of.credited_cents, part)
    if part == of.amount_cents:
        execute(db, "DELETE FROM billing_refunds WHERE id = :id", id=of.id)
    elif part:
        execute(
            db,
            """UPDATE billing_refunds
                  SET amount_cents = amount_cents - :part, booked_cents = booked_cents - :booked,
                      credited_cents = credited_cents - :credited, updated_at = :now
                WHERE id = :id""",
            part=part,
            booked=booked,
            credited=credited,
            now=instant_text(now),
            id=of.id,
        )
    write_booked(db, now, to, booked, credited, of.credit_note_id)
    return get_refund(db, to.id)


def insert(
    db: Connection,
    now: datetime,
    payment: Payment,
    stripe_id: str | None,
    cents: int,
    status: Status,
    reason: str | None,
    by: str | None,
) -> Refund:
    made = insert_row(
        db,
        "billing_refunds",
        "id",
        tenant_id=payment.tenant_id,
        user_id=payment.user_id,
        payment_id=payment.id,
        stripe_refund_id=stripe_id,
        amount_cents=cents,
        currency=payment.currency,
        status=status,
        reason=reason,
        created_at=instant_text(now),
        created_by=by,
        updated_at=instant_text(now),
    )
    return get_refund(db, made)


def add_booked(db: Connection, now: datetime, entry: Refund, booked: Booked) -> Refund:
    note_id = booked.note.id if booked.note is not None else None
    write_booked(db, now, entry, booked.cents, booked.credited_cents, note_id)
    return get_refund(db, entry.id)


def write_booked(
    db: Connection, now: datetime, entry: Refund, cents: int, credited_cents: int, note_id: int | None
) -> None:
    execute(
        db,
        """UPDATE billing_refunds
              SET booked_cents = booked_cents + :cents, credited_cents = credited_cents + :credited,
                  credit_note_id = COALESCE(:note_id, credit_note_id), updated_at = :now
            WHERE id = :id""",
        cents=cents,
        credited=credited_cents,
        note_id=note_id,
        now=instant_text(now),
        id=entry.id,
    )


def _refund(row: Row) -> Refund:
    return Refund(**{name: row[name] for name in Refund.__dataclass_fields__})
