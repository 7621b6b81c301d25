"""Dry runs: the deed itself, done and taken back; and the write that only shows that one is possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from billing_db import Connection, atomic, engine, execute, fetch_all

# 16 pages, more than a page that is there already has room for.
TRIAL = "x" * 65_536


class _RehearsalEnds(Exception):
    """Takes back what a dry run did."""


@contextmanager
def rehearsal(db: Connection, *, dry_run: bool) -> Iterator[None]:
    """One transaction; a dry run does all of it, so that every refusal is met, and takes it back."""
    with suppress(_RehearsalEnds), atomic(db):
        yield
        if dry_run:
            raise _RehearsalEnds


def try_a_write(db: Connection) -> None:
    """Nothing, or DatabaseUnavailable when no row could be saved now (busy, full, read-only). Nothing stays of it."""
    with rehearsal(db, dry_run=True), _straight_to_the_file(db):
        execute(db, "UPDATE billing_installation SET users_table = :trial WHERE id = 1", trial=TRIAL)


@contextmanager
def _straight_to_the_file(db: Connection) -> Iterator[None]:
    """SQLite keeps what a block writes in memory until it is saved; without room there it asks the disk at once."""
    if engine(db) != "sqlite":
        yield
        return
    room = fetch_all(db, "PRAGMA cache_size")[0]["cache_size"]
    try:
        fetch_all(db, "PRAGMA cache_size = 1")
        yield
    finally:
        fetch_all(db, f"PRAGMA cache_size = {int(room)}")
