"""Issuing a month: invoices per second with three metrics each, and whether many users cost more each than few."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import billing_db
from bench.data import fill_subscribers
from bench.registry import Row, Setup, bench
from bench.timing import Spread, ratios, take_turns
from billing_db import Connection, atomic, execute, fetch_all
from turf_saas import issuing
from turf_saas.settings import Settings, read_settings
from turf_saas.values import Month
from turf_saas.verifying import verify

ASKED_FOR = 5_000  # invoices per second
TO_VERIFY = 834  # invoices per second: 50 000 in a minute
AT_MOST = 1.5  # times as much per invoice of many as of few
NOW = datetime(2026, 10, 2, 8, tzinfo=UTC)
# 49.00, 15 000 calls at 0.005, 1 000 000 tokens at 0.00001 and 200 000 at 0.000005, 3 packages at 5.00; VAT of 20 %.
AMOUNT = 18_000
SELLER = {
    "NAME": "Courses de France", "FORM": "SAS", "CAPITAL": "10 000 €", "SIREN": "404833048", "RCS": "Paris",
    "VAT": "FR83404833048", "ADDRESS": "1 rue de la Piste", "ZIP": "75001", "CITY": "Paris",
}  # fmt: skip
WRITTEN = (
    "invoices", "billing_invoice_lines", "billing_invoice_taxes", "transactions", "billing_invoiced_months",
    "billing_status_history",
)  # fmt: skip


@bench("issuing", "A month's invoices, three metrics each: per second, and of many users beside few")
def issuing_rows(setup: Setup) -> Iterator[Row]:
    few, some, many = setup.pick(full=(100, 5_000, 50_000), quick=(100, 2_000, 10_000), tiny=(5, 10, 20))
    rounds = setup.pick(full=7, quick=5, tiny=2)
    filled = {users: _filled(setup.folder / f"{users}.db", users) for users in (few, some, many)}
    taken = take_turns(rounds, {"ours": _per_second(filled[some], some), "bare": _bare_per_second(filled[some], some)})
    asked = [float(ASKED_FOR)] * rounds
    what = f"invoices issued, {some} users"
    yield _row(what, "1/s", taken["ours"], f"what is asked for: {ASKED_FOR}", asked, at_least=1)
    yield _row(what, "1/s", taken["ours"], "the same rows by bare INSERTs, without rules", taken["bare"])
    growth = take_turns(max(2, rounds // 2), {str(users): _each(filled[users], users) for users in (many, few)})
    what = f"one invoice of {many}"
    yield _row(what, "µs", growth[str(many)], f"one of {few}", growth[str(few)], at_most=AT_MOST)


@bench(
    "verify", "Every invoice of a large database proved: chain, numbers, sums, VAT, money, each line worked out again"
)
def verify_rows(setup: Setup) -> Iterator[Row]:
    users = setup.pick(full=50_000, quick=10_000, tiny=10)
    rounds = setup.pick(full=3, quick=3, tiny=2)
    path, _ = issued(_filled(setup.folder / f"{users}.db", users), users)
    taken = [_verified_per_second(path, users) for _ in range(rounds)]
    asked = [float(TO_VERIFY)] * rounds
    yield _row(f"invoices proved, {users}", "1/s", taken, f"50 000 in a minute: {TO_VERIFY}", asked, at_least=1)


def _verified_per_second(path: Path, users: int) -> float:
    with closing(billing_db.connect(str(path))) as db:
        begun = perf_counter()
        found = verify(db, settings_of(path), Month.of(NOW, UTC))
        taken = perf_counter() - begun
    if (found.documents, found.wrong.many) != (users, 0):
        raise RuntimeError(f"{found.wrong.many} of {found.documents} invoices are wrong")
    return users / taken


def settings_of(path: Path) -> Settings:
    return read_settings({"TURF_SAAS_DB": str(path), **{f"BILLING_SELLER_{name}": of for name, of in SELLER.items()}})


def _filled(path: Path, users: int) -> Path:
    fill_subscribers(str(path), users, NOW)
    return path


def issued(filled: Path, users: int) -> tuple[Path, float]:
    """A copy of the database in which the month is issued, and how long that took."""
    path = filled.with_name("issued.db")
    for left in ("", "-wal", "-shm"):
        Path(f"{path}{left}").unlink(missing_ok=True)
    shutil.copyfile(filled, path)
    with closing(billing_db.connect(str(path))) as db:
        begun = perf_counter()
        report = issuing.run(db, NOW, settings_of(path), 1)
        taken = perf_counter() - begun
        sums = fetch_all(db, "SELECT DISTINCT amount_cents FROM invoices")
    if (report.issued, report.failed, [row["amount_cents"] for row in sums]) != (users, [], [AMOUNT]):
        raise RuntimeError(f"{report.issued} invoices were issued for {users} users")
    return path, taken


def _per_second(filled: Path, users: int) -> Callable[[], float]:
    return lambda: users / issued(filled, users)[1]


def _each(filled: Path, users: int) -> Callable[[], float]:
    return lambda: issued(filled, users)[1] / users * 1e6


def _bare_per_second(filled: Path, users: int) -> Callable[[], float]:
    path, _ = issued(filled, users)
    with closing(billing_db.connect(str(path))) as db:
        rows = {table: [tuple(row) for row in fetch_all(db, f"SELECT * FROM {table}")] for table in WRITTEN}
    rows["billing_status_history"] = [row for row in rows["billing_status_history"] if row[3] == "invoice"]

    def measure() -> float:
        copy = filled.with_name("bare.db")
        for left in ("", "-wal", "-shm"):
            Path(f"{copy}{left}").unlink(missing_ok=True)
        shutil.copyfile(filled, copy)
        with closing(billing_db.connect(str(copy))) as db:
            _without_rules(db)
            begun = perf_counter()
            with atomic(db):
                for table, values in rows.items():
                    places = ", ".join("?" * len(values[0]))
                    db.executemany(f"INSERT INTO {table} VALUES ({places})", values)
            return users / (perf_counter() - begun)

    return measure


def _without_rules(db: Connection) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    with atomic(db):
        for row in fetch_all(db, "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"):
            if row["tbl_name"] in WRITTEN:
                execute(db, f"DROP TRIGGER {row['name']}")


def _row(
    what: str,
    unit: str,
    ours: list[float],
    compared_with: str,
    theirs: list[float],
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    ratio = ratios(ours, theirs)
    return Row(what, unit, Spread.of(ours), compared_with, Spread.of(theirs), ratio, at_least=at_least, at_most=at_most)
