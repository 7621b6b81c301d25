"""A host with routes of its own that are counted, as its developer would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, abort, request

from api_v1 import Billing, metered, requires_quota
from tests.cast import SECRET


def make_host(url: str, *, meter: Any = (), **config: Any) -> Flask:
    app = Flask("metered_host")
    app.config.update({"TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "testing", **config})
    app.extensions["the billing object"] = Billing(app, meter=meter)
    _add_metered(app)
    _add_quotas(app)
    return app


def _add_metered(app: Flask) -> None:
    @app.route("/api/races/<int:race>", methods=["GET", "POST", "OPTIONS"])
    @metered("api_calls")
    def race(race: int) -> Any:
        status = int(request.args.get("status", 200))
        if status >= 400:
            abort(status)
        return {"race": race}, status

    @app.get("/api/plain")
    def plain() -> str:
        return "not decorated"

    @app.get("/outside")
    def outside() -> str:
        return "under no meter"

    @app.get("/api/breaks")
    @metered("api_calls")
    def breaks() -> str:
        raise RuntimeError("a fault of the host")


def _add_quotas(app: Flask) -> None:
    @app.get("/quota")
    @requires_quota("api_calls")
    @metered("api_calls")
    def quota() -> Any:
        status = int(request.args.get("status", 200))
        return {"done": True}, status

    @app.get("/quota/breaks")
    @requires_quota("api_calls")
    def quota_breaks() -> str:
        raise RuntimeError("a fault of the host")

    @app.get("/quota/tokens/<int:wanted>")
    @requires_quota("tokens", quantity=lambda: int(request.view_args["wanted"]))  # type: ignore[index]
    def quota_tokens(wanted: int) -> Any:
        return {"tokens": wanted}, int(request.args.get("status", 200))

    @app.route("/quota/preflight", methods=["GET", "OPTIONS"])
    @requires_quota("api_calls")
    def quota_preflight() -> str:
        return "answered"

    @app.get("/quota/two")
    @requires_quota("tokens", quantity=60)
    @requires_quota("api_calls")
    def quota_two() -> str:
        return "both"

    @app.get("/quota/soft")
    @requires_quota("api_calls", soft=True)
    def quota_soft() -> str:
        return "warned only"


Host = Callable[..., Flask]
