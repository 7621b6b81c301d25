"""The measures run and say what they should; how fast anything is, is no test's business."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import billing_db
from bench import report, servers, wrk
from bench.__main__ import main
from bench.data import CALLS_PER_MONTH, ROWS_PER_USER, expect_events, fill, fill_events, people
from bench.registry import Bench, CannotRun, Row, Setup, bench, load_all
from bench.rows import ingest_http, over_http, peers
from bench.timing import Spread, ratios, take_turns
from billing_db import atomic, execute, fetch_all, fetch_one

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
COUNTERS = "SELECT user_id, month, used FROM usage_counters ORDER BY user_id, month"


def a_row(ratio: float, **required: float) -> Row:
    return Row("ours", "µs", Spread(2, 1, 3), "theirs", Spread(2, 1, 3), Spread(ratio, ratio, ratio), **required)


# -- the databases that are measured ---------------------------------------------------------------------


def test_a_filled_database_counts_what_its_log_says(empty_url: str) -> None:
    assert fill(empty_url, 3 * ROWS_PER_USER, NOW).users == 3
    db = billing_db.get_db(empty_url)
    found = [tuple(dict(row).values()) for row in fetch_all(db, COUNTERS)]
    # 20 days, five endpoints called 1, 2, 3, 4 and 5 times a day
    assert found == [(user, month, 300) for user in (1, 2, 3) for month in ("2026-04", "2026-05")]
    summed = fetch_one(db, "SELECT COUNT(*) AS rows_of_log, CAST(SUM(quantity) AS BIGINT) AS calls FROM daily_usage")
    assert dict(summed) == {"rows_of_log": 600, "calls": 1800}


def test_the_triggers_count_again_after_the_filling(empty_url: str) -> None:
    fill(empty_url, ROWS_PER_USER, NOW)
    db = billing_db.get_db(empty_url)
    with atomic(db):
        execute(db, "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (1, '2026-05-31', 7)")
    row = fetch_one(db, "SELECT used FROM usage_counters WHERE month = '2026-05'")
    assert row is not None
    assert row["used"] == CALLS_PER_MONTH + 7


def test_filled_events_have_their_keys_days_and_months(tmp_path: Path) -> None:
    filled = people(str(tmp_path / "events.db"), 3, NOW)
    fill_events(filled, 40)
    db = billing_db.get_db(filled.url)
    expect_events(db, 40)
    # forty events over the first twenty days of May: two a day, whoever they are of
    sums = "SELECT period_start, SUM(total) AS total FROM usage_aggregates GROUP BY period_start ORDER BY period_start"
    assert [tuple(row) for row in fetch_all(db, sums)] == [(f"2026-05-{day:02d}", 2) for day in range(1, 21)]


def test_a_measure_that_lost_an_event_is_no_measure(tmp_path: Path) -> None:
    filled = people(str(tmp_path / "events.db"), 3, NOW)
    fill_events(filled, 40)
    db = billing_db.get_db(filled.url)
    with atomic(db):
        execute(db, "DELETE FROM usage_keys WHERE event_id = (SELECT MIN(id) FROM usage_events)")
    with pytest.raises(RuntimeError, match="'event_keys': 39"):
        expect_events(db, 40)


# -- taking turns ------------------------------------------------------------------------------------------


def test_contestants_take_turns_and_nobody_is_always_first() -> None:
    order: list[str] = []
    taken = take_turns(3, {"a": lambda: order.append("a") or 2.0, "b": lambda: order.append("b") or 4.0})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [2.0, 2.0, 2.0], "b": [4.0, 4.0, 4.0]}


def test_the_ratio_is_taken_within_each_round() -> None:
    # the second round was ten times slower for both: 2/1, 30/10, 4/4
    assert ratios([2, 30, 4], [1, 10, 4]) == Spread(median=2, low=1, high=3)


@pytest.mark.parametrize(
    ("ratio", "required", "ok"),
    [
        (1.5, {"at_most": 1.5}, True),
        (1.51, {"at_most": 1.5}, False),
        (0.5, {"at_least": 0.5}, True),
        (0.49, {"at_least": 0.5}, False),
        (99, {}, None),
    ],
)
def test_a_row_says_whether_its_requirement_holds(ratio: float, required: dict[str, float], ok: bool | None) -> None:
    row = a_row(ratio, **required)
    assert row.ok is ok
    assert ("SHORT" in report.table([row])) is (ok is False)


# -- the load ------------------------------------------------------------------------------------------------


def test_an_answer_that_is_no_answer_is_never_a_figure() -> None:
    assert wrk.read_answer("  19344 requests in 3.00s, 2MB read\nRequests/sec:   6448.25\n") == (19344, 6448.25, 0)
    for said in ("Requests/sec: 9.0\n  Non-2xx or 3xx responses: 3", "Socket errors: connect 0\nRequests/sec: 9.0"):
        with pytest.raises(RuntimeError, match="no answers"):
            wrk.read_answer(said)
    with pytest.raises(RuntimeError, match="measured nothing"):
        wrk.read_answer("  0 requests in 1.00s, 0B read\nRequests/sec: 0.00")


def test_refusals_are_counted_where_they_are_asked_for() -> None:
    said = "  100 requests in 1.00s, 2MB read\n  Non-2xx or 3xx responses: 3\nRequests/sec:   100.00\n"
    assert wrk.read_answer(said, refusals=True) == (100, 100, 3)
    with pytest.raises(RuntimeError, match="no answers"):
        wrk.read_answer(f"  Socket errors: timeout 1\n{said}", refusals=True)


def test_usage_is_measured_under_a_real_server_and_all_of_it_is_there(tmp_path: Path) -> None:
    if shutil.which("wrk") is None or not servers.installed("gunicorn"):
        pytest.skip("wrk and gunicorn are needed")
    rows = list(ingest_http.ingest_http(Setup(tmp_path, "tiny")))
    assert [(row.compared_with, row.required) for row in rows if row.unit == "events/s"] == [
        ("bare hello", ""),
        ("bare hello", ""),
        ("what is asked for: 25000", ">= 1"),
        ("one event per request", ""),
    ]


def test_a_server_that_does_not_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    if not servers.installed("gunicorn"):
        pytest.skip("gunicorn is not installed")
    port = servers.free_port()
    command = servers.gunicorn("bench.hosts:no_such_app", port)
    with (
        pytest.raises(CannotRun, match="no_such_app"),
        servers.serving(command, f"http://127.0.0.1:{port}/", tmp_path, {}),
    ):
        pass
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_consumption_is_measured_under_a_real_server(tmp_path: Path) -> None:
    if shutil.which("wrk") is None or not servers.installed("gunicorn"):
        pytest.skip("wrk and gunicorn are needed")
    rows = list(islice(over_http.consumption_http(Setup(tmp_path, "tiny")), 2))
    assert [(row.compared_with, row.required, row.unit) for row in rows] == [
        ("bare hello", ">= 0.5", "req/s"),
        ("the reference's way", "", "req/s"),
    ]


# -- the command -------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["--tiny", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_what_runs_in_one_process_is_measured_and_nothing_stays_behind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, found = run(capsys, "--only", "month-read", "--only", "consumption-pieces")
    assert code in {0, 1}
    assert found["not_run"] == {}
    assert {row["what"].split(":")[0] for row in found["rows"]} == {"SQLite", "GET /consumption, whole", "its part"}
    required = [row["what"] for row in found["rows"] if row["required"] == "<= 1.5"]
    assert required == [
        "SQLite: month read, this month, 2 000 rows of log",
        "SQLite: month read, last month, 2 000 rows of log",
        "SQLite: first read of a new connection, 2 000 rows of log",
    ]
    for row in found["rows"]:
        assert 0 < row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
        assert (row["ok"] is None) == (row["required"] is None)
    assert list(tmp_path.iterdir()) == []


def test_metering_is_measured_in_one_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("ingest", "ingest-growth", "metered-routes")
    code, found = run(capsys, *(word for name in names for word in ("--only", name)))
    assert code in {0, 1}
    assert found["not_run"] == {}
    assert [(row["what"], row["required"]) for row in found["rows"] if row["required"]] == [
        ("record_event, one durable event", ">= 0.6"),
        ("billing.record_usage, one durable event", ">= 0.6"),
        ("record_events, batches of 10", ">= 0.5"),
        ("one durable event, 400 events stored", "<= 2"),
        ("@requires_quota adds", "<= 1"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_quotes_are_measured_beside_bare_arithmetic_that_agrees_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(capsys, "--only", "quotes")
    assert code in {0, 1}
    assert [(row["compared_with"], row["required"]) for row in found["rows"]] == [
        ("what is asked for: 100000", ">= 1"),
        ("bare Decimal arithmetic, no steps", None),
    ]


def test_others_who_are_not_installed_are_left_out_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_PEERS_PYTHON", sys.executable)
    monkeypatch.setattr(peers, "NEEDED", ("a_package_that_nobody_has",))
    code, found = run(capsys, "--only", "ingest-peers")
    assert (code, found["rows"]) == (2, [])
    assert "a_package_that_nobody_has" in found["not_run"]["ingest-peers"]


def test_what_cannot_be_measured_here_is_said_and_is_not_a_success(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: Setup) -> list[Row]:
        raise CannotRun("there is no moon")

    monkeypatch.setitem(load_all(), "moon", Bench("moon", "the moon", cannot))
    code, found = run(capsys, "--only", "moon")
    assert (code, found["rows"], found["not_run"]) == (2, [], {"moon": "there is no moon"})


def test_a_requirement_that_falls_short_is_in_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(load_all(), "slow", Bench("slow", "slow", lambda _: [a_row(9, at_most=1.5)]))
    assert run(capsys, "--only", "slow")[0] == 1


def test_two_measures_never_share_a_name() -> None:
    assert set(load_all()) >= {"month-read", "consumption-http", "consumption-pieces"}
    with pytest.raises(ValueError, match="two measures"):
        bench("month-read", "again")(lambda _: [])


def test_issuing_and_proving_are_measured_on_invoices_of_which_every_cent_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = run(capsys, "--only", "issuing")
    assert code in (0, 1)  # a tiny run may be too slow; an amount that is wrong would have stopped it
    assert [row["unit"] for row in found["rows"]] == ["1/s", "1/s", "µs"]
    code, found = run(capsys, "--only", "verify")
    assert [row["what"] for row in found["rows"]] == ["invoices proved, 10"]
