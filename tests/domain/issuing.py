"""How tests issue months, and what has to hold of everything that was issued, read from the tables themselves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from turf_saas import catalogue, invoices, issuing, usage
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.invoice_documents import NO_HASH, DocumentLine, DocumentTax, hash_of
from turf_saas.invoices import Invoice
from turf_saas.issuing import RunReport
from turf_saas.plans import PlanLimit
from turf_saas.prices import Price
from turf_saas.settings import Settings, read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import Subscription, find_live
from turf_saas.users import User
from turf_saas.values import Month

APRIL, MAY, JUNE, JULY = (Month(2026, number) for number in (4, 5, 6, 7))


def settings_with(**given: str) -> Settings:
    """Those of a seller who is complete."""
    return read_settings(
        {"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing", "BILLING_LOCALE": "en", **SELLER, **given}
    )


SETTINGS = settings_with()


def at(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


def begin(db: Connection, person: Person, plan: str, now: datetime, **given: Any) -> Subscription:
    return subscribe(db, now, given.pop("settings", SETTINGS), User(person.id, person.tenant_id, "user"), plan, **given)


def live(db: Connection, person: Person) -> Subscription:
    found = find_live(db, person.id)
    assert found is not None
    return found


def move(db: Connection, person: Person, plan: str, now: datetime) -> None:
    """To another plan at once, as an admin does it."""
    change_plan(db, now, SETTINGS, live(db, person), Wish(plan, "now"), is_admin=True)


def leave(db: Connection, person: Person, now: datetime) -> None:
    cancel(db, now, SETTINGS, live(db, person), when="now")


def report(
    db: Connection, person: Person, quantity: int, of: datetime, now: datetime, metric: str = "api_calls"
) -> str:
    """An event of that instant, told now."""
    event = usage.NewEvent(person.id, person.tenant_id, metric, quantity, of)
    return usage.record_event(db, now, SETTINGS, event).id


def correct(db: Connection, event_id: str, quantity: int, now: datetime) -> None:
    usage.correct_event(db, now, SETTINGS, 1, event_id, -quantity)


def sell(db: Connection, code: str, cents: int = 0, *prices: Price, tenant_id: int = 1, **given: Any) -> None:
    """A plan; limits={metric: included}."""
    limits = {metric: PlanLimit(included, "soft") for metric, included in given.pop("limits", {}).items()}
    draft = PlanDraft(code, code.title(), cents, given.pop("currency", "EUR"), limits=limits, prices=prices, **given)
    catalogue.create_plan(db, at(1, 1), tenant_id, draft)


def flat(metric: str, unit_amount: str) -> Price:
    return Price(metric, "flat", unit_amount=Decimal(unit_amount))


def add_item(db: Connection, person: Person, cents: int, month: Month = MAY, **given: Any) -> None:
    """What waits for the invoice of a month, as a row."""
    values = {"kind": "item", "description": "Setting up", "currency": "EUR", **given}
    names = ["user_id", "tenant_id", "month", "amount_cents", "created_at", *values]
    with atomic(db):
        execute(
            db,
            f"INSERT INTO billing_pending_items ({', '.join(names)}) VALUES ({', '.join(f':{one}' for one in names)})",
            user_id=person.id,
            tenant_id=person.tenant_id,
            month=str(month),
            amount_cents=cents,
            created_at="2026-05-02T00:00:00Z",
            **values,
        )


def run(db: Connection, now: datetime, settings: Settings = SETTINGS, tenant_id: int = 1, **given: Any) -> RunReport:
    """A run in which nobody fails."""
    found = issuing.run(db, now, settings, tenant_id, **given)
    assert found.failed == []
    return found


def numbers(found: RunReport) -> tuple[int, int, int, int]:
    return found.issued, found.existing, found.skipped, len(found.failed)


def invoice_of(db: Connection, person: Person, month: Month) -> Invoice:
    found = invoices.find_of_month(db, person.id, str(month))
    assert found is not None, f"{person.name} has no invoice of {month}"
    return found


def lines(invoice: Invoice) -> list[tuple[str, str, int]]:
    """Kind, quantity and net of each line."""
    return [(line.kind, line.quantity, line.net_cents) for line in invoice.lines]


def totals(invoice: Invoice) -> tuple[int | None, int | None, int]:
    return invoice.net_cents, invoice.tax_cents, invoice.amount_cents


def notes_of(db: Connection, invoice: Invoice) -> list[tuple[int | None, int | None, int]]:
    """Net, VAT and amount of the credit notes of an invoice."""
    return [totals(note) for note in invoices.list_credit_notes(db, invoice.id)]


def all_numbers(db: Connection, tenant_id: int = 1) -> list[str]:
    """In the order in which they were given out."""
    rows = fetch_all(
        db,
        "SELECT invoice_number FROM invoices WHERE tenant_id = :tenant AND hash IS NOT NULL ORDER BY chain_position",
        tenant=tenant_id,
    )
    return [row["invoice_number"] for row in rows]


# -- what always holds ---------------------------------------------------------------------------------


def assert_sound(db: Connection) -> None:
    """No gap, no double, the chains whole; lines, taxes, ledger and revenue agree."""
    issued = fetch_all(db, "SELECT * FROM invoices WHERE hash IS NOT NULL ORDER BY tenant_id, chain_position")
    parts = {
        table: _parts(db, table, kind)
        for table, kind in (("billing_invoice_lines", DocumentLine), ("billing_invoice_taxes", DocumentTax))
    }
    _assert_chains(db, issued, parts)
    _assert_series(db, issued)
    _assert_sums(db, issued, parts)
    _assert_months(db, issued)


def _parts(db: Connection, table: str, kind: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in fetch_all(db, f"SELECT * FROM {table} ORDER BY invoice_id, position"):
        found[row["invoice_id"]].append(kind(*(row[name] for name in kind._fields)))
        assert row["position"] == len(found[row["invoice_id"]])
    return found


def _assert_chains(db: Connection, issued: Sequence[Any], parts: dict[str, dict[int, list[Any]]]) -> None:
    ends: dict[int, tuple[int, str, str]] = {}
    for row in issued:
        position, previous, before = ends.get(row["tenant_id"], (0, NO_HASH, ""))
        assert (row["chain_position"], row["previous_hash"]) == (position + 1, previous)
        assert row["issued_at"] >= before, "nothing is dated before what was issued last"
        lines, taxes = (parts[table].get(row["id"], []) for table in parts)
        assert row["hash"] == hash_of(previous, row, lines, taxes)
        ends[row["tenant_id"]] = (row["chain_position"], row["hash"], row["issued_at"])
    stored = fetch_all(db, "SELECT * FROM billing_invoice_chains")
    assert {row["tenant_id"]: (row["position"], row["hash"], row["issued_at"]) for row in stored} == ends


def _assert_series(db: Connection, issued: Sequence[Any]) -> None:
    given_out: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row in issued:
        given_out[row["tenant_id"], row["series"]].append(row["series_number"])
    for row in fetch_all(db, "SELECT * FROM billing_invoice_series"):
        found = given_out.pop((row["tenant_id"], row["series"]), [])
        assert found == list(range(row["first_number"], row["last_number"] + 1)), "in order, and without a hole"
    assert not given_out


def _assert_sums(db: Connection, issued: Sequence[Any], parts: dict[str, dict[int, list[Any]]]) -> None:
    ledger: Counter[int] = Counter()
    for row in fetch_all(db, "SELECT * FROM transactions WHERE type <> 'refund'"):
        ledger[row["invoice_id"]] += row["amount_cents"]
    revenue: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 5)
    for row in issued:
        lines, taxes = (parts[table].get(row["id"], []) for table in parts)
        assert (row["line_count"], row["tax_count"]) == (len(lines), len(taxes))
        assert row["net_cents"] == sum(line.net_cents for line in lines) == sum(tax.base_cents for tax in taxes)
        assert row["tax_cents"] == sum(tax.tax_cents for tax in taxes)
        assert row["amount_cents"] == row["net_cents"] + row["tax_cents"] == ledger[row["id"]]
        of = revenue[row["tenant_id"], row["invoice_number"][5:11], row["currency"]]
        of[1 if row["kind"] == "credit_note" else 0] += 1
        for place, name in enumerate(("net", "tax", "amount"), start=2):
            of[place] += row[f"{name}_cents"]
    stored = {
        (row["tenant_id"], row["month"].replace("-", ""), row["currency"]): [
            row[name] for name in ("invoices", "credit_notes", "net_cents", "tax_cents", "amount_cents")
        ]
        for row in fetch_all(db, "SELECT * FROM billing_revenue")
    }
    assert stored == revenue


def _assert_months(db: Connection, issued: Sequence[Any]) -> None:
    """A period invoice per closed month that had something to bill, and what it billed is marked with it."""
    periods = {(row["user_id"], row["month"]): row["id"] for row in issued if row["kind"] == "period"}
    assert len(periods) == sum(row["kind"] == "period" for row in issued), "one invoice per user and month"
    closed = fetch_all(db, "SELECT * FROM billing_invoiced_months WHERE invoice_id IS NOT NULL")
    assert {(row["user_id"], row["month"]): row["invoice_id"] for row in closed} == periods
