"""Whatever is used, changed, told late, corrected and issued in whatever order: all of it is billed, and once."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import billing_db
from billing_db import Connection, fetch_all
from tests import cast
from tests.cast import Person
from tests.domain import issuing as desk
from turf_saas import issuing, usage
from turf_saas.errors import BillingError
from turf_saas.month_rating import rate_month
from turf_saas.prices import price_from
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import find_live
from turf_saas.usage import NewEvent
from turf_saas.users import User
from turf_saas.values import Month
from turf_saas.verifying import verify

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

START = datetime(2028, 1, 28, 13, 30, 7, tzinfo=UTC)
DAY = timedelta(days=1)
PLANS = ("free", "tiered", "dear", "seats", "inclusive")
DEEDS = ("use", "use", "use", "use", "correct", "correct", "subscribe", "change", "cancel", "run", "run")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 4, 12, 31]),
        st.sampled_from(
            ["use", "use", "use", "use", "correct", "correct", "subscribe", "change", "cancel", "run", "run"]
        ),
        st.sampled_from(PLANS),
        st.integers(0, 34),
        st.sampled_from([1, 3, 40, 170, 2_000]),
        st.sampled_from(["now", "now", "period_end"]),
    ),
    min_size=4,
    max_size=18,
)


def sell(db: Connection) -> None:
    tiers = [
        {"up_to": 100, "unit_amount": "0.10", "flat_cents": 30},
        {"up_to": 1000, "unit_amount": "0.055"},
        {"up_to": None, "unit_amount": "0.02"},
    ]
    seat = {"metric": "tokens", "model": "volume", "flat_at_zero": True}
    desk.sell(db, "tiered", 1_000, price_from({"metric": "tokens", "model": "tiered", "tiers": tiers}))
    desk.sell(db, "dear", 3_333, desk.flat("tokens", "0.125"), limits={"tokens": 150})
    desk.sell(db, "seats", 0, price_from({**seat, "tiers": [{**tiers[2], "flat_cents": 700}]}))
    desk.sell(db, "inclusive", 0, desk.flat("tokens", "0.0999"), limits={"tokens": 5}, tax_behavior="inclusive")


def act(db: Connection, now: datetime, settings: Any, user: User, step: tuple[Any, ...]) -> None:
    _, deed, plan, days_back, quantity, when = step
    live = find_live(db, user.id)
    if deed == "use":
        event = NewEvent(user.id, 1, "tokens", quantity, now - days_back * DAY)
        usage.record_event(db, now, settings, event)
    elif deed == "correct":
        events = fetch_all(db, "SELECT id FROM usage_events WHERE corrects IS NULL ORDER BY at, id")
        if events:
            usage.correct_event(db, now, settings, 1, events[days_back % len(events)]["id"], -quantity)
    elif deed == "run":
        assert issuing.run(db, now, settings, 1).failed == []
    elif live is None:
        subscribe(db, now, settings, user, plan)
    elif deed == "cancel":
        cancel(db, now, settings, live, when=when)
    else:
        change_plan(db, now, settings, live, Wish(plan, when), is_admin=True)


@hypothesis.settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@hypothesis.given(steps=STEPS, zone=st.sampled_from(["UTC", "Europe/Paris", "America/Santiago"]))
def test_in_the_end_everything_is_billed_once(
    template_of: Callable[[str], str], steps: list[tuple[Any, ...]], zone: str
) -> None:
    settings = desk.settings_with(BILLING_TIMEZONE=zone)
    with tempfile.TemporaryDirectory() as folder:
        url = str(shutil.copy(template_of("sqlite"), Path(folder) / "one.db"))
        with closing(billing_db.connect(url)) as db:
            alice, now = cast.enter(db).alice, START
            sell(db)
            for step in steps:
                now += step[0] * DAY
                with suppress(BillingError):  # a deed that does not fit is refused, and nothing of it stays
                    act(db, now, settings, User(alice.id, 1, "user"), step)
            now += 64 * DAY
            assert issuing.run(db, now, settings, 1).failed == []
            hold_everything(db, now, settings, alice)
            assert issuing.run(db, now, settings, 1).issued == 0


def hold_everything(db: Connection, now: datetime, settings: Any, alice: Person) -> None:
    month = Month.of(START - 35 * DAY, settings.timezone)
    last = issuing.last_closed(now, settings)
    billed, in_all = billed_of_use(db), Counter[str]()
    while month <= last:
        in_all[str(month)] = sum(line.charge.amount_cents for line in rate_month(db, settings, alice.id, month).lines)
        month = Month(month.year + month.number // 12, month.number % 12 + 1)
    proved = verify(db, settings, last)
    assert proved.wrong.shown == []
    assert set(proved.waiting.kinds) <= {"moved"}
    if proved.waiting.kinds:  # as much as was billed, but on days of another plan: that is told, and not billed anew
        return
    assert +billed == +in_all
    fees = fetch_all(
        db,
        "SELECT COALESCE(SUM(charged_cents - credited_cents), 0) AS c FROM billing_periods WHERE month <= :last",
        last=str(last),
    )
    assert billed_of_fees(db) == fees[0]["c"]
    assert not fetch_all(db, "SELECT 1 AS one FROM usage_counters WHERE used <> COALESCE(billed, 0)")
    desk.assert_sound(db)


def billed_of_use(db: Connection) -> Counter[str]:
    """What was billed and not given back of each month's use, in the terms of its price."""
    found: Counter[str] = Counter()
    for row in fetch_all(
        db,
        """SELECT i.kind AS document, i.month, l.kind, l.amount_cents, l.origin, l.period_start, l.metric, i.reason
             FROM billing_invoice_lines AS l JOIN invoices AS i ON i.id = l.invoice_id
            WHERE l.metric IS NOT NULL""",
    ):
        begins = datetime.fromisoformat(row["period_start"]) + 20 * timedelta(hours=1)
        found[f"{begins:%Y-%m}"] += row["amount_cents"]
    return found


def billed_of_fees(db: Connection) -> int:
    rows = fetch_all(db, "SELECT COALESCE(SUM(amount_cents), 0) AS c FROM billing_invoice_lines WHERE metric IS NULL")
    return int(rows[0]["c"])
