"""What is sent and answered about what is sold: plans, and discounts on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainValidator, model_validator

from api_v1.schemas import Input, Output
from api_v1.schemas_pricing import CentsIn, PriceIn
from api_v1.schemas_usage import Metric
from turf_saas import discount_drafts, plan_faults
from turf_saas.checks import choice, invalid
from turf_saas.discounts import Duration
from turf_saas.plan_faults import CODE, MAX_DESCRIPTION, MAX_INCLUDED, MAX_METRICS, MAX_NAME, MAX_TRIAL_DAYS
from turf_saas.plans import Cycle, Interval, Policy, TaxBehavior, Window

EXISTING = ("keep", "next_period")

# -- a plan as it is sent: these say what it looks like, and turf_saas/plan_faults.py finds all that is wrong with it --

PlanCode = Annotated[str, Field(pattern=f"^{CODE}$", json_schema_extra={"examples": ["pro"]})]
CurrencyIn = Annotated[str, Field(pattern="^[A-Z]{3}$", json_schema_extra={"examples": ["EUR"]})]
Included = Annotated[int, Field(ge=0, le=MAX_INCLUDED, json_schema_extra={"format": "int64"})]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION)]
TrialDays = Annotated[int, Field(ge=0, le=MAX_TRIAL_DAYS)]
StripeId = Annotated[str, Field(min_length=1, max_length=plan_faults.MAX_STRIPE_ID, pattern="^[!-~]+$")]


class LimitIn(Input):
    included: Included | Literal["unlimited"] | None = Field(description="In a window; null or `unlimited`: no end")
    policy: Policy = Field(default="hard", description="Past it: `hard` refuses, `soft` lets through and warns")
    window: Window = Field(default="month", description="A day's limit only decides: no price goes beside it")


def _as_it_is(given: Any) -> Any:
    return given


# What the domain has found without fault is not looked at again: a schema has no words for half of it.
Limits = Annotated[
    Any,
    PlainValidator(_as_it_is, json_schema_input_type=Annotated[dict[Metric, LimitIn], Field(max_length=MAX_METRICS)]),
]
Prices = Annotated[
    Any,
    PlainValidator(
        _as_it_is,
        json_schema_input_type=Annotated[
            list[PriceIn], Field(max_length=MAX_METRICS, description="At most one of each metric")
        ],
    ),
]


def _absent_not_null(schema: dict[str, Any]) -> None:
    """What is optional may be left out, and is never null; but for the id of Stripe's, which a plan may lose."""
    for name, field in schema["properties"].items():
        if name != "stripe_price_id" and field.get("default", "") is None:
            rest = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
            choices = [choice for choice in field.get("anyOf", []) if choice != {"type": "null"}]
            schema["properties"][name] = {**choices[0], **rest} if choices else rest


class PlanIn(Input):
    """What is sold."""

    model_config = ConfigDict(json_schema_extra=_absent_not_null)

    code: PlanCode
    name: Name
    description: Description = ""
    interval: Interval = "month"
    cycle: Cycle = Field(default="calendar", description="A year is always `anniversary`")
    amount_cents: CentsIn
    currency: CurrencyIn | None = Field(default=None, description="ISO 4217; the seller's when not given")
    tax_behavior: TaxBehavior = "exclusive"
    trial_days: TrialDays = 0
    stripe_price_id: StripeId | None = None
    limits: Limits = Field(default={})
    prices: Prices = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _without_fault(cls, given: Any) -> Any:
        faults = plan_faults.faults_of(given)
        if faults:
            raise invalid(faults)
        return given


class PlanChangesIn(Input):
    """What becomes another: `limits` and `prices` as a whole. What is not named stays."""

    model_config = ConfigDict(json_schema_extra=_absent_not_null)

    existing: Literal["keep", "next_period"] = Field(
        default="keep", description="Who is subscribed keeps his version, or goes on with this one when his period ends"
    )
    name: Name | None = None
    description: Description | None = None
    interval: Interval | None = None
    cycle: Cycle | None = None
    amount_cents: CentsIn | None = None
    currency: CurrencyIn | None = None
    tax_behavior: TaxBehavior | None = None
    trial_days: TrialDays | None = None
    stripe_price_id: StripeId | None = None
    limits: Limits = None
    prices: Prices = None

    @model_validator(mode="before")
    @classmethod
    def _without_fault(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        changes = {name: value for name, value in given.items() if name != "existing"}
        faults = plan_faults.faults_of(changes, required=(), but=("code",))
        faults += choice(*EXISTING)(("existing",), given.get("existing", "keep"))
        if faults:
            raise invalid(faults)
        return given


# -- a plan as it is answered --------------------------------------------------------------------------------


class PlansQuery(Input):
    archived: Literal["true", "false"] = Field(default="false", description="`true`: those that are sold no more, too")


class LimitOut(Output):
    included: int | None = Field(description="After the settings BILLING_LIMIT_…; null: unlimited")
    policy: Policy
    window: Window


class TierOut(Output):
    up_to: int | str | None
    unit_amount: str
    flat_cents: int


class PriceOut(Output):
    metric: str
    model: Literal["flat", "tiered", "volume", "package"]
    unit_amount: str | None = None
    tiers: list[TierOut] = Field(default=[])
    flat_at_zero: bool = False
    package_size: int | None = None
    package_cents: int | None = None


class PlanOut(Output):
    code: str
    name: str
    description: str
    interval: Interval
    cycle: Cycle
    amount_cents: int
    currency: str
    tax_behavior: TaxBehavior
    trial_days: int
    stripe_price_id: str | None
    limits: dict[str, LimitOut]
    prices: list[PriceOut]
    version: int = Field(description="Counted up by each change; who is subscribed keeps the version that he bought")
    archived: bool = Field(description="Sold no more")


class PlansOut(Output):
    items: list[PlanOut]


# -- discounts -------------------------------------------------------------------------------------------------

DiscountCode = Annotated[str, Field(pattern=f"^{discount_drafts.CODE}$", json_schema_extra={"examples": ["SPRING-25"]})]
PercentIn = Annotated[int, Field(ge=1, le=100)] | Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,2})?$")]


class DiscountIn(Input):
    """What a code takes off the base fees: `percent` or `amount_cents`."""

    code: DiscountCode = Field(description="The same in capitals and small letters")
    percent: PercentIn | None = Field(default=None, description="Above 0, at most 100, 2 decimals")
    amount_cents: Annotated[CentsIn, Field(ge=1)] | None = None
    currency: CurrencyIn | None = Field(default=None, description="Of amount_cents; the seller's when not given")
    duration: Duration = Field(description="Of one fee, of those that begin in `months` months, or of all")
    months: Annotated[int, Field(ge=1, le=discount_drafts.MAX_MONTHS)] | None = None
    max_uses: Annotated[int, Field(ge=1, le=discount_drafts.MAX_USES)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_fault(cls, given: Any) -> Any:
        faults = discount_drafts.faults_of(given)
        if faults:
            raise invalid(faults)
        return given


class DiscountOut(Output):
    code: str
    percent: str | None
    amount_cents: int | None
    currency: str | None
    duration: Duration
    months: int | None
    max_uses: int | None
    uses: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class DiscountsOut(Output):
    items: list[DiscountOut]
    next_cursor: str | None
