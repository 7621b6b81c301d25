"""Payouts: of what each is made, to the cent, with what Stripe has kept; in whatever order it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import stripe

from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.domain.working import Clock
from tests.issued import SETTINGS
from tests.stripe import KEY, client_of, paying_customer
from tests.stripe_payloads import AT, event, payout, tell, tell_all
from turf_saas.job_kinds import KINDS
from turf_saas.payouts import Payout, list_payouts
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.working import Around, Ran, run_stored

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


def hear(db: Connection, fake: StripeFake) -> None:
    for one in fake.events:
        if one["type"].startswith("payout."):
            tell(db, NOW, SETTINGS, one)


def work(db: Connection, fake: StripeFake, hours: float = 0) -> Ran:
    clock = Clock(NOW)
    clock.pass_(hours=hours)
    return run_stored(db, clock, Around(SETTINGS, stripe=StripeGateway(KEY, fake.url, retries=0)), KINDS)


def pay(client: stripe.StripeClient, amount: int) -> stripe.Charge:
    customer = paying_customer(client)
    draft = client.v1.invoices.create({"customer": customer, "currency": "eur"})
    client.v1.invoice_items.create({"customer": customer, "invoice": draft.id, "amount": amount, "currency": "eur"})
    client.v1.invoices.finalize_invoice(draft.id)
    client.v1.invoices.pay(draft.id)
    return client.v1.charges.list().data[0]


def one(db: Connection) -> Payout:
    (found,) = list_payouts(db)
    return found


def test_charges_refunds_disputes_and_fees_come_to_what_was_sent(db: Connection, stripe_fake: StripeFake) -> None:
    """100.00 and 20.00 with 1.5 % and 25 cents each; 40.00 went back; 10.00 and a fee of 15.00 went by a dispute."""
    client = client_of(stripe_fake)
    first = pay(client, 10_000)
    second = pay(client, 2_000)
    client.v1.refunds.create({"charge": first.id, "amount": 4_000})
    stripe_fake.dispute(second.id, 1_000)
    assert stripe_fake.pay_out() is not None
    hear(db, stripe_fake)
    assert one(db).agrees is None
    work(db, stripe_fake)
    found = one(db)
    assert (found.gross_cents, found.refunds_cents, found.disputes_cents) == (12_000, -4_000, -1_000)
    assert (found.fees_cents, found.dispute_fees_cents, found.other_cents) == (175 + 55, 1_500, 0)
    assert (found.net_cents, found.amount_cents) == (5_270, 5_270)
    assert (found.lines, found.agrees) == (4, True)
    work(db, stripe_fake, 1)
    assert one(db) == found


def test_a_payout_that_lacks_a_line_does_not_agree(db: Connection, stripe_fake: StripeFake) -> None:
    pay(client_of(stripe_fake), 10_000)
    stripe_fake.pay_out()
    hear(db, stripe_fake)
    for line in stripe_fake.world.all("balance_transaction", type="charge"):
        line |= {"fee": 0, "net": line["amount"]}
    work(db, stripe_fake)
    assert (one(db).net_cents, one(db).amount_cents, one(db).agrees) == (10_000, 9_825, False)


def test_of_one_that_was_asked_for_by_hand_nothing_more_is_known(db: Connection, stripe_fake: StripeFake) -> None:
    client = client_of(stripe_fake)
    pay(client, 10_000)
    client.v1.payouts.create({"amount": 5_000, "currency": "eur"})
    hear(db, stripe_fake)
    work(db, stripe_fake)
    assert (one(db).lines, one(db).agrees, one(db).read_at is not None) == (0, None, True)


def test_a_payout_stands_where_it_was_last_in_whatever_order_that_is_told(db: Connection) -> None:
    for number, order in enumerate(permutations(("pending", "in_transit", "paid", "failed"))):
        words = {"pending": "created", "in_transit": "updated"}
        told = [
            event(f"payout.{words.get(status, status)}", payout(f"po_{number}", status=status), at=AT + 3_600 * day)
            for day, status in enumerate(("pending", "in_transit", "paid", "failed"))
        ]
        by = {payload["data"]["object"]["status"]: payload for payload in told}
        assert set(tell_all(db, NOW, SETTINGS, [by[status] for status in order])) == {"applied"}
    found = {(one.status, one.arrives_on, one.amount_cents) for one in list_payouts(db, limit=50)}
    assert found == {("failed", "2026-05-20", 2_221)}


def test_what_is_no_payout_that_can_be_read_is_an_alarm(db: Connection) -> None:
    received = tell(db, NOW, SETTINGS, event("payout.paid", payout(status="unheard_of")))
    assert [notice.kind for notice in received.notices] == ["payment_mismatch"]
    assert list_payouts(db) == []


def test_one_that_is_not_reconciled_yet_is_read_later(db: Connection, stripe_fake: StripeFake) -> None:
    pay(client_of(stripe_fake), 10_000)
    made = stripe_fake.pay_out()
    assert made is not None
    hear(db, stripe_fake)
    stripe_fake.world.get("payout", made["id"])["reconciliation_status"] = "in_progress"
    assert work(db, stripe_fake).put_off == 1
    stripe_fake.world.get("payout", made["id"])["reconciliation_status"] = "completed"
    assert work(db, stripe_fake, 1).completed == 1
    assert one(db).agrees is True
