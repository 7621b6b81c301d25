"""Which invoice of ours one of Stripe's stands for, and where that one stands there."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, atomic, execute, fetch_one
from turf_saas import gateway_invoices, invoices
from turf_saas.gateway_invoices import GatewayInvoice
from turf_saas.gateways import STRIPE
from turf_saas.invoices import Invoice
from turf_saas.stripe_applying import Event, find_customer, is_news
from turf_saas.stripe_objects import APP, Json, cents, instant, metadata_of, number_in, sid
from turf_saas.values import can_be_stored, instant_text

RANK = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 4}
MOST_TRIES = 999
MAX_URL = 2_000


def find_by_stripe_id(db: Connection, stripe_id: str | None) -> Invoice | None:
    """The invoice of ours that this one of Stripe's stands for, by our own record."""
    row = fetch_one(
        db,
        """SELECT invoice_id FROM billing_gateway_invoices WHERE provider_id = :id
           UNION ALL
           SELECT id FROM invoices WHERE stripe_invoice_id = :id LIMIT 1""",
        id=stripe_id or "",
    )
    return invoices.get_by_id(db, row["invoice_id"]) if row is not None else None


def find_by_metadata(db: Connection, given: Json) -> Invoice | None:
    """The one that it names, where its customer is that invoice's user: whoever made it died before he noted its id.

    What metadata says is a hint: number and user have to agree.
    """
    said, customer = metadata_of(given), find_customer(db, sid(given.get("customer")))
    local_id, number = number_in(given, "local_invoice_id"), said.get("number")
    if said.get("app") != APP or customer is None or local_id is None or not isinstance(number, str):
        return None
    row = fetch_one(
        db,
        """SELECT g.invoice_id FROM billing_gateway_invoices AS g JOIN invoices AS i ON i.id = g.invoice_id
            WHERE g.invoice_id = :id AND g.user_id = :user_id AND g.gateway = :gateway
              AND i.invoice_number = :number""",
        id=local_id,
        user_id=customer.user_id,
        gateway=STRIPE,
        number=number if can_be_stored(number) else "",
    )
    return invoices.get_by_id(db, row["invoice_id"]) if row is not None else None


def link(db: Connection, now: datetime, invoice: Invoice, stripe_id: str) -> bool:
    """Whether this one of Stripe's stands for the invoice: another one may already do."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_gateway_invoices SET provider_id = :stripe_id, updated_at = :now
                WHERE invoice_id = :id AND provider_id IS NULL""",
            stripe_id=stripe_id,
            now=instant_text(now),
            id=invoice.id,
        )
        execute(
            db,
            "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id AND stripe_invoice_id IS NULL",
            stripe_id=stripe_id,
            id=invoice.id,
        )
        found = gateway_invoices.find(db, invoice.id)
        return found is not None and found.provider_id == stripe_id


def reflect(db: Connection, now: datetime, event: Event, invoice: Invoice) -> GatewayInvoice:
    """Where it stands at Stripe is noted, when the event tells something newer than what is known. The row as it is.

    What somebody has to look at stays so until it is paid or void: a mismatch, and a draft that was parked.
    """
    given, stripe_id = event.object, str(event.object_id)
    status, tries = given.get("status"), cents(given.get("attempt_count")) or 0
    rank = RANK.get(str(status), 0) * (MOST_TRIES + 1) + max(0, min(tries, MOST_TRIES))
    if status in RANK and is_news(db, event, stripe_id, rank=rank, tenant_id=invoice.tenant_id):
        retried_at = instant(given.get("next_payment_attempt"))
        _write(
            db,
            now,
            invoice,
            provider_id=stripe_id,
            status=status,
            hosted_url=_url(given.get("hosted_invoice_url")),
            attempt_count=max(0, min(tries, MOST_TRIES)),
            next_attempt_at=instant_text(retried_at) if retried_at is not None else None,
        )
    found = gateway_invoices.find(db, invoice.id)
    if found is None:  # told of something that has no status: it is known all the same
        _write(db, now, invoice, provider_id=stripe_id, status="open", hosted_url=None, attempt_count=0,
               next_attempt_at=None)  # fmt: skip
        found = gateway_invoices.find(db, invoice.id)
    assert found is not None, "it has just been written"
    return found


def _write(db: Connection, now: datetime, invoice: Invoice, **told: object) -> None:
    execute(
        db,
        """INSERT INTO billing_gateway_invoices (invoice_id, tenant_id, user_id, gateway, provider_id, status,
                                                 amount_cents, hosted_url, attempt_count, next_attempt_at,
                                                 created_at, updated_at)
           VALUES (:invoice_id, :tenant_id, :user_id, :gateway, :provider_id, :status, :amount, :hosted_url,
                   :attempt_count, :next_attempt_at, :now, :now)
           ON CONFLICT (invoice_id) DO UPDATE
              SET status = CASE WHEN billing_gateway_invoices.status = 'mismatch' AND excluded.status <> 'void'
                                  OR billing_gateway_invoices.status = 'parked' AND excluded.status = 'draft'
                                  OR billing_gateway_invoices.status = 'carried' AND excluded.status = 'paid'
                                THEN billing_gateway_invoices.status ELSE excluded.status END,
                  provider_id = COALESCE(billing_gateway_invoices.provider_id, excluded.provider_id),
                  hosted_url = COALESCE(excluded.hosted_url, billing_gateway_invoices.hosted_url),
                  attempt_count = excluded.attempt_count, next_attempt_at = excluded.next_attempt_at,
                  updated_at = excluded.updated_at""",
        invoice_id=invoice.id,
        tenant_id=invoice.tenant_id,
        user_id=invoice.user_id,
        gateway=STRIPE,
        amount=asked_when_issued(db, invoice),
        now=instant_text(now),
        **told,
    )


def asked_when_issued(db: Connection, invoice: Invoice) -> int:
    """What was left to pay when it was issued: account credit had paid its part. Stripe's own are asked as they are."""
    if invoice.kind == "stripe":
        return max(0, invoice.amount_cents)
    row = fetch_one(
        db,
        """SELECT COALESCE(SUM(amount_cents), 0) AS applied FROM billing_account_credit_entries
            WHERE invoice_id = :id AND kind = 'applied'""",
        id=invoice.id,
    )
    return max(0, invoice.amount_cents + (int(row["applied"]) if row is not None else 0))


def _url(given: object) -> str | None:
    is_one = isinstance(given, str) and given.startswith(("https://", "http://")) and len(given) <= MAX_URL
    return str(given) if is_one and can_be_stored(str(given)) else None
