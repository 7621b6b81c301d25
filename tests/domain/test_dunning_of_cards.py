"""Who has a card: his days count from the first charge that failed, a hard decline is the end at once, and Stripe's own
next try is the only one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from billing_db import Connection, atomic, execute
from tests.cast import Person
from tests.domain.at_stripe import collected, hear, row_of
from tests.domain.issuing import SETTINGS, begin, live, sell, settings_with
from tests.stripe_payloads import Payload, event, invoice as there, payment_intent, seconds
from turf_saas import credit_notes, dunning, payment_attempts
from turf_saas.doctor_collecting import examine_collecting
from turf_saas.payment_attempts import Retry
from turf_saas.stripe_currencies import minimum_cents

PARIS = settings_with(BILLING_TIMEZONE="Europe/Paris")
SECOND = timedelta(seconds=1)


def at(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


FAILED = at(5, 3, 23, 30)  # of the local day 3 May, and of 4 May in Paris. The invoice is due on 31 May.


@pytest.fixture(autouse=True)
def plans(db: Connection, alice: Person) -> None:
    sell(db, "thirty", 3_000)


def fails(when: datetime = FAILED, tries: int = 1, code: str | None = None, **given: Any) -> Payload:
    intent = {"payment_intent": {"id": "pi_1", "last_payment_error": {"code": "card_declined", "decline_code": code}}}
    about = there(status="open", attempt_count=tries, **(intent if code else {}), **given)
    return event("invoice.payment_failed", about, at=seconds(when))


def paid(when: datetime) -> Payload:
    return event("invoice.paid", there(status="paid"), at=seconds(when))


def dunned(db: Connection, person: Person, now: datetime, settings: Any = SETTINGS) -> str:
    dunning.mark_overdue(db, now, settings)
    dunning.dun(db, now, settings)
    return live(db, person).status


@pytest.mark.parametrize(
    ("settings", "past_due", "unpaid"),
    [(SETTINGS, at(5, 5), at(5, 24)), (PARIS, at(5, 5, 22), at(5, 24, 22))],
    ids=["UTC", "Paris"],
)
def test_days_count_from_the_first_charge_that_failed(
    db: Connection, alice: Person, settings: Any, past_due: datetime, unpaid: datetime
) -> None:
    begin(db, alice, "thirty", at(5, 1), settings=settings)
    collected(db, alice)
    told = [fails(), fails(FAILED + timedelta(days=1), 2)]
    hear(db, *reversed(told), now=at(5, 4, 12), settings=settings)
    for now, status in (
        (past_due - SECOND, "active"),
        (past_due, "past_due"),
        (unpaid - SECOND, "past_due"),
        (unpaid, "unpaid"),
    ):
        assert dunned(db, alice, now, settings) == status


def test_a_charge_that_failed_before_the_subscription_began_counts_from_its_first_day(
    db: Connection, alice: Person
) -> None:
    collected(db, alice)
    hear(db, fails(), now=at(5, 4))
    begin(db, alice, "thirty", at(5, 10))
    assert dunned(db, alice, at(5, 12) - SECOND) == "active"
    assert dunned(db, alice, at(5, 12)) == "past_due"


def test_a_hard_decline_makes_unpaid_at_once_and_paying_active_again(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    invoice = collected(db, alice)
    _, notices = hear(db, fails(code="lost_card"), now=at(5, 4, 0, 1))
    assert [notice.kind for notice in notices] == ["payment_failed", "subscription_changed"]
    assert notices[0].about["attempt"].hard is True
    assert notices[1].about["what"] == "unpaid"
    assert live(db, alice).status == "unpaid"
    assert dunned(db, alice, at(5, 4, 1)) == "unpaid"  # nobody owes "too long" by due_on yet
    _, notices = hear(db, paid(at(5, 6)), now=at(5, 6))
    assert [notice.kind for notice in notices] == ["invoice_paid", "subscription_changed"]
    assert (live(db, alice).status, row_of(db, invoice).status) == ("active", "paid")


def test_a_soft_decline_changes_nothing_at_once(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    collected(db, alice)
    _, notices = hear(db, fails(code="insufficient_funds"), now=at(5, 4))
    assert [notice.kind for notice in notices] == ["payment_failed"]
    assert (notices[0].about["attempt"].code, live(db, alice).status) == ("insufficient_funds", "active")


def test_a_reason_that_is_told_later_is_as_hard(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    collected(db, alice)
    error = {"code": "card_declined", "decline_code": "stolen_card"}
    intent = payment_intent(status="requires_payment_method", last_payment_error=error, invoice="in_1", shape="acacia")
    hear(db, fails(), now=at(5, 4))
    assert live(db, alice).status == "active"
    hear(db, event("payment_intent.payment_failed", intent, at=seconds(FAILED)), now=at(5, 4))
    assert live(db, alice).status == "unpaid"


def test_a_failure_that_is_told_after_the_payment_dunns_nobody(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    collected(db, alice)
    _, notices = hear(db, paid(at(5, 4)), fails(code="lost_card"), now=at(5, 5))
    assert [notice.kind for notice in notices] == ["invoice_paid"]
    assert dunned(db, alice, at(8, 1)) == "active"


@pytest.mark.parametrize("first", [0, 1])
def test_a_charge_that_the_payer_has_to_confirm_is_one_try_in_whatever_order_that_is_told(
    db: Connection, alice: Person, first: int
) -> None:
    invoice = collected(db, alice)
    told = [fails(), event("invoice.payment_action_required", there(attempt_count=1), at=seconds(FAILED + SECOND))]
    _, notices = hear(db, told[first], told[1 - first], now=at(5, 4))
    assert "payment_action_required" in [notice.kind for notice in notices]
    (attempt,) = payment_attempts.list_attempts(db, invoice.id)
    assert (attempt.status, row_of(db, invoice).first_failed_at) == ("action_required", "2026-05-03T23:30:00Z")


def test_tries_by_hand_which_stripe_does_not_count_are_tries(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    told = [fails(), fails(FAILED + SECOND), fails(FAILED + timedelta(days=2))]
    for order in permutations(told):
        hear(db, *order, now=at(5, 6))
    found = [one.happened_at for one in payment_attempts.list_attempts(db, invoice.id)]
    assert len(found) == 2


# -- trying again ----------------------------------------------------------------------------------------


def test_each_dunning_day_has_one_try_of_ours_and_none_while_stripe_has_its_own(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    hear(db, fails(next_payment_attempt=seconds(at(5, 6))), now=at(5, 4))
    assert payment_attempts.list_retries(db, at(5, 12), SETTINGS) == []
    hear(db, fails(at(5, 6), 2), now=at(5, 6))
    for now, numbers in ((at(5, 5) - SECOND, []), (at(5, 5), [1]), (at(5, 10), [2]), (at(5, 24), [4]), (at(7, 1), [4])):
        assert payment_attempts.list_retries(db, now, SETTINGS) == [
            Retry(invoice.id, alice.id, number) for number in numbers
        ]
    hear(db, fails(at(5, 6, 1), 3, code="pickup_card"), now=at(5, 7))
    assert payment_attempts.list_retries(db, at(7, 1), SETTINGS) == []


def test_what_is_paid_or_cancelled_is_tried_no_more(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    hear(db, fails(), now=at(5, 4))
    credit_notes.credit_invoice(db, at(5, 4), SETTINGS, 1, invoice.number)
    assert payment_attempts.list_retries(db, at(5, 12), SETTINGS) == []


# -- what is too small to be collected -------------------------------------------------------------------


@pytest.mark.parametrize(("cents", "status"), [(49, "active"), (50, "past_due"), (51, "past_due")])
def test_what_is_too_small_to_be_collected_alone_makes_nobody_past_due(
    db: Connection, alice: Person, cents: int, status: str
) -> None:
    assert minimum_cents("EUR") == 50
    begin(db, alice, "thirty", at(5, 1))
    invoice = collected(db, alice, 40, None, status="waiting")
    with atomic(db):
        execute(
            db,
            "UPDATE billing_gateway_invoices SET amount_cents = :cents WHERE invoice_id = :id",
            cents=cents,
            id=invoice.id,
        )
    assert dunned(db, alice, at(6, 20)) == status


def test_what_was_carried_to_another_invoice_makes_nobody_past_due(db: Connection, alice: Person) -> None:
    begin(db, alice, "thirty", at(5, 1))
    collected(db, alice, 30, None, status="carried")
    assert dunned(db, alice, at(8, 1)) == "active"


# -- what nobody would notice ----------------------------------------------------------------------------


def test_what_is_paid_there_and_open_here_for_an_hour_is_found_by_the_doctor(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice, status="paid")
    noted = at(5, 1, 6)
    assert getattr(examine_collecting(db, noted + timedelta(hours=1) - SECOND), "level", None) == "ok"
    found = examine_collecting(db, noted + timedelta(hours=1))
    assert found is not None
    assert (found.level, f"{invoice.number} is paid at its gateway, and open here" in found.message) == ("error", True)
