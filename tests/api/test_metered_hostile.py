"""Quotas and counts of the host's routes against clients, hosts and other programs that mean them no good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, request

import billing_db
from api_v1 import Billing, requires_quota
from api_v1.signals import usage_threshold_reached
from billing_db import Connection, atomic, execute, fetch_all, run_script
from tests.cast import SECRET, Cast, Person
from turf_saas import usage
from turf_saas.settings import read_settings


@pytest.fixture
def host(url: str, people: Cast) -> Flask:
    app = Flask("host")
    config = {"TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "testing", "PROPAGATE_EXCEPTIONS": False}
    app.config.update(config, BILLING_LIMIT_FREE_TOKENS="100")
    return app


@pytest.fixture
def told(host: Flask) -> Iterator[list[Any]]:
    heard: list[Any] = []

    def listen(app: Flask, crossing: Any) -> None:
        heard.append((crossing.user_id, crossing.percent))

    with usage_threshold_reached.connected_to(listen, sender=host):
        yield heard


def used(db: Connection) -> dict[str, int]:
    return {row["metric"]: row["used"] for row in fetch_all(db, "SELECT metric, used FROM usage_counters")}


@pytest.mark.parametrize("metric", ["tokens", "api_calls"])
@pytest.mark.parametrize("asked", [-50, -1, 0, 2.5, True, "7", None, [1], 2**53 + 1, 10**40])
def test_a_quantity_that_a_client_makes_up_buys_nothing(
    host: Flask, alice: Person, db: Connection, asked: Any, metric: str
) -> None:
    Billing(host)

    @host.post("/forecast")
    @requires_quota(metric, quantity=lambda: request.json["budget"])  # type: ignore[index]
    def forecast() -> str:
        return "done"

    client = host.test_client()
    assert client.post("/forecast", json={"budget": 80}, headers=alice.headers).status_code == 200
    refused = client.post("/forecast", json={"budget": asked}, headers=alice.headers)
    assert refused.status_code == 422, refused.data
    assert used(db) == {metric: 80}


def test_a_loader_that_fails_costs_the_count_and_not_the_answer(url: str, host: Flask, db: Connection) -> None:
    def loader() -> Any:
        raise KeyError("user_id")

    Billing(host, user_loader=loader, meter="/")

    @host.get("/free")
    def free() -> str:
        return "for everybody"

    answer = host.test_client().get("/free")
    assert (answer.status_code, answer.text) == (200, "for everybody")


def test_what_cannot_be_given_back_does_not_keep_the_others(
    host: Flask, url: str, alice: Person, db: Connection
) -> None:
    Billing(host)
    settings = read_settings({"TURF_SAAS_DB": url})

    @host.get("/both")
    @requires_quota("tokens", 60)
    @requires_quota("searches", 7)
    def both() -> Any:
        lent, runtime = billing_db.connect(url), host.extensions["billing"]
        [event] = fetch_all(lent, "SELECT id FROM usage_events WHERE metric = 'searches'")
        usage.correct_event(lent, runtime.now(), settings, 1, event["id"], -7)  # an admin was faster
        lent.close()
        return "not now", 503

    assert host.test_client().get("/both", headers=alice.headers).status_code == 503
    assert used(db) == {"tokens": 0, "searches": 0}


# -- thresholds ---------------------------------------------------------------------------------------


def test_thresholds_of_two_hundred_and_fifty_users_in_one_batch_are_all_told(
    host: Flask, told: list[Any], ada: Person, db: Connection
) -> None:
    Billing(host)
    many = range(100, 350)
    with atomic(db):
        for user_id in many:
            execute(db, "INSERT INTO users (id, name) VALUES (:id, 'one of many')", id=user_id)
    events = [{"metric": "tokens", "quantity": 100, "user_id": user_id} for user_id in many]
    answer = host.test_client().post("/api/v1/billing/usage", json={"events": events}, headers=ada.headers)
    assert answer.status_code == 202
    assert sorted(told) == [(user_id, percent) for user_id in many for percent in (80, 100)]


REFUSES_TO_NOTE = {
    "sqlite": """CREATE TRIGGER refused BEFORE UPDATE ON usage_thresholds
                 BEGIN SELECT RAISE(ABORT, 'not now'); END;""",
    "postgresql": """CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN RAISE EXCEPTION ''not now''; END';
                     CREATE TRIGGER refused BEFORE UPDATE ON usage_thresholds
                     FOR EACH ROW EXECUTE FUNCTION refused();""",
}


def test_what_is_recorded_is_answered_so_though_its_threshold_cannot_be_told_yet(
    host: Flask, told: list[Any], ada: Person, db: Connection, engine: str
) -> None:
    """A 503 after the commit would make the client send it again."""
    Billing(host)
    with atomic(db):
        run_script(db, REFUSES_TO_NOTE[engine])
    client, event = host.test_client(), {"metric": "tokens", "quantity": 100}
    assert client.post("/api/v1/billing/usage", json=event, headers=ada.headers).status_code == 202
    assert (used(db), told) == ({"tokens": 100}, [])
    with atomic(db):
        execute(db, f"DROP TRIGGER refused {'ON usage_thresholds' if engine == 'postgresql' else ''}")
    assert client.get("/api/v1/billing/quotas", headers=ada.headers).status_code == 200
    assert told == [(ada.id, 80), (ada.id, 100)]


def test_a_threshold_of_a_lent_transaction_is_told_though_another_request_ends_before_its_commit(
    host: Flask, told: list[Any], url: str, alice: Person, db: Connection
) -> None:
    billing = Billing(host)

    @host.get("/work")
    def work() -> str:
        lent = billing_db.connect(url)
        with atomic(lent):
            billing.record_usage(alice.id, "tokens", 85, db=lent)
            other = threading.Thread(target=lambda: host.test_client().get("/api/v1/billing/healthz"))
            other.start()
            other.join(10)
        lent.close()
        return "done"

    assert host.test_client().get("/work").status_code == 200
    assert told == [(alice.id, 80)]
    assert fetch_all(db, "SELECT percent FROM usage_thresholds WHERE signalled_at IS NULL") == []
