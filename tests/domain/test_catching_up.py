"""Nothing ran for three months: one run does all of it, in order, each thing at its own instant. Amounts by hand."""

from __future__ import annotations

from billing_db import Connection, fetch_all
from tests.cast import Cast
from tests.domain.issuing import (
    JULY,
    SETTINGS,
    all_numbers,
    assert_sound,
    at,
    begin,
    flat,
    invoice_of,
    lines,
    live,
    sell,
)
from tests.domain.working import pass_time
from turf_saas.month_rating import list_changes
from turf_saas.subscription_changes import Wish, change_plan
from turf_saas.subscriptions import Subscription
from turf_saas.values import Month
from turf_saas.verifying import verify

LATE = at(7, 5, 9)


def enter(db: Connection, people: Cast) -> None:
    """In April Alice tries 28.00 a month and 0.10 a call until the 24th, and Bob wants 15.00 instead of 30.00."""
    sell(db, "tried", 2_800, flat("api_calls", "0.10"), trial_days=14)
    sell(db, "thirty", 3_000)
    sell(db, "fifteen", 1_500)
    begin(db, people.alice, "tried", at(4, 10, 8))
    begin(db, people.bob, "thirty", at(4, 1))
    change_plan(db, at(4, 5), SETTINGS, live(db, people.bob), Wish("fifteen"))
    for day, calls in (("2026-04-25", 100), ("2026-05-20", 200), ("2026-06-20", 300), ("2026-07-02", 400)):
        people.alice.has_used(calls, day=day)
        people.bob.has_used(calls, day=day)


def test_three_silent_months_are_caught_up_by_one_run(db: Connection, people: Cast) -> None:
    enter(db, people)
    heard: list[tuple[str, str]] = []

    def hear(before: Subscription, after: Subscription) -> None:
        heard.append((before.plan + " " + before.status, after.plan + " " + after.status))

    pass_time(db, LATE, changed=hear)
    assert heard == [("tried trialing", "tried active"), ("thirty active", "fifteen active")]
    fees = fetch_all(
        db, "SELECT user_id, starts_at, fee_cents, opened_at FROM billing_periods ORDER BY user_id, starts_at"
    )
    assert [(row["user_id"], row["starts_at"], row["fee_cents"]) for row in fees] == [
        (1, "2026-04-24T00:00:00Z", 653),  # 7 of 30 days: 2800 × 7/30 = 653.33
        (1, "2026-05-01T00:00:00Z", 2_800),
        (1, "2026-06-01T00:00:00Z", 2_800),
        (1, "2026-07-01T00:00:00Z", 2_800),
        (2, "2026-04-01T00:00:00Z", 3_000),
        (2, "2026-05-01T00:00:00Z", 1_500),
        (2, "2026-06-01T00:00:00Z", 1_500),
        (2, "2026-07-01T00:00:00Z", 1_500),
    ]
    assert {row["opened_at"] for row in fees[:4]} == {"2026-07-05T09:00:00Z"}, "and it says that it was late"
    told = list_changes(db, [1, 2])
    assert [(one.at, one.plan, one.status, one.reason) for one in [*told[1], *told[2]]] == [
        ("2026-04-10T00:00:00Z", "tried", "trialing", "subscribed"),
        ("2026-04-24T00:00:00Z", "tried", "active", "trial_ended"),
        ("2026-04-01T00:00:00Z", "thirty", "active", "subscribed"),
        ("2026-05-01T00:00:00Z", "fifteen", "active", "pending_change"),
    ]
    months = {
        "2026-04": ([("base", "1", 653), ("overage", "100", 1_000)], [("base", "1", 3_000)]),
        "2026-05": ([("base", "1", 2_800), ("overage", "200", 2_000)], [("base", "1", 1_500)]),
        "2026-06": ([("base", "1", 2_800), ("overage", "300", 3_000)], [("base", "1", 1_500)]),
    }
    for month, (alices, bobs) in months.items():
        of = Month.parse(month)
        assert of is not None
        assert lines(invoice_of(db, people.alice, of)) == alices
        assert lines(invoice_of(db, people.bob, of)) == bobs
    order = fetch_all(db, "SELECT month, user_id FROM invoices ORDER BY chain_position")
    assert [(row["month"], row["user_id"]) for row in order] == [
        (month, user_id) for month in ("2026-04", "2026-05", "2026-06") for user_id in (1, 2)
    ]
    assert all_numbers(db) == [f"FACT-202607-000{number}" for number in range(1, 7)]
    assert_verified(db)
    before = fetch_all(db, "SELECT COUNT(*) AS many FROM billing_periods")[0]["many"]
    for later in (at(7, 5, 10), at(7, 6, 12)):
        pass_time(db, later)
    assert len(all_numbers(db)) == 6
    assert fetch_all(db, "SELECT COUNT(*) AS many FROM billing_periods")[0]["many"] == before == 8


def assert_verified(db: Connection) -> None:
    assert_sound(db)
    found = verify(db, SETTINGS, JULY)
    assert (found.wrong.many, found.waiting.many) == (0, 0)


def test_a_debt_takes_its_steps_between_the_periods_while_nothing_ran(db: Connection, people: Cast) -> None:
    """April's invoices are due on 31 May: past_due on 2 June, unpaid on the 21st, and July's period does not begin."""
    enter(db, people)
    pass_time(db, at(5, 1, 3))
    pass_time(db, at(8, 9, 9))
    for user_id, plan in ((1, "tried"), (2, "fifteen")):
        assert [(one.at, one.plan, one.status) for one in list_changes(db, [user_id])[user_id]][-2:] == [
            ("2026-06-02T00:00:00Z", plan, "past_due"),
            ("2026-06-21T00:00:00Z", plan, "unpaid"),
        ]
    assert fetch_all(db, "SELECT id FROM billing_periods WHERE starts_at >= '2026-06-21'") == []
    # June's 300 calls on the 20th are hers still, July's are the default plan's, which has no price.
    assert lines(invoice_of(db, people.alice, Month(2026, 6))) == [("base", "1", 2_800), ("overage", "300", 3_000)]
    assert fetch_all(db, "SELECT id FROM invoices WHERE month = '2026-07'") == []
    assert_verified(db)
