"""A small host for gunicorn to serve. Environment: PATIENCE, READY_BEFORE_FORK, and MEET, a folder to meet in."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import Flask

import billing_db
from api_v1 import billing_bp
from api_v1.runtime import current_runtime

billing_db.BUSY_SECONDS = float(os.environ.get("PATIENCE", billing_db.BUSY_SECONDS))
app = Flask("host")
app.register_blueprint(billing_bp)


@app.get("/meet/<int:how_many>")
def meet(how_many: int) -> str:
    """Wait for as many workers as are asked for, then use the database all at once."""
    here = Path(os.environ["MEET"])
    (here / str(os.getpid())).touch()
    deadline = time.monotonic() + 30
    while len(list(here.iterdir())) < how_many and time.monotonic() < deadline:
        time.sleep(0.005)
    current_runtime().db()
    return str(os.getpid())


if os.environ.get("READY_BEFORE_FORK"):
    with app.app_context():
        current_runtime().db()
