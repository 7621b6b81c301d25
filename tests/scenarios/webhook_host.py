"""A host for gunicorn that can be killed while it takes an event. Environment: DYING, a folder of reasons to die.

A file `before_the_commit` there ends the process when a `test.noted` event is being applied, a file
`before_the_answer` when an invoice was paid: once each, for it is removed first.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from api_v1.signals import invoice_paid
from billing_db import Connection
from tests.scenarios.served import app  # noqa: F401  what is served
from turf_saas import stripe_events
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, applied, is_news


def _die_if_told(when: str) -> None:
    reason = Path(os.environ["DYING"], when)
    if reason.exists():
        reason.unlink()
        os._exit(9)


def _noted(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    assert is_news(db, event, str(event.object_id))
    _die_if_told("before_the_commit")
    return applied()


@invoice_paid.connect
def _told(_app: Any, **about: Any) -> None:
    _die_if_told("before_the_answer")


stripe_events.HANDLERS["test.noted"] = stripe_events.Row(_noted, "a test's own")
