"""Each issued document by itself: its hash, parts, sums, VAT and ledger, and each line worked out again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, cast

from billing_db import Connection, Row, fetch_all
from turf_saas.discounts import Redemption
from turf_saas.findings import Finding
from turf_saas.invoice_documents import DocumentLine, DocumentTax, hash_of, ledger_of
from turf_saas.invoice_totals import TaxedLine, total
from turf_saas.line_proof import fault_of
from turf_saas.many import AT_ONCE, named, parts, places
from turf_saas.settings import Settings
from turf_saas.tax import Category, rate_text
from turf_saas.values import Month, parse_instant

_NUMBER = re.compile(r"FACT-(\d{6})-(\d{4,})", re.ASCII)
Revenue = tuple[int, str, str]  # tenant, month of issue, currency


class Totalled(NamedTuple):
    """What a month's invoices and credit notes come to."""

    invoices: int = 0
    credit_notes: int = 0
    net_cents: int = 0
    tax_cents: int = 0
    amount_cents: int = 0


@dataclass(frozen=True)
class Stored:
    """A document as its rows say it, and the rows that it came from."""

    row: Row
    lines: Sequence[DocumentLine]
    taxes: Sequence[DocumentTax]
    positions: tuple[list[int], list[int]]
    ledger: Sequence[Row]
    billed: Mapping[str, Mapping[str, int]]
    origins: Sequence[Mapping[str, Any]]
    sources: Mapping[tuple[str, int], Row] = field(default_factory=dict)  # ("period" or "item", id)


def prove_documents(
    db: Connection, settings: Settings, tenant_id: int | None, revenue: dict[Revenue, Totalled]
) -> Iterator[list[Finding]]:
    """What is wrong with each issued document, one list each. Their sums are added to revenue.

    The caller's snapshot.
    """
    for rows in _in_parts(db, tenant_id):
        for stored in _read(db, rows):
            month = _month_of(stored.row, settings.timezone)
            _add(revenue, stored.row, month)
            yield [
                Finding(
                    kind,
                    f"{stored.row['invoice_number']}: {said}",
                    stored.row["invoice_number"],
                    stored.row["tenant_id"],
                )
                for kind, said in _faults(stored, month)
            ]


def _in_parts(db: Connection, tenant_id: int | None) -> Iterator[Sequence[Row]]:
    whose = "" if tenant_id is None else "AND tenant_id = :tenant_id"
    last: Any = 0
    while True:
        rows = fetch_all(
            db,
            f"""SELECT * FROM invoices WHERE id > :last AND hash IS NOT NULL {whose}
                 ORDER BY id LIMIT {AT_ONCE}""",  # noqa: S608
            last=last,
            **({} if tenant_id is None else {"tenant_id": tenant_id}),
        )
        if rows:
            yield rows
        if len(rows) < AT_ONCE:
            return
        last = rows[-1]["id"]


def _month_of(row: Row, zone: tzinfo) -> Month | None:
    """The local month in which it was issued; None where that cannot be read.

    BILLING_TIMEZONE may have been another one then: what the number says is right if it was so anywhere on earth.
    """
    months = _months_of(row["issued_at"], zone)
    text = _NUMBER.fullmatch(row["invoice_number"])
    return next((month for month in months if text and _as_series(month) == text[1]), months[0] if months else None)


@lru_cache(maxsize=4096)  # a run's invoices are of one instant
def _months_of(issued_at: str, zone: tzinfo) -> tuple[Month, ...]:
    """The local month, and what it is where it is earliest and latest."""
    try:
        return tuple(Month.of(parse_instant(issued_at), each) for each in (zone, *_EDGES))
    except (OverflowError, ValueError):
        return ()


_EDGES = (timezone(timedelta(hours=-12)), timezone(timedelta(hours=14)))


def _as_series(month: Month) -> str:
    return f"{month.year:04d}{month.number:02d}"


def _add(revenue: dict[Revenue, Totalled], row: Row, month: Month | None) -> None:
    key = (row["tenant_id"], str(month), row["currency"])
    so_far = revenue.get(key, Totalled())
    is_note = row["kind"] == "credit_note"
    revenue[key] = Totalled(
        so_far.invoices + (not is_note),
        so_far.credit_notes + is_note,
        so_far.net_cents + (row["net_cents"] or 0),
        so_far.tax_cents + (row["tax_cents"] or 0),
        so_far.amount_cents + row["amount_cents"],
    )


# -- what is read ----------------------------------------------------------------------------------


def _read(db: Connection, rows: Sequence[Row]) -> Iterator[Stored]:
    """Some documents with all that belongs to them, by a statement per table."""
    ids = [row["id"] for row in rows]
    lines = _grouped(_rows(db, "SELECT * FROM billing_invoice_lines WHERE invoice_id IN ({}) ORDER BY position", ids))
    taxes = _grouped(_rows(db, "SELECT * FROM billing_invoice_taxes WHERE invoice_id IN ({}) ORDER BY position", ids))
    ledger = _grouped(
        _rows(db, "SELECT * FROM transactions WHERE invoice_id IN ({}) AND type <> 'refund' ORDER BY id", ids)
    )
    origins = {row["id"]: [_object(line["origin"]) for line in lines.get(row["id"], ())] for row in rows}
    sources = _read_sources(db, [origin for of in origins.values() for origin in of])
    for row in rows:
        of_lines, of_taxes = lines.get(row["id"], []), taxes.get(row["id"], [])
        yield Stored(
            row,
            [DocumentLine(*(line[name] for name in DocumentLine._fields)) for line in of_lines],
            [DocumentTax(*(tax[name] for name in DocumentTax._fields)) for tax in of_taxes],
            ([line["position"] for line in of_lines], [tax["position"] for tax in of_taxes]),
            ledger.get(row["id"], []),
            _parsed(row["billed"] or "{}"),
            origins[row["id"]],
            sources,
        )


def _read_sources(db: Connection, origins: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], Row]:
    """The periods and items that lines say they are of."""
    wanted: dict[str, set[int]] = {"period": set(), "item": set()}
    for origin in origins:
        name = "item" if "item_id" in origin else "period"
        if isinstance(origin.get(f"{name}_id"), int):
            wanted[name].add(origin[f"{name}_id"])
    found = {("period", row["id"]): row for row in _rows(db, _PERIODS, sorted(wanted["period"]))}
    items = "SELECT * FROM billing_pending_items WHERE id IN ({})"
    return found | {("item", row["id"]): row for row in _rows(db, items, sorted(wanted["item"]))}


_PERIODS = """SELECT b.*, p.code, p.version, p.amount_cents, d.percent, d.amount_cents AS off_cents
                FROM billing_periods AS b JOIN billing_plans AS p ON p.id = b.plan_id
                LEFT JOIN billing_redemptions AS r ON r.id = b.fee_redemption_id
                LEFT JOIN billing_discounts AS d ON d.id = r.discount_id
               WHERE b.id IN ({})"""


def _rows(db: Connection, sql: str, ids: Sequence[int]) -> Iterator[Row]:
    for part in parts(ids):
        yield from fetch_all(db, sql.format(places(part)), **named(part))


def _grouped(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row["invoice_id"], []).append(row)
    return found


@lru_cache(maxsize=1024)
def _object(text: str) -> Mapping[str, Any]:
    return _parsed(text)


def _parsed(text: str) -> Mapping[str, Any]:
    """Whatever was written there: what is no object says nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# -- what is wrong ---------------------------------------------------------------------------------


def _faults(stored: Stored, month: Month | None) -> Iterator[tuple[str, str]]:
    row = stored.row
    if hash_of(row["previous_hash"], row, stored.lines, stored.taxes) != row["hash"]:
        yield "hash", "its hash is not that of what it says: something of it was changed"
    yield from _faults_of_number(row, month)
    yield from _faults_of_sums(stored)
    yield from _faults_of_vat(stored)
    yield from _faults_of_ledger(stored)
    for position, (line, origin) in enumerate(zip(stored.lines, stored.origins, strict=True), start=1):
        said = fault_of(line, stored.billed, row["currency"]) if row["kind"] == "period" else None
        said = said or _fault_of_source(stored, line, origin)
        if said:
            yield "line", f"line {position} ({line.kind}): {said}"


def _faults_of_number(row: Row, month: Month | None) -> Iterator[tuple[str, str]]:
    """Which month and which number, and the series that says so: the month's own, or its year's."""
    if month is None:
        yield "number", "when it was issued cannot be read"
        return
    wanted = _as_series(month)
    text = _NUMBER.fullmatch(row["invoice_number"])
    if (
        text is None
        or text[1] != wanted
        or int(text[2]) != row["series_number"]
        or len(text[2]) > max(4, len(str(row["series_number"])))
    ):
        yield "number", f"number {row['series_number']} of a document issued in {month} is not written so"
    if row["series"] not in (wanted, wanted[:4]):
        yield "number", f"it is of the series {row['series']}, and was issued in {month}"


def _faults_of_sums(stored: Stored) -> Iterator[tuple[str, str]]:
    row = stored.row
    for what, said, there in zip(("lines", "taxes"), ("line_count", "tax_count"), stored.positions, strict=True):
        if there != list(range(1, (row[said] or 0) + 1)):
            yield "lines", f"it has {row[said]} {what}, and {len(there)} are there"
    sums = {
        "its lines": (sum(line.net_cents for line in stored.lines), row["net_cents"]),
        "what its taxes are taken of": (sum(tax.base_cents for tax in stored.taxes), row["net_cents"]),
        "its taxes": (sum(tax.tax_cents for tax in stored.taxes), row["tax_cents"]),
        "its net and its VAT": ((row["net_cents"] or 0) + (row["tax_cents"] or 0), row["amount_cents"]),
    }
    for what, (summed, said) in sums.items():
        if summed != said:
            yield "sum", f"{what} sum to {summed}, and it says {said}"


def _faults_of_vat(stored: Stored) -> Iterator[tuple[str, str]]:
    """Of an invoice all is worked out again; a credit note's last part has what is left, so that only its bases are."""
    try:
        said = [
            (tax.vat_category, rate_text(Decimal(tax.vat_rate)), tax.base_cents, tax.tax_cents) for tax in stored.taxes
        ]
        totals = total([_taxed(line) for line in stored.lines])
    except ArithmeticError:
        yield "vat", "a rate cannot be read"
        return
    right = [(tax.category, rate_text(tax.rate), tax.base_cents, tax.tax_cents) for tax in totals.taxes]
    if stored.row["kind"] in ("period", "manual"):
        for position, (line, net) in enumerate(zip(stored.lines, totals.lines_net_cents, strict=True), start=1):
            if line.net_cents != net:
                yield "vat", f"line {position}: {line.amount_cents} come to a net of {net}, not {line.net_cents}"
        if said != right:
            yield "vat", f"its VAT comes to {_told(right)}, not {_told(said)}"
    elif _bases(said) != _bases(right):
        yield "vat", f"its lines are of {_told(right)}, and its taxes of {_told(said)}"


def _bases(taxes: Sequence[tuple[str, str, int, int]]) -> list[tuple[str, str, int]]:
    """What each tax is taken of; a credit note leaves out what it takes nothing of."""
    return sorted((category, rate, base) for category, rate, base, _ in taxes if base)


def _taxed(line: DocumentLine) -> TaxedLine:
    return TaxedLine(line.amount_cents, cast(Category, line.vat_category), Decimal(line.vat_rate), line.tax_behavior)


def _told(taxes: Sequence[tuple[str, str, int, int]]) -> str:
    return ", ".join(f"{tax} on {base} ({category} {rate} %)" for category, rate, base, tax in taxes) or "nothing"


def _faults_of_ledger(stored: Stored) -> Iterator[tuple[str, str]]:
    row = stored.row
    for each in stored.ledger:
        if any(each[name] != row[name] for name in ("user_id", "tenant_id", "currency")):
            yield "ledger", f"row {each['id']} of its ledger is another user's, tenant's or currency's"
    there = sorted((each["type"], each["amount_cents"]) for each in stored.ledger)
    try:
        right = sorted(ledger_of(stored.lines, stored.taxes).items())
    except (ArithmeticError, LookupError, ValueError):  # a tax without lines, say: that is told above
        right = there
    summed = sum(cents for _, cents in there)
    if there != right:
        yield "ledger", f"its ledger says {_pairs(there)}, and should say {_pairs(right)}"
    elif summed != row["amount_cents"]:
        yield "ledger", f"its ledger sums to {summed}, as its lines do, and it says {row['amount_cents']}"


def _pairs(pairs: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {cents}" for name, cents in pairs) or "nothing"


def _fault_of_source(stored: Stored, line: DocumentLine, origin: Mapping[str, Any]) -> str | None:
    """What waited for the invoice, and whether it is on this one with this amount."""
    name = {"base": "period", "discount": "period", "charge": "item", "item": "item", "credit": "item"}.get(line.kind)
    number = origin.get(f"{name}_id")
    if name is None or stored.row["kind"] != "period" or (number is None and not origin):
        return None
    row = stored.sources.get((name, number)) if number is not None else None
    if row is None:
        return f"the {name} {number} that it is of is not there"
    if row["invoice_id"] != stored.row["id"]:
        return f"the {name} {number} that it is of is not marked as invoiced here"
    amount = {"base": "fee_cents", "discount": "discount_cents"}.get(line.kind, "amount_cents")
    right = -row[amount] if line.kind == "discount" else row[amount]
    if right != line.amount_cents:
        return f"the {name} {number} that it is of is {right} cents, not {line.amount_cents}"
    if line.kind == "base" and (row["code"], row["version"]) != (origin.get("plan"), origin.get("version")):
        return f"the period is of {row['code']} version {row['version']}"
    if line.kind == "discount" and row["fee_redemption_id"] == origin.get("redemption_id") is not None:
        off = Redemption(row["fee_redemption_id"], row["percent"], row["off_cents"], once=False).off(row["fee_cents"])
        return None if off == -line.amount_cents else f"the code takes {off} cents off, not {-line.amount_cents}"
    return None
