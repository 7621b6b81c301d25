"""Which gateway collects: what the host has handed in, or what follows from the settings."""

from __future__ import annotations

from typing import Any

from turf_saas.errors import SettingsError
from turf_saas.gateways import FAKE, HOST, MANUAL, STRIPE, FakeGateway, FunctionGateway, Gateway, ManualGateway
from turf_saas.settings import Settings
from turf_saas.stripe_gateway import StripeGateway

Chosen = StripeGateway | ManualGateway | Gateway


def choose(settings: Settings, given: Any) -> Chosen:
    """given: nothing, a gateway's name, an object or a function. Nothing is Stripe where a key is set, else nobody."""
    if given is None:
        return stripe_of(settings) or ManualGateway()
    if isinstance(given, str):
        return _named(settings, given)
    if isinstance(given, FakeGateway):
        _refuse_fake(settings)
    if isinstance(given, (StripeGateway, ManualGateway)):
        return given
    if callable(getattr(given, "sync", None)):
        chosen: Gateway = given
        return chosen
    if callable(given):
        return FunctionGateway(given)
    raise TypeError(f"gateway= takes a name, a function, or an object that has sync(invoice, lines), not {given!r}")


def _named(settings: Settings, name: str) -> Chosen:
    if name == MANUAL:
        return ManualGateway()
    if name == FAKE:
        _refuse_fake(settings)
        return FakeGateway()
    if name == STRIPE:
        found = stripe_of(settings)
        if found is None:
            raise SettingsError('gateway="stripe" needs STRIPE_SECRET_KEY, a key sk_… or rk_….')
        return found
    raise TypeError(f"there is no gateway {name!r}: manual, stripe or fake")


def _refuse_fake(settings: Settings) -> None:
    if settings.production:
        raise SettingsError('gateway="fake" pays nothing: production refuses it.')


def stripe_of(settings: Settings) -> StripeGateway | None:
    """Stripe, where its key is set: for checkout and refunds, too, whoever collects."""
    if not settings.stripe_secret_key:
        return None
    return StripeGateway(settings.stripe_secret_key, settings.stripe_api_base)


def name_of(gateway: object) -> str:
    """What is written down of it. No host's object passes for one of ours."""
    if isinstance(gateway, (StripeGateway, ManualGateway, FakeGateway)):
        return gateway.name
    return HOST
