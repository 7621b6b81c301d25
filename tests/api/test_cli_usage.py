"""`flask billing usage check, rebuild, archive`: exit 0 when all agrees, 1 when something does not or was refused."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api_v1.commands.usage import usage as usage_group
from billing_db import Connection
from tests.cast import SECRET, Person
from tests.domain.tables import change, counters
from turf_saas import usage
from turf_saas.settings import read_settings
from turf_saas.usage import NewEvent

Run = Callable[..., tuple[int, str, str]]
LONG_AGO = datetime(2026, 1, 20, tzinfo=UTC)


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str, **config: Any) -> tuple[int, str, str]:
        given = {"BILLING_LOCALE": "en", **config}
        result = make_app(**given).test_cli_runner().invoke(usage_group, list(words))
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def used(db: Connection, url: str, alice: Person) -> Connection:
    settings = read_settings({"TURF_SAAS_DB": url})
    usage.record_event(db, LONG_AGO, settings, NewEvent(alice.id, 1, "tokens", 5, key="k1"))
    usage.record_event(db, LONG_AGO + timedelta(days=1), settings, NewEvent(alice.id, 1, "tokens", 3))
    return db


COMPARED = "compared: 2 events, 1 keys, 2 days, 0 days of calls, 1 counters, 0 holds\n"


def test_a_check_says_how_much_was_compared(run: Run, used: Connection) -> None:
    assert run("check") == (0, f"{COMPARED}all of it agrees\n", "")
    code, out, _ = run("check", "--json", "--month", "2026-01")
    assert code == 0
    assert json.loads(out) == {
        "ok": True,
        "proved": {"events": 2, "days": 2, "logged": 0, "counters": 1, "held": 0},
        "archives": [],
        "disagreements": 0,
        "shown": [],
    }


def test_a_disagreement_is_a_line_and_exit_1(run: Run, used: Connection) -> None:
    change(used, "UPDATE usage_counters SET used = 9, reserved = 2")
    lines = ["user 1 tokens 2026-01: 9 counted, 8 in the days", "user 1 tokens 2026-01: 0 held, 2 reserved"]
    both = "\n".join(lines)
    assert run("check") == (1, f"{both}\n{COMPARED}2 disagreements\n", "")
    assert run("check", "--limit", "1") == (1, f"{lines[0]}\n… and 1 more\n{COMPARED}2 disagreements\n", "")
    assert run("check", "--month", "2026-02")[0] == 0
    code, out, _ = run("check", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["disagreements"]) == (1, False, 2)
    assert told["shown"][0] == {
        "kind": "counter", "user_id": 1, "metric": "tokens", "period": "2026-01", "truth": 8, "stored": 9,
        "tenant_id": 1, "key": None, "event_id": None,
    }  # fmt: skip


def test_a_rebuild_mends_after_a_dry_run_that_says_the_same(run: Run, used: Connection) -> None:
    change(used, "UPDATE usage_counters SET used = 9")
    line = "user 1 tokens 2026-01: 9 counted, 8 in the days\n"
    assert run("rebuild", "--dry-run") == (0, f"{line}would mend 1 disagreements\n", "")
    assert counters(used) == {(1, "tokens", "2026-01"): 9}
    assert run("rebuild") == (0, f"{line}mended 1 disagreements\n", "")
    assert counters(used) == {(1, "tokens", "2026-01"): 8}
    assert run("rebuild") == (0, "nothing to mend\n", "")
    told = json.loads(run("rebuild", "--json")[1])
    assert told == {"dry_run": False, "mended": 0, "first_mended": [], "left": 0, "first_left": []}


def test_a_day_without_events_is_left_with_the_way_out(run: Run, used: Connection, alice: Person) -> None:
    alice.has_used(4, "seats", "2026-01-02")
    code, out, _ = run("rebuild")
    assert code == 1
    assert out == (
        "nothing to mend\nuser 1 seats 2026-01-02: no events, 4 in the day\n"
        "1 are left: --drop-unexplained takes out days that no event explains\n"
    )
    assert run("rebuild", "--drop-unexplained")[0] == 0
    assert run("check")[0] == 0


def test_old_events_are_archived_and_the_file_is_proved(run: Run, used: Connection, tmp_path: Path) -> None:
    file = tmp_path / "january.jsonl.gz"
    words = ("archive", "--before", "2026-02-01", "--to", str(file))
    assert run(*words, "--dry-run") == (0, f"would put 2 events before 2026-02-01 in {file}\n", "")
    assert run(*words) == (0, f"put 2 events before 2026-02-01 in {file}\n", "")
    again = "Error: Events before 2026-02-01 are archived already: 2026-02-01 has to be later.\n"
    assert run(*words) == (1, "", again)
    there = f"Error: {file} is there already and is not overwritten.\n"
    assert run("archive", "--before", "2026-02-02", "--to", str(file)) == (1, "", there)
    proof = (0, f"2 events before 2026-02-01 are in {file}, unchanged\nall of it agrees\n", "")
    assert run("check", "--archive", str(file)) == proof
    code, out, _ = run("check")
    assert code == 0
    assert "events before 2026-02-01 are archived: usage check --archive FILE proves their days" in out
    [told] = json.loads(run("check", "--json")[1])["archives"]
    assert (told["before_day"], told["events"], told["file"]) == ("2026-02-01", 2, str(file))
    assert json.loads(run("check", "--archive", str(file), "--json")[1])["archive"] == told
    none = ("archive", "--before", "2026-02-02", "--to", str(tmp_path / "b"))
    assert run(*none) == (0, "there are no events before 2026-02-02: nothing was done\n", "")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("check", "--month", "2026-13"), 1, "Invalid month format. Use YYYY-MM"),
        (("rebuild", "--month", "now"), 1, "Invalid month format. Use YYYY-MM"),
        (("check", "--archive", "x", "--month", "2026-01"), 2, "cannot be used together"),
        (("check", "--limit", "-1"), 2, "--limit"),
        (("archive", "--before", "2026-02-30", "--to", "x"), 2, "--before"),
        (("archive", "--before", "2026-02-01"), 2, "--to"),
        (("archive", "--before", "2999-01-01", "--to", "x"), 1, "is too recent"),
        (("archive", "--before", "2026-02-01", "--to", "/nowhere/x"), 1, "No such file or directory"),
        (("check", "--archive", "/"), 1, "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Run, used: Connection, words: tuple[str, ...], code: int, sentence: str
) -> None:
    refused = run(*words)
    assert (refused[0], refused[1]) == (code, "")
    assert sentence in refused[2]
    if code == 1:
        assert refused[2].count("\n") == 1


@pytest.mark.parametrize("word", ["check", "rebuild", "archive"])
def test_every_command_says_what_it_does(run: Run, word: str) -> None:
    code, out, _ = run(word, "--help")
    assert code == 0
    assert "--json" in out
    assert ("--dry-run" in out) == (word != "check")


def test_a_terminal_sees_how_far_it_is(used: Connection, url: str) -> None:
    change(used, "UPDATE usage_counters SET used = 9")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "flask", "--app", "wsgi", "billing", "usage", "rebuild"]
    env = {**os.environ, "TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "development"}
    done = subprocess.run(words, env=env, stderr=theirs, stdout=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    assert f"rebuilding [{'#' * 25}] 100 %" in shown
    assert b"rebuilding" not in done.stdout
