"""The blueprint, and the set-up that both front doors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from flask import Blueprint, Flask
from flask.cli import AppGroup

from api_v1.runtime import Hooks, Runtime

PREFIX = "/api/v1/billing"
CLI_GROUP = "billing"
SPARE_CLI_GROUP = "turf-billing"
FLASK_OPTIONS = {"url_prefix", "subdomain", "url_defaults", "name", "name_prefix", "cli_group"}


class BillingBlueprint(Blueprint):
    """A blueprint that sets billing up on the app at the moment it is registered.

    Beside Flask's own options, register_blueprint takes the hooks: `app.register_blueprint(billing_bp, user_loader=…)`.
    """

    def register(self, app: Flask, options: dict[str, Any]) -> None:  # type: ignore[override]  # a Flask, no less
        hooks = Hooks(**{hook.name: options.pop(hook.name) for hook in fields(Hooks) if hook.name in options})
        _refuse_unknown(options, hooks)
        _refuse_twice(app)
        _refuse_whole_site(self, options)
        app.extensions["billing"] = Runtime(app, hooks)
        if CLI_GROUP in app.cli.commands:
            options.setdefault("cli_group", SPARE_CLI_GROUP)
        super().register(app, options)
        _add_spare_commands(app, self)


def _refuse_unknown(options: dict[str, Any], hooks: Hooks) -> None:
    """Flask passes over an option that it does not know, and a mistyped hook would be a login that never works."""
    unknown = sorted(options.keys() - FLASK_OPTIONS)
    if unknown:
        raise TypeError(f"billing knows no option {unknown[0]!r}; its hooks are user_loader, is_admin, tax and gateway")
    for name in ("user_loader", "is_admin", "tax"):
        hook = getattr(hooks, name)
        if hook is not None and not callable(hook):
            raise TypeError(f"{name}= takes a function, not {hook!r}")


def _refuse_twice(app: Flask) -> None:
    if isinstance(app.extensions.get("billing"), Runtime):
        raise RuntimeError(
            "billing is registered on this app already: use Billing(app) or app.register_blueprint(billing_bp), once"
        )
    if "billing" in app.extensions:
        raise RuntimeError("app.extensions['billing'] is taken by another extension: billing keeps its state there")


def _refuse_whole_site(blueprint: Blueprint, options: dict[str, Any]) -> None:
    """Every unknown path below our prefix is answered by us, so the prefix cannot be the host's whole site."""
    prefix = options.get("url_prefix")
    prefix = blueprint.url_prefix if prefix is None else prefix
    if not (prefix or "").strip("/") and not options.get("subdomain"):
        raise ValueError(f"billing needs a prefix of its own, such as url_prefix={PREFIX!r}; it was given {prefix!r}")
    if prefix and not prefix.startswith("/"):
        raise ValueError(f"url_prefix={prefix!r} must begin with a slash")


def _add_spare_commands(app: Flask, blueprint: Blueprint) -> None:
    """The same commands under a name that no host has: its own `flask billing`, now or later, hides ours."""
    if blueprint.cli.commands and SPARE_CLI_GROUP not in app.cli.commands:
        app.cli.add_command(AppGroup(SPARE_CLI_GROUP, commands=blueprint.cli.commands, hidden=True))


# Not called "billing": a host may have a blueprint of that name.
billing_bp = BillingBlueprint("turf_saas_billing", "api_v1", url_prefix=PREFIX, cli_group=CLI_GROUP)


class Billing:
    """The other front door: `Billing(app)`, or `billing = Billing()` and later `billing.init_app(app)`."""

    def __init__(
        self,
        app: Flask | None = None,
        *,
        url_prefix: str = PREFIX,
        user_loader: Callable[[], Any] | None = None,
        is_admin: Callable[[Any], bool] | None = None,
        tax: Callable[..., Any] | None = None,
        gateway: Any = None,
    ) -> None:
        self._url_prefix = url_prefix
        self._hooks = Hooks(user_loader, is_admin, tax, gateway)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, url_prefix: str | None = None) -> None:
        prefix = self._url_prefix if url_prefix is None else url_prefix
        app.register_blueprint(billing_bp, url_prefix=prefix, **vars(self._hooks))
