"""Profile: who is billed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from api_v1 import acting_for, schemas_profile as shapes
from api_v1.auth import Caller
from api_v1.routing import route
from api_v1.runtime import current_runtime
from turf_saas import profiles
from turf_saas.buyer import buyer_from
from turf_saas.values import UserId


@route(
    "GET",
    "/profile",
    summary="Who is billed",
    scope="billing.read",
    query=shapes.ProfileQuery,
    returns=shapes.ProfileOut,
)
def get_profile(caller: Caller, query: shapes.ProfileQuery) -> Any:
    """Who has never written one is a consumer in the seller's country."""
    return _shown(acting_for.get_visible(caller, query.user_id))


@route(
    "PUT",
    "/profile",
    summary="Say who is billed",
    scope="billing.write",
    query=shapes.ProfileQuery,
    body=shapes.ProfileIn,
    returns=shapes.ProfileOut,
)
def set_profile(caller: Caller, query: shapes.ProfileQuery, body: shapes.ProfileIn) -> Any:
    """All of it at once, for the invoices to come; those that are issued keep what they say.

    SIREN and VAT number are checked by their form, and answered as they are stored: without blanks.
    """
    runtime, user_id = current_runtime(), acting_for.get_visible(caller, query.user_id)
    profiles.set_profile(runtime.db(), runtime.now(), user_id, caller.tenant_id, buyer_from(body.model_dump()))
    return _shown(user_id)


def _shown(user_id: UserId) -> shapes.ProfileOut:
    runtime = current_runtime()
    found = asdict(profiles.get_profile(runtime.db(), runtime.settings, user_id))
    return shapes.ProfileOut(**found)
