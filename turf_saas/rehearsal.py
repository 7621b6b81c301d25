"""Dry runs: the deed itself, done and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from billing_db import Connection, atomic


class _RehearsalEnds(Exception):
    """Takes back what a dry run did."""


@contextmanager
def rehearsal(db: Connection, *, dry_run: bool) -> Iterator[None]:
    """One transaction; a dry run does all of it, so that every refusal is met, and takes it back."""
    with suppress(_RehearsalEnds), atomic(db):
        yield
        if dry_run:
            raise _RehearsalEnds
