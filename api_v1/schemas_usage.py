"""What is sent and answered about usage: an event, a batch of them, a correction, and the days they make."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from api_v1.lists import Page
from api_v1.schemas import MAX_INT, Count, Input, Output, UserIdIn
from turf_saas.idempotency import MAX_KEY

MAX_EVENTS = 1000
MAX_QUANTITY = 2**53
MAX_METADATA = 20  # names
MAX_METADATA_NAME = 64
MAX_METADATA_TEXT = 500

Json = dict[str, Any]


def _fault(code: str, **params: Any) -> PydanticCustomError:
    return PydanticCustomError(code, code, {"fault": True, **params})


# -- an instant -----------------------------------------------------------------------------------

_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,20})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
FIRST_INSTANT, LAST_INSTANT = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def read_instant(text: str) -> datetime:
    """The instant that a text of RFC 3339 names, in UTC. 23:59:60 UTC is taken for the second before: its day is over.

    What lies beyond the calendar once its offset is taken off is the calendar's edge: it is far out of reach anyway.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise _fault("instant_invalid")
    day, hour, minute, second, fraction, zone = match.groups()
    if zone is None:
        raise _fault("instant_without_zone")
    leaps = second == "60"
    try:
        local = datetime.fromisoformat(f"{day}T{hour}:{minute}:{'59' if leaps else second}{fraction or ''}")
        offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone.upper()}").tzinfo
    except ValueError:
        raise _fault("instant_invalid") from None
    try:
        instant = local.replace(tzinfo=offset).astimezone(UTC)
    except OverflowError:
        return FIRST_INSTANT if local.year == 1 else LAST_INSTANT
    if leaps and (instant.hour, instant.minute) != (23, 59):
        raise _fault("instant_invalid")
    return instant


def _an_instant(given: Any) -> datetime:
    if not isinstance(given, str):
        raise _fault("field_type", expected="string")
    return read_instant(given)


# -- free text beside an event ----------------------------------------------------------------------


def _a_metadata_value(given: Any) -> Any:
    if isinstance(given, str):
        if len(given) > MAX_METADATA_TEXT:
            raise _fault("field_length", expected=f"≤ {MAX_METADATA_TEXT}")
    elif isinstance(given, float):
        if not math.isfinite(given):
            raise _fault("field_invalid")
    elif type(given) is int:
        if abs(given) > MAX_INT:
            raise _fault("field_range", expected=f"-{MAX_INT} – {MAX_INT}")
    elif given is not None and not isinstance(given, bool):
        raise _fault("field_type", expected="string, number, boolean, null")
    return given


MetadataValue = Annotated[
    Any,
    PlainValidator(_a_metadata_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_METADATA_TEXT},
                {"type": "integer", "format": "int64", "minimum": -MAX_INT, "maximum": MAX_INT},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=MAX_METADATA_NAME)], MetadataValue],
    Field(max_length=MAX_METADATA),
]


def canonical(metadata: Json | None) -> str | None:
    """Metadata as one text, the same however its names were ordered. None of it is the same as an empty object."""
    return json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if metadata else None


# -- what is sent -----------------------------------------------------------------------------------

METRIC_PATTERN = "^[a-z][a-z0-9_]{0,62}$"
Metric = Annotated[str, Field(pattern=METRIC_PATTERN, json_schema_extra={"examples": ["api_calls"]})]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, json_schema_extra={"format": "int64"})]
LessQuantity = Annotated[int, Field(ge=-MAX_QUANTITY, le=-1, json_schema_extra={"format": "int64"})]
# Texts that cannot be stored are found in the body as a whole: wire.read_body.
Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY, json_schema_extra={"pattern": r"^[^\u0000]*$"})]
Instant = Annotated[
    Any,
    PlainValidator(_an_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-05-20T10:00:00Z"]}),
]


def _same_as_quantity(given: Any, info: ValidationInfo) -> Any:
    quantity = info.data.get("quantity")
    if quantity is not None and (type(given) is not int or given != quantity):
        raise _fault("field_differs", other="quantity")
    return given


def _either_name(schema: Json) -> None:
    """quantity or amount, where pydantic would require the first of the two names."""
    schema["required"] = [name for name in schema["required"] if name != "quantity"]
    schema["anyOf"] = [{"required": ["quantity"]}, {"required": ["amount"]}]
    schema["properties"]["amount"] = {
        **schema["properties"]["quantity"],
        "description": "Another name for quantity; both differ: 422",
    }


# Read as quantity when that is missing; here it is only compared.
Amount = Annotated[Any, AfterValidator(_same_as_quantity)]
EITHER_NAME = AliasChoices("quantity", "amount")


class UsageEventIn(Input):
    """Something that was used."""

    model_config = ConfigDict(json_schema_extra=_either_name)

    metric: Metric
    quantity: Quantity = Field(validation_alias=EITHER_NAME)
    amount: Amount = None
    at: Instant | None = Field(default=None, description="When: at most 35 days back, 5 minutes ahead. Default: now")
    idempotency_key: Key | None = Field(default=None, description="Once per user; kept for ever")
    user_id: UserIdIn | None = Field(default=None, description="Whose it is; another than oneself: admin")
    metadata: Metadata | None = None


class UsageBatchIn(Input):
    """Many events, of which all are recorded or none."""

    events: Annotated[list[UsageEventIn], Field(min_length=1, max_length=MAX_EVENTS)]


class UsageCorrectionIn(Input):
    """Part or all of an event is taken back, on the event's own day."""

    model_config = ConfigDict(json_schema_extra=_either_name)

    corrects: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="The id of the event")
    quantity: LessQuantity = Field(validation_alias=EITHER_NAME)
    amount: Amount = None
    idempotency_key: Key | None = None
    metadata: Metadata | None = None


# -- what is answered -------------------------------------------------------------------------------


class UsageRecorded(Output):
    id: str
    duplicate: bool = Field(description="The key was used before, with the same content: id is the first event's")


class UsageResult(UsageRecorded):
    index: int


class UsageBatchRecorded(Output):
    accepted: int
    duplicates: int
    results: list[UsageResult]


# -- the days -----------------------------------------------------------------------------------------


def _a_day(text: str) -> str:
    try:
        if len(text) == 10 and text.isascii() and date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise _fault("date_invalid")


Day = Annotated[str, AfterValidator(_a_day), Field(json_schema_extra={"format": "date", "examples": ["2026-05-20"]})]


def _same_as(name: str, shown: str) -> PlainValidator:
    """Another name is read as the first one where that is missing; here it is only compared."""

    def check(given: Any, info: ValidationInfo) -> Any:
        if info.data.get(name, given) != given:
            raise _fault("field_differs", other=shown)
        return given

    return PlainValidator(check)


_SHOWN_AS_DAY = WithJsonSchema({"type": "string", "format": "date"})
OtherFirst = Annotated[Any, _same_as("first", "from"), _SHOWN_AS_DAY]
OtherLast = Annotated[Any, _same_as("last", "to"), _SHOWN_AS_DAY]


def _not_before_the_first(given: str, info: ValidationInfo) -> str:
    first = info.data.get("first")
    if first is not None and first > given:
        raise _fault("days_reversed")
    return given


class UsageQuery(Page):
    """Which days: from the first to the last, both included."""

    metric: Metric | None = None
    first: Day | None = Field(default=None, validation_alias=AliasChoices("from", "start_date"))
    last: Annotated[Day, AfterValidator(_not_before_the_first)] | None = Field(
        default=None, validation_alias=AliasChoices("to", "end_date")
    )
    start_date: OtherFirst = Field(default=None, description="Another name for from; both differ: 422")
    end_date: OtherLast = Field(default=None, description="Another name for to; both differ: 422")
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class UsageDay(Output):
    period_start: str = Field(json_schema_extra={"format": "date"})
    granularity: Literal["day"] = "day"
    metric: str
    total: Count


class UsageDays(Output):
    items: list[UsageDay]
    next_cursor: str | None
