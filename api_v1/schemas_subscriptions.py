"""What is sent and answered about subscriptions, and about the test clock that moves them."""

from __future__ import annotations

import re
from datetime import date, datetime
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

from api_v1.schemas import Input, Output, Text, UserIdIn
from api_v1.schemas_usage import Instant, read_instant
from turf_saas.plans import Cycle
from turf_saas.subscription_changes import FURTHEST_LOOK, When
from turf_saas.subscriptions import Status
from turf_saas.values import UserId

MAX_TRIAL_DAYS = 730
MAX_REASON = 200

Json = dict[str, Any]
Code = Annotated[Text, Field(min_length=1, max_length=63)]
DiscountCode = Annotated[Text, Field(min_length=1, max_length=63)]
Reason = Annotated[Text, Field(min_length=1, max_length=MAX_REASON)]
Cents = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Shown = Annotated[str, Field(json_schema_extra={"format": "date-time"})]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _a_beginning(given: Any) -> datetime | date:
    """An instant, or a day: then its 00:00 in BILLING_TIMEZONE."""
    if not isinstance(given, str):
        raise PydanticCustomError("field_type", "field_type", {"fault": True, "expected": "string"})
    if not _DAY.fullmatch(given):
        return read_instant(given)
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise PydanticCustomError("date_invalid", "date_invalid", {"fault": True}) from None


Beginning = Annotated[
    Any,
    PlainValidator(_a_beginning),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}],
            "examples": ["2026-05-20", "2026-05-20T10:00:00Z"],
        }
    ),
]


def _same_as_plan(given: Any, info: ValidationInfo) -> Any:
    plan = info.data.get("plan")
    if plan is not None and given != plan:
        raise PydanticCustomError("field_differs", "field_differs", {"fault": True, "other": "plan"})
    return given


def _either_name(schema: Json) -> None:
    """plan or plan_code, where pydantic would require the first of the two names."""
    del schema["required"]  # it is the only one
    schema["anyOf"] = [{"required": ["plan"]}, {"required": ["plan_code"]}]
    schema["properties"]["plan_code"] = {
        **schema["properties"]["plan"],
        "description": "Another name for plan; both differ: 422",
    }


# Read as plan when that is missing; here it is only compared.
PlanCode = Annotated[Any, AfterValidator(_same_as_plan)]
EITHER_NAME = AliasChoices("plan", "plan_code")


# -- what is sent -----------------------------------------------------------------------------------


class SubscriptionQuery(Input):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class SubscribeIn(Input):
    model_config = ConfigDict(json_schema_extra=_either_name)

    plan: Code = Field(validation_alias=EITHER_NAME, description="A plan's code")
    plan_code: PlanCode = None
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")
    start_at: Beginning | None = Field(
        default=None, description="Admin: an instant or a day, 3660 days back to 731 ahead. It begins at 00:00 local"
    )
    trial_days: Annotated[int, Field(ge=0, le=MAX_TRIAL_DAYS)] | None = Field(
        default=None, description="Admin: in place of the plan's own; 0 for none"
    )
    discount_code: DiscountCode | None = None


class ChangeIn(Input):
    model_config = ConfigDict(json_schema_extra=_either_name)

    plan: Code = Field(validation_alias=EITHER_NAME, description="A plan's code")
    plan_code: PlanCode = None
    when: When | None = Field(default=None, description="Without: an upgrade now, a downgrade when the period ends")
    prorate: bool = Field(default=True, description="false: the new fee begins with the next period")
    discount_code: DiscountCode | None = None
    dry_run: bool = Field(default=False, description="Answer what would come of it, and change nothing")
    at: Instant | None = Field(
        default=None, description=f"Of a dry run: as of this instant, at most {FURTHEST_LOOK.days} days ahead"
    )


class CancelIn(Input):
    when: When = "period_end"
    reason: Reason | None = Field(default=None, description="Kept in the history, where the end is at once")
    dry_run: bool = Field(default=False, description="Answer what would come of it, and change nothing")
    at: Instant | None = Field(
        default=None, description=f"Of a dry run: as of this instant, at most {FURTHEST_LOOK.days} days ahead"
    )


class ClockIn(Input):
    now: Instant | None = Field(description="Where it is to stand; null takes it away")


# -- what is answered -------------------------------------------------------------------------------


class PendingChange(Output):
    plan: str
    at: Shown


class SubscriptionOut(Output):
    id: int = Field(json_schema_extra={"format": "int64"})
    user_id: UserId
    plan: str
    status: Status
    billed_by: Literal["local", "stripe"]
    cycle: Cycle
    effective_at: Shown | None = Field(description="null: it says which plan, and is not billed")
    current_period_start: Shown | None
    current_period_end: Shown | None
    trial_end: Shown | None
    cancel_at_period_end: bool
    canceled_at: Shown | None
    ended_at: Shown | None
    pending_change: PendingChange | None


class SubscriptionNow(Output):
    subscription: SubscriptionOut | None
    plan: str = Field(description="The plan in force now: the default one where no subscription gives another")


class ProrationOut(Output):
    credit_cents: Cents
    charge_cents: Cents
    net_cents: Cents = Field(description="charge_cents − credit_cents")
    currency: str


class SubscriptionChanged(Output):
    subscription: SubscriptionOut
    proration: ProrationOut


class HistoryEntry(Output):
    at: Shown = Field(description="From when on it held")
    plan: str | None
    status: str
    by: str | None = Field(description="`user:7`, `admin:4`, `system`; null: another program")
    reason: str | None
    noted_at: Shown | None = Field(description="When it was written down; null: by another program")


class SubscriptionHistory(Output):
    items: list[HistoryEntry]
    next_cursor: str | None


class ClockOut(Output):
    now: Shown = Field(description="What billing takes for now")
    is_set: bool = Field(description="false: it is the real time")


class NotAdvanced(Output):
    subscription_id: int = Field(json_schema_extra={"format": "int64"})
    why: str


class ClockMoved(ClockOut):
    advanced: int = Field(description="How many subscriptions went on because something had fallen due")
    failed: list[NotAdvanced] = Field(description="Those that could not, and why; they stay as they were")
