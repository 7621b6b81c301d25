"""What holds the documents together: the chain, the series, the closed months, and no row that points nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from billing_db import Connection, Row, fetch_all, fetch_each
from turf_saas.document_proof import Revenue, Totalled
from turf_saas.findings import Finding
from turf_saas.invoice_documents import NO_HASH


class Head(NamedTuple):
    """The end of a tenant's chain. Kept elsewhere, its hash shows a chain that was rewritten from the start."""

    tenant_id: int
    position: int
    hash: str
    issued_at: str


def of_tenant(column: str, tenant_id: int | None) -> tuple[str, Mapping[str, Any]]:
    """A condition, and what it asks for: of one tenant, or of all."""
    return ("1 = 1", {}) if tenant_id is None else (f"{column} = :tenant_id", {"tenant_id": tenant_id})


# -- the chain -------------------------------------------------------------------------------------


def list_heads(db: Connection, tenant_id: int | None) -> list[Head]:
    whose, given = of_tenant("tenant_id", tenant_id)
    rows = fetch_all(db, f"SELECT * FROM billing_invoice_chains WHERE {whose} ORDER BY tenant_id", **given)  # noqa: S608
    return [Head(*(row[name] for name in Head._fields)) for row in rows]


def prove_chains(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Positions 1 to n, each with the hash of the one before, in the order of time; and the end that is kept."""
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT i.tenant_id, i.invoice_number, i.chain_position, i.previous_hash, p.hash AS before
              FROM invoices AS i
              LEFT JOIN invoices AS p ON p.tenant_id = i.tenant_id AND p.chain_position = i.chain_position - 1
             WHERE i.hash IS NOT NULL AND {whose}
               AND (COALESCE(i.chain_position, 0) < 1
                 OR (i.chain_position > 1 AND p.id IS NULL)
                 OR COALESCE(p.hash, :none) <> COALESCE(i.previous_hash, '')
                 OR p.issued_at > i.issued_at)""",  # noqa: S608
        none=NO_HASH,
        **given,
    ):
        place = row["chain_position"]
        if place is None or place < 1:
            said = "has a hash and no place in the chain"
        elif row["before"] is None:
            said = f"number {place - 1} of the chain, which is before it, is missing" if place > 1 else "does not begin"
        elif row["before"] != row["previous_hash"]:
            said = f"does not follow number {place - 1} of the chain: that one has another hash"
        else:
            said = f"was issued before number {place - 1} of the chain"
        yield Finding("chain", f"{row['invoice_number']}: {said}", row["invoice_number"], row["tenant_id"])
    yield from prove_ends(db, tenant_id)


def prove_ends(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """By their ends the last ones are missed, which nothing follows."""
    whose, given = of_tenant("tenant_id", tenant_id)
    heads = {head.tenant_id: head for head in list_heads(db, tenant_id)}
    ends = {
        row["tenant_id"]: row
        for row in fetch_all(
            db,
            f"""SELECT e.tenant_id, e.many, e.last, i.hash FROM (
                    SELECT tenant_id, COUNT(*) AS many, MAX(chain_position) AS last FROM invoices
                     WHERE hash IS NOT NULL AND {whose} GROUP BY tenant_id) AS e
                  LEFT JOIN invoices AS i ON i.tenant_id = e.tenant_id AND i.chain_position = e.last""",  # noqa: S608
            **given,
        )
    }
    for tenant in sorted(heads.keys() | ends.keys()):
        head, end = heads.get(tenant), ends.get(tenant)
        many, last, found = (end["many"], end["last"], end["hash"]) if end else (0, 0, NO_HASH)
        if head is None or (head.position, head.hash) != (last, found):
            kept = f"{head.position} with {head.hash[:12]}…" if head else "nowhere"
            said = f"the chain of tenant {tenant} ends at {last} with {found[:12]}…, and is kept to end at {kept}"
            yield Finding("chain", said, None, tenant)
        elif many != last:
            yield Finding(
                "chain", f"the chain of tenant {tenant} ends at {last} and has {many} documents", None, tenant
            )


# -- the series ------------------------------------------------------------------------------------


def prove_series(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Every number from the first to the last, once."""
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for row in fetch_each(
        db,
        f"""SELECT i.tenant_id, i.invoice_number, i.series, i.series_number
              FROM invoices AS i
              JOIN billing_invoice_series AS s ON s.tenant_id = i.tenant_id AND s.series = i.series
             WHERE i.hash IS NOT NULL AND {whose} AND i.series_number > s.first_number
               AND NOT EXISTS (SELECT 1 FROM invoices AS p WHERE p.tenant_id = i.tenant_id AND p.series = i.series
                                  AND p.series_number = i.series_number - 1)""",  # noqa: S608
        **given,
    ):
        if _is_another_programs(db, row):
            continue
        said = f"{row['invoice_number']}: number {row['series_number'] - 1} of the series {row['series']} is missing"
        yield Finding("number", said, row["invoice_number"], row["tenant_id"])
    yield from _prove_counts(db, tenant_id)


def _is_another_programs(db: Connection, row: Row) -> bool:
    """The number before this one was given out, by somebody else."""
    prefix = row["invoice_number"].rpartition("-")[0]
    number = f"{prefix}-{row['series_number'] - 1:04d}"
    sql = "SELECT 1 AS one FROM invoices WHERE tenant_id = :tenant_id AND invoice_number = :number AND hash IS NULL"
    return bool(fetch_all(db, sql, tenant_id=row["tenant_id"], number=number))


def _prove_counts(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    whose, given = of_tenant("tenant_id", tenant_id)
    counted = {
        (row["tenant_id"], row["series"]): row
        for row in fetch_all(
            db,
            f"""SELECT tenant_id, series, COUNT(*) AS many, COUNT(DISTINCT series_number) AS different,
                       MIN(series_number) AS first, MAX(series_number) AS last
                  FROM invoices WHERE hash IS NOT NULL AND {whose} GROUP BY tenant_id, series""",  # noqa: S608
            **given,
        )
    }
    kept = {
        (row["tenant_id"], row["series"]): row
        for row in fetch_all(db, f"SELECT * FROM billing_invoice_series WHERE {whose}", **given)  # noqa: S608
    }
    for key in sorted(counted.keys() | kept.keys(), key=str):
        tenant, series = key
        of, row = counted.get(key), kept.get(key)
        if row is None:
            yield Finding("number", f"the series {series} of tenant {tenant} is not kept", None, tenant)
        elif of is not None and of["many"] != of["different"]:
            twice = of["many"] - of["different"]
            yield Finding("number", f"{twice} numbers of the series {series} were given out twice", None, tenant)
        elif (
            (of["first"], of["last"]) != (row["first_number"], row["last_number"])
            if of
            else (row["last_number"] >= row["first_number"])
        ):
            there = f"{of['first']} to {of['last']}" if of else "none"
            wanted = f"{row['first_number']} to {row['last_number']}"
            said = (
                f"the series {series} of tenant {tenant} has the numbers {wanted}: of its documents there are {there}"
            )
            yield Finding("number", said, None, tenant)


# -- rows that point nowhere -----------------------------------------------------------------------

_POINTING = "{0} AS x LEFT JOIN invoices AS i ON i.id = x.invoice_id"
_ELSEWHERE = "i.id IS NULL OR i.tenant_id <> x.tenant_id"
_OTHERS = f"{_ELSEWHERE} OR i.user_id <> x.user_id"
# What is looked at, which of its rows are wrong, and what they are called.
_ORPHANS = (
    ("billing_invoice_lines", f"{_ELSEWHERE} OR i.hash IS NULL", "line {position}"),
    ("billing_invoice_taxes", f"{_ELSEWHERE} OR i.hash IS NULL", "tax {position}"),
    ("transactions", _OTHERS, "row {id} of the ledger"),
    ("billing_periods", f"{_OTHERS} OR i.hash IS NULL", "period {id}"),
    ("billing_pending_items", f"{_OTHERS} OR i.hash IS NULL", "item {id}"),
    ("billing_payments", _OTHERS, "payment {id}"),
    ("billing_account_credit_entries", _OTHERS, "entry {id} of the account credit"),
    ("billing_invoice_balances", _ELSEWHERE, "the balance"),
    (
        "billing_invoiced_months",
        f"{_OTHERS} OR i.hash IS NULL OR i.kind <> 'period' OR i.month <> x.month",
        "the closed month {month} of user {user_id}",
    ),
)


def prove_pointers(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    """Nothing belongs to a document that is not there, is not ours, or is another user's or tenant's."""
    whose, given = of_tenant("x.tenant_id", tenant_id)
    for table, wrong, name in _ORPHANS:
        for row in fetch_each(
            db,
            f"""SELECT x.*, i.invoice_number AS pointed_at FROM {_POINTING.format(table)}
                 WHERE x.invoice_id IS NOT NULL AND {whose} AND ({wrong})""",  # noqa: S608
            **given,
        ):
            called = name.format_map({key: row[key] for key in row.keys()})  # noqa: SIM118  sqlite3.Row is no mapping
            number = row["pointed_at"]
            where = f"points at {number}, which is not its own" if number else "points at an invoice that is not there"
            yield Finding("orphan", f"{called} (invoice id {row['invoice_id']}) {where}", number, row["tenant_id"])
    yield from _prove_documents(db, tenant_id)


_DOCUMENTS = (
    (
        """i.kind = 'period' AND i.hash IS NOT NULL AND NOT EXISTS (
               SELECT 1 FROM billing_invoiced_months AS m
                WHERE m.user_id = i.user_id AND m.month = i.month AND m.invoice_id = i.id)""",
        "its month is not recorded as closed with it",
    ),
    ("i.kind <> 'adopted' AND i.hash IS NULL", "it is one of ours by its kind, and has no hash"),
    (
        """i.kind = 'credit_note' AND i.hash IS NOT NULL AND NOT EXISTS (
               SELECT 1 FROM invoices AS c
                WHERE c.id = i.credited_invoice_id AND c.hash IS NOT NULL AND c.kind <> 'credit_note'
                  AND c.user_id = i.user_id AND c.tenant_id = i.tenant_id AND c.currency = i.currency
                  AND c.chain_position < i.chain_position)""",
        "what it takes back is no earlier invoice of this user",
    ),
)


def _prove_documents(db: Connection, tenant_id: int | None) -> Iterator[Finding]:
    whose, given = of_tenant("i.tenant_id", tenant_id)
    for wrong, said in _DOCUMENTS:
        for row in fetch_each(
            db,
            f"SELECT i.tenant_id, i.invoice_number FROM invoices AS i WHERE {whose} AND {wrong}",  # noqa: S608
            **given,
        ):
            yield Finding("orphan", f"{row['invoice_number']}: {said}", row["invoice_number"], row["tenant_id"])


# -- revenue ---------------------------------------------------------------------------------------


def prove_revenue(db: Connection, tenant_id: int | None, found: Mapping[Revenue, Totalled]) -> Iterator[Finding]:
    """The sums that are kept are those of what was issued in the month."""
    whose, given = of_tenant("tenant_id", tenant_id)
    kept = {
        (row["tenant_id"], row["month"], row["currency"]): Totalled(*(row[name] for name in Totalled._fields))
        for row in fetch_all(db, f"SELECT * FROM billing_revenue WHERE {whose}", **given)  # noqa: S608
    }
    for key in sorted(kept.keys() | found.keys()):
        tenant, month, currency = key
        wanted, there = found.get(key, Totalled()), kept.get(key, Totalled())
        for name in Totalled._fields:
            right, stored = getattr(wanted, name), getattr(there, name)
            if right != stored:
                said = (
                    f"the revenue of tenant {tenant} in {month} says {stored} {name} in {currency}, and it is {right}"
                )
                yield Finding("revenue", said, None, tenant)
