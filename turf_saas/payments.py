"""Payments: money that came in for an invoice. What it exceeds the invoice by is account credit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from billing_db import Connection, Row, atomic, fetch_all, fetch_one
from turf_saas import account_credit, dunning, gateway_invoices, invoice_balances, invoice_register, invoices
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.ids import insert_row
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription, find_live, hold
from turf_saas.values import OLDEST, UserId, instant_text, local_day

Method = Literal["transfer", "card", "direct_debit", "check", "cash", "other"]
PAID = "payment"  # why an invoice changed its status


@dataclass(frozen=True)
class Payment:
    """Money that came in. `refunded_cents` of it have gone out again. gateway: who has taken it; None: by hand."""

    id: int
    tenant_id: int
    user_id: UserId
    invoice_id: int | None
    invoice_number: str | None
    amount_cents: int
    currency: str
    method: str
    reference: str | None
    received_on: str
    refunded_cents: int
    gateway: str | None
    gateway_key: str | None
    stripe_payment_intent_id: str | None
    stripe_charge_id: str | None
    created_at: str

    @property
    def left_cents(self) -> int:
        return self.amount_cents - self.refunded_cents


class Source(NamedTuple):
    """A gateway's payment: for what it is noted once, and what the gateway calls it."""

    gateway: str
    key: str
    intent_id: str | None = None
    charge_id: str | None = None


class Received(NamedTuple):
    """A payment, the invoice as it is after it, what was more than due, and the subscription that goes on by it."""

    payment: Payment
    invoice: Invoice
    excess_cents: int
    recovered: Subscription | None = None

    @property
    def has_paid_it(self) -> bool:
        """Whether this payment was the last of what the invoice needed."""
        return self.invoice.status == "paid" and self.excess_cents < self.payment.amount_cents


def record_payment(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    number: str,
    *,
    amount_cents: int,
    method: Method = "transfer",
    reference: str | None = None,
    received_on: date | None = None,
    by: str | None = None,
) -> Received:
    """It pays what is due; the rest is account credit. Conflict where nothing can be paid: a credit note, say.

    Who owes nothing too long any more is served again.
    """
    today = local_day(now, settings.timezone)
    if received_on is not None and received_on > today:
        raise InvalidInput("received_in_future", field="received_on", today=today.isoformat())
    if received_on is not None and received_on < OLDEST.date():
        raise InvalidInput("received_too_early", field="received_on", first=OLDEST.date().isoformat())
    with atomic(db):
        wanted = invoices.get_invoice(db, tenant_id, number)
        held, invoice = hold_payer(db, wanted)
        if invoice.kind == "credit_note" or invoice.status in ("cancelled", "refunded") or invoice.amount_cents < 0:
            raise Conflict("invoice_takes_no_payment", number=number, status=invoice.status)
        payment_id = insert_row(
            db,
            "billing_payments",
            "id",
            **_row(now, invoice, amount_cents, method, reference, received_on or today, by),
        )
        gateway_invoices.note_change(db, now, tenant_id, invoice.id)
        return _settle(db, now, settings, held, invoice, payment_id, amount_cents, by)


def receive(
    db: Connection,
    now: datetime,
    settings: Settings,
    wanted: Invoice,
    source: Source,
    *,
    amount_cents: int,
    method: Method,
    by: str | None = None,
) -> Received | None:
    """The same of money that a gateway has taken; None where it was noted before.

    It is here, whatever has become of the invoice: what that takes no more is account credit.
    """
    with atomic(db):
        held, invoice = hold_payer(db, wanted)
        values = {
            **_row(now, invoice, amount_cents, method, source.intent_id, local_day(now, settings.timezone), by),
            "gateway": source.gateway,
            "gateway_key": source.key,
            "stripe_payment_intent_id": source.intent_id,
            "stripe_charge_id": source.charge_id,
        }
        names, params = ", ".join(values), ", ".join(f":{name}" for name in values)
        row = fetch_one(
            db,
            f"INSERT INTO billing_payments ({names}) VALUES ({params}) ON CONFLICT DO NOTHING RETURNING id",  # noqa: S608
            **values,
        )
        if row is None:
            return None
        return _settle(db, now, settings, held, invoice, int(row["id"]), amount_cents, by)


def hold_payer(db: Connection, wanted: Invoice) -> tuple[Subscription | None, Invoice]:
    """The user's subscription and the invoice, and nobody else changes either meanwhile."""
    live = find_live(db, wanted.user_id)
    held = hold(db, live.id) if live is not None else None  # first, as whoever changes it
    invoice_register.hold_register(db, wanted.tenant_id)  # as whoever issues: then invoices, then account credit
    return held, invoices.hold(db, wanted.id)


def _row(
    now: datetime,
    invoice: Invoice,
    amount_cents: int,
    method: Method,
    reference: str | None,
    received_on: date,
    by: str | None,
) -> dict[str, Any]:
    return {
        "tenant_id": invoice.tenant_id,
        "user_id": invoice.user_id,
        "invoice_id": invoice.id,
        "amount_cents": amount_cents,
        "currency": invoice.currency,
        "method": method,
        "reference": reference,
        "received_on": received_on.isoformat(),
        "created_at": instant_text(now),
        "created_by": by,
    }


def _settle(
    db: Connection,
    now: datetime,
    settings: Settings,
    held: Subscription | None,
    invoice: Invoice,
    payment_id: int,
    amount_cents: int,
    by: str | None,
) -> Received:
    """It pays what is due, the rest is account credit, and whoever owes nothing too long any more is served again."""
    excess = amount_cents - invoice_balances.pay(db, now, invoice, amount_cents, by=by, reason=PAID)
    if excess:
        to_account(db, now, invoice, payment_id, excess)
    recovered = dunning.recover_payer(db, now, settings, held)
    return Received(
        get_payment(db, invoice.tenant_id, payment_id), invoices.get_by_id(db, invoice.id), excess, recovered
    )


def list_payments(
    db: Connection,
    tenant_id: int,
    *,
    user_id: UserId | None = None,
    before: int | None = None,
    limit: int = 51,
) -> list[Payment]:
    """A page of a tenant's, or of a user's, the newest first. before: below this id."""
    wanted = {"user_id": user_id, "before": before}
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = {"user_id": " AND p.user_id = :user_id", "before": " AND p.id < :before"}
    rows = fetch_all(
        db,
        f"""{_FROM} WHERE p.tenant_id = :tenant_id{"".join(conditions[name] for name in given)}
             ORDER BY p.id DESC LIMIT :limit""",
        tenant_id=tenant_id,
        limit=limit,
        **given,
    )
    return [_payment(row) for row in rows]


_FROM = """SELECT p.*, i.invoice_number FROM billing_payments AS p LEFT JOIN invoices AS i ON i.id = p.invoice_id"""


def get_payment(db: Connection, tenant_id: int, payment_id: int) -> Payment:
    row = fetch_one(db, f"{_FROM} WHERE p.tenant_id = :tenant_id AND p.id = :id", tenant_id=tenant_id, id=payment_id)
    if row is None:
        raise NotFound("payment_not_found")
    return _payment(row)


def _payment(row: Row) -> Payment:
    return Payment(**{name: row[name] for name in Payment.__dataclass_fields__})


def to_account(db: Connection, now: datetime, invoice: Invoice, payment_id: int, cents: int) -> None:
    account_credit.add(
        db,
        now,
        invoice.tenant_id,
        invoice.user_id,
        invoice.currency,
        cents,
        "excess",
        invoice_id=invoice.id,
        payment_id=payment_id,
    )
