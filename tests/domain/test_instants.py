"""Instants are compared as text: what another program writes in another form is told in ours where it is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing_db import Connection, atomic, run_script
from tests.cast import Person
from tests.domain.reference_database import insert, invoice, rows
from tests.domain.tables import change
from turf_saas.quotas import get_consumption
from turf_saas.settings import read_settings
from turf_saas.values import Month

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
READ = {
    "2026-06-01": "2026-06-01T00:00:00Z",
    "2026-06-01 08:00:00": "2026-06-01T08:00:00Z",
    "2026-06-01T08:00": "2026-06-01T08:00:00Z",
    "2026-06-01T08:00Z": "2026-06-01T08:00:00Z",
    "2026-06-01T10:00:00+02:00": "2026-06-01T08:00:00Z",
    "2026-06-01 10:00:00 +02:00": "2026-06-01T08:00:00Z",
    "2026-05-31T22:30:00-02:00": "2026-06-01T00:30:00Z",
    "2026-06-01T08:00:00.000Z": "2026-06-01T08:00:00Z",
    "2026-05-31T23:59:59.999999": "2026-05-31T23:59:59Z",
    "2026-06-01 10:00:59.9999+02:00": "2026-06-01T08:00:59Z",
    "2024-02-29": "2024-02-29T00:00:00Z",
    "2026-06-01T08:00:00Z": "2026-06-01T08:00:00Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
}
UNREAD = [
    "2026-02-30", "2026-13-01T00:00:00Z", "2026-06-01T08:61:00", "2026-06", "2026", "2461045.5", "1780300800", "now",
    "soon", "", "01/06/2026", "9999-12-31T23:59:59-05:00", "2026-06-01T08:00:00 or so", "0000-01-01",
]  # fmt: skip
FORMS = [*READ.items(), *((text, text) for text in UNREAD)]
SUBSCRIPTION = (
    "effective_at", "trial_end", "current_period_start", "canceled_at", "ended_at", "created_at", "updated_at",
)  # fmt: skip


@pytest.mark.parametrize(("given", "told"), FORMS)
def test_a_subscriptions_instants_are_told_in_our_form(db: Connection, alice: Person, given: str, told: str) -> None:
    asked = f"SELECT {', '.join(SUBSCRIPTION)} FROM saas_subscriptions"
    alice.is_on("pro", **dict.fromkeys(SUBSCRIPTION, given))
    assert rows(db, asked) == [(told,) * len(SUBSCRIPTION)]
    for name in SUBSCRIPTION:
        change(db, f"UPDATE saas_subscriptions SET {name} = '2025-12-31T00:00:00Z'")
        change(db, f"UPDATE saas_subscriptions SET {name} = :given", given=given)
    assert rows(db, asked) == [(told,) * len(SUBSCRIPTION)]


@pytest.mark.parametrize(("given", "told"), FORMS)
def test_an_invoices_instants_are_told_in_our_form_and_its_days_stay_days(
    db: Connection, alice: Person, given: str, told: str
) -> None:
    insert(db, "invoices", invoice(created_at=given, paid_at=given))
    assert rows(db, "SELECT created_at, paid_at FROM invoices") == [(told, told)]
    change(db, "UPDATE invoices SET paid_at = NULL")
    change(db, "UPDATE invoices SET paid_at = :given", given=given)
    assert rows(db, "SELECT paid_at, period_start, period_end FROM invoices") == [(told, "2026-05-01", "2026-05-31")]
    assert rows(db, "SELECT at FROM billing_status_history") == [(told,)]


def test_the_edges_of_a_period_are_told_too(db: Connection, alice: Person) -> None:
    alice.is_on("pro", current_period_start="2026-05-01", current_period_end="2026-06-01 00:00:00+00:00")
    edges = rows(db, "SELECT current_period_start, current_period_end FROM saas_subscriptions")
    assert edges == [("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")]


def test_what_postgresql_itself_writes_is_read(on_postgresql: Connection) -> None:
    with atomic(on_postgresql):
        run_script(
            on_postgresql,
            """SET LOCAL TIME ZONE 'Asia/Kathmandu';
               INSERT INTO saas_subscriptions (user_id, plan, status, effective_at, trial_end)
               VALUES (1, 'pro', 'active', '2026-06-01 08:00:00+00'::timestamptz, '2026-06-01 10:00:00+02')""",
        )
    told = ("2026-06-01T08:00:00Z", "2026-06-01T08:00:00Z")
    assert rows(on_postgresql, "SELECT effective_at, trial_end FROM saas_subscriptions") == [told]


# -- what follows from it ------------------------------------------------------------------------------


def plan_of(db: Connection, person: Person, month: str | None = None) -> str:
    settings = read_settings({"TURF_SAAS_DB": "unused"})
    return get_consumption(db, NOW, settings, person.id, Month.parse(month) if month else None).plan


@pytest.mark.parametrize(
    ("begins", "plan"),
    [
        ("2026-05-20", "pro"), ("2026-05-20 10:00:00", "pro"), ("2026-05-20 10:00:01", "free"),
        ("2026-05-20 23:00:00", "free"), ("2026-05-20T12:00:00+02:00", "pro"), ("2026-05-20T09:00:00-02:00", "free"),
        ("2026-05-20T10:00:00.500", "pro"), ("2026-05-20T10:00:00.000Z", "pro"),
    ],
)  # fmt: skip
def test_todays_plan_begins_when_its_row_says(db: Connection, alice: Person, begins: str, plan: str) -> None:
    alice.is_on("pro", effective_at=begins)
    assert plan_of(db, alice) == plan


@pytest.mark.parametrize(
    ("begins", "plan"),
    [
        ("2026-04-30 23:59:59", "pro"), ("2026-04-30T23:59:59.999999Z", "pro"), ("2026-05-01", "free"),
        ("2026-05-01 00:00:00", "free"), ("2026-05-01T01:59:59+02:00", "pro"), ("2026-04-30T22:00:00-02:00", "free"),
    ],
)  # fmt: skip
def test_a_past_months_plan_had_begun_when_its_row_said(db: Connection, alice: Person, begins: str, plan: str) -> None:
    alice.is_on("pro", effective_at=begins)
    assert plan_of(db, alice, "2026-04") == plan


@pytest.mark.parametrize(
    ("changed_at", "plan"),
    [
        ("2026-04-30 23:59:59", "pro"), ("2026-05-01 00:00:00", "premium"), ("2026-05-01", "premium"),
        ("2026-05-01T01:00:00+02:00", "pro"), ("yesterday", "premium"),
    ],
)  # fmt: skip
def test_a_change_was_when_it_says_or_is_now_when_that_cannot_be_read(
    db: Connection, alice: Person, changed_at: str, plan: str
) -> None:
    alice.is_on("premium", effective_at="2026-01-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro', changed_at = :at", at=changed_at)
    assert plan_of(db, alice, "2026-04") == plan
    assert plan_of(db, alice) == "pro"


def test_the_same_beginning_in_another_form_is_no_change(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T08:00:00Z")
    change(db, "UPDATE saas_subscriptions SET effective_at = '2026-05-01 10:00:00+02:00'")
    assert rows(db, "SELECT at FROM billing_status_history") == [("2026-05-01T08:00:00Z",)]
