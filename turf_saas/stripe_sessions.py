"""Sending a user to Stripe's own pages: the checkout of a plan, and the portal where he looks after his card.

Where he goes from there stands in the settings, never in a request; and that he comes back grants nothing.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from billing_db import Connection
from turf_saas import checkouts, profiles, stripe_calls
from turf_saas.asking_stripe import asking
from turf_saas.checkouts import Checkout, Offer
from turf_saas.errors import Conflict, Unavailable
from turf_saas.gateways import GatewayRefused
from turf_saas.seller import require_seller
from turf_saas.settings import Settings
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json
from turf_saas.stripe_payers import ensure_customer, ensure_known_customer
from turf_saas.stripe_prices import price_for, require_price
from turf_saas.users import User
from turf_saas.working import Work

SESSIONS = "checkout.sessions"


def open_checkout(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, user: User, plan: str
) -> str:
    """Where the user pays for the plan; the same page again while it is open. Of one for another plan the page closes.

    Conflict where he has a subscription that he pays for, or has finished a checkout that is not paid yet; and where
    what he pays could not be invoiced, or would not be what the plan costs.
    """
    pages = {
        "success_url": _address(settings.stripe_success_url, "BILLING_STRIPE_SUCCESS_URL"),
        "cancel_url": _address(settings.stripe_cancel_url, "BILLING_STRIPE_CANCEL_URL"),
    }
    offered = checkouts.offer(db, now, settings, user, plan)
    require_seller(settings)
    if offered.mode == "subscription":
        require_price(stripe, offered.plan)
    there = checkouts.find_under_way(db, user.id)
    if there is not None:
        url = _url_of(db, now, stripe, there, offered)
        if url is not None:
            return url
    checkout = checkouts.begin(db, now, user, offered)
    if (checkout.plan_id, checkout.mode) != (offered.plan.id, offered.mode):
        raise Conflict("checkout_changed")
    customer = ensure_known_customer(db, now, stripe, user.tenant_id, user.id)
    params = _params(db, now, settings, stripe, user, checkout, offered)
    made = stripe_calls.make(
        db,
        now,
        user.tenant_id,
        f"checkout:{checkout.id}",
        "session",
        {**params, "customer": customer, **pages},
        stripe.create_session,
        and_then=lambda session: checkouts.note_session(db, now, checkout.id, str(session["id"])),
    )
    _refuse_closed(db, stripe, checkout, made.id)
    session = made.object or stripe.retrieve(SESSIONS, made.id)
    if not session.get("url"):
        raise Conflict("checkout_processing")
    return str(session["url"])


def open_portal(db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, user: User) -> str:
    """Where the user changes his card, and whatever else the owner lets him do there."""
    return_url = _address(settings.stripe_return_url, "BILLING_STRIPE_RETURN_URL")
    customer = ensure_customer(db, now, stripe, user.tenant_id, user.id)
    key = f"ts-{stripe_calls.installation(db)}-portal-{secrets.token_hex(8)}"
    return str(stripe.create_portal_session({"customer": customer, "return_url": return_url}, key)["url"])


def _address(given: str, setting: str) -> str:
    if not given:
        raise Unavailable("stripe_url_missing", setting=setting)
    return given


def _url_of(db: Connection, now: datetime, stripe: StripeGateway, there: Checkout, offered: Offer) -> str | None:
    """The page that is open already for this plan. None where another one may be opened."""
    same = (there.plan_id, there.mode) == (offered.plan.id, offered.mode)
    if there.stripe_session_id is None:
        if not same or checkouts.is_stale(there, now):
            checkouts.settle(db, now, there, "expired")
        return None
    session = stripe.find(SESSIONS, there.stripe_session_id)
    status = session.get("status") if session is not None else None
    if session is not None and status == "open" and same:
        return str(session["url"])
    if status == "open" and not _closes(stripe, there.stripe_session_id):
        status = "complete"  # he was faster
    if status == "complete":
        raise Conflict("checkout_processing")
    checkouts.settle(db, now, there, "expired")
    return None


def close_checkout(work: Work) -> None:
    """Who pays here now is not asked to pay there. Where he was faster, an event tells of it."""
    with asking(work) as stripe:
        _closes(stripe, str(work.payload["session_id"]))


def _closes(stripe: StripeGateway, session_id: str) -> bool:
    """Whether nobody can pay on that page any more."""
    try:
        stripe.expire_session(session_id, {}, f"{session_id}-expire")
    except GatewayRefused:
        session = stripe.find(SESSIONS, session_id)
        return session is None or session.get("status") == "expired"
    return True


def _refuse_closed(db: Connection, stripe: StripeGateway, checkout: Checkout, session_id: str) -> None:
    """Who has asked for another plan meanwhile has closed this one: there would be two pages to pay on."""
    there = checkouts.find_under_way(db, checkout.user_id)
    if there is None or there.id != checkout.id:
        _closes(stripe, session_id)
        raise Conflict("checkout_changed")


def _params(
    db: Connection,
    now: datetime,
    settings: Settings,
    stripe: StripeGateway,
    user: User,
    checkout: Checkout,
    offered: Offer,
) -> Json:
    plan = offered.plan
    mine = {"app": APP, "checkout_id": str(checkout.id)}
    params: dict[str, Any] = {
        "mode": checkout.mode,
        "client_reference_id": str(checkout.id),
        "locale": profiles.get_profile(db, settings, user.id).locale or settings.locale,
        "metadata": mine,
    }
    if checkout.mode == "setup":
        return {**params, "currency": plan.currency.lower(), "setup_intent_data": {"metadata": mine}}
    trial = {"trial_period_days": offered.trial_days} if offered.trial_days else {}
    return {
        **params,
        "line_items": [{"price": price_for(db, now, settings, stripe, plan, user.id), "quantity": 1}],
        "subscription_data": {"metadata": mine, **trial},
    }
