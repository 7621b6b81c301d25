"""What was paid at Stripe for a time that a subscription does not last: given back by credit notes on our invoices."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from billing_db import Connection, fetch_all
from turf_saas import credit_notes, invoice_register, invoices
from turf_saas.invoice_documents import DocumentLine
from turf_saas.invoice_totals import tax_of
from turf_saas.invoices import Invoice
from turf_saas.money import share
from turf_saas.periods import seconds_between
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription
from turf_saas.values import instant_text, read_instant

REASON = "canceled"


def credit_unused(
    db: Connection,
    now: datetime,
    settings: Settings,
    subscription: Subscription,
    since: datetime,
    *,
    by: str | None,
) -> tuple[Invoice, ...]:
    """One credit note for each invoice of Stripe's that reaches beyond the instant, of that part of its lines.

    In the caller's transaction. What was paid of it is the user's account credit.
    """
    invoice_register.hold_register(db, subscription.tenant_id)
    rows = fetch_all(
        db,
        """SELECT id FROM invoices
            WHERE user_id = :user_id AND kind = 'stripe' AND hash IS NOT NULL AND period_end > :since
              AND period_start >= :begun AND status NOT IN ('cancelled', 'refunded') ORDER BY id""",
        user_id=subscription.user_id,
        since=instant_text(since),
        begun=subscription.effective_at or "",
    )
    notes = []
    for row in rows:
        invoice = invoices.hold(db, row["id"])
        unused = min(unused_cents(invoice, since), invoice.amount_cents - invoice.credited_cents)
        if unused > 0:
            notes.append(
                credit_notes.credit_invoice(
                    db,
                    now,
                    settings,
                    invoice.tenant_id,
                    invoice.number,
                    amount_cents=unused,
                    reason=REASON,
                    by=by,
                )
            )
    return tuple(notes)


def unused_cents(invoice: Invoice, since: datetime) -> int:
    """Of each line with its VAT the part, by second, that lies after the instant; each rounded once."""
    return sum(_unused(line, since) for line in invoice.lines)


def _unused(line: DocumentLine, since: datetime) -> int:
    start, end = read_instant(line.period_start), read_instant(line.period_end)
    if start is None or end is None or end <= since or end <= start:
        return 0
    gross = line.amount_cents
    if line.tax_behavior == "exclusive":
        gross = line.net_cents + tax_of(line.net_cents, Decimal(line.vat_rate))
    return share(gross, seconds_between(max(since, start), end), seconds_between(start, end))
