"""An app whose users live elsewhere (a directory, another service) keeps billing in a file of its own.

    flask --app examples.own_file run

Then, in another terminal:

    curl -u nina:course http://127.0.0.1:5000/
    curl -u nina:course http://127.0.0.1:5000/api/v1/billing/consumption

Billing asks the app's `user_loader` who is calling, and enters in its own small `users` table whomever the app
vouches for, at the first contact. The file is made in `instance/`, or in the folder that EXAMPLE_FOLDER names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.security import check_password_hash, generate_password_hash

from api_v1 import Billing

# What would be a directory server: name -> password hash.
DIRECTORY = {"nina": generate_password_hash("course"), "émile": generate_password_hash("galop")}


def create_app(folder: Path | None = None) -> Flask:
    folder = (folder or Path(os.environ.get("EXAMPLE_FOLDER", "instance"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    app = Flask("own_file")
    app.add_url_rule("/", view_func=home)

    app.config["TURF_SAAS_DB"] = folder / "billing.db"
    app.config["BILLING_USERS_ID_TYPE"] = "text"
    Billing(app, user_loader=who_is_calling)
    return app


# -- the app as it was before --------------------------------------------------------------------------


def who_is_calling() -> str | None:
    """The name of whoever gave the right password, or None."""
    given = request.authorization
    if given is None or given.type != "basic":
        return None
    known = DIRECTORY.get(given.username or "")
    return given.username if known and check_password_hash(known, given.password or "") else None


def home() -> Any:
    name = who_is_calling()
    if name is None:
        return Response("who are you?\n", 401, {"WWW-Authenticate": 'Basic realm="races"'}, mimetype="text/plain")
    return jsonify(hello=name)
