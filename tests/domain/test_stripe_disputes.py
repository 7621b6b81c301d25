"""Disputes: the books change when one is lost, whatever is told first; and once for each."""

from __future__ import annotations

from itertools import permutations

import pytest

from billing_db import Connection, fetch_one
from tests.cast import Person
from tests.domain.money_back import NOW, Books, after, books, taken
from tests.issued import SETTINGS
from tests.stripe_payloads import AT, Payload, charge, dispute, event, refund, tell
from turf_saas import invoices, stripe_disputes

DAY = 86_400


def told(what: str, status: str, days: int, **given: object) -> Payload:
    return event(f"charge.dispute.{what}", dispute(amount=1_200, status=status, **given), at=AT + days * DAY)


BEGUN = [told("created", "needs_response", 0), told("funds_withdrawn", "needs_response", 0)]
WON = [told("closed", "won", 40), told("funds_reinstated", "won", 40)]


def test_an_inquiry_and_a_dispute_that_is_won_move_no_money(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    before = books(db, *of)
    inquiry = [told("created", "warning_needs_response", 0), told("closed", "warning_closed", 9)]
    for order in permutations(inquiry):
        found, signals = after(db, alice, of, order)
        assert (found, sorted(signals)) == (before, ["dispute_closed", "payment_disputed"])
    for order in permutations([*BEGUN, *WON]):
        found, signals = after(db, alice, of, order)
        assert found == before, order
        assert sorted(signals) == ["dispute_closed", "payment_disputed"], order


def test_what_is_lost_has_gone_out_in_whatever_order_that_is_told(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    lost = [*BEGUN, told("updated", "under_review", 20), told("closed", "lost", 40)]
    for order in permutations(lost):
        found, signals = after(db, alice, of, [*order, order[-1]])
        rows = [("dp_1", 1_200, "succeeded", 1_200)]
        assert found == Books("refunded", 0, 1_200, 0, 0, 1_200, rows, [-1_200], 1_200), order
        assert sorted(signals) == ["dispute_closed", "invoice_issued", "payment_disputed"], order
    tell(db, NOW, SETTINGS, lost[-1])
    assert [note.reason for note in invoices.list_credit_notes(db, of[0].id)] == ["dispute"]


def test_what_was_lost_and_is_given_back_is_account_credit(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    reversed_ = [*BEGUN, told("closed", "lost", 40), told("funds_reinstated", "won", 50)]
    for order in permutations(reversed_):
        found, _ = after(db, alice, of, [*order, order[0]])
        rows = [("dp_1", 1_200, "canceled", 0)]
        assert found == Books("paid", 0, 1_200, 0, 1_200, 0, rows, [-1_200], 0), order


def test_what_a_dispute_takes_beside_a_refund_is_no_more_than_was_paid(db: Connection, alice: Person) -> None:
    """500 had gone back before the bank took the whole: 700 can be booked, and somebody has to look."""
    of = taken(db, alice)
    both = [event("refund.created", refund(amount=500)), told("closed", "lost", 40)]
    found, signals = after(db, alice, of, both)
    assert found.refunds == [("dp_1", 1_200, "succeeded", 700), ("re_1", 500, "succeeded", 500)]
    assert (found.status, found.refunded, found.account_credit) == ("refunded", 1_200, 0)
    assert "payment_mismatch" in signals


def test_what_a_dispute_took_is_no_part_of_what_a_charge_says_was_refunded(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    lost = event("charge.dispute.closed", dispute(amount=700, status="lost"))
    found, _ = after(db, alice, of, [lost, event("charge.refunded", charge(amount=1_200, refunded=500))])
    assert sorted(found.refunds, key=str) == [("dp_1", 700, "succeeded", 700), (None, 500, "succeeded", 500)]


def test_a_dispute_says_when_its_money_went_and_until_when_to_answer(db: Connection, alice: Person) -> None:
    taken(db, alice)
    for payload in [*reversed(BEGUN), told("funds_reinstated", "won", 40)]:
        assert tell(db, NOW, SETTINGS, payload).result == "applied"
    stands = stripe_disputes.find_dispute(db, "dp_1")
    assert stands is not None
    assert (stands.status, stands.reason, stands.evidence_due_at) == ("won", "fraudulent", "2026-06-01T00:00:00Z")
    assert (stands.withdrawn_at, stands.reinstated_at) == ("2026-05-20T09:00:00Z", "2026-06-29T09:00:00Z")


@pytest.mark.parametrize("wrong", [{"currency": "usd"}, {"status": "unheard_of"}])
def test_what_contradicts_the_payment_is_noted_nowhere(db: Connection, alice: Person, wrong: dict[str, str]) -> None:
    taken(db, alice)
    about = dispute(amount=1_200) | wrong
    received = tell(db, NOW, SETTINGS, event("charge.dispute.created", about))
    assert [one.kind for one in received.notices] == ["payment_mismatch"]
    assert fetch_one(db, "SELECT 1 AS one FROM billing_disputes") is None


def test_a_dispute_about_a_payment_that_is_not_known_yet_waits(db: Connection, alice: Person) -> None:
    begun = told("created", "needs_response", 0)
    assert tell(db, NOW, SETTINGS, begun).result == "deferred"
    taken(db, alice)
    assert tell(db, NOW, SETTINGS, told("updated", "needs_response", 1)).result == "applied"
