"""Every order in which an invoice's life can be told, with its duplicates and twins, comes to the same books."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.domain.at_stripe import NOW, TOTAL, collected, hear, stands
from tests.issued import SETTINGS
from tests.stripe_payloads import AT, Payload, charge, event, invoice as there, invoice_payment, refund
from turf_saas import stripe_inbox
from turf_saas.invoices import Invoice
from turf_saas.rehearsal import rehearsal

CHANCE = random.Random(7)
PAYMENTS = {"invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"}
REFUNDS = {"charge.refunded", "refund.created", "refund.updated"}
ACACIA: Any = {"shape": "acacia"}


def acacia() -> tuple[list[Payload], list[Payload]]:
    """created, finalized, payment_failed, paid, voided, refunded, one a minute; and twins of two of them."""
    of_charge = {"intent": "pi_1", "charge": "ch_1", **ACACIA}
    states = [
        ("invoice.created", there(status="draft", **ACACIA)),
        ("invoice.finalized", there(**ACACIA)),
        ("invoice.payment_failed", there(attempt_count=1, **ACACIA)),
        ("invoice.paid", there(status="paid", attempt_count=2, **of_charge)),
        ("invoice.voided", there(status="void", **ACACIA)),
        ("charge.refunded", charge(refunded=TOTAL, invoice="in_1", **ACACIA)),
    ]
    told = [event(kind, about, at=AT - 3_600 + 60 * n, **ACACIA) for n, (kind, about) in enumerate(states)]
    twin = event("invoice.payment_succeeded", told[3]["data"]["object"], at=told[3]["created"], **ACACIA)
    return told, [twin, event("charge.refunded", told[5]["data"]["object"], at=told[5]["created"], **ACACIA)]


def endive() -> tuple[list[Payload], list[Payload]]:
    """The same as it is told today: of which payment it was, and each refund, are events of their own."""
    states = [
        ("invoice.created", there(status="draft")),
        ("invoice.finalized", there()),
        ("invoice.payment_failed", there(attempt_count=1)),
        ("invoice.paid", there(status="paid", attempt_count=2)),
        ("invoice_payment.paid", invoice_payment(amount=TOTAL)),
        ("invoice.voided", there(status="void")),
        ("refund.created", refund()),
        ("charge.refunded", charge(refunded=TOTAL)),
    ]
    told = [event(kind, about, at=AT - 3_600 + 60 * n) for n, (kind, about) in enumerate(states)]
    twin = event("invoice.payment_succeeded", told[3]["data"]["object"], at=told[3]["created"])
    return told, [twin, event("refund.updated", told[6]["data"]["object"], at=told[6]["created"])]


Books = tuple[dict[str, Any], ...]


def _books(db: Connection, invoice: Invoice) -> Books:
    """The invoice, its credit notes, its payments with what went back of them, the ledger, and the account credit."""
    return tuple(
        dict(row)
        for sql in (
            "SELECT status, amount_cents FROM invoices WHERE id = :id",
            "SELECT paid_cents, credited_cents FROM billing_invoice_balances WHERE invoice_id = :id",
            """SELECT status, SUM(amount_cents) AS note_cents FROM invoices
                WHERE kind = 'credit_note' AND id <> :id GROUP BY status""",
            """SELECT p.amount_cents, p.refunded_cents, p.stripe_payment_intent_id, r.status, r.stripe_refund_id,
                      r.amount_cents AS back_cents, r.booked_cents
                 FROM billing_payments AS p LEFT JOIN billing_refunds AS r ON r.payment_id = p.id
                WHERE p.invoice_id = :id ORDER BY 1, 2, 3, 4, 5, 6""",
            """SELECT type, SUM(amount_cents) AS cents FROM transactions
                WHERE user_id = :user_id GROUP BY type ORDER BY type""",
            "SELECT SUM(amount_cents) AS credit_cents FROM billing_account_credit_entries WHERE user_id = :user_id",
            "SELECT status, attempt_count FROM billing_gateway_invoices WHERE invoice_id = :id",
            """SELECT status, amount_cents, code FROM billing_payment_attempts
                WHERE invoice_id = :id ORDER BY status, amount_cents, code""",
        )
        for row in fetch_all(db, sql, id=invoice.id, user_id=invoice.user_id)
    )


def _settled(db: Connection, invoice: Invoice, twins: Sequence[Payload]) -> Books:
    """The books once the twins were told, too, and what waited for the rest was tried again, as the jobs do."""
    hear(db, *twins)
    for row in fetch_all(db, "SELECT event_id FROM billing_received_events WHERE status = 'deferred' ORDER BY 1"):
        stripe_inbox.apply_again(db, NOW, SETTINGS, row["event_id"])
    assert fetch_all(db, "SELECT note FROM billing_received_events WHERE status IN ('deferred', 'mismatch')") == []
    return _books(db, invoice)


def _endings(db: Connection, left: Sequence[Payload], end: Callable[[], None], most: int, told: int = 0) -> int:
    """Each order of what is left, to its end, and none of it stays; how many. What has one beginning is told once.

    most: where more are left than that, two of them are taken by chance at each step.
    """
    if not left:
        end()
        return 1
    chosen = left if len(left) <= most else CHANCE.sample(left, 2)
    ends = 0
    for one in chosen:
        with rehearsal(db, dry_run=True):
            hear(db, one, *([one] if told % 2 else []))
            ends += _endings(db, [other for other in left if other is not one], end, most, told + 1)
    return ends


# What of a life is told, what becomes of the invoice, and how many orders there are of the old shape.
PARTS: dict[str, tuple[set[str], str, int]] = {
    "all of it": (set(), "refunded", 720),
    "refunded": ({"invoice.voided"}, "refunded", 120),
    "paid": ({"invoice.voided", *REFUNDS}, "paid", 24),
    "voided": ({*PAYMENTS, *REFUNDS}, "cancelled", 24),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_order_of_the_old_shape_comes_to_the_same_books(db: Connection, alice: Person, part: str) -> None:
    but, status, orders = PARTS[part]
    assert _try_orders(db, alice, acacia(), but, status, most=6) == orders


@pytest.mark.parametrize("part", PARTS)
def test_orders_of_todays_shape_come_to_the_same_books(db: Connection, alice: Person, part: str) -> None:
    """Eight events have 40 320 orders: below the first ones, which are taken by chance, all are tried."""
    but, status, _ = PARTS[part]
    assert _try_orders(db, alice, endive(), but, status, most=3) >= 12


def test_a_payment_of_an_invoice_of_which_nothing_was_told_yet_waits_for_it(db: Connection, alice: Person) -> None:
    """An adopted invoice has its id of Stripe's, and no more is known of it."""
    invoice = collected(db, alice)
    with atomic(db):
        execute(db, "DELETE FROM billing_gateway_invoices")
    told, _ = endive()
    paid, piece = told[3:5]
    assert hear(db, piece, paid)[0] == ["deferred", "applied"]
    rows = fetch_all(db, "SELECT invoice_id, stripe_payment_intent_id AS intent FROM billing_payments")
    assert [(row["invoice_id"], row["intent"]) for row in rows] == [(invoice.id, "pi_1")]


def _try_orders(
    db: Connection, person: Person, life: tuple[list[Payload], list[Payload]], but: set[str], status: str, *, most: int
) -> int:
    invoice = collected(db, person, status="draft")
    told, twins = ([one for one in some if one["type"] not in but] for some in life)
    with rehearsal(db, dry_run=True):
        hear(db, *told)
        expected = _settled(db, invoice, twins)
        standing = stands(db, invoice)
    assert (standing.status, standing.account_credit, expected[0]["status"]) == (status, 0, status)

    parity = cycle([twins, []])

    def end() -> None:
        assert _settled(db, invoice, next(parity)) == expected

    with rehearsal(db, dry_run=True):
        hear(db, *twins)  # before all that they are twins of
        assert _endings(db, told, end, 2) >= 2
    return _endings(db, told, end, most)
