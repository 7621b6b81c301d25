"""The reference host: a small Flask app with users and login, to run and try billing without an app of one's own."""

from __future__ import annotations

from typing import Any

from flask import Flask

from api_v1 import apidocs, billing_bp


def create_app(config: dict[str, Any] | None = None) -> Flask:
    app = Flask("turf_saas")
    app.config.from_mapping(config or {})
    app.register_blueprint(billing_bp)
    apidocs.install(app)
    return app
