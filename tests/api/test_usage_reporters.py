"""POST /usage: who may report for whom, and who may take back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing_db import Connection, fetch_all
from tests.api.usage_calls import NOW, days, events_in, faults, key_of, post
from tests.cast import Cast


@pytest.fixture
def at_noon(make_app: Callable[..., Flask]) -> Callable[..., FlaskClient]:
    """A client of an app whose clock stands still."""

    def make(**settings: Any) -> FlaskClient:
        app = make_app(**settings)
        app.extensions["billing"].now = lambda: NOW
        return app.test_client()

    return make


# -- who -----------------------------------------------------------------------------------------------


def test_an_admin_and_his_key_report_for_anybody_of_the_tenant(
    client: FlaskClient, db: Connection, people: Cast
) -> None:
    for who in (people.ada, key_of(db, people.ada)):
        for user_id in (people.bob.id, str(people.bob.id), people.ada.id, None):
            event = {"metric": "made_up", "quantity": 1, "user_id": user_id}
            assert post(client, event, who).status_code == 202
        for user_id in (people.charlie.id, 999, 2**63 - 1, "someone", "01"):
            reply = post(client, {"metric": "tokens", "quantity": 1, "user_id": user_id}, people.dora)
            assert reply.status_code == (202 if user_id == people.charlie.id else 404)
    assert [total for _, _, total in days(client, people.bob)] == [4]


def test_unknown_users_and_those_of_another_tenant_are_not_there(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    client = make_app(BILLING_ACCOUNTS="1").test_client()
    good = {"metric": "tokens", "quantity": 1}
    single = post(client, {**good, "user_id": people.charlie.id}, people.ada)
    assert (single.status_code, faults(single)) == (404, [("/user_id", "user_not_found")])
    assert post(client, {**good, "user_id": 999}, people.ada).data == single.data
    batch = [good, {**good, "user_id": 999}, {**good, "user_id": people.charlie.id}, {**good, "user_id": people.bob.id}]
    reply = post(client, {"events": batch}, people.ada)
    assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")
    assert faults(reply) == [("/events/1/user_id", "user_not_found"), ("/events/2/user_id", "user_not_found")]
    assert events_in(db) == 0


def test_a_key_of_a_plain_user_reports_for_himself_only(client: FlaskClient, db: Connection, people: Cast) -> None:
    key = key_of(db, people.bob)
    assert post(client, {"metric": "made_up", "quantity": 1}, key).status_code == 202
    assert post(client, {"metric": "tokens", "quantity": 1, "user_id": people.bob.id}, key).status_code == 202
    for other in (people.alice.id, people.ada.id, people.charlie.id, 999):
        assert post(client, {"metric": "tokens", "quantity": 1, "user_id": other}, key).status_code == 404
    batch = {"events": [{"metric": "tokens", "quantity": 1}, {"metric": "tokens", "quantity": 1, "user_id": 1}]}
    assert post(client, batch, key).status_code == 404
    assert events_in(db) == 2


def test_a_key_without_the_scope_reports_nothing(client: FlaskClient, db: Connection, people: Cast) -> None:
    key = key_of(db, people.ada, "billing.read", "billing.write")
    reply = post(client, {"metric": "tokens", "quantity": 1}, key)
    assert (reply.status_code, reply.json["code"]) == (403, "scope_missing")


def test_a_person_reports_for_himself_where_that_is_allowed(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    event = {"metric": "tokens", "quantity": 1}
    refused = post(make_app().test_client(), event, people.bob)
    assert (refused.status_code, refused.json["code"]) == (403, "self_report_off")
    client = make_app(BILLING_SELF_REPORT="1").test_client()
    assert post(client, event, people.bob).status_code == 202
    assert post(client, {**event, "user_id": people.alice.id}, people.bob).status_code == 404
    unknown = post(client, {"events": [event, {**event, "metric": "made_up"}]}, people.bob)
    assert (unknown.status_code, faults(unknown)) == (422, [("/events/1/metric", "metric_unknown")])
    assert events_in(db) == 1


def test_where_the_hosts_users_are_elsewhere_its_admin_may_name_one_first(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    client = make_app(BILLING_ACCOUNTS="0").test_client()
    good = {"metric": "tokens", "quantity": 1}
    assert post(client, {"events": [{**good, "user_id": 70}, {**good, "user_id": "71"}]}, people.ada).status_code == 202
    refused = [{**good, "user_id": 72}, {**good, "at": "1999-01-01T00:00:00Z"}]
    assert post(client, {"events": refused}, people.ada).status_code == 422
    assert post(client, {**good, "user_id": 73}, people.dora).status_code == 404
    assert post(client, {**good, "user_id": 74}, key_of(db, people.bob)).status_code == 404
    known = {row["id"] for row in fetch_all(db, "SELECT id FROM users WHERE id >= 70")}
    assert known == {70, 71}


# -- corrections ---------------------------------------------------------------------------------------


def test_an_admin_takes_back_part_of_an_event_on_its_own_day(
    at_noon: Callable[..., FlaskClient], db: Connection, people: Cast
) -> None:
    client = at_noon()
    event = {"metric": "tokens", "quantity": 100, "at": "2026-05-18T09:00:00Z", "user_id": people.alice.id}
    event_id = post(client, event, people.ada).json["id"]
    correction = {"corrects": event_id, "quantity": -30, "metadata": {"why": "counted twice"}}
    first = post(client, correction, key_of(db, people.ada), Idempotency_Key="c1")
    again = post(client, {**correction, "idempotency_key": "c1"}, people.ada)
    assert (first.status_code, again.json) == (202, {"id": first.json["id"], "duplicate": True})
    assert days(client, people.alice) == [("2026-05-18", "tokens", 70)]
    too_much = post(client, {"corrects": event_id, "amount": -71}, people.ada)
    assert (too_much.status_code, too_much.json["code"]) == (409, "correction_too_large")
    assert post(client, {"corrects": event_id, "quantity": -70}, people.ada).status_code == 202
    assert days(client, people.alice) == [("2026-05-18", "tokens", 0)]


def test_a_correction_is_an_admins_of_that_tenant(make_app: Callable[..., Flask], db: Connection, people: Cast) -> None:
    client = make_app(BILLING_SELF_REPORT="1").test_client()
    event_id = post(client, {"metric": "tokens", "quantity": 5}, people.bob).json["id"]
    for who in (people.bob, key_of(db, people.bob)):
        reply = post(client, {"corrects": event_id, "quantity": -1}, who)
        assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
    for gone in (event_id, "nobody's"):
        reply = post(client, {"corrects": gone, "quantity": -1}, people.dora)
        assert (reply.status_code, reply.json["code"]) == (404, "usage_event_not_found")
    taken = post(client, {"corrects": event_id, "quantity": -1}, people.ada).json["id"]
    assert post(client, {"corrects": taken, "quantity": -1}, people.ada).status_code == 404
    assert [total for _, _, total in days(client, people.bob)] == [4]


@pytest.mark.parametrize("quantity", [0, 1, -(2**53) - 1, -0.5, "-1", None, True])
def test_a_correction_takes_away(client: FlaskClient, people: Cast, quantity: Any) -> None:
    reply = post(client, {"corrects": "x", "quantity": quantity}, people.ada)
    assert (reply.status_code, [loc for loc, _ in faults(reply)]) == (422, ["/quantity"])
    inside = post(client, {"events": [{"corrects": "x", "quantity": -1}]}, people.ada)
    assert ("/events/0/corrects", "field_unknown") in faults(inside)  # one by one, not in a batch
