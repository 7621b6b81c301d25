"""Money of a payment that goes out again: what the books say of it, and what is told of it afterwards.

A refund is taken from the account credit. What that lacks is given back by a credit note on the payment's invoice
first; one that is still open owes it again instead. What fails later is the user's account credit again.

A payment that a gateway has taken keeps a row for each of its refunds. The first that is heard of a refund books it,
whatever it says: so the books end the same in whatever order the rest comes.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from turf_saas import invoice_register, invoices, jobs, payments, refund_books
from turf_saas.errors import Conflict
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.payments import Payment
from turf_saas.refund_books import REFUNDED
from turf_saas.refund_rows import (
    Refund,
    Status,
    Told,
    add_booked,
    find_own,
    find_refund,
    get_refund,
    insert,
    take_over,
    write_booked,
)
from turf_saas.settings import Settings
from turf_saas.values import instant_text

logger = logging.getLogger("turf_saas.billing")

DISPUTE = "dispute"  # why money went out that nobody has sent
SEND_JOB = "billing.send_refund"
_RANK = {"pending": 0, "action_required": 0, "succeeded": 1, "canceled": 2, "failed": 3}
GONE = ("failed", "canceled")
MAX_FAILURE = 500


class Refunded(NamedTuple):
    """A payment after a refund, its invoice, the credit note that the refund needed, and what a gateway has to send."""

    payment: Payment
    invoice: Invoice | None
    credit_note: Invoice | None
    refund: Refund | None = None


class Noted(NamedTuple):
    """What became of that: the payment and the refund now, its status before (None: new), and what it needed."""

    payment: Payment
    refund: Refund
    before: Status | None
    credit_notes: tuple[Invoice, ...] = ()

    @property
    def has_succeeded(self) -> bool:
        """A sum is no refund yet: whatever it is made of is told of by its name."""
        if self.refund.stripe_refund_id is None or self.refund.status != "succeeded":
            return False
        return self.before in (None, "pending", "action_required")

    @property
    def has_failed(self) -> bool:
        return self.refund.status in GONE and self.before not in GONE

    @property
    def lacks(self) -> bool:
        """Whether more went out than the books can say."""
        return self.refund.status not in GONE and self.refund.booked_cents < self.refund.amount_cents


# -- what somebody here asks for -------------------------------------------------------------------------


def refund(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    payment_id: int,
    *,
    amount_cents: int | None = None,
    by: str | None = None,
) -> Refunded:
    """Money of a payment goes out: this much, or all that has not gone yet. Stripe's is sent back by a job.

    Conflict, and nothing done, where neither account credit nor invoice covers it.
    """
    with atomic(db):
        invoice_register.hold_register(db, tenant_id)
        payment = payments.get_payment(db, tenant_id, payment_id)
        cents = payment.left_cents if amount_cents is None else amount_cents
        if not 1 <= cents <= payment.left_cents:
            raise Conflict("refund_too_large", left_cents=payment.left_cents)
        covered = refund_books.cover(db, payment)
        if cents > covered.cents:
            raise Conflict("refund_not_covered", left_cents=covered.cents)
        booked = refund_books.book(db, now, settings, payment, covered, cents, by)
        sent = None
        if payment.gateway is not None:
            status: Status = "pending" if payment.gateway == STRIPE else "succeeded"
            sent = insert(db, now, payment, None, cents, status, REFUNDED, by)
            sent = add_booked(db, now, sent, booked)
        if sent is not None and payment.gateway == STRIPE:
            _enqueue(db, now, sent)
        after = payments.get_payment(db, tenant_id, payment_id)
        invoice = invoices.get_by_id(db, covered.invoice.id) if covered.invoice is not None else None
        return Refunded(after, invoice, booked.note, sent)


def _enqueue(db: Connection, now: datetime, sent: Refund) -> None:
    jobs.enqueue(
        db,
        now,
        SEND_JOB,
        {"refund_id": sent.id},
        tenant_id=sent.tenant_id,
        dedupe_key=str(sent.id),
        max_attempts=jobs.PATIENT,
    )


# -- what is heard of it ---------------------------------------------------------------------------------


def note(db: Connection, now: datetime, settings: Settings, known: Payment, told: Told) -> Noted:
    """What Stripe says of a refund is noted: once, in whatever order and however often it says so."""
    with atomic(db):
        invoice_register.hold_register(db, known.tenant_id)
        payment = payments.get_payment(db, known.tenant_id, known.id)
        seen = find_refund(db, told.id) or find_own(db, now, payment, told)
        before = seen.status if seen is not None else None
        if seen is None and told.reason != DISPUTE:
            seen = take_over(db, now, payment, told)
            before = seen.status if seen is not None else None
        entry = seen or insert(db, now, payment, told.id, told.amount_cents, "pending", told.reason, STRIPE)
        return _become(db, now, settings, entry, told.status, before, told.failure)


def refuse(db: Connection, now: datetime, settings: Settings, refund_id: int, why: str) -> Noted:
    """The gateway does not send it: the money is the user's account credit again."""
    with atomic(db):
        entry = get_refund(db, refund_id)
        invoice_register.hold_register(db, entry.tenant_id)
        entry = get_refund(db, refund_id)
        return _become(db, now, settings, entry, "failed", entry.status, why)


def _become(
    db: Connection,
    now: datetime,
    settings: Settings,
    entry: Refund,
    status: Status,
    before: Status | None,
    failure: str | None,
) -> Noted:
    """It stands so now, where that is not older than what is known; the books follow."""
    entry, notes = _book_rest(db, now, settings, entry)
    if _RANK[status] >= _RANK[entry.status]:
        execute(
            db,
            """UPDATE billing_refunds SET status = :status, failure = COALESCE(:failure, failure), updated_at = :now
                WHERE id = :id""",
            status=status,
            failure=failure[:MAX_FAILURE] if failure and status in GONE else None,
            now=instant_text(now),
            id=entry.id,
        )
    entry = get_refund(db, entry.id)
    if entry.status in GONE and entry.booked_cents:
        _take_back(db, now, entry)
        notes += _book_others(db, now, settings, entry)
    after = payments.get_payment(db, entry.tenant_id, entry.payment_id)
    return Noted(after, get_refund(db, entry.id), before, tuple(notes))


def note_sum(db: Connection, now: datetime, settings: Settings, known: Payment, refunded_cents: int) -> Noted | None:
    """Of a payment so much has gone out in all: what no refund is known for is noted without an id, until it is told.

    None where all of it is known. What waits to be sent counts as known: it may be that.
    """
    with atomic(db):
        invoice_register.hold_register(db, known.tenant_id)
        row = fetch_one(
            db,
            """SELECT COALESCE(SUM(amount_cents), 0) AS cents FROM billing_refunds
                WHERE payment_id = :id AND COALESCE(reason, '') <> :dispute""",
            id=known.id,
            dispute=DISPUTE,
        )
        missing = refunded_cents - int(row["cents"] if row is not None else 0)
        if missing <= 0:
            return None
        entry = insert(db, now, known, None, missing, "succeeded", None, STRIPE)
        entry, notes = _book_rest(db, now, settings, entry)
        after = payments.get_payment(db, known.tenant_id, known.id)
        return Noted(after, entry, None, tuple(notes))


# -- what of it is in the books --------------------------------------------------------------------------


def _book_rest(db: Connection, now: datetime, settings: Settings, entry: Refund) -> tuple[Refund, list[Invoice]]:
    """What is not in the books yet is, as far as it can be. Of one that has failed nothing was meant to stay."""
    payment = payments.get_payment(db, entry.tenant_id, entry.payment_id)
    wanted = min(entry.amount_cents - entry.booked_cents, payment.left_cents)
    if entry.status in GONE or wanted <= 0:
        return entry, []
    covered = refund_books.cover(db, payment)
    cents = min(wanted, covered.cents)
    if not cents:
        return entry, []
    why = DISPUTE if entry.reason == DISPUTE else REFUNDED
    booked = refund_books.book(db, now, settings, payment, covered, cents, STRIPE, why)
    return add_booked(db, now, entry, booked), [booked.note] if booked.note is not None else []


def _book_others(db: Connection, now: datetime, settings: Settings, failed: Refund) -> list[Invoice]:
    """Now that this one is out of the books, what there was no room for beside it comes into them."""
    notes: list[Invoice] = []
    for row in fetch_all(
        db,
        """SELECT id FROM billing_refunds
            WHERE payment_id = :id AND booked_cents < amount_cents AND status NOT IN ('failed', 'canceled')
            ORDER BY id""",
        id=failed.payment_id,
    ):
        notes += _book_rest(db, now, settings, get_refund(db, row["id"]))[1]
    return notes


def _take_back(db: Connection, now: datetime, entry: Refund) -> None:
    refund_books.come_back(
        db, now, payments.get_payment(db, entry.tenant_id, entry.payment_id), entry.booked_cents, STRIPE
    )
    write_booked(db, now, entry, -entry.booked_cents, 0, None)
