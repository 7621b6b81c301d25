"""Tries to collect an invoice: what each came to, and when it is tried again, by whom.

An invoice that a card was refused for is late from that day on; where no try with this card makes sense, its user is
unpaid at once. While Stripe has a next try of its own, nothing here tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from billing_db import Connection, Row, atomic, execute, fetch_all, fetch_one
from turf_saas.ids import insert_row
from turf_saas.invoices import Invoice
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.values import UserId, instant_text, local_day, parse_instant

Vain = Literal["failed", "action_required"]
Status = Literal["succeeded", "failed", "action_required", "mismatch"]
# What a bank will not change its mind about: the card is lost, stolen, refused for good; the account is none any more.
HARD_DECLINES = frozenset({
    "account_closed", "debit_not_authorized", "fraudulent", "highest_risk_level", "incorrect_number", "invalid_account",
    "lost_card", "merchant_blacklist", "pickup_card", "restricted_card", "revocation_of_all_authorizations",
    "revocation_of_authorization", "stolen_card", "stop_payment_order",
})  # fmt: skip
# One try is told in several ways, by clocks that differ a little.
SAME_TRY = timedelta(seconds=60)


@dataclass(frozen=True)
class Attempt:
    """A try. code: why it failed, in the bank's word where it is known; hard: no further try with that card."""

    id: int
    user_id: UserId
    invoice_id: int
    attempt_key: str
    status: Status
    amount_cents: int
    currency: str
    code: str | None
    hard: bool
    payment_id: int | None
    next_attempt_at: str | None
    happened_at: str

    @property
    def is_in_vain(self) -> bool:
        return self.status in ("failed", "action_required")


class Failure(NamedTuple):
    """What is told of a try that brought no money."""

    status: Vain
    amount_cents: int
    happened_at: datetime
    code: str | None = None
    next_attempt_at: datetime | None = None


class Noted(NamedTuple):
    """An attempt as it is known now, and whether it was not before, or as another thing."""

    attempt: Attempt
    is_news: bool


class Retry(NamedTuple):
    """An invoice that is ours to try again. number: of the try, from 1; each is made once."""

    invoice_id: int
    user_id: UserId
    number: int


def is_hard(code: str | None) -> bool:
    return code in HARD_DECLINES


def note_failure(db: Connection, now: datetime, invoice: Invoice, key: str, failure: Failure) -> Noted:
    """The try is written down once, by however many words it is told. The caller holds the invoice.

    key: of the gateway's invoice and its own count, which tries by hand leave as it is: what failed at another minute
    was another try.
    """
    with atomic(db):
        known = _find_same(db, invoice.id, key, failure.happened_at)
        if known is not None:
            return _learn(db, now, known, failure)
        taken = fetch_one(
            db,
            "SELECT 1 AS one FROM billing_payment_attempts WHERE invoice_id = :id AND attempt_key = :key",
            id=invoice.id,
            key=key,
        )
        own_key = key if taken is None else f"{key}:{int(failure.happened_at.timestamp())}"
        attempt_id = insert_row(
            db,
            "billing_payment_attempts",
            "id",
            tenant_id=invoice.tenant_id,
            user_id=invoice.user_id,
            invoice_id=invoice.id,
            attempt_key=own_key,
            status=failure.status,
            amount_cents=failure.amount_cents,
            currency=invoice.currency,
            code=failure.code,
            hard=int(is_hard(failure.code)),
            next_attempt_at=instant_text(failure.next_attempt_at) if failure.next_attempt_at else None,
            happened_at=instant_text(failure.happened_at),
            created_at=instant_text(now),
        )
        if failure.status == "failed":
            _note_first(db, now, invoice.id, failure.happened_at)
        return Noted(_get(db, attempt_id), True)


def _find_same(db: Connection, invoice_id: int, key: str, happened_at: datetime) -> Attempt | None:
    row = fetch_one(
        db,
        """SELECT * FROM billing_payment_attempts
            WHERE invoice_id = :id AND (attempt_key = :key OR SUBSTR(attempt_key, 1, :length) = :prefix)
              AND happened_at BETWEEN :after AND :before ORDER BY id LIMIT 1""",
        id=invoice_id,
        key=key,
        prefix=f"{key}:",
        length=len(key) + 1,
        after=instant_text(happened_at - SAME_TRY),
        before=instant_text(happened_at + SAME_TRY),
    )
    return _attempt(row) if row is not None else None


def _learn(db: Connection, now: datetime, known: Attempt, failure: Failure) -> Noted:
    """That the payer has to act says more than that it failed, and a reason more than none."""
    acts = "action_required" in (known.status, failure.status)
    code = known.code or failure.code
    status = "action_required" if acts else known.status
    execute(
        db,
        "UPDATE billing_payment_attempts SET status = :status, code = :code, hard = :hard WHERE id = :id",
        status=status,
        code=code,
        hard=int(known.hard or is_hard(code)),
        id=known.id,
    )
    if failure.status == "failed":
        _note_first(db, now, known.invoice_id, failure.happened_at)
    return Noted(_get(db, known.id), status != known.status)


def _note_first(db: Connection, now: datetime, invoice_id: int, happened_at: datetime) -> None:
    """Its days count from the first failed charge, in whatever order they are told."""
    execute(
        db,
        """UPDATE billing_gateway_invoices SET first_failed_at = :at, updated_at = :now
            WHERE invoice_id = :id AND (first_failed_at IS NULL OR first_failed_at > :at)""",
        at=instant_text(happened_at),
        now=instant_text(now),
        id=invoice_id,
    )


def note_reason(db: Connection, invoice_id: int, code: str, happened_at: datetime) -> Attempt | None:
    """Why the try of that moment failed, which is often told elsewhere than that it did. None: no such try is known."""
    row = fetch_one(
        db,
        """SELECT * FROM billing_payment_attempts
            WHERE invoice_id = :id AND status IN ('failed', 'action_required') AND happened_at >= :since
            ORDER BY happened_at, id LIMIT 1""",
        id=invoice_id,
        since=instant_text(happened_at - SAME_TRY),
    )
    if row is None:
        return None
    execute(
        db,
        "UPDATE billing_payment_attempts SET code = :code, hard = :hard WHERE id = :id AND code IS NULL",
        code=code,
        hard=int(is_hard(code)),
        id=row["id"],
    )
    return _get(db, row["id"])


def note_success(
    db: Connection, now: datetime, invoice: Invoice, payment_id: int, cents: int, happened_at: datetime
) -> None:
    """The try that has brought this payment."""
    _note_once(db, now, invoice, f"payment:{payment_id}", "succeeded", cents, invoice.currency, happened_at, payment_id)


def note_mismatch(
    db: Connection, now: datetime, invoice: Invoice, key: str, cents: int, currency: str, happened_at: datetime
) -> None:
    """Money that contradicts the invoice, of which nothing was booked."""
    _note_once(db, now, invoice, f"{key}:mismatch", "mismatch", cents, currency, happened_at, None)


def _note_once(
    db: Connection,
    now: datetime,
    invoice: Invoice,
    key: str,
    status: Status,
    cents: int,
    currency: str,
    happened_at: datetime,
    payment_id: int | None,
) -> None:
    execute(
        db,
        """INSERT INTO billing_payment_attempts (tenant_id, user_id, invoice_id, attempt_key, status, amount_cents,
                                                 currency, payment_id, happened_at, created_at)
           VALUES (:tenant_id, :user_id, :invoice_id, :key, :status, :cents, :currency, :payment_id, :at, :now)
           ON CONFLICT DO NOTHING""",
        tenant_id=invoice.tenant_id,
        user_id=invoice.user_id,
        invoice_id=invoice.id,
        key=key,
        status=status,
        cents=cents,
        currency=currency,
        payment_id=payment_id,
        at=instant_text(happened_at),
        now=instant_text(now),
    )


def list_attempts(db: Connection, invoice_id: int) -> list[Attempt]:
    """Those of an invoice, as they happened."""
    rows = fetch_all(
        db,
        "SELECT * FROM billing_payment_attempts WHERE invoice_id = :id ORDER BY happened_at, id",
        id=invoice_id,
    )
    return [_attempt(row) for row in rows]


# -- trying again ----------------------------------------------------------------------------------------


def list_retries(db: Connection, now: datetime, settings: Settings) -> list[Retry]:
    """What is ours to try again today, and the number of the try: one for each dunning day since the first failure.

    None while Stripe has a next try of its own, none where the last one was declined for good. The same try may be
    listed again: whoever makes it makes each number once.
    """
    rows = fetch_all(
        db,
        """SELECT g.invoice_id, g.user_id, g.first_failed_at
             FROM billing_gateway_invoices AS g JOIN invoices AS i ON i.id = g.invoice_id
            WHERE g.first_failed_at IS NOT NULL AND g.status = 'open' AND g.next_attempt_at IS NULL
              AND i.status IN ('pending', 'overdue')
              AND COALESCE((SELECT a.hard FROM billing_payment_attempts AS a
                             WHERE a.invoice_id = g.invoice_id AND a.status IN ('failed', 'action_required')
                             ORDER BY a.happened_at DESC, a.id DESC LIMIT 1), 0) = 0
            ORDER BY g.invoice_id""",
    )
    numbered = [(row, _tries_due(now, settings, row["first_failed_at"])) for row in rows]
    return [Retry(row["invoice_id"], row["user_id"], number) for row, number in numbered if number]


def _tries_due(now: datetime, settings: Settings, first_failed_at: str) -> int:
    """How many of the dunning days since have begun."""
    first = local_day(parse_instant(first_failed_at), settings.timezone)
    return sum(
        start_of_day(first + timedelta(days=days), settings.timezone) <= now for days in settings.dunning_days if days
    )


def _get(db: Connection, attempt_id: int) -> Attempt:
    row = fetch_one(db, "SELECT * FROM billing_payment_attempts WHERE id = :id", id=attempt_id)
    assert row is not None, "an attempt is never deleted"
    return _attempt(row)


def _attempt(row: Row) -> Attempt:
    return Attempt(
        **{name: row[name] for name in Attempt.__dataclass_fields__ if name != "hard"}, hard=bool(row["hard"])
    )
