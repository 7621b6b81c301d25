"""Invoices issued by the register alone, with lines made by hand: for tests of what happens to them afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing_db import Connection, atomic, fetch_all
from tests.cast import Person
from turf_saas import account_credit, invoice_register, invoices
from turf_saas.invoice_documents import Document, DocumentLine, DocumentTax
from turf_saas.invoice_totals import TaxedLine, total
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings, read_settings

ISSUED_AT = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
SELLER = {"name": "Vendeur SAS", "country": "FR"}
BUYER = {"kind": "consumer", "name": "Alice"}


def line(cents: int, rate: str = "20", *, inclusive: bool = False, **given: Any) -> dict[str, Any]:
    """What issue_one takes: a line of so many cents, with what else it should say (kind, description, origin …)."""
    return {"amount_cents": cents, "vat_rate": rate, "tax_behavior": "inclusive" if inclusive else "exclusive", **given}


def document(user: Person, *lines: int | dict[str, Any], **given: Any) -> Document:
    """A period invoice of April 2026 unless said otherwise. An int is a base fee with 20 % VAT to come."""
    wishes = [line(one) if isinstance(one, int) else one for one in lines]
    totals = total(
        [TaxedLine(one["amount_cents"], "S", Decimal(one["vat_rate"]), one["tax_behavior"]) for one in wishes]
    )
    return Document(
        **{
            "kind": "period",
            "user_id": user.id,
            "month": "2026-04",
            "period_start": "2026-04-01T00:00:00Z",
            "period_end": "2026-05-01T00:00:00Z",
            "plan": "pro",
            "currency": "EUR",
            "due_on": "2026-05-31",
            "locale": "en",
            "seller": json.dumps(SELLER),
            "buyer": json.dumps(BUYER),
            "mentions": json.dumps({"en": {"payment": "Within 30 days."}}),
            "lines": tuple(_line(one, net) for one, net in zip(wishes, totals.lines_net_cents, strict=True)),
            "taxes": tuple(
                DocumentTax(tax.category, f"{tax.rate:f}", tax.base_cents, tax.tax_cents, None, None)
                for tax in totals.taxes
            ),
            **given,
        }
    )


def _line(given: dict[str, Any], net: int) -> DocumentLine:
    return DocumentLine(
        **{
            "kind": "base" if net >= 0 else "discount",
            "description": "Pro subscription",
            "metric": None,
            "quantity": "1",
            "unit_amount": None,
            "vat_category": "S",
            "period_start": "2026-04-01T00:00:00Z",
            "period_end": "2026-05-01T00:00:00Z",
            "origin": "{}",
            **given,
            "net_cents": net,
        }
    )


def issue_one(
    db: Connection,
    user: Person,
    *lines: int | dict[str, Any],
    now: datetime = ISSUED_AT,
    settings: Settings = SETTINGS,
    **given: Any,
) -> Invoice:
    """The invoice, issued as the run does it: the user's account credit has paid its part."""
    with atomic(db):
        invoice_register.hold_register(db, user.tenant_id)
        issued = invoice_register.issue(db, now, settings, user.tenant_id, [document(user, *lines, **given)])
        account_credit.apply(db, now, user.tenant_id, issued)
    return invoices.get_by_id(db, issued[0].id)


def owed(db: Connection, user: Person) -> int:
    """What the user owes, less what he has: by the ledger and the payments, and the same by invoices and balance."""
    ledger = fetch_all(db, "SELECT type, amount_cents FROM transactions WHERE user_id = :id", id=user.id)
    paid = fetch_all(db, "SELECT amount_cents, refunded_cents FROM billing_payments WHERE user_id = :id", id=user.id)
    by_ledger = sum(row["amount_cents"] for row in ledger) - sum(row["amount_cents"] for row in paid)
    refunds = [row["amount_cents"] for row in ledger if row["type"] == "refund"]
    assert sum(refunds) == sum(row["refunded_cents"] for row in paid)
    entries = fetch_all(
        db, "SELECT invoice_id, amount_cents FROM billing_account_credit_entries WHERE user_id = :id", id=user.id
    )
    balance = account_credit.balance_of(db, user.id, "EUR")
    assert balance == sum(row["amount_cents"] for row in entries)
    mine = invoices.list_invoices(db, user.tenant_id, user_id=user.id, limit=1_000)
    assert by_ledger == sum(invoice.due_cents for invoice in mine) - balance
    return by_ledger
