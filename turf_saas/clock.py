"""A clock that is set by hand, outside production: billing believes that it is this instant, until it is moved on.

There is one for all tenants. The real time is told by whoever calls: this room looks at no clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, atomic, execute, fetch_one
from turf_saas import rollover
from turf_saas.errors import Conflict, Forbidden, InvalidInput
from turf_saas.rollover import Advanced
from turf_saas.settings import Settings
from turf_saas.values import instant_text, parse_instant

FURTHEST = timedelta(days=3_660)


class Moved(NamedTuple):
    """The clock after a move, and what became of the subscriptions of which something fell due by then."""

    now: datetime
    is_set: bool
    advanced: Advanced


def find_clock(db: Connection) -> datetime | None:
    """Where the test clock stands; None: there is none, and the real time holds."""
    row = fetch_one(db, "SELECT now FROM billing_test_clock WHERE id = 1")
    return parse_instant(row["now"]) if row else None


def set_clock(db: Connection, now: datetime, settings: Settings, to: datetime | None) -> Moved:
    """The clock stands at `to`, and everything that is due by then has happened. None takes it away. now: the real one.

    It starts anywhere within ten years and moves forward from there. Conflict when it would go back.
    """
    if settings.production:
        raise Forbidden("clock_in_production")
    if to is None:
        with atomic(db):
            execute(db, "DELETE FROM billing_test_clock")
        return Moved(now, False, rollover.advance_due(db, now, settings))
    if not -FURTHEST <= to - now <= FURTHEST:
        raise InvalidInput("clock_out_of_range", field="now", days=FURTHEST.days)
    to = to.replace(microsecond=0)
    with atomic(db):
        moved = execute(
            db,
            """INSERT INTO billing_test_clock (id, now, set_at) VALUES (1, :now, :set_at)
               ON CONFLICT (id) DO UPDATE SET now = excluded.now, set_at = excluded.set_at
                WHERE billing_test_clock.now <= excluded.now""",
            now=instant_text(to),
            set_at=instant_text(now),
        )
        if not moved:
            standing = find_clock(db)
            assert standing is not None, "a move that was refused has met the clock's row"
            raise Conflict("clock_backwards", now=instant_text(standing))
    return Moved(to, True, rollover.advance_due(db, to, settings))
