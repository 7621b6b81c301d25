"""Whether all that was issued still stands as it was issued, to the cent, and what is not billed yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from billing_db import Connection, fetch_all, snapshot
from turf_saas.document_proof import Revenue, Totalled, prove_documents
from turf_saas.findings import Finding
from turf_saas.money_proof import prove_money
from turf_saas.register_proof import (
    Head,
    list_heads,
    of_tenant,
    prove_chains,
    prove_pointers,
    prove_revenue,
    prove_series,
)
from turf_saas.settings import Settings
from turf_saas.usage_check import Progress, room_for_pages, silent
from turf_saas.use_proof import count_months, list_waiting, prove_use
from turf_saas.values import Month


@dataclass
class Some:
    """How many of what were found, by their kinds, and the first of them."""

    most: int
    kinds: dict[str, int] = field(default_factory=dict)
    shown: list[Finding] = field(default_factory=list)

    def add(self, found: Iterable[Finding]) -> None:
        for one in found:
            self.kinds[one.kind] = self.kinds.get(one.kind, 0) + 1
            if len(self.shown) < self.most:
                self.shown.append(one)

    @property
    def many(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class Verified:
    """How much was proved, what is wrong, what waits to be billed, and where each chain ends."""

    documents: int
    months: int
    heads: list[Head]
    wrong: Some
    waiting: Some


def verify(
    db: Connection,
    settings: Settings,
    open_month: Month,
    tenant_id: int | None = None,
    *,
    most: int = 20,
    progress: Progress = silent,
) -> Verified:
    """One state of the database is looked at, while others write. Nothing is changed.

    open_month: the months before it are over. tenant_id: of this one alone.
    """
    with room_for_pages(db), snapshot(db):
        return prove(db, settings, open_month, tenant_id, most=most, progress=progress)


def prove(
    db: Connection,
    settings: Settings,
    open_month: Month,
    tenant_id: int | None = None,
    *,
    most: int = 20,
    progress: Progress = silent,
) -> Verified:
    """The same, of the state that the caller's transaction sees."""
    wrong, waiting = Some(most), Some(most)
    revenue: dict[Revenue, Totalled] = {}
    heads = list_heads(db, tenant_id)
    whole = _count_documents(db, tenant_id) + count_months(db, tenant_id)
    wrong.add(prove_chains(db, tenant_id))
    wrong.add(prove_series(db, tenant_id))
    documents = months = 0
    for found in prove_documents(db, settings, tenant_id, revenue):
        wrong.add(found)
        documents += 1
        progress(documents, whole)
    wrong.add(prove_revenue(db, tenant_id, revenue))
    wrong.add(prove_pointers(db, tenant_id))
    wrong.add(prove_money(db, tenant_id))
    for many, faults, told in prove_use(db, tenant_id):
        wrong.add(faults)
        waiting.add(told)
        months += many
        progress(documents + months, whole)
    waiting.add(list_waiting(db, open_month, tenant_id))
    return Verified(documents, months, heads, wrong, waiting)


def _count_documents(db: Connection, tenant_id: int | None) -> int:
    whose, given = of_tenant("tenant_id", tenant_id)
    rows = fetch_all(
        db,
        f"SELECT COUNT(*) AS many FROM invoices WHERE hash IS NOT NULL AND {whose}",  # noqa: S608
        **given,
    )
    return int(rows[0]["many"])
