"""What is sent and answered about quotas: what is left, the spending cap, and what is held for work under way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api_v1.schemas import Count, Input, MonthText, Output, UserIdIn
from api_v1.schemas_usage import MAX_QUANTITY, Metric, Quantity
from turf_saas.plans import Policy, Window
from turf_saas.quotas import Level
from turf_saas.reservations import LIFETIME
from turf_saas.values import UserId

DAY_SECONDS = 24 * 3600
Cents = Annotated[int, Field(ge=0, le=2**53, json_schema_extra={"format": "int64"})]


class QuotasQuery(Input):
    user_id: UserIdIn | None = Field(default=None, description="Whose; another than oneself: admin")


class QuotaOut(Output):
    metric: str
    policy: Policy = Field(description="`hard` refuses past the limit, `soft` lets through and warns")
    window: Window
    limit: Count | None = Field(description="null: unlimited")
    used: Count = Field(description="In the window; what is held is not in it")
    reserved: Count
    remaining: Count | None = Field(description="limit − used − reserved, never below 0")
    level: Level | None
    resets_at: str = Field(json_schema_extra={"format": "date-time"})


class SpendingCap(Output):
    amount_cents: Cents | None = Field(description="null: no cap")
    overage_cents: Count = Field(description="What was used past the included quantities this month costs, before tax")
    currency: str
    reached: bool = Field(description="One unit more of some metric would cost more than the cap, and is refused")


class QuotasOut(Output):
    user_id: UserId
    month: MonthText
    plan: str
    quotas: list[QuotaOut]
    spending_cap: SpendingCap


class CapIn(Input):
    amount_cents: Cents | None = Field(description="null takes the cap away")


class ReserveIn(Input):
    metric: Metric
    quantity: Quantity
    user_id: UserIdIn | None = Field(default=None, description="For whom; another than oneself: admin")
    expires_in: Annotated[int, Field(ge=1, le=DAY_SECONDS)] = Field(
        default=int(LIFETIME.total_seconds()), description="Seconds"
    )


class SettleIn(Input):
    quantity: Annotated[int, Field(ge=0, le=MAX_QUANTITY, json_schema_extra={"format": "int64"})] = Field(
        description="What was used in truth, which may be less or more than what was held"
    )


class ReservationOut(Output):
    id: str
    user_id: UserId
    metric: str
    quantity: Count
    state: Literal["held", "settled", "released", "expired"]
    expires_at: str = Field(json_schema_extra={"format": "date-time"})


class ClosedReservation(ReservationOut):
    settled_quantity: Count | None = Field(description="null: nothing was settled")
