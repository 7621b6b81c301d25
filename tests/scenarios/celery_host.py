"""A host with Celery: `python -m celery -A tests.scenarios.celery_host worker --beat`.

How billing comes to Celery's beat is the recipe of docs/jobs.md, run as it stands there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, current_app

from api_v1 import Billing
from billing_db import Connection, execute
from tests.cast import SECRET
from tests.house.documents import FENCE

JOBS = Path(__file__).parents[2] / "docs" / "jobs.md"

flask_app = Flask("host")
flask_app.config.update(TURF_SAAS_DB=os.environ["HOST_DB"], JWT_SECRET_KEY=SECRET, BILLING_LOCALE="en")
billing = Billing(flask_app)


@billing.job("rename")
def rename(payload: Mapping[str, Any], db: Connection) -> None:
    """A second time would be seen, and so would a context that is not there."""
    app, user_id = current_app.name, payload["user_id"]
    execute(db, "UPDATE users SET name = name || ' of ' || :app WHERE id = :id", app=app, id=user_id)


def with_celery(broker: str, seconds: float) -> Any:
    """The host's Celery. All that the recipe needs of the host are these two."""
    from celery import Celery

    celery = Celery("host", broker=broker)
    (recipe,) = [code for _, code in FENCE.findall(JOBS.read_text(encoding="utf-8")) if "celery" in code]
    exec(compile(recipe, str(JOBS), "exec"), {"billing": billing, "celery": celery})
    # Beat's first turn comes after a whole interval: a minute would be too long for a test.
    celery.conf.beat_schedule["billing.run_due"]["schedule"] = seconds
    return celery


celery = with_celery(os.environ["HOST_BROKER"], float(os.environ["HOST_SECONDS"]))
