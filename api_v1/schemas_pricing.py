"""What is sent and answered about prices: a price, a quote, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from api_v1.schemas import Input, Output
from api_v1.schemas_usage import MAX_QUANTITY, Metric
from turf_saas.checks import whole
from turf_saas.errors import Fault, steps_of
from turf_saas.money import MAX_CENTS, is_currency
from turf_saas.prices import MAX_TIERS, MAX_UNIT_AMOUNT, MAX_UNITS, Price, faults_of, price_from

MAX_QUOTE = 64 * 1024  # bytes: a hundred tiers are a tenth of it

# As turf_saas/checks.py reads them. The bounds are said in words: a text has none in a schema.
DECIMAL_PATTERN = r"^[0-9]{1,30}(\.[0-9]{1,12})?$"
DecimalText = Annotated[str, Field(json_schema_extra={"pattern": DECIMAL_PATTERN, "examples": ["0.0004"]})]
UnitAmount = DecimalText | Annotated[int, Field(ge=0, le=MAX_UNIT_AMOUNT)]
Whole = Annotated[int, Field(ge=0, le=MAX_QUANTITY, json_schema_extra={"format": "int64"})]
CentsIn = Annotated[int, Field(ge=0, le=MAX_CENTS, json_schema_extra={"format": "int64"})]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS, json_schema_extra={"format": "int64"})]


# -- a price as it is sent: these say what it looks like, and turf_saas/prices.py reads it ---------------------


class TierIn(Input):
    up_to: Units | DecimalText | None = Field(default=None, description="Included; null for the last tier alone")
    unit_amount: UnitAmount = Field(description="In the currency's major unit, up to 10^9, 12 decimals")
    flat_cents: CentsIn | None = 0


class PriceIn(Input):
    """Each model has fields of its own: `flat` unit_amount; `tiered` and `volume` tiers, with bounds that rise, and
    flat_at_zero; `package` package_size and package_cents.
    """

    metric: Metric
    model: Literal["flat", "tiered", "volume", "package"]
    unit_amount: UnitAmount | None = Field(default=None, description="As in a tier")
    tiers: Annotated[list[TierIn], Field(min_length=1, max_length=MAX_TIERS)] | None = None
    flat_at_zero: bool | None = Field(default=None, description="Nothing used costs the first tier's flat amount")
    package_size: Units | None = None
    package_cents: CentsIn | None = None


class QuotedPriceIn(PriceIn):
    metric: Metric | None = None  # type: ignore[assignment]  # whoever asks what it costs need not say of what
    included: Whole | None = Field(default=0, description="Costs nothing; null: unlimited")


@dataclass(frozen=True)
class QuotedPrice:
    """A price that was read, and how much of its metric is included (None: unlimited)."""

    price: Price
    included: int | None
    metric: str | None


def _a_quoted_price(given: Any) -> QuotedPrice:
    if not isinstance(given, Mapping):
        raise refusal(faults_of(given))
    metric, included = given.get("metric"), given.get("included", 0)
    price = {name: value for name, value in given.items() if name != "included"}
    if metric is None:
        price["metric"] = "units"
    faults = faults_of(price)
    if included is not None:
        faults += whole(0, MAX_QUANTITY)(("included",), included)
    if faults:
        raise refusal(faults)
    return QuotedPrice(price_from(price), included, metric)


def refusal(faults: list[Fault]) -> ValidationError:
    """What the domain found in a part of a body, for pydantic to put in its place beside what it finds itself."""
    return ValidationError.from_exception_data(
        "part",
        [
            InitErrorDetails(
                type=PydanticCustomError(fault.code, fault.code, {"fault": True, **fault.params}),
                loc=steps_of(fault.loc),
                input=None,
            )
            for fault in faults
        ],
    )


def _a_currency(given: Any) -> str:
    if not is_currency(given):
        raise PydanticCustomError("currency_unknown", "currency_unknown", {"fault": True})
    return str(given)


Currency = Annotated[
    Any,
    PlainValidator(_a_currency, json_schema_input_type=Annotated[str, Field(pattern="^[A-Z]{3}$")]),
    Field(json_schema_extra={"examples": ["EUR"]}),
]


class QuoteIn(Input):
    price: Annotated[Any, PlainValidator(_a_quoted_price, json_schema_input_type=QuotedPriceIn)]
    quantity: Whole = Field(description="What is used in a month")
    currency: Currency | None = Field(default=None, description="ISO 4217; the seller's when not given")


class PlanQuoteIn(Input):
    """What a month on a plan costs: its fee, and what is used above what it includes."""

    plan: str = Field(max_length=63)
    usage: Annotated[dict[Metric, Whole], Field(max_length=100)] = Field(
        default={}, description="A month's use per metric", examples=[{"api_calls": 3100}]
    )


# -- what is answered ------------------------------------------------------------------------------------------

Number = int | str


class QuoteStep(Output):
    above: Number = Field(description="The tier's lower bound, which is not in it")
    up_to: Number | None = Field(description="Its upper bound, which is; null: none")
    quantity: Number = Field(description="How many are priced in this step: units, or packages")
    size: int = Field(description="Units that one of them covers: more than 1 in packages")
    unit_amount: str
    flat_cents: int
    amount: str = Field(description="quantity × unit_amount and the flat amount, exact, in the major unit")


class QuoteLine(Output):
    kind: Literal["base", "overage"] = Field(description="`base`: the plan's fee for its interval")
    metric: str | None
    quantity: Number = Field(description="What is above the included quantity")
    unit_amount: str | None = Field(description="null where quantity × unit_amount is not the amount")
    amount: str = Field(description="Exact, in the currency's major unit")
    amount_cents: int = Field(description="Rounded once, half away from zero")
    steps: list[QuoteStep]


class QuoteOut(Output):
    amount_cents: int
    currency: str
    lines: list[QuoteLine]
