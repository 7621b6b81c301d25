"""A SQLite file that is removed or replaced while it is in use: nobody writes into what is gone or mixes the two."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, DatabaseRefused, DatabaseUnavailable, atomic, execute, fetch_all, get_db


def in_a_thread(function: Callable[[], Any]) -> Any:
    """What it answers, or the error that it raises."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return found[0]


def put(db: Connection, n: int) -> None:
    with atomic(db):
        execute(db, "INSERT INTO numbers (n) VALUES (:n)", n=n)


def numbers(path: Path) -> list[int]:
    return [row["n"] for row in fetch_all(get_db(str(path)), "SELECT n FROM numbers ORDER BY n")]


def seen_from_outside(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT n FROM numbers ORDER BY n")]


def make(path: Path, *rows: int) -> Path:
    """A file with a table of numbers, closed, so that no -wal lies beside it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE numbers (n INTEGER)")
        db.executemany("INSERT INTO numbers VALUES (?)", [(row,) for row in rows])
    return path


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def remove_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_db, "LOOK_AGAIN_SECONDS", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In use by this thread, with a row 1 that is still in its -wal."""
    found = make(tmp_path / "billing.db")
    put(get_db(str(found)), 1)
    assert (tmp_path / "billing.db-wal").stat().st_size > 0
    return found


# -- removed


def test_a_removed_file_is_noticed_by_every_thread_and_not_made_again(path: Path) -> None:
    remove_all(path)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match=r"The database file .*billing\.db is not there\.$"):
            get_db(str(path))
        assert isinstance(in_a_thread(lambda: get_db(str(path))), DatabaseUnavailable)
    assert names(path) == []


def test_with_its_folder_too(path: Path) -> None:
    shutil.rmtree(path.parent)
    with pytest.raises(DatabaseUnavailable, match="is not there"):
        get_db(str(path))
    assert not path.parent.exists()


def test_a_file_that_was_away_for_a_while_goes_on_with_all_its_rows(path: Path) -> None:
    away = path.with_suffix(".away")
    path.rename(away)
    with pytest.raises(DatabaseUnavailable):
        get_db(str(path))
    away.rename(path)
    put(get_db(str(path)), 2)
    assert in_a_thread(lambda: numbers(path)) == [1, 2]
    assert seen_from_outside(path) == [1, 2]


def test_the_first_use_makes_a_file_and_later_only_who_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    get_db(str(path))
    assert path.exists()
    remove_all(path)
    with pytest.raises(DatabaseUnavailable):
        get_db(str(path))
    assert get_db(str(path), create=True) is get_db(str(path))
    assert path.exists()


def test_who_asks_for_a_file_that_must_be_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="is not there"):
        billing_db.connect(str(tmp_path / "new.db"), create=False)
    assert names(tmp_path / "new.db") == []


# -- replaced


def test_a_replaced_file_is_the_one_that_is_read_and_written_from_then_on(path: Path) -> None:
    backup = make(path.parent / "backup", 7)
    before = get_db(str(path))
    remove_all(path)
    backup.rename(path)
    put(get_db(str(path)), 8)
    assert get_db(str(path)) is not before
    assert numbers(path) == [7, 8]
    assert in_a_thread(lambda: numbers(path)) == [7, 8]
    assert seen_from_outside(path) == [7, 8]
    assert get_db(str(path)).execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_threads_that_had_the_old_file_open_change_over_too(path: Path) -> None:
    opened, replaced = threading.Event(), threading.Event()
    found: list[list[int]] = []

    def another() -> None:
        found.append(numbers(path))
        opened.set()
        replaced.wait(30)
        put(get_db(str(path)), 9)
        found.append(numbers(path))

    thread = threading.Thread(target=another)
    thread.start()
    opened.wait(30)
    backup = make(path.parent / "backup", 7)
    remove_all(path)
    backup.rename(path)
    put(get_db(str(path)), 8)
    replaced.set()
    thread.join(30)
    assert found == [[1], [7, 8, 9]]
    assert seen_from_outside(path) == [7, 8, 9]


def test_the_log_of_the_file_before_is_never_read_over_the_new_one(path: Path) -> None:
    """SQLite itself would: whoever opens the new file then sees the old pages in it."""
    os.replace(make(path.parent / "backup", 7), path)  # noqa: PTH105  what an operator's mv does
    new = path.read_bytes()
    with pytest.raises(DatabaseRefused, match="was replaced, but the old one's -wal is there") as caught:
        get_db(str(path))
    assert "\n" not in str(caught.value)
    assert isinstance(in_a_thread(lambda: get_db(str(path))), DatabaseRefused)
    assert path.read_bytes() == new
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink()
    put(get_db(str(path)), 8)
    assert in_a_thread(lambda: numbers(path)) == [7, 8]
    assert seen_from_outside(path) == [7, 8]


def test_the_old_file_put_back_is_taken_up_again(path: Path) -> None:
    old = path.with_suffix(".old")
    path.rename(old)
    make(path.parent / "backup", 7).rename(path)
    with pytest.raises(DatabaseRefused):
        get_db(str(path))
    old.replace(path)
    assert numbers(path) == [1]


def test_a_link_that_points_to_another_file_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "current.db"
    link.symlink_to(make(tmp_path / "a.db", 1))
    assert numbers(link) == [1]
    link.unlink()
    link.symlink_to(make(tmp_path / "b.db", 2))
    assert numbers(link) == [2]


def test_what_is_no_database_is_refused_in_its_place(path: Path) -> None:
    remove_all(path)
    path.write_text("certainly not a database, although it is long enough to be looked at\n" * 20)
    with pytest.raises(DatabaseRefused, match="is not a SQLite database"):
        get_db(str(path))


def test_inside_a_block_the_connection_stays_the_same(path: Path) -> None:
    """Another one would write outside the block."""
    mine = get_db(str(path))
    with atomic(mine):
        away = path.rename(path.with_suffix(".away"))
        assert get_db(str(path)) is mine
        away.rename(path)
        put(get_db(str(path)), 2)
    assert seen_from_outside(path) == [1, 2]


def test_the_file_is_not_looked_at_for_every_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing_db, "LOOK_AGAIN_SECONDS", 3600)
    held = billing_db.get_db(str(path))
    assert billing_db.get_db(str(path)) is held
    path.unlink()
    assert billing_db.get_db(str(path)) is held
    monkeypatch.setattr(billing_db, "LOOK_AGAIN_SECONDS", 0)
    with pytest.raises(DatabaseUnavailable):
        billing_db.get_db(str(path))
