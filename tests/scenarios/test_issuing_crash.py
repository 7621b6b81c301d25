"""Runs that are killed, and several of them at once: every user has one invoice a month, and no number is missing."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import billing_db
from billing_db import Connection, atomic, execute
from tests.cast import Cast
from tests.domain.issuing import JULY, SETTINGS, assert_sound
from tests.scenarios.issuer import NOW, enter_crowd, invoices_per_month
from tests.scenarios.serving import ROOT
from turf_saas import issuing
from turf_saas.verifying import verify

BOUND = 120  # seconds
PROCESSES, CROWD, AT_ONCE = 8, 120, 10


class Issuer:
    def __init__(self, url: str, at_once: int, *more: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.issuer", url, str(at_once), *map(str, more)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill_after(self, parts: int) -> None:
        """In the middle of the next part, if it has one."""
        for _ in range(parts):
            if not self.line().isdigit():
                break
        self.kill()

    def end(self) -> str:
        told = self.process.communicate(timeout=BOUND)[0].split("\n")
        return told[-2] if len(told) > 1 else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=BOUND)


@pytest.fixture
def begin() -> Iterator[Callable[..., list[Issuer]]]:
    """So many processes that are ready to issue."""
    issuers: list[Issuer] = []

    def started(url: str, count: int, at_once: int, *more: int) -> list[Issuer]:
        issuers.extend(Issuer(url, at_once, *more) for _ in range(count))
        assert [issuer.line() for issuer in issuers] == ["ready"] * count
        for issuer in issuers:
            issuer.start()
        return issuers

    yield started
    for issuer in issuers:
        issuer.kill()


def assert_each_has_one(db: Connection, crowd: range, months: list[str]) -> None:
    assert invoices_per_month(db) == {month: list(crowd) for month in months}
    assert_sound(db)
    proved = verify(db, SETTINGS, JULY)
    assert (proved.wrong.many, proved.waiting.many) == (0, 0)


def test_eight_at_once_of_which_some_are_killed_leave_no_gap_and_no_double(
    begin: Callable[..., list[Issuer]], url: str, db: Connection, people: Cast
) -> None:
    crowd = enter_crowd(db, CROWD)
    chance = random.Random(20260601)
    issuers = begin(url, PROCESSES, AT_ONCE)
    for issuer in issuers[:4]:
        issuer.kill_after(chance.randint(1, 5))
    told = [issuer.end() for issuer in issuers[4:]]
    assert all(line.startswith("issued ") for line in told), told
    assert_each_has_one(db, crowd, ["2026-04", "2026-05"])
    assert issuing.run(db, NOW, SETTINGS, 1).issued == 0


def test_all_are_killed_and_the_next_run_issues_the_rest(
    begin: Callable[..., list[Issuer]], url: str, db: Connection, people: Cast
) -> None:
    crowd = enter_crowd(db, CROWD)
    chance = random.Random(20260602)
    for issuer in begin(url, PROCESSES, AT_ONCE):
        issuer.kill_after(chance.randint(1, 2))
    there = sum(map(len, invoices_per_month(db).values()))
    assert issuing.run(db, NOW, SETTINGS, 1).issued == 2 * CROWD - there
    assert_each_has_one(db, crowd, ["2026-04", "2026-05"])


def test_a_run_of_five_thousand_that_is_killed_in_the_middle_goes_on_where_it_was(
    begin: Callable[..., list[Issuer]], template_of: Callable[[str], str], tmp_path: Path
) -> None:
    """On SQLite, whose file it is that a kill might hurt."""
    url = str(shutil.copy(template_of("sqlite"), tmp_path / "killed.db"))
    with closing(billing_db.connect(url)) as db:
        crowd = enter_crowd(db, 5_000, since="2026-05")
        (issuer,) = begin(url, 1, issuing.AT_ONCE, 2_000)
        assert issuer.end() == "2000"
        assert issuer.process.returncode == -signal.SIGKILL
        assert invoices_per_month(db) == {"2026-05": list(crowd[:2_000])}, "a part is there as a whole, or not at all"
        assert issuing.run(db, NOW, SETTINGS, 1).issued == 3_000
        assert_each_has_one(db, crowd, ["2026-05"])
        assert billing_db.fetch_all(db, "PRAGMA integrity_check")[0]["integrity_check"] == "ok"


def test_a_number_that_was_drawn_by_who_was_killed_is_drawn_again(
    begin: Callable[..., list[Issuer]], url: str, db: Connection, people: Cast
) -> None:
    """It waits with its numbers for a row that is held here, and dies so."""
    crowd = enter_crowd(db, 3, since="2026-05")
    with atomic(db):
        execute(db, "UPDATE usage_counters SET used = used")
        (issuer,) = begin(url, 1, AT_ONCE)
        if billing_db.engine(db) == "postgresql":
            while not billing_db.fetch_all(db, "SELECT 1 AS one FROM pg_locks WHERE NOT granted"):
                assert issuer.process.poll() is None
        issuer.kill()
    assert invoices_per_month(db) == {}
    issuing.run(db, NOW, SETTINGS, 1)
    assert_each_has_one(db, crowd, ["2026-05"])
