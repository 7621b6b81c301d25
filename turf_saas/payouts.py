"""What Stripe sends to the bank: of what each payout is made, its fees too, and whether that comes to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, Row, atomic, execute, execute_many, fetch_all, fetch_one
from turf_saas.asking_stripe import asking
from turf_saas.stripe_objects import Json, cents, currency_of, instant, sid
from turf_saas.values import instant_text
from turf_saas.working import NotYet, Park, Work

READ_JOB = "billing.read_payout"
MOST = 1_000_000  # lines of one payout
AGAIN = timedelta(hours=1)
_OWN = "kind NOT LIKE 'payout%'"  # the payout itself is a line, too


@dataclass(frozen=True)
class Payout:
    """refunds_cents and other_cents (disputes, adjustments) are negative where they went out. net: all, less the fees.

    `agrees`: whether that is what was sent; None while its lines are not known.
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
    other_cents: int
    fees_cents: int
    net_cents: int
    read_at: str | None

    @property
    def agrees(self) -> bool | None:
        return self.net_cents == self.amount_cents if self.lines else None


def list_payouts(db: Connection, *, limit: int = 20) -> list[Payout]:
    """The newest first."""
    rows = fetch_all(
        db,
        f"""SELECT p.id, p.status, p.currency, p.amount_cents, p.arrives_on, p.failure_code, p.read_at,
                   COALESCE(b.many, 0) AS lines, COALESCE(b.gross, 0) AS gross_cents,
                   COALESCE(b.refunds, 0) AS refunds_cents,
                   COALESCE(b.whole - b.gross - b.refunds, 0) AS other_cents, COALESCE(b.fees, 0) AS fees_cents,
                   COALESCE(b.whole - b.fees, 0) AS net_cents
              FROM billing_payouts AS p
              LEFT JOIN (SELECT payout_id, COUNT(*) AS many, SUM(amount_cents) AS whole, SUM(fee_cents) AS fees,
                                SUM(CASE WHEN kind IN ('charge', 'payment') THEN amount_cents ELSE 0 END) AS gross,
                                SUM(CASE WHEN kind LIKE '%refund%' THEN amount_cents ELSE 0 END) AS refunds
                           FROM billing_balance_transactions WHERE {_OWN} GROUP BY payout_id) AS b
                     ON b.payout_id = p.id
             ORDER BY p.created_at DESC, p.id DESC LIMIT :limit""",  # noqa: S608  a constant
        limit=limit,
    )
    return [_payout(row) for row in rows]


def _payout(row: Row) -> Payout:
    """PostgreSQL sums to a Decimal."""
    values: dict[str, Any] = {name: row[name] for name in Payout.__dataclass_fields__}
    values |= {name: int(values[name]) for name in _SUMS}
    return Payout(**values)


_SUMS = ("lines", "gross_cents", "refunds_cents", "other_cents", "fees_cents", "net_cents")


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
