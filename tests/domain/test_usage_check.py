"""`usage check` finds every way in which events, days, counters, holds and keys can disagree; `rebuild` mends them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, engine, execute, fetch_all
from tests.cast import Cast, Person
from tests.conftest import NOW
from tests.domain.reference_database import rows
from tests.domain.tables import change, counters
from turf_saas import admission, reservations, usage
from turf_saas.settings import Settings, read_settings
from turf_saas.usage import NewEvent
from turf_saas.usage_check import check, rebuild
from turf_saas.users import User
from turf_saas.values import Month

MAY = Month(2026, 5)
TRIGGERS = ("usage_events", "usage_aggregates", "consumption_log")


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url})


@contextmanager
def without_triggers(db: Connection) -> Iterator[None]:
    """As a program that wants to get past us would write."""
    if engine(db) == "postgresql":
        for table in TRIGGERS:
            change(db, f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in TRIGGERS:
            change(db, f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    kept = fetch_all(db, "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
    kept = [trigger for trigger in kept if trigger["tbl_name"] in TRIGGERS]
    for trigger in kept:
        change(db, f"DROP TRIGGER {trigger['name']}")
    yield
    for trigger in kept:
        change(db, trigger["sql"])


def past_us(db: Connection, *statements: str) -> None:
    with without_triggers(db):
        for sql in statements:
            change(db, sql)


@pytest.fixture
def used(db: Connection, settings: Settings, people: Cast) -> Connection:
    """Alice: 8 tokens today (5 + 3, the 3 with a key) and 7 ten days ago; 4 calls; 6 tokens held. Charlie: 9 pages."""
    alice, charlie = people.alice, people.charlie
    for event in (
        NewEvent(alice.id, 1, "tokens", 5),
        NewEvent(alice.id, 1, "tokens", 3, key="k1"),
        NewEvent(alice.id, 1, "tokens", 7, at=NOW - timedelta(days=10)),
        NewEvent(charlie.id, 2, "pages", 9, key="k1"),
    ):
        usage.record_event(db, NOW, settings, event)
    admission.spend(db, NOW, settings, User(alice.id, 1, "user"), "api_calls", 4)
    with atomic(db):
        reservations.hold(db, NOW, settings, User(alice.id, 1, "user"), "tokens", 6)
    return db


def said(db: Connection, month: Month | None = None) -> list[str]:
    return sorted(found.sentence for found in check(db, month).shown)


def event_of(db: Connection, key: str, user_id: int = 1) -> str:
    [(event_id,)] = rows(db, f"SELECT event_id FROM usage_keys WHERE user_id = {user_id} AND idempotency_key = '{key}'")
    return str(event_id)


def test_what_was_recorded_agrees_and_how_much_was_compared_is_said(used: Connection) -> None:
    found = check(used)
    assert (found.disagreements, found.shown, found.archived_before) == (0, [], None)
    assert found.proved == {"events": 4, "days": 3, "logged": 1, "counters": 3, "held": 1, "keys": 2}
    assert check(used, Month(2026, 4)).proved == {"events": 0, "days": 0, "logged": 0, "counters": 0, "held": 0}
    assert not billing_db.in_transaction(used)


def test_an_empty_database_agrees(db: Connection) -> None:
    assert check(db).disagreements == 0
    assert rebuild(db, NOW).mended == 0


DAY = "user 1 tokens 2026-05-20"
ANOTHER = """INSERT INTO usage_events (id, user_id, metric, quantity, day, at, recorded_at, corrects)
             VALUES ('f', 1, '{}', {}, '{}', '', '', 'an event that is gone')"""
BROKEN: dict[str, tuple[list[str], list[str]]] = {
    "a day that was changed, with its counter": (
        ["UPDATE usage_aggregates SET total = 10 WHERE total = 8",
         "UPDATE usage_counters SET used = 17 WHERE used = 15"],
        [f"{DAY}: 8 in events, 10 in the day"],
    ),
    "a day that is gone": (
        ["DELETE FROM usage_aggregates WHERE total = 8"],
        [f"{DAY}: 8 in events, 0 in the day", "user 1 tokens 2026-05: 15 counted, 7 in the days"],
    ),
    "an event that is gone": (
        ["DELETE FROM usage_events WHERE quantity = 5"],
        [f"{DAY}: 3 in events, 8 in the day"],
    ),
    "an event that no day knows": (
        [ANOTHER.format("tokens", 2, "2026-05-20")],
        [f"{DAY}: 10 in events, 8 in the day"],
    ),
    "the events of a metric that no day knows": (
        [ANOTHER.format("seats", 2, "2026-05-21")],
        ["user 1 seats 2026-05-21: 2 in events, 0 in the day"],
    ),
    "a counter that was changed": (
        ["UPDATE usage_counters SET used = 1 WHERE used = 15"],
        ["user 1 tokens 2026-05: 1 counted, 15 in the days"],
    ),
    "a counter that is gone": (
        ["DELETE FROM usage_counters WHERE metric = 'pages'"],
        ["user 3 pages 2026-05: 0 counted, 9 in the days"],
    ),
    "a counter of nothing": (
        ["INSERT INTO usage_counters (user_id, metric, month, used) VALUES (2, 'seats', '2026-01', 3)"],
        ["user 2 seats 2026-01: 3 counted, 0 in the days"],
    ),
    "calls that no counter knows": (
        ["UPDATE consumption_log SET api_calls = 6"],
        ["user 1 api_calls 2026-05: 4 counted, 6 in the days"],
    ),
    "calls that are gone": (
        ["DELETE FROM consumption_log"],
        ["user 1 api_calls 2026-05: 4 counted, 0 in the days"],
    ),
    "more reserved than is held": (
        ["UPDATE usage_counters SET reserved = 11 WHERE metric = 'tokens'"],
        ["user 1 tokens 2026-05: 6 held, 11 reserved"],
    ),
    "a hold that ended without a word": (
        ["UPDATE usage_reservations SET state = 'released'"],
        ["user 1 tokens 2026-05: 0 held, 6 reserved"],
    ),
    "a hold that no counter knows": (
        ["UPDATE usage_reservations SET metric = 'pages'"],
        ["user 1 pages 2026-05: 6 held, 0 reserved", "user 1 tokens 2026-05: 0 held, 6 reserved"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", list(BROKEN))
def test_what_can_be_reckoned_again_is_found_and_mended(used: Connection, broken: str) -> None:
    statements, sentences = BROKEN[broken]
    past_us(used, *statements)
    without_keys = [sentence for sentence in said(used) if " key " not in sentence]
    assert without_keys == sentences
    tried = rebuild(used, NOW, dry_run=True)
    assert sorted(found.sentence for found in tried.first_mended) == sentences
    assert [sentence for sentence in said(used) if " key " not in sentence] == sentences, "a dry run mends nothing"
    assert rebuild(used, NOW) == tried
    assert (tried.mended, tried.left) == (len(sentences), 0)
    assert [sentence for sentence in said(used) if " key " not in sentence] == []
    assert rebuild(used, NOW).mended == 0


@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_rebuild_counts_once_without_the_triggers_too(used: Connection, broken: str) -> None:
    with without_triggers(used):
        for sql in BROKEN[broken][0]:
            change(used, sql)
        assert rebuild(used, NOW).left == 0
    assert [sentence for sentence in said(used) if " key " not in sentence] == []


def test_a_rebuilt_day_is_in_its_months_counter(used: Connection) -> None:
    past_us(used, "UPDATE usage_aggregates SET total = 100 WHERE total = 8", "UPDATE usage_counters SET used = 0")
    rebuild(used, NOW)
    assert counters(used) == {(1, "tokens", "2026-05"): 15, (1, "api_calls", "2026-05"): 4, (3, "pages", "2026-05"): 9}


def test_a_counter_that_is_made_anew_is_its_users_tenants(used: Connection) -> None:
    past_us(used, "DELETE FROM usage_counters")
    rebuild(used, NOW)
    found = rows(used, "SELECT user_id, tenant_id FROM usage_counters ORDER BY user_id, metric")
    assert found == [(1, 1), (1, 1), (3, 2)]


# -- days that no event explains -------------------------------------------------------------------------


def test_a_day_that_no_event_explains_stays_until_it_is_dropped_on_purpose(used: Connection, people: Cast) -> None:
    people.bob.has_used(12, "seats")  # another program's row
    sentence = "user 2 seats 2026-05-15: no events, 12 in the day"
    assert said(used) == [sentence]
    kept = rebuild(used, NOW)
    assert (kept.mended, kept.left, [found.sentence for found in kept.first_left]) == (0, 1, [sentence])
    assert counters(used)[2, "seats", "2026-05"] == 12
    dropped = rebuild(used, NOW, drop_unexplained=True)
    assert (dropped.mended, dropped.left) == (1, 0)
    assert said(used) == []
    assert counters(used)[2, "seats", "2026-05"] == 0


def test_events_below_nothing_are_left_to_see(used: Connection) -> None:
    past_us(used, ANOTHER.format("tokens", -9, "2026-05-20"))
    assert (rebuild(used, NOW).mended, said(used)) == (0, [f"{DAY}: -1 in events, 8 in the day"])


# -- keys --------------------------------------------------------------------------------------------------


def test_a_key_whose_event_is_gone_is_found(used: Connection) -> None:
    event_id = event_of(used, "k1")
    past_us(used, "DELETE FROM usage_events WHERE quantity = 3")
    lost, day = (
        f"user 1 key k1: its event {event_id} is neither there nor archived",
        f"{DAY}: 5 in events, 8 in the day",
    )
    assert said(used) == [lost, day]
    assert said(used, MAY) == [day], "a key is of no month"


def test_a_key_that_points_at_another_event_is_found(used: Connection) -> None:
    change(used, "UPDATE usage_keys SET event_id = (SELECT id FROM usage_events WHERE quantity = 5) WHERE user_id = 1")
    assert [sentence.partition(" is neither")[0] for sentence in said(used)] == [
        f"user 1 key k1: its event {event_of(used, 'k1')}"
    ]


def test_an_event_whose_key_is_not_kept_is_found(used: Connection) -> None:
    event_id = event_of(used, "k1", user_id=3)
    change(used, "DELETE FROM usage_keys WHERE user_id = 3")
    told = f"user 3 pages 2026-05-20 event {event_id}: its key k1 is not kept, so a retry would count again"
    assert (said(used), said(used, MAY), said(used, Month(2026, 4))) == ([told], [told], [])


def test_another_programs_letters_do_not_reach_the_terminal(used: Connection) -> None:
    change(used, "UPDATE usage_keys SET idempotency_key = :key WHERE user_id = 3", key="\x1b[2J\n" + "x" * 300)
    [lost, unkeyed] = said(used)
    assert "\x1b" not in lost + unkeyed
    assert "\n" not in lost + unkeyed
    assert "user 3 key ?[2J?xxx" in lost
    assert "x" * 61 not in lost


# -- how many, and of when -----------------------------------------------------------------------------------


def test_all_are_counted_and_some_are_shown(used: Connection) -> None:
    with without_triggers(used), atomic(used):
        for n in range(30):
            execute(used, ANOTHER.format("seats", n + 1, f"2026-05-{n + 1:02d}").replace("'f'", f"'f{n}'"))
    assert (check(used).disagreements, len(check(used).shown), len(check(used, most=0).shown)) == (30, 20, 0)
    mended = rebuild(used, NOW, most=3)
    assert (mended.mended, len(mended.first_mended), mended.left) == (30, 3, 0)


def test_a_month_is_looked_at_and_mended_alone(used: Connection) -> None:
    past_us(
        used,
        ANOTHER.format("seats", 1, "2026-04-30"),
        ANOTHER.format("seats", 2, "2026-06-01").replace("'f'", "'g'"),
        "UPDATE usage_counters SET used = 1 WHERE metric = 'pages'",
    )
    assert said(used, MAY) == ["user 3 pages 2026-05: 1 counted, 9 in the days"]
    assert said(used, Month(2026, 4)) == ["user 1 seats 2026-04-30: 1 in events, 0 in the day"]
    rebuild(used, NOW, MAY)
    assert said(used) == [
        "user 1 seats 2026-04-30: 1 in events, 0 in the day", "user 1 seats 2026-06-01: 2 in events, 0 in the day",
    ]  # fmt: skip


# -- while writers go on ---------------------------------------------------------------------------------------


def in_threads(url: str, count: int, work: Callable[[Connection, int], Any]) -> list[threading.Thread]:
    def run(number: int) -> None:
        with closing(billing_db.connect(url)) as db:
            work(db, number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_neither_a_check_nor_a_rebuild_is_disturbed_by_writers(
    used: Connection, url: str, settings: Settings, alice: Person
) -> None:
    problems: list[str] = []

    def write(db: Connection, number: int) -> None:
        try:
            for n in range(60):
                usage.record_event(db, NOW, settings, NewEvent(alice.id, 1, "tokens", 1, key=f"{number}-{n}"))
                admission.spend(db, NOW, settings, User(alice.id, 1, "user"), "api_calls", 1)
        except Exception as error:
            problems.append(repr(error))

    past_us(used, "UPDATE usage_counters SET used = 1", "UPDATE usage_aggregates SET total = 3 WHERE total = 8")
    threads = in_threads(url, 3, write)
    rebuild(used, NOW)
    looks = 0
    while any(thread.is_alive() for thread in threads) and looks < 1000:
        assert said(used) == []
        looks += 1
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert looks
    assert counters(used)[1, "tokens", "2026-05"] == 15 + 180
    assert counters(used)[1, "api_calls", "2026-05"] == 4 + 180
    assert check(used).proved["events"] == 184
