"""Who does not pay in time: overdue, past_due, unpaid, each at its own instant; and active again when he has paid."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.domain.issuing import JUNE, SETTINGS, begin, flat, invoice_of, leave, lines, live, sell, settings_with
from tests.domain.working import pass_time
from tests.issued import issue_one
from turf_saas import dunning, invoices, payments, rollover
from turf_saas.credit_notes import credit_invoice
from turf_saas.invoices import Invoice
from turf_saas.month_rating import list_changes
from turf_saas.subscription_changes import Wish, cancel, change_plan
from turf_saas.subscriptions import Subscription, get_subscription

PARIS = settings_with(BILLING_TIMEZONE="Europe/Paris")


def at(month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


@pytest.fixture(autouse=True)
def plans(db: Connection) -> None:
    """A month of 30.00, by the calendar or from the day on which it begins; and one of 15.00."""
    sell(db, "thirty", 3_000)
    sell(db, "rolling", 3_000, cycle="anniversary")
    sell(db, "fifteen", 1_500)


def bill(db: Connection, person: Person, due_on: str, cents: int = 1_000, **given: Any) -> Invoice:
    """An invoice of so much, and 20 % VAT."""
    year = 2000 + len(fetch_all(db, "SELECT id FROM invoices"))  # a month that no run closes
    return issue_one(db, person, cents, now=at(4, 1), due_on=due_on, month=f"{year}-01", settings=SETTINGS, **given)


def pay(db: Connection, invoice: Invoice, now: datetime, settings: Any = SETTINGS) -> payments.Received:
    due = invoices.get_by_id(db, invoice.id).due_cents
    return payments.record_payment(db, now, settings, 1, invoice.number, amount_cents=due)


def told(db: Connection, person: Person) -> list[tuple[str, str, str | None]]:
    """The history of his subscriptions: when, what, why."""
    return [(one.at, one.status, one.reason) for one in list_changes(db, [person.id])[person.id]]


def periods(db: Connection, person: Person) -> list[tuple[str, str, int]]:
    rows = fetch_all(
        db, "SELECT starts_at, ends_at, fee_cents FROM billing_periods WHERE user_id = :id ORDER BY id", id=person.id
    )
    return [(row["starts_at"], row["ends_at"], row["fee_cents"]) for row in rows]


def status_of(db: Connection, invoice: Invoice) -> str:
    return invoices.get_by_id(db, invoice.id).status


# -- overdue ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "midnight"),
    [(SETTINGS, at(5, 11)), (PARIS, at(5, 10, 22))],
    ids=["UTC", "Paris"],
)
def test_an_invoice_is_overdue_from_the_day_after_due_on(
    db: Connection, alice: Person, settings: Any, midnight: datetime
) -> None:
    invoice = bill(db, alice, "2026-05-10")
    assert dunning.mark_overdue(db, midnight - timedelta(seconds=1), settings) == 0
    assert status_of(db, invoice) == "pending"
    assert dunning.mark_overdue(db, midnight, settings) == 1
    assert status_of(db, invoice) == "overdue"
    assert dunning.mark_overdue(db, midnight, settings) == 0


def test_it_is_overdue_since_its_day_though_nothing_ran_for_weeks_and_other_invoices_are_left(
    db: Connection, alice: Person, bob: Person
) -> None:
    first, second = bill(db, alice, "2026-05-10"), bill(db, alice, "2026-06-10")
    paid, credited = bill(db, bob, "2026-05-10"), bill(db, bob, "2026-06-10")
    pay(db, paid, at(5, 1))
    note = credit_invoice(db, at(5, 1), SETTINGS, 1, credited.number)
    pay(db, second, at(5, 1))
    third = bill(db, alice, "2026-07-10")
    with atomic(db):
        execute(
            db,
            """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents, status)
               VALUES ('OLD-1', 1, '2026-03-01', '2026-03-31', 'pro', 4900, 'pending')""",
        )
    assert dunning.mark_overdue(db, at(7, 20), SETTINGS) == 2
    rows = fetch_all(
        db, "SELECT subject_id, at FROM billing_status_history WHERE subject = 'invoice' AND status = 'overdue'"
    )
    assert {(row["subject_id"], row["at"]) for row in rows} == {
        (first.id, "2026-05-11T00:00:00Z"), (third.id, "2026-07-11T00:00:00Z")}  # fmt: skip
    assert [status_of(db, one) for one in (paid, credited, second)] == ["paid", "cancelled", "paid"]
    assert status_of(db, note) == invoices.get_by_id(db, note.id).status != "overdue"


# -- past_due, unpaid ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "past_due", "unpaid"),
    [(SETTINGS, at(5, 12), at(5, 31)), (PARIS, at(5, 11, 22), at(5, 30, 22))],
    ids=["UTC", "Paris"],
)
def test_past_due_after_two_days_and_unpaid_after_twenty_one(
    db: Connection, alice: Person, settings: Any, past_due: datetime, unpaid: datetime
) -> None:
    begin(db, alice, "thirty", at(5, 1), settings=settings)
    bill(db, alice, "2026-05-10")
    second = timedelta(seconds=1)
    for now, status, plan in (
        (past_due - second, "active", True),
        (past_due, "past_due", True),
        (unpaid - second, "past_due", True),
        (unpaid, "unpaid", False),
    ):
        dunning.mark_overdue(db, now, settings)
        dunning.dun(db, now, settings)
        found = live(db, alice)
        assert (found.status, found.gives_its_plan(now)) == (status, plan)


def test_each_step_has_its_own_instant_though_nothing_ran_for_weeks_and_no_period_begins_after_it(
    db: Connection, alice: Person
) -> None:
    """Due on 20 May: past_due on the 22nd, unpaid on 10 June, after June's period has begun and before July's."""
    begin(db, alice, "thirty", at(5, 1))
    bill(db, alice, "2026-05-20")
    pass_time(db, at(8, 15, 9))
    assert told(db, alice) == [
        ("2026-05-01T00:00:00Z", "active", "subscribed"),
        ("2026-05-22T00:00:00Z", "past_due", "not_paid"),
        ("2026-06-10T00:00:00Z", "unpaid", "not_paid"),
    ]
    assert periods(db, alice) == [
        ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", 3_000),
        ("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z", 3_000),
    ]


def test_who_only_reads_opens_no_period_of_somebody_who_is_unpaid_by_then(db: Connection, alice: Person) -> None:
    """Due on 11 May: unpaid on 1 June at 00:00, when June's period would begin. No worker has run."""
    begin(db, alice, "thirty", at(5, 1))
    bill(db, alice, "2026-05-11")
    found = rollover.bring_up_to_date(db, at(6, 1), SETTINGS, alice.id)
    assert found is not None
    assert (found.status, len(periods(db, alice))) == ("unpaid", 1)
    assert told(db, alice)[1:] == [
        ("2026-05-13T00:00:00Z", "past_due", "not_paid"),
        ("2026-06-01T00:00:00Z", "unpaid", "not_paid"),
    ]


def test_the_days_of_who_is_unpaid_are_the_default_plans(db: Connection, alice: Person) -> None:
    sell(db, "metered", 0, flat("api_calls", "0.10"))
    begin(db, alice, "metered", at(5, 1))
    bill(db, alice, "2026-05-20")
    for day in (9, 10):
        alice.has_used(10, day=f"2026-06-{day:02}")
    pass_time(db, at(7, 2))
    assert lines(invoice_of(db, alice, JUNE)) == [("overage", "10", 100)], "9 June is metered, 10 June is free's"


def test_one_step_only_where_one_day_is_set(db: Connection, alice: Person) -> None:
    settings = settings_with(BILLING_DUNNING_DAYS="3")
    begin(db, alice, "thirty", at(5, 1))
    bill(db, alice, "2026-05-10")
    pass_time(db, at(7, 30), settings)
    assert live(db, alice).status == "past_due"


def test_days_of_a_later_subscription_count_from_its_own_first_day(db: Connection, alice: Person) -> None:
    """An old debt makes nobody unpaid before he has begun."""
    begin(db, alice, "thirty", at(4, 1))
    bill(db, alice, "2026-04-10")
    leave(db, alice, at(4, 11))
    begin(db, alice, "thirty", at(6, 1))
    pass_time(db, at(6, 2, 23))
    assert live(db, alice).status == "active"
    pass_time(db, at(6, 22))
    assert told(db, alice)[-2:] == [
        ("2026-06-03T00:00:00Z", "past_due", "not_paid"),
        ("2026-06-22T00:00:00Z", "unpaid", "not_paid"),
    ]


def test_what_others_run_or_wrote_and_what_has_ended_is_left_alone(
    db: Connection, alice: Person, bob: Person, ada: Person
) -> None:
    alice.is_on("thirty", "past_due")  # another program's: three values
    bob.is_on("thirty", effective_at="2026-05-01T00:00:00Z", billed_by="stripe")
    begin(db, ada, "thirty", at(5, 1))
    leave(db, ada, at(5, 5))
    for person in (alice, bob, ada):
        bill(db, person, "2026-05-10")
    before = fetch_all(db, "SELECT * FROM saas_subscriptions ORDER BY id")
    pass_time(db, at(8, 1))
    assert list(map(dict, fetch_all(db, "SELECT * FROM saas_subscriptions ORDER BY id"))) == list(map(dict, before))


def test_a_past_due_that_another_program_wrote_into_a_row_of_ours_is_left_alone(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET status = 'past_due'")
    invoice = bill(db, alice, "2026-05-10")
    pass_time(db, at(6, 15))
    assert live(db, alice).status == "past_due"
    pay(db, invoice, at(6, 15))
    pass_time(db, at(6, 16, 12))
    assert live(db, alice).status == "past_due"


def test_one_whose_plan_is_gone_holds_up_nobody(db: Connection, alice: Person, bob: Person) -> None:
    invoice = stop(db, alice)
    lose_plan(db)
    credit_invoice(db, at(8, 14), SETTINGS, 1, invoice.number)
    begin(db, bob, "thirty", at(5, 1))
    bill(db, bob, "2026-05-10")
    done = dunning.dun(db, at(8, 15), SETTINGS)
    assert (done.changed, [user for user, _ in done.failed], live(db, bob).status) == (1, [1], "unpaid")
    assert live(db, alice).status == "unpaid"


def lose_plan(db: Connection) -> None:
    """As another program does it, and whatever it says: he is unpaid because he did not pay."""
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET plan_id = NULL, plan = 'gone'")
        execute(db, "UPDATE billing_status_history SET reason = 'not_paid' WHERE subject = 'subscription'")


# -- active again ----------------------------------------------------------------------------------------


def stop(db: Connection, person: Person, plan: str = "thirty", due_on: str = "2026-05-20") -> Invoice:
    """Since 1 May on the plan, and unpaid since 10 June; it is the end of July."""
    begin(db, person, plan, at(5, 1))
    invoice = bill(db, person, due_on)
    pass_time(db, at(7, 31))
    assert live(db, person).status == "unpaid"
    return invoice


@pytest.mark.parametrize(
    ("plan", "opened"),
    [
        # 17 of 31 days: 3000 × 17/31 = 1645.16
        ("thirty", ("2026-08-15T00:00:00Z", "2026-09-01T00:00:00Z", 1_645)),
        ("rolling", ("2026-08-15T00:00:00Z", "2026-09-15T00:00:00Z", 3_000)),
    ],
)
def test_paying_all_that_is_overdue_makes_it_active_with_a_period_from_that_day(
    db: Connection, alice: Person, plan: str, opened: tuple[str, str, int]
) -> None:
    invoice = stop(db, alice, plan)
    other = bill(db, alice, "2026-07-01")
    assert pay(db, invoice, at(8, 14)).recovered is None, "one is left"
    assert live(db, alice).status == "unpaid"
    received = pay(db, other, at(8, 15, 13))
    assert received.recovered == live(db, alice)
    assert (live(db, alice).status, periods(db, alice)[2:]) == ("active", [opened])
    assert told(db, alice)[-1] == ("2026-08-15T13:00:00Z", "active", "paid")
    pass_time(db, at(9, 16))
    assert live(db, alice).anchor == ("2026-08-15")
    assert [start[:10] for start, _, _ in periods(db, alice)[3:]] == [
        {"thirty": "2026-09-01", "rolling": "2026-09-15"}[plan]]  # fmt: skip


def test_who_pays_while_his_period_runs_goes_on_with_it_and_pays_no_fee_twice(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(6, 1))
    invoice = bill(db, alice, "2026-05-20")
    pass_time(db, at(6, 25))
    assert live(db, alice).status == "unpaid"
    pay(db, invoice, at(6, 26, 8))
    assert (live(db, alice).status, len(periods(db, alice))) == ("active", 1)
    pass_time(db, at(7, 1))
    assert [start[:10] for start, _, _ in periods(db, alice)] == ["2026-06-01", "2026-07-01"]


def test_past_due_becomes_active_at_once_and_a_part_payment_changes_nothing(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    invoice = bill(db, alice, "2026-05-10")
    pass_time(db, at(5, 15))
    payments.record_payment(db, at(5, 16), SETTINGS, 1, invoice.number, amount_cents=1_199)
    assert live(db, alice).status == "past_due"
    pay(db, invoice, at(5, 17))
    assert (live(db, alice).status, len(periods(db, alice))) == ("active", 1)


def test_an_invoice_that_no_run_has_marked_yet_is_owed_all_the_same(db: Connection, alice: Person) -> None:
    invoice = stop(db, alice)
    other = bill(db, alice, "2026-08-10")
    assert (pay(db, invoice, at(8, 11)).recovered, status_of(db, other)) == (None, "pending")


def test_a_credit_note_that_cancels_the_invoice_makes_it_active_at_the_next_run(db: Connection, alice: Person) -> None:
    invoice = stop(db, alice)
    credit_invoice(db, at(8, 14), SETTINGS, 1, invoice.number)
    assert status_of(db, invoice) == "cancelled"
    pass_time(db, at(8, 15))
    assert (live(db, alice).status, periods(db, alice)[-1][0]) == ("active", "2026-08-15T00:00:00Z")


def test_a_downgrade_that_waited_takes_place_with_the_new_period(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    change_plan(db, at(5, 2), SETTINGS, live(db, alice), Wish("fifteen"))
    invoice = bill(db, alice, "2026-05-01")
    pass_time(db, at(7, 31))
    assert (live(db, alice).status, live(db, alice).plan) == ("unpaid", "thirty")
    pay(db, invoice, at(8, 16))
    found = live(db, alice)
    # 16 of 31 days: 1500 × 16/31 = 774.19
    assert (found.plan, found.pending_plan, periods(db, alice)[-1]) == (
        "fifteen", None, ("2026-08-16T00:00:00Z", "2026-09-01T00:00:00Z", 774))  # fmt: skip


def test_an_end_that_was_asked_for_comes_though_nobody_has_paid(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "thirty", at(5, 1))
    cancel(db, at(6, 5), SETTINGS, live(db, alice))
    invoice = bill(db, alice, "2026-05-20")
    pass_time(db, at(6, 20))
    assert live(db, alice).status == "unpaid"
    pass_time(db, at(7, 3))
    ended = get_subscription(db, 1, begun.id)
    assert (ended.status, ended.ended_at) == ("canceled", "2026-07-01T00:00:00Z")
    assert pay(db, invoice, at(7, 4)).recovered is None
    assert len(periods(db, alice)) == 2


def test_who_has_asked_for_the_end_and_pays_after_it_has_no_new_period(db: Connection, alice: Person) -> None:
    begun = begin(db, alice, "thirty", at(5, 1))
    cancel(db, at(6, 5), SETTINGS, live(db, alice))
    invoice = bill(db, alice, "2026-05-20")
    pass_time(db, at(6, 20))
    assert pay(db, invoice, at(7, 4)).recovered is None
    ended = get_subscription(db, 1, begun.id)
    assert (ended.status, ended.ended_at, len(periods(db, alice))) == ("canceled", "2026-07-01T00:00:00Z", 2)


def test_who_was_late_once_counts_anew_for_the_next_invoice(db: Connection, alice: Person) -> None:
    pay(db, stop(db, alice), at(8, 15))
    bill(db, alice, "2026-08-20")
    pass_time(db, at(8, 22))
    assert told(db, alice)[-1] == ("2026-08-22T00:00:00Z", "past_due", "not_paid")


def test_a_payment_is_taken_though_its_subscription_cannot_go_on(db: Connection, alice: Person) -> None:
    invoice = stop(db, alice)
    lose_plan(db)
    assert pay(db, invoice, at(8, 15)).recovered is None
    assert status_of(db, invoice) == "paid"


# -- told ------------------------------------------------------------------------------------------------


def test_what_became_of_each_is_told_once_when_it_is_committed(db: Connection, url: str, alice: Person) -> None:
    heard: list[tuple[str, str]] = []

    def hear(before: Subscription, after: Subscription) -> None:
        other = billing_db.connect(url)
        heard.append((before.status, get_subscription(other, 1, after.id).status))
        other.close()

    begin(db, alice, "thirty", at(5, 1))
    invoice = bill(db, alice, "2026-05-10")
    for now in (at(5, 12), at(5, 12, 2), at(5, 31), at(5, 31, 2)):
        pass_time(db, now, changed=hear)
    credit_invoice(db, at(6, 14), SETTINGS, 1, invoice.number)
    pass_time(db, at(6, 15), changed=hear)
    assert heard == [("active", "past_due"), ("past_due", "unpaid"), ("unpaid", "active")]
    assert date.fromisoformat(live(db, alice).anchor or "") == date(2026, 6, 15)
