"""A limit is a limit, however many processes come at once, and one that dies holds nothing for ever."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from billing_db import Connection, fetch_all, fetch_one
from tests.cast import Person
from tests.scenarios.serving import ROOT
from tests.scenarios.spender import ALICE, LIMITS, NOW
from turf_saas import admission, metering, quotas, reservations
from turf_saas.admission import QuotaExceeded
from turf_saas.settings import Settings, read_settings

PROCESSES, TRIES, LIMIT = 4, 100, 100
BOUND = 120  # seconds


class Spender:
    def __init__(self, url: str, what: str, tries: int = TRIES) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.spender", url, what, str(tries)],
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

    def end(self) -> str:
        return self.process.communicate(timeout=BOUND)[0].strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=BOUND)


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url, **LIMITS})


@pytest.fixture
def started() -> Iterator[list[Spender]]:
    spenders: list[Spender] = []
    yield spenders
    for spender in spenders:
        spender.kill()


@pytest.mark.parametrize("what", ["reserve", "api_calls", "tokens"])
def test_of_four_hundred_at_once_a_hundred_are_admitted(
    url: str, db: Connection, alice: Person, started: list[Spender], what: str
) -> None:
    started += [Spender(url, what) for _ in range(PROCESSES)]
    assert [spender.line() for spender in started] == ["ready"] * PROCESSES
    for spender in started:
        spender.start()
    admitted = [int(spender.end()) for spender in started]
    assert sum(admitted) == LIMIT, admitted
    metric = "api_calls" if what == "api_calls" else "tokens"
    row = fetch_one(db, "SELECT used, reserved FROM usage_counters WHERE metric = :metric", metric=metric)
    assert (row["used"], row["reserved"]) == ((0, LIMIT) if what == "reserve" else (LIMIT, 0))
    if what == "reserve":
        assert len(fetch_all(db, "SELECT id FROM usage_reservations WHERE state = 'held'")) == LIMIT
    else:
        [total] = fetch_all(db, "SELECT SUM(quantity) AS quantity FROM daily_usage")
        assert total["quantity"] == LIMIT


def test_what_a_killed_process_held_is_free_when_its_time_is_over(
    url: str, db: Connection, settings: Settings, alice: Person, started: list[Spender]
) -> None:
    started.append(Spender(url, "hold"))
    held_id = started[0].line()
    started[0].kill()
    with pytest.raises(QuotaExceeded):
        admission.reserve(db, NOW + timedelta(minutes=14), settings, ALICE, "tokens", 41)
    over = NOW + timedelta(minutes=15)
    taken = admission.reserve(db, over, settings, ALICE, "tokens", 100)
    reservations.release(db, over, 1, taken.id)
    held = reservations.get_reservation(db, 1, held_id)
    assert held.state == "expired"
    metering.settle(db, over, settings, 1, held.id, 7)  # the work was done after all
    tokens = next(one.gauge for one in quotas.get_quotas(db, over, settings, 1).quotas if one.gauge.metric == "tokens")
    assert (tokens.used, tokens.reserved) == (7, 0)
