"""What several tests of the tables need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import billing_db
from billing_db import Connection
from tests import cast


@pytest.fixture
def on_sqlite(template_of: Callable[[str], str], tmp_path: Path) -> Iterator[Connection]:
    """A migrated SQLite database with the cast in it, for what only SQLite does."""
    db = billing_db.connect(str(shutil.copy(template_of("sqlite"), tmp_path / "only.db")))
    cast.enter(db)
    yield db
    db.close()


@pytest.fixture
def on_postgresql(template_of: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Connection]:
    """The same on PostgreSQL."""
    cluster = request.getfixturevalue("cluster")
    url = cluster.new_database(template_of("postgresql"))
    db = billing_db.connect(url)
    cast.enter(db)
    yield db
    db.close()
    cluster.drop_database(url)
