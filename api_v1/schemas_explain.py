"""How an invoice is explained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api_v1.schemas import Input, Output
from api_v1.schemas_invoices import Cents, Day, InvoiceKind
from turf_saas.invoice_drafts import LineKind
from turf_saas.invoice_explaining import Explanation


class ExplainQuery(Input):
    locale: Literal["fr", "en"] | None = Field(default=None, description="The language; the invoice's own without it")


class IncludedOut(Output):
    first_day: Day
    last_day: Day = Field(description="Included itself")
    included: int | None = Field(description="What the plan of these days includes of the whole month; null: all")


class StepOut(Output):
    """A part of what the billed quantity costs."""

    above: int | str
    up_to: int | str | None = Field(description="The bound of its tier, included; null: none")
    quantity: int | str
    unit_amount: str
    flat_cents: Cents
    size: int = Field(description="How many units one of the quantity covers: more than one in packages")
    amount: str = Field(description="Major unit, not rounded")


class LastEventOut(Output):
    """What was recorded last. API calls are counted by day, and archived events are not there: then the day alone."""

    day: Day
    quantity: int
    id: str | None
    at: str | None = Field(json_schema_extra={"format": "date-time"})
    recorded_at: str | None = Field(json_schema_extra={"format": "date-time"})


class ExplainedLine(Output):
    position: int
    kind: LineKind
    description: str
    metric: str | None
    quantity: str
    unit_amount: str | None
    amount_cents: Cents = Field(description="With its VAT where the price includes it")
    net_cents: Cents
    recomputed_cents: Cents = Field(description="What it comes to when it is worked out again: amount_cents")
    plan: str | None
    price: dict[str, Any] | None = Field(description="The price as it was")
    included: list[IncludedOut]
    steps: list[StepOut]
    days: dict[str, int] = Field(description="What was used, by day; of late usage the days that it changed")
    last_event: LastEventOut | None
    told: list[str] = Field(description="The sentences of the text about this line")


class ExplanationOut(Output):
    number: str | None = Field(description="null of a draft")
    kind: InvoiceKind
    month: str | None
    locale: str
    currency: str
    net_cents: Cents | None
    tax_cents: Cents | None
    amount_cents: Cents
    recomputed_cents: Cents = Field(description="From its lines, worked out again: amount_cents")
    lines: list[ExplainedLine]
    text: str = Field(description="All of it as sentences, to be pasted into a mail")


def shown(found: Explanation) -> dict[str, Any]:
    """As it is answered, over HTTP and at the prompt."""
    return {
        "number": found.number,
        "kind": found.kind,
        "month": found.month,
        "locale": found.locale,
        "currency": found.currency,
        "net_cents": found.net_cents,
        "tax_cents": found.tax_cents,
        "amount_cents": found.amount_cents,
        "recomputed_cents": found.recomputed_cents,
        "lines": [
            {**vars(line), "last_event": line.last_event._asdict() if line.last_event else None} for line in found.lines
        ],
        "text": found.text,
    }
