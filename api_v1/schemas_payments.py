"""What is sent and answered about money: credit notes, payments, refunds, one-off items, the ledger."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from api_v1.lists import Page
from api_v1.schemas import Input, MonthText, Output, Text, UserIdIn
from api_v1.schemas_invoices import Cents, Day, InvoiceStatus, Shown
from api_v1.schemas_plans import CurrencyIn
from api_v1.schemas_pricing import DECIMAL_PATTERN
from api_v1.schemas_usage import Day as DayIn
from turf_saas import gateway_invoices, invoice_items, payment_attempts
from turf_saas.account_credit import EntryKind
from turf_saas.buyer import is_control
from turf_saas.checks import Check, decimal, read_decimal
from turf_saas.credit_notes import LineWish
from turf_saas.money import MAX_CENTS, is_currency
from turf_saas.payments import Method
from turf_saas.prices import MAX_UNIT_AMOUNT
from turf_saas.refund_rows import Status as RefundStatus
from turf_saas.values import UserId

MAX_TEXT = 500
MAX_LINES = 1000
Paid = Annotated[int, Field(ge=1, le=MAX_CENTS, json_schema_extra={"format": "int64"})]
NetCents = Annotated[int, Field(ge=-MAX_CENTS, le=MAX_CENTS, json_schema_extra={"format": "int64"})]


def _one_line(text: str) -> str:
    if any(map(is_control, text)):
        raise PydanticCustomError("field_control", "field_control", {"fault": True})
    if text.isspace():
        raise PydanticCustomError("field_format", "field_format", {"fault": True})
    return text


Line = Annotated[Text, AfterValidator(_one_line), Field(min_length=1, max_length=MAX_TEXT)]


def _reads(check: Check) -> PlainValidator:
    """A number in digits, as turf_saas/checks.py reads it."""

    def read(given: Any) -> Decimal:
        for fault in check((), given):
            raise PydanticCustomError(fault.code, fault.code, {"fault": True, **fault.params})
        number = read_decimal(given)
        assert number is not None, "what cannot be read is a fault"
        return number

    return PlainValidator(read)


_NUMBER = WithJsonSchema(
    {"anyOf": [{"type": "string", "pattern": DECIMAL_PATTERN}, {"type": "integer", "minimum": 0}], "examples": ["1.5"]}
)
Quantity = Annotated[
    Decimal,
    _reads(decimal(above=0, most=invoice_items.MAX_QUANTITY, places=invoice_items.MAX_QUANTITY_PLACES)),
    _NUMBER,
]
UnitAmount = Annotated[Decimal, _reads(decimal(above=None, most=MAX_UNIT_AMOUNT)), _NUMBER]


def _known(currency: str) -> str:
    if not is_currency(currency):
        raise PydanticCustomError("currency_unknown", "currency_unknown", {"fault": True})
    return currency


class CreditedLine(Input):
    position: Annotated[int, Field(ge=1, le=MAX_CENTS)] = Field(description="Of the invoice's line, from 1")
    net_cents: NetCents | None = Field(
        default=None, description="Without it all that is left of the line; of a discount negative"
    )


class CreditIn(Input):
    """`amount_cents`, `lines`, or neither: all that is left."""

    amount_cents: Paid | None = Field(default=None, description="VAT included; spread over the rates in proportion")
    lines: Annotated[list[CreditedLine], Field(min_length=1, max_length=MAX_LINES)] | None = None
    reason: Line | None = None

    @property
    def wishes(self) -> list[LineWish] | None:
        return None if self.lines is None else [LineWish(line.position, line.net_cents) for line in self.lines]


class PaymentIn(Input):
    amount_cents: Paid = Field(description="In the invoice's currency")
    method: Method = "transfer"
    reference: Line | None = Field(default=None, description="As the bank's statement says it")
    received_on: DayIn | None = Field(
        default=None, description="Today when not given; no day to come, none before 1970"
    )

    @property
    def received(self) -> date | None:
        return None if self.received_on is None else date.fromisoformat(self.received_on)


class RefundIn(Input):
    amount_cents: Paid | None = Field(default=None, description="Without it all that has not gone out yet")


class ItemTerms(Input):
    """What is paid once, whoever it is."""

    description: Line
    quantity: Quantity = Field(description="Above 0, 4 decimals at most")
    unit_amount: UnitAmount = Field(description="Net, in the currency's major unit, 12 decimals at most")
    currency: Annotated[CurrencyIn, AfterValidator(_known)] | None = Field(
        default=None, description="The user's, which is taken when not given"
    )


class ItemIn(ItemTerms):
    user_id: UserIdIn


class PaymentOut(Output):
    id: int = Field(json_schema_extra={"format": "int64"})
    user_id: UserId
    invoice_number: str | None
    amount_cents: Cents
    currency: str
    method: str
    reference: str | None
    received_on: Day
    refunded_cents: Cents = Field(description="How much of it has gone out again")
    gateway: str | None = Field(description="Who has taken it, `stripe` say; null: it was noted by hand")
    created_at: Shown


class AttemptOut(Output):
    """A try to collect an invoice."""

    status: payment_attempts.Status = Field(
        description="action_required: the payer has to confirm it at his bank; mismatch: the money was not what was "
        "asked for, and nothing was booked"
    )
    amount_cents: Cents
    currency: str
    code: str | None = Field(description="Why it failed, in the bank's word", examples=["insufficient_funds"])
    hard: bool = Field(description="No further try with the same card makes sense")
    next_attempt_at: Shown | None = Field(description="When the gateway tries again by itself, as it was then")
    happened_at: Shown


class Attempts(Output):
    """How an invoice is collected."""

    gateway: str | None = Field(description="Who collects it; null: nobody, its payments are noted by hand")
    status: gateway_invoices.Status | None = Field(description="Where it stands there")
    items: list[AttemptOut]


class PaidInvoice(Output):
    """How far the invoice is settled now."""

    number: str
    status: InvoiceStatus
    amount_cents: Cents
    paid_cents: Cents
    credited_cents: Cents
    due_cents: Cents


class PaymentReceived(PaymentOut):
    excess_cents: Cents = Field(description="More than was due: it is account credit and pays what is issued next")
    invoice: PaidInvoice


class RefundOut(Output):
    """Money that a gateway sends back."""

    id: int = Field(json_schema_extra={"format": "int64"})
    status: RefundStatus
    amount_cents: Cents


class PaymentRefunded(PaymentOut):
    credit_note: str | None = Field(description="The number of the one that the refund needed")
    invoice: PaidInvoice | None
    refund: RefundOut | None = Field(description="Of what a gateway has taken; null where it is noted by hand")


class ListedRefund(RefundOut):
    reason: str | None = Field(description="Why, in Stripe's word; `refund` of what was asked for here, `dispute`")
    failure: str | None = Field(description="Why it was not sent, or came back", examples=["expired_or_canceled_card"])
    created_at: Shown


class DisputeOut(Output):
    """The payer's bank calls the payment into question."""

    id: int = Field(json_schema_extra={"format": "int64"})
    status: str = Field(description="As Stripe calls it", examples=["needs_response", "under_review", "won", "lost"])
    amount_cents: Cents
    reason: str | None = Field(examples=["fraudulent"])
    evidence_due_at: Shown | None = Field(description="Until when it has to be answered in Stripe")


class ListedPayment(PaymentOut):
    refunds: list[ListedRefund] = Field(description="Of what a gateway has taken")
    disputes: list[DisputeOut]


class Payments(Output):
    items: list[ListedPayment]
    next_cursor: str | None


class ItemOut(Output):
    id: int = Field(json_schema_extra={"format": "int64"})
    user_id: UserId
    month: MonthText = Field(description="On whose invoice it will be")
    description: str
    quantity: str
    unit_amount: str
    amount_cents: Cents = Field(description="Net, rounded once")
    currency: str
    created_at: Shown


class Items(Output):
    items: list[ItemOut]
    next_cursor: str | None


class CreditEntryOut(Output):
    id: int = Field(json_schema_extra={"format": "int64"})
    kind: EntryKind = Field(
        description="excess: paid and not due; credit_note: given back of what was paid; applied: it has paid an "
        "invoice; refund: it has gone out, or has come back"
    )
    amount_cents: Cents = Field(description="Negative where it went")
    currency: str
    invoice_number: str | None = Field(description="The invoice whose money it was, or that it has paid")
    payment_id: int | None = Field(json_schema_extra={"format": "int64"})
    created_at: Shown


class CreditBalanceOut(Output):
    currency: str
    balance_cents: Cents


class AccountCredit(Output):
    items: list[CreditEntryOut]
    balances: list[CreditBalanceOut] = Field(description="What is there now, per currency; the whole, on every page")
    next_cursor: str | None


class MoneyQuery(Page):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class TransactionsQuery(MoneyQuery):
    month: MonthText | None = Field(default=None, description="Of BILLING_TIMEZONE; without it all of them")


class TransactionOut(Output):
    id: int = Field(json_schema_extra={"format": "int64"})
    user_id: UserId
    invoice_number: str | None
    type: Literal["subscription", "overage", "credit", "refund"]
    amount_cents: Cents = Field(description="VAT included; what is taken back is negative, money going out positive")
    currency: str
    description: str | None
    created_at: Shown


class Transactions(Output):
    items: list[TransactionOut]
    next_cursor: str | None
