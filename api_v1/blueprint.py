"""The blueprint, and the set-up that both front doors share."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask

from api_v1.runtime import Hooks, Runtime

PREFIX = "/api/v1/billing"


class BillingBlueprint(Blueprint):
    """A blueprint that sets billing up on the app at the moment it is registered."""

    def register(self, app: Flask, options: dict[str, Any]) -> None:
        hooks = options.pop("hooks", Hooks())
        if "billing" in app.extensions:
            raise RuntimeError(
                "billing is registered on this app already: use Billing(app) or app.register_blueprint(billing_bp), once"
            )
        app.extensions["billing"] = Runtime(app, hooks)
        super().register(app, options)


# Not called "billing": a host may have a blueprint of that name.
billing_bp = BillingBlueprint("turf_saas_billing", "api_v1", url_prefix=PREFIX, cli_group="billing")


class Billing:
    """The other front door: `Billing(app)`, or `billing = Billing()` and later `billing.init_app(app)`."""

    def __init__(self, app: Flask | None = None, **hooks: Any) -> None:
        self._hooks = Hooks(**hooks)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, url_prefix: str = PREFIX) -> None:
        app.register_blueprint(billing_bp, url_prefix=url_prefix, hooks=self._hooks)
