"""What becomes of an event: stored once, applied, deferred and woken, parked and replayed, and in the end forgotten.

Rows of the table of handlers are added for it: what they bring about is written down, so that it can be counted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from billing_db import Connection, DatabaseBusy, atomic, execute, fetch_all
from tests.conftest import NOW
from tests.domain.working import Clock
from tests.stripe_payloads import AT, SHAPES, Payload, Shape, event, tell, tell_all
from turf_saas import job_kinds, received_events, stripe_events, stripe_inbox
from turf_saas.errors import Conflict, Malformed
from turf_saas.notices import Notice
from turf_saas.settings import Settings, read_settings
from turf_saas.stripe_applying import Event, Outcome, Unknown, applied, is_news, mismatch
from turf_saas.working import Around, Ran, run_stored

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
Handler = Callable[[Connection, Event], Outcome]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Handler], None]:
    def add(kind: str, handler: Handler) -> None:
        def handle(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
            return handler(db, event)

        monkeypatch.setitem(stripe_events.HANDLERS, kind, stripe_events.Row(handle, "a test's own"))

    return add


def _note(db: Connection, event: Event) -> Outcome:
    """Something that would be seen twice if it were done twice."""
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_jobs (name, payload, run_at, created_at)
               VALUES ('noted', :id, '2100-01-01T00:00:00Z', '2026-01-01T00:00:00Z')""",
            id=json.dumps({"event": event.id}),
        )
    return applied(Notice("invoice_paid", {"event": event.id}), known=(str(event.object_id),))


def _noted(db: Connection) -> list[str]:
    rows = fetch_all(db, "SELECT payload FROM billing_jobs WHERE name = 'noted' ORDER BY id")
    return [json.loads(row["payload"])["event"] for row in rows]


def _row(db: Connection, payload: Payload) -> received_events.ReceivedEvent:
    return received_events.get_event(db, payload["id"])


def test_an_event_is_applied_once_and_a_second_time_it_is_a_duplicate(db: Connection, answers: Any) -> None:
    answers("test.note", _note)
    told = event("test.note", {"id": "in_1"})
    first = tell(db, NOW, SETTINGS, told)
    assert (first.result, [notice.about for notice in first.notices]) == ("applied", [{"event": told["id"]}])
    assert tell(db, NOW, SETTINGS, told) == ("duplicate", ())
    assert _noted(db) == [told["id"]]
    row = _row(db, told)
    assert (row.status, row.object_id, row.happened_at) == ("applied", "in_1", "2026-05-20T09:00:00Z")
    assert row.sha256 == hashlib.sha256(json.dumps(told).encode()).hexdigest()


@pytest.mark.parametrize(
    ("given", "settings", "note"),
    [
        ({"kind": "of.no.interest"}, {}, "no such event is acted upon"),
        ({"livemode": True}, {"STRIPE_SECRET_KEY": "sk_test_1"}, "live"),
        ({"livemode": False}, {"STRIPE_SECRET_KEY": "rk_live_1"}, "a test, and the key is live"),
        ({"account": "acct_2"}, {"BILLING_STRIPE_ACCOUNTS": "acct_1"}, "of the connected account acct_2"),
    ],
)
def test_what_is_not_for_us_is_stored_and_changes_nothing(
    db: Connection, answers: Any, given: dict[str, Any], settings: dict[str, str], note: str
) -> None:
    answers("test.note", _note)
    told = event(**{"kind": "test.note", "about": {"id": "in_1"}, **given})
    assert tell(db, NOW, read_settings({"TURF_SAAS_DB": "unused", **settings}), told).result == "ignored"
    assert (_row(db, told).note, _noted(db)) == (note, [])


def test_a_connected_account_that_is_named_counts_and_so_does_the_keys_own_mode(db: Connection, answers: Any) -> None:
    answers("test.note", _note)
    ours = read_settings({"TURF_SAAS_DB": "unused", "STRIPE_SECRET_KEY": "sk_live_1",
                          "BILLING_STRIPE_ACCOUNTS": "acct_1"})  # fmt: skip
    told = event("test.note", {"id": "in_1"}, account="acct_1", livemode=True)
    assert tell(db, NOW, ours, told).result == "applied"


@pytest.mark.parametrize("shape", SHAPES)
def test_an_event_without_an_id_of_its_object_is_taken(db: Connection, shape: Shape) -> None:
    told = event("invoice.upcoming", {"object": "invoice", "customer": "cus_1"}, shape=shape)
    assert tell(db, NOW, SETTINGS, told).result == "ignored"
    assert _row(db, told).object_id is None


@pytest.mark.parametrize(
    "given",
    ["[]", "null", "1", "{}", "", "{", '"a"', "[" * 100_000, '{"id": "evt_1", "type": "a", "created": 1}',
     json.dumps(event("a", {}, created="now")), json.dumps(event("a", {}, created=True)),
     json.dumps(event("", {})), json.dumps(event("a" * 256, {})), json.dumps(event("a\0b", {})),
     json.dumps(event("a", {}, id=7)), json.dumps({**event("a", {}), "data": {"object": []}}),
     '{"created": ' + "9" * 5_000 + "}"],
)  # fmt: skip
def test_what_is_no_event_is_malformed(given: str) -> None:
    with pytest.raises(Malformed):
        stripe_inbox.read_event(given)


# -- what is not known yet -----------------------------------------------------------------------------


def _waits_for(name: str) -> Handler:
    def handle(db: Connection, event: Event) -> Outcome:
        known = fetch_all(db, "SELECT id FROM billing_stripe_objects WHERE id = :id", id=name)
        if not known:
            raise Unknown(name)
        return _note(db, event)

    return handle


def _makes_known(name: str) -> Handler:
    def handle(db: Connection, event: Event) -> Outcome:
        return applied(known=(name,)) if is_news(db, event, name) else mismatch("old")

    return handle


def test_what_waits_is_applied_with_what_it_waited_for_in_the_order_in_which_it_happened(
    db: Connection, answers: Any
) -> None:
    answers("test.child", _waits_for("in_1"))
    answers("test.parent", _makes_known("in_1"))
    late, early = event("test.child", {"id": "x"}, at=AT + 2), event("test.child", {"id": "y"}, at=AT + 1)
    assert tell_all(db, NOW, SETTINGS, [late, early, late]) == ["deferred", "deferred", "duplicate"]
    assert (_row(db, late).waits_for, _noted(db)) == ("in_1", [])
    parent = tell(db, NOW, SETTINGS, event("test.parent", {"id": "in_1"}))
    assert _noted(db) == [early["id"], late["id"]]
    assert [notice.about["event"] for notice in parent.notices] == [early["id"], late["id"]]
    assert _row(db, late).status == "applied"


def _run(db: Connection, at: datetime) -> Ran:
    return run_stored(db, Clock(at), Around(SETTINGS), job_kinds.KINDS)


def test_what_waits_is_tried_again_by_a_job_until_it_can_be_applied(db: Connection, answers: Any) -> None:
    answers("test.child", _waits_for("in_1"))
    told = event("test.child", {"id": "x"})
    tell(db, NOW, SETTINGS, told)
    assert _run(db, NOW).many == 0, "not at once"
    assert _run(db, NOW + timedelta(minutes=1)).put_off == 1
    with atomic(db):
        execute(db, "INSERT INTO billing_stripe_objects (id, told_at) VALUES ('in_1', '2026-05-20T09:00:00Z')")
    assert _run(db, NOW + timedelta(hours=2)).completed == 1
    assert (_noted(db), _row(db, told).status, _row(db, told).attempts) == ([told["id"]], "applied", 3)


@pytest.mark.parametrize(("after", "status"), [(timedelta(0), "failed"), (timedelta(seconds=-1), "deferred")])
def test_what_has_not_become_known_in_three_days_is_parked(
    db: Connection, answers: Any, after: timedelta, status: str
) -> None:
    answers("test.child", _waits_for("in_1"))
    told = event("test.child", {"id": "x"})
    tell(db, NOW, SETTINGS, told)
    _run(db, NOW + timedelta(days=3) + after)
    assert _row(db, told).status == status


# -- what fails ----------------------------------------------------------------------------------------


def test_what_was_given_up_is_applied_all_the_same_once_what_it_waited_for_is_known(
    db: Connection, answers: Any
) -> None:
    answers("test.child", _waits_for("in_1"))
    answers("test.note", _note)
    told = event("test.child", {"id": "re_1"})
    tell(db, NOW, SETTINGS, told)
    _run(db, NOW + timedelta(days=3))
    assert _row(db, told).status == "failed"
    answers("test.child", _note)
    late = event("test.note", {"id": "in_1"})
    tell(db, NOW + timedelta(days=4), SETTINGS, late)
    assert (_noted(db), _row(db, told).status) == ([late["id"], told["id"]], "applied")


def test_what_fails_is_undone_tried_eight_times_parked_and_applied_by_a_replay_once_it_can_be(
    db: Connection, answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    def fail(db: Connection, event: Event) -> Outcome:
        _note(db, event)
        raise KeyError("plan")

    answers("test.poison", fail)
    told = event("test.poison", {"id": "x"})
    assert tell(db, NOW, SETTINGS, told).result == "deferred"
    at = NOW
    for attempt in range(2, 8):
        at += timedelta(hours=2)
        assert (_run(db, at).put_off, _row(db, told).status, _row(db, told).attempts) == (1, "deferred", attempt)
    assert _run(db, at + timedelta(hours=2)).completed == 1
    assert (_row(db, told).status, _row(db, told).note, _noted(db)) == ("failed", "KeyError: 'plan'", [])
    assert f"event {told['id']} (test.poison) is parked: KeyError: 'plan'" in caplog.text
    assert _run(db, at + timedelta(days=9)).many == 0

    parked = _row(db, told).id
    assert stripe_inbox.replay(db, at, SETTINGS, parked).result == "deferred"
    assert _row(db, told).status == "failed", "what fails again stays parked"
    answers("test.poison", _waits_for("in_1"))
    stripe_inbox.replay(db, NOW, SETTINGS, parked)
    assert _row(db, told).status == "deferred"
    answers("test.poison", _note)
    assert _run(db, NOW + timedelta(days=1)).completed == 1, "it has a job again"
    assert (_row(db, told).status, _noted(db)) == ("applied", [told["id"]])
    with pytest.raises(Conflict):
        stripe_inbox.replay(db, NOW, SETTINGS, parked)


def test_a_wait_is_no_failure(db: Connection, answers: Any) -> None:
    answers("test.child", _waits_for("in_1"))
    told = event("test.child", {"id": "x"})
    tell(db, NOW, SETTINGS, told)
    for hours in range(1, 20):
        _run(db, NOW + timedelta(hours=2 * hours))
    assert _row(db, told).attempts > 8
    answers("test.child", lambda db, event: 1 // 0)
    _run(db, NOW + timedelta(hours=44))
    assert (_row(db, told).status, _row(db, told).note) == (
        "deferred", "ZeroDivisionError: integer division or modulo by zero")  # fmt: skip


def test_while_the_database_is_busy_nothing_is_stored(db: Connection, answers: Any) -> None:
    def busy(db: Connection, event: Event) -> Outcome:
        raise DatabaseBusy("The database is busy.")

    answers("test.busy", busy)
    told = event("test.busy", {"id": "x"})
    with pytest.raises(DatabaseBusy):
        tell(db, NOW, SETTINGS, told)
    assert fetch_all(db, "SELECT id FROM billing_events") == []
    answers("test.busy", _note)
    assert tell(db, NOW, SETTINGS, told).result == "applied", "as Stripe's next try is"


def test_what_contradicts_the_books_is_an_error_in_the_log_and_waits_for_somebody(
    db: Connection, answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers("test.wrong", lambda db, event: mismatch("another currency"))
    told = event("test.wrong", {"id": "x"})
    assert tell(db, NOW, SETTINGS, told).result == "ignored"
    assert (_row(db, told).status, _run(db, NOW + timedelta(days=1)).many) == ("mismatch", 0)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", f"event {told['id']} (test.wrong) contradicts what is known: another currency")]  # fmt: skip
    dismissed = received_events.dismiss(db, NOW, _row(db, told).id, "paid by hand")
    assert (dismissed.status, dismissed.note) == ("ignored", "dismissed: paid by hand")
    with pytest.raises(Conflict):
        received_events.dismiss(db, NOW, dismissed.id, "again")


def test_a_note_and_a_body_may_hold_anything(db: Connection, answers: Any, caplog: pytest.LogCaptureFixture) -> None:
    # What is logged cannot be sent from one process of the tests to another.
    caplog.set_level(logging.CRITICAL + 1, "turf_saas.billing")

    def fail(db: Connection, event: Event) -> Outcome:
        raise ValueError("\0\ud800" + "x" * 5_000)

    answers("test.poison", fail)
    told = event("test.poison", {"id": "in_\0", "customer": "\ud800", "text": "\0"})
    assert tell(db, NOW, SETTINGS, told).result == "deferred"
    assert (_row(db, told).object_id, len(_row(db, told).note or "")) == (None, 500)


def test_the_secret_of_a_payment_is_not_stored(db: Connection) -> None:
    told = event("payment_intent.created", {"id": "pi_1", "client_secret": 'pi_1_secret_of"quotes', "amount": 5})
    tell(db, NOW, SETTINGS, told)
    (row,) = fetch_all(db, "SELECT payload FROM billing_events")
    stored = json.loads(row["payload"])["data"]["object"]
    assert {name: stored[name] for name in ("id", "client_secret", "amount")} == {
        "id": "pi_1", "client_secret": None, "amount": 5}  # fmt: skip


# -- which state is the newest -------------------------------------------------------------------------


def test_of_one_second_the_higher_rank_is_news_and_what_is_older_never(db: Connection) -> None:
    def told(at: int, rank: int) -> bool:
        with atomic(db):
            return is_news(db, stripe_inbox.event_of(event("x", {"id": "sub_1"}, at=at)), "sub_1", rank=rank)

    assert [told(AT, 1), told(AT, 1), told(AT, 0), told(AT, 2), told(AT - 1, 9), told(AT + 1, 0)] == [
        True, False, False, True, False, True]  # fmt: skip


# -- how long it is kept -------------------------------------------------------------------------------


def test_the_body_of_a_settled_event_is_forgotten_after_the_days_that_are_set(db: Connection, answers: Any) -> None:
    answers("test.note", _note)
    answers("test.wrong", lambda db, event: mismatch("no"))
    kept = read_settings({"TURF_SAAS_DB": "unused", "BILLING_EVENT_DAYS": "2"})
    old, ignored, open_, new = (event(kind, {"id": "x"}) for kind in ("test.note", "other", "test.wrong", "test.note"))
    tell_all(db, NOW, kept, [old, ignored, open_])
    tell(db, NOW + timedelta(seconds=1), kept, new)
    assert received_events.forget_old(db, NOW + timedelta(days=2, seconds=-1), kept) == 0
    assert received_events.forget_old(db, NOW + timedelta(days=2), kept) == 2
    assert received_events.forget_old(db, NOW + timedelta(days=2), kept) == 0
    bodies = [received_events.find_body(db, _row(db, one).id) for one in (old, ignored, open_, new)]
    assert [body is None for body in bodies] == [True, True, False, False]
    assert (_row(db, old).status, len(_row(db, old).sha256)) == ("applied", 64)
    assert tell(db, NOW, kept, old).result == "duplicate", "that it came is never forgotten"
    assert (kept.event_days, SETTINGS.event_days) == (2, 90)
