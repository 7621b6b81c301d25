"""What is issued: lines, taxes and totals of one document, and what all of it is called in the hash and the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, NamedTuple

from turf_saas.invoice_drafts import LineKind
from turf_saas.invoice_totals import tax_of
from turf_saas.plans import TaxBehavior
from turf_saas.values import UserId, compact_json

DocumentKind = Literal["period", "stripe", "manual", "credit_note"]
LedgerType = Literal["subscription", "overage", "credit"]
NO_HASH = "0" * 64  # what stands before the first of a chain


class DocumentLine(NamedTuple):
    """A line as it is issued. `origin` is JSON."""

    kind: LineKind
    description: str
    metric: str | None
    quantity: str
    unit_amount: str | None
    amount_cents: int
    tax_behavior: TaxBehavior
    net_cents: int
    vat_category: str
    vat_rate: str
    period_start: str | None
    period_end: str | None
    origin: str


class DocumentTax(NamedTuple):
    """The VAT of a category and rate."""

    vat_category: str
    vat_rate: str
    base_cents: int
    tax_cents: int
    vatex: str | None
    mention: str | None


@dataclass(frozen=True)
class Document:
    """Everything that an invoice or a credit note says, but its number. What holds more than one thing is JSON."""

    kind: DocumentKind
    user_id: UserId
    month: str | None
    period_start: str
    period_end: str
    plan: str
    currency: str
    due_on: str
    locale: str
    seller: str
    buyer: str
    mentions: str
    lines: tuple[DocumentLine, ...]
    taxes: tuple[DocumentTax, ...]
    billed: str | None = None
    credited_invoice_id: int | None = None
    reason: str | None = None

    @cached_property
    def net_cents(self) -> int:
        return sum(line.net_cents for line in self.lines)

    @cached_property
    def tax_cents(self) -> int:
        return sum(tax.tax_cents for tax in self.taxes)

    @property
    def amount_cents(self) -> int:
        return self.net_cents + self.tax_cents


# What of an invoice's row is in its hash, in this order: all that is frozen but the row's id and the hash itself.
HASHED = (
    "tenant_id", "chain_position", "invoice_number", "series", "series_number", "kind", "user_id", "month",
    "period_start", "period_end", "plan", "currency", "net_cents", "tax_cents", "amount_cents", "issued_at", "due_on",
    "locale", "seller", "buyer", "mentions", "billed", "credited_invoice_id", "reason", "line_count", "tax_count",
    "created_at",
)  # fmt: skip


def hash_of(
    previous: str, row: Mapping[str, Any], lines: Iterable[Sequence[Any]], taxes: Iterable[Sequence[Any]]
) -> str:
    """SHA-256 over the hash before and the document: its row (by HASHED), its lines and its taxes in their order."""
    content = [[row[name] for name in HASHED], list(lines), list(taxes)]
    text = compact_json(content)
    return hashlib.sha256(f"{previous}{text}".encode()).hexdigest()


LEDGER_TYPES: dict[LineKind, LedgerType] = {
    "base": "subscription",
    "charge": "subscription",
    "item": "subscription",
    "overage": "overage",
    "late": "overage",
    "discount": "credit",
    "credit": "credit",
}


def ledger_of(lines: Sequence[DocumentLine], taxes: Sequence[DocumentTax]) -> dict[LedgerType, int]:
    """What the ledger says was sold and taken back, VAT included: its parts sum to the document's amount.

    Each type has the VAT of its own net, at every rate; the last one has what is left of it.
    """
    sums: dict[LedgerType, int] = {}
    for tax in taxes:
        nets: dict[LedgerType, int] = {}
        for line in lines:
            if (line.vat_category, line.vat_rate) == (tax.vat_category, tax.vat_rate):
                of = LEDGER_TYPES[line.kind]
                nets[of] = nets.get(of, 0) + line.net_cents
        left = tax.tax_cents
        *others, last = nets
        for of in others:
            part = tax_of(nets[of], Decimal(tax.vat_rate))
            left -= part
            sums[of] = sums.get(of, 0) + nets[of] + part
        sums[last] = sums.get(last, 0) + nets[last] + left
    return {of: cents for of, cents in sums.items() if cents}
