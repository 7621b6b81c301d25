"""Stripe's own pages: a user is sent to the checkout of a plan, or to the portal where he looks after his card."""

from __future__ import annotations

from typing import Any

from api_v1 import schemas_stripe as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from api_v1.schemas import NoBody
from turf_saas import stripe_sessions
from turf_saas.stripe_gateway import require_stripe


@route(
    "POST",
    "/checkout",
    summary="Where the user pays for a plan, at Stripe",
    scope="billing.write",
    body=shapes.CheckoutIn,
    returns=shapes.StripePage,
    refuses=(409, 502),
)
def open_checkout(caller: Caller, body: shapes.CheckoutIn) -> Any:
    """The same page again while it is open. The plan begins when Stripe says that it is paid for, and not before.

    A plan without a fee asks for a card only. Who has a subscription that he pays for changes that: 409
    `subscription_exists`. Where Stripe sends him afterwards stands in the settings.
    """
    runtime = current_runtime()
    stripe = require_stripe(runtime.stripe)
    return shapes.StripePage(
        url=stripe_sessions.open_checkout(runtime.db(), runtime.now(), runtime.settings, stripe, caller.user, body.plan)
    )


@route(
    "POST",
    "/portal",
    summary="Where the user looks after his card, at Stripe",
    scope="billing.write",
    body=NoBody,
    body_optional=True,
    returns=shapes.StripePage,
    refuses=(502,),
)
def open_portal(caller: Caller, body: NoBody) -> Any:  # noqa: ARG001
    """What else he may do there, the owner decides in Stripe's dashboard; whatever it is, it is followed here."""
    runtime = current_runtime()
    stripe = require_stripe(runtime.stripe)
    return shapes.StripePage(
        url=stripe_sessions.open_portal(runtime.db(), runtime.now(), runtime.settings, stripe, caller.user)
    )
