"""Billing in Python: the functions on the extension object, with the rules of the routes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing
from billing_db import Connection, fetch_all
from tests.cast import SECRET, Cast, Person
from turf_saas.admission import QuotaExceeded
from turf_saas.errors import BillingError, Conflict, InvalidInput, NotFound


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, BILLING_LIMIT_FREE_TOKENS="100")
    return app


@pytest.fixture
def billing(app: Flask) -> Billing:
    return Billing(app)


def quantities(db: Connection) -> list[int]:
    return [row["quantity"] for row in fetch_all(db, "SELECT quantity FROM usage_events ORDER BY id")]


def test_usage_is_recorded_once_per_key(billing: Billing, db: Connection, alice: Person, bob: Person) -> None:
    first = billing.record_usage(alice.id, "tokens", 5, idempotency_key="k1")
    again = billing.record_usage(alice.id, "tokens", amount=5, idempotency_key="k1")
    assert (first.duplicate, again.duplicate, again.id) == (False, True, first.id)
    assert billing.record_usage(bob.id, "tokens", 5, idempotency_key="k1").id != first.id
    with pytest.raises(Conflict, match="key"):
        billing.record_usage(alice.id, "tokens", 6, idempotency_key="k1")
    assert quantities(db) == [5, 5]


def test_the_extension_object_of_a_registered_blueprint_can_do_the_same(
    make_app: Callable[..., Flask], db: Connection, alice: Person
) -> None:
    make_app().extensions["billing"].record_usage(alice.id, "tokens", 7)
    assert quantities(db) == [7]


def test_a_user_of_the_host_who_never_came_by_is_entered(billing: Billing, db: Connection) -> None:
    billing.record_usage(4711, "tokens", 3)
    billing.check_and_increment("4712", "api_calls", 1)
    rows = fetch_all(db, "SELECT user_id, used FROM usage_counters ORDER BY user_id")
    assert [(row["user_id"], row["used"]) for row in rows] == [(4711, 3), (4712, 1)]


@pytest.mark.parametrize("user_id", [None, "not a number", -1, 2**63, 1.5, True])
def test_what_is_no_user_is_refused(billing: Billing, db: Connection, user_id: Any) -> None:
    with pytest.raises(NotFound):
        billing.record_usage(user_id, "tokens", 3)
    assert quantities(db) == []


@pytest.mark.parametrize(
    "given",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": 2**53 + 1},
        {"quantity": 0.5},
        {"quantity": "5"},
        {"quantity": True},
        {"quantity": None},
        {"quantity": float("nan")},
        {"quantity": 10**40},
        {"quantity": 5, "amount": 6},
        {"quantity": 5, "metric": "Tokens"},
        {"quantity": 5, "metric": ""},
        {"quantity": 5, "at": datetime(2026, 5, 20)},  # noqa: DTZ001  that is what is refused
        {"quantity": 5, "at": "yesterday"},
        {"quantity": 5, "at": datetime.now(UTC) - timedelta(days=40)},
        {"quantity": 5, "at": datetime.now(UTC) + timedelta(hours=1)},
        {"quantity": 5, "idempotency_key": ""},
        {"quantity": 5, "idempotency_key": "k" * 256},
        {"quantity": 5, "idempotency_key": "a\0b"},
        {"quantity": 5, "idempotency_key": "\ud800"},
        {"quantity": 5, "metadata": {"nested": {"too": "deep"}}},
        {"quantity": 5, "metadata": {"text": "\ud800"}},
        {"quantity": 5, "metadata": "text"},
    ],
)
def test_a_fault_is_named_and_nothing_is_recorded(
    billing: Billing, db: Connection, alice: Person, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        billing.record_usage(**{"user_id": alice.id, "metric": "tokens", **given})
    assert len(str(refused.value)) > len(refused.value.code), "a developer reads a sentence, not a code"
    assert quantities(db) == []


@pytest.mark.parametrize(
    "given",
    [
        {"quantity": 1},
        {"quantity": 2**53},
        {"quantity": 5, "amount": 5},
        {"quantity": 5, "at": datetime.now(UTC) - timedelta(days=34)},
        {"quantity": 5, "at": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()},
        {"quantity": 5, "idempotency_key": "k" * 255},
        {"quantity": 5, "metadata": {"race": "Vincennes R1C4", "fee": 0.5, "late": None}},
    ],
)
def test_what_is_documented_is_accepted(billing: Billing, db: Connection, alice: Person, given: dict[str, Any]) -> None:
    billing.record_usage(**{"user_id": alice.id, "metric": "tokens", **given})
    assert quantities(db) == [given["quantity"]]


def test_a_quota_is_checked_and_counted_in_one_step(billing: Billing, db: Connection, alice: Person) -> None:
    assert billing.check_and_increment(alice.id, "tokens", 100).gauge.remaining == 0
    with pytest.raises(QuotaExceeded) as refused:
        billing.check_and_increment(alice.id, "tokens", 1)
    assert (refused.value.metric, refused.value.used, refused.value.limit) == ("tokens", 100, 100)
    assert 0 < refused.value.resets_in_seconds <= 31 * 86400
    assert quantities(db) == [100]


def test_a_limit_and_a_window_of_ones_own(billing: Billing, alice: Person) -> None:
    for _ in range(2):
        billing.check_and_increment(alice.id, "logins", 1, limit=2, window="day")
    with pytest.raises(QuotaExceeded) as refused:
        billing.check_and_increment(alice.id, "logins", 1, limit=2, window="day")
    assert 0 < refused.value.resets_in_seconds <= 86400
    for wrong in ({"limit": -1}, {"limit": 1.5}, {"limit": 1, "window": "week"}, {"window": "day"}):
        with pytest.raises(InvalidInput):
            billing.check_and_increment(alice.id, "logins", 1, **wrong)


def test_a_meter_records_what_its_block_adds_up(billing: Billing, db: Connection, alice: Person) -> None:
    with billing.meter("tokens", alice.id) as used:
        used.add(3)
        used.add(4)
    with billing.meter("tokens", alice.id):
        pass
    assert quantities(db) == [7]


def test_a_block_that_fails_has_recorded_nothing(billing: Billing, db: Connection, alice: Person) -> None:
    def work() -> None:
        with billing.meter("tokens", alice.id) as used:
            used.add(3)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        work()
    assert quantities(db) == []


def test_a_mistake_is_told_before_the_work_is_done(billing: Billing, alice: Person) -> None:
    worked = []
    with pytest.raises(InvalidInput), billing.meter("Tokens!", alice.id):
        worked.append(1)
    with pytest.raises(InvalidInput), billing.meter("tokens", alice.id) as used:
        used.add(0.5)  # type: ignore[arg-type]
    assert worked == []


def test_what_is_held_is_settled_or_released(billing: Billing, db: Connection, alice: Person) -> None:
    held = billing.reserve(alice.id, "tokens", 60)
    other = billing.reserve(alice.id, "tokens", 40, expires_in=60)
    with pytest.raises(QuotaExceeded):
        billing.reserve(alice.id, "tokens", 1)
    assert billing.release(other.id).state == "released"
    assert billing.settle(held.id, 25).settled_quantity == 25
    assert billing.settle(held.id, 25).state == "settled"
    with pytest.raises(Conflict):
        billing.settle(held.id, 26)
    assert quantities(db) == [25]
    assert billing.check_and_increment(alice.id, "tokens", 75).gauge.remaining == 0


@pytest.mark.parametrize("expires_in", [0, -1, 86401, 1.5, True])
def test_a_hold_lasts_from_a_second_to_a_day(billing: Billing, alice: Person, expires_in: Any) -> None:
    with pytest.raises(InvalidInput):
        billing.reserve(alice.id, "tokens", 1, expires_in=expires_in)
    for wrong in (-1, 2**53 + 1, 0.5):
        with pytest.raises(InvalidInput):
            billing.settle("anything", wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        billing.settle("nothing of that name", 1)


def test_outside_an_app_several_apps_are_one_too_many(
    billing: Billing, app: Flask, make_app: Callable[..., Flask], alice: Person
) -> None:
    other = Flask("other")
    other.config.update(app.config)
    billing.init_app(other)
    with pytest.raises(RuntimeError, match="several apps"):
        billing.record_usage(alice.id, "tokens", 1)
    with other.app_context():
        assert billing.record_usage(alice.id, "tokens", 1).duplicate is False


def test_daily_sums(billing: Billing, alice: Person, bob: Person, charlie: Person) -> None:
    day = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12)
    for person, quantity in ((alice, 1), (alice, 2), (bob, 4), (charlie, 8)):
        billing.record_usage(person.id, "tokens", quantity, at=day)
    billing.record_usage(alice.id, "tokens", 16, at=day + timedelta(days=1))
    billing.record_usage(alice.id, "searches", 32, at=day)
    assert billing.aggregate_daily("tokens", day.date()) == 7
    assert billing.aggregate_daily("tokens", day.date().isoformat(), tenant_id=2) == 8
    sums = billing.list_daily_aggregates(alice.id, "tokens", day.date(), (day + timedelta(days=1)).date())
    assert [one.total for one in sums] == [3, 16]
    for wrong in ("2026-5-1", day, "tomorrow", None):
        with pytest.raises(InvalidInput):
            billing.aggregate_daily("tokens", wrong)  # type: ignore[arg-type]


def test_without_an_app_one_sentence_says_so() -> None:
    with pytest.raises(RuntimeError, match="no app yet"):
        Billing().record_usage(1, "tokens", 1)


def test_a_refusal_reads_as_a_sentence() -> None:
    assert "0" in str(Conflict("correction_too_large", left=0))
    assert str(BillingError("a_code_without_a_sentence")) == "a_code_without_a_sentence"
