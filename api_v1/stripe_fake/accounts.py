"""The account that a key belongs to."""

from __future__ import annotations

from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import ACCOUNT, World


def retrieve(world: World, params: Obj) -> Obj:
    known = world.find("account", ACCOUNT)
    if known is not None:
        return known
    made = world.make(
        "account",
        "acct",
        business_type="company",
        capabilities={"card_payments": "active", "transfers": "active"},
        charges_enabled=True,
        country="FR",
        default_currency="eur",
        details_submitted=True,
        email="owner@example.com",
        metadata={},
        payouts_enabled=True,
        settings={
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {},
            "dashboard": {"display_name": "Fake", "timezone": "Europe/Paris"},
            "payments": {"statement_descriptor": "FAKE"},
        },
        type="standard",
    )
    world.objects[ACCOUNT] = made | {"id": ACCOUNT}
    return world.objects[ACCOUNT]
