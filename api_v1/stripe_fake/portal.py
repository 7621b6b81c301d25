"""The customer portal: a session with an address."""

from __future__ import annotations

from api_v1.stripe_fake.lists import page
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World


def configuration(world: World) -> Obj:
    known = world.all("billing_portal.configuration")
    if known:
        return known[0]
    features: Obj = {
        "customer_update": {"allowed_updates": [], "enabled": False},
        "invoice_history": {"enabled": True},
        "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
        "payment_method_update": {"enabled": True, "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": True,
            "mode": "at_period_end",
            "proration_behavior": "none",
        },
        "subscription_update": {
            "default_allowed_updates": [],
            "enabled": False,
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
            "products": None,
            "proration_behavior": "none",
        },
    }
    return world.add(
        "billing_portal.configuration",
        "bpc",
        active=True,
        business_profile={"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        features=features,
        is_default=True,
        login_page={"enabled": False, "url": None},
        metadata={},
        updated=world.now(),
    )


def create(world: World, params: Obj) -> Obj:
    customer = world.named("customer", params["customer"], "customer")
    session = world.add(
        "billing_portal.session",
        "bps",
        configuration=params.get("configuration") or configuration(world)["id"],
        customer=customer["id"],
        locale=params.get("locale"),
        return_url=params.get("return_url"),
    )
    session["url"] = f"{world.base_url}/portal/{session['id']}"
    return session


def configurations(world: World, params: Obj) -> Obj:
    configuration(world)
    return page(world, params, world.all("billing_portal.configuration"), "/v1/billing_portal/configurations")
