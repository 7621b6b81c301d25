"""Rows of the reference's tables as dataclasses, for code that was written against them. One field a column."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Invoice:
    id: int | None = None
    invoice_number: str = ""
    user_id: int | str = 0
    period_start: str = ""
    period_end: str = ""
    plan: str = ""
    amount_cents: int = 0
    currency: str = "EUR"
    status: str = "pending"
    pdf_path: str | None = None
    stripe_invoice_id: str | None = None
    created_at: str = ""
    paid_at: str | None = None
    tenant_id: int = 1
    kind: str = "adopted"
    changed_at: str | None = None
    changed_by: str | None = None
    change_reason: str | None = None
    updated_at: str = ""
    month: str | None = None
    series: str | None = None
    series_number: int | None = None
    net_cents: int | None = None
    tax_cents: int | None = None
    issued_at: str | None = None
    due_on: str | None = None
    locale: str | None = None
    seller: str | None = None
    buyer: str | None = None
    mentions: str | None = None
    billed: str | None = None
    credited_invoice_id: int | None = None
    reason: str | None = None
    line_count: int | None = None
    tax_count: int | None = None
    chain_position: int | None = None
    previous_hash: str | None = None
    hash: str | None = None


@dataclass
class Transaction:
    id: int | None = None
    user_id: int | str = 0
    invoice_id: int | None = None
    type: str = "subscription"
    amount_cents: int = 0
    currency: str = "EUR"
    stripe_payment_intent_id: str | None = None
    description: str | None = None
    created_at: str = ""
    tenant_id: int = 1


@dataclass
class ConsumptionLog:
    id: int | None = None
    user_id: int | str = 0
    date: str = ""
    api_calls: int = 0
    endpoint: str = ""
    created_at: str = ""
    tenant_id: int = 1
