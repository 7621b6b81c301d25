"""Old events go to a file: never lost, never twice, and their days and keys stay."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing_db import Connection, RuleBroken, engine
from tests.cast import Cast
from tests.conftest import NOW
from tests.domain.reference_database import rows
from tests.domain.tables import change, counters
from tests.domain.test_usage_check import past_us, said
from turf_saas import usage, usage_archive
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.settings import Settings, read_settings
from turf_saas.usage import NewEvent, Recorded
from turf_saas.usage_archive import archive, check_file, list_archives
from turf_saas.usage_check import check, rebuild

LATER = datetime(2026, 8, 10, 9, 0, tzinfo=UTC)  # 5 July is 36 days back, the month before begins on 1 July
JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
APRIL = datetime(2026, 4, 20, tzinfo=UTC)


@pytest.fixture
def settings(url: str) -> Settings:
    return read_settings({"TURF_SAAS_DB": url})


@pytest.fixture
def used(db: Connection, settings: Settings, people: Cast) -> Connection:
    """Alice: 7 tokens on 20 April (5 + 4 − 2), 3 in May and 1 in July. Charlie: 9 pages in April."""
    first = usage.record_event(db, APRIL, settings, NewEvent(1, 1, "tokens", 5, key="k1", metadata='{"é":1}'))
    usage.record_event(db, APRIL, settings, NewEvent(1, 1, "tokens", 4))
    usage.correct_event(db, NOW, settings, 1, first.id, -2, key="c1")
    usage.record_event(db, APRIL, settings, NewEvent(3, 2, "pages", 9, key="k1"))
    usage.record_event(db, NOW, settings, NewEvent(1, 1, "tokens", 3, key="k2"))
    usage.record_event(db, LATER - timedelta(days=15), settings, NewEvent(1, 1, "tokens", 1))
    return db


def events(db: Connection) -> list[tuple[Any, ...]]:
    return rows(db, "SELECT day, user_id, quantity FROM usage_events ORDER BY day, user_id, quantity")


def left_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if not file.name.startswith("billing.db")]


def lines(file: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["april.jsonl", "april.jsonl.gz"])
def test_old_events_go_to_the_file_and_their_days_stay(
    used: Connection, settings: Settings, tmp_path: Path, name: str
) -> None:
    file, before, days = tmp_path / name, rows(used, "SELECT * FROM usage_events"), counters(used)
    made = archive(used, LATER, settings, date(2026, 5, 1), file)
    assert (made.before_day, made.events, made.file) == ("2026-05-01", 4, str(file))
    assert made.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*.part")) == []
    assert events(used) == [("2026-05-20", 1, 3), ("2026-07-26", 1, 1)]
    assert counters(used) == days
    archived = [row for row in before if "2026-04-20" in row]
    assert sorted(tuple(line.values()) for line in lines(file)) == sorted(map(tuple, _by_column(used, archived)))
    assert list_archives(used) == [made]
    found = check(used)
    assert (found.disagreements, found.archived_before, found.proved["events"]) == (0, "2026-05-01", 2)
    assert rebuild(used, LATER).mended == 0


def _by_column(db: Connection, archived: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    order = ["id", "tenant_id", "user_id", "metric", "quantity", "day", "at", "recorded_at", "idempotency_key",
             "metadata", "corrects"]  # fmt: skip
    assert list(usage_archive.COLUMNS) == order, "as the table has them"
    return archived


def test_a_retry_with_an_archived_key_is_still_a_duplicate(
    used: Connection, settings: Settings, tmp_path: Path
) -> None:
    [(first,)] = rows(used, "SELECT event_id FROM usage_keys WHERE user_id = 3")
    archive(used, LATER, settings, JULY, tmp_path / "a")
    retry = NewEvent(3, 2, "pages", 9, key="k1")
    assert usage.record_event(used, LATER, settings, retry) == Recorded(first, duplicate=True)
    with pytest.raises(Conflict, match="idempotency_conflict"):
        usage.record_event(used, LATER, settings, retry._replace(quantity=8))
    assert rows(used, "SELECT COUNT(*) FROM usage_keys WHERE archive_id IS NULL") == [(0,)]
    assert check(used).disagreements == 0


def test_a_dry_run_says_the_same_and_leaves_no_file(used: Connection, settings: Settings, tmp_path: Path) -> None:
    before = events(used)
    tried = archive(used, LATER, settings, JULY, tmp_path / "a", dry_run=True)
    assert (events(used), left_in(tmp_path), list_archives(used)) == (before, [], [])
    assert archive(used, LATER, settings, JULY, tmp_path / "a") == tried


def test_nothing_to_archive_makes_no_file(used: Connection, settings: Settings, tmp_path: Path) -> None:
    made = archive(used, LATER, settings, date(2026, 4, 20), tmp_path / "a")
    assert (made.events, made.sha256, (tmp_path / "a").exists(), list_archives(used)) == (0, None, False, [])


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "latest"),
    [("2026-08-10", "2026-07-01"), ("2026-08-05", "2026-06-30"), ("2026-08-06", "2026-07-01"),
     ("2026-08-01", "2026-06-26"), ("2026-01-31", "2025-12-01"), ("2026-01-01", "2025-11-26")],
)  # fmt: skip
def test_days_of_which_events_may_still_come_are_refused(
    used: Connection, settings: Settings, tmp_path: Path, today: str, latest: str
) -> None:
    now, last = datetime.fromisoformat(f"{today}T12:00:00+00:00"), date.fromisoformat(latest)
    with pytest.raises(InvalidInput) as refused:
        archive(used, now, settings, last + timedelta(days=1), tmp_path / "a")
    assert (refused.value.code, refused.value.params["latest"]) == ("archive_too_recent", latest)
    archive(used, now, settings, last, tmp_path / "a", dry_run=True)


def test_the_day_moves_forward_only(used: Connection, settings: Settings, tmp_path: Path) -> None:
    archive(used, LATER, settings, JUNE, tmp_path / "a")
    for day in (JUNE, JUNE - timedelta(days=1)):
        with pytest.raises(Conflict, match="archive_done"):
            archive(used, LATER, settings, day, tmp_path / "b")
    assert archive(used, LATER, settings, JUNE + timedelta(days=1), tmp_path / "b").events == 0
    later = LATER + timedelta(days=60)
    assert archive(used, later, settings, date(2026, 8, 1), tmp_path / "b").events == 1
    assert [made.events for made in list_archives(used)] == [5, 1]
    assert check(used).disagreements == 0


@pytest.mark.parametrize("what", ["file", "folder", "link", "no folder"])
def test_nothing_is_overwritten(used: Connection, settings: Settings, tmp_path: Path, what: str) -> None:
    file, before = tmp_path / "a", events(used)
    if what == "file":
        file.write_text("mine")
    elif what == "folder":
        file.mkdir()
    elif what == "link":
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file = tmp_path / "nowhere" / "a"
    for dry_run in (True, False):
        with pytest.raises((Conflict, InvalidInput)) as refused:
            archive(used, LATER, settings, JULY, file, dry_run=dry_run)
        assert refused.value.code == ("file_unusable" if what == "no folder" else "file_exists")
    assert (events(used), list_archives(used), [name for name in left_in(tmp_path) if name != "a"]) == (before, [], [])
    assert what != "file" or file.read_text() == "mine"


def test_a_full_disk_is_a_refusal(used: Connection, settings: Settings, tmp_path: Path) -> None:
    import resource

    before, (soft, hard) = events(used), resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(InvalidInput, match="file_unusable"):
            archive(used, LATER, settings, JULY, tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, kept)
    assert (events(used), list_archives(used), left_in(tmp_path)) == (before, [], [])


def test_what_disagrees_is_mended_before_it_is_archived(used: Connection, settings: Settings, tmp_path: Path) -> None:
    past_us(used, "UPDATE usage_aggregates SET total = 8 WHERE total = 7")
    with pytest.raises(Conflict, match="archive_disagrees"):
        archive(used, LATER, settings, JULY, tmp_path / "a")
    rebuild(used, LATER)
    assert archive(used, LATER, settings, JULY, tmp_path / "a").events == 5


def test_the_database_keeps_what_was_not_archived(used: Connection, settings: Settings, tmp_path: Path) -> None:
    archive(used, LATER, settings, JUNE, tmp_path / "a")
    with pytest.raises(RuleBroken, match="never deleted before it is archived"):
        change(used, "DELETE FROM usage_events")


# -- afterwards --------------------------------------------------------------------------------------------


def test_events_that_come_back_to_archived_days_are_found(used: Connection, settings: Settings, tmp_path: Path) -> None:
    archive(used, LATER, settings, JUNE, tmp_path / "a")
    change(
        used,
        """INSERT INTO usage_events (id, user_id, metric, quantity, day, at, recorded_at)
                    VALUES ('f', 1, 'tokens', 2, '2026-05-31', '', '')""",
    )
    sentence = "user 1 tokens 2026-05-31: 2 in events of a day that was archived, 0 in the day"
    assert said(used) == [sentence]
    assert rebuild(used, LATER).left == 1


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_file_proves_its_days(used: Connection, settings: Settings, tmp_path: Path, suffix: str) -> None:
    april, may = tmp_path / f"april{suffix}", tmp_path / f"may{suffix}"
    archive(used, LATER, settings, date(2026, 5, 1), april)
    archive(used, LATER, settings, JULY, may)
    assert [check_file(used, file)[1] for file in (april, may)] == [[], []]
    past_us(
        used,
        "UPDATE usage_aggregates SET total = 8 WHERE total = 7",
        "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'seats', '2026-05-20', 2)",
        "INSERT INTO usage_aggregates (user_id, metric, period_start, total) VALUES (1, 'seats', '2026-05-02', 3)",
        "DELETE FROM usage_aggregates WHERE metric = 'pages'",
    )
    moved = april.rename(tmp_path / f"moved{suffix}")
    assert [found.sentence for found in check_file(used, moved)[1]] == [
        "user 1 tokens 2026-04-20: 7 in events, 8 in the day",
        "user 3 pages 2026-04-20: 9 in events, 0 in the day",
    ]
    assert [found.sentence for found in check_file(used, may)[1]] == [
        "user 1 seats 2026-05-20: no events, 2 in the day",
        "user 1 seats 2026-05-02: no events, 3 in the day",
    ]


def test_a_file_that_was_changed_proves_nothing(used: Connection, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a"
    archive(used, LATER, settings, JULY, file)
    file.write_bytes(file.read_bytes().replace(b'"quantity": 9', b'"quantity": 8'))
    with pytest.raises(NotFound, match="archive_unknown"):
        check_file(used, file)
    with pytest.raises(InvalidInput, match="file_unusable"):
        check_file(used, tmp_path / "nowhere")


# -- killed in the middle ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from datetime import date, datetime
from pathlib import Path
import billing_db
from turf_saas.settings import read_settings
from turf_saas.usage_archive import archive

url, file, before, now, word = sys.argv[1:]
db = billing_db.connect(url)

def killing(sql):
    if sql.lstrip().startswith(word):
        os.kill(os.getpid(), signal.SIGKILL)

if billing_db.engine(db) == "sqlite":
    db.set_trace_callback(killing)
else:
    run = db.execute
    db.execute = lambda sql, *rest: (killing(sql), run(sql, *rest))[1]
archive(db, datetime.fromisoformat(now), read_settings({"TURF_SAAS_DB": url}), date.fromisoformat(before), Path(file))
"""


def test_a_kill_between_the_file_and_the_commit_loses_nothing(
    used: Connection, url: str, settings: Settings, tmp_path: Path
) -> None:
    file, before = tmp_path / "a", events(used)
    words = [url, str(file), JULY.isoformat(), LATER.isoformat(), "COMMIT"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(lines(file)) == 5, "the file is whole before anything is deleted for good"
    assert (events(used), list_archives(used)) == (before, [])
    assert check(used).disagreements == 0
    with pytest.raises(Conflict, match="file_exists"):
        archive(used, LATER, settings, JULY, file)
    assert archive(used, LATER, settings, JULY, tmp_path / "b").events == 5
    assert (tmp_path / "b").read_bytes() == file.read_bytes()


def test_a_kill_before_the_file_has_its_name_leaves_no_file(
    used: Connection, url: str, settings: Settings, tmp_path: Path
) -> None:
    file, before = tmp_path / "a", events(used)
    word = "BEGIN IMMEDIATE" if engine(used) == "sqlite" else "BEGIN ISOLATION LEVEL READ COMMITTED"
    words = [url, str(file), JULY.isoformat(), LATER.isoformat(), word]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert not file.exists()
    assert (events(used), list_archives(used)) == (before, [])
    assert archive(used, LATER, settings, JULY, file).events == 5
