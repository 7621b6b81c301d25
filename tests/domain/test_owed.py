"""owed = what was sold − what was taken back − payments + refunds = what is due − account credit; in any order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all
from tests import cast
from tests.cast import Person
from tests.issued import ISSUED_AT, SETTINGS, issue_one, line, owed
from turf_saas import credit_notes, invoices, payments, refunds
from turf_saas.credit_notes import LineWish
from turf_saas.errors import Conflict
from turf_saas.money_proof import prove_money

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

CENTS = st.sampled_from([1, 7, 100, 333, 400, 999, 1_199, 1_200, 1_201, 5_000])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["issue", "pay", "pay", "credit", "line", "refund", "refund"]),
        st.integers(0, 3),
        CENTS,
        st.booleans(),
    ),
    min_size=3,
    max_size=14,
)


def act(db: Connection, alice: Person, step: tuple[Any, ...], number: int) -> None:
    deed, which, cents, whole = step
    now = ISSUED_AT + timedelta(hours=number)
    mine = [one for one in invoices.list_invoices(db, 1) if one.kind != "credit_note"]
    paid = payments.list_payments(db, 1)
    if deed == "issue" or not mine:
        issue_one(db, alice, cents, line(cents, "5.5", inclusive=whole), now=now, kind="manual", month=None)
        return
    invoice = mine[which % len(mine)]
    wish = None if whole else cents
    if deed == "pay":
        payments.record_payment(db, now, SETTINGS, 1, invoice.number, amount_cents=cents)
    elif deed == "credit":
        credit_notes.credit_invoice(db, now, SETTINGS, 1, invoice.number, amount_cents=wish)
    elif deed == "line":
        one = LineWish(1 + which % 2, None if wish is None else min(wish, 50))
        credit_notes.credit_invoice(db, now, SETTINGS, 1, invoice.number, lines=[one])
    elif paid:
        refunds.refund(db, now, SETTINGS, 1, paid[which % len(paid)].id, amount_cents=wish)


def check(db: Connection, alice: Person) -> None:
    """What is paid of each invoice is its payments less the entries that name it; and its credit notes sum to it."""
    owed(db, alice)
    assert list(prove_money(db, None)) == []
    moved: dict[int, int] = {}
    for row in fetch_all(db, "SELECT invoice_id, amount_cents AS cents FROM billing_payments"):
        moved[row["invoice_id"]] = moved.get(row["invoice_id"], 0) + row["cents"]
    for row in fetch_all(
        db,
        "SELECT invoice_id, amount_cents AS cents FROM billing_account_credit_entries WHERE invoice_id IS NOT NULL",
    ):
        moved[row["invoice_id"]] = moved.get(row["invoice_id"], 0) - row["cents"]
    for invoice in invoices.list_invoices(db, 1, limit=100):
        if invoice.kind == "credit_note":
            continue
        notes = invoices.list_credit_notes(db, invoice.id)
        assert invoice.paid_cents == moved.get(invoice.id, 0)
        assert invoice.credited_cents == -sum(note.amount_cents for note in notes)
        for tax in invoice.taxes:
            back = [of for note in notes for of in note.taxes if of.vat_rate == tax.vat_rate]
            assert 0 <= -sum(of.base_cents for of in back) <= tax.base_cents
            assert 0 <= -sum(of.tax_cents for of in back) <= tax.tax_cents
        assert (invoice.due_cents == 0) == (invoice.status not in ("pending", "overdue"))
        assert invoice.status != "cancelled" or (invoice.paid_cents, invoice.credited_cents) == (
            0,
            invoice.amount_cents,
        )


@pytest.mark.parametrize("engine", ["sqlite"])
def test_in_whatever_order_what_is_owed_is_right(engine: str, template_of: Callable[[str], str]) -> None:
    template = template_of(engine)

    @hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @hypothesis.given(STEPS)
    def run(steps: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            db = billing_db.connect(str(shutil.copy(template, Path(folder) / "one.db")))
            try:
                alice = cast.enter(db).alice
                for number, step in enumerate(steps):
                    with suppress(Conflict):
                        act(db, alice, step, number)
                    check(db, alice)
            finally:
                db.close()

    run()
