"""POST /quotas/reserve, and what becomes of it: settled, released, or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api_v1.signals import usage_threshold_reached
from billing_db import Connection, fetch_all
from tests.api.test_quotas import key_of
from tests.cast import Cast, Person
from turf_saas import admission
from turf_saas.settings import read_settings
from turf_saas.users import User
from turf_saas.values import parse_instant

QUOTAS = "/api/v1/billing/quotas"
RESERVE = f"{QUOTAS}/reserve"
MOST = 2**53
TOKENS = {"metric": "tokens", "quantity": 60}


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app(BILLING_SELF_REPORT="1", BILLING_LIMIT_FREE_TOKENS="100").test_client()


def end(client: FlaskClient, person: Person, reservation_id: str, how: str, **options: Any) -> Any:
    return client.post(f"{QUOTAS}/reservations/{reservation_id}/{how}", headers=person.headers, **options)


def tokens(client: FlaskClient, person: Person) -> tuple[int, int]:
    shown = client.get(QUOTAS, headers=person.headers).json["quotas"]
    return next((quota["used"], quota["reserved"]) for quota in shown if quota["metric"] == "tokens")


@pytest.fixture
def held(client: FlaskClient, alice: Person) -> str:
    return str(client.post(RESERVE, json=TOKENS, headers=alice.headers).json["id"])


# -- held ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "seconds"), [({}, 900), ({"expires_in": 1}, 1), ({"expires_in": 86_400}, 86_400)])
def test_a_quantity_is_held_for_a_while(client: FlaskClient, alice: Person, sent: dict[str, int], seconds: int) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    reply = client.post(RESERVE, json={**TOKENS, **sent}, headers=alice.headers)
    after = datetime.now(UTC)
    assert reply.status_code == 201
    expires_at = parse_instant(reply.json["expires_at"])
    assert before <= expires_at - timedelta(seconds=seconds) <= after
    assert reply.json == {
        "id": reply.json["id"],
        "user_id": alice.id,
        "metric": "tokens",
        "quantity": 60,
        "state": "held",
        "expires_at": reply.json["expires_at"],
    }
    assert tokens(client, alice) == (0, 60)


@pytest.mark.parametrize(("quantity", "status"), [(99, 201), (100, 201), (101, 429)])
def test_past_the_limit_it_is_429_with_all_that_helps(
    client: FlaskClient, alice: Person, quantity: int, status: int
) -> None:
    client.post(RESERVE, json={**TOKENS, "quantity": 20}, headers=alice.headers)
    reply = client.post(RESERVE, json={**TOKENS, "quantity": quantity - 20}, headers=alice.headers)
    assert reply.status_code == status
    if status == 429:
        body = reply.json
        seconds = body.pop("resets_in_seconds")
        assert body == {
            "error": "Quota dépassé pour tokens : 20 utilisés sur 100.",
            "code": "quota_exceeded",
            "metric": "tokens",
            "used": 20,
            "limit": 100,
        }
        said = {name: value for name, value in reply.headers if name.startswith(("RateLimit", "Retry", "X-Billing"))}
        assert said == {
            "Retry-After": str(seconds),
            "X-Billing-Alert": "hard_limit_reached",
            "RateLimit-Limit": "100",
            "RateLimit-Remaining": "80",
            "RateLimit-Reset": str(seconds),
        }
    assert tokens(client, alice) == (0, quantity if status == 201 else 20)


@pytest.mark.parametrize(
    ("sent", "loc", "code"),
    [
        ({"quantity": 0}, "/quantity", "field_range"),
        ({"quantity": -1}, "/quantity", "field_range"),
        ({"quantity": MOST + 1}, "/quantity", "field_range"),
        ({"quantity": 10**40}, "/quantity", "field_range"),
        ({"quantity": 0.5}, "/quantity", "field_type"),
        ({"quantity": "5"}, "/quantity", "field_type"),
        ({"quantity": True}, "/quantity", "field_type"),
        ({"quantity": None}, "/quantity", "field_type"),
        ({"expires_in": 0}, "/expires_in", "field_range"),
        ({"expires_in": 86_401}, "/expires_in", "field_range"),
        ({"expires_in": "60"}, "/expires_in", "field_type"),
        ({"metric": "Tokens"}, "/metric", "field_format"),
        ({"metric": "t" * 64}, "/metric", "field_format"),
        ({"metric": ""}, "/metric", "field_format"),
        ({"metric": "reports"}, "/metric", "metric_unknown"),
        ({"user_id": 1.5}, "/user_id", "field_type"),
        ({"limit": 5}, "/limit", "field_unknown"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(
    client: FlaskClient, alice: Person, db: Connection, sent: dict[str, Any], loc: str, code: str
) -> None:
    reply = client.post(RESERVE, json={**TOKENS, **sent}, headers=alice.headers)
    assert reply.status_code == 422
    assert [(fault["loc"], fault["code"]) for fault in reply.json["errors"]] == [(loc, code)]
    assert fetch_all(db, "SELECT id FROM usage_reservations") == []


def test_an_unlimited_metric_is_held_up_to_what_can_be_counted(client: FlaskClient, people: Cast) -> None:
    ada = people.ada
    for _ in range(512):
        admission.reserve(
            ada.db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": "."}), User(4, 1, "user"), "reports", MOST
        )
    reply = client.post(RESERVE, json={"metric": "reports", "quantity": 1}, headers=ada.headers)
    assert (reply.status_code, reply.json["code"]) == (422, "reservations_full")
    assert client.get(QUOTAS, headers=ada.headers).json["quotas"][1]["reserved"] == 2**62


# -- who -------------------------------------------------------------------------------------------------


def test_who_may_hold_for_whom(make_app: Callable[..., Flask], client: FlaskClient, people: Cast) -> None:
    def status(of: FlaskClient, headers: dict[str, str], **named: Any) -> Any:
        reply = of.post(RESERVE, json={"metric": "tokens", "quantity": 1, **named}, headers=headers)
        return (reply.status_code, reply.json.get("user_id") or reply.json["code"])

    alice, strict = people.alice, make_app().test_client()
    writes = key_of(alice, "usage:write")
    assert status(strict, alice.headers) == (403, "self_report_off")
    assert status(strict, writes) == status(client, alice.headers) == status(strict, writes, user_id=1) == (201, 1)
    assert status(strict, writes, user_id=2) == status(client, alice.headers, user_id=2) == (404, "user_not_found")
    assert status(strict, key_of(alice, "billing.read", "billing.write")) == (403, "scope_missing")
    for headers in (people.ada.headers, key_of(people.ada, "usage:write")):
        assert status(strict, headers, user_id=2) == (201, 2)
        assert status(strict, headers, user_id=3) == (404, "user_not_found")


def test_an_admin_may_name_a_user_who_has_not_called_yet(client: FlaskClient, people: Cast, db: Connection) -> None:
    def entered() -> int:
        return len(fetch_all(db, "SELECT id FROM users WHERE id = 99"))

    sent = {**TOKENS, "user_id": 99}
    assert client.post(RESERVE, json={**sent, "quantity": 101}, headers=people.ada.headers).status_code == 429
    assert client.post(RESERVE, json=sent, headers=people.dora.headers).status_code == 404
    assert entered() == 0
    assert client.post(RESERVE, json=sent, headers=people.ada.headers).json["user_id"] == 99
    assert entered() == 1


def test_ending_another_ones_is_as_if_it_were_not_there(client: FlaskClient, people: Cast, held: str) -> None:
    for how, body in (("settle", {"quantity": 1}), ("release", {})):
        for person in (people.bob, people.charlie, people.dora):
            reply = end(client, person, held, how, json=body)
            assert (reply.status_code, reply.json["code"]) == (404, "reservation_not_found")
        missing = end(client, people.alice, "0" * 32, how, json=body)
        assert (missing.status_code, missing.json["code"]) == (404, "reservation_not_found")
    assert end(client, people.ada, held, "settle", json={"quantity": 1}).status_code == 200


# -- settled and released ------------------------------------------------------------------------------------


def test_settling_counts_once_and_says_where_one_stands(client: FlaskClient, alice: Person, held: str) -> None:
    crossings = []

    def told(_: Flask, crossing: Any) -> None:
        crossings.append((crossing.user_id, crossing.metric, crossing.percent))

    usage_threshold_reached.connect(told)
    replies = [end(client, alice, held, "settle", json={"quantity": 85}) for _ in range(2)]
    usage_threshold_reached.disconnect(told)
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].json == replies[1].json
    assert (replies[0].json["state"], replies[0].json["quantity"], replies[0].json["settled_quantity"]) == (
        "settled", 60, 85,
    )  # fmt: skip
    assert {reply.headers["X-Billing-Alert"] for reply in replies} == {"soft_limit_warning"}
    assert crossings == [(alice.id, "tokens", 80)]
    other = end(client, alice, held, "settle", json={"quantity": 84})
    assert (other.status_code, other.json["code"]) == (409, "reservation_settled")
    let_go = end(client, alice, held, "release")
    assert (let_go.status_code, let_go.json["code"]) == (409, "reservation_settled")
    assert tokens(client, alice) == (85, 0)


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"data": b""}, {"content_type": "text/plain"}])
def test_releasing_needs_no_body(client: FlaskClient, alice: Person, held: str, options: dict[str, Any]) -> None:
    replies = [end(client, alice, held, "release", **options) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].json == replies[1].json
    assert (replies[0].json["state"], replies[0].json["settled_quantity"]) == ("released", None)
    settled = end(client, alice, held, "settle", json={"quantity": 60})
    assert (settled.status_code, settled.json["code"]) == (409, "reservation_released")
    assert tokens(client, alice) == (0, 0)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"quantity": 5}}, 422),
        ({"json": []}, 422),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"{}", "content_type": "text/plain"}, 415),
        ({"data": b" " * (1024 * 1024 + 1), "content_type": "application/json"}, 413),
    ],
)
def test_a_body_that_is_there_is_read(
    client: FlaskClient, alice: Person, held: str, options: dict[str, Any], status: int
) -> None:
    assert end(client, alice, held, "release", **options).status_code == status
    assert tokens(client, alice) == (0, 60)


@pytest.mark.parametrize("quantity", [-1, MOST + 1, 0.5, "5", True, None])
def test_a_settled_quantity_is_a_whole_number(client: FlaskClient, alice: Person, held: str, quantity: Any) -> None:
    reply = end(client, alice, held, "settle", json={"quantity": quantity})
    assert (reply.status_code, reply.json["errors"][0]["loc"]) == (422, "/quantity")
    assert tokens(client, alice) == (0, 60)


def test_what_is_settled_after_the_hold_is_over_counts_all_the_same(client: FlaskClient, alice: Person) -> None:
    before = datetime.now(UTC) - timedelta(minutes=16)
    held = admission.reserve(
        alice.db, before, read_settings({"TURF_SAAS_DB": "."}), User(alice.id, 1, "user"), "tokens", 60
    )
    assert tokens(client, alice) == (0, 0)
    reply = end(client, alice, held.id, "settle", json={"quantity": MOST})
    assert (reply.status_code, reply.headers["X-Billing-Alert"]) == (200, "hard_limit_reached")
    assert tokens(client, alice) == (MOST, 0)
