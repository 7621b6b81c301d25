"""Whatever is done to a subscription, in whatever order: its periods tile, and no more is given back than was paid."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all
from tests import cast
from turf_saas import catalogue, discounts
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import BillingError
from turf_saas.month_rating import list_changes
from turf_saas.rollover import advance_due
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan, resume
from turf_saas.subscriptions import find_live
from turf_saas.users import User

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

START = datetime(2027, 12, 28, 13, 30, 7, tzinfo=UTC)
PLANS = ("free", "ten", "forty", "anniversary", "yearly", "tried", "tried", "tried")
USER = User(1, 1, "user")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 61, 3_600, 86_400, 12 * 86_400, 40 * 86_400]),
        st.sampled_from(["subscribe", "change", "change", "change", "cancel", "cancel", "resume", "edit"]),
        st.sampled_from(PLANS),
        st.sampled_from([None, "now", "now", "period_end"]),
        st.sampled_from([None, None, "HALF", "OFF"]),
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)


def prepared(template: str, folder: str) -> Connection:
    db = billing_db.connect(str(shutil.copy(template, Path(folder) / "one.db")))
    cast.enter(db)
    for draft in (
        PlanDraft("ten", "Ten", 999, "EUR"),
        PlanDraft("forty", "Forty", 4_001, "EUR"),
        PlanDraft("anniversary", "Anniversary", 3_000, "EUR", cycle="anniversary"),
        PlanDraft("yearly", "Yearly", 12_000, "EUR", interval="year", cycle="anniversary"),
        PlanDraft("tried", "Tried", 2_803, "EUR", trial_days=14),
    ):
        catalogue.create_plan(db, START, 1, draft)
    discounts.create_discount(db, START, 1, code="HALF", percent="50", duration="months", months=2)
    discounts.create_discount(db, START, 1, code="OFF", amount_cents=600, currency="EUR", duration="once")
    return db


def act(db: Connection, now: datetime, zone: Any, step: tuple[Any, ...]) -> None:
    _, deed, plan, when, code, flag = step
    live = find_live(db, 1)
    if deed == "subscribe" or live is None:
        subscribe(db, now, zone, USER, plan, discount_code=code)
    elif deed == "cancel":
        wanted = when or "period_end"
        dry = cancel(db, now, zone, live, when=wanted, dry_run=True)
        assert cancel(db, now, zone, live, when=wanted).proration == dry.proration
    elif deed == "resume":
        resume(db, now, zone, live)
    elif deed == "edit":
        current = catalogue.get_plan(db, 1, plan)
        catalogue.edit_plan(
            db, now, 1, plan, {"amount_cents": current.amount_cents + 100}, existing="next_period" if flag else "keep"
        )
    else:
        wish = Wish(plan, when, flag, code)
        dry = change_plan(db, now, zone, live, wish, is_admin=True, dry_run=True)
        assert change_plan(db, now, zone, live, wish, is_admin=True).proration == dry.proration


@hypothesis.settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@hypothesis.given(steps=STEPS, zone=st.sampled_from(["UTC", "Europe/Paris", "America/Santiago", "Pacific/Apia"]))
def test_no_order_of_deeds_gives_back_more_than_was_paid(
    template_of: Callable[[str], str], steps: list[tuple[Any, ...]], zone: str
) -> None:
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": zone})
    with tempfile.TemporaryDirectory() as folder:
        db = prepared(template_of("sqlite"), folder)
        now = START
        for step in steps:
            now += timedelta(seconds=step[0])
            with suppress(BillingError):  # a deed that does not fit is refused, and nothing of it stays
                act(db, now, settings, step)
            hold_everything(db)
        assert advance_due(db, now + timedelta(days=70), settings).failed == []
        hold_everything(db)
        db.close()


def hold_everything(db: Connection) -> None:
    assert len(fetch_all(db, "SELECT 1 FROM saas_subscriptions WHERE status <> 'canceled'")) <= 1
    periods = fetch_all(db, "SELECT * FROM billing_periods ORDER BY subscription_id, starts_at, id")
    for period in periods:
        paid = period["fee_cents"] - period["discount_cents"] + items(db, period["id"], "charge")
        assert 0 <= -items(db, period["id"], "credit") <= paid
        assert (period["charged_cents"], period["credited_cents"]) == (paid, -items(db, period["id"], "credit"))
    lasting = [period for period in periods if period["starts_at"] < period["ends_at"]]
    for before, after in pairwise(lasting):
        if before["subscription_id"] == after["subscription_id"]:
            assert before["ends_at"] == after["starts_at"]
    trials = [
        (one.subscription_id, one.plan)
        for one in list_changes(db, [1]).get(1, [])
        if one.status == "trialing" and one.plan
    ]
    assert len({plan for _, plan in trials}) == len(set(trials)), "a plan is tried in one subscription only"


def items(db: Connection, period_id: int, kind: str) -> int:
    row = fetch_all(
        db,
        """SELECT COALESCE(SUM(amount_cents), 0) AS cents FROM billing_pending_items
            WHERE billing_period_id = :id AND kind = :kind""",
        id=period_id,
        kind=kind,
    )[0]
    return int(row["cents"])
