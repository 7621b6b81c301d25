"""Usage events: every fact once, its day and its month in the same breath."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from billing_db import Connection, RuleBroken, atomic, execute, fetch_all
from tests.cast import Cast, Person
from turf_saas import metering, thresholds, usage
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.settings import Settings, read_settings
from turf_saas.usage import EventFault, EventsRefused, NewEvent

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url, "BILLING_LIMIT_FREE_TOKENS": "100"})


def event(person: Person, quantity: int = 1, key: str | None = None, at: datetime | None = None) -> NewEvent:
    return NewEvent(person.id, person.tenant_id, "tokens", quantity, at, key)


def sums(db: Connection) -> list[tuple[int, str, int]]:
    """Per user and day, and the month's counter under the month."""
    days = fetch_all(db, "SELECT user_id, period_start AS place, total FROM usage_aggregates")
    months = fetch_all(db, "SELECT user_id, month AS place, used AS total FROM usage_counters WHERE used > 0")
    return sorted((row["user_id"], row["place"], row["total"]) for row in (*days, *months) if row["total"])


def test_a_batch_is_summed_per_user_and_day(db: Connection, settings: Settings, people: Cast) -> None:
    april = datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC)
    events = [event(people.bob, 5), event(people.alice, 1), event(people.alice, 2), event(people.alice, 4, at=april)]
    usage.record_events(db, NOW, settings, events)
    assert sums(db) == [
        (1, "2026-04", 4),
        (1, "2026-04-30", 4),
        (1, "2026-05", 3),
        (1, "2026-05-20", 3),
        (2, "2026-05", 5),
        (2, "2026-05-20", 5),
    ]


def test_the_day_is_the_local_one(db: Connection, url: str, alice: Person) -> None:
    paris = read_settings({"TURF_SAAS_DB": url, "BILLING_TIMEZONE": "Europe/Paris"})
    usage.record_event(db, NOW, paris, event(alice, 7, at=datetime(2026, 4, 30, 22, 30, tzinfo=UTC)))
    assert sums(db) == [(1, "2026-05", 7), (1, "2026-05-01", 7)]


def test_a_key_counts_once_within_a_batch_and_across_batches(db: Connection, settings: Settings, people: Cast) -> None:
    alice, bob = people.alice, people.bob
    first = usage.record_events(db, NOW, settings, [event(alice, 1, "a"), event(alice, 1, "a"), event(bob, 1, "a")])
    assert [one.duplicate for one in first] == [False, True, False]
    assert first[0].id == first[1].id != first[2].id
    later = NOW + timedelta(days=3)
    again = usage.record_events(db, later, settings, [event(alice, 9, "b"), event(alice, 1, "a")])
    assert [one.duplicate for one in again] == [False, True]
    assert again[1].id == first[0].id
    assert sums(db) == [
        (1, "2026-05", 10),
        (1, "2026-05-20", 1),
        (1, "2026-05-23", 9),
        (2, "2026-05", 1),
        (2, "2026-05-20", 1),
    ]


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 1000])
def test_a_whole_batch_again_changes_nothing(db: Connection, settings: Settings, alice: Person, size: int) -> None:
    events = [event(alice, 1, f"key {number}") for number in range(size)]
    first = usage.record_events(db, NOW, settings, events)
    again = usage.record_events(db, NOW, settings, events[::-1])
    assert [one.id for one in again] == [one.id for one in first][::-1]
    assert {one.duplicate for one in again} == {True}
    assert sums(db) == [(1, "2026-05", size), (1, "2026-05-20", size)]


def test_another_content_under_a_key_refuses_the_batch_and_names_each_place(
    db: Connection, settings: Settings, alice: Person
) -> None:
    usage.record_event(db, NOW, settings, event(alice, 1, "a"))
    before = sums(db)
    wrong = [event(alice, 5, "new"), event(alice, 2, "a"), event(alice, 5, "twice"), event(alice, 6, "twice")]
    with pytest.raises(EventsRefused) as refused:
        usage.record_events(db, NOW, settings, wrong)
    assert refused.value.of_events == [
        EventFault(1, "idempotency_key", "idempotency_conflict"),
        EventFault(3, "idempotency_key", "idempotency_conflict"),
    ]
    assert sums(db) == before
    assert usage.record_event(db, NOW, settings, event(alice, 5, "new")).duplicate is False


@pytest.mark.parametrize(
    ("difference", "accepted"),
    [
        (timedelta(days=-35, seconds=-1), False),
        (timedelta(days=-35), True),
        (timedelta(days=-35, seconds=1), True),
        (timedelta(minutes=5, seconds=-1), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=5, seconds=1), False),
    ],
)
def test_the_window_of_at(
    db: Connection, settings: Settings, alice: Person, difference: timedelta, accepted: bool
) -> None:
    if accepted:
        usage.record_event(db, NOW, settings, event(alice, 1, at=NOW + difference))
    else:
        with pytest.raises(InvalidInput, match="at_"):
            usage.record_event(db, NOW, settings, event(alice, 1, at=NOW + difference))
    assert bool(sums(db)) is accepted


def test_a_retry_is_a_duplicate_though_its_instant_has_become_too_old(
    db: Connection, settings: Settings, alice: Person
) -> None:
    sent = event(alice, 1, "a", at=NOW - timedelta(days=34))
    usage.record_event(db, NOW, settings, sent)
    assert usage.record_event(db, NOW + timedelta(days=30), settings, sent).duplicate is True
    with pytest.raises(InvalidInput):
        usage.record_event(db, NOW + timedelta(days=30), settings, sent._replace(key="b"))


def test_a_correction_counts_on_the_events_own_day_and_never_below_nothing(
    db: Connection, settings: Settings, alice: Person
) -> None:
    wrong = usage.record_event(db, NOW, settings, event(alice, 10, at=NOW - timedelta(days=25)))
    usage.record_event(db, NOW, settings, event(alice, 3))
    first = usage.correct_event(db, NOW, settings, 1, wrong.id, -4, key="c")
    again = usage.correct_event(db, NOW, settings, 1, wrong.id, -4, key="c")
    assert (first.duplicate, again.duplicate, again.id) == (False, True, first.id)
    assert sums(db) == [(1, "2026-04", 6), (1, "2026-04-25", 6), (1, "2026-05", 3), (1, "2026-05-20", 3)]
    with pytest.raises(Conflict) as refused:
        usage.correct_event(db, NOW, settings, 1, wrong.id, -7)
    assert refused.value.params["left"] == 6
    usage.correct_event(db, NOW, settings, 1, wrong.id, -6)
    assert sums(db) == [(1, "2026-05", 3), (1, "2026-05-20", 3)]


def test_only_an_event_of_the_tenant_is_corrected_and_no_correction_is(
    db: Connection, settings: Settings, people: Cast
) -> None:
    theirs = usage.record_event(db, NOW, settings, event(people.charlie, 5))
    own = usage.record_event(db, NOW, settings, event(people.alice, 5))
    correction = usage.correct_event(db, NOW, settings, 1, own.id, -1)
    for event_id in (theirs.id, correction.id, "nothing"):
        with pytest.raises(NotFound):
            usage.correct_event(db, NOW, settings, 1, event_id, -1)


def test_no_event_is_changed_or_deleted(db: Connection, settings: Settings, alice: Person) -> None:
    usage.record_event(db, NOW, settings, event(alice, 5))
    for statement in ("UPDATE usage_events SET quantity = 1", "DELETE FROM usage_events"):
        with pytest.raises(RuleBroken, match="never"), atomic(db):
            execute(db, statement)
    assert len(fetch_all(db, "SELECT id FROM usage_events")) == 1


def test_a_day_that_is_full_refuses_the_batch(db: Connection, settings: Settings, alice: Person) -> None:
    alice.has_used(2**62 - 2**53, "tokens", day="2026-05-20")
    usage.record_event(db, NOW, settings, event(alice, 2**53))
    with pytest.raises(InvalidInput, match="day_is_full"):
        usage.record_event(db, NOW, settings, event(alice, 1))
    assert len(fetch_all(db, "SELECT id FROM usage_events")) == 1


# -- what is reported is seen against the limits -----------------------------------------------------------


def test_no_limit_refuses_a_report_and_the_worst_level_is_told(
    db: Connection, settings: Settings, people: Cast
) -> None:
    alice, bob = people.alice, people.bob
    levels = [
        metering.report_event(db, NOW, settings, event(alice, quantity)).worst_level for quantity in (79, 1, 19, 1, 50)
    ]
    assert levels == [None, "soft", "soft", "hard", "hard"]
    assert metering.report_events(db, NOW, settings, [event(bob, 80)]).worst_level == "soft"
    assert metering.report_events(db, NOW, settings, [event(bob, 1), event(alice, 1)]).worst_level == "hard"


def test_a_threshold_is_noted_once_per_month(db: Connection, settings: Settings, people: Cast) -> None:
    alice, bob = people.alice, people.bob
    crossed = [
        metering.report_events(db, NOW, settings, [event(alice, quantity), event(bob, 1)]).crossed
        for quantity in (79, 1, 1, 19, 5)
    ]
    assert crossed == [False, True, False, True, False]
    told = [(one.user_id, one.percent, one.used) for one in thresholds.take_unsignalled(db, NOW)]
    assert told == [(alice.id, 80, 80), (alice.id, 100, 100)]
    assert thresholds.take_unsignalled(db, NOW) == []
    june = datetime(2026, 6, 1, tzinfo=UTC)
    assert metering.report_event(db, june, settings, event(alice, 100)).crossed is True
    assert [one.month for one in thresholds.take_unsignalled(db, june)] == ["2026-06", "2026-06"]


def test_a_duplicate_and_a_late_event_cross_nothing_today(db: Connection, settings: Settings, alice: Person) -> None:
    april = NOW - timedelta(days=25)
    assert metering.report_event(db, NOW, settings, event(alice, 100, at=april)).crossed is False
    metering.report_event(db, NOW, settings, event(alice, 79, "a"))
    assert metering.report_event(db, NOW, settings, event(alice, 79, "a")).crossed is False


def test_thresholds_of_ones_own(db: Connection, url: str, alice: Person) -> None:
    settings = read_settings(
        {"TURF_SAAS_DB": url, "BILLING_LIMIT_FREE_TOKENS": "100", "BILLING_ALERT_THRESHOLDS": "50,150"}
    )
    for quantity in (49, 1, 99, 1):
        metering.report_event(db, NOW, settings, event(alice, quantity))
    assert [(one.percent, one.used) for one in thresholds.take_unsignalled(db, NOW)] == [(50, 50), (150, 150)]


def test_an_event_below_nothing_corrects_another(db: Connection, alice: Person) -> None:
    with pytest.raises(RuleBroken), atomic(db):
        execute(
            db,
            """INSERT INTO usage_events (id, user_id, metric, quantity, day, at, recorded_at)
               VALUES ('x', :user_id, 'tokens', -1, '2026-05-20', '', '')""",
            user_id=alice.id,
        )
