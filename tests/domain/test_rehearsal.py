"""A dry run is the deed, taken back."""

from __future__ import annotations

import pytest

from billing_db import Connection, atomic, fetch_all, in_transaction
from tests.conftest import NOW
from turf_saas import tenants
from turf_saas.errors import Conflict
from turf_saas.rehearsal import rehearsal


def names(db: Connection) -> list[str]:
    return [row["name"] for row in fetch_all(db, "SELECT name FROM tenants WHERE id > 1 ORDER BY id")]


def test_a_dry_run_is_taken_back_and_a_real_one_stays(db: Connection) -> None:
    before = names(db)
    with rehearsal(db, dry_run=True):
        tenants.create_tenant(db, NOW, "tried")
        assert names(db) == [*before, "tried"], "it is done, so that every refusal is met"
    assert names(db) == before
    with rehearsal(db, dry_run=False):
        tenants.create_tenant(db, NOW, "done")
    assert names(db) == [*before, "done"]
    assert not in_transaction(db)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_refusal_is_told_and_leaves_nothing(db: Connection, dry_run: bool) -> None:
    before = names(db)

    def refused_half_way() -> None:
        with rehearsal(db, dry_run=dry_run):
            tenants.create_tenant(db, NOW, "half")
            raise Conflict("email_taken")

    with pytest.raises(Conflict, match="email_taken"):
        refused_half_way()
    assert names(db) == before


def test_inside_a_transaction_only_the_rehearsed_part_is_taken_back(db: Connection) -> None:
    before = names(db)
    with atomic(db):
        tenants.create_tenant(db, NOW, "first")
        with rehearsal(db, dry_run=True):
            tenants.create_tenant(db, NOW, "tried")
        tenants.create_tenant(db, NOW, "second")
    assert names(db) == [*before, "first", "second"]
