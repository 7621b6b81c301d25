"""POST /subscriptions, GET /subscription and the history: who begins what, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.api.subscribing import PREFIX, THEN, Desk, faults
from tests.cast import Cast, Person
from turf_saas import catalogue, discounts
from turf_saas.catalogue import PlanDraft
from turf_saas.values import instant_text, parse_instant

FIELDS = [
    "id", "user_id", "plan", "status", "billed_by", "cycle", "effective_at", "current_period_start",
    "current_period_end", "trial_end", "cancel_at_period_end", "canceled_at", "ended_at", "pending_change",
]  # fmt: skip


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    return Desk(make_app().test_client(), db, people)


def count(db: Connection, table: str = "saas_subscriptions") -> int:
    return int(fetch_one(db, f"SELECT COUNT(*) AS n FROM {table}")["n"])


# -- what is shown -----------------------------------------------------------------------------------------


def test_nobodys_subscription_is_null_beside_the_default_plan(desk: Desk, alice: Person) -> None:
    assert desk.get(alice, "/subscription").json == {"subscription": None, "plan": "free"}


def test_a_new_one_is_answered_with_its_fields_and_shown_the_same(desk: Desk, alice: Person) -> None:
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(alice, "ten")
    assert list(made) == FIELDS
    assert made == {
        **dict.fromkeys(FIELDS),
        "id": made["id"],
        "user_id": alice.id,
        "plan": "ten",
        "status": "active",
        "billed_by": "local",
        "cycle": "calendar",
        "effective_at": "2026-05-20T00:00:00Z",
        "current_period_start": "2026-05-20T00:00:00Z",
        "current_period_end": "2026-06-01T00:00:00Z",
        "cancel_at_period_end": False,
    }
    assert desk.get(alice, "/subscription").json == {"subscription": made, "plan": "ten"}
    assert desk.fees() == [("ten", "2026-05-20", 387, 0)]  # 1000 × 12/31 = 387.097


def test_reading_it_brings_it_up_to_date(desk: Desk, alice: Person, db: Connection) -> None:
    desk.at("2026-05-20T10:00")
    desk.subscribe(alice, "ten")
    with atomic(db):  # the clock moves, and nothing else happens
        execute(db, "UPDATE billing_test_clock SET now = '2026-08-02T00:00:00Z'")
    assert desk.now(alice)["current_period_end"] == "2026-09-01T00:00:00Z"
    assert [fee[2] for fee in desk.fees()] == [387, 1_000, 1_000, 1_000]


def test_a_subscription_that_gives_nothing_leaves_the_default_plan_in_force(
    desk: Desk, alice: Person, db: Connection
) -> None:
    desk.at("2026-05-20T10:00")
    desk.subscribe(desk.people.ada, "ten", user_id=alice.id, start_at="2026-06-10")
    ahead = desk.get(alice, "/subscription").json
    assert (ahead["plan"], ahead["subscription"]["plan"]) == ("free", "ten")
    desk.at("2026-06-10T00:00")
    assert desk.get(alice, "/subscription").json["plan"] == "ten"
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET status = 'unpaid'")
    unpaid = desk.get(alice, "/subscription").json
    assert (unpaid["plan"], unpaid["subscription"]["status"]) == ("free", "unpaid")


def test_a_row_of_three_values_is_shown_and_not_billed(desk: Desk, alice: Person) -> None:
    alice.is_on("premium")
    found = desk.get(alice, "/subscription").json
    assert (found["plan"], found["subscription"]["effective_at"]) == ("premium", None)
    assert found["subscription"]["current_period_end"] is None


def test_an_admin_looks_at_anybody_of_the_tenant(desk: Desk, people: Cast) -> None:
    made = desk.subscribe(people.alice, "ten")
    assert desk.get(people.ada, "/subscription", user_id=people.alice.id).json["subscription"] == made
    for person in (people.bob, people.charlie, people.dora):
        assert desk.get(person, "/subscription", user_id=people.alice.id).status_code == 404


# -- who begins what ---------------------------------------------------------------------------------------


def test_plan_code_is_another_name_for_plan(desk: Desk, alice: Person, bob: Person) -> None:
    assert desk.done(desk.post(alice, "/subscriptions", {"plan_code": "ten"}), 201)["plan"] == "ten"
    both = {"plan": "ten", "plan_code": "ten"}
    assert desk.done(desk.post(bob, "/subscriptions", both), 201)["plan"] == "ten"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/plan", "field_missing")]),
        ({"plan": "ten", "plan_code": "forty"}, [("/plan_code", "field_differs")]),
        ({"plan": 7}, [("/plan", "field_type")]),
        ({"plan": ""}, [("/plan", "field_length")]),
        ({"plan": "x" * 64}, [("/plan", "field_length")]),
        ({"plan": "ten\0"}, [("/plan", "field_text")]),
        ({"plan": "ten", "trial_days": -1}, [("/trial_days", "field_range")]),
        ({"plan": "ten", "trial_days": 731}, [("/trial_days", "field_range")]),
        ({"plan": "ten", "trial_days": True}, [("/trial_days", "field_type")]),
        ({"plan": "ten", "start_at": 5}, [("/start_at", "field_type")]),
        ({"plan": "ten", "start_at": "tomorrow"}, [("/start_at", "instant_invalid")]),
        ({"plan": "ten", "start_at": "2026-02-30"}, [("/start_at", "date_invalid")]),
        ({"plan": "ten", "start_at": "2026-05-20T10:00:00"}, [("/start_at", "instant_without_zone")]),
        ({"plan": "ten", "discount_code": ""}, [("/discount_code", "field_length")]),
        ({"plan": "ten", "status": "active"}, [("/status", "field_unknown")]),
        (
            {"plan_code": 1, "user_id": 1.5, "trial_days": "3", "extra": None},
            [("/plan_code", "field_type"), ("/user_id", "field_type"), ("/trial_days", "field_type"),
             ("/extra", "field_unknown")],
        ),
    ],
)  # fmt: skip
def test_every_fault_is_named_and_nothing_begins(
    desk: Desk, people: Cast, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    reply = desk.post(people.ada, "/subscriptions", body)
    assert reply.status_code == 422
    assert sorted(faults(reply)) == sorted(expected)
    assert count(desk.db) == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"plan": "gold"}, 422, "plan_unknown"),
        ({"plan": "archived"}, 409, "plan_archived"),
        ({"plan": "ten", "discount_code": "NONE"}, 422, "discount_unknown"),
        ({"plan": "ten", "user_id": "x"}, 404, "user_not_found"),
        ({"plan": "ten", "user_id": 3}, 404, "user_not_found"),  # Charlie's tenant is another
    ],
)
def test_what_cannot_be_sold_is_refused_and_nothing_begins(
    desk: Desk, people: Cast, body: dict[str, Any], status: int, code: str
) -> None:
    catalogue.create_plan(desk.db, THEN, 1, PlanDraft("archived", "Archived", 100, "EUR"))
    catalogue.archive_plan(desk.db, THEN, 1, "archived", default_plan="free")
    reply = desk.post(people.ada, "/subscriptions", body)
    assert (reply.status_code, reply.json["code"]) == (status, code)
    assert (count(desk.db), count(desk.db, "billing_periods")) == (0, 0)


def test_a_user_who_was_entered_for_it_stays_only_if_it_begins(desk: Desk, people: Cast) -> None:
    """Where the host's users are elsewhere, its admin may name one before he has called."""
    people_before = count(desk.db, "users")
    assert desk.post(people.ada, "/subscriptions", {"plan": "gold", "user_id": 99}).status_code == 422
    assert count(desk.db, "users") == people_before
    assert desk.subscribe(people.ada, "ten", user_id=99)["user_id"] == 99


def test_where_billing_keeps_the_users_nobody_is_made_up(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    desk = Desk(make_app(BILLING_ACCOUNTS="1").test_client(), db, people)
    reply = desk.post(people.ada, "/subscriptions", {"plan": "ten", "user_id": 99})
    assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")


def test_who_has_one_is_told_so(desk: Desk, alice: Person) -> None:
    first = desk.subscribe(alice, "ten")
    reply = desk.post(alice, "/subscriptions", {"plan": "forty"})
    assert (reply.status_code, reply.json["code"]) == (409, "subscription_exists")
    assert desk.now(alice) == first


@pytest.mark.parametrize("given", [{"start_at": "2026-05-20"}, {"trial_days": 0}, {"trial_days": 30}])
def test_what_an_admin_sets_a_user_may_not(desk: Desk, people: Cast, given: dict[str, Any]) -> None:
    desk.at("2026-05-20T10:00")
    reply = desk.post(people.alice, "/subscriptions", {"plan": "tried", **given})
    assert (reply.status_code, reply.json["code"]) == (403, "admin_sets_it")
    assert next(iter(given)) in reply.json["error"]
    assert count(desk.db) == 0
    desk.subscribe(people.ada, "tried", user_id=people.alice.id, **given)


def test_a_user_may_name_himself_and_nobody_else(desk: Desk, people: Cast) -> None:
    for other in (people.bob, people.charlie, people.ada):
        reply = desk.post(people.alice, "/subscriptions", {"plan": "ten", "user_id": other.id})
        assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")
    assert desk.subscribe(people.alice, "ten", user_id=people.alice.id)["user_id"] == people.alice.id


def test_the_plans_are_those_of_the_users_tenant(desk: Desk, charlie: Person) -> None:
    assert desk.post(charlie, "/subscriptions", {"plan": "ten"}).json["code"] == "plan_unknown"


@pytest.mark.parametrize(
    ("days", "seconds", "status"),
    [(-3_660, 0, 201), (-3_660, -1, 422), (-3_660, 1, 201), (731, 0, 201), (731, 1, 422), (731, -1, 201)],
)
def test_how_far_a_beginning_may_lie(desk: Desk, people: Cast, days: int, seconds: int, status: int) -> None:
    desk.at("2026-05-20T10:00")
    begins = parse_instant("2026-05-20T10:00:00Z") + timedelta(days=days, seconds=seconds)
    body = {"plan": "anniversary", "user_id": people.alice.id, "start_at": instant_text(begins)}
    reply = desk.post(people.ada, "/subscriptions", body)
    assert reply.status_code == status, reply.data
    if status == 422:
        assert faults(reply) == [("/start_at", "start_at_out_of_range")]
        assert count(desk.db) == 0


def test_days_that_were_paid_are_not_sold_again(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-10T10:00")
    first = desk.subscribe(people.ada, "ten", start_at="2026-04-01")
    desk.cancel(people.ada, first["id"], when="now")
    for start_at, status in (("2026-05-09", 409), ("2026-04-01", 409), ("2026-05-10", 201)):
        reply = desk.post(people.ada, "/subscriptions", {"plan": "ten", "start_at": start_at})
        assert (reply.status_code, reply.json.get("code")) == (status, "start_in_paid_time" if status == 409 else None)


@pytest.mark.parametrize("start_at", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"])
def test_the_edges_of_the_calendar_are_out_of_reach(desk: Desk, people: Cast, start_at: str) -> None:
    reply = desk.post(people.ada, "/subscriptions", {"plan": "ten", "start_at": start_at})
    assert reply.status_code == 422, reply.data
    assert count(desk.db) == 0


def test_a_day_begins_at_midnight_of_the_zone(make_app: Callable[..., Flask], db: Connection, people: Cast) -> None:
    desk = Desk(make_app(BILLING_TIMEZONE="Europe/Paris").test_client(), db, people)
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(people.ada, "ten", start_at="2026-05-01")
    assert (made["effective_at"], made["current_period_start"]) == ("2026-04-30T22:00:00Z", "2026-04-30T22:00:00Z")
    assert desk.fees() == [("ten", "2026-04-30", 1_000, 0)]


def test_an_instant_begins_at_the_midnight_before_it(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(people.ada, "ten", start_at="2026-06-15T23:59:59Z")
    assert (made["effective_at"], made["current_period_start"]) == ("2026-06-15T00:00:00Z", None)


# -- trials and discounts ------------------------------------------------------------------------------------


def test_a_plan_with_a_trial_begins_in_it_and_a_second_time_without(desk: Desk, alice: Person) -> None:
    desk.at("2026-05-10T10:00")
    made = desk.subscribe(alice, "tried")
    assert (made["status"], made["trial_end"]) == ("trialing", "2026-05-24T00:00:00Z")
    desk.cancel(alice, made["id"], when="now")
    again = desk.subscribe(alice, "tried")
    assert (again["status"], again["trial_end"]) == ("active", None)


@pytest.mark.parametrize(
    ("days", "status", "ends"), [(0, "active", None), (1, "trialing", "2026-05-21"), (730, "trialing", "2028-05-19")]
)
def test_an_admin_gives_another_trial(desk: Desk, people: Cast, days: int, status: str, ends: str | None) -> None:
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(people.ada, "tried", trial_days=days)
    assert (made["status"], made["trial_end"] and made["trial_end"][:10]) == (status, ends)


def test_a_discount_is_taken_off_and_its_code_used_once(desk: Desk, alice: Person) -> None:
    discounts.create_discount(desk.db, THEN, 1, code="HALF", percent="50", duration="once")
    desk.at("2026-05-01T08:00")
    made = desk.subscribe(alice, "ten", discount_code="half")
    assert desk.fees() == [("ten", "2026-05-01", 1_000, 500)]
    desk.cancel(alice, made["id"], when="now")
    reply = desk.post(alice, "/subscriptions", {"plan": "ten", "discount_code": "HALF"})
    assert (reply.status_code, reply.json["code"]) == (409, "discount_used")
    assert desk.now(alice) is None


# -- sent twice ------------------------------------------------------------------------------------------------


def test_the_same_key_begins_one_and_answers_the_same(desk: Desk, alice: Person) -> None:
    key = {"Idempotency-Key": "sign-up-1"}
    first = desk.post(alice, "/subscriptions", {"plan": "ten"}, **key)
    again = desk.post(alice, "/subscriptions", {"plan": "ten"}, **key)
    assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.json == again.json
    other = desk.post(alice, "/subscriptions", {"plan": "forty"}, **key)
    assert (other.status_code, other.json["code"]) == (409, "idempotency_conflict")
    assert count(desk.db) == 1


def test_a_refused_beginning_leaves_its_key_free(desk: Desk, alice: Person) -> None:
    key = {"Idempotency-Key": "sign-up-1"}
    assert desk.post(alice, "/subscriptions", {"plan": "soon"}, **key).status_code == 422
    catalogue.create_plan(desk.db, THEN, 1, PlanDraft("soon", "Soon", 100, "EUR"))
    assert desk.post(alice, "/subscriptions", {"plan": "soon"}, **key).status_code == 201


# -- the history -----------------------------------------------------------------------------------------------


def test_the_history_says_who_when_and_why_newest_first(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(people.alice, "tried")
    desk.at("2026-05-21T08:00")
    desk.change(people.ada, made["id"], "forty")
    desk.at("2026-06-03T00:00")
    desk.cancel(people.alice, made["id"], when="now", reason="too slow")
    path = f"/subscriptions/{made['id']}/history"
    assert desk.get(people.alice, path).json == {
        "items": [
            {"at": "2026-06-03T00:00:00Z", "plan": "forty", "status": "canceled", "by": f"user:{people.alice.id}",
             "reason": "too slow", "noted_at": "2026-06-03T00:00:00Z"},
            {"at": "2026-06-03T00:00:00Z", "plan": "forty", "status": "active", "by": "system",
             "reason": "trial_ended", "noted_at": "2026-06-03T00:00:00Z"},
            {"at": "2026-05-21T08:00:00Z", "plan": "forty", "status": "trialing", "by": f"admin:{people.ada.id}",
             "reason": "changed", "noted_at": "2026-05-21T08:00:00Z"},
            {"at": "2026-05-20T00:00:00Z", "plan": "tried", "status": "trialing", "by": f"user:{people.alice.id}",
             "reason": "subscribed", "noted_at": "2026-05-20T10:00:00Z"},
        ],
        "next_cursor": None,
    }  # fmt: skip
    assert desk.get(people.ada, path).status_code == 200


def test_what_was_done_late_says_in_the_history_when_it_was_done(desk: Desk, alice: Person) -> None:
    desk.at("2026-05-20T10:00")
    number = desk.subscribe(alice, "tried")["id"]  # fourteen days
    desk.change(alice, number, "ten", when="period_end")
    desk.at("2026-07-15T09:30")
    entries = desk.get(alice, f"/subscriptions/{number}/history").json["items"][::-1]
    assert [(entry["at"], entry["reason"], entry["noted_at"]) for entry in entries] == [
        ("2026-05-20T00:00:00Z", "subscribed", "2026-05-20T10:00:00Z"),
        ("2026-06-03T00:00:00Z", "trial_ended", "2026-07-15T09:30:00Z"),
    ]


def test_the_history_is_read_a_page_at_a_time(desk: Desk, alice: Person) -> None:
    desk.at("2026-05-20T10:00")
    made = desk.subscribe(alice, "ten")
    for plan in ("twentyfive", "forty"):
        desk.change(alice, made["id"], plan)
    plans, cursor = [], {}
    for _ in range(5):
        found = desk.get(alice, f"/subscriptions/{made['id']}/history", limit=1, **cursor).json
        plans += [entry["plan"] for entry in found["items"]]
        if found["next_cursor"] is None:
            break
        cursor = {"cursor": found["next_cursor"]}
    assert plans == ["forty", "twentyfive", "ten"]


def test_anothers_and_a_missing_one_are_answered_the_same(desk: Desk, people: Cast) -> None:
    made = desk.subscribe(people.alice, "ten")
    before = fetch_all(desk.db, "SELECT * FROM saas_subscriptions")
    for person in (people.bob, people.charlie, people.dora):
        for verb, body in (("change", {"plan": "forty"}), ("cancel", {}), ("resume", {}), ("history", None)):
            answers = []
            for number in (made["id"], 999_999):
                path = f"/subscriptions/{number}/{verb}"
                answers.append(desk.get(person, path) if body is None else desk.post(person, path, body))
            assert [reply.status_code for reply in answers] == [404, 404]
            assert answers[0].json == answers[1].json
            assert answers[0].json["code"] == "subscription_not_found"
    assert fetch_all(desk.db, "SELECT * FROM saas_subscriptions") == before


@pytest.mark.parametrize("number", ["x", "-1", "01", "1.5", str(2**63)])
def test_what_is_no_id_is_not_found(desk: Desk, alice: Person, number: str) -> None:
    for reply in (
        desk.post(alice, f"/subscriptions/{number}/cancel"),
        desk.get(alice, f"/subscriptions/{number}/history"),
    ):
        assert reply.status_code == 404
        assert reply.content_type == "application/json"


def test_a_key_needs_the_scope(desk: Desk, alice: Person) -> None:
    made = desk.client.post(
        f"{PREFIX}/api-keys", json={"name": "k", "scopes": ["billing.read"]}, headers=alice.headers
    ).json
    key = {"X-API-Key": made["key"]}
    assert desk.client.get(f"{PREFIX}/subscription", headers=key).status_code == 200
    reply = desk.client.post(f"{PREFIX}/subscriptions", json={"plan": "ten"}, headers=key)
    assert (reply.status_code, reply.json["code"]) == (403, "scope_missing")
