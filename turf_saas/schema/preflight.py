"""What stops a migration before anything is changed, in one sentence that names the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing_db import Connection, DatabaseRefused, engine, fetch_one, quoted
from turf_saas.schema.host import folded, key_kind, list_attached, list_columns, list_objects, list_rules, name_space

ASIDE = "billing_old_"


@dataclass(frozen=True)
class ReferenceTable:
    """A table that the reference made too. It is adopted when it has the reference's columns."""

    name: str
    needed: tuple[str, ...]
    known: tuple[str, ...] = ()  # further columns that mean the same as ours
    any_of: tuple[str, ...] = ()
    integers: tuple[str, ...] = ("id",)
    ours_alone: tuple[str, ...] = ("tenant_id",)  # of ours, and not to be taken for another program's of that name
    counted_by: frozenset[str] = frozenset()  # what there is one row for


REFERENCE = (
    ReferenceTable(
        "billing_events",
        (),
        ("id", "stripe_event_id", "event_type", "payload", "created_at"),
        any_of=("stripe_event_id", "event_type", "event_id"),
    ),
    ReferenceTable(
        "saas_subscriptions",
        ("user_id", "plan", "status"),
        (
            "id", "effective_at", "current_period_start", "current_period_end", "trial_end", "cancel_at_period_end",
            "canceled_at", "ended_at", "stripe_subscription_id", "created_at", "updated_at",
        ),
        ours_alone=("tenant_id", "billed_by", "cycle", "changed_at", "changed_by", "change_reason"),
    ),
    ReferenceTable(
        "transactions",
        (
            "id", "user_id", "invoice_id", "type", "amount_cents", "currency", "stripe_payment_intent_id",
            "description", "created_at",
        ),
        integers=("id", "invoice_id", "amount_cents"),
    ),
    ReferenceTable(
        "invoices",
        (
            "id", "invoice_number", "user_id", "period_start", "period_end", "plan", "amount_cents", "currency",
            "status", "pdf_path", "stripe_invoice_id", "created_at", "paid_at",
        ),
        ("updated_at",),
        integers=("id", "amount_cents"),
        ours_alone=(
            "tenant_id", "kind", "changed_at", "changed_by", "change_reason", "month", "series", "series_number",
            "net_cents", "tax_cents", "issued_at", "due_on", "locale", "seller", "buyer", "mentions", "billed",
            "credited_invoice_id", "reason", "line_count", "tax_count", "chain_position", "previous_hash", "hash",
        ),
    ),
    ReferenceTable(
        "consumption_log",
        ("id", "user_id", "date", "api_calls", "endpoint", "created_at"),
        integers=("id", "api_calls"),
        counted_by=frozenset({"user_id", "date", "endpoint"}),
    ),
)  # fmt: skip


def check(db: Connection, creates: Sequence[tuple[str, str]]) -> list[ReferenceTable]:
    """The tables to adopt. Refuses when something that billing would create is there as something else."""
    taken = list_objects(db)
    wanted = {(name_space(kind), name) for kind, name in creates}
    adopted, conflicts = [], []
    for reference in REFERENCE:
        if ("table", reference.name) not in wanted or ("table", reference.name) not in taken:
            continue
        fault = _fault(db, reference, taken["table", reference.name])
        if fault:
            conflicts.append(f"{reference.name} ({fault})")
        else:
            adopted.append(reference)
            wanted.add(("table", ASIDE + reference.name))
        wanted.discard(("table", reference.name))
    attached = _attached_names(db, adopted)
    if adopted:
        wanted |= {("table", ASIDE + "keys"), ("table", ASIDE + "days")}
    conflicts += [f"{name} ({_a(taken[space, name])})" for space, name in sorted(wanted & taken.keys() - attached)]
    if conflicts:
        raise DatabaseRefused(
            f"This database has things of its own under names that billing needs: {_some(conflicts)}. "
            f"Nothing was changed; {way_out(db)}"
        )
    return adopted


def way_out(db: Connection) -> str:
    return f"give billing a {'file' if engine(db) == 'sqlite' else 'database'} of its own: TURF_SAAS_DB=…"


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "index" else f"a {kind}"


def _some(conflicts: list[str]) -> str:
    more = len(conflicts) - 5
    return ", ".join(conflicts[:5]) + (f" and {more} more" if more > 0 else "")


def _attached_names(db: Connection, adopted: list[ReferenceTable]) -> set[tuple[str, str]]:
    """Indexes and triggers of tables that are adopted make room by themselves."""
    return {
        (name_space(each.kind), folded(db, each.name))
        for reference in adopted
        for each in list_attached(db, reference.name, ())
    }


def _fault(db: Connection, reference: ReferenceTable, kind: str) -> str | None:
    """Why a table of this name is not the reference's, or None."""
    if kind != "table":
        return _a(kind)
    columns = list_columns(db, reference.name)
    types = {folded(db, column.name): column.declared_type for column in columns}
    missing = [name for name in reference.needed if name not in types]
    if missing:
        return f"without {missing[0]}"
    if reference.any_of and not any(name in types for name in reference.any_of):
        return f"without {reference.any_of[0]}"
    for name in reference.integers if engine(db) == "postgresql" else ("id",):
        if name in types and key_kind(types[name]) != "integer":
            return f"{name} is {types[name] or 'untyped'}"
    if engine(db) == "sqlite" and (child := _pointing_elsewhere(db, reference.name)):
        return f"{child} points at another column of it than id"
    if engine(db) == "postgresql" and _has_rules_of_its_own(db, reference.name):
        return "with row security, rules, grants or a publication, which would be lost"
    computed = [column.name for column in columns if column.computed]
    if computed:
        return f"{computed[0]} is computed from other columns"
    known = (*reference.needed, *reference.known)
    numbered = [column.name for column in columns if column.numbered and folded(db, column.name) not in known]
    if numbered:
        return f"its rows are numbered by {numbered[0]}"
    own = [name for name in reference.ours_alone if name in types]
    return f"with a column {own[0]} of its own" if own else _other_rule(db, reference)


def _other_rule(db: Connection, reference: ReferenceTable) -> str | None:
    """A log that is counted by less or more than ours could neither be written by its host nor by us."""
    for rule in list_rules(db, reference.name) if reference.counted_by else ():
        columns = {folded(db, name) for name in rule}
        if columns & reference.counted_by and "id" not in columns and columns != reference.counted_by:
            return f"unique by {', '.join(rule)}"
    return None


def _pointing_elsewhere(db: Connection, table: str) -> str | None:
    """A table with a foreign key to a column whose uniqueness is not kept: SQLite would notice at the next write."""
    row = fetch_one(
        db,
        """SELECT m.name FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
            WHERE m.type = 'table' AND lower(f."table") = :table AND lower(COALESCE(f."to", 'id')) <> 'id'""",
        table=table,
    )
    return row["name"] if row else None


def _has_rules_of_its_own(db: Connection, table: str) -> bool:
    """What belongs to the table itself, and not to its rows: a copy would be without it, and nobody would be told."""
    row = fetch_one(
        db,
        """SELECT 1 FROM pg_class AS c
            WHERE c.oid = to_regclass(:table)
              AND (c.relrowsecurity OR c.relhasrules
                   OR EXISTS (SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)
                   OR EXISTS (SELECT 1 FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner)
                   OR EXISTS (SELECT 1 FROM pg_publication_rel AS p WHERE p.prrelid = c.oid))""",
        table=quoted(table),
    )
    return row is not None
