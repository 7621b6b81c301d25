"""Subscriptions in Python: the host's own code subscribes, changes and ends, with the rules of the routes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing
from api_v1.signals import subscription_changed
from billing_db import Connection, fetch_one
from tests.cast import SECRET, Cast, Person
from turf_saas import clock
from turf_saas.errors import BillingError, Conflict, InvalidInput, NotFound
from turf_saas.month_rating import list_changes
from turf_saas.settings import read_settings
from turf_saas.subscriptions import Subscription

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True)
    return app


@pytest.fixture
def billing(app: Flask, db: Connection) -> Billing:
    clock.set_clock(db, NOW, SETTINGS, NOW)
    return Billing(app)


@pytest.fixture
def told() -> Iterator[list[str]]:
    heard: list[str] = []

    def receive(_: Flask, subscription: Subscription, what: str) -> None:
        heard.append(what)

    subscription_changed.connect(receive)
    yield heard
    subscription_changed.disconnect(receive)


@contextmanager
def lent(url: str) -> Iterator[Any]:
    """A connection of the host's own, with its driver's usual ways."""
    if "://" in url:
        import psycopg

        given = psycopg.connect(url)
    else:
        given = sqlite3.connect(url)
    try:
        yield given
    finally:
        given.close()


def test_a_subscription_from_its_beginning_to_its_end(
    billing: Billing, db: Connection, alice: Person, told: list[str]
) -> None:
    assert billing.get_subscription(alice.id) is None
    begun = billing.subscribe(alice.id, "premium")
    assert (begun.plan, begun.current_period_end) == ("premium", "2026-07-01T00:00:00Z")
    clock.set_clock(db, NOW, SETTINGS, datetime(2026, 6, 16, tzinfo=UTC))
    dry = billing.change_plan(alice.id, "pro", dry_run=True)
    assert (dry.proration.net_cents, billing.get_subscription(alice.id)) == (1_500, begun)  # half of 3000
    assert billing.change_plan(alice.id, "pro").subscription.plan == "pro"
    assert billing.change_plan(alice.id, "premium", when="now").subscription.plan == "premium"  # as an admin may
    assert billing.change_plan(alice.id, "free").subscription.pending_plan == "free"
    assert billing.cancel(alice.id).subscription.cancel_at_period_end
    assert not billing.resume(alice.id).cancel_at_period_end
    assert billing.cancel(alice.id, when="now", reason="moved").subscription.status == "canceled"
    assert billing.get_subscription(alice.id) is None
    assert told == ["subscribed", "changed", "changed", "change_scheduled", "cancel_scheduled", "resumed", "canceled"]
    assert {(one.actor, one.reason) for one in list_changes(db, [alice.id])[alice.id]} == {
        ("app", "subscribed"), ("app", "changed"), ("app", "moved")}  # fmt: skip


@pytest.mark.parametrize(
    "start_at", [date(2026, 5, 1), "2026-05-01", datetime(2026, 5, 1, 7, tzinfo=UTC), "2026-05-01T23:00:00Z"]
)
def test_it_may_begin_on_another_day(billing: Billing, alice: Person, start_at: Any) -> None:
    assert billing.subscribe(alice.id, "premium", start_at=start_at).effective_at == "2026-05-01T00:00:00Z"


def test_the_rules_are_those_of_the_routes(billing: Billing, alice: Person) -> None:
    for given, code in (
        ({"plan": "gold"}, "plan_unknown"),
        ({"plan": 5}, "invalid_input"),
        ({"plan": "premium", "trial_days": 731}, "invalid_input"),
        ({"plan": "premium", "start_at": datetime(2026, 5, 1)}, "instant_without_zone"),  # noqa: DTZ001
        ({"plan": "premium", "discount_code": "a\0"}, "invalid_input"),
    ):
        with pytest.raises(InvalidInput) as refused:
            billing.subscribe(alice.id, **given)  # type: ignore[arg-type]
        assert refused.value.code == code
    assert billing.get_subscription(alice.id) is None
    for deed in (
        lambda: billing.change_plan(alice.id, "pro"),
        lambda: billing.cancel(alice.id),
        lambda: billing.resume(alice.id),
    ):
        with pytest.raises(Conflict, match="subscription_missing"):
            deed()
    billing.subscribe(alice.id, "premium")
    with pytest.raises(Conflict, match="subscription_exists"):
        billing.subscribe(alice.id, "pro")
    with pytest.raises(InvalidInput):
        billing.cancel(alice.id, when="later")  # type: ignore[arg-type]


def test_a_user_whom_the_host_names_is_entered_and_no_nonsense_is(billing: Billing) -> None:
    assert billing.subscribe(4711, "premium").user_id == 4711
    for user_id in (None, "x", -1, 1.5):
        with pytest.raises(NotFound):
            billing.subscribe(user_id, "premium")  # type: ignore[arg-type]


def test_lent_a_connection_it_belongs_to_the_hosts_transaction(
    app: Flask, billing: Billing, db: Connection, url: str, alice: Person, told: list[str]
) -> None:
    @app.post("/sign-up/<what>")
    def sign_up(what: str) -> str:
        with lent(url) as given:
            billing.subscribe(alice.id, "premium", db=given)
            given.commit() if what == "keep" else given.rollback()
        return "done"

    client = app.test_client()
    assert client.post("/sign-up/undo").status_code == 200
    assert (told, fetch_one(db, "SELECT COUNT(*) AS n FROM saas_subscriptions")["n"]) == ([], 0)
    assert client.post("/sign-up/keep").status_code == 200
    assert (told, fetch_one(db, "SELECT plan FROM saas_subscriptions")["plan"]) == (["subscribed"], "premium")


def test_every_refusal_leaves_a_lent_transaction_as_it_was(billing: Billing, url: str, alice: Person) -> None:
    with lent(url) as given:
        cursor = given.execute("UPDATE users SET name = 'renamed' WHERE id = 1")
        assert cursor.rowcount == 1
        with pytest.raises(BillingError):
            billing.subscribe(alice.id, "premium", discount_code="NONE", db=given)
        given.commit()
    assert billing.get_subscription(alice.id) is None
