"""The host lends its connection: what billing records there goes with the host's own transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask

import billing_db
from api_v1 import Billing
from billing_db import Connection, DatabaseRefused, fetch_one
from tests.cast import SECRET, Cast, Person
from turf_saas.admission import QuotaExceeded


@pytest.fixture
def billing(url: str, people: Cast) -> Billing:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, BILLING_LIMIT_FREE_TOKENS="100")
    return Billing(app)


class Lent:
    """A connection as a host has it: `given` is what it hands over."""

    def __init__(self, given: Any, execute: Callable[[str], Any], commit: Any, rollback: Any, close: Any) -> None:
        self.given, self.execute, self.commit, self.rollback, self.close = given, execute, commit, rollback, close


def _sqlite(path: str, isolation_level: str | None, *, begin: bool) -> Lent:
    db = sqlite3.connect(path, isolation_level=isolation_level)
    if begin:
        db.execute("BEGIN")
    commit = (lambda: db.execute("COMMIT")) if begin else db.commit
    rollback = (lambda: db.execute("ROLLBACK")) if begin else db.rollback
    return Lent(db, db.execute, commit, rollback, db.close)


def _psycopg(url: str, *, autocommit: bool) -> Lent:
    import psycopg

    db = psycopg.connect(url, autocommit=autocommit)
    if autocommit:
        db.execute("BEGIN")
    return Lent(db, db.execute, db.commit, db.rollback, db.close)


def _sqlalchemy(url: str, *, session: bool) -> Lent:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from sqlalchemy.orm import Session

    address = url.replace("postgresql://", "postgresql+psycopg://") if "://" in url else f"sqlite:///{url}"
    engine = sqlalchemy.create_engine(address)
    lent = Session(engine) if session else engine.connect()

    def close() -> None:
        lent.close()
        engine.dispose()

    return Lent(lent, lambda sql: lent.execute(sqlalchemy.text(sql)), lent.commit, lent.rollback, close)


def _of_the_driver(url: str, *, begin: bool) -> Lent:
    """The driver's own connection: one that begins by itself, or one in autocommit and the host's own BEGIN."""
    if billing_db.is_postgresql(url):
        return _psycopg(url, autocommit=begin)
    return _sqlite(url, None if begin else "", begin=begin)


WAYS: dict[str, Callable[[str], Lent]] = {
    "the driver begins": lambda url: _of_the_driver(url, begin=False),
    "autocommit and BEGIN": lambda url: _of_the_driver(url, begin=True),
    "SQLAlchemy's connection": lambda url: _sqlalchemy(url, session=False),
    "SQLAlchemy's session": lambda url: _sqlalchemy(url, session=True),
}


@pytest.fixture(params=WAYS)
def lent(request: pytest.FixtureRequest, url: str) -> Iterator[Lent]:
    made = WAYS[request.param](url)
    yield made
    with suppress(sqlite3.OperationalError):  # no transaction is open any more
        made.rollback()
    made.close()


def counts(db: Connection) -> dict[str, int]:
    found = {}
    for table in ("usage_events", "usage_keys", "usage_aggregates", "usage_counters", "usage_thresholds"):
        row = fetch_one(db, f"SELECT COUNT(*) AS rows FROM {table}")
        found[table] = row["rows"] if row else 0
    return found


def test_the_hosts_rollback_leaves_nothing_of_ours(billing: Billing, lent: Lent, db: Connection, alice: Person) -> None:
    lent.execute("INSERT INTO tenants (id, name) VALUES (77, 'the host''s own row')")
    billing.record_usage(alice.id, "tokens", 90, idempotency_key="k1", db=lent.given)
    billing.check_and_increment(alice.id, "tokens", 10, db=lent.given)
    billing.check_and_increment(alice.id, "api_calls", 1, db=lent.given)
    with billing.meter("tokens", alice.id, db=lent.given) as used:
        used.add(5)
    lent.rollback()
    assert set(counts(db).values()) == {0}
    assert fetch_one(db, "SELECT 1 FROM tenants WHERE id = 77") is None


def test_the_hosts_commit_keeps_both(billing: Billing, lent: Lent, db: Connection, alice: Person) -> None:
    lent.execute("INSERT INTO tenants (id, name) VALUES (77, 'the host''s own row')")
    billing.record_usage(alice.id, "tokens", 90, idempotency_key="k1", db=lent.given)
    assert set(counts(db).values()) == {0}, "nothing is visible to others before the host commits"
    lent.commit()
    assert fetch_one(db, "SELECT 1 FROM tenants WHERE id = 77") is not None
    assert counts(db) == {
        "usage_events": 1,
        "usage_keys": 1,
        "usage_aggregates": 1,
        "usage_counters": 1,
        "usage_thresholds": 1,
    }


def test_a_refused_quota_takes_back_only_its_own_count(
    billing: Billing, lent: Lent, db: Connection, alice: Person
) -> None:
    lent.execute("INSERT INTO tenants (id, name) VALUES (77, 'the host''s own row')")
    billing.check_and_increment(alice.id, "tokens", 100, db=lent.given)
    with pytest.raises(QuotaExceeded) as refused:
        billing.check_and_increment(alice.id, "tokens", 1, db=lent.given)
    assert (refused.value.used, refused.value.limit) == (100, 100)
    lent.commit()
    assert fetch_one(db, "SELECT 1 FROM tenants WHERE id = 77") is not None
    assert billing.aggregate_daily("tokens", _today(db)) == 100


def _today(db: Connection) -> str:
    row = fetch_one(db, "SELECT MAX(period_start) AS day FROM usage_aggregates")
    return str(row["day"]) if row else ""


def test_autocommit_without_a_transaction_is_refused(
    billing: Billing, engine: str, url: str, alice: Person, db: Connection
) -> None:
    if engine == "sqlite":
        given: Any = sqlite3.connect(url, isolation_level=None)
    else:
        import psycopg

        given = psycopg.connect(url, autocommit=True)
    with pytest.raises(DatabaseRefused, match="autocommit"):
        billing.record_usage(alice.id, "tokens", 1, db=given)
    given.close()
    assert set(counts(db).values()) == {0}


def test_what_is_no_connection_is_refused(billing: Billing, alice: Person) -> None:
    for given in ("billing.db", 5, object()):
        with pytest.raises(DatabaseRefused, match="db= takes a connection"):
            billing.record_usage(alice.id, "tokens", 1, db=given)


def test_a_connection_to_another_database_is_refused(billing: Billing, alice: Person, tmp_path: Any) -> None:
    given = sqlite3.connect(tmp_path / "another.db")
    with pytest.raises(DatabaseRefused, match="without the billing tables"):
        billing.record_usage(alice.id, "tokens", 1, db=given)
    given.close()


def test_a_threshold_reached_in_a_lent_transaction_is_told_after_the_request(
    billing: Billing, url: str, db: Connection, alice: Person
) -> None:
    from api_v1.signals import usage_threshold_reached

    app = Flask("another host")
    app.config.update(TURF_SAAS_DB=url, BILLING_LIMIT_FREE_TOKENS="100")
    billing.init_app(app)
    told: list[int] = []

    def listen(app: Flask, crossing: Any) -> None:
        told.append(crossing.percent)

    @app.get("/work")
    def work() -> str:
        lent = billing_db.connect(url)
        with billing_db.atomic(lent):
            billing.record_usage(alice.id, "tokens", 85, db=lent)
            assert told == []
        lent.close()
        return "done"

    with usage_threshold_reached.connected_to(listen):
        assert app.test_client().get("/work").status_code == 200
    assert told == [80]
