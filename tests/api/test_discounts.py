"""POST, GET and DELETE /discounts; and what a code takes off a subscription's fees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from billing_db import Connection, fetch_all, fetch_one
from tests.api.invoicing import SETTINGS
from tests.api.selling import DISCOUNT, DISCOUNTS, faults
from tests.api.test_api_keys import key_of, with_key
from tests.cast import Cast, Person
from turf_saas.clock import set_clock

SUBSCRIPTIONS = "/api/v1/billing/subscriptions"


def give_out(client: FlaskClient, admin: Person, **changed: Any) -> TestResponse:
    return client.post(DISCOUNTS, json={**DISCOUNT, **changed}, headers=admin.headers)


def subscribe(client: FlaskClient, person: Person, code: str, plan: str = "premium") -> TestResponse:
    return client.post(SUBSCRIPTIONS, json={"plan": plan, "discount_code": code}, headers=person.headers)


def test_a_code_is_given_out_and_listed(client: FlaskClient, ada: Person, db: Connection) -> None:
    made = give_out(client, ada, code="Spring-25")
    assert made.status_code == 201
    assert {**made.json, "created_at": None} == {
        "code": "SPRING-25",
        "percent": "25",
        "amount_cents": None,
        "currency": None,
        "duration": "months",
        "months": 3,
        "max_uses": 10,
        "uses": 0,
        "created_at": None,
    }
    assert client.get(DISCOUNTS, headers=ada.headers).json == {"items": [made.json], "next_cursor": None}
    assert fetch_one(db, "SELECT created_by FROM billing_discounts")["created_by"] == "user:4"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"percent": "12.50"}, {"percent": "12.5", "amount_cents": None, "currency": None}),
        ({"percent": 100}, {"percent": "100"}),
        ({"percent": None, "amount_cents": 500}, {"percent": None, "amount_cents": 500, "currency": "EUR"}),
        ({"percent": None, "amount_cents": 500, "currency": "JPY"}, {"amount_cents": 500, "currency": "JPY"}),
        (
            {"duration": "once", "months": None, "max_uses": None},
            {"duration": "once", "months": None, "max_uses": None},
        ),
    ],
)
def test_a_percentage_or_an_amount(
    client: FlaskClient, ada: Person, changes: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = give_out(client, ada, **changes)
    assert made.status_code == 201
    assert {name: made.json[name] for name in shown} == shown


def test_every_fault_is_named_at_once_and_nothing_is_written(client: FlaskClient, ada: Person, db: Connection) -> None:
    reply = give_out(
        client, ada, code="a b", percent="33.333", amount_cents=0, months=121, duration="once", max_uses=0, uses=5
    )
    assert faults(reply) == [
        ("/uses", "field_unknown"),
        ("/code", "field_format"),
        ("/percent", "decimal_places"),
        ("/amount_cents", "field_range"),
        ("/months", "field_range"),
        ("/max_uses", "field_range"),
        ("/percent", "discount_value"),
        ("/months", "discount_months"),
    ]
    assert fetch_all(db, "SELECT id FROM billing_discounts") == []
    assert give_out(client, ada, amount_cents=5).json["code"] == "discount_value"


@pytest.mark.parametrize("body", [[], "SPRING", 1, True])
def test_a_body_that_is_no_object_is_a_fault(client: FlaskClient, ada: Person, body: Any) -> None:
    assert faults(client.post(DISCOUNTS, json=body, headers=ada.headers)) == [("", "field_type")]


def test_a_code_that_is_there_is_a_conflict_in_capitals_too(client: FlaskClient, ada: Person) -> None:
    give_out(client, ada)
    reply = give_out(client, ada, code="spring-25")
    assert (reply.status_code, reply.json["code"]) == (409, "discount_exists")
    assert reply.json["error"] == "Le code SPRING-25 existe déjà."


def test_a_deleted_code_is_not_found_and_may_be_given_anew(client: FlaskClient, ada: Person, alice: Person) -> None:
    give_out(client, ada)
    gone = client.delete(f"{DISCOUNTS}/spring-25", headers=ada.headers)
    assert (gone.status_code, gone.json["code"]) == (200, "SPRING-25")
    again = client.delete(f"{DISCOUNTS}/spring-25", headers=ada.headers)
    assert (again.status_code, again.json["code"]) == (404, "discount_not_found")
    assert client.get(DISCOUNTS, headers=ada.headers).json["items"] == []
    refused = subscribe(client, alice, "SPRING-25")
    assert (refused.status_code, refused.json["code"]) == (422, "discount_unknown")
    assert give_out(client, ada).status_code == 201


def test_what_the_domain_finds_wrong_with_a_field_is_told_with_its_place(client: FlaskClient, alice: Person) -> None:
    reply = client.post(
        SUBSCRIPTIONS,
        json={"plan": "premium", "discount_code": "NONE"},
        headers={**alice.headers, "Accept-Language": "en"},
    )
    assert reply.json == {
        "error": "There is no such discount code.",
        "code": "discount_unknown",
        "errors": [{"loc": "/discount_code", "code": "discount_unknown", "message": "There is no such discount code."}],
    }
    assert faults(subscribe(client, alice, "NONE", plan="platinum")) == [("/plan", "plan_unknown")]


def test_a_list_is_read_a_page_at_a_time_the_newest_first(client: FlaskClient, ada: Person) -> None:
    for number in range(5):
        give_out(client, ada, code=f"CODE-{number}")
    seen, cursor = [], ""
    while True:
        reply = client.get(f"{DISCOUNTS}?limit=2{cursor}", headers=ada.headers).json
        seen += [found["code"] for found in reply["items"]]
        if reply["next_cursor"] is None:
            break
        cursor = f"&cursor={reply['next_cursor']}"
    assert seen == [f"CODE-{number}" for number in (4, 3, 2, 1, 0)]
    assert faults(client.get(f"{DISCOUNTS}?cursor=x&limit=1", headers=ada.headers)) == [("/cursor", "cursor_invalid")]


def test_the_same_key_gives_out_one_code(client: FlaskClient, ada: Person) -> None:
    headers = {**ada.headers, "Idempotency-Key": "spring"}
    first, again = (client.post(DISCOUNTS, json=DISCOUNT, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)


def test_a_code_takes_its_part_off_the_fee_until_its_uses_are_up(
    client: FlaskClient, ada: Person, alice: Person, bob: Person, db: Connection
) -> None:
    sold = {"code": "team", "name": "Team", "amount_cents": 1_000, "cycle": "anniversary"}
    assert client.post("/api/v1/billing/plans", json=sold, headers=ada.headers).status_code == 201
    give_out(client, ada, percent="12.5", max_uses=1)
    assert subscribe(client, alice, "spring-25", plan="team").status_code == 201
    refused = subscribe(client, bob, "spring-25", plan="team")
    assert (refused.status_code, refused.json["code"]) == (409, "discount_used_up")
    rows = fetch_all(db, "SELECT user_id, fee_cents, discount_cents FROM billing_periods")
    assert [(row["user_id"], row["fee_cents"], row["discount_cents"]) for row in rows] == [(1, 1_000, 125)]
    assert client.get(DISCOUNTS, headers=ada.headers).json["items"][0]["uses"] == 1


def test_only_an_admin_of_the_tenant_sees_and_gives_out_codes(client: FlaskClient, people: Cast) -> None:
    give_out(client, people.ada)
    for person in (people.alice, people.bob):
        for reply in (
            give_out(client, person),
            client.get(DISCOUNTS, headers=person.headers),
            client.delete(f"{DISCOUNTS}/SPRING-25", headers=person.headers),
        ):
            assert (reply.status_code, reply.json["code"]) == (403, "forbidden")
    dora = people.dora
    assert client.get(DISCOUNTS, headers=dora.headers).json["items"] == []
    assert client.delete(f"{DISCOUNTS}/SPRING-25", headers=dora.headers).status_code == 404
    assert give_out(client, dora).status_code == 201, "each tenant has codes of its own"
    assert subscribe(client, people.charlie, "spring-25").status_code == 201
    assert client.get(DISCOUNTS, headers=people.ada.headers).json["items"][0]["uses"] == 0
    reads = with_key(key_of(people.ada, "billing.read")[1])
    assert client.get(DISCOUNTS, headers=reads).status_code == 200
    assert client.post(DISCOUNTS, json=DISCOUNT, headers=reads).json["code"] == "scope_missing"
    assert client.get(DISCOUNTS).status_code == 401


def test_a_code_given_with_a_beginning_in_the_past_runs_from_there(
    client: FlaskClient, ada: Person, alice: Person, db: Connection
) -> None:
    sold = {"code": "team", "name": "Team", "amount_cents": 1_000}
    assert client.post("/api/v1/billing/plans", json=sold, headers=ada.headers).status_code == 201
    give_out(client, ada, percent="50", duration="forever", months=None)
    set_clock(db, datetime(2026, 5, 1, tzinfo=UTC), SETTINGS, datetime(2026, 5, 20, tzinfo=UTC))
    wish = {"plan": "team", "user_id": alice.id, "start_at": "2026-04-01T00:00:00Z", "discount_code": "spring-25"}
    assert client.post(SUBSCRIPTIONS, json=wish, headers=ada.headers).status_code == 201
    rows = fetch_all(db, "SELECT starts_at, discount_cents FROM billing_periods ORDER BY id")
    assert [(row["starts_at"][:10], row["discount_cents"]) for row in rows] == [
        ("2026-04-01", 500),
        ("2026-05-01", 500),
    ]
