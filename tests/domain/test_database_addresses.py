"""What may stand in TURF_SAAS_DB: refused in one sentence with nothing created, private files, no password told."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import billing_db
from billing_db import DatabaseRefused, DatabaseUnavailable, atomic, fetch_all, fetch_one

ROOT = Path(__file__).parents[2]
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what is refused, with nothing created

REFUSED = [
    ("nowhere/billing.db", "The folder .*nowhere does not exist"),
    ("text.txt/billing.db", "The folder .*text.txt does not exist"),
    (".", "is a folder, not a database file"),
    ("text.txt", "text.txt is not a SQLite database"),
    ("x" * 300, "cannot be created: File name too long"),
    ("", "must name a file"),
    (":memory:", "must name a file"),
    ("file:billing.db?mode=memory", "must name a file"),
    ("a\0b", "must name a file"),
    ("~no-such-user-here/billing.db", "The folder .*no-such-user-here does not exist"),
    ("mysql://u:s3cret@127.0.0.1/db", "'mysql://…' is neither a path nor a postgresql:// URL"),
    ("mysql://u:s3/cret@127.0.0.1/db", "'mysql://…' is neither a path nor a postgresql:// URL"),
    ("postgresql+asyncpg://u:s3cret@127.0.0.1/db", "neither a path nor a postgresql:// URL"),
    ("sqlite://", "neither a path nor a postgresql:// URL"),
    ("postgresql:u:s3cret@127.0.0.1/db", "'postgresql:…' is neither a path nor a postgresql:// URL"),
    ("postgresql:/u:s3cret@127.0.0.1/db", "'postgresql:…' is neither"),
    (" postgres:u:s3cret@127.0.0.1/db", "'postgres:…' is neither"),
    ("POSTGRESQL://u:s3cret@127.0.0.1/db", "'POSTGRESQL://…' is neither"),
    ("u-1.a+b:s3cret@127.0.0.1/db", r"'u-1\.a\+b:…' is neither"),
    ("ab:s3cret", "'ab:…' is neither"),
    ("c://s3cret", "'c://…' is neither"),
]


@pytest.mark.parametrize(("setting", "sentence"), REFUSED)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    setting: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("certainly not a database, although it is long enough to be looked at\n" * 20)
    with pytest.raises(DatabaseRefused, match=sentence) as caught:
        billing_db.connect(setting)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["text.txt"]
    assert "cret" not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize("setting", ["C:billing.db", "./a:b.db", "a/b:c.db", "sqlite:///d:e.db", "1a:b.db"])
def test_what_only_resembles_a_scheme_is_a_path(setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive's letter, and a colon further on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    name = setting.removeprefix("sqlite:///")
    billing_db.connect(setting).close()
    assert (tmp_path / name).exists()


def test_an_old_sqlite_is_refused_before_a_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(DatabaseRefused, match=r"is too old: 3\.35 or newer is needed"):
        billing_db.connect(str(tmp_path / "a.db"))
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 35, 0))
    billing_db.connect(str(tmp_path / "b.db")).close()
    assert names(tmp_path) == ["b.db"]


LOCKED_OUT = """
import os, pathlib, sys
import billing_db
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
for name in sys.argv[1:]:
    try:
        billing_db.connect(name)
    except billing_db.DatabaseRefused as error:
        print(error)
"""


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that everybody may enter, so that a program without root's rights can be tried in it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_or_folder_without_the_rights_is_refused(shelf: Path) -> None:
    for name, mode in (("unreadable.db", 0o000), ("read_only.db", 0o444)):
        billing_db.connect(str(shelf / name)).close()
        (shelf / name).chmod(mode)
    paths = [str(shelf / name) for name in ("unreadable.db", "read_only.db", "new.db")]
    done = subprocess.run(
        [sys.executable, "-c", LOCKED_OUT, *paths], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    first, second, *rest = done.stdout.splitlines()
    assert first == f"{shelf}/unreadable.db and its folder must be readable and writable here."
    assert second == f"{shelf}/read_only.db and its folder must be readable and writable here."
    if os.geteuid() == 0:
        assert rest == [f"{shelf}/new.db cannot be created: Permission denied."]
        assert names(shelf) == ["read_only.db", "unreadable.db"]


# -- private files


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_new_files_are_private_to_their_owner(tmp_path: Path, mask: int) -> None:
    (tmp_path / "data").mkdir()
    before = os.umask(mask)
    try:
        db = billing_db.connect(str(tmp_path / "data" / "a.db"))
        with atomic(db):
            billing_db.run_script(db, "CREATE TABLE numbers (n INTEGER);")
        assert modes(tmp_path / "data") == {"a.db": "0o600", "a.db-wal": "0o600", "a.db-shm": "0o600"}
        db.close()
    finally:
        os.umask(before)


def test_a_link_to_nothing_yet_makes_a_private_file_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "a.db")
    billing_db.connect(str(tmp_path / "link.db")).close()
    assert modes(tmp_path / "data") == {"a.db": "0o600"}


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    sqlite3.connect(path).close()
    path.touch(0o644)
    path.chmod(0o664)
    billing_db.connect(str(path)).close()
    assert modes(tmp_path) == {"hosts.db": "0o664"}


def test_a_hosts_file_and_its_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "hosts.db"
    host = sqlite3.connect(path)
    with host:
        host.execute("CREATE TABLE t (a)")
        host.execute("INSERT INTO t VALUES ('x')")
    host.close()
    db = billing_db.connect(f"sqlite:///{path}")
    assert [row["a"] for row in fetch_all(db, "SELECT a FROM t")] == ["x"]
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout")
    assert [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["wal", 2, 1, 1, 5000]
    db.close()


# -- PostgreSQL that cannot be reached

PASSWORDS = [
    ("postgresql://u:s3cret@127.0.0.1:1/db", DatabaseUnavailable, "PostgreSQL on 127.0.0.1 cannot be used"),
    ("postgresql+psycopg://u:s3cret@127.0.0.1:1/db", DatabaseUnavailable, "cannot be used"),
    ("postgresql://u:s3cret@127.0.0.1:99999/db", DatabaseUnavailable, "cannot be used"),
    ("postgresql://u:s3%zzcret@127.0.0.1:1/db", DatabaseRefused, "not a valid postgresql:// URL"),
    ("postgresql://u:s3cret@127.0.0.1:1/db?nosuch=s3cret", DatabaseRefused, "not a valid postgresql:// URL"),
    ("postgresql://127.0.0.1:s3cret@@127.0.0.1:1/db", DatabaseUnavailable, "PostgreSQL on 127.0.0.1 cannot be"),
    ("postgresql://127.0.0.1:s3/cret@127.0.0.1:1/db", DatabaseUnavailable, "PostgreSQL on 127.0.0.1 cannot be"),
]


@pytest.mark.parametrize(("url", "kind", "sentence"), PASSWORDS)
def test_no_password_is_ever_told(url: str, kind: type[Exception], sentence: str) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[postgres]'")
    with pytest.raises(kind, match=sentence) as caught:
        billing_db.connect(url)
    told = "".join(traceback.format_exception(caught.value))
    assert "s3" not in told
    assert "cret" not in told


@on_postgresql
def test_what_the_server_says_against_a_connection_is_told(empty_url: str) -> None:
    wrong = empty_url.replace("/t_", "/nosuch_")
    with pytest.raises(DatabaseUnavailable, match=r'cannot be used: database "nosuch_.*" does not exist\.$'):
        billing_db.connect(wrong)


@on_postgresql
def test_the_urls_own_words_win_over_our_defaults(empty_url: str) -> None:
    db = billing_db.connect(f"{empty_url}&connect_timeout=3&application_name=till")
    assert db.info.get_parameters()["connect_timeout"] == "3"
    assert fetch_one(db, "SHOW application_name")["application_name"] == "till"
    assert fetch_one(db, "SHOW lock_timeout")["lock_timeout"] == "5s"
    db.close()


def test_postgresql_without_its_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DatabaseRefused, match=r"pip install 'psycopg\[binary\]'"):
        billing_db.connect("postgresql://127.0.0.1:1/db")
