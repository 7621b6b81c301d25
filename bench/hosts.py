"""A small host with billing, and what it is compared with: a bare hello, and the endpoint in the reference's way."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_jwt_extended import JWTManager, get_jwt, get_jwt_identity, jwt_required


def make_host(url: str, secret: str) -> Flask:
    """A host with flask-jwt-extended and the one line that registers billing."""
    from api_v1 import billing_bp  # here: the servers that are compared with ours do without it

    app = Flask("host")
    app.config.update({"TURF_SAAS_DB": url, "JWT_SECRET_KEY": secret})
    JWTManager(app)
    app.register_blueprint(billing_bp)
    return app


def make_metered(url: str, secret: str, user_loader: Callable[[], Any] | None) -> Flask:
    """A host with a hello that is counted, one that takes from a quota, and one that billing has nothing to do with."""
    from api_v1 import Billing, metered, requires_quota

    app = Flask("metered")
    unreachable = {"BILLING_LIMIT_PREMIUM_API_CALLS": 10**9}  # no threshold comes into the figures
    app.config.update({"TURF_SAAS_DB": url, "JWT_SECRET_KEY": secret, **unreachable})
    JWTManager(app)
    Billing(app, user_loader=user_loader)

    def bare() -> str:
        return "Hello, World!"

    app.add_url_rule("/bare", "bare", bare)
    app.add_url_rule("/metered", "metered", metered("api_calls")(bare))
    app.add_url_rule("/quota", "quota", requires_quota("api_calls")(bare))
    return app


hello = Flask("hello")


@hello.get("/")
def say_hello() -> str:
    return "Hello, World!"


@hello.post("/take")
def take() -> tuple[str, int]:
    """What is posted is read, as every server has to, and no more is done with it."""
    return str(len(request.get_data())), 202


reference = Flask("reference")
reference.config["JWT_SECRET_KEY"] = os.environ.get("JWT_SECRET_KEY", "")
JWTManager(reference)

LIMITS = {"free": 300, "premium": 3000, "pro": 30000}


@reference.get("/")
def ready() -> str:
    return "ready"


@reference.get("/api/v1/billing/consumption")
@jwt_required()  # type: ignore[untyped-decorator]
def consumption() -> Any:
    """A connection per request, the sum over the log, the plan as the token says it."""
    month = request.args.get("month", datetime.now().strftime("%Y-%m"))  # noqa: DTZ005  as the reference does
    if not re.match(r"^\d{4}-\d{2}$", month):
        return jsonify({"error": "Format mois invalide. Utiliser YYYY-MM"}), 422
    user_id, plan = get_jwt_identity(), get_jwt().get("plan", "free")
    limit = LIMITS[plan]
    used = _calls(user_id, month)
    percent = round(used / limit * 100, 1) if limit > 0 else 0
    return _answer(user_id, plan, month, used, limit, percent)


def _calls(user_id: str, month: str) -> int:
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + 1:04d}-01-01" if number == 12 else f"{year:04d}-{number + 1:02d}-01"
    db = sqlite3.connect(os.environ["TURF_SAAS_DB"])
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    try:
        row = db.execute(
            """SELECT COALESCE(SUM(api_calls), 0) AS used FROM consumption_log
                WHERE user_id = ? AND date >= ? AND date < ?""",
            (user_id, f"{month}-01", following),
        ).fetchone()
        return int(row["used"])
    finally:
        db.close()


def _answer(user_id: str, plan: str, month: str, used: int, limit: int, percent: float) -> Response:
    alerts = []
    if percent >= 80:
        level, message = ("hard", "Limite atteinte.") if percent >= 100 else ("soft", f"Appels API à {percent}%.")
        alerts.append({"type": level, "metric": "api_calls", "message": message, "current": used, "limit": limit})
    answer = jsonify(
        {
            "user_id": int(user_id),
            "plan": plan,
            "month": month,
            "consumption": {"total_api_calls": used, "limit_api_calls": limit, "usage_pct": percent},
            "alerts": alerts,
        }
    )
    if alerts:
        answer.headers["X-Billing-Alert"] = f"{alerts[0]['type']}_limit"
    return answer
