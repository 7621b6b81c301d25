"""What is answered about invoices and credit notes, which have one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from api_v1.lists import Page
from api_v1.schemas import Input, MonthText, Output, UserIdIn
from turf_saas.invoice_documents import DocumentLine, DocumentTax
from turf_saas.invoice_drafts import LineKind
from turf_saas.invoices import Invoice
from turf_saas.plans import TaxBehavior
from turf_saas.values import UserId

Cents = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Shown = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Day = Annotated[str, Field(json_schema_extra={"format": "date"})]
InvoiceKind = Literal["period", "stripe", "manual", "credit_note", "adopted"]
InvoiceStatus = Literal["pending", "paid", "overdue", "cancelled", "refunded"]


class UpcomingQuery(Input):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class InvoicesOfUserQuery(Page):
    status: InvoiceStatus | None = None


class InvoicesQuery(InvoicesOfUserQuery):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class GenerateIn(Input):
    period: MonthText | None = Field(default=None, description="The month; without it the last one that has closed")


class RunIn(Input):
    period: MonthText | None = Field(default=None, description="One month; without it every closed one")


class InvoiceLine(Output):
    position: int = Field(description="1 is the first; a credit note names lines by it")
    kind: LineKind
    description: str
    metric: str | None
    quantity: str = Field(description="A decimal; of overage what is above the included quantity")
    unit_amount: str | None = Field(description="Major unit; null where quantity × unit_amount is not the amount")
    net_cents: int = Field(description="Before VAT, rounded once")
    tax_behavior: TaxBehavior = Field(description="inclusive: unit_amount has the VAT in it, which net_cents has not")
    vat_rate: str = Field(description="In percent", examples=["20", "5.5"])
    period_start: str | None = Field(json_schema_extra={"format": "date-time"})
    period_end: str | None = Field(json_schema_extra={"format": "date-time"})


class InvoiceTax(Output):
    category: str = Field(description="S taxed, E exempt, AE reverse charge, O outside the tax's scope, G, K")
    vat_rate: str
    base_cents: int
    tax_cents: int
    vatex: str | None = Field(
        description="Why there is no VAT, as an electronic invoice says it", examples=["VATEX-EU-AE"]
    )


class Upcoming(Output):
    """What the month's invoice would say if the month ended now."""

    kind: Literal["period"] = "period"
    status: Literal["draft"] = "draft"
    user_id: UserId
    period_start: str = Field(json_schema_extra={"format": "date-time"})
    period_end: str = Field(json_schema_extra={"format": "date-time"})
    plan: str
    currency: str
    net_cents: int
    tax_cents: int
    amount_cents: int = Field(description="net_cents + tax_cents")
    account_credit_cents: Cents = Field(description="What the account credit there is now would pay of it")
    due_cents: Cents = Field(description="What would be left to pay")
    usage: dict[str, int] = Field(description="What was used in the month until now, per metric")
    lines: list[InvoiceLine]
    taxes: list[InvoiceTax]


class InvoiceOut(Output):
    """An invoice or a credit note, as it was issued; `status`, what was paid and what is due are as they are now."""

    id: int = Field(json_schema_extra={"format": "int64"})
    number: str = Field(examples=["FACT-202606-0001"])
    kind: InvoiceKind = Field(description="adopted: another program's, of which only the sum is known")
    user_id: UserId
    month: MonthText | None = Field(description="Whose fees and use it has; null where it is of no month")
    period_start: Shown
    period_end: Shown = Field(description="The first instant after it")
    plan: str = Field(description="The one in force at the month's end")
    status: InvoiceStatus
    currency: str
    net_cents: Cents | None = Field(description="null: adopted")
    tax_cents: Cents | None = Field(description="null: adopted")
    amount_cents: Cents = Field(description="net_cents + tax_cents; of a credit note negative")
    paid_cents: Cents
    credited_cents: Cents = Field(description="How much of what was owed credit notes have taken back")
    due_cents: Cents = Field(description="What is still to be paid")
    usage: dict[str, int] = Field(description="What was used in the month when it was issued, per metric")
    lines: list[InvoiceLine]
    taxes: list[InvoiceTax]
    seller: dict[str, str | bool] = Field(description="As it was when it was issued; so are buyer and mentions")
    buyer: dict[str, str]
    mentions: dict[str, str] = Field(description="The sentences that it carries, by name, in its language")
    credited_number: str | None = Field(description="Of a credit note: the invoice that it takes back from")
    reason: str | None = Field(description="Of a credit note")
    issued_at: Shown
    due_on: Day | None
    paid_at: Shown | None
    payment_url: str | None = Field(
        description="Where it can be paid online, while it is open and a gateway waits for it"
    )


class Invoices(Output):
    items: list[InvoiceOut]
    next_cursor: str | None


class NothingToBill(Output):
    invoice: InvoiceOut | None = Field(description="null: there was nothing to bill in the month")


class NotIssued(Output):
    user_id: UserId
    month: MonthText
    code: str
    error: str


class InvoiceRun(Output):
    issued: int
    existing: int = Field(description="Invoices of the months looked at that were there; the last closed month is one")
    skipped: int = Field(description="Whose month had nothing to bill")
    failed: list[NotIssued] = Field(description="Whose invoices wait for the next run, and why")


def shown(invoice: Invoice) -> InvoiceOut:
    """An invoice or a credit note as every route answers it."""
    return InvoiceOut(
        **{name: getattr(invoice, name) for name in _SAME},
        lines=shown_lines(invoice.lines),
        taxes=shown_taxes(invoice.taxes),
        mentions=dict(invoice.mentions.get(invoice.locale or "", {})),
    )


_SAME = InvoiceOut.model_fields.keys() - {"lines", "taxes", "mentions"}


def shown_lines(lines: Sequence[DocumentLine]) -> list[InvoiceLine]:
    names = InvoiceLine.model_fields.keys() - {"position"}
    return [
        InvoiceLine(position=position, **{name: getattr(line, name) for name in names})
        for position, line in enumerate(lines, start=1)
    ]


def shown_taxes(taxes: Sequence[DocumentTax]) -> list[InvoiceTax]:
    names = InvoiceTax.model_fields.keys() - {"category"}
    return [InvoiceTax(category=tax.vat_category, **{name: getattr(tax, name) for name in names}) for tax in taxes]
