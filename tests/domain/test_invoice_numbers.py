"""Numbers: FACT-YYYYMM-XXXX by the month of issue, one after the other, none twice and none missing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast, Person
from tests.domain import issuing as desk, reference_database as reference
from tests.domain.issuing import JULY, JUNE, SETTINGS, all_numbers, at, begin, invoice_of, run
from tests.domain.tables import change
from tests.issued import issue_one
from turf_saas import invoice_numbers, issuing, schema
from turf_saas.adopting_subscribers import adopt_subscribers
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.settings import Settings
from turf_saas.verifying import verify

YEARLY = desk.settings_with(BILLING_NUMBERING_RESET="year")
PARIS = desk.settings_with(BILLING_TIMEZONE="Europe/Paris")


@pytest.fixture
def issue(db: Connection, alice: Person) -> Callable[..., str]:
    """One document now, and its number."""

    def issue_now(now: datetime, settings: Settings = SETTINGS, user: Person = alice) -> str:
        return issue_one(db, user, 100, now=now, settings=settings, kind="manual").number

    return issue_now


def adopt(db: Connection, person: Person, number: str) -> None:
    """Another program's invoice, as a row."""
    change(
        db,
        """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents)
           VALUES (:number, :user_id, '2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z', 'pro', 4900)""",
        number=number,
        user_id=person.id,
    )


def test_the_month_of_issue_is_in_the_number_and_begins_anew(issue: Callable[..., str], db: Connection) -> None:
    assert [issue(at(5, 31, 23, 59, 59)), issue(at(6, 1)), issue(at(6, 1)), issue(at(7, 1))] == [
        "FACT-202605-0001",
        "FACT-202606-0001",
        "FACT-202606-0002",
        "FACT-202607-0001",
    ]
    desk.assert_sound(db)


@pytest.mark.parametrize(
    ("now", "number"),
    [
        (datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC), "FACT-202603-0001"),
        (datetime(2026, 3, 31, 22, 0, 0, tzinfo=UTC), "FACT-202604-0001"),
        (datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC), "FACT-202612-0001"),
        (datetime(2026, 12, 31, 23, 0, 0, tzinfo=UTC), "FACT-202701-0001"),
    ],
)
def test_the_month_is_that_of_the_zone(issue: Callable[..., str], now: datetime, number: str) -> None:
    assert issue(now, PARIS) == number


def test_a_year_counts_on_and_then_begins_anew(issue: Callable[..., str], db: Connection) -> None:
    given = [issue(now, YEARLY) for now in (at(5, 1), at(6, 1), at(12, 31), datetime(2027, 1, 1, tzinfo=UTC))]
    assert given == ["FACT-202605-0001", "FACT-202606-0002", "FACT-202612-0003", "FACT-202701-0001"]
    desk.assert_sound(db)


def test_nine_thousand_nine_hundred_and_ninety_nine_is_followed_by_ten_thousand(
    issue: Callable[..., str], db: Connection
) -> None:
    assert invoice_numbers.start_series(db, at(6, 1), SETTINGS, 1, 9_999) == "202606"
    assert [issue(at(6, 1)) for _ in range(2)] == ["FACT-202606-9999", "FACT-202606-10000"]
    assert all_numbers(db) == ["FACT-202606-9999", "FACT-202606-10000"]
    desk.assert_sound(db)


@pytest.mark.parametrize("change_at", [at(5, 20), at(6, 1), at(6, 15), at(6, 30)])
def test_a_change_of_the_reset_gives_no_number_twice(
    issue: Callable[..., str], db: Connection, change_at: datetime
) -> None:
    """Back and forth, whenever: a month goes on in the series in which it has begun."""
    given = []
    for place, now in enumerate([at(5, 20), at(6, 1), at(6, 15), at(6, 30), at(7, 1), at(7, 2), at(8, 1)]):
        first = SETTINGS if now < change_at else YEARLY
        second = YEARLY if place % 2 else first
        given += [issue(now, first), issue(now, second), issue(now, first)]
    assert len(set(given)) == len(given)
    desk.assert_sound(db)


def test_a_change_of_the_reset_takes_hold_with_the_next_month(issue: Callable[..., str]) -> None:
    assert [issue(at(5, 1)), issue(at(6, 1)), issue(at(6, 1)), issue(at(6, 2), YEARLY), issue(at(7, 1), YEARLY)] == [
        "FACT-202605-0001",
        "FACT-202606-0001",
        "FACT-202606-0002",
        "FACT-202606-0003",
        "FACT-202607-0004",  # above all of the year
    ]
    assert [issue(at(7, 2)), issue(at(8, 1)), issue(at(9, 1), YEARLY)] == [
        "FACT-202607-0005",
        "FACT-202608-0001",
        "FACT-202609-0006",
    ]


@pytest.mark.parametrize(("first", "refused"), [(0, True), (1, False), (10**12, False), (10**12 + 1, True)])
def test_a_first_number_is_said_once(issue: Callable[..., str], db: Connection, first: int, refused: bool) -> None:
    if refused:
        with pytest.raises(InvalidInput):
            invoice_numbers.start_series(db, at(6, 1), SETTINGS, 1, first)
        assert issue(at(6, 1)) == "FACT-202606-0001"
        return
    invoice_numbers.start_series(db, at(6, 1), SETTINGS, 1, first)
    for number in (first, first + 1):
        with pytest.raises((Conflict, InvalidInput)):
            invoice_numbers.start_series(db, at(6, 1), SETTINGS, 1, number)
    assert issue(at(6, 1)) == f"FACT-202606-{first:04d}"
    assert issue(at(7, 1)) == "FACT-202607-0001", "of the month in which it was said"
    desk.assert_sound(db)


def test_in_use_a_series_takes_no_other_beginning(issue: Callable[..., str], db: Connection) -> None:
    issue(at(6, 1))
    for settings in (SETTINGS, YEARLY):
        with pytest.raises(Conflict) as refused:
            invoice_numbers.start_series(db, at(6, 2), settings, 1, 50)
        assert refused.value.code == "series_in_use"


def test_each_tenant_has_its_own(issue: Callable[..., str], people: Cast, db: Connection) -> None:
    assert {issue(at(6, 1)), issue(at(6, 1), user=people.charlie)} == {"FACT-202606-0001"}
    invoice_numbers.start_series(db, at(7, 1), SETTINGS, 2, 70)
    assert [issue(at(7, 1)), issue(at(7, 1), user=people.charlie)] == ["FACT-202607-0001", "FACT-202607-0070"]
    desk.assert_sound(db)


def test_numbers_that_another_program_gave_out_are_stepped_over(
    issue: Callable[..., str], people: Cast, db: Connection
) -> None:
    """Before the series began: behind the highest. In the middle of it: the next free one. Others' rows stay."""
    for number in ("FACT-202606-0007", "FACT-202606-2", "FACT-202606-x", "FACT-2026", "F-1"):
        adopt(db, people.bob, number)
    assert issue(at(6, 1)) == "FACT-202606-0008"
    adopt(db, people.bob, "FACT-202606-0009")
    adopt(db, people.bob, "FACT-202606-0011")
    begin(db, people.alice, "premium", at(5, 1))
    begin(db, people.bob, "premium", at(5, 1))
    run(db, at(6, 2))
    assert all_numbers(db) == ["FACT-202606-0008", "FACT-202606-0010", "FACT-202606-0012"]
    others = fetch_all(db, "SELECT kind, hash, amount_cents FROM invoices WHERE hash IS NULL")
    assert {(row["kind"], row["amount_cents"]) for row in others} == {("adopted", 4_900)}
    assert len(others) == 7
    assert verify(db, SETTINGS, JUNE).wrong.many == 0


def test_the_same_number_of_another_tenant_is_no_obstacle(
    issue: Callable[..., str], people: Cast, db: Connection
) -> None:
    adopt(db, people.charlie, "FACT-202606-0001")
    assert issue(at(6, 1)) == "FACT-202606-0001"


def test_a_key_that_another_program_took_by_hand_is_stepped_over(people: Cast, db: Connection) -> None:
    """PostgreSQL counts up by itself, and does not know of them."""
    adopt(db, people.bob, "A-1")
    last = fetch_all(db, "SELECT MAX(id) AS id FROM invoices")[0]["id"]
    with atomic(db):
        for step in range(1, 12):
            execute(
                db,
                """INSERT INTO invoices (id, invoice_number, user_id, period_start, period_end, plan, amount_cents)
                   VALUES (:id, :number, 2, '2026-05-01T00:00:00Z', '2026-06-01T00:00:00Z', 'pro', 1)""",
                id=last + step,
                number=f"A-{last + step}",
            )
    begin(db, people.alice, "premium", at(5, 1))
    assert run(db, at(6, 1)).issued == 1
    assert issuing.run(db, at(7, 1), SETTINGS, 1).issued == 1
    desk.assert_sound(db)


@pytest.mark.parametrize("settings", [SETTINGS, YEARLY])
def test_an_adopted_database_s_numbers_go_on_and_its_invoices_stay_beside_ours(
    empty_url: str, settings: Settings
) -> None:
    """Its subscriber of three values has paid elsewhere: nothing is billed to him before he has an effective_at."""
    db = reference.create(empty_url)
    reference.insert(db, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    reference.insert(db, "consumption_log", reference.log(date="2026-04-09", api_calls=30_100))
    reference.insert(db, "consumption_log", reference.log(date="2026-05-09", api_calls=30_200))
    reference.insert(db, "invoices", reference.invoice("FACT-202606-0012", status="paid", currency="EUR"))
    schema.migrate(db, at(5, 2), settings)
    alice, bob = Person("alice", 1, db=db), Person("bob", 2, db=db)
    begin(db, bob, "premium", at(5, 2))
    assert desk.numbers(run(db, at(6, 1), settings)) == (1, 0, 2, 0)
    adopt_subscribers(db, at(6, 2), settings, 1, date(2026, 6, 1))
    alice.has_used(30_300, day="2026-06-09")
    assert desk.numbers(run(db, at(7, 1), settings)) == (2, 0, 0, 0)
    assert desk.lines(invoice_of(db, alice, JUNE)) == [("base", "1", 4_900), ("overage", "300", 150)]
    found = reference.rows(db, "SELECT invoice_number, kind, hash IS NULL FROM invoices ORDER BY id")
    last = ("FACT-202607-0014", "FACT-202607-0015") if settings is YEARLY else ("FACT-202607-0001", "FACT-202607-0002")
    assert [row[:2] for row in found] == [
        ("FACT-202606-0012", "adopted"),
        ("FACT-202606-0013", "period"),
        *((number, "period") for number in last),
    ]
    assert [bool(row[2]) for row in found] == [True, False, False, False]
    assert verify(db, settings, JULY).wrong.many == 0
    db.close()
