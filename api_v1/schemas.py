"""Every request and answer, once: these models validate what comes in and document what goes out."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from turf_saas.quotas import Level
from turf_saas.values import MAX_USER_ID, Month, UserId, can_be_stored

MAX_INT = 2**63 - 1
Count = Annotated[int, Field(ge=0, le=MAX_INT, json_schema_extra={"format": "int64"})]


def _a_month(text: str) -> str:
    if Month.parse(text) is None:
        raise PydanticCustomError("month_invalid", "month_invalid", {"fault": True})
    return text


def _clean(text: str) -> str:
    if not can_be_stored(text):
        raise PydanticCustomError("field_text", "field_text", {"fault": True})
    return text


Text = Annotated[str, AfterValidator(_clean), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
# The pattern says what Month.parse does: no year 0000.
MONTH_PATTERN = "^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])$"
MonthText = Annotated[
    str,
    AfterValidator(_a_month),
    Field(json_schema_extra={"pattern": MONTH_PATTERN, "examples": ["2026-05"]}),
]


def _a_user_id(given: Any) -> Any:
    if type(given) is int:
        fits = 0 <= given <= MAX_INT
    elif isinstance(given, str):
        fits = 0 < len(_clean(given)) <= MAX_USER_ID and given.isprintable()
    else:
        raise PydanticCustomError("field_type", "field_type", {"fault": True, "expected": "integer, string"})
    if not fits:
        raise PydanticCustomError("field_format", "field_format", {"fault": True})
    return given


# What somebody sends as a user's id. One fault, where a union would name each of its types.
UserIdIn = Annotated[
    Any,
    PlainValidator(_a_user_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_INT},
                {"type": "string", "minLength": 1, "maxLength": MAX_USER_ID},
            ]
        }
    ),
]


class Input(BaseModel):
    """What somebody sends: exact types, unknown fields refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Output(BaseModel):
    """What we answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FaultOut(Output):
    loc: str = Field(description="JSON pointer to the field")
    code: str
    message: str


class Error(Output):
    error: str = Field(description="A sentence in the caller's language")
    code: str = Field(description="Stable English code")
    errors: list[FaultOut] = Field(default=[], description="Every fault of the body or query, the first 5000")
    closes_at: str | None = Field(default=None, description="Of `period_open` alone: when the month closes")
    left_cents: int | None = Field(
        default=None,
        json_schema_extra={"format": "int64"},
        description="Of `credit_too_large`, `refund_too_large` and `refund_not_covered` alone: how much it can be",
    )


class QuotaRefusal(Error):
    """What a quota answers. For `spending_cap_reached` used and limit are cents: this month's overage, and the cap."""

    metric: str
    used: Count = Field(description="What had been used and held before")
    limit: Count
    resets_in_seconds: int


class NoQuery(Input):
    pass


class NoBody(Input):
    pass


class ConsumptionQuery(Input):
    month: MonthText | None = None


class ConsumptionOfCalls(Output):
    total_api_calls: Count
    limit_api_calls: Count | None
    usage_pct: float | None


class Alert(Output):
    type: Level
    metric: str
    message: str
    current: Count
    limit: Count


class GaugeOut(Output):
    metric: str
    used: Count
    limit: Count | None = Field(description="null: unlimited")
    remaining: Count | None
    usage_pct: float | None = Field(description="Cut after one decimal")
    level: Level | None


class Consumption(Output):
    user_id: UserId
    plan: str
    month: MonthText
    consumption: ConsumptionOfCalls
    alerts: list[Alert]
    metrics: list[GaugeOut]
