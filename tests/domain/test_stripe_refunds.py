"""Refunds and credit notes as Stripe tells of them: whatever comes first, the books end the same."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.domain.at_stripe import collected, hear, stands
from tests.domain.money_back import NOW, Books, after, books, taken
from tests.issued import SETTINGS
from tests.stripe_payloads import (
    AT,
    SHAPES,
    Payload,
    Shape,
    charge,
    credit_note,
    event,
    invoice as there,
    invoice_payment,
    listed,
    refund,
    tell,
    tell_all,
)
from turf_saas import payments, refunds
from turf_saas.errors import Conflict
from turf_saas.money_proof import prove_money
from turf_saas.rehearsal import rehearsal


def refunded(cents: int, *, shape: Shape = "endive") -> list[Payload]:
    """What Stripe tells of one refund that came with a credit note."""
    return [
        event("refund.created", refund(amount=cents, status="pending"), at=AT),
        event("refund.updated", refund(amount=cents), at=AT + 60),
        event("charge.refunded", charge(amount=1_200, refunded=cents), at=AT),
        event("credit_note.created", credit_note(amount=cents, refunds=["re_1"], shape=shape), at=AT),
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refund_and_its_credit_note_end_the_same_in_every_order(db: Connection, alice: Person, shape: Shape) -> None:
    of = taken(db, alice)
    told = refunded(500, shape=shape)
    for order in permutations(told):
        found, signals = after(db, alice, of, [*order, order[0]])
        assert found == Books("paid", 700, 500, 0, 0, 500, [("re_1", 500, "succeeded", 500)], [-500], 500), order
        assert sorted(signals) == ["invoice_issued", "payment_refunded"], order


def test_a_refund_that_fails_is_account_credit_in_every_order(db: Connection, engine: str, alice: Person) -> None:
    """All 120 of them; on PostgreSQL, which is slower and is asked the same, every eleventh."""
    of = taken(db, alice)
    told = [*refunded(1_200), event("refund.failed", refund(amount=1_200, status="failed"), at=AT + 3_600)]
    for order in [*permutations(told)][:: 1 if engine == "sqlite" else 11]:
        found, signals = after(db, alice, of, order)
        assert found == Books("paid", 0, 1_200, 0, 1_200, 0, [("re_1", 1_200, "failed", 0)], [-1_200], 0), order
        assert signals.count("refund_failed") == 1


def test_a_credit_note_takes_off_only_what_its_refund_has_not(db: Connection, alice: Person) -> None:
    """Of a credit note of 500, 200 were refunded; or 300 of account credit were there for the refund of 500."""
    of = taken(db, alice, 1_500)
    part = [
        event("refund.created", refund(amount=500)),
        event("credit_note.created", credit_note(amount=500, refunds=["re_1"])),
    ]
    for order in permutations(part):
        found, _ = after(db, alice, of, order)
        assert (found.credited, sum(found.notes), found.account_credit, found.refunded) == (500, -500, 300, 500)
    more = [
        event("refund.created", refund(amount=1_000)),
        event("credit_note.created", credit_note(amount=1_100, refunds=["re_1"])),
    ]
    for order in permutations(more):
        found, _ = after(db, alice, of, order)
        assert (found.credited, found.account_credit, found.refunded) == (1_100, 400, 1_000)


def test_a_refund_and_a_credit_note_never_exceed_the_invoice(db: Connection, alice: Person) -> None:
    """The whole of it went back, and then somebody writes a credit note of the whole as well."""
    of = taken(db, alice)
    apart = [event("refund.created", refund(amount=1_200)), event("credit_note.created", credit_note(amount=1_200))]
    for order in permutations(apart):
        found, _ = after(db, alice, of, order)
        assert (found.status, found.credited, found.account_credit, found.refunded) == ("refunded", 1_200, 0, 1_200)


def test_two_refunds_that_are_first_known_as_one_sum_get_their_names(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    told = [
        event("charge.refunded", charge(amount=1_200, refunded=800)),
        event("refund.created", refund("re_1", amount=500)),
        event("refund.created", refund("re_2", amount=300)),
    ]
    rows = [("re_1", 500, "succeeded", 500), ("re_2", 300, "succeeded", 300)]
    for order in permutations(told):
        found, _ = after(db, alice, of, order)
        assert (found.refunds, found.refunded, found.credited, found.account_credit) == (rows, 800, 800, 0), order


def test_a_charge_of_the_old_shape_names_its_refunds(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    old = charge(amount=1_200, refunded=500, shape="acacia", refunds=listed([refund(amount=500)]))
    found, signals = after(db, alice, of, [event("charge.refunded", old, shape="acacia")])
    assert found.refunds == [("re_1", 500, "succeeded", 500)]
    assert signals == ["invoice_issued", "payment_refunded"]


def test_what_is_told_again_after_it_failed_changes_nothing(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    failed = event("refund.failed", refund(amount=500, status="failed"), at=AT + 60)
    stale = event("refund.updated", refund(amount=500), at=AT)
    once, _ = after(db, alice, of, [failed])
    again, _ = after(db, alice, of, [failed, stale, event("charge.refunded", charge(amount=1_200, refunded=500))])
    assert once == again == Books("paid", 700, 500, 0, 500, 0, [("re_1", 500, "failed", 0)], [-500], 0)


def test_a_second_try_after_a_failed_refund_takes_the_credit_that_it_left(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    found, _ = after(
        db,
        alice,
        of,
        [
            event("refund.created", refund("re_1", amount=1_200)),
            event("refund.created", refund("re_2", amount=1_200)),  # told before the first is told to have failed
            event("refund.failed", refund("re_1", amount=1_200, status="failed")),
        ],
    )
    rows = [("re_1", 1_200, "failed", 0), ("re_2", 1_200, "succeeded", 1_200)]
    assert found == Books("refunded", 0, 1_200, 0, 0, 1_200, rows, [-1_200], 1_200)


def test_money_that_the_books_cannot_cover_is_an_alarm(db: Connection, alice: Person) -> None:
    """Its invoice was credited, and the credit has paid the next one: 1200 went out, and nothing of it is there."""
    of = taken(db, alice)
    tell(db, NOW, SETTINGS, event("credit_note.created", credit_note(amount=1_200)))
    next_one = taken(db, alice, 1, number=2, month="2026-05")[0]
    assert (next_one.status, next_one.paid_cents) == ("paid", 1_200)
    found, signals = after(db, alice, of, [event("refund.created", refund(amount=500))])
    assert found.refunds == [("re_1", 500, "succeeded", 1)]  # the cent that was paid too much
    assert signals == ["payment_refunded", "payment_mismatch"]


def test_a_refund_of_what_is_not_known_yet_waits_for_it(db: Connection, alice: Person) -> None:
    refund_first = event("refund.created", refund(intent="pi_9", charge="ch_9"))
    assert tell(db, NOW, SETTINGS, refund_first).result == "deferred"
    assert tell(db, NOW, SETTINGS, event("charge.refunded", charge("ch_9", customer="cus_other"))).result == "ignored"
    of = taken(db, alice)
    note_first = event("credit_note.created", credit_note(amount=500, refunds=["re_1"]))
    assert tell(db, NOW, SETTINGS, note_first).result == "deferred"
    assert tell(db, NOW, SETTINGS, event("refund.created", refund(amount=500))).result == "applied"
    assert books(db, *of).notes == [-500]


def test_another_currency_is_a_mismatch_and_books_nothing(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    before = books(db, *of)
    dollars = event("refund.created", refund(amount=500, currency="usd"))
    received = tell(db, NOW, SETTINGS, dollars)
    assert (received.result, [one.kind for one in received.notices]) == ("ignored", ["payment_mismatch"])
    others = event("credit_note.created", credit_note(currency="usd"))
    assert [one.kind for one in tell(db, NOW, SETTINGS, others).notices] == ["payment_mismatch"]
    assert books(db, *of) == before


def test_what_is_ours_over_there_is_not_taken_for_the_owners(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    ours = credit_note(metadata={"app": "turf_saas"})
    assert tell_all(db, NOW, SETTINGS, [event("credit_note.created", ours)]) == ["ignored"]
    assert books(db, *of).credited == 0


def test_a_refund_that_somebody_has_changed_is_found_by_verify(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    tell(db, NOW, SETTINGS, event("refund.created", refund(amount=500)))
    assert books(db, *of).refunded == 500
    with atomic(db):
        execute(db, "UPDATE billing_refunds SET booked_cents = 499")
    with atomic(db):
        said = [one.sentence for one in prove_money(db, 1)]
    assert said == [f"payment {of[1].id}: 500 cents went out, and its refunds say 499"]


def test_money_that_came_and_went_is_the_same_in_whatever_order_all_of_it_is_told(
    db: Connection, engine: str, alice: Person
) -> None:
    """What is about a payment that nobody knows yet waits for it, and the credit note for its refund."""
    invoice = collected(db, alice)
    told = [
        event("invoice.paid", there(status="paid"), at=AT - 60),
        event("invoice_payment.paid", invoice_payment(), at=AT - 60),
        *refunded(500)[::2],
        event("credit_note.created", credit_note(amount=500, refunds=["re_1"])),
        event("refund.failed", refund(amount=500, status="failed"), at=AT + 60),
    ]
    chance = random.Random(7)
    for _ in range(150 if engine == "sqlite" else 15):
        order = chance.sample(told, len(told))
        with rehearsal(db, dry_run=True):
            hear(db, *order)
            found = stands(db, invoice)
            rows = fetch_all(db, "SELECT status, booked_cents, credited_cents FROM billing_refunds")
            waiting = fetch_all(db, "SELECT note FROM billing_received_events WHERE status = 'deferred'")
        assert (found.status, found.paid, found.credited, found.account_credit) == ("paid", 1_780, 500, 500), order
        assert [(row["status"], row["booked_cents"], row["credited_cents"]) for row in rows] == [("failed", 0, 500)]
        assert waiting == []


# -- what is asked for here ------------------------------------------------------------------------------


@pytest.mark.parametrize(("cents", "ok"), [(0, False), (1, True), (699, True), (700, True), (701, False)])
def test_no_more_goes_back_than_is_left(db: Connection, alice: Person, cents: int, ok: bool) -> None:
    _, payment = taken(db, alice)
    refunds.refund(db, NOW, SETTINGS, 1, payment.id, amount_cents=500)
    if ok:
        done = refunds.refund(db, NOW, SETTINGS, 1, payment.id, amount_cents=cents)
        assert done.refund is not None
        assert (done.refund.status, done.refund.booked_cents) == ("pending", cents)
    else:
        with pytest.raises(Conflict, match="refund_too_large"):
            refunds.refund(db, NOW, SETTINGS, 1, payment.id, amount_cents=cents)


def test_our_own_refund_is_known_by_its_name_before_and_after_it_is_sent(db: Connection, alice: Person) -> None:
    """The webhook is faster than our own commit; the sum of the charge is of the same refund."""
    of = taken(db, alice)
    done = refunds.refund(db, NOW, SETTINGS, 1, of[1].id, amount_cents=500)
    assert done.refund is not None
    ours = {"app": "turf_saas", "local_refund_id": str(done.refund.id)}
    told = [
        event("charge.refunded", charge(amount=1_200, refunded=500)),
        event("refund.created", refund(amount=500, metadata=ours)),
        event("refund.updated", refund(amount=500, metadata=ours), at=AT + 60),
    ]
    for order in permutations(told):
        found, signals = after(db, alice, of, order)
        assert found == Books("paid", 700, 500, 0, 0, 500, [("re_1", 500, "succeeded", 500)], [-500], 500), order
        assert signals == ["payment_refunded"]


def test_somebody_elses_refund_is_not_taken_for_ours_that_waits(db: Connection, alice: Person) -> None:
    of = taken(db, alice)
    refunds.refund(db, NOW, SETTINGS, 1, of[1].id, amount_cents=500)
    found, _ = after(db, alice, of, [event("refund.created", refund(amount=500))])
    assert sorted(found.refunds, key=str) == [("re_1", 500, "succeeded", 500), (None, 500, "pending", 500)]
    assert found.refunded == 1_000


def test_money_that_came_for_a_cancelled_invoice_and_went_back_ends_refunded(db: Connection, alice: Person) -> None:
    """And when that fails, it is paid: money came in."""
    invoice, payment = taken(db, alice, 500)
    tell(db, NOW, SETTINGS, event("credit_note.created", credit_note(amount=1_200)))
    assert payments.get_payment(db, 1, payment.id).left_cents == 500
    told = [event("refund.created", refund(amount=500)), event("refund.failed", refund(amount=500, status="failed"))]
    found, _ = after(db, alice, (invoice, payment), told[:1])
    assert (found.status, found.account_credit) == ("refunded", 0)
    for order in permutations(told):
        found, _ = after(db, alice, (invoice, payment), order)
        assert (found.status, found.account_credit, found.refunded) == ("paid", 500, 0)
