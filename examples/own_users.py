"""An app that has its own `users` table and its own login takes billing in with one line.

    flask --app examples.own_users run

Then, in another terminal:

    curl -c jar -H 'Content-Type: application/json' -d '{"email": "nina@example.com", "password": "course"}' \
        http://127.0.0.1:5000/login
    curl -b jar http://127.0.0.1:5000/races
    curl -b jar http://127.0.0.1:5000/api/v1/billing/consumption

Billing lives in the app's own SQLite file, beside its `users` table, which it only points at.
The data is made in `instance/`, or in the folder that EXAMPLE_FOLDER names.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from flask import Flask, current_app, g, jsonify, request, session
from werkzeug.security import check_password_hash, generate_password_hash

from api_v1 import billing_bp, metered

RACES = [{"race": "Prix d'Amérique", "course": "Vincennes"}, {"race": "Prix de Diane", "course": "Chantilly"}]


def create_app(folder: Path | None = None) -> Flask:
    folder = (folder or Path(os.environ.get("EXAMPLE_FOLDER", "instance"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("own_users")
    app.config["DATABASE"] = folder / "own_users.db"
    app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY") or os.urandom(32)
    create_users(app.config["DATABASE"])  # before billing's first use: that is when it looks for the table

    app.before_request(who_is_calling)
    app.teardown_appcontext(close_db)
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/races", view_func=races)

    app.config["TURF_SAAS_DB"] = app.config["DATABASE"]
    app.register_blueprint(billing_bp)  # the one line
    return app


# -- the app as it was before --------------------------------------------------------------------------


def create_users(path: Path) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute(
            """CREATE TABLE IF NOT EXISTS users (
                   id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL,
                   plan TEXT NOT NULL DEFAULT 'free', favourite_horse TEXT)"""
        )
        db.execute(
            """INSERT INTO users (email, password_hash, plan, favourite_horse)
               VALUES ('nina@example.com', ?, 'pro', 'Idéal du Gazeau') ON CONFLICT DO NOTHING""",
            (generate_password_hash("course"),),
        )
    db.close()


def get_db() -> sqlite3.Connection:
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"])
        g.db.row_factory = sqlite3.Row
    return g.db  # type: ignore[no-any-return]


def close_db(_error: BaseException | None = None) -> None:
    if "db" in g:
        g.db.close()


def who_is_calling() -> None:
    """The app's own middleware. Billing takes the id from here; on which plan somebody is, it asks its own table."""
    user = get_db().execute("SELECT * FROM users WHERE id = ?", (session.get("user_id"),)).fetchone()
    current_user = {"id": user["id"], "plan": user["plan"]} if user else None
    request.current_user = current_user  # type: ignore[attr-defined]


def login() -> Any:
    given = request.get_json()
    user = get_db().execute("SELECT * FROM users WHERE email = ?", (given.get("email"),)).fetchone()
    if user is None or not check_password_hash(user["password_hash"], str(given.get("password"))):
        return jsonify(message="wrong e-mail or password"), 401
    session["user_id"] = user["id"]
    return jsonify(hello=user["email"], favourite_horse=user["favourite_horse"])


@metered("api_calls")  # counted for whoever called, when it has been answered
def races() -> Any:
    if request.current_user is None:  # type: ignore[attr-defined]
        return jsonify(message="log in first"), 401
    return jsonify(RACES)
