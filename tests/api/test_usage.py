"""POST /usage: what is reported counts once, on its day, all of a batch or nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing_db import Connection, connect, fetch_all
from tests.api.usage_calls import NOW, USAGE, days, events_in, faults, key_of, post
from tests.cast import Cast, Person


@pytest.fixture
def at_noon(make_app: Callable[..., Flask]) -> Callable[..., FlaskClient]:
    """A client of an app whose clock stands still."""

    def make(**settings: Any) -> FlaskClient:
        app = make_app(**settings)
        app.extensions["billing"].now = lambda: NOW
        return app.test_client()

    return make


# -- one event ------------------------------------------------------------------------------------------


def test_an_event_is_recorded_once_per_key(client: FlaskClient, db: Connection, people: Cast) -> None:
    event = {"metric": "tokens", "quantity": 1200, "idempotency_key": "call-1", "user_id": people.alice.id}
    first = post(client, event, people.ada)
    again = post(client, event, people.ada)
    assert (first.status_code, first.json["duplicate"]) == (202, False)
    assert again.json == {"id": first.json["id"], "duplicate": True}
    assert events_in(db) == 1
    assert [total for _, _, total in days(client, people.alice)] == [1200]


def test_without_a_key_every_report_counts(client: FlaskClient, people: Cast) -> None:
    for _ in range(3):
        assert post(client, {"metric": "tokens", "quantity": 5}, people.ada).json["duplicate"] is False
    assert [total for _, _, total in days(client, people.ada)] == [15]


def test_the_same_key_with_another_content_is_a_conflict(client: FlaskClient, db: Connection, people: Cast) -> None:
    post(client, {"metric": "tokens", "quantity": 5, "idempotency_key": "k"}, people.ada)
    for other in ({"quantity": 6}, {"metric": "api_calls"}, {"metadata": {"a": 1}}):
        event = {"metric": "tokens", "quantity": 5, "idempotency_key": "k", **other}
        reply = post(client, event, people.ada)
        assert (reply.status_code, reply.json["code"]) == (409, "idempotency_conflict")
        assert faults(reply) == [("/idempotency_key", "idempotency_conflict")]
    assert events_in(db) == 1


def test_metadata_in_another_order_and_a_number_written_otherwise_are_the_same_content(
    client: FlaskClient, people: Cast
) -> None:
    head = {**people.ada.headers, "Content-Type": "application/json", "Idempotency-Key": "k"}
    first = client.post(USAGE, headers=head, data=b'{"metric":"tokens","quantity":5,"metadata":{"a":1,"b":[]}}')
    assert faults(first) == [("/metadata/b", "field_type")]
    first = client.post(USAGE, headers=head, data=b'{"metric":"tokens","quantity":5,"metadata":{"a":1,"b":null}}')
    again = client.post(USAGE, headers=head, data=b'{"metadata":{"b":null,"a":1.0},"amount":5e0,"metric":"tokens"}')
    assert (first.json["duplicate"], again.json["duplicate"]) == (False, True)


def test_a_key_is_its_users_own(client: FlaskClient, people: Cast) -> None:
    for person in (people.alice, people.bob):
        event = {"metric": "tokens", "quantity": 5, "idempotency_key": "k", "user_id": person.id}
        assert post(client, event, people.ada).json["duplicate"] is False


def test_a_key_stands_in_the_body_or_in_the_header(client: FlaskClient, people: Cast) -> None:
    event = {"metric": "tokens", "quantity": 5}
    first = post(client, event, people.ada, Idempotency_Key="clé".encode().decode("latin-1"))
    for body, header in (({"idempotency_key": "clé"}, {}), ({"idempotency_key": "a"}, {"Idempotency_Key": "a"})):
        assert post(client, {**event, **body}, people.ada, **header).status_code == 202
    assert post(client, {**event, "idempotency_key": "clé"}, people.ada).json["id"] == first.json["id"]
    both = post(client, {**event, "idempotency_key": "a"}, people.ada, Idempotency_Key="b")
    assert (both.status_code, faults(both)) == (422, [("/idempotency_key", "field_differs")])


@pytest.mark.parametrize("key", ["", "k" * 256, "\xff"])
def test_a_header_that_is_no_key_is_named(client: FlaskClient, people: Cast, key: str) -> None:
    reply = post(client, {"metric": "tokens", "quantity": 5}, people.ada, Idempotency_Key=key)
    assert (reply.status_code, faults(reply)) == (422, [("/Idempotency-Key", "idempotency_key_invalid")])
    assert post(client, {"metric": "tokens", "quantity": 5}, people.ada, Idempotency_Key="k" * 255).status_code == 202


def test_amount_is_another_name_for_quantity(client: FlaskClient, people: Cast) -> None:
    assert post(client, {"metric": "tokens", "amount": 7}, people.ada).status_code == 202
    assert post(client, {"metric": "tokens", "amount": 7, "quantity": 7}, people.ada).status_code == 202
    both = post(client, {"metric": "tokens", "amount": 7, "quantity": 8}, people.ada)
    assert (both.status_code, faults(both)) == (422, [("/amount", "field_differs")])
    neither = post(client, {"metric": "tokens"}, people.ada)
    assert faults(neither) == [("/quantity", "field_missing")]
    assert [total for _, _, total in days(client, people.ada)] == [14]


def test_a_retry_without_an_instant_is_a_duplicate_however_late(make_app: Callable[..., Flask], people: Cast) -> None:
    app = make_app()
    client, event = app.test_client(), {"metric": "tokens", "quantity": 5, "idempotency_key": "k"}
    post(client, event, people.ada)
    app.extensions["billing"].now = lambda: datetime.now(UTC) + timedelta(days=2)
    assert post(client, event, people.ada).json["duplicate"] is True


def test_no_quota_refuses_what_has_happened_and_the_answer_warns(client: FlaskClient, people: Cast) -> None:
    alerts = []
    for quantity in (79_999, 1, 19_999, 1, 1_000_000):  # free: 100 000 tokens, hard
        reply = post(client, {"metric": "tokens", "quantity": quantity, "user_id": people.alice.id}, people.ada)
        assert reply.status_code == 202
        alerts.append(reply.headers.get("X-Billing-Alert"))
    assert alerts == [None, "soft_limit_warning", "soft_limit_warning", "hard_limit_reached", "hard_limit_reached"]


def test_a_threshold_that_is_reached_is_signalled_once(make_app: Callable[..., Flask], people: Cast) -> None:
    from api_v1.signals import usage_threshold_reached

    app, heard = make_app(), []

    def hear(sender: Flask, crossing: Any) -> None:
        heard.append((sender is app, crossing.user_id, crossing.metric, crossing.percent))

    with usage_threshold_reached.connected_to(hear):
        for quantity in (80_000, 1_000, 19_000, 5):
            post(app.test_client(), {"metric": "tokens", "quantity": quantity}, people.ada)
    assert heard == [(True, 4, "tokens", 80), (True, 4, "tokens", 100)]


# -- when ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOW - timedelta(days=35), None),
        (NOW - timedelta(days=35, seconds=-1), None),
        (NOW - timedelta(days=35, seconds=1), "at_too_old"),
        (NOW + timedelta(minutes=1), None),
        (NOW + timedelta(minutes=5, seconds=-1), None),
        (NOW + timedelta(minutes=5), None),
        (NOW + timedelta(minutes=5, seconds=1), "at_in_future"),
    ],
)
def test_an_instant_may_lie_35_days_back_and_5_minutes_ahead(
    at_noon: Callable[..., FlaskClient], db: Connection, people: Cast, at: datetime, code: str | None
) -> None:
    reply = post(at_noon(), {"metric": "tokens", "quantity": 5, "at": at.isoformat()}, people.ada)
    if code is None:
        assert reply.status_code == 202
    else:
        assert (reply.status_code, reply.json["code"], faults(reply)) == (422, code, [("/at", code)])
    assert events_in(db) == (code is None)


def test_an_event_counts_on_the_local_day_of_its_instant(at_noon: Callable[..., FlaskClient], people: Cast) -> None:
    client = at_noon(BILLING_TIMEZONE="Europe/Paris")  # UTC+2 in May
    for at, quantity in (
        ("2026-05-17T21:59:59Z", 1), ("2026-05-17T22:00:00Z", 2), ("2026-05-18T00:00:00+02:00", 4),
        ("2026-05-18T21:59:59.999999Z", 8), ("2026-05-18T14:00:00-08:00", 16), ("2026-05-18t22:00:00z", 32),
    ):  # fmt: skip
        assert post(client, {"metric": "tokens", "quantity": quantity, "at": at}, people.ada).status_code == 202
    assert days(client, people.ada) == [
        ("2026-05-19", "tokens", 48),
        ("2026-05-18", "tokens", 14),
        ("2026-05-17", "tokens", 1),
    ]


def test_a_leap_second_belongs_to_the_day_that_it_ends(at_noon: Callable[..., FlaskClient], people: Cast) -> None:
    client = at_noon()
    for at in ("2026-05-18T23:59:60Z", "2026-05-19T01:59:60.5+02:00"):
        assert post(client, {"metric": "tokens", "quantity": 1, "at": at}, people.ada).status_code == 202
    assert days(client, people.ada) == [("2026-05-18", "tokens", 2)]


# -- a batch -------------------------------------------------------------------------------------------


def test_a_batch_is_answered_event_by_event(client: FlaskClient, db: Connection, people: Cast) -> None:
    def event(quantity: int, key: str | None, person: Person) -> dict[str, Any]:
        return {"metric": "tokens", "quantity": quantity, "idempotency_key": key, "user_id": person.id}

    first = post(client, event(1, "a", people.alice), people.ada)
    batch = [event(1, "a", people.alice), event(2, "b", people.alice), event(4, "b", people.bob),
             event(2, "b", people.alice), event(8, None, people.bob), event(8, None, people.bob)]  # fmt: skip
    reply = post(client, {"events": batch}, people.ada)
    assert reply.status_code == 202
    assert (reply.json["accepted"], reply.json["duplicates"]) == (4, 2)
    results = reply.json["results"]
    assert [(result["index"], result["duplicate"]) for result in results] == [
        (0, True), (1, False), (2, False), (3, True), (4, False), (5, False),
    ]  # fmt: skip
    assert results[0]["id"] == first.json["id"]
    assert results[3]["id"] == results[1]["id"]
    assert [total for _, _, total in days(client, people.alice)] == [3]
    assert [total for _, _, total in days(client, people.bob)] == [20]
    stored = {row["id"] for row in fetch_all(db, "SELECT id FROM usage_events")}
    assert stored == {result["id"] for result in results}


def test_a_thousand_events_are_a_batch_and_one_more_is_not(client: FlaskClient, db: Connection, people: Cast) -> None:
    def batch(many: int) -> dict[str, Any]:
        return {"events": [{"metric": "tokens", "quantity": 1} for _ in range(many)]}

    assert faults(post(client, batch(0), people.ada)) == [("/events", "field_length")]
    assert faults(post(client, batch(1001), people.ada)) == [("/events", "field_length")]
    assert events_in(db) == 0
    assert post(client, batch(999), people.ada).json["accepted"] == 999
    assert post(client, batch(1000), people.ada).json["accepted"] == 1000
    assert [total for _, _, total in days(client, people.ada)] == [1999]


def test_a_thousand_events_with_the_longest_keys_fit(client: FlaskClient, people: Cast) -> None:
    events = [
        {"metric": "m" * 63, "quantity": 2**53, "at": datetime.now(UTC).isoformat(), "user_id": people.alice.id,
         "idempotency_key": f"{number:04d}" + "𝄞" * 251, "metadata": {"request": "x" * 100}}
        for number in range(1000)
    ]  # fmt: skip
    raw = json.dumps({"events": events}, ensure_ascii=False).encode()
    assert 1024 * 1024 < len(raw) < 2 * 1024 * 1024
    reply = client.post(USAGE, data=raw, content_type="application/json", headers=people.ada.headers)
    assert (reply.status_code, reply.json["code"]) == (422, "day_is_full")  # 1000 × 2^53 are more than a day holds
    for event in events:
        event["quantity"] = 2**43
    raw = json.dumps({"events": events}, ensure_ascii=False).encode()
    reply = client.post(USAGE, data=raw, content_type="application/json", headers=people.ada.headers)
    assert reply.json["accepted"] == 1000
    assert sum(total for _, _, total in days(client, people.alice)) == 1000 * 2**43


def test_every_fault_of_a_batch_is_named_and_nothing_is_written(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    client = make_app(BILLING_ACCOUNTS="1").test_client()
    good = {"metric": "tokens", "quantity": 1}
    post(client, {**good, "idempotency_key": "used"}, people.ada)
    batch = [good, {**good, "quantity": -1}, {**good, "metric": "Tokens", "extra": 1}, {"metric": "tokens"}, 7, good]
    reply = post(client, {"events": batch}, people.ada)
    assert reply.status_code == 422
    assert faults(reply) == [
        ("/events/1/quantity", "field_range"),
        ("/events/2/metric", "field_format"),
        ("/events/2/extra", "field_unknown"),
        ("/events/3/quantity", "field_missing"),
        ("/events/4", "field_type"),
    ]
    batch = [
        good,
        {**good, "user_id": 999},
        {**good, "at": "1999-01-01T00:00:00Z"},
        {**good, "quantity": 2, "idempotency_key": "used"},
        {**good, "user_id": people.charlie.id},
        {**good, "at": "2999-01-01T00:00:00Z"},
    ]
    reply = post(client, {"events": batch}, people.ada)
    assert (reply.status_code, reply.json["code"]) == (422, "invalid_input")
    assert faults(reply) == [
        ("/events/1/user_id", "user_not_found"),
        ("/events/2/at", "at_too_old"),
        ("/events/3/idempotency_key", "idempotency_conflict"),
        ("/events/4/user_id", "user_not_found"),
        ("/events/5/at", "at_in_future"),
    ]
    assert events_in(db) == 1


def test_conflicts_and_nothing_else_are_a_conflict(client: FlaskClient, db: Connection, people: Cast) -> None:
    used = {"metric": "tokens", "quantity": 1, "idempotency_key": "used"}
    post(client, used, people.ada)
    batch = [{"metric": "tokens", "quantity": 5}, {**used, "quantity": 2}, used, {**used, "idempotency_key": "new"},
             {**used, "quantity": 3, "idempotency_key": "new"}]  # fmt: skip
    reply = post(client, {"events": batch}, people.ada)
    assert (reply.status_code, reply.json["code"]) == (409, "idempotency_conflict")
    assert [loc for loc, _ in faults(reply)] == ["/events/1/idempotency_key", "/events/4/idempotency_key"]
    assert events_in(db) == 1
    assert post(client, {**used, "quantity": 9, "idempotency_key": "new"}, people.ada).json["duplicate"] is False


def test_a_header_key_is_not_for_a_batch(client: FlaskClient, db: Connection, people: Cast) -> None:
    reply = post(client, {"events": [{"metric": "tokens", "quantity": 1}]}, people.ada, Idempotency_Key="k")
    assert (reply.status_code, faults(reply)) == (422, [("/Idempotency-Key", "header_not_for_batch")])
    assert events_in(db) == 0


def test_eight_threads_with_shared_keys_in_different_orders_record_each_key_once(
    make_app: Callable[..., Flask], db: Connection, url: str, people: Cast
) -> None:
    app, headers = make_app(), key_of(db, people.ada)
    users = (people.alice, people.bob, people.ada)
    shared = [
        {"metric": metric, "quantity": 2**number, "idempotency_key": f"key-{number}", "user_id": person.id}
        for number in range(12)
        for person in users
        for metric in ("tokens" if number % 2 else "reports",)
    ]
    answers: list[tuple[int, int]] = []
    start = threading.Barrier(8)

    def send(thread: int) -> None:
        client = app.test_client()
        start.wait(timeout=30)
        for round_ in range(6):
            turned = shared[(thread * 5 + round_) % len(shared) :] + shared[: (thread * 5 + round_) % len(shared)]
            reply = post(client, {"events": turned[:: 1 if thread % 2 else -1]}, headers)
            answers.append((reply.status_code, reply.json.get("accepted", -1)))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert {status for status, _ in answers} == {202}
    assert (len(answers), sum(accepted for _, accepted in answers)) == (48, len(shared))
    check = connect(url)
    try:
        rows = fetch_all(
            check, "SELECT metric, SUM(used) AS used, COUNT(*) AS users FROM usage_counters GROUP BY metric"
        )
    finally:
        check.close()
    # odd numbers are tokens: 2 + 8 + 32 + 128 + 512 + 2048; even ones reports: 1 + 4 + 16 + 64 + 256 + 1024
    assert {row["metric"]: (int(row["used"]), row["users"]) for row in rows} == {
        "tokens": (3 * 2730, 3), "reports": (3 * 1365, 3),
    }  # fmt: skip
