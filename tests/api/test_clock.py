"""The test clock: who moves it, how far, what happens meanwhile, and that production has none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from billing_db import Connection, atomic, execute, fetch_one
from tests.api.subscribing import PREFIX, Desk, faults
from tests.cast import Cast, Person, token_for
from turf_saas import clock, doctor
from turf_saas.errors import Forbidden
from turf_saas.settings import read_settings
from turf_saas.values import instant_text

REAL = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    return Desk(make_app().test_client(), db, people)


def test_until_it_is_set_the_real_time_holds(desk: Desk, ada: Person) -> None:
    before = instant_text(datetime.now(UTC))
    found = desk.get(ada, "/test-clock").json
    assert (found["is_set"], before <= found["now"] <= instant_text(datetime.now(UTC))) == (False, True)


def test_it_stands_where_it_was_put_and_everything_that_fell_due_has_happened(desk: Desk, people: Cast) -> None:
    desk.at("2026-01-31T10:00")
    for person, plan in ((people.alice, "anniversary"), (people.bob, "yearly")):
        desk.subscribe(person, plan)
    moved = desk.at("2026-04-01T00:00").json
    assert moved == {"now": "2026-04-01T00:00:00Z", "is_set": True, "advanced": 1, "failed": []}
    assert desk.get(people.ada, "/test-clock").json == {"now": "2026-04-01T00:00:00Z", "is_set": True}
    assert [fee[1] for fee in desk.fees() if fee[0] == "anniversary"] == ["2026-01-31", "2026-02-28", "2026-03-31"]


def test_it_moves_forward_only_until_it_is_taken_away(desk: Desk, ada: Person) -> None:
    desk.at("2026-05-20T10:00")
    desk.at("2026-05-20T10:00")  # where it is already
    reply = desk.post(ada, "/test-clock", {"now": "2026-05-20T09:59:59Z"})
    assert (reply.status_code, reply.json["code"]) == (409, "clock_backwards")
    assert "2026-05-20T10:00:00Z" in reply.json["error"]
    gone = desk.post(ada, "/test-clock", {"now": None})
    assert (gone.status_code, gone.json["is_set"]) == (200, False)
    desk.at("2026-05-19T00:00")


@pytest.mark.parametrize("days", [-3_660, 3_660])
def test_it_stays_within_ten_years_of_the_real_time(db: Connection, days: int) -> None:
    edge, beyond = REAL + timedelta(days=days), timedelta(seconds=1 if days > 0 else -1)
    with pytest.raises(Exception, match="clock_out_of_range"):
        clock.set_clock(db, REAL, SETTINGS, edge + beyond)
    assert clock.find_clock(db) is None
    assert clock.set_clock(db, REAL, SETTINGS, edge - beyond).now == edge - beyond
    if days > 0:
        assert clock.set_clock(db, REAL, SETTINGS, edge).now == edge


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/now", "field_missing")]),
        ({"now": "tomorrow"}, [("/now", "instant_invalid")]),
        ({"now": "2026-05-20T10:00:00"}, [("/now", "instant_without_zone")]),
        ({"now": 1_800_000_000}, [("/now", "field_type")]),
        ({"now": None, "then": None}, [("/then", "field_unknown")]),
    ],
)
def test_what_is_no_instant_is_refused(desk: Desk, ada: Person, body: Any, expected: list[tuple[str, str]]) -> None:
    reply = desk.post(ada, "/test-clock", body)
    assert (reply.status_code, faults(reply)) == (422, expected)
    assert clock.find_clock(desk.db) is None


@pytest.mark.parametrize("now", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_the_edges_of_the_calendar_are_out_of_reach(desk: Desk, ada: Person, now: str) -> None:
    reply = desk.post(ada, "/test-clock", {"now": now})
    assert (reply.status_code, reply.json["code"]) == (422, "clock_out_of_range")


def test_only_an_admin_of_the_first_tenant_moves_it(desk: Desk, people: Cast) -> None:
    for person in (people.alice, people.charlie, people.dora):
        assert desk.post(person, "/test-clock", {"now": "2026-05-20T10:00:00Z"}).status_code == 403
        assert desk.get(person, "/test-clock").status_code == 403
    assert clock.find_clock(desk.db) is None


def test_all_of_billing_believes_it(desk: Desk, alice: Person) -> None:
    desk.at("2027-03-10T10:00")
    assert desk.get(alice, "/consumption").json["month"] == "2027-03"
    assert desk.get(alice, "/quotas").json["month"] == "2027-03"


def test_tokens_expire_by_the_real_time(desk: Desk, alice: Person) -> None:
    desk.at("2030-01-01T00:00")
    assert desk.get(alice, "/consumption").status_code == 200
    late = {"Authorization": f"Bearer {token_for(alice.id, exp=int(datetime.now(UTC).timestamp()) - 60)}"}
    assert desk.client.get(f"{PREFIX}/consumption", headers=late).status_code == 401


def test_another_process_sees_it(desk: Desk, make_app: Callable[..., Flask], ada: Person) -> None:
    desk.at("2030-01-01T00:00")
    other = make_app().test_client().get(f"{PREFIX}/test-clock", headers=ada.headers)
    assert other.json["now"] == "2030-01-01T00:00:00Z"


def test_the_same_move_again_changes_nothing(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-20T10:00")
    desk.subscribe(people.alice, "ten")
    assert [desk.at("2026-06-20T00:00").json["advanced"] for _ in range(2)] == [1, 0]
    assert len(desk.fees()) == 2


def test_what_cannot_go_on_is_named_and_stops_nobody_else(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-01T00:00")
    broken = desk.subscribe(people.alice, "ten")["id"]
    desk.subscribe(people.bob, "ten")
    with atomic(desk.db):  # another program writes a plan that nobody knows
        execute(desk.db, "UPDATE saas_subscriptions SET plan = 'gone' WHERE id = :id", id=broken)
    moved = desk.at("2026-06-01T00:00").json
    assert desk.now(people.bob)["current_period_start"] == "2026-06-01T00:00:00Z"
    assert [found["subscription_id"] for found in moved["failed"]] in ([], [broken])


# -- production ----------------------------------------------------------------------------------------------


@pytest.fixture
def production(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    clock.set_clock(db, REAL, SETTINGS, REAL + timedelta(days=400))  # as it came with a copied database
    return Desk(make_app(BILLING_ENV="production").test_client(), db, people)


def test_production_has_no_such_route_and_does_not_believe_a_clock_that_is_there(production: Desk, ada: Person) -> None:
    for reply in (production.get(ada, "/test-clock"), production.post(ada, "/test-clock", {"now": None})):
        assert (reply.status_code, reply.json["code"]) == (404, "not_found")
    document = production.client.get(f"{PREFIX}/openapi.json").json
    assert "/test-clock" not in document["paths"]
    assert "/subscription" in document["paths"]
    this_month = instant_text(datetime.now(UTC))[:7]
    assert production.get(ada, "/consumption").json["month"] == this_month


def test_production_refuses_it_in_python_too(db: Connection) -> None:
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "production"})
    for now in (REAL, None):
        with pytest.raises(Forbidden, match="clock_in_production"):
            clock.set_clock(db, REAL, settings, now)


@pytest.mark.parametrize(
    ("env", "level"), [("production", "error"), ("testing", "warning"), ("development", "warning")]
)
def test_doctor_finds_one_that_is_set(db: Connection, url: str, env: str, level: str) -> None:
    settings = read_settings({"TURF_SAAS_DB": url, "BILLING_ENV": env})
    assert [found.level for found in doctor.examine_database(db, REAL, settings) if found.check == "clock"] == ["ok"]
    clock.set_clock(db, REAL, SETTINGS, REAL)
    found = next(found for found in doctor.examine_database(db, REAL, settings) if found.check == "clock")
    assert (found.level, "2026-05-20T10:00:00Z" in found.message) == (level, True)


def test_a_database_that_is_not_migrated_yet_has_the_real_time(
    make_app: Callable[..., Flask], empty_url: str, url: str
) -> None:
    app = make_app(TURF_SAAS_DB=empty_url)
    runtime = app.extensions["billing"]
    assert abs(runtime.now() - datetime.now(UTC)) < timedelta(minutes=5)
    runtime.ready()
    assert fetch_one(runtime.db(), "SELECT COUNT(*) AS n FROM billing_test_clock")["n"] == 0
