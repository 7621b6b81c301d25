"""Changes of a subscription."""

from __future__ import annotations

from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World


def apply_pending(world: World, subscription: Obj) -> None:
    subscription["pending_update"] = None
