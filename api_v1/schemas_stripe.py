"""What is said to Stripe, and to whoever is sent to it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from api_v1.schemas import Input
from api_v1.schemas_subscriptions import Code


class WebhookAnswer(BaseModel):
    """That an event is stored, and what became of it."""

    status: Literal["ok"]
    result: Literal["applied", "duplicate", "ignored", "deferred"]


class CheckoutIn(Input):
    plan: Code = Field(description="A plan's code")


class StripePage(BaseModel):
    """A page of Stripe's, for this user alone and for a short time."""

    url: str
