"""A subscription from its beginning to its end: periods, changes, and the money that comes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from turf_saas import admission, catalogue, discounts, quotas
from turf_saas.admission import QuotaExceeded
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import Conflict, Forbidden, InvalidInput
from turf_saas.month_rating import list_changes
from turf_saas.prices import Price
from turf_saas.rollover import advance_due, bring_up_to_date
from turf_saas.settings import Settings, read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Changed, Wish, cancel, change_plan, resume
from turf_saas.subscriptions import Subscription, find_live, get_subscription
from turf_saas.users import User
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
PARIS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_TIMEZONE": "Europe/Paris"})


def at(text: str) -> datetime:
    """`05-20 10:00` of 2026, or with the year."""
    day, _, hour = text.partition(" ")
    year = day if len(day) == 10 else f"2026-{day}"
    return datetime.fromisoformat(f"{year}T{hour or '00:00'}").replace(tzinfo=UTC)


def user(person: Person) -> User:
    return User(person.id, person.tenant_id, "user")


@pytest.fixture(autouse=True)
def _plans(db: Connection) -> None:
    for draft in (
        PlanDraft("ten", "Ten", 1_000, "EUR"),
        PlanDraft("twentyfive", "Twenty-five", 2_500, "EUR"),
        PlanDraft("forty", "Forty", 4_000, "EUR"),
        PlanDraft("anniversary", "Anniversary", 3_000, "EUR", cycle="anniversary"),
        PlanDraft("yearly", "Yearly", 12_000, "EUR", interval="year", cycle="anniversary"),
        PlanDraft("tried", "Tried", 2_800, "EUR", trial_days=14),
        PlanDraft("dollars", "Dollars", 5_000, "USD"),
    ):
        catalogue.create_plan(db, at("01-01"), 1, draft)


def begin(
    db: Connection, person: Person, plan: str, when: str, settings: Settings = SETTINGS, **given: Any
) -> Subscription:
    return subscribe(db, at(when), settings, user(person), plan, **given)


def change(
    db: Connection, then: str, seen: Subscription, plan: str, settings: Settings = SETTINGS, **given: Any
) -> Changed:
    wish = {name: given.pop(name) for name in ("when", "prorate", "discount_code") if name in given}
    return change_plan(db, at(then), settings, seen, Wish(plan, **wish), **given)


def money(changed: Changed) -> tuple[int, int, int]:
    return changed.proration.credit_cents, changed.proration.charge_cents, changed.proration.net_cents


def rows(db: Connection, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values() if isinstance(row, dict) else row) for row in fetch_all(db, sql, **params)]


def fees(db: Connection) -> list[tuple[Any, ...]]:
    return rows(
        db,
        """SELECT p.code, b.starts_at, b.ends_at, b.fee_cents FROM billing_periods AS b
             JOIN billing_plans AS p ON p.id = b.plan_id ORDER BY b.id""",
    )


def items(db: Connection) -> list[tuple[Any, ...]]:
    return rows(db, "SELECT month, kind, amount_cents FROM billing_pending_items ORDER BY id")


# -- beginning -------------------------------------------------------------------------------------------


def test_a_first_calendar_period_is_short_and_costs_its_part(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-17 15:30")
    assert (begun.plan, begun.status, begun.effective_at) == ("ten", "active", "2026-01-17T00:00:00Z")
    assert (begun.current_period_start, begun.current_period_end) == ("2026-01-17T00:00:00Z", "2026-02-01T00:00:00Z")
    assert fees(db) == [("ten", "2026-01-17T00:00:00Z", "2026-02-01T00:00:00Z", 484)]  # 1000 × 15/31 = 483.87


def test_an_anniversary_is_counted_from_the_day_and_clamped(db: Connection, alice: Person) -> None:
    begin(db, alice, "anniversary", "01-31 09:00")
    advance_due(db, at("05-01"), SETTINGS)
    assert [row[1][:10] for row in fees(db)] == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]
    assert {row[3] for row in fees(db)} == {3_000}


def test_a_period_begins_at_midnight_of_the_zone(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "03-31 23:30", PARIS)  # 01:30 of 1 April there
    assert (begun.current_period_start, begun.current_period_end) == ("2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z")
    assert fees(db)[0][3] == 1_000


def test_who_has_one_gets_no_second(db: Connection, alice: Person) -> None:
    begin(db, alice, "ten", "01-17")
    with pytest.raises(Conflict) as refused:
        begin(db, alice, "forty", "01-18")
    assert refused.value.code == "subscription_exists"
    assert len(fees(db)) == 1


def test_a_row_that_only_said_which_plan_becomes_the_subscription(db: Connection, alice: Person) -> None:
    alice.is_on("free")
    begun = begin(db, alice, "ten", "06-10 08:00")
    assert rows(db, "SELECT COUNT(*) AS n FROM saas_subscriptions") == [(1,)]
    assert (begun.plan, begun.effective_at, begun.is_billed) == ("ten", "2026-06-10T00:00:00Z", True)
    assert fees(db) == [("ten", "2026-06-10T00:00:00Z", "2026-07-01T00:00:00Z", 700)]  # 21 of 30 days


def test_a_beginning_in_the_past_opens_every_period_since(db: Connection, alice: Person) -> None:
    begin(db, alice, "ten", "05-20 10:00", start_at=at("03-01"))
    assert [(row[1][:10], row[3]) for row in fees(db)] == [
        ("2026-03-01", 1000),
        ("2026-04-01", 1000),
        ("2026-05-01", 1000),
    ]


def test_a_beginning_ahead_waits_for_its_day(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "05-20 10:00", start_at=at("06-15 18:00"))
    assert (begun.is_billed, fees(db)) == (False, [])
    advance_due(db, at("06-14 23:59"), SETTINGS)
    assert fees(db) == []
    advance_due(db, at("06-15"), SETTINGS)
    assert fees(db) == [("ten", "2026-06-15T00:00:00Z", "2026-07-01T00:00:00Z", 533)]  # 16 of 30 days


def test_what_cannot_be_bought_is_refused(db: Connection, alice: Person) -> None:
    with pytest.raises(InvalidInput) as unknown:
        begin(db, alice, "gold", "05-20")
    catalogue.archive_plan(db, at("05-01"), 1, "ten", default_plan="free")
    with pytest.raises(Conflict) as archived:
        begin(db, alice, "ten", "05-20")
    assert (unknown.value.code, archived.value.code) == ("plan_unknown", "plan_archived")
    assert rows(db, "SELECT COUNT(*) AS n FROM saas_subscriptions") == [(0,)]


def test_a_user_has_one_currency(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "05-01")
    with pytest.raises(Conflict) as refused:
        change(db, "05-02", begun, "dollars")
    assert (refused.value.code, refused.value.params["wanted"]) == ("currency_mismatch", "EUR")


def test_free_of_charge_fixes_no_currency(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "free", "05-01")
    changed = change(db, "05-16 12:00", begun, "dollars").subscription
    assert (changed.plan, items(db)) == ("dollars", [("2026-05", "charge", 2_500)])  # half of May


# -- a trial ---------------------------------------------------------------------------------------------


def test_a_trial_ends_at_midnight_and_the_paid_period_begins_there(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "tried", "05-10 10:00")
    assert (begun.status, begun.trial_end, fees(db)) == ("trialing", "2026-05-24T00:00:00Z", [])
    now = bring_up_to_date(db, at("05-24"), SETTINGS, alice.id)
    assert now is not None
    assert (now.status, now.current_period_start) == ("active", "2026-05-24T00:00:00Z")
    assert fees(db) == [("tried", "2026-05-24T00:00:00Z", "2026-06-01T00:00:00Z", 723)]  # 2800 × 8/31 = 722.58


def test_a_plan_is_tried_once(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "tried", "05-10 10:00")
    cancel(db, at("05-12"), SETTINGS, begun, when="now")
    again = begin(db, alice, "tried", "05-13")
    assert (again.status, again.trial_end) == ("active", None)


def test_another_plan_in_a_trial_moves_no_money_and_keeps_its_end(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "tried", "05-10")
    changed = change(db, "05-12", begun, "forty")
    assert (money(changed), changed.subscription.plan, changed.subscription.status) == ((0, 0, 0), "forty", "trialing")
    assert changed.subscription.trial_end == "2026-05-24T00:00:00Z"
    advance_due(db, at("05-25"), SETTINGS)
    assert fees(db) == [("forty", "2026-05-24T00:00:00Z", "2026-06-01T00:00:00Z", 1_032)]  # 4000 × 8/31


def test_no_second_trial_by_changing_into_one(db: Connection, alice: Person) -> None:
    first = begin(db, alice, "tried", "05-01")
    cancel(db, at("05-10"), SETTINGS, first, when="now")
    second = begin(db, alice, "forty", "05-11", trial_days=30)
    with pytest.raises(Conflict) as refused:
        change(db, "05-12", second, "tried", when="now", is_admin=True)
    assert refused.value.code == "trial_used"


def test_canceled_in_the_trial_it_ends_with_the_trial_and_costs_nothing(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "tried", "05-10")
    asked = cancel(db, at("05-12"), SETTINGS, begun).subscription
    assert (asked.status, asked.cancel_at_period_end) == ("trialing", True)
    assert bring_up_to_date(db, at("05-24"), SETTINGS, alice.id) is None
    assert (get_subscription(db, 1, begun.id).ended_at, fees(db)) == ("2026-05-24T00:00:00Z", [])


# -- another plan ----------------------------------------------------------------------------------------


def test_the_worked_example(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    changed = change(db, "01-15 12:00", begun, "twentyfive")
    assert money(changed) == (532, 1_331, 799)
    assert items(db) == [("2026-01", "credit", -532), ("2026-01", "charge", 1_331)]


def test_a_second_upgrade_credits_the_price_in_force(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    second = change(db, "01-15 12:00", begun, "twentyfive").subscription
    # 22 January 00:00: 10 of 31 days are left. 2500 × 10/31 = 806.45, 4000 × 10/31 = 1290.32
    assert money(change(db, "01-22", second, "forty")) == (806, 1_290, 484)


def test_there_and_back_within_a_second_costs_nothing(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    up = change(db, "01-15 12:00", begun, "twentyfive")
    down = change(db, "01-15 12:00", up.subscription, "ten", when="now", is_admin=True)
    again = change(db, "01-15 12:00", down.subscription, "twentyfive")
    assert (money(up), money(down), money(again)) == ((532, 1331, 799), (1331, 532, -799), (532, 1331, 799))
    assert sum(row[2] for row in items(db)) == 799


def test_no_credit_exceeds_what_the_period_charged(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "01-01", start_at=at("01-01"))
    free = change(db, "01-01", begun, "ten", when="now", is_admin=True)
    assert money(free) == (4_000, 1_000, -3_000)
    without = change(db, "01-02", free.subscription, "forty", prorate=False, is_admin=True).subscription
    # The limits are forty's from now on, the price in force is still ten's.
    back = change(db, "01-02", without, "ten", when="now", is_admin=True)
    assert money(back) == (968, 968, 0)  # 1000 × 30/31


def test_a_downgrade_waits_for_the_period_and_can_be_replaced_or_dropped(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "01-01")
    asked = change(db, "01-10", begun, "ten").subscription
    assert (asked.plan, asked.pending_plan, asked.pending_at) == ("forty", "ten", "2026-02-01T00:00:00Z")
    newer = change(db, "01-11", asked, "twentyfive").subscription
    assert newer.pending_plan == "twentyfive"
    dropped = change(db, "01-12", newer, "forty").subscription
    assert (dropped.plan, dropped.pending_plan) == ("forty", None)
    with pytest.raises(Conflict) as refused:
        change(db, "01-12", dropped, "forty")
    assert refused.value.code == "plan_unchanged"
    change(db, "01-13", dropped, "ten")
    advance_due(db, at("02-02"), SETTINGS)
    assert [(row[0], row[3]) for row in fees(db)] == [("forty", 4000), ("ten", 1000)]
    assert items(db) == []


def test_only_an_admin_downgrades_at_once(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "01-01")
    with pytest.raises(Forbidden) as refused:
        change(db, "01-10", begun, "ten", when="now")
    assert refused.value.code == "downgrade_now"


def test_a_change_at_once_replaces_the_one_that_waits(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "twentyfive", "01-01")
    asked = change(db, "01-10", begun, "ten").subscription
    changed = change(db, "01-11", asked, "forty").subscription
    assert (changed.plan, changed.pending_plan) == ("forty", None)


def test_without_proration_the_new_fee_comes_with_the_next_period(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    changed = change(db, "01-10", begun, "forty", prorate=False, is_admin=True)
    assert (changed.subscription.plan, money(changed), items(db)) == ("forty", (0, 0, 0), [])
    advance_due(db, at("02-01"), SETTINGS)
    assert [(row[0], row[3]) for row in fees(db)] == [("ten", 1000), ("forty", 4000)]


def test_from_month_to_year_a_new_period_begins_that_day(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "06-01")
    changed = change(db, "06-16 15:45", begun, "yearly")
    assert money(changed) == (500, 12_000, 11_500)  # from 00:00: 15 of 30 days
    assert changed.subscription.current_period_end == "2027-06-16T00:00:00Z"
    assert fees(db) == [
        ("ten", "2026-06-01T00:00:00Z", "2026-06-16T00:00:00Z", 1_000),
        ("yearly", "2026-06-16T00:00:00Z", "2027-06-16T00:00:00Z", 12_000),
    ]
    assert items(db) == [("2026-06", "credit", -500)]  # the new fee is the new period's own


def test_from_month_to_year_on_the_first_day_leaves_nothing_of_the_month(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "06-01 08:00")
    assert money(change(db, "06-01 09:00", begun, "yearly")) == (1_000, 12_000, 11_000)


def test_from_year_to_month_when_the_year_is_over(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "yearly", "2025-03-15")
    asked = change(db, "2025-04-01", begun, "ten").subscription
    assert asked.pending_at == "2026-03-15T00:00:00Z"
    advance_due(db, at("04-02"), SETTINGS)
    assert fees(db)[1:] == [
        ("ten", "2026-03-15T00:00:00Z", "2026-04-01T00:00:00Z", 548),  # 17 of 31 days
        ("ten", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z", 1_000),
    ]


def test_two_who_saw_the_same_state_and_one_wins(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    change(db, "01-10", begun, "twentyfive")
    with pytest.raises(Conflict) as refused:
        change(db, "01-10", begun, "forty")
    assert refused.value.code == "subscription_changed"
    assert len(items(db)) == 2


def test_a_dry_run_tells_the_same_and_leaves_nothing(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    dry = change(db, "01-15 12:00", begun, "twentyfive", dry_run=True)
    assert (items(db), find_live(db, alice.id)) == ([], begun)
    deed = change(db, "01-15 12:00", begun, "twentyfive")
    assert (money(dry), dry.subscription.plan) == (money(deed), deed.subscription.plan)


def test_a_dry_run_may_look_ahead(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    assert money(change(db, "01-02", begun, "twentyfive", dry_run=True, at=at("02-15"))) == (500, 1_250, 750)
    with pytest.raises(InvalidInput) as refused:
        change(db, "01-02", begun, "twentyfive", at=at("02-15"))
    assert refused.value.code == "at_without_dry_run"
    assert len(fees(db)) == 1


# -- the end ---------------------------------------------------------------------------------------------


def test_canceled_now_the_unused_fee_is_credited(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "06-01")
    ended = cancel(db, at("06-16"), SETTINGS, begun, when="now")
    assert (money(ended), ended.subscription.status) == ((2_000, 0, -2_000), "canceled")
    assert (ended.subscription.ended_at, items(db)) == ("2026-06-16T00:00:00Z", [("2026-06", "credit", -2_000)])
    with pytest.raises(Conflict) as refused:
        cancel(db, at("06-17"), SETTINGS, ended.subscription, when="now")
    assert refused.value.code == "subscription_ended"


def test_canceled_at_the_end_of_the_period_and_resumed(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "06-01")
    asked = cancel(db, at("06-10"), SETTINGS, begun).subscription
    assert (asked.cancel_at_period_end, asked.canceled_at, asked.status) == (True, "2026-06-10T00:00:00Z", "active")
    again = cancel(db, at("06-11"), SETTINGS, asked).subscription
    assert again.canceled_at == "2026-06-10T00:00:00Z"
    resumed = resume(db, at("06-12"), SETTINGS, again)
    assert (resumed.cancel_at_period_end, resumed.canceled_at) == (False, None)
    with pytest.raises(Conflict) as refused:
        resume(db, at("06-12"), SETTINGS, resumed)
    assert refused.value.code == "nothing_to_resume"
    cancel(db, at("06-13"), SETTINGS, resumed)
    advance_due(db, at("07-05"), SETTINGS)
    assert (find_live(db, alice.id), len(fees(db)), items(db)) == (None, 1, [])


def test_an_end_drops_the_change_that_waits(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "06-01")
    asked = change(db, "06-02", begun, "ten").subscription
    ending = cancel(db, at("06-03"), SETTINGS, asked).subscription
    assert (ending.pending_plan, ending.cancel_at_period_end) == (None, True)
    with pytest.raises(Conflict) as refused:
        change(db, "06-04", ending, "ten")
    assert refused.value.code == "cancel_scheduled"


def test_canceled_and_back_in_one_month(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "06-01")
    cancel(db, at("06-11"), SETTINGS, begun, when="now")
    begin(db, alice, "ten", "06-21 12:00")
    assert [(row[0], row[3]) for row in fees(db)] == [("forty", 4_000), ("ten", 333)]  # 10 of 30 days
    assert items(db) == [("2026-06", "credit", -2_667)]  # 20 of 30 days


def test_time_that_was_paid_is_not_sold_again(db: Connection, alice: Person) -> None:
    cancel(db, at("06-11 13:00"), SETTINGS, begin(db, alice, "forty", "06-01"), when="now")
    with pytest.raises(Conflict) as refused:
        begin(db, alice, "ten", "06-20", start_at=at("06-10"))
    assert refused.value.code == "start_in_paid_time"
    begin(db, alice, "ten", "06-20", start_at=at("06-11"))
    assert [row[1:3] for row in fees(db)] == [
        ("2026-06-01T00:00:00Z", "2026-06-11T13:00:00Z"),
        ("2026-06-11T13:00:00Z", "2026-07-01T00:00:00Z"),
    ]


@pytest.mark.parametrize(("before", "after"), [(SETTINGS, PARIS), (PARIS, SETTINGS)])
@pytest.mark.parametrize("plan", ["ten", "anniversary", "tried"])
def test_another_zone_leaves_no_gap_and_no_overlap(
    db: Connection, alice: Person, plan: str, before: Settings, after: Settings
) -> None:
    begin(db, alice, plan, "05-18 10:00", before)
    advance_due(db, at("06-18 10:00"), after)
    advance_due(db, at("09-18 10:00"), after)
    found = fees(db)
    assert all(one[2] == following[1] for one, following in pairwise(found))
    whole = {"ten": 1_000, "anniversary": 3_000, "tried": 2_800}[plan]
    assert [row[3] for row in found[-2:]] == [whole, whole]
    # At the turn two hours are twice in a month or in none of the two: 2 of 720 hours are 0.28 % of a fee.
    assert all(
        row[3] in (whole, *range(whole * 2 // 1000, whole * 3 // 1000 + 3)) or row[3] >= whole * 0.99
        for row in found[1:]
    )


# -- versions, discounts, what others write -----------------------------------------------------------------


def test_a_dearer_version_is_for_who_comes_later(db: Connection, alice: Person, bob: Person) -> None:
    begin(db, alice, "ten", "01-01")
    catalogue.edit_plan(db, at("01-10"), 1, "ten", {"amount_cents": 1_500})
    begin(db, bob, "ten", "02-01")
    advance_due(db, at("03-02"), SETTINGS)
    paid = rows(db, "SELECT user_id, fee_cents FROM billing_periods ORDER BY id")
    assert sorted(paid) == [(alice.id, 1_000)] * 3 + [(bob.id, 1_500)] * 2


def test_a_version_for_all_comes_with_the_next_period(db: Connection, alice: Person) -> None:
    begin(db, alice, "ten", "01-01")
    catalogue.edit_plan(db, at("01-05"), 1, "ten", {"amount_cents": 1_200})
    catalogue.edit_plan(db, at("01-10"), 1, "ten", {"amount_cents": 1_500}, existing="next_period")
    advance_due(db, at("02-01"), SETTINGS)
    assert [row[3] for row in fees(db)] == [1_000, 1_500]


@pytest.mark.parametrize(
    ("given", "off"),
    [
        ({"percent": "12.5", "duration": "forever"}, [125, 125, 125, 125]),
        ({"amount_cents": 300, "currency": "EUR", "duration": "once"}, [300, 0, 0, 0]),
        ({"amount_cents": 5_000, "currency": "EUR", "duration": "months", "months": 2}, [1_000, 1_000, 0, 0]),
    ],
)
def test_a_discount_is_taken_off_the_fees_that_begin_while_it_runs(
    db: Connection, alice: Person, given: dict[str, Any], off: list[int]
) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="Welcome", **given)
    begin(db, alice, "ten", "01-01", discount_code="wELCOME")
    advance_due(db, at("04-01"), SETTINGS)
    assert [row[0] for row in rows(db, "SELECT discount_cents FROM billing_periods ORDER BY id")] == off


def test_a_proration_uses_the_fee_after_discount(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="HALF", percent="50", duration="forever")
    begun = begin(db, alice, "ten", "06-01", discount_code="HALF")
    assert money(change(db, "06-16", begun, "forty")) == (250, 1_000, 750)


def test_an_amount_off_a_short_fee_is_credited_by_what_was_paid(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="OFF", amount_cents=500, currency="EUR", duration="once")
    begun = begin(db, alice, "ten", "01-15", discount_code="OFF")
    assert rows(db, "SELECT fee_cents, discount_cents FROM billing_periods") == [(548, 500)]  # 48 are paid for 17 days
    assert money(cancel(db, at("01-24"), SETTINGS, begun, when="now")) == (23, 0, -23)  # 48 × 8/17 = 22.6


@pytest.mark.parametrize(
    "given",
    [
        {"percent": "50", "duration": "once"},
        {"amount_cents": 300, "currency": "EUR", "duration": "once"},
        {"amount_cents": 300, "currency": "EUR", "duration": "months", "months": 1},
    ],
)
def test_there_and_back_costs_nothing_with_a_discount_either(
    db: Connection, alice: Person, given: dict[str, Any]
) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="OFF", **given)
    begun = begin(db, alice, "ten", "01-15", discount_code="OFF")
    up = change(db, "01-20", begun, "twentyfive")
    change(db, "01-20", up.subscription, "ten", when="now", is_admin=True)
    assert sum(row[2] for row in items(db)) == 0
    advance_due(db, at("03-01"), SETTINGS)
    spared = rows(db, "SELECT discount_cents FROM billing_periods ORDER BY id")
    assert [row[0] > 0 for row in spared] == [True, given["duration"] == "months", False]


def test_nobody_but_an_admin_gets_a_dearer_plan_for_nothing(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    with pytest.raises(Forbidden) as refused:
        change(db, "01-10", begun, "forty", when="now", prorate=False)
    assert refused.value.code == "unprorated_now"
    later = change(db, "01-10", begun, "forty", prorate=False).subscription
    assert (later.plan, later.pending_plan) == ("ten", "forty")


def test_the_last_use_is_the_last(db: Connection, alice: Person, bob: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="ONE", percent="10", duration="once", max_uses=1)
    begun = begin(db, alice, "ten", "01-01", discount_code="ONE")
    with pytest.raises(Conflict) as up:
        begin(db, bob, "ten", "01-01", discount_code="ONE")
    assert (up.value.code, find_live(db, bob.id)) == ("discount_used_up", None)
    discounts.create_discount(db, at("01-01"), 1, code="TWO", percent="10", duration="once", max_uses=2)
    more = change(db, "01-02", begun, "forty", discount_code="TWO").subscription
    with pytest.raises(Conflict) as twice:
        change(db, "01-03", more, "ten", discount_code="TWO")
    assert twice.value.code == "discount_used"


def test_another_program_writes_another_plan_and_the_newest_version_holds(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "01-01")
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET plan = 'forty' WHERE id = :id", id=begun.id)
    written = get_subscription(db, 1, begun.id)
    assert (written.plan, written.plan_id) == ("forty", None)
    advance_due(db, at("02-01"), SETTINGS)
    assert [(row[0], row[3]) for row in fees(db)] == [("ten", 1_000), ("forty", 4_000)]


def test_the_history_says_who_when_and_why(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "tried", "05-10 10:00", by="user:1")
    changed = change(db, "05-12 08:00", begun, "forty", by="user:1").subscription
    advance_due(db, at("05-25"), SETTINGS)
    cancel(
        db, at("05-26"), SETTINGS, get_subscription(db, 1, changed.id), when="now", by="admin:4", reason="moved away"
    )
    told = [(one.at, one.plan, one.status, one.actor, one.reason) for one in list_changes(db, [alice.id])[alice.id]]
    assert told == [
        ("2026-05-10T00:00:00Z", "tried", "trialing", "user:1", "subscribed"),
        ("2026-05-12T08:00:00Z", "forty", "trialing", "user:1", "changed"),
        ("2026-05-24T00:00:00Z", "forty", "active", "system", "trial_ended"),
        ("2026-05-26T00:00:00Z", "forty", "canceled", "admin:4", "moved away"),
    ]


# -- whoever asks first ---------------------------------------------------------------------------------------


def test_quotas_know_what_is_due_though_no_job_has_been_by(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "forty", "01-01")
    change(db, "01-10", begun, "ten")
    assert quotas.get_consumption(db, at("02-01"), SETTINGS, alice.id).plan == "ten"
    assert [row[0] for row in fees(db)] == ["forty", "ten"]
    cancel(db, at("02-05"), SETTINGS, get_subscription(db, 1, begun.id))
    assert admission.spend(db, at("02-28 23:59"), SETTINGS, user(alice), "api_calls", 1).gauge.limit is None
    assert admission.spend(db, at("03-01"), SETTINGS, user(alice), "api_calls", 1).gauge.limit == 300
    assert get_subscription(db, 1, begun.id).ended_at == "2026-03-01T00:00:00Z"


def test_one_that_cannot_go_on_stops_no_other(db: Connection, alice: Person, bob: Person) -> None:
    alice.is_on("yearly", effective_at="9999-06-01T00:00:00Z")
    begin(db, bob, "ten", "01-01")
    advanced = advance_due(db, datetime(9999, 7, 1, tzinfo=UTC), SETTINGS)
    assert (advanced.done, [why.partition(":")[0] for _, why in advanced.failed]) == (1, ["date_out_of_range"])
    assert len(fees(db)) == 1_201  # of who has waited for eight thousand years, a hundred are made up at a time


def test_another_programs_plan_that_nobody_sells_costs_nothing_and_can_be_ended(db: Connection, alice: Person) -> None:
    alice.is_on("no such plan", effective_at="2026-01-01T00:00:00Z")
    found = bring_up_to_date(db, at("02-02"), SETTINGS, alice.id)
    assert found is not None
    assert (found.plan, found.is_billed) == ("no such plan", False)
    with pytest.raises(Conflict) as refused:
        change(db, "02-02", found, "ten")
    assert refused.value.code == "plan_not_sold"
    assert cancel(db, at("02-03"), SETTINGS, found).subscription.status == "canceled"


def test_a_row_with_a_beginning_is_billed_from_there(db: Connection, alice: Person) -> None:
    alice.is_on("ten", effective_at="2026-01-17T00:00:00Z")
    advance_due(db, at("02-02"), SETTINGS)
    assert [(row[1][:10], row[3]) for row in fees(db)] == [("2026-01-17", 484), ("2026-02-01", 1_000)]


def test_in_a_trial_every_limit_is_hard(db: Connection, alice: Person) -> None:
    begin(db, alice, "premium", "05-10", trial_days=14)
    alice.has_used(3_000)
    with pytest.raises(QuotaExceeded):
        admission.spend(db, at("05-23"), SETTINGS, user(alice), "api_calls", 1)
    assert {one.rule.policy for one in quotas.get_quotas(db, at("05-23"), SETTINGS, alice.id).quotas} == {"hard"}
    assert admission.spend(db, at("05-24"), SETTINGS, user(alice), "api_calls", 1).gauge.used == 3_001  # it is paid for


def test_in_a_trial_nothing_is_included_of_what_has_a_price_and_no_limit(db: Connection, alice: Person) -> None:
    price = Price("scans", "flat", unit_amount=Decimal(1))
    catalogue.create_plan(db, at("01-01"), 1, PlanDraft("priced", "Priced", 0, "EUR", prices=(price,)))
    begin(db, alice, "priced", "05-10", trial_days=1)
    with pytest.raises(QuotaExceeded):
        admission.spend(db, at("05-10"), SETTINGS, user(alice), "scans", 1)
    admission.spend(db, at("05-11"), SETTINGS, user(alice), "scans", 1)


# -- what attackers and other programs tried ------------------------------------------------------------------------


def write(db: Connection, subscription: Subscription, **columns: Any) -> None:
    """As another program would."""
    with atomic(db):
        execute(
            db,
            f"UPDATE saas_subscriptions SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE id = :id",
            id=subscription.id,
            **columns,
        )


def test_a_code_of_a_beginning_in_the_past_runs_from_that_beginning(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="HALF", percent="50", duration="months", months=2)
    begin(db, alice, "ten", "05-20 10:00", start_at=at("03-01 18:00"), discount_code="HALF")
    advance_due(db, at("07-02"), SETTINGS)
    assert [row[0] for row in rows(db, "SELECT discount_cents FROM billing_periods ORDER BY id")] == [500, 500, 0, 0, 0]
    assert rows(db, "SELECT redeemed_at, runs_from, ends_at FROM billing_redemptions") == [
        ("2026-05-20T10:00:00Z", "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z")
    ]


def test_the_code_of_a_beginning_in_the_future_runs_from_today(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="HALF", percent="50", duration="months", months=1)
    begin(db, alice, "ten", "05-20 10:00", start_at=at("06-15"), discount_code="HALF")
    assert rows(db, "SELECT runs_from, ends_at FROM billing_redemptions") == [
        ("2026-05-20T00:00:00Z", "2026-06-20T00:00:00Z")
    ]


def test_the_code_of_a_change_takes_nothing_off_fees_from_before_its_day(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="HALF", percent="50", duration="months", months=1)
    begun = begin(db, alice, "ten", "05-20 10:00", start_at=at("03-01"))
    change(db, "05-20", begun, "ten", discount_code="HALF")
    advance_due(db, at("07-02"), SETTINGS)
    assert [row[0] for row in rows(db, "SELECT discount_cents FROM billing_periods ORDER BY id")] == [0, 0, 0, 500, 0]


def test_an_amount_is_taken_off_in_its_own_currency_only(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="USD", amount_cents=400, currency="USD", duration="forever")
    begun = begin(db, alice, "dollars", "05-20", trial_days=5, discount_code="USD")
    with pytest.raises(Conflict) as refused:
        change(db, "05-21", begun, "forty", when="now", is_admin=True)
    assert refused.value.code == "currency_mismatch"


def test_a_code_on_the_plan_that_he_has_runs_for_the_fees_to_come(db: Connection, alice: Person) -> None:
    discounts.create_discount(db, at("01-01"), 1, code="HALF", percent="50", duration="forever")
    begun = begin(db, alice, "ten", "05-01")
    assert money(change(db, "05-10", begun, "ten", discount_code="HALF")) == (0, 0, 0)
    advance_due(db, at("06-01"), SETTINGS)
    assert [row[0] for row in rows(db, "SELECT discount_cents FROM billing_periods ORDER BY id")] == [0, 500]


def test_a_year_without_proration_is_a_whole_one(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "05-01")
    change(db, "05-20", begun, "yearly", prorate=False, is_admin=True)
    advance_due(db, at("06-01"), SETTINGS)
    assert fees(db)[1] == ("yearly", "2026-06-01T00:00:00Z", "2027-06-01T00:00:00Z", 12_000)


def test_who_does_not_pay_may_leave(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "05-01")
    write(db, begun, status="unpaid")
    ended = cancel(db, at("06-20"), SETTINGS, get_subscription(db, 1, begun.id))
    assert (ended.subscription.status, money(ended)) == ("canceled", (0, 0, 0))


def test_a_period_that_somebody_made_longer_is_left_at_its_end(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "ten", "05-01")
    write(db, begun, current_period_end="2026-06-15T00:00:00Z")
    assert money(change(db, "06-10", get_subscription(db, 1, begun.id), "forty")) == (0, 0, 0)


@pytest.mark.parametrize(
    "columns",
    [
        {"current_period_end": "2026-05-10T00:00:00Z"},
        {"current_period_end": "2026-05-01T00:00:00Z", "current_period_start": None},
        {"current_period_end": None, "current_period_start": None},
    ],
)
def test_what_was_charged_is_not_charged_again(db: Connection, alice: Person, columns: dict[str, Any]) -> None:
    begun = begin(db, alice, "ten", "05-01")
    write(db, begun, **columns)
    found = bring_up_to_date(db, at("05-20"), SETTINGS, alice.id)
    assert found is not None
    assert (found.current_period_start, found.current_period_end) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
    advance_due(db, at("06-02"), SETTINGS)
    assert [row[3] for row in fees(db)] == [1_000, 1_000]


@pytest.mark.parametrize(
    "columns",
    [
        {"effective_at": "", "current_period_end": None},
        {"effective_at": "garbage", "current_period_end": None},
        {"current_period_end": "2020-13-45", "current_period_start": None},
        {"current_period_end": "1", "current_period_start": None},
        {"current_period_end": "0001-01-01T00:00:00Z", "current_period_start": None},
        {"anchor": "x"},
        {"plan": "gold", "current_period_end": "2026-01-17T05:00:00Z", "current_period_start": None},
        {"plan": None, "current_period_end": "2026-01-17T05:00:00Z", "current_period_start": None},
    ],
)
def test_odd_rows_of_other_programs_stop_nobody(
    db: Connection, alice: Person, bob: Person, columns: dict[str, Any]
) -> None:
    odd = begin(db, alice, "ten", "05-01")
    begin(db, bob, "ten", "05-01")
    write(db, odd, **columns)
    assert advance_due(db, at("06-02"), PARIS).failed == []
    assert rows(db, "SELECT COUNT(*) AS n FROM billing_periods WHERE user_id = :bob", bob=bob.id) == [(2,)]
    bring_up_to_date(db, at("06-02"), SETTINGS, alice.id)
    quotas.get_quotas(db, at("06-02"), SETTINGS, alice.id)
    quotas.get_consumption(db, at("06-02"), SETTINGS, alice.id, Month(2026, 5))
    live = find_live(db, alice.id)
    assert live is not None
    assert cancel(db, at("06-03"), SETTINGS, live, when="now").subscription.status == "canceled"


def test_who_asks_about_a_silent_century_waits_for_three_years_at_most(db: Connection, alice: Person) -> None:
    begin(db, alice, "ten", "1980-01-01")
    for most in (37, 73):
        bring_up_to_date(db, at("05-20"), SETTINGS, alice.id)
        assert len(fees(db)) == most
