"""Two hosts' transactions that count for the same users, each beginning with another: one of them has to give way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from flask import Flask

from api_v1 import Billing
from billing_db import Connection, DatabaseBusy, fetch_all
from tests.cast import SECRET, Cast
from turf_saas.values import UserId

BOUND = 30  # seconds
Uses = list[tuple[UserId, int]]


# SQLite lets nobody begin to write while another does.
pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
HOSTS_ROWS = {"one": 70, "other": 71}


@pytest.fixture
def billing(url: str, people: Cast) -> Billing:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True)
    return Billing(app)


def record(billing: Billing, url: str, name: str, uses: Uses, meet: Barrier | None = None) -> str:
    """The host's transaction: a row of its own and all of the uses. The first is done when the other begins, too."""
    import psycopg

    with psycopg.connect(url) as lent:
        try:
            lent.execute("INSERT INTO tenants (id, name) VALUES (%s, %s)", [HOSTS_ROWS[name], name])
            for number, (user_id, quantity) in enumerate(uses):
                billing.record_usage(user_id, "tokens", quantity, idempotency_key=f"{name} {number}", db=lent)
                if number == 0 and meet is not None:
                    meet.wait(BOUND)
        except DatabaseBusy:
            lent.rollback()
            return "gave way"
        lent.commit()
        return "counted"


def counted(db: Connection) -> tuple[dict[UserId, int], dict[UserId, int], set[str], int]:
    """Months, days, the host's rows and the number of keys."""
    months = {row["user_id"]: row["used"] for row in fetch_all(db, "SELECT user_id, used FROM usage_counters")}
    days = {row["user_id"]: row["total"] for row in fetch_all(db, "SELECT user_id, total FROM usage_aggregates")}
    names = {row["name"] for row in fetch_all(db, "SELECT name FROM tenants WHERE id >= 70")}
    return months, days, names, len(fetch_all(db, "SELECT event_id FROM usage_keys"))


def test_of_two_that_wait_for_each_other_one_gives_way_and_counts_nothing_until_it_tries_again(
    billing: Billing, url: str, db: Connection, people: Cast
) -> None:
    alice, bob = people.alice.id, people.bob.id
    work: dict[str, Uses] = {"one": [(alice, 1), (bob, 10)], "other": [(bob, 100), (alice, 1000)]}
    meet = Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        started = {name: pool.submit(record, billing, url, name, uses, meet) for name, uses in work.items()}
        ended = {name: future.result(BOUND) for name, future in started.items()}
    assert sorted(ended.values()) == ["counted", "gave way"]
    first, later = sorted(ended, key=lambda name: ended[name])
    of_the_first = dict(work[first])
    assert counted(db) == (of_the_first, of_the_first, {first}, 2)
    assert record(billing, url, later, work[later]) == "counted"
    both = {alice: 1001, bob: 110}
    assert counted(db) == (both, both, {"one", "other"}, 4)
