"""What became known after its month was invoiced: on the next invoice, or given back on the one that billed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, engine, fetch_all
from tests.cast import Cast, Person
from tests.domain import issuing as desk
from tests.domain.issuing import (
    APRIL,
    JUNE,
    MAY,
    SETTINGS,
    at,
    begin,
    correct,
    invoice_of,
    lines,
    notes_of,
    report,
    run,
)
from turf_saas import account_credit, credit_notes, issuing, payments
from turf_saas.invoices import Invoice
from turf_saas.prices import Price, Tier
from turf_saas.values import Month

TIERS = tuple(
    Tier(None if up_to is None else Decimal(up_to), Decimal(each))
    for up_to, each in ((100, "0.10"), (1000, "0.05"), (None, "0.02"))
)
BOUND = 30  # seconds


@pytest.fixture
def tiered(db: Connection, people: Cast) -> Person:
    """Alice pays 0.10 a token, from the 101st on 0.05, from the 1001st on 0.02; April had 150: 12.50."""
    desk.sell(db, "tiered", 0, Price("tokens", "tiered", tiers=TIERS))
    begin(db, people.alice, "tiered", at(4, 1))
    report(db, people.alice, 150, at(4, 20), at(4, 20), "tokens")
    return people.alice


def late_lines(invoice: Invoice) -> list[tuple[str | None, str, int]]:
    """The month that each late line is of, its quantity and net."""
    return [
        ((line.period_start or "")[:7], line.quantity, line.net_cents) for line in invoice.lines if line.kind == "late"
    ]


def waits(db: Connection) -> bool:
    """Whether something stands unbilled that the next run has to look at."""
    return bool(fetch_all(db, "SELECT 1 AS one FROM usage_counters WHERE used <> COALESCE(billed, 0)"))


# -- more ---------------------------------------------------------------------------------------------


def test_the_difference_by_tiers_is_a_line_of_the_next_invoice_each_time(db: Connection, tiered: Person) -> None:
    report(db, tiered, 50, at(4, 21), at(5, 1), "tokens")  # before the run: use as any other
    run(db, at(5, 1))
    assert lines(invoice_of(db, tiered, APRIL)) == [("overage", "200", 1_500)]
    report(db, tiered, 850, at(4, 20), at(5, 3), "tokens")  # 1050 in all: 10.00 + 45.00 + 1.00
    report(db, tiered, 10, at(5, 3), at(5, 3), "tokens")
    run(db, at(6, 1))
    may = invoice_of(db, tiered, MAY)
    assert lines(may) == [("overage", "10", 100), ("late", "850", 4_100)]
    assert late_lines(may) == [("2026-04", "850", 4_100)]
    assert (may.lines[1].period_end, may.billed) == ("2026-05-01T00:00:00Z", {"tokens": {"3": 10}})
    assert may.lines[1].description == "tokens of 2026-04, reported after that month's invoice"
    report(db, tiered, 100, at(4, 30), at(6, 3), "tokens")  # 1150: two more euros
    run(db, at(7, 1))
    assert lines(invoice_of(db, tiered, JUNE)) == [("late", "100", 200)]
    assert not waits(db)
    assert desk.numbers(run(db, at(8, 1))) == (0, 0, 0, 0)
    assert invoice_of(db, tiered, APRIL).billed == {"tokens": {"20": 150, "21": 50}}, "what it billed does not change"
    desk.assert_sound(db)


def test_a_month_that_had_nothing_to_bill_counts_as_invoiced_at_nothing(db: Connection, alice: Person) -> None:
    desk.sell(db, "payg", 0, desk.flat("api_calls", "0.10"), limits={"api_calls": 100})
    begin(db, alice, "payg", at(4, 1))
    alice.has_used(90, day="2026-04-10")
    assert desk.numbers(run(db, at(5, 1))) == (0, 0, 1, 0)
    alice.has_used(30, day="2026-04-11")
    run(db, at(6, 1))
    assert late_lines(invoice_of(db, alice, MAY)) == [("2026-04", "20", 200)]
    alice.has_used(5, day="2026-04-12")
    run(db, at(7, 1))
    assert late_lines(invoice_of(db, alice, JUNE)) == [("2026-04", "5", 50)]
    desk.assert_sound(db)


def test_what_is_within_the_included_quantity_makes_no_line_and_is_looked_at_once(
    db: Connection, alice: Person
) -> None:
    desk.sell(db, "payg", 0, desk.flat("api_calls", "0.10"), limits={"api_calls": 100})
    begin(db, alice, "payg", at(4, 1))
    alice.has_used(90, day="2026-04-10")
    run(db, at(5, 1))
    alice.has_used(10, day="2026-04-11")
    alice.has_used(7, "unpriced", day="2026-04-11")
    assert desk.numbers(run(db, at(6, 1))) == (0, 0, 1, 0)
    assert not waits(db)
    assert desk.numbers(run(db, at(7, 1))) == (0, 0, 0, 0)
    alice.has_used(1, day="2026-04-12")  # and the one after it is above
    run(db, at(7, 2))
    assert late_lines(invoice_of(db, alice, JUNE)) == [("2026-04", "1", 10)]


def test_of_several_months_each_has_its_line(db: Connection, tiered: Person) -> None:
    run(db, at(5, 1))
    report(db, tiered, 10, at(5, 5), at(5, 5), "tokens")
    run(db, at(6, 1))
    report(db, tiered, 50, at(5, 6), at(6, 2), "tokens")
    report(db, tiered, 10, at(4, 30), at(6, 2), "tokens")
    run(db, at(7, 1))
    assert late_lines(invoice_of(db, tiered, JUNE)) == [("2026-04", "10", 50), ("2026-05", "50", 500)]
    desk.assert_sound(db)


def test_who_has_left_is_billed_what_he_owes(db: Connection, tiered: Person) -> None:
    desk.leave(db, tiered, at(4, 25))
    run(db, at(5, 1))
    report(db, tiered, 100, at(4, 24), at(5, 2), "tokens")
    run(db, at(6, 1))
    assert lines(invoice_of(db, tiered, MAY)) == [("late", "100", 500)]
    assert invoice_of(db, tiered, MAY).plan == "free"
    assert run(db, at(7, 1)).issued == 0


def test_it_is_rated_by_the_plan_of_its_own_day(db: Connection, alice: Person) -> None:
    """April was half dear, half cheap, and May is another plan again."""
    for code, each in (("dear", "1"), ("cheap", "0.01"), ("third", "7")):
        desk.sell(db, code, 0, desk.flat("tokens", each))
    begin(db, alice, "dear", at(4, 1))
    desk.move(db, alice, "cheap", at(4, 16))
    alice.has_used(2, "tokens", day="2026-04-15")
    alice.has_used(100, "tokens", day="2026-04-16")
    run(db, at(5, 1))
    assert lines(invoice_of(db, alice, APRIL)) == [("overage", "2", 200), ("overage", "100", 100)]
    desk.move(db, alice, "third", at(5, 1))
    report(db, alice, 3, at(4, 15), at(5, 2), "tokens")
    report(db, alice, 50, at(4, 16), at(5, 2), "tokens")
    run(db, at(6, 1))
    assert late_lines(invoice_of(db, alice, MAY)) == [("2026-04", "53", 350)]
    desk.assert_sound(db)


# -- less ---------------------------------------------------------------------------------------------


def test_what_became_less_is_given_back_on_the_invoice_that_billed_it(db: Connection, tiered: Person) -> None:
    """50 of 150 are left: 5.00 of 12.50, so 7.50 and 1.50 of VAT. Nothing was paid yet: less is due."""
    event = report(db, tiered, 110, at(4, 22), at(4, 22), "tokens")  # 260: 18.00
    run(db, at(5, 1))
    correct(db, event, 100, at(5, 4))  # 160: 13.00
    told: list[str] = []
    run(db, at(6, 1), told=lambda issued: told.extend(one.number for one in issued))
    april = invoice_of(db, tiered, APRIL)
    assert notes_of(db, april) == [(-500, -100, -600)]
    assert (april.amount_cents, april.due_cents, april.status) == (2_160, 1_560, "pending")
    assert told == ["FACT-202606-0001"], "a credit note of a run is told as an invoice is"
    note = credit_notes.invoices.list_credit_notes(db, april.id)[0]
    assert (note.reason, note.month, note.lines[0].metric) == ("late_usage", "2026-04", "tokens")
    correct(db, event, 10, at(6, 2))  # 150
    run(db, at(7, 1))
    assert notes_of(db, april) == [(-500, -100, -600), (-50, -10, -60)]
    assert not waits(db)
    assert desk.numbers(run(db, at(8, 1))) == (0, 0, 0, 0)
    desk.assert_sound(db)


def test_what_was_billed_late_is_given_back_first(db: Connection, tiered: Person) -> None:
    run(db, at(5, 1))
    event = report(db, tiered, 900, at(4, 20), at(5, 3), "tokens")  # 56.00: 43.50 more
    run(db, at(6, 1))
    correct(db, event, 900, at(6, 2))
    first = fetch_all(db, "SELECT id FROM usage_events ORDER BY recorded_at LIMIT 1")[0]["id"]
    correct(db, first, 100, at(6, 2))  # 50 are left: 5.00
    run(db, at(7, 1))
    april, may = invoice_of(db, tiered, APRIL), invoice_of(db, tiered, MAY)
    assert notes_of(db, may) == [(-4_350, -870, -5_220)]
    assert notes_of(db, april) == [(-750, -150, -900)]
    assert may.status == "cancelled"
    desk.assert_sound(db)


def test_what_was_paid_becomes_account_credit_and_pays_the_next_invoice(db: Connection, tiered: Person) -> None:
    event = report(db, tiered, 100, at(4, 22), at(4, 22), "tokens")
    run(db, at(5, 1))
    payments.record_payment(db, at(5, 2), SETTINGS, 1, invoice_of(db, tiered, APRIL).number, amount_cents=2_100)
    correct(db, event, 100, at(5, 4))  # 17.50 becomes 12.50: 5.00 + 1.00
    run(db, at(6, 1))
    assert account_credit.balance_of(db, tiered.id, "EUR") == 600
    report(db, tiered, 40, at(6, 2), at(6, 2), "tokens")
    run(db, at(7, 1))
    june = invoice_of(db, tiered, JUNE)
    assert (june.net_cents, june.paid_cents, june.due_cents, june.status) == (400, 480, 0, "paid")
    assert account_credit.balance_of(db, tiered.id, "EUR") == 120
    desk.assert_sound(db)


def test_a_price_with_its_vat_is_given_back_with_it(db: Connection, alice: Person) -> None:
    """15.00 are 12.50 + 2.50; of 10.00 are 8.33 + 1.67 given back, and of the last 5.00 what is left."""
    desk.sell(db, "inclusive", 0, desk.flat("tokens", "0.10"), tax_behavior="inclusive")
    begin(db, alice, "inclusive", at(4, 1))
    event = report(db, alice, 150, at(4, 20), at(4, 20), "tokens")
    run(db, at(5, 1))
    assert desk.totals(invoice_of(db, alice, APRIL)) == (1_250, 250, 1_500)
    correct(db, event, 100, at(5, 2))
    run(db, at(6, 1))
    correct(db, event, 50, at(6, 2))
    run(db, at(7, 1))
    assert notes_of(db, invoice_of(db, alice, APRIL)) == [(-833, -167, -1_000), (-417, -83, -500)]
    desk.assert_sound(db)


def test_no_more_is_given_back_than_was_billed(db: Connection, tiered: Person) -> None:
    """Who has been given back everything by hand is given nothing again."""
    event = report(db, tiered, 100, at(4, 22), at(4, 22), "tokens")
    run(db, at(5, 1))
    april = invoice_of(db, tiered, APRIL)
    credit_notes.credit_invoice(db, at(5, 2), SETTINGS, 1, april.number, reason="gift")
    correct(db, event, 100, at(5, 4))
    assert desk.numbers(run(db, at(6, 1))) == (0, 0, 1, 0)
    assert notes_of(db, april) == [(-1_750, -350, -2_100)]
    assert not waits(db)
    desk.assert_sound(db)


def test_more_on_one_metric_and_less_on_another_go_their_ways(db: Connection, alice: Person) -> None:
    desk.sell(db, "two", 0, desk.flat("tokens", "0.10"), desk.flat("exports", "1"))
    begin(db, alice, "two", at(4, 1))
    event = report(db, alice, 5, at(4, 20), at(4, 20), "exports")
    run(db, at(5, 1))
    correct(db, event, 2, at(5, 2))
    report(db, alice, 30, at(4, 20), at(5, 2), "tokens")
    run(db, at(6, 1))
    assert late_lines(invoice_of(db, alice, MAY)) == [("2026-04", "30", 300)]
    assert notes_of(db, invoice_of(db, alice, APRIL)) == [(-200, -40, -240)]
    desk.assert_sound(db)


# -- while a run goes on ----------------------------------------------------------------------------------

Start = Callable[[Callable[[Connection], Any]], "Future[Any]"]


@pytest.fixture
def start(url: str, db: Connection) -> Iterator[Start]:
    """Does something on a connection of its own, and comes back when that waits for `db`, or is over."""

    def run_it(do: Callable[[Connection], Any]) -> Any:
        connection = billing_db.connect(url)
        try:
            return do(connection)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:

        def started(do: Callable[[Connection], Any]) -> Future[Any]:
            future = pool.submit(run_it, do)
            end = time.monotonic() + BOUND
            while engine(db) == "postgresql" and not future.done() and time.monotonic() < end:
                if fetch_all(db, "SELECT 1 AS one FROM pg_locks WHERE NOT granted"):
                    break
            return future

        yield started


def billed_in_all(db: Connection, person: Person) -> list[int]:
    """What the months' invoices say of use, one after the other."""
    rows = fetch_all(
        db,
        """SELECT l.net_cents FROM billing_invoice_lines AS l JOIN invoices AS i ON i.id = l.invoice_id
            WHERE i.user_id = :id AND l.kind IN ('overage', 'late') ORDER BY i.id, l.position""",
        id=person.id,
    )
    return [row["net_cents"] for row in rows]


def test_an_event_between_reading_and_closing_is_billed_next_time(
    db: Connection, tiered: Person, bob: Person, start: Start
) -> None:
    """The run has read what was used and waits for its number: meanwhile the event is committed."""
    desk.add_item(db, bob, 100, APRIL)
    issuing.issue_month(db, at(5, 1), SETTINGS, 1, bob.id, APRIL)  # so that the series is there to wait for
    with atomic(db):
        billing_db.execute(db, "UPDATE billing_invoice_series SET last_number = last_number")
        running = start(lambda other: run(other, at(5, 1)))
        report(db, tiered, 50, at(4, 21), at(5, 1), "tokens")
    assert running.result(BOUND).issued == 1
    run(db, at(6, 1))
    # SQLite's run could not even begin before the event was there
    assert billed_in_all(db, tiered) == ([1_500] if engine(db) == "sqlite" else [1_250, 250])
    assert not waits(db)
    desk.assert_sound(db)


def test_an_event_that_is_not_committed_yet_is_billed_next_time(db: Connection, tiered: Person, start: Start) -> None:
    """The run waits for the counter that the event has changed, and leaves it as it finds it."""
    with atomic(db):
        report(db, tiered, 50, at(4, 21), at(5, 1), "tokens")
        running = start(lambda other: run(other, at(5, 1)))
    assert running.result(BOUND).issued == 1
    run(db, at(6, 1))
    assert billed_in_all(db, tiered) == ([1_500] if engine(db) == "sqlite" else [1_250, 250])
    assert not waits(db)
    desk.assert_sound(db)


def test_a_batch_of_two_late_months_and_a_run_do_not_wait_for_each_other(
    db: Connection, tiered: Person, start: Start
) -> None:
    """Both take the newest month first."""
    run(db, at(5, 1))
    report(db, tiered, 10, at(5, 3), at(5, 3), "tokens")
    run(db, at(6, 1))
    for of in (at(4, 30), at(5, 30)):
        report(db, tiered, 10, of, at(6, 2), "tokens")
    with atomic(db):
        report(db, tiered, 1, at(5, 30), at(6, 2), "tokens")
        running = start(lambda other: run(other, at(7, 1)))
        report(db, tiered, 1, at(4, 30), at(6, 2), "tokens")
    assert running.result(BOUND).issued == 1
    run(db, at(8, 1))
    # April: 161 tokens, 10.00 + 3.05; May: 21, 2.10
    assert sum(billed_in_all(db, tiered)) == 1_305 + 210
    assert not waits(db)
    desk.assert_sound(db)


@pytest.mark.parametrize("month", [APRIL, MAY])
def test_asking_for_one_month_takes_what_is_late_of_those_before_it(
    db: Connection, tiered: Person, month: Month
) -> None:
    run(db, at(5, 1))
    report(db, tiered, 50, at(4, 21), at(5, 2), "tokens")
    done = issuing.issue_month(db, at(6, 1), SETTINGS, 1, tiered.id, month)
    assert done.existed is (month == APRIL)
    assert waits(db) is (month == APRIL)
