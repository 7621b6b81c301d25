"""The blueprint, and the set-up that both front doors share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from flask import Blueprint, Flask, has_app_context
from flask.cli import AppGroup

from api_v1.face_jobs import WorkingFace
from api_v1.runtime import Hooks, HostJobs, Runtime, current_runtime

PREFIX = "/api/v1/billing"
CLI_GROUP = "billing"
SPARE_CLI_GROUP = "turf-billing"
FLASK_OPTIONS = {"url_prefix", "subdomain", "url_defaults", "name", "name_prefix", "cli_group"}


class Extension(Runtime, WorkingFace):
    """What stands in app.extensions["billing"]."""

    def _own_jobs(self) -> HostJobs:
        return self.host_jobs

    def _runtime(self) -> Runtime:
        return self


class BillingBlueprint(Blueprint):
    """A blueprint that sets billing up on the app at the moment it is registered.

    Beside Flask's own options, register_blueprint takes the hooks: `app.register_blueprint(billing_bp, user_loader=…)`.
    """

    def register(self, app: Flask, options: dict[str, Any]) -> None:  # type: ignore[override]  # a Flask, no less
        hooks = Hooks(**{hook.name: options.pop(hook.name) for hook in fields(Hooks) if hook.name in options})
        _refuse_unknown(options, hooks)
        _refuse_twice(app)
        _refuse_whole_site(self, options)
        app.extensions["billing"] = Extension(app, hooks)
        if CLI_GROUP in app.cli.commands:
            options.setdefault("cli_group", SPARE_CLI_GROUP)
        super().register(app, options)
        _add_spare_commands(app, self)


def _refuse_unknown(options: dict[str, Any], hooks: Hooks) -> None:
    """Flask passes over an option that it does not know, and a mistyped hook would be a login that never works."""
    unknown = sorted(options.keys() - FLASK_OPTIONS)
    if unknown:
        raise TypeError(
            f"billing knows no option {unknown[0]!r}; its hooks are user_loader, is_admin, tax, gateway and meter"
        )
    for name in ("user_loader", "is_admin", "tax"):
        hook = getattr(hooks, name)
        if hook is not None and not callable(hook):
            raise TypeError(f"{name}= takes a function, not {hook!r}")
    if not all(str(prefix).startswith("/") for prefix in hooks.prefixes):
        raise TypeError(f"meter= takes paths that begin with a slash, such as '/api/', not {hooks.meter!r}")


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
    if "<" in (prefix or ""):
        raise ValueError(f"url_prefix={prefix!r} holds a variable, which none of our routes takes")


def _add_spare_commands(app: Flask, blueprint: Blueprint) -> None:
    """The same commands under a name that no host has: its own `flask billing`, now or later, hides ours."""
    if blueprint.cli.commands and SPARE_CLI_GROUP not in app.cli.commands:
        app.cli.add_command(AppGroup(SPARE_CLI_GROUP, commands=blueprint.cli.commands, hidden=True))


# Not called "billing": a host may have a blueprint of that name.
billing_bp = BillingBlueprint("turf_saas_billing", "api_v1", url_prefix=PREFIX, cli_group=CLI_GROUP)


class Billing(WorkingFace):
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
        meter: str | Sequence[str] = (),
    ) -> None:
        self._url_prefix = url_prefix
        self._hooks = Hooks(user_loader, is_admin, tax, gateway, meter)
        self._apps: list[Flask] = []
        self._host_jobs: HostJobs = {}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, url_prefix: str | None = None) -> None:
        prefix = self._url_prefix if url_prefix is None else url_prefix
        app.register_blueprint(billing_bp, url_prefix=prefix, **vars(self._hooks))
        app.extensions["billing"].host_jobs = self._host_jobs
        self._apps.append(app)

    def _own_jobs(self) -> HostJobs:
        return self._host_jobs

    def _runtime(self) -> Runtime:
        """The app that is at work; outside of any, such as in a thread of the host's, the only one there is."""
        if has_app_context():
            return current_runtime()
        if not self._apps:
            raise RuntimeError("billing has no app yet: Billing(app), or billing.init_app(app)")
        if len(self._apps) > 1:  # else usage would be recorded in whichever came last
            raise RuntimeError("this billing object has several apps: use it inside `with app.app_context():`")
        runtime: Runtime = self._apps[0].extensions["billing"]
        return runtime
