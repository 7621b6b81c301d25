"""The month's counters are the sum of the daily tables, whoever writes these and however."""

from __future__ import annotations

from contextlib import suppress

import pytest

import billing_db
from billing_db import Connection, atomic, execute
from tests.domain.reference_database import insert, log, rows
from tests.domain.tables import change, counters, months

pytestmark = pytest.mark.usefixtures("people")


def summed(db: Connection) -> dict[tuple[int, str, str], int]:
    """What the counters have to be: the daily rows, added up."""
    found = rows(
        db,
        """SELECT user_id, metric, substr(day, 1, 7) AS month, CAST(SUM(quantity) AS BIGINT) AS used
             FROM daily_usage GROUP BY user_id, metric, substr(day, 1, 7)""",
    )
    return {(user_id, metric, month): used for user_id, metric, month, used in found}


# -- the counters of the log ---------------------------------------------------------------------------

UPSERT = """INSERT INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')
            ON CONFLICT (user_id, date, endpoint)
            DO UPDATE SET api_calls = consumption_log.api_calls + excluded.api_calls"""
LOG_CHANGES = {
    "UPDATE consumption_log SET api_calls = 25": {"2026-05": 25},
    "UPDATE consumption_log SET api_calls = 0": {},
    "UPDATE consumption_log SET api_calls = api_calls + 1": {"2026-05": 11},
    "UPDATE consumption_log SET date = '2026-05-31'": {"2026-05": 10},
    "UPDATE consumption_log SET date = '2026-06-01'": {"2026-06": 10},
    "UPDATE consumption_log SET date = '2026-06-01', api_calls = 7": {"2026-06": 7},
    "UPDATE consumption_log SET date = '2026-05-02', api_calls = 7": {"2026-05": 7},
    "UPDATE consumption_log SET user_id = 2": {},
    "UPDATE consumption_log SET user_id = 2, date = '2026-04-01', api_calls = 3": {},
    "UPDATE consumption_log SET endpoint = '/other'": {"2026-05": 10},
    "DELETE FROM consumption_log": {},
    UPSERT: {"2026-05": 14},
    "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-01', 4)": {"2026-05": 14},
    "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-01', 4), (1, '2026-04-30', 5)":
        {"2026-04": 5, "2026-05": 14},
    """INSERT INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')
       ON CONFLICT DO NOTHING""": {"2026-05": 10},
}  # fmt: skip


@pytest.mark.parametrize("sql", list(LOG_CHANGES))
def test_every_change_of_the_log_reaches_the_counters(db: Connection, sql: str) -> None:
    insert(db, "consumption_log", log(api_calls=10))
    change(db, sql)
    assert months(db) == LOG_CHANGES[sql]
    assert {key: used for key, used in counters(db).items() if used} == {k: n for k, n in summed(db).items() if n}


def test_what_is_taken_back_is_not_counted(db: Connection) -> None:
    class Mishap(Exception):
        pass

    with suppress(Mishap), atomic(db):
        execute(db, UPSERT)
        raise Mishap
    assert counters(db) == {}


AGGREGATE_CHANGES = {
    "UPDATE usage_aggregates SET total = 25": {(1, "tokens", "2026-05"): 25},
    "UPDATE usage_aggregates SET metric = 'pages'": {(1, "pages", "2026-05"): 10},
    "UPDATE usage_aggregates SET user_id = 2, total = 3": {(2, "tokens", "2026-05"): 3},
    "UPDATE usage_aggregates SET period_start = '2026-06-01', total = 4": {(1, "tokens", "2026-06"): 4},
    "UPDATE usage_aggregates SET period_start = '2026-05-31', total = 4": {(1, "tokens", "2026-05"): 4},
    "DELETE FROM usage_aggregates": {},
    """INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'tokens', '2026-05-01', 5)
       ON CONFLICT (user_id, metric, period_start) DO UPDATE SET total = usage_aggregates.total + excluded.total""":
        {(1, "tokens", "2026-05"): 15},
    "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'tokens', '2026-05-02', 5)":
        {(1, "tokens", "2026-05"): 15},
}  # fmt: skip


@pytest.mark.parametrize("sql", list(AGGREGATE_CHANGES))
def test_every_change_of_the_aggregates_reaches_the_counters(db: Connection, sql: str) -> None:
    insert(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": "2026-05-01", "total": 10})
    change(db, sql)
    assert {key: used for key, used in counters(db).items() if used} == AGGREGATE_CHANGES[sql]
    assert summed(db) == AGGREGATE_CHANGES[sql]


def test_both_daily_tables_are_one_view(db: Connection) -> None:
    insert(db, "consumption_log", log(api_calls=10), log(api_calls=2, endpoint=""))
    insert(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": "2026-05-02", "total": 7})
    assert rows(db, "SELECT tenant_id, user_id, metric, day, quantity FROM daily_usage ORDER BY metric, quantity") == [
        (1, 1, "api_calls", "2026-05-01", 2),
        (1, 1, "api_calls", "2026-05-01", 10),
        (1, 1, "tokens", "2026-05-02", 7),
    ]


def test_many_rows_at_once_are_counted_each(db: Connection) -> None:
    many = [{"day": f"2026-{month:02d}-{day:02d}", "n": day} for month in (4, 5) for day in range(1, 29)]
    sql = "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, :day, :n)"
    with atomic(db):
        if billing_db.engine(db) == "sqlite":
            db.executemany(sql, many)
        else:
            db.cursor().executemany(billing_db.to_pyformat(sql), many)
    assert months(db) == {"2026-04": 406, "2026-05": 406}  # 28 * 29 / 2


REPLACE = (
    "INSERT OR REPLACE INTO consumption_log (user_id, date, api_calls, endpoint) VALUES (1, '2026-05-01', 4, '/races')"
)


def test_insert_or_replace_takes_back_the_row_that_it_replaces(on_sqlite: Connection) -> None:
    db = on_sqlite
    insert(db, "consumption_log", log(api_calls=10), log(2, api_calls=3))
    change(db, REPLACE)
    assert months(db) == {"2026-05": 4}
    change(db, "REPLACE INTO consumption_log (id, user_id, date, api_calls) VALUES (2, 1, '2026-04-01', 6)")
    assert counters(db) == {
        (1, "api_calls", "2026-05"): 4,
        (1, "api_calls", "2026-04"): 6,
        (2, "api_calls", "2026-05"): 0,
    }


def test_an_outer_or_replace_does_not_reset_the_counter(on_sqlite: Connection) -> None:
    """SQLite carries the outer statement's conflict clause into its triggers."""
    db = on_sqlite
    insert(db, "consumption_log", log(api_calls=10))
    change(db, REPLACE.replace("'2026-05-01'", "'2026-05-02'"))
    change(db, REPLACE.replace("'2026-05-01'", "'2026-05-03'").replace("REPLACE", "IGNORE"))
    assert months(db) == {"2026-05": 18}


def test_truncate_takes_back_what_it_empties_and_nothing_else(on_postgresql: Connection) -> None:
    db = on_postgresql
    insert(db, "consumption_log", log(api_calls=10), log(2, api_calls=3, date="2026-04-01"))
    insert(db, "usage_aggregates", {"user_id": 1, "metric": "tokens", "period_start": "2026-05-01", "total": 7})
    change(db, "UPDATE usage_counters SET reserved = 5")
    change(db, "TRUNCATE consumption_log")
    assert counters(db) == {(1, "api_calls", "2026-05"): 0, (2, "api_calls", "2026-04"): 0, (1, "tokens", "2026-05"): 7}
    change(db, "TRUNCATE usage_aggregates")
    assert set(counters(db).values()) == {0}
    assert rows(db, "SELECT DISTINCT reserved FROM usage_counters") == [(5,)]
    insert(db, "consumption_log", log(api_calls=4))
    assert months(db) == {"2026-05": 4}
