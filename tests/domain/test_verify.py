"""Whether what was issued stands as it was issued: each thing is broken on purpose, and seen to be named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import billing_db
from billing_db import Connection, atomic, engine, execute, fetch_all
from tests.billed import APRIL, JUNE, MAY, SETTINGS, at, bill, issue, use_april
from tests.cast import Cast, Person
from tests.domain.broken_invoices import BREAKS, Break
from tests.domain.tables import change
from tests.issued import issue_one
from turf_saas.verifying import Verified, prove, verify


@pytest.fixture
def billed(db: Connection, people: Cast) -> Connection:
    bill(db, people)
    return db


class _TakenBackError(Exception):
    """Ends a transaction whose writes are not to stay."""


@contextmanager
def unguarded(db: Connection) -> Iterator[None]:
    """A transaction without triggers and foreign keys, as somebody with the file has it. Nothing of it stays."""
    if engine(db) == "sqlite":
        db.execute("PRAGMA foreign_keys = OFF")
    try:
        with atomic(db):
            if engine(db) == "sqlite":
                for row in fetch_all(db, "SELECT name FROM sqlite_master WHERE type = 'trigger'"):
                    execute(db, f"DROP TRIGGER {row['name']}")
            else:
                execute(db, "SET LOCAL session_replication_role = replica")
            yield
            raise _TakenBackError
    except _TakenBackError:
        pass


def proved(db: Connection, *breaks: Break) -> Verified:
    with unguarded(db):
        for one in breaks:
            if callable(one):
                one(db)
            else:
                assert execute(db, one), f"changes nothing: {one}"
        return prove(db, SETTINGS, JUNE, most=50)


def test_what_was_issued_is_right(billed: Connection) -> None:
    found = verify(billed, SETTINGS, JUNE)
    assert found.wrong.shown == []
    assert found.waiting.shown == []
    assert (found.documents, found.months) == (6, 5)
    assert [(head.tenant_id, head.position) for head in found.heads] == [(1, 4), (2, 2)]
    assert verify(billed, SETTINGS, JUNE, 2).documents == 2


def test_whatever_is_broken_is_named(billed: Connection) -> None:
    for name, (breaks, kinds, said) in BREAKS.items():
        found = proved(billed, *breaks)
        told = "\n".join(one.sentence for one in found.wrong.shown)
        assert said in told, f"{name}: {told}"
        assert found.wrong.kinds.keys() == kinds, f"{name}: {told}"
    assert not verify(billed, SETTINGS, JUNE).wrong.many


def test_an_amount_that_was_changed_is_what_the_ledger_does_not_sum_to(billed: Connection) -> None:
    found = proved(billed, "UPDATE invoices SET amount_cents = 5731 WHERE id = 1")
    said = [one.sentence for one in found.wrong.shown if one.kind == "ledger"]
    assert said == ["FACT-202605-0001: its ledger sums to 5730, as its lines do, and it says 5731"]


def test_of_what_was_found_the_first_are_shown_and_all_are_counted(billed: Connection) -> None:
    with unguarded(billed):
        execute(billed, "UPDATE invoices SET buyer = '{}'")
        found = prove(billed, SETTINGS, JUNE, most=2)
    assert (found.wrong.many, len(found.wrong.shown)) == (6, 2)
    told: list[tuple[int, int]] = []
    verify(billed, SETTINGS, JUNE, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (11, 11)


def test_what_waits_is_told_and_is_no_fault(db: Connection, people: Cast) -> None:
    use_april(db, people)
    found = verify(db, SETTINGS, MAY)
    assert (found.documents, found.wrong.many) == (0, 0)
    assert sorted(one.sentence for one in found.waiting.shown) == [
        "user 1 2026-04: 1200 api_calls of a month that is over and not closed",
        "user 1 2026-04: 250 reports of a month that is over and not closed",
        "user 1 2026-04: a fee of 1000 cents is on no invoice",
        "user 1 2026-04: charge of 1125 cents is on no invoice",
        "user 1 2026-04: credit of -450 cents is on no invoice",
        "user 2 2026-04: 5 api_calls of a month that is over and not closed",
        "user 3 2026-04: a fee of 1000 cents is on no invoice",
    ]
    assert not verify(db, SETTINGS, APRIL).waiting.many  # it is not over
    issue(db, at(5, 1, 3))
    assert not verify(db, SETTINGS, MAY).waiting.many
    people.alice.has_used(7, day="2026-04-30")
    assert [one.sentence for one in verify(db, SETTINGS, MAY).waiting.shown] == [
        "user 1 2026-04: 7 api_calls are known since it was closed"
    ]


def test_use_that_moved_to_another_day_is_told(billed: Connection) -> None:
    change(billed, "UPDATE consumption_log SET date = '2026-04-11' WHERE date = '2026-04-10' AND user_id = 1")
    found = verify(billed, SETTINGS, JUNE)
    assert not found.wrong.many
    assert [one.sentence for one in found.waiting.shown] == [
        "FACT-202605-0001, user 1 api_calls 2026-04: as much as was billed, and of other days"
    ]


def test_others_write_while_it_looks_and_it_sees_one_state(url: str, billed: Connection, alice: Person) -> None:
    other = billing_db.connect(url)

    def look(done: int, _of: int) -> None:
        if done == 1:
            issue_one(other, alice, 500, now=at(6, 4), month="2025-01")

    assert verify(billed, SETTINGS, JUNE, progress=look).wrong.shown == []
    other.close()
    again = verify(billed, SETTINGS, JUNE)
    assert again.documents == 7
    assert [one.sentence for one in again.wrong.shown] == [  # a helper of tests closes no month
        "FACT-202606-0004: its month is not recorded as closed with it"
    ]
