"""BILLING_LATE_USAGE=reject: what is of a month that its user has been invoiced for is not taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from billing_db import Connection, fetch_all
from tests.api.usage_calls import faults, post
from tests.cast import Cast, Person
from tests.domain import issuing as desk
from tests.domain.issuing import APRIL, SETTINGS, at, begin, run
from turf_saas import admission, issuing, metering, usage
from turf_saas.demo import SELLER
from turf_saas.errors import BillingError, Conflict
from turf_saas.usage import EventsRefused, NewEvent
from turf_saas.users import User

REJECT = desk.settings_with(BILLING_LATE_USAGE="reject")
NOW = at(5, 3)


@pytest.fixture
def invoiced(db: Connection, people: Cast) -> Person:
    """Alice's April is invoiced, Bob's had nothing to bill, nobody else's is closed."""
    begin(db, people.alice, "premium", at(4, 1))
    people.bob.has_used(7, day="2026-04-09")
    run(db, at(5, 1))
    people.ada.has_used(7, day="2026-04-09")
    return people.alice


def event(person: Person, of: datetime | None, quantity: int = 5, **given: Any) -> NewEvent:
    return NewEvent(person.id, person.tenant_id, "tokens", quantity, of, **given)


def recorded(db: Connection) -> list[tuple[int, str]]:
    rows = fetch_all(db, "SELECT user_id, day FROM usage_events ORDER BY day, user_id")
    return [(row["user_id"], row["day"]) for row in rows]


def refusal(of: Callable[[], Any]) -> BillingError:
    with pytest.raises(BillingError) as error:
        of()
    return error.value


def test_an_event_of_an_invoiced_month_is_a_conflict(db: Connection, invoiced: Person) -> None:
    for of in (at(4, 1), at(4, 30, 23, 59, 59)):
        refused = refusal(lambda of=of: usage.record_event(db, NOW, REJECT, event(invoiced, of)))
        assert (type(refused), refused.code) == (Conflict, "period_invoiced")
    assert recorded(db) == []
    usage.record_event(db, NOW, REJECT, event(invoiced, at(5, 1)))
    usage.record_event(db, NOW, REJECT, event(invoiced, None))
    assert recorded(db) == [(invoiced.id, "2026-05-01"), (invoiced.id, "2026-05-03")]


def test_a_month_with_nothing_to_bill_is_invoiced_too_and_one_that_is_not_closed_is_not(
    db: Connection, invoiced: Person, people: Cast
) -> None:
    refused = refusal(lambda: usage.record_event(db, NOW, REJECT, event(people.bob, at(4, 9))))
    assert refused.code == "period_invoiced"
    usage.record_event(db, NOW, REJECT, event(people.ada, at(4, 9)))
    usage.record_event(db, NOW, REJECT, event(people.charlie, at(4, 9)))
    assert [user_id for user_id, _ in recorded(db)] == [people.charlie.id, people.ada.id]


def test_this_month_is_always_taken(db: Connection, alice: Person) -> None:
    """Even when a clock that went back has closed it."""
    begin(db, alice, "premium", at(4, 1))
    issuing.issue_month(db, at(5, 1), SETTINGS, 1, alice.id, APRIL)
    usage.record_event(db, at(4, 30), REJECT, event(alice, at(4, 29)))
    assert len(recorded(db)) == 1


def test_in_a_batch_each_has_its_fault_and_none_is_recorded(db: Connection, invoiced: Person, people: Cast) -> None:
    batch = [
        event(invoiced, None),
        event(invoiced, at(4, 2)),
        event(people.ada, at(4, 2)),
        event(people.bob, at(4, 3), key="a"),
        event(invoiced, NOW - timedelta(days=36)),
    ]
    with pytest.raises(EventsRefused) as refused:
        usage.record_events(db, NOW, REJECT, batch)
    told = [(fault.index, fault.field, fault.code) for fault in refused.value.of_events]
    assert told == [(1, "at", "period_invoiced"), (3, "at", "period_invoiced"), (4, "at", "at_too_old")]
    assert metering.list_faults(db, NOW, REJECT, batch) == refused.value.of_events
    assert recorded(db) == []
    usage.record_events(db, NOW, REJECT, [batch[0], batch[2]])
    assert len(recorded(db)) == 2


def test_a_duplicate_is_the_first_event_again(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(4, 1))
    first = usage.record_event(db, at(4, 2), REJECT, event(alice, at(4, 2), key="k"))
    run(db, at(5, 1))
    again = usage.record_event(db, NOW, REJECT, event(alice, at(4, 2), key="k"))
    assert (again.id, again.duplicate) == (first.id, True)
    other = refusal(lambda: usage.record_event(db, NOW, REJECT, event(alice, at(4, 2), 6, key="k")))
    assert other.code == "idempotency_conflict"


def test_a_correction_of_an_invoiced_month_is_a_conflict(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", at(4, 1))
    april = usage.record_event(db, at(4, 2), REJECT, event(alice, None)).id
    may = usage.record_event(db, NOW, REJECT, event(alice, None)).id
    usage.correct_event(db, at(5, 1), REJECT, 1, april, -1, key="k")
    run(db, at(5, 1))
    refused = refusal(lambda: usage.correct_event(db, NOW, REJECT, 1, april, -1))
    assert (type(refused), refused.code) == (Conflict, "period_invoiced")
    assert usage.correct_event(db, NOW, REJECT, 1, april, -1, key="k").duplicate
    usage.correct_event(db, NOW, REJECT, 1, may, -1)
    assert len(recorded(db)) == 4


def test_what_a_quota_gives_back_is_taken_though_its_month_was_invoiced_meanwhile(
    db: Connection, alice: Person
) -> None:
    begin(db, alice, "premium", at(4, 1))
    admitted = admission.spend(db, at(4, 30, 23, 59, 59), REJECT, User(alice.id, 1, "user"), "tokens", 9)
    run(db, at(5, 1))
    admission.give_back(db, at(5, 1), REJECT, admitted)
    assert [row["used"] for row in fetch_all(db, "SELECT used FROM usage_counters")] == [0]


def test_in_the_ordinary_way_nothing_is_asked(db: Connection, invoiced: Person) -> None:
    assert usage.prepare(NOW, REJECT, [event(invoiced, None), event(invoiced, at(5, 1))]).past == []
    assert usage.prepare(NOW, SETTINGS, [event(invoiced, at(4, 2))]).past == []
    usage.record_event(db, NOW, SETTINGS, event(invoiced, at(4, 2)))


def test_the_month_is_that_of_the_zone(db: Connection, alice: Person) -> None:
    paris = desk.settings_with(BILLING_LATE_USAGE="reject", BILLING_TIMEZONE="Europe/Paris")
    begin(db, alice, "premium", at(4, 1), settings=paris)
    run(db, at(4, 30, 22), paris)
    usage.record_event(db, NOW, paris, event(alice, at(4, 30, 22)))
    refused = refusal(lambda: usage.record_event(db, NOW, paris, event(alice, at(4, 30, 21, 59, 59))))
    assert refused.code == "period_invoiced"


def test_over_http_it_is_409_with_its_place(make_app: Callable[..., Flask], invoiced: Person, people: Cast) -> None:
    app = make_app(BILLING_LATE_USAGE="reject", BILLING_LOCALE="en", **SELLER)
    billing = app.extensions["billing"]
    billing.now = lambda: NOW
    client = app.test_client()
    late = {"metric": "tokens", "quantity": 5, "user_id": invoiced.id, "at": "2026-04-09T10:00:00Z"}
    reply = post(client, late, people.ada)
    assert (reply.status_code, reply.json["code"]) == (409, "period_invoiced")
    assert reply.json["error"] == "The month of this usage is invoiced: it is not taken any more."
    batch = post(client, {"events": [{"metric": "tokens", "quantity": 1}, late, late]}, people.ada)
    assert (batch.status_code, batch.json["code"]) == (409, "period_invoiced")
    assert faults(batch) == [("/events/1/at", "period_invoiced"), ("/events/2/at", "period_invoiced")]
    with_more = post(client, {"events": [late, {**late, "at": "2026-03-01T10:00:00Z"}]}, people.ada)
    assert (with_more.status_code, with_more.json["code"]) == (422, "invalid_input")
    with pytest.raises(Conflict):
        billing.record_usage(invoiced.id, "tokens", 1, at=at(4, 9))
    assert recorded(people.ada.db) == []
    assert post(client, {**late, "at": "2026-05-01T00:00:00Z"}, people.ada).status_code == 202
