"""What is answered about invoices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api_v1.schemas import Input, Output, UserIdIn
from turf_saas.invoice_drafts import LineKind
from turf_saas.values import UserId


class UpcomingQuery(Input):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class InvoiceLine(Output):
    kind: LineKind
    description: str
    metric: str | None
    quantity: str = Field(description="A decimal; of overage what is above the included quantity")
    unit_amount: str | None = Field(description="Major unit; null where quantity × unit_amount is not the amount")
    net_cents: int = Field(description="Before VAT, rounded once")
    vat_rate: str = Field(description="In percent", examples=["20", "5.5"])
    period_start: str | None = Field(json_schema_extra={"format": "date-time"})
    period_end: str | None = Field(json_schema_extra={"format": "date-time"})


class InvoiceTax(Output):
    category: str = Field(description="S taxed, E exempt, AE reverse charge, O outside the tax's scope, G, K")
    vat_rate: str
    base_cents: int
    tax_cents: int


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
    usage: dict[str, int] = Field(description="What was used in the month until now, per metric")
    lines: list[InvoiceLine]
    taxes: list[InvoiceTax]
