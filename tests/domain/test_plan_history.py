"""The plan that judged a past month stays right when a subscription's row is moved, replaced or given away."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from billing_db import Connection, fetch_one
from tests.cast import Cast, Person
from tests.domain.reference_database import insert, rows
from tests.domain.tables import change
from turf_saas.quotas import get_consumption
from turf_saas.settings import read_settings
from turf_saas.values import Month

LATE = datetime(2200, 1, 1, tzinfo=UTC)  # from there every month of these tests is a past one
SPRING = ["2026-01", "2026-02", "2026-03", "2026-04"]


def plans_of(db: Connection, person: Person, months: list[str]) -> list[str]:
    settings = read_settings({"TURF_SAAS_DB": "unused"})
    return [get_consumption(db, LATE, settings, person.id, Month.parse(month)).plan for month in months]


def move(db: Connection, moved_at: str, **columns: Any) -> None:
    """A change of the one row there is, on record as of an instant."""
    pairs = ", ".join(f"{name} = :{name}" for name in columns)
    change(db, f"UPDATE saas_subscriptions SET {pairs}, changed_at = :moved_at", moved_at=moved_at, **columns)


# -- a row that is written anew ------------------------------------------------------------------------


def test_a_row_written_anew_under_its_old_id_changes_no_past_month(db: Connection, alice: Person) -> None:
    alice.is_on("pro", id=7, effective_at="2026-01-01T00:00:00Z")
    change(db, "DELETE FROM saas_subscriptions")
    alice.is_on("premium", id=7, effective_at="2026-01-01T00:00:00Z")
    assert plans_of(db, alice, [*SPRING, "2099-01"]) == ["pro"] * 4 + ["premium"]


def test_a_row_written_anew_under_another_id_changes_no_past_month(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-03-01T00:00:00Z")
    change(db, "DELETE FROM saas_subscriptions")
    alice.is_on("premium", effective_at="2026-01-01T00:00:00Z", created_at="2026-01-01T00:00:00Z")
    assert plans_of(db, alice, [*SPRING, "2099-01"]) == ["free", "free", "pro", "pro", "premium"]


@pytest.mark.parametrize("told", ["ON", "OFF"])
def test_insert_or_replace_changes_no_past_month(on_sqlite: Connection, told: str) -> None:
    """With OFF, as other programs have it, SQLite's delete triggers hear nothing of it."""
    db, alice = on_sqlite, Person("alice", 1, db=on_sqlite)
    db.execute(f"PRAGMA recursive_triggers = {told}")
    alice.is_on("pro", id=7, effective_at="2026-01-01T00:00:00Z")
    for plan in ("pro", "premium"):
        change(
            db,
            """INSERT OR REPLACE INTO saas_subscriptions (id, user_id, plan, status, effective_at)
               VALUES (7, 1, :plan, 'active', '2026-01-01T00:00:00Z')""",
            plan=plan,
        )
    assert plans_of(db, alice, [*SPRING, "2099-01"]) == ["pro"] * 4 + ["premium"]


def test_a_row_written_anew_that_begins_later_waits_for_its_beginning(db: Connection, alice: Person) -> None:
    alice.is_on("pro", id=7, effective_at="2026-01-01T00:00:00Z")
    change(db, "DELETE FROM saas_subscriptions")
    alice.is_on("pro", id=7, effective_at="2099-03-01T00:00:00Z")
    assert plans_of(db, alice, ["2026-02", "2099-02", "2099-03"]) == ["pro", "free", "pro"]


def test_a_subscription_that_never_began_does_not_end_the_one_after_it(db: Connection, alice: Person) -> None:
    alice.is_on("premium", effective_at="2099-03-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled'")
    alice.is_on("pro", effective_at="2026-02-01T00:00:00Z")
    assert plans_of(db, alice, ["2026-01", "2026-02", "2099-02", "2099-03"]) == ["free", "pro", "pro", "pro"]


# -- another beginning ---------------------------------------------------------------------------------


def test_a_beginning_that_moves_back_takes_along_what_followed_it(db: Connection, alice: Person) -> None:
    alice.is_on("premium", effective_at="2026-03-05T00:00:00Z")
    move(db, "2026-04-10T00:00:00Z", plan="pro")
    move(db, "2026-05-01T00:00:00Z", effective_at="2026-02-01T00:00:00Z")
    assert plans_of(db, alice, SPRING) == ["free", "premium", "premium", "pro"]
    move(db, "2026-05-02T00:00:00Z", effective_at="2026-01-31 22:00:00")
    assert plans_of(db, alice, SPRING) == ["premium", "premium", "premium", "pro"]


def test_a_beginning_that_moves_on_takes_no_past_month_back(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-01-01T00:00:00Z")
    move(db, "2026-05-01T00:00:00Z", effective_at="2026-04-01T00:00:00Z")
    assert plans_of(db, alice, [*SPRING, "2099-01"]) == ["pro"] * 5


def test_a_row_without_a_beginning_that_gets_one_keeps_its_past(db: Connection, alice: Person) -> None:
    alice.is_on("pro")
    move(db, "2026-05-01T00:00:00Z", effective_at="2026-04-01T00:00:00Z")
    assert plans_of(db, alice, ["2019-01", *SPRING, "2099-01"]) == ["pro"] * 6


def test_a_beginning_that_moves_beyond_the_change_leaves_a_gap(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-01-01T00:00:00Z")
    move(db, "2026-02-10T00:00:00Z", effective_at="2026-04-10T00:00:00Z")
    assert plans_of(db, alice, SPRING) == ["pro", "free", "free", "pro"]


@pytest.mark.parametrize(
    ("begins", "plans", "noted"),
    [("2099-03-01", ["free", "free", "pro"], 3), ("2099-01-10", ["pro", "pro", "pro"], 2)],
)
def test_a_beginning_to_come_can_be_moved(
    db: Connection, alice: Person, begins: str, plans: list[str], noted: int
) -> None:
    alice.is_on("pro", effective_at="2099-02-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET effective_at = :begins", begins=begins)
    assert plans_of(db, alice, ["2099-01", "2099-02", "2099-03"]) == plans
    assert rows(db, "SELECT COUNT(*) FROM billing_status_history") == [(noted,)]
    change(db, "UPDATE saas_subscriptions SET status = 'canceled'")
    assert plans_of(db, alice, ["2099-01", "2099-02", "2099-03"]) == ["free"] * 3


def test_a_beginning_that_is_taken_away_lets_the_plan_hold_from_the_change_on(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2099-02-01T00:00:00Z")
    move(db, "2026-03-10T00:00:00Z", effective_at=None)
    assert plans_of(db, alice, SPRING) == ["free", "free", "pro", "pro"]


def test_a_plan_that_comes_with_its_beginning_holds_from_there(db: Connection, alice: Person) -> None:
    alice.is_on("premium", effective_at="2026-01-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro', effective_at = '2026-03-05T00:00:00Z'")
    assert plans_of(db, alice, SPRING) == ["premium", "premium", "pro", "pro"]


# -- another user --------------------------------------------------------------------------------------


def test_a_row_that_goes_to_another_user_ends_here_and_begins_there(db: Connection, people: Cast) -> None:
    people.alice.is_on("pro", effective_at="2026-01-01T00:00:00Z")
    move(db, "2026-03-10T00:00:00Z", user_id=people.charlie.id)
    assert plans_of(db, people.alice, SPRING) == ["pro", "pro", "free", "free"]
    assert plans_of(db, people.charlie, SPRING) == ["free", "free", "pro", "pro"]
    noted = rows(db, "SELECT tenant_id, user_id, status FROM billing_status_history ORDER BY id")
    assert noted == [(1, 1, "active"), (1, 1, "canceled"), (2, 3, "active")]
    assert rows(db, "SELECT tenant_id, changed_at FROM saas_subscriptions") == [(2, None)]


# -- all together --------------------------------------------------------------------------------------

BEGINNINGS = [None, "2026-01-01", "2026-03-01 08:00:00", "2026-05-01T10:00:00+02:00", "2099-01-01T00:00:00Z"]


def act(db: Connection, chance: random.Random) -> None:
    """What some program does to Alice's subscriptions: one of six."""
    row = {
        "user_id": 1,
        "plan": chance.choice(["premium", "pro"]),
        "status": chance.choice(["active", "past_due", "unpaid", "canceled"]),
        "effective_at": chance.choice(BEGINNINGS),
    }
    live = fetch_one(db, "SELECT id FROM saas_subscriptions WHERE status <> 'canceled'")
    if live is None:
        known = fetch_one(db, "SELECT MAX(subject_id) AS id FROM billing_status_history")
        anew = {"id": known["id"]} if known and known["id"] and chance.random() < 0.5 else {}
        change(db, "DELETE FROM saas_subscriptions")
        insert(db, "saas_subscriptions", {**row, **anew})
        return
    name = chance.choice(["plan", "status", "effective_at", "all", "gone"])
    if name == "gone":
        change(db, "DELETE FROM saas_subscriptions")
    elif name == "all":
        change(db, "UPDATE saas_subscriptions SET plan = :plan, status = :status, effective_at = :effective_at", **{
            key: row[key] for key in ("plan", "status", "effective_at")
        })  # fmt: skip
    else:
        change(db, f"UPDATE saas_subscriptions SET {name} = :value", value=row[name])


@pytest.mark.parametrize("seed", range(8))
def test_read_to_its_end_the_history_says_what_the_table_says(db: Connection, alice: Person, seed: int) -> None:
    chance, settings = random.Random(seed), read_settings({"TURF_SAAS_DB": "unused"})
    for _ in range(60):
        act(db, chance)
        before_and_after = (datetime(2098, 12, 31, tzinfo=UTC), LATE)  # of the latest beginning
        in_force = [get_consumption(db, now, settings, alice.id).plan for now in before_and_after]
        assert plans_of(db, alice, ["2098-12", "2199-12"]) == in_force
