"""Databases to measure on: migrated as any other, then filled in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import billing_db
from billing_db import Connection, atomic, engine, execute, fetch_all, fetch_one
from turf_saas import catalogue, schema
from turf_saas.periods import start_of_day
from turf_saas.plan_drafts import draft_from
from turf_saas.settings import read_settings
from turf_saas.values import Month, instant_text

DAYS = 20
ENDPOINTS = 5
MONTHS = 2
ROWS_PER_USER = MONTHS * DAYS * ENDPOINTS
CALLS_PER_MONTH = DAYS * (1 + 2 + 3 + 4 + 5)  # endpoint n is called n + 1 times a day


@dataclass(frozen=True)
class Filled:
    """A database in which every user has the same number of rows in this month and in the one before."""

    url: str
    users: int
    now: datetime

    @property
    def this_month(self) -> Month:
        return Month(self.now.year, self.now.month)

    @property
    def last_month(self) -> Month:
        last = self.this_month.first_day - timedelta(days=1)
        return Month(last.year, last.month)


def fill(url: str, rows: int, now: datetime) -> Filled:
    """A database with that many rows in consumption_log and the counters that belong to them."""
    filled = Filled(url, max(1, rows // ROWS_PER_USER), now)
    db = billing_db.connect(url)
    try:
        schema.migrate(db, now, read_settings({"TURF_SAAS_DB": url}))
        with _in_bulk(db), atomic(db):
            _add_users(db, filled)
            with _uncounted(db):
                for month in (filled.last_month, filled.this_month):
                    for day in range(DAYS):
                        _add_day(db, filled.users, month.first_day + timedelta(days=day))
                _count_at_once(db)
        if engine(db) == "postgresql":
            db.execute("VACUUM ANALYZE")  # as autovacuum would have done by and by
        _check(db, filled)
    finally:
        db.close()
    return filled


def people(url: str, users: int, now: datetime) -> Filled:
    """A database with that many users, all on premium, who have used nothing yet."""
    filled = Filled(url, users, now)
    db = billing_db.connect(url)
    try:
        schema.migrate(db, now, read_settings({"TURF_SAAS_DB": url}))
        with atomic(db):
            _add_users(db, filled)
    finally:
        db.close()
    return filled


def fill_events(filled: Filled, events: int, *, days: int = DAYS) -> None:
    """That many events of `tokens` with random keys, spread over the month's first days, and the sums they make."""
    db = billing_db.connect(filled.url)
    try:
        with _in_bulk(db), atomic(db):
            execute(
                db,
                f"""{_NUMBERS}
                    INSERT INTO usage_events (id, user_id, metric, quantity, day, at, recorded_at, idempotency_key)
                    SELECT printf('%032x', n), 1 + abs(random()) % :users, 'tokens', 1, day, day || 'T10:00:00Z',
                           day || 'T10:00:00Z', lower(hex(randomblob(16)))
                      FROM (SELECT n, date(:first, '+' || ((n - 1) * :days / :count) || ' days') AS day
                              FROM numbers)""",
                count=events,
                days=days,
                users=filled.users,
                first=filled.this_month.first_day.isoformat(),
            )
            # Sorted: they are written page after page. What is measured then comes in random order, as keys do.
            execute(
                db,
                """INSERT INTO usage_keys (user_id, idempotency_key, content, event_id)
                   SELECT user_id, idempotency_key, 0, id FROM usage_events ORDER BY user_id, idempotency_key""",
            )
            execute(
                db,
                """INSERT INTO usage_aggregates (user_id, metric, period_start, total)
                   SELECT user_id, metric, day, COUNT(*) FROM usage_events GROUP BY user_id, metric, day""",
            )
        expect_events(db, events)
    finally:
        db.close()


def expect_events(db: Connection, events: int, *, each: int = 1) -> None:
    """A figure measured on events that were lost or counted twice is worth nothing."""
    found = fetch_one(
        db,
        """SELECT (SELECT COUNT(*) FROM usage_events) AS events, (SELECT COUNT(*) FROM usage_keys) AS event_keys,
                  (SELECT COALESCE(SUM(total), 0) FROM usage_aggregates) AS days,
                  (SELECT COALESCE(SUM(used), 0) FROM usage_counters WHERE metric <> 'api_calls') AS counters""",
    )
    expected = {"events": events, "event_keys": events, "days": events * each, "counters": events * each}
    if found is None or dict(found) != expected:
        raise RuntimeError(f"after the measure the database has {found and dict(found)}, not {expected}")


def fill_subscribers(url: str, users: int, now: datetime) -> None:
    """Users on a plan of 49.00 with three priced metrics, each used on three days of the month before `now`."""
    settings = read_settings({"TURF_SAAS_DB": url})
    month = Month.of(now, settings.timezone).before
    starts, ends = (instant_text(at) for at in (start_of_day(month.first_day, UTC), month.ends_at(UTC)))
    db = billing_db.connect(url)
    try:
        schema.migrate(db, now, settings)
        draft = draft_from(METERED, currency="EUR")
        plan = catalogue.create_plan(db, now - timedelta(days=90), 1, draft)
        values = {"count": users, "plan_id": plan.id, "month": str(month), "start": starts, "end": ends}
        with _in_bulk(db), atomic(db):
            execute(db, f"{_NUMBERS} INSERT INTO users (id) SELECT n FROM numbers", count=users)
            for sql in _SUBSCRIBED:
                execute(db, f"{_NUMBERS} {sql}", **values)
            for day in (3, 9, 27):
                execute(
                    db,
                    f"""{_NUMBERS} INSERT INTO consumption_log (user_id, date, api_calls, endpoint)
                        SELECT n, :day, 15000, '/races' FROM numbers""",
                    count=users,
                    day=f"{month}-{day:02d}",
                )
                execute(
                    db,
                    f"""{_NUMBERS} INSERT INTO usage_aggregates (user_id, metric, period_start, total)
                        SELECT n, metric, :day, total FROM numbers
                         CROSS JOIN (SELECT 'tokens' AS metric, 400000 AS total
                                     UNION ALL SELECT 'reports', 7) AS used""",
                    count=users,
                    day=f"{month}-{day:02d}",
                )
        db.execute("ANALYZE")
    finally:
        db.close()


METERED = {
    "code": "metered",
    "name": "Metered",
    "amount_cents": 4900,
    "limits": {"api_calls": {"included": 30000, "policy": "soft"}},
    "prices": [
        {"metric": "api_calls", "model": "flat", "unit_amount": "0.005"},
        {
            "metric": "tokens",
            "model": "tiered",
            "tiers": [{"up_to": 1000000, "unit_amount": "0.00001"}, {"up_to": None, "unit_amount": "0.000005"}],
        },
        {"metric": "reports", "model": "package", "package_size": 10, "package_cents": 500},
    ],
}
_SUBSCRIBED = (
    """INSERT INTO saas_subscriptions (user_id, plan, plan_id, status, effective_at, current_period_start,
                                       current_period_end, anchor)
       SELECT n, 'metered', :plan_id, 'active', :start, :end, '9999-01-01T00:00:00Z', :month || '-01' FROM numbers""",
    """INSERT INTO billing_periods (user_id, subscription_id, plan_id, month, starts_at, ends_at, nominal_start,
                                    nominal_end, fee_cents, price_cents, charged_cents, currency, opened_at)
       SELECT user_id, id, :plan_id, :month, :start, :end, :start, :end, 4900, 4900, 4900, 'EUR', :start
         FROM saas_subscriptions WHERE :count > 0""",
)


@contextmanager
def _in_bulk(db: Connection) -> Iterator[None]:
    """Nothing is worth saving before all of it is there; afterwards the connection is an ordinary one."""
    if engine(db) != "sqlite":
        yield
        return
    for pragma in ("foreign_keys = OFF", "journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        db.execute(f"PRAGMA {pragma}")
    yield
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        db.execute(f"PRAGMA {pragma}")


@contextmanager
def _uncounted(db: Connection) -> Iterator[None]:
    """Without the triggers of consumption_log, which count row by row, and without asking for each row's user."""
    if engine(db) == "postgresql":
        execute(db, "SET LOCAL session_replication_role = replica")
        yield
        execute(db, "SET LOCAL session_replication_role = origin")
        return
    triggers = fetch_all(
        db, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'consumption_log'"
    )
    for trigger in triggers:
        execute(db, f"DROP TRIGGER {trigger['name']}")
    yield
    for trigger in triggers:
        execute(db, trigger["sql"])


_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"


def _add_users(db: Connection, filled: Filled) -> None:
    """Everybody is on premium, as another program would write it."""
    execute(db, f"{_NUMBERS} INSERT INTO users (id, name) SELECT n, 'somebody' FROM numbers", count=filled.users)
    execute(
        db,
        f"""{_NUMBERS} INSERT INTO saas_subscriptions (user_id, plan, status)
            SELECT n, 'premium', 'active' FROM numbers""",
        count=filled.users,
    )


def _add_day(db: Connection, users: int, day: date) -> None:
    """In the order of time: a user's rows lie far apart, as they do when days come one after another."""
    execute(
        db,
        f"""{_NUMBERS}, endpoints(e) AS (SELECT 0 UNION ALL SELECT e + 1 FROM endpoints WHERE e + 1 < :endpoints)
            INSERT INTO consumption_log (user_id, date, api_calls, endpoint)
            SELECT n, :day, e + 1, '/api/' || e FROM numbers CROSS JOIN endpoints""",
        count=users,
        endpoints=ENDPOINTS,
        day=day.isoformat(),
    )


def _count_at_once(db: Connection) -> None:
    execute(
        db,
        """INSERT INTO usage_counters (user_id, metric, month, used)
           SELECT user_id, 'api_calls', substr(date, 1, 7), CAST(SUM(api_calls) AS BIGINT)
             FROM consumption_log GROUP BY user_id, substr(date, 1, 7)""",
    )


def _check(db: Connection, filled: Filled) -> None:
    """A figure measured on wrong data is worth nothing."""
    found = fetch_one(
        db,
        """SELECT COUNT(*) AS counters, MIN(used) AS least, MAX(used) AS most,
                  (SELECT COUNT(*) FROM consumption_log) AS rows_of_log,
                  (SELECT CAST(SUM(api_calls) AS BIGINT) FROM consumption_log) AS calls
             FROM usage_counters""",
    )
    expected = {
        "counters": filled.users * MONTHS,
        "least": CALLS_PER_MONTH,
        "most": CALLS_PER_MONTH,
        "rows_of_log": filled.users * ROWS_PER_USER,
        "calls": filled.users * MONTHS * CALLS_PER_MONTH,
    }
    if found is None or dict(found) != expected:
        raise RuntimeError(f"the database to measure on has {found and dict(found)}, not {expected}")
