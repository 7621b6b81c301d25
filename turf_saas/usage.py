"""What was used: written once, in the daily tables. The month's counters follow by themselves."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, atomic, execute
from turf_saas.settings import Settings
from turf_saas.values import UserId, instant_text, local_day


def count_call(db: Connection, now: datetime, settings: Settings, user_id: UserId, endpoint: str) -> None:
    """One API call of the user is on record, for today in BILLING_TIMEZONE. A power cut may cost the last moments."""
    with atomic(db, durable=False):
        execute(
            db,
            """INSERT INTO consumption_log (user_id, date, api_calls, endpoint, created_at)
               VALUES (:user_id, :day, 1, :endpoint, :now)
               ON CONFLICT (user_id, date, endpoint) DO UPDATE SET api_calls = consumption_log.api_calls + 1""",
            user_id=user_id,
            day=local_day(now, settings.timezone).isoformat(),
            endpoint=endpoint,
            now=instant_text(now),
        )
