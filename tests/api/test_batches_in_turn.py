"""Batches wait for each other within a process, and no longer than for a database that somebody else holds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

import billing_db
from billing_db import Connection, atomic, fetch_one
from tests.cast import Cast

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
BOUND = 30  # seconds
USAGE = "/api/v1/billing/usage"


def post(client: FlaskClient, people: Cast, names: list[str]) -> Any:
    """From a thread of its own, whose connection is closed then."""
    events = [
        {"metric": "tokens", "quantity": 1, "user_id": people.alice.id, "idempotency_key": name} for name in names
    ]
    try:
        return client.application.test_client().post(USAGE, json={"events": events}, headers=people.ada.headers)
    finally:
        billing_db.close_db()


def events_in(db: Connection) -> int:
    row = fetch_one(db, "SELECT COUNT(*) AS events FROM usage_events")
    return int(row["events"]) if row else 0


def test_who_cannot_have_his_turn_is_told_that_the_database_is_busy(
    client: FlaskClient, db: Connection, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert post(client, people, ["before"]).status_code == 202
    monkeypatch.setattr(billing_db, "BUSY_SECONDS", 0.2)
    with ThreadPoolExecutor(4) as pool:
        with atomic(db):
            waiting = [pool.submit(post, client, people, [f"{number}", "both"]) for number in range(4)]
            answers = [future.result(BOUND) for future in waiting]
        assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(503, "database_busy")] * 4
        assert events_in(db) == 1
        again = [pool.submit(post, client, people, [f"{number}", "both"]).result(BOUND) for number in range(4)]
    assert [answer.status_code for answer in again] == [202] * 4
    assert events_in(db) == 1 + 4 + 1


def test_a_batch_that_is_refused_leaves_its_turn(client: FlaskClient, db: Connection, people: Cast) -> None:
    assert post(client, people, ["a"]).status_code == 202
    for _ in range(2):
        reply = client.post(
            USAGE,
            json={"events": [{"metric": "tokens", "quantity": 2, "user_id": people.alice.id, "idempotency_key": "a"}]},
            headers=people.ada.headers,
        )
        assert reply.status_code == 409
    assert post(client, people, ["b"]).status_code == 202
    assert events_in(db) == 2


def test_single_events_do_not_wait_for_a_batch_s_turn(
    client: FlaskClient, db: Connection, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api_v1.routes import usage

    taken = threading.Lock()
    monkeypatch.setattr(usage, "_turn", taken)
    with taken:
        reply = client.post(USAGE, json={"metric": "tokens", "quantity": 1}, headers=people.ada.headers)
        assert reply.status_code == 202
    assert events_in(db) == 1
