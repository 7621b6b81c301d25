"""What Stripe sends to the bank: of what each payout is made, its fees too, and whether that comes to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, Row, atomic, execute, execute_many, fetch_all, fetch_one
from turf_saas.asking_stripe import asking
from turf_saas.errors import NotFound
from turf_saas.stripe_objects import Json, cents, currency_of, instant, sid
from turf_saas.values import UserId, instant_text
from turf_saas.working import NotYet, Park, Work

READ_JOB = "billing.read_payout"
MOST = 1_000_000  # lines of one payout
AGAIN = timedelta(hours=1)
_OWN = "b.kind NOT LIKE 'payout%'"  # the payout itself is a line, too


# What a line is. A dispute's is an adjustment by its type, and is told by what it is about.
_PART = """CASE WHEN b.kind IN ('charge', 'payment') THEN 'charge'
                WHEN b.kind LIKE '%refund%' THEN 'refund'
                WHEN SUBSTR(b.source_id, 1, 3) IN ('dp_', 'du_') THEN 'dispute'
                WHEN b.kind LIKE '%fee%' THEN 'fee' ELSE 'other' END"""


@dataclass(frozen=True)
class Payout:
    """refunds, disputes and other (adjustments) are negative where they went out; fees are what Stripe keeps.

    dispute_fees_cents: for disputes, beside the other fees. net: all, less both. `agrees`: whether that is what was
    sent; None while its lines are not known.
    """

    id: str
    status: str
    currency: str
    amount_cents: int
    arrives_on: str | None
    failure_code: str | None
    lines: int
    gross_cents: int
    refunds_cents: int
    disputes_cents: int
    other_cents: int
    fees_cents: int
    dispute_fees_cents: int
    net_cents: int
    read_at: str | None

    @property
    def agrees(self) -> bool | None:
        return self.net_cents == self.amount_cents if self.lines else None


@dataclass(frozen=True)
class PayoutLine:
    """What went into a payout, and which payment here it is of. part: charge, refund, dispute, fee or other."""

    id: str
    part: str
    source_id: str | None
    amount_cents: int
    fee_cents: int
    net_cents: int
    currency: str
    payment_id: int | None
    invoice_number: str | None
    user_id: UserId | None
    created_at: str


def list_payouts(db: Connection, *, limit: int = 20) -> list[Payout]:
    """The newest first."""
    rows = fetch_all(db, f"{_SUMMED} ORDER BY p.created_at DESC, p.id DESC LIMIT :limit", limit=limit)
    return [_payout(row) for row in rows]


def get_payout(db: Connection, payout_id: str) -> Payout:
    row = fetch_one(db, f"{_SUMMED} WHERE p.id = :id", id=payout_id)
    if row is None:
        raise NotFound("payout_not_found", id=payout_id)
    return _payout(row)


_SUMS = ("gross", "refunds", "disputes", "other", "fees", "dispute_fees", "net")
_SUMMED = f"""
    SELECT p.id, p.status, p.currency, p.amount_cents, p.arrives_on, p.failure_code, p.read_at,
           COALESCE(s.lines, 0) AS lines, {", ".join(f"COALESCE(s.{name}, 0) AS {name}_cents" for name in _SUMS)}
      FROM billing_payouts AS p
      LEFT JOIN (SELECT payout_id, COUNT(*) AS lines, SUM(amount_cents - fee_cents) AS net,
                        SUM(CASE WHEN part = 'charge' THEN amount_cents ELSE 0 END) AS gross,
                        SUM(CASE WHEN part = 'refund' THEN amount_cents ELSE 0 END) AS refunds,
                        SUM(CASE WHEN part = 'dispute' THEN amount_cents ELSE 0 END) AS disputes,
                        SUM(CASE WHEN part = 'other' THEN amount_cents ELSE 0 END) AS other,
                        SUM(CASE WHEN part = 'dispute' THEN 0 WHEN part = 'fee' THEN fee_cents - amount_cents
                                 ELSE fee_cents END) AS fees,
                        SUM(CASE WHEN part = 'dispute' THEN fee_cents ELSE 0 END) AS dispute_fees
                   FROM (SELECT b.payout_id, b.amount_cents, b.fee_cents, {_PART} AS part
                           FROM billing_balance_transactions AS b WHERE {_OWN}) AS named
                  GROUP BY payout_id) AS s ON s.payout_id = p.id"""  # noqa: S608  constants


def _payout(row: Row) -> Payout:
    """PostgreSQL sums to a Decimal."""
    values: dict[str, Any] = {name: row[name] for name in Payout.__dataclass_fields__}
    values |= {name: int(values[name]) for name in ("lines", *(f"{each}_cents" for each in _SUMS))}
    return Payout(**values)


def list_lines(db: Connection, payout_id: str) -> list[PayoutLine]:
    """Of what it is made, the oldest first, as far as it was read."""
    rows = fetch_all(
        db,
        f"""SELECT b.id, {_PART} AS part, b.source_id, b.amount_cents, b.fee_cents, b.net_cents, b.currency,
                   p.id AS payment_id, i.invoice_number, p.user_id, b.created_at
              FROM billing_balance_transactions AS b
              LEFT JOIN billing_payments AS charged ON charged.stripe_charge_id = b.source_id
              LEFT JOIN billing_refunds AS r ON r.stripe_refund_id = b.source_id
              LEFT JOIN billing_disputes AS d ON d.stripe_dispute_id = b.source_id
              LEFT JOIN billing_payments AS p ON p.id = COALESCE(charged.id, r.payment_id, d.payment_id)
              LEFT JOIN invoices AS i ON i.id = p.invoice_id
             WHERE b.payout_id = :id AND {_OWN} ORDER BY b.created_at, b.id""",  # noqa: S608  constants
        id=payout_id,
    )
    return [PayoutLine(**{name: row[name] for name in PayoutLine.__dataclass_fields__}) for row in rows]


def note(db: Connection, now: datetime, payout_id: str, given: Json, amount: int, status: str) -> None:
    """A payout as it stands now."""
    arrives, created = instant(given.get("arrival_date")), instant(given.get("created")) or now
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_payouts (id, amount_cents, currency, status, arrives_on, failure_code, created_at,
                                            updated_at)
               VALUES (:id, :amount, :currency, :status, :arrives_on, :failure_code, :created, :now)
               ON CONFLICT (id) DO UPDATE SET status = excluded.status, arrives_on = excluded.arrives_on,
                      failure_code = excluded.failure_code, updated_at = excluded.updated_at""",
            id=payout_id,
            amount=amount,
            currency=currency_of(given),
            status=status,
            arrives_on=arrives.date().isoformat() if arrives is not None else None,
            failure_code=sid(given.get("failure_code")),
            created=instant_text(created),
            now=instant_text(now),
        )


def write_lines(db: Connection, now: datetime, payout_id: str, given: Iterable[Json]) -> int:
    """Of what it is made, each line once however often it is read; how many."""
    rows = [_line(now, payout_id, one) for one in given]
    with atomic(db):
        execute_many(
            db,
            """INSERT INTO billing_balance_transactions (id, payout_id, kind, source_id, amount_cents, fee_cents,
                                                         net_cents, currency, created_at)
               VALUES (:id, :payout_id, :kind, :source_id, :amount, :fee, :net, :currency, :created)
               ON CONFLICT (id) DO UPDATE SET payout_id = excluded.payout_id""",
            rows,
        )
        execute(db, "UPDATE billing_payouts SET read_at = :now WHERE id = :id", now=instant_text(now), id=payout_id)
    return len(rows)


def _line(now: datetime, payout_id: str, given: Json) -> dict[str, Any]:
    amount, fee = cents(given.get("amount")), cents(given.get("fee"))
    if sid(given) is None or amount is None or fee is None or currency_of(given) is None:
        raise Park(f"a line of payout {payout_id} cannot be read")
    return {
        "id": sid(given),
        "payout_id": payout_id,
        "kind": str(given.get("type")),
        "source_id": sid(given.get("source")),
        "amount": amount,
        "fee": fee,
        "net": amount - fee,
        "currency": currency_of(given),
        "created": instant_text(instant(given.get("created")) or now),
    }


def read_payout(work: Work) -> None:
    """Its lines, as Stripe tells them. Of one that was asked for by hand Stripe cannot say of what it is made."""
    payout_id = str(work.payload["payout_id"])
    if fetch_one(work.db, "SELECT 1 AS one FROM billing_payouts WHERE id = :id", id=payout_id) is None:
        return
    with asking(work) as stripe:
        there = stripe.retrieve("payouts", payout_id)
        reconciled = there.get("reconciliation_status")
        if reconciled == "in_progress":
            raise NotYet(work.now + AGAIN)
        lines = stripe.list("balance_transactions", payout=payout_id, most=MOST) if _has_lines(there) else []
    write_lines(work.db, work.now, payout_id, lines)


def _has_lines(payout: Json) -> bool:
    return payout.get("automatic") is not False and payout.get("reconciliation_status") != "not_applicable"
