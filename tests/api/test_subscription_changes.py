"""Change, cancel and resume over HTTP: what is answered, what is refused, and two who come at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.api.subscribing import PREFIX, THEN, Desk, faults, money
from tests.cast import Cast, Person
from turf_saas import catalogue, discounts
from turf_saas.catalogue import PlanDraft


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    return Desk(make_app().test_client(), db, people)


def stored(db: Connection) -> list[Any]:
    """All that a change may write."""
    tables = ("saas_subscriptions", "billing_periods", "billing_pending_items", "billing_redemptions",
              "billing_status_history", "billing_discounts")  # fmt: skip
    return [[tuple(row) if not isinstance(row, dict) else tuple(row.values())
             for row in fetch_all(db, f"SELECT * FROM {table} ORDER BY id")] for table in tables]  # fmt: skip


# -- another plan ------------------------------------------------------------------------------------------


def test_an_upgrade_is_now_and_answers_what_it_costs(desk: Desk, alice: Person) -> None:
    desk.at("2026-01-01T00:00")
    made = desk.subscribe(alice, "ten")
    desk.at("2026-01-15T12:00")
    changed = desk.change(alice, made["id"], "twentyfive")
    assert changed == {
        "subscription": {**made, "plan": "twentyfive"},
        "proration": {"credit_cents": 532, "charge_cents": 1_331, "net_cents": 799, "currency": "EUR"},
    }
    assert desk.now(alice) == changed["subscription"]
    assert desk.items() == [("2026-01", -532), ("2026-01", 1_331)]


def test_a_downgrade_waits_and_a_newer_change_replaces_it(desk: Desk, alice: Person) -> None:
    desk.at("2026-01-01T00:00")
    made = desk.subscribe(alice, "forty")
    asked = desk.change(alice, made["id"], "ten")
    assert (asked["subscription"]["plan"], money(asked)) == ("forty", (0, 0, 0))
    assert asked["subscription"]["pending_change"] == {"plan": "ten", "at": "2026-02-01T00:00:00Z"}
    newer = desk.change(alice, made["id"], "twentyfive")
    assert newer["subscription"]["pending_change"] == {"plan": "twentyfive", "at": "2026-02-01T00:00:00Z"}
    dropped = desk.change(alice, made["id"], "forty")
    assert dropped["subscription"]["pending_change"] is None
    desk.change(alice, made["id"], "ten")
    desk.at("2026-02-01T00:00")
    assert (desk.now(alice)["plan"], desk.now(alice)["pending_change"]) == ("ten", None)
    assert [fee[2] for fee in desk.fees()] == [4_000, 1_000]


def test_only_an_admin_downgrades_at_once(desk: Desk, people: Cast) -> None:
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(people.alice, "forty")
    desk.at("2026-06-16T00:00")
    reply = desk.post(people.alice, f"/subscriptions/{made['id']}/change", {"plan": "ten", "when": "now"})
    assert (reply.status_code, reply.json["code"]) == (403, "downgrade_now")
    assert money(desk.change(people.ada, made["id"], "ten", when="now")) == (2_000, 500, -1_500)  # 15 of 30 days


def test_an_upgrade_may_wait_if_it_is_asked_to(desk: Desk, alice: Person) -> None:
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "ten")
    asked = desk.change(alice, made["id"], "forty", when="period_end")
    assert asked["subscription"]["pending_change"] == {"plan": "forty", "at": "2026-07-01T00:00:00Z"}


def test_without_proration_nothing_is_paid_before_the_next_period(desk: Desk, alice: Person) -> None:
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "ten")
    assert money(desk.change(alice, made["id"], "forty", prorate=False)) == (0, 0, 0)
    desk.at("2026-07-01T00:00")
    desk.now(alice)
    assert (desk.fees(), desk.items()) == (
        [("ten", "2026-06-01", 1_000, 0), ("forty", "2026-07-01", 4_000, 0)], [])  # fmt: skip


def test_month_to_year_begins_a_new_period_that_day(desk: Desk, alice: Person) -> None:
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "ten")
    desk.at("2026-06-16T15:45")
    changed = desk.change(alice, made["id"], "yearly")
    assert money(changed) == (500, 12_000, 11_500)
    now = changed["subscription"]
    assert (now["current_period_start"], now["current_period_end"], now["cycle"]) == (
        "2026-06-16T00:00:00Z", "2027-06-16T00:00:00Z", "anniversary")  # fmt: skip


def test_a_discount_may_come_with_a_change(desk: Desk, alice: Person) -> None:
    discounts.create_discount(desk.db, THEN, 1, code="HALF", percent="50", duration="forever")
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "ten")
    desk.at("2026-06-16T00:00")
    changed = desk.change(alice, made["id"], "forty", discount_code="half")
    assert money(changed) == (500, 1_000, 500)  # of 1000 the half month, of 2000 the half month


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/plan", "field_missing")]),
        ({"plan": "forty", "plan_code": "ten"}, [("/plan_code", "field_differs")]),
        ({"plan": "forty", "when": "later"}, [("/when", "field_choice")]),
        ({"plan": "forty", "prorate": "yes"}, [("/prorate", "field_type")]),
        ({"plan": "forty", "dry_run": 1}, [("/dry_run", "field_type")]),
        ({"plan": "forty", "dry_run": True, "at": "soon"}, [("/at", "instant_invalid")]),
        ({"plan": "forty", "user_id": 1}, [("/user_id", "field_unknown")]),
        ({"when": 1, "prorate": None, "x": 1},
         [("/plan", "field_missing"), ("/when", "field_choice"), ("/prorate", "field_type"), ("/x", "field_unknown")]),
    ],
)  # fmt: skip
def test_every_fault_of_a_change_is_named(
    desk: Desk, alice: Person, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    made = desk.subscribe(alice, "ten")
    before = stored(desk.db)
    reply = desk.post(alice, f"/subscriptions/{made['id']}/change", body)
    assert reply.status_code == 422
    assert sorted(faults(reply)) == sorted(expected)
    assert stored(desk.db) == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"plan": "gold"}, 422, "plan_unknown"),
        ({"plan": "ten"}, 409, "plan_unchanged"),
        ({"plan": "dollars"}, 409, "currency_mismatch"),
        ({"plan": "forty", "discount_code": "NONE"}, 422, "discount_unknown"),
        ({"plan": "gold", "discount_code": "HALF"}, 422, "plan_unknown"),
        ({"plan": "forty", "at": "2026-06-20T00:00:00Z"}, 422, "at_without_dry_run"),
        ({"plan": "forty", "dry_run": True, "at": "2026-06-15T11:59:59Z"}, 422, "at_out_of_range"),
        ({"plan": "forty", "dry_run": True, "at": "2026-06-15T12:00:00Z"}, 200, None),
        ({"plan": "forty", "dry_run": True, "at": "2028-06-15T12:00:00Z"}, 200, None),  # 731 days
        ({"plan": "forty", "dry_run": True, "at": "2028-06-15T12:00:01Z"}, 422, "at_out_of_range"),
        ({"plan": "forty", "dry_run": True, "at": "9999-12-31T23:59:59Z"}, 422, "at_out_of_range"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_half_written(
    desk: Desk, alice: Person, body: dict[str, Any], status: int, code: str | None
) -> None:
    discounts.create_discount(desk.db, THEN, 1, code="HALF", percent="50", duration="forever")
    catalogue.create_plan(desk.db, THEN, 1, PlanDraft("dollars", "Dollars", 5_000, "USD"))
    desk.at("2026-06-15T12:00")
    made = desk.subscribe(alice, "ten")
    before = stored(desk.db)
    for headers in ({}, {"Idempotency-Key": "a"}):
        reply = desk.post(alice, f"/subscriptions/{made['id']}/change", body, **headers)
        assert (reply.status_code, reply.json.get("code")) == (status, code)
        assert stored(desk.db) == before


def test_what_a_state_does_not_allow_is_a_conflict(desk: Desk, people: Cast) -> None:
    def code(verb: str, body: dict[str, Any] | None = None) -> str:
        reply = desk.post(people.alice, f"/subscriptions/{number}/{verb}", body)
        assert reply.status_code == 409, reply.data
        return str(reply.json["code"])

    def put(**columns: Any) -> None:
        pairs = ", ".join(f"{name} = :{name}" for name in columns)
        with atomic(desk.db):
            execute(desk.db, f"UPDATE saas_subscriptions SET {pairs}", **columns)

    number = desk.subscribe(people.alice, "forty")["id"]
    assert code("resume") == "nothing_to_resume"
    desk.cancel(people.alice, number)
    assert code("change", {"plan": "ten"}) == "cancel_scheduled"
    put(status="unpaid", cancel_at_period_end=0)
    assert code("change", {"plan": "ten"}) == "subscription_unpaid"
    put(status="active", billed_by="stripe")
    assert [code("change", {"plan": "ten"}), code("cancel"), code("resume")] == ["stripe_bills_it"] * 3
    put(billed_by="local")
    desk.cancel(people.alice, number, when="now")
    assert [code("change", {"plan": "ten"}), code("cancel"), code("resume")] == ["subscription_ended"] * 3


def test_a_row_of_three_values_is_subscribed_rather_than_changed(desk: Desk, alice: Person, db: Connection) -> None:
    alice.is_on("premium")
    number = desk.now(alice)["id"]
    reply = desk.post(alice, f"/subscriptions/{number}/change", {"plan": "ten"})
    assert (reply.status_code, reply.json["code"]) == (409, "subscription_not_billed")
    assert desk.subscribe(alice, "ten")["id"] == number


def test_a_tried_plan_is_not_tried_again_by_changing_into_it(desk: Desk, people: Cast) -> None:
    desk.at("2026-05-01T00:00")
    first = desk.subscribe(people.alice, "tried")
    desk.cancel(people.alice, first["id"], when="now")
    second = desk.subscribe(people.ada, "ten", user_id=people.alice.id, trial_days=30)
    reply = desk.post(people.alice, f"/subscriptions/{second['id']}/change", {"plan": "tried"})
    assert (reply.status_code, reply.json["code"]) == (409, "trial_used")


# -- a dry run -----------------------------------------------------------------------------------------------


def test_a_dry_run_answers_the_same_and_leaves_nothing(desk: Desk, alice: Person) -> None:
    desk.at("2026-01-01T00:00")
    made = desk.subscribe(alice, "ten")
    desk.at("2026-01-15T12:00")
    before = stored(desk.db)
    change, end = {"plan": "twentyfive"}, {"when": "now"}
    for verb, body in (("change", change), ("cancel", end)):
        for headers in ({}, {"Idempotency-Key": f"{verb}-dry"}):
            path = f"/subscriptions/{made['id']}/{verb}"
            dry = desk.done(desk.post(alice, path, {**body, "dry_run": True}, **headers), 200)
            assert stored(desk.db) == before
        if verb == "change":
            deed = desk.done(desk.post(alice, path, body), 200)
            assert (dry["proration"], dry["subscription"]) == (deed["proration"], deed["subscription"])
            before = stored(desk.db)


def test_a_dry_run_may_look_ahead_beyond_the_period(desk: Desk, alice: Person) -> None:
    desk.at("2026-01-02T00:00")
    made = desk.subscribe(alice, "ten")
    ahead = {"dry_run": True, "at": "2026-02-15T00:00:00Z"}
    assert money(desk.change(alice, made["id"], "twentyfive", **ahead)) == (500, 1_250, 750)
    assert money(desk.cancel(alice, made["id"], when="now", **ahead)) == (500, 0, -500)
    assert desk.now(alice) == made


# -- the end -----------------------------------------------------------------------------------------------


def test_an_end_is_at_the_periods_end_and_can_be_taken_back(desk: Desk, alice: Person) -> None:
    desk.at("2026-06-10T00:00")
    made = desk.subscribe(alice, "forty")
    desk.change(alice, made["id"], "ten")
    asked = desk.done(desk.client.post(f"{PREFIX}/subscriptions/{made['id']}/cancel", headers=alice.headers), 200)
    found = asked["subscription"]
    assert (found["status"], found["cancel_at_period_end"], found["canceled_at"], found["pending_change"]) == (
        "active", True, "2026-06-10T00:00:00Z", None)  # fmt: skip
    assert money(asked) == (0, 0, 0)
    resumed = desk.done(desk.client.post(f"{PREFIX}/subscriptions/{made['id']}/resume", headers=alice.headers), 200)
    assert resumed == made
    desk.cancel(alice, made["id"])
    desk.at("2026-07-01T00:00")
    assert desk.get(alice, "/subscription").json == {"subscription": None, "plan": "free"}


def test_an_end_now_credits_what_is_left(desk: Desk, alice: Person) -> None:
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "forty")
    desk.at("2026-06-16T00:00")
    ended = desk.cancel(alice, made["id"], when="now", reason="too dear")
    assert money(ended) == (2_000, 0, -2_000)
    found = ended["subscription"]
    assert (found["status"], found["ended_at"], found["canceled_at"]) == (
        "canceled", "2026-06-16T00:00:00Z", "2026-06-16T00:00:00Z")  # fmt: skip
    assert desk.items() == [("2026-06", -2_000)]


@pytest.mark.parametrize("reason", ["", "x" * 201, 5])
def test_a_reason_is_a_text_of_1_to_200_letters(desk: Desk, alice: Person, reason: Any) -> None:
    made = desk.subscribe(alice, "forty")
    path = f"/subscriptions/{made['id']}/cancel"
    assert [loc for loc, _ in faults(desk.post(alice, path, {"reason": reason}))] == ["/reason"]
    assert desk.post(alice, path, {"reason": "x" * 200}).status_code == 200


def test_a_clock_that_went_back_a_little_breaks_nothing(desk: Desk, alice: Person) -> None:
    """As a server's may, just after a period has begun."""
    desk.at("2026-06-01T00:00")
    made = desk.subscribe(alice, "ten")
    with atomic(desk.db):
        execute(desk.db, "UPDATE billing_test_clock SET now = '2026-05-31T23:00:00Z'")
    assert money(desk.change(alice, made["id"], "forty", dry_run=True)) == (1_000, 4_000, 3_000)
    assert money(desk.change(alice, made["id"], "yearly", dry_run=True)) == (1_000, 12_000, 11_000)
    assert money(desk.cancel(alice, made["id"], when="now")) == (1_000, 0, -1_000)


# -- sent twice, and two at once -------------------------------------------------------------------------------


def test_the_same_key_changes_once(desk: Desk, alice: Person) -> None:
    desk.at("2026-01-01T00:00")
    made = desk.subscribe(alice, "ten")
    desk.at("2026-01-15T12:00")
    path, key = f"/subscriptions/{made['id']}", {"Idempotency-Key": "one"}
    first = desk.post(alice, f"{path}/change", {"plan": "twentyfive"}, **key)
    again = desk.post(alice, f"{path}/change", {"plan": "twentyfive"}, **key)
    assert (first.status_code, again.json, again.headers["Idempotent-Replayed"]) == (200, first.json, "true")
    assert len(desk.items()) == 2
    end = {"Idempotency-Key": "two"}
    ended = desk.post(alice, f"{path}/cancel", {"when": "now"}, **end)
    assert desk.post(alice, f"{path}/cancel", {"when": "now"}, **end).json == ended.json
    assert len(desk.items()) == 3


class AtOnce:
    """Two requests that have both looked before either writes: each is stopped where its first transaction begins."""

    def __init__(self, app: Flask, url: str) -> None:
        self.app, self.url, self.gate = app, url, threading.Barrier(2)
        self.answers: list[tuple[int, str | None]] = []

    def ask(self, person: Person, path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        db = billing_db.get_db(self.url)
        passed: list[str] = []

        def stop(sql: str) -> None:
            if sql.startswith("BEGIN") and not passed:
                passed.append(sql)
                self.gate.wait(20)

        client = self.app.test_client()
        client.get(f"{PREFIX}/subscription", headers=person.headers)
        undo = _trace(db, stop)
        reply = client.post(f"{PREFIX}{path}", json=body, headers={**person.headers, **headers})
        undo()
        self.answers.append((reply.status_code, reply.json.get("code")))
        billing_db.close_db()


def _trace(db: Connection, call: Callable[[str], None]) -> Callable[[], None]:
    """Have each statement told just before it is run."""
    if billing_db.engine(db) == "sqlite":
        db.set_trace_callback(call)
        return lambda: db.set_trace_callback(None)
    plain = db.execute

    def told(sql: Any, *rest: Any, **more: Any) -> Any:
        call(str(sql))
        return plain(sql, *rest, **more)

    db.execute = told  # type: ignore[method-assign]

    def undo() -> None:
        db.execute = plain  # type: ignore[method-assign]

    return undo


@pytest.mark.parametrize("keys", [("", ""), ("a", "b")], ids=["without keys", "with keys"])
@pytest.mark.parametrize(
    "second", [("change", {"plan": "forty"}), ("cancel", {"when": "now"})], ids=["change", "cancel"]
)
def test_of_two_at_once_one_wins_and_the_other_is_told(
    make_app: Callable[..., Flask],
    url: str,
    db: Connection,
    people: Cast,
    keys: tuple[str, str],
    second: tuple[str, dict[str, Any]],
) -> None:
    app = make_app()
    desk = Desk(app.test_client(), db, people)
    desk.at("2026-01-01T00:00")
    made = desk.subscribe(people.alice, "ten")
    both = AtOnce(app, url)
    asked = [("change", {"plan": "twentyfive"}), second]
    threads = [
        threading.Thread(
            target=both.ask,
            args=(people.alice, f"/subscriptions/{made['id']}/{verb}", body, {"Idempotency-Key": key} if key else {}),
        )
        for (verb, body), key in zip(asked, keys, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(both.answers, key=str) == [(200, None), (409, "subscription_changed")]
    assert len(desk.items()) in (1, 2)  # a cancel credits, a change credits and charges


def test_of_two_who_begin_at_once_one_does(
    make_app: Callable[..., Flask], url: str, db: Connection, people: Cast
) -> None:
    app = make_app()
    desk = Desk(app.test_client(), db, people)
    both = AtOnce(app, url)
    threads = [
        threading.Thread(target=both.ask, args=(people.alice, "/subscriptions", {"plan": plan}, {}))
        for plan in ("ten", "forty")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(both.answers, key=str) == [(201, None), (409, "subscription_exists")]
    assert len(desk.fees()) == 1
