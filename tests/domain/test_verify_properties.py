"""Whatever is subscribed, changed, used, corrected, issued, paid and credited: it proves, and explains to the cent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all
from tests import cast
from tests.billed import SETTINGS, at, event, sell
from tests.cast import Person
from turf_saas import catalogue, credit_notes, invoice_items, invoices, issuing, payments, refunds, usage
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import BillingError
from turf_saas.invoice_explaining import explain_invoice
from turf_saas.rollover import advance_due
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import find_live
from turf_saas.users import User
from turf_saas.values import Month
from turf_saas.verifying import verify

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

PLANS = ("big", "ten", "inside", "yearly")
DEEDS = ("change", "change", "cancel", "use", "use", "report", "report", "correct", "late", "late", "item", "issue",
         "issue", "issue", "pay", "credit", "refund")  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.sampled_from([1, 8, 20]), st.integers(0, 3), st.integers(1, 1_500)),
    min_size=12,
    max_size=24,
)


def act(db: Connection, alice: Person, now: datetime, deed: str, which: int, many: int) -> None:
    user, live, plan = User(alice.id, 1, "user"), find_live(db, alice.id), PLANS[which]
    mine = [one for one in invoices.list_invoices(db, 1) if one.kind == "period"]
    if live is None and deed == "change":
        subscribe(db, now, SETTINGS, user, plan, discount_code="TENTH" if many % 2 else None)
    elif deed == "change" and live is not None:
        change_plan(db, now, SETTINGS, live, Wish(plan, "now"), is_admin=True)
    elif deed == "cancel" and live is not None:
        cancel(db, now, SETTINGS, live, when="now" if many % 2 else "period_end")
    elif deed == "use":
        alice.has_used(many, day=now.date().isoformat())
    elif deed == "report":
        event(db, alice, "reports", many, now)
    elif deed == "late":
        event(db, alice, "reports", many, now - timedelta(days=25), now)
    elif deed == "correct":
        events = fetch_all(db, "SELECT id, quantity FROM usage_events WHERE quantity > 0 ORDER BY id")
        if events:
            one = events[which % len(events)]
            usage.correct_event(db, now, SETTINGS, 1, one["id"], -min(many, one["quantity"]))
    elif deed == "item":
        item = {"description": "By hand", "quantity": Decimal(which + 1), "unit_amount": Decimal("0.125")}
        invoice_items.add_item(db, now, SETTINGS, user, **item)
    elif deed == "issue":
        issuing.run(db, now, SETTINGS, 1)
    elif mine and deed == "pay":
        payments.record_payment(db, now, SETTINGS, 1, mine[which % len(mine)].number, amount_cents=many)
    elif mine and deed == "credit":
        credit_notes.credit_invoice(db, now, SETTINGS, 1, mine[which % len(mine)].number, amount_cents=many)
    elif deed == "refund" and (paid := payments.list_payments(db, 1)):
        refunds.refund(db, now, SETTINGS, 1, paid[which % len(paid)].id)


def check(db: Connection, now: datetime) -> None:
    assert verify(db, SETTINGS, Month.of(now, SETTINGS.timezone)).wrong.shown == []
    for invoice in invoices.list_invoices(db, 1, limit=100):
        explained = explain_invoice(db, SETTINGS, invoice, "en")
        assert explained.recomputed_cents == invoice.amount_cents, explained.text


def test_whatever_happens_it_proves_and_explains(template_of: Callable[[str], str]) -> None:
    template = template_of("sqlite")

    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @hypothesis.given(STEPS)
    def run(steps: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            db = billing_db.connect(str(shutil.copy(template, Path(folder) / "one.db")))
            try:
                alice = cast.enter(db).alice
                sell(db)
                for draft in (
                    PlanDraft("inside", "Inside", 999, "EUR", tax_behavior="inclusive"),
                    PlanDraft("yearly", "Yearly", 12_000, "EUR", interval="year"),
                ):
                    catalogue.create_plan(db, at(1, 1), 1, draft)
                now = at(1, 10, 9)
                for deed, days, which, many in [("change", 1, steps[0][2], 1), *steps]:
                    now += timedelta(days=days, hours=1)
                    advance_due(db, now, SETTINGS)
                    with suppress(BillingError):
                        act(db, alice, now, deed, which, many)
                    check(db, now)
            finally:
                db.close()

    run()
