"""Invoices as Stripe tells of them: in whatever order, the books end the same; what contradicts them books nothing."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.domain.at_stripe import NOW, TOTAL, collected, hear, row_of, stands, stands_after
from tests.domain.test_money_races import at_once
from tests.issued import SETTINGS
from tests.stripe_payloads import (
    AT,
    SHAPES,
    Payload,
    Shape,
    event,
    invoice as there,
    invoice_payment,
    payment_intent,
    tell,
)
from turf_saas import credit_notes, invoices, payments
from turf_saas.payments import Received

PAID = ("paid", TOTAL, 0, 0, "paid")


def paid(shape: Shape = "endive", at: int = AT, kind: str = "invoice.paid", **given: Any) -> Payload:
    ids = {"intent": "pi_1", "charge": "ch_1"} if shape == "acacia" else {}
    return event(kind, there(status="paid", shape=shape, **{**ids, **given}), at=at, shape=shape)


def piece(cents: int = TOTAL, number: int = 1, **given: Any) -> Payload:
    return event(
        "invoice_payment.paid", invoice_payment(f"inpay_{number}", amount=cents, intent=f"pi_{number}", **given)
    )


def failed(at: int = AT - 3_600, tries: int = 1, **given: Any) -> Payload:
    return event("invoice.payment_failed", there(status="open", attempt_count=tries, **given), at=at)


def transfer(db: Connection, number: str, cents: int) -> Received:
    return payments.record_payment(db, NOW, SETTINGS, 1, number, amount_cents=cents)


# -- it is paid ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_paid_invoice_is_paid_once_by_all_the_events_that_say_so(db: Connection, alice: Person, shape: Shape) -> None:
    invoice = collected(db, alice)
    twins = [paid(shape, kind=kind) for kind in ("invoice.paid", "invoice.payment_succeeded", "invoice.updated")]
    results, notices = hear(db, *twins, twins[0])
    assert results == ["applied"] * 3 + ["duplicate"]
    assert [notice.kind for notice in notices] == ["invoice_paid"]
    assert notices[0].about["invoice"].status == "paid"
    intent = "pi_1" if shape == "acacia" else None
    found = stands(db, invoice)
    assert found == (*PAID, [(TOTAL, intent, "card")], [("succeeded", TOTAL, None)])
    (payment,) = fetch_all(db, "SELECT gateway, gateway_key FROM billing_payments")
    assert (payment["gateway"], payment["gateway_key"]) == ("stripe", "in_1")


def test_a_payment_that_the_old_shape_named_is_not_noted_again_by_its_own_word(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    for order in permutations([paid("acacia"), piece()]):
        assert stands_after(db, invoice, order)[:6] == (*PAID, [(TOTAL, "pi_1", "card")])


def test_its_payment_has_its_ids_and_its_failed_try_is_kept_in_whatever_order_they_come(
    db: Connection, alice: Person
) -> None:
    invoice = collected(db, alice)
    told = [failed(), paid(), piece(), event("invoice.finalized", there(), at=AT - 7_200)]
    for order in permutations(told):
        found = stands_after(db, invoice, [*order, *order])
        assert found == (*PAID, [(TOTAL, "pi_1", "card")], [("failed", TOTAL, None), ("succeeded", TOTAL, None)]), order


def test_parts_that_are_paid_one_by_one_are_payments_of_their_own_in_whatever_order_they_come(
    db: Connection, alice: Person
) -> None:
    invoice = collected(db, alice)
    told = [
        event("invoice.updated", there(amount_paid=500, amount_remaining=1_780), at=AT - 60),
        piece(500, 1),
        paid(),
        piece(1_780, 2),
    ]
    hear(db, *told[:1])
    assert stands(db, invoice)[:2] == ("pending", 500)
    for order in permutations(told[1:]):
        found = stands_after(db, invoice, order)
        assert found[:6] == (*PAID, [(1_780, "pi_2", "card"), (500, "pi_1", "card")]), order
    for order in [(told[2], told[3], told[1]), (told[3], told[2], told[1])]:  # the first part is told last
        assert stands_after(db, invoice, order)[5] == [(1_780, "pi_2", "card"), (500, "pi_1", "card")]


def test_events_at_once_note_one_payment(db: Connection, url: str, alice: Person) -> None:
    invoice = collected(db, alice)
    told = [paid(), piece(), paid(kind="invoice.payment_succeeded"), paid(kind="invoice.updated")]
    assert (
        at_once(url, [lambda other, one=one: tell(other, NOW, SETTINGS, one) for one in [*told, *told]]) == ["done"] * 8
    )
    assert stands(db, invoice)[:6] == (*PAID, [(TOTAL, "pi_1", "card")])


def test_an_older_state_changes_nothing_that_is_known_better(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice, status="draft")
    hear(db, paid())
    hear(db, event("invoice.finalized", there(attempt_count=0), at=AT - 60), failed(at=AT))
    row = row_of(db, invoice)
    assert (row.status, row.hosted_url) == ("paid", "https://invoice.stripe.com/i/in_1")


# -- it contradicts what was asked for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"customer": "cus_Mallory"}, "another customer"),
        ({"currency": "usd"}, "it is in USD"),
        ({"total": TOTAL + 1}, "its total is 2281"),
        ({"total": TOTAL - 1}, "its total is 2279"),
        ({"amount_paid": TOTAL - 1}, "paid with 2279"),
        ({"amount_paid": TOTAL + 1}, "2281 cents of it"),
    ],
)
def test_a_payment_of_another_customer_currency_or_amount_books_nothing_and_alarms_once(
    db: Connection, alice: Person, given: dict[str, Any], why: str
) -> None:
    invoice = collected(db, alice)
    results, notices = hear(db, paid(**given), paid(kind="invoice.payment_succeeded", **given))
    assert results == ["ignored", "ignored"]
    assert [notice.kind for notice in notices] == ["payment_mismatch"]
    assert why in notices[0].about["reason"]
    found = stands(db, invoice)
    assert found[:6] == ("pending", 0, 0, 0, "mismatch", [])
    assert [status for status, _, _ in found.attempts] == ["mismatch"]
    rows = fetch_all(db, "SELECT DISTINCT status FROM billing_received_events")
    assert [row["status"] for row in rows] == ["mismatch"]


def test_a_mismatch_that_was_mended_is_booked_when_it_is_told_again(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    hear(db, paid(currency="usd"))
    hear(db, paid(at=AT + 60))
    assert stands(db, invoice)[:5] == PAID


def test_a_second_invoice_of_stripes_for_the_same_one_of_ours_pays_nothing(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    metadata = {"app": "turf_saas", "local_invoice_id": str(invoice.id), "number": invoice.number}
    results, notices = hear(db, paid(object_id="in_2", metadata=metadata))
    assert (results, [notice.kind for notice in notices]) == (["ignored"], ["payment_mismatch"])
    assert stands(db, invoice).payments == []


# -- other money -----------------------------------------------------------------------------------------


def test_what_the_customer_had_at_stripe_pays_its_part(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    hear(db, paid(amount_due=1_780, amount_paid=1_780, starting_balance=-500, ending_balance=0))
    found = stands(db, invoice)
    assert found[:6] == (*PAID, [(1_780, None, "card"), (500, None, "other")])


def test_what_stripe_found_too_small_is_open_until_the_next_one_has_paid_it(db: Connection, alice: Person) -> None:
    """Of 0.36 nothing is due there: the customer owes it with the next invoice, whose 22.80 come as 23.16."""
    small = collected(db, alice, 30, "in_1")
    hear(db, paid(total=36, amount_due=0, amount_paid=0, ending_balance=36))
    assert stands(db, small)[:6] == ("pending", 0, 0, 0, "carried", [])
    next_one = collected(db, alice, 1_900, "in_2", month="2026-05")
    due = {"amount_due": TOTAL + 36, "amount_paid": TOTAL + 36, "starting_balance": 36, "ending_balance": 0}
    told = paid(object_id="in_2", **due)
    piece_of_it = event("invoice_payment.paid", invoice_payment(invoice="in_2", amount=TOTAL + 36))
    for order in permutations([told, piece_of_it]):
        # A payment of more than was asked for contradicts it, until its invoice says why.
        found = stands_after(db, next_one, [*order, paid(object_id="in_2", at=AT + 1, **due)])
        assert found[:6] == (*PAID, [(TOTAL + 36, found.payments[0][1], "card")])
    hear(db, told)
    assert stands(db, small)[:6] == ("paid", 36, 0, 0, "paid", [])


def test_those_that_were_collected_with_it_are_paid_with_it_in_either_order(db: Connection, alice: Person) -> None:
    small = collected(db, alice, 30, None, status="carried")
    big = collected(db, alice, 1_900, "in_1", month="2026-05")
    with atomic(db):
        execute(
            db,
            "UPDATE billing_gateway_invoices SET carried_into = :big WHERE invoice_id = :small",
            big=big.id,
            small=small.id,
        )
    told = [paid(total=TOTAL + 36), piece(TOTAL + 36)]
    for order in permutations(told):
        assert stands_after(db, small, order)[:5] == ("paid", 36, 0, 0, "paid")
        assert stands_after(db, big, order)[:6] == (*PAID, [(TOTAL + 36, "pi_1", "card")])
    _, notices = hear(db, *told)
    assert [(one.kind, one.about["invoice"].number) for one in notices] == [
        ("invoice_paid", big.number), ("invoice_paid", small.number)]  # fmt: skip


@pytest.mark.parametrize("transferred", [TOTAL, 500])
def test_a_transfer_and_a_card_for_one_invoice_leave_account_credit_in_either_order(
    db: Connection, alice: Person, transferred: int
) -> None:
    """Paid here by a transfer, wholly or in part, and there by a card before Stripe could be told."""
    invoice = collected(db, alice)
    transfer(db, invoice.number, transferred)
    for order in permutations([paid(), piece()]):
        found = stands_after(db, invoice, order)
        assert found[:5] == ("paid", TOTAL, 0, transferred, "paid")
        assert sorted(cents for cents, intent, _ in found.payments if intent == "pi_1") == [TOTAL], order


def test_what_we_have_marked_as_paid_there_is_no_second_payment(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    transfer(db, invoice.number, TOTAL)
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_stripe_calls (subject, step, idempotency_key, params, sent_at)
               VALUES (:subject, 'out-of-band', 'key', '{"paid_out_of_band": true}', '2026-05-20T10:00:00Z')""",
            subject=f"invoice:{invoice.id}",
        )
    _, notices = hear(db, paid())
    assert (stands(db, invoice)[:5], notices) == (PAID, [])


def test_what_somebody_marked_as_paid_over_there_is_paid_here_and_is_no_card_of_ours(
    db: Connection, alice: Person
) -> None:
    invoice = collected(db, alice)
    hear(db, paid("acacia", paid_out_of_band=True, intent=None, charge=None))
    assert stands(db, invoice)[:6] == (*PAID, [(TOTAL, None, "other")])
    outside = {"intent": None, "payment": {"type": "payment_record", "payment_record": "pr_1"}}
    other = collected(db, alice, 1_900, "in_2", month="2026-05")
    hear(
        db, event("invoice_payment.paid", invoice_payment("inpay_2", invoice="in_2", **outside)), paid(object_id="in_2")
    )
    assert stands(db, other).payments == [(TOTAL, None, "other")]
    third = collected(db, alice, 1_900, "in_3", month="2026-06")
    hear(db, paid(object_id="in_3", amount_paid_off_stripe=TOTAL))
    assert stands(db, third).payments == [(TOTAL, None, "other")]


@pytest.mark.parametrize("wrong", ["ch_\0", "ch_\ud800"])
def test_an_id_that_can_stand_in_no_row_is_none(db: Connection, alice: Person, wrong: str) -> None:
    invoice = collected(db, alice)
    hear(db, paid(), piece())
    results, _ = hear(db, paid("acacia", charge=wrong), paid("acacia", payment_intent={"id": wrong}))
    assert (results, stands(db, invoice).payments) == (["applied", "applied"], [(TOTAL, "pi_1", "card")])


def test_money_for_an_invoice_that_was_cancelled_is_account_credit_and_alarms(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    credit_notes.credit_invoice(db, NOW, SETTINGS, 1, invoice.number)
    _, notices = hear(db, paid("acacia"))
    assert [notice.kind for notice in notices] == ["payment_mismatch"]
    assert stands(db, invoice)[:5] == ("cancelled", 0, TOTAL, TOTAL, "paid")


# -- void, and gone --------------------------------------------------------------------------------------


def test_what_is_void_there_is_cancelled_here_and_what_is_paid_is_left_alone(db: Connection, alice: Person) -> None:
    first, second = collected(db, alice), collected(db, alice, 1_900, "in_2", month="2026-05")
    transfer(db, first.number, 500)
    transfer(db, second.number, TOTAL)
    void = [event("invoice.voided", there(name, status="void")) for name in ("in_1", "in_2")]
    results, notices = hear(db, *void)
    assert results == ["applied", "ignored"]
    (note,) = [notice.about["invoice"] for notice in notices]
    assert (note.kind, note.amount_cents, note.reason) == ("credit_note", -TOTAL, "voided")
    assert stands(db, first)[:5] == ("cancelled", 0, TOTAL, 500, "void")
    assert stands(db, second)[:5] == ("paid", TOTAL, 0, 500, "void")


def test_what_was_to_be_collected_with_a_void_one_waits_for_another(db: Connection, alice: Person) -> None:
    small = collected(db, alice, 30, None, status="carried")
    big = collected(db, alice, 1_900, "in_1", month="2026-05")
    with atomic(db):
        execute(
            db,
            "UPDATE billing_gateway_invoices SET carried_into = :big WHERE invoice_id = :small",
            big=big.id,
            small=small.id,
        )
    hear(db, event("invoice.voided", there(status="void", total=TOTAL + 36)))
    row = row_of(db, small)
    assert (row.status, row.carried_into) == ("waiting", None)


def test_a_draft_that_cannot_be_finalized_or_is_gone_is_parked_and_alarms(db: Connection, alice: Person) -> None:
    first, second = collected(db, alice, status="draft"), collected(db, alice, 1_900, "in_2", "draft", month="2026-05")
    why = {"code": "customer_tax_location_invalid", "message": "No such place."}
    draft = there(status="draft", last_finalization_error=why)
    results, notices = hear(
        db,
        event("invoice.finalization_failed", draft),
        event("invoice.deleted", there("in_2", status="draft"), at=AT),
        event("invoice.updated", draft, at=AT + 1),
    )
    assert (results, [notice.kind for notice in notices]) == (["applied"] * 3, ["payment_mismatch"] * 2)
    assert "No such place." in str(row_of(db, first).last_error)
    assert [row_of(db, one).status for one in (first, second)] == ["parked", "parked"]


def test_what_stripe_gives_up_is_owed_all_the_same(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    hear(db, event("invoice.marked_uncollectible", there(status="uncollectible")))
    assert stands(db, invoice)[:5] == ("pending", 0, 0, 0, "uncollectible")
    hear(db, paid(at=AT + 1))
    assert stands(db, invoice)[:5] == PAID


# -- whose it is -----------------------------------------------------------------------------------------


def test_one_whose_id_nobody_could_note_is_known_by_what_it_says_and_by_its_customer(
    db: Connection, alice: Person, bob: Person
) -> None:
    invoice = collected(db, alice, stripe_id=None, status="draft")
    says = {"app": "turf_saas", "local_invoice_id": str(invoice.id), "number": invoice.number}
    lies = [
        {"metadata": {**says, "number": "FACT-202605-0009"}},
        {"metadata": {**says, "local_invoice_id": "12x"}},
        {"metadata": {**says, "local_invoice_id": "9" * 30}},
        {"metadata": {**says, "app": "another"}},
        {"metadata": says, "customer": "cus_Mallory"},
    ]
    assert hear(db, *(paid(**lie) for lie in lies)) == (["ignored"] * 5, [])
    assert row_of(db, invoice).provider_id is None
    hear(db, event("invoice.created", there(status="draft", metadata=says)), paid())
    assert row_of(db, invoice).provider_id == "in_1"
    assert invoices.get_by_id(db, invoice.id).status == "paid"


def test_invoices_that_are_not_ours_and_their_payments_are_ignored_and_the_payment_waits_for_that(
    db: Connection, alice: Person
) -> None:
    assert hear(db, piece())[0] == ["deferred"]
    assert hear(db, paid(), piece(number=2))[0] == ["ignored", "ignored"]
    collected(db, alice, stripe_id="in_7")
    assert hear(db, paid(object_id="in_8"))[0] == ["ignored"]


def test_a_payment_that_is_told_before_anybody_knows_its_invoice_waits_for_it(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice, stripe_id=None, status="draft")
    says = {"app": "turf_saas", "local_invoice_id": str(invoice.id), "number": invoice.number}
    assert hear(db, piece())[0] == ["deferred"]
    hear(db, paid(metadata=says))
    assert stands(db, invoice)[:6] == (*PAID, [(TOTAL, "pi_1", "card")])


def test_a_payment_intent_says_why_its_try_failed_whenever_it_comes(db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    intent = payment_intent(status="requires_payment_method", charge=None, last_payment_error=error)
    told = [
        event(
            "payment_intent.payment_failed", {**intent, "payment_details": {"order_reference": "in_1"}}, at=AT - 3_601
        ),
        failed(),
    ]
    for order in permutations(told):
        assert stands_after(db, invoice, order).attempts == [("failed", TOTAL, "insufficient_funds")]
    others = [event("payment_intent.payment_failed", intent), event("payment_intent.succeeded", payment_intent("pi_9"))]
    assert hear(db, *others)[0] == ["ignored", "ignored"]
