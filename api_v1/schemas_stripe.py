"""What is said to Stripe, and to whoever is sent to it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class WebhookAnswer(BaseModel):
    """That an event is stored, and what became of it."""

    status: Literal["ok"]
    result: Literal["applied", "duplicate", "ignored", "deferred"]
