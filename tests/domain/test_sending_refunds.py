"""Refunds that are asked for here: at Stripe each once, whatever is lost on the way; and what it refuses is credit."""

from __future__ import annotations

import os
import random
import traceback
from typing import Any

import pytest

import billing_db
from api_v1.stripe_fake import StripeFake
from billing_db import Connection, fetch_all, fetch_one
from tests.cast import Person
from tests.domain.money_back import NOW, books
from tests.domain.working import Clock
from tests.issued import SETTINGS, issue_one
from tests.stripe import KEY, client_of, paying_customer
from tests.stripe_payloads import is_customer, tell
from turf_saas import payments, refunds
from turf_saas.invoices import Invoice
from turf_saas.job_kinds import KINDS
from turf_saas.payments import Payment, Source
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.working import Around, Ran, run_stored

KILLED = 9


class Stage:
    """An invoice of 1200 cents that was paid at the fake, and a worker that may talk to it."""

    def __init__(self, db: Connection, fake: StripeFake, alice: Person, card: str = "pm_card_visa") -> None:
        self.db, self.fake, self.clock = db, fake, Clock(NOW)
        self.client = client_of(fake)
        self.stripe = StripeGateway(KEY, fake.url, retries=0)
        self.notices: list[Any] = []
        customer = paying_customer(self.client, card)
        is_customer(db, alice.id, customer)
        draft = self.client.v1.invoices.create({"customer": customer, "currency": "eur"})
        self.client.v1.invoice_items.create(
            {"customer": customer, "invoice": draft.id, "amount": 1_200, "currency": "eur"}
        )
        self.client.v1.invoices.finalize_invoice(draft.id)
        self.client.v1.invoices.pay(draft.id)
        self.charge = self.client.v1.charges.list().data[0]
        source = Source("stripe", str(draft.id), str(self.charge.payment_intent), self.charge.id)
        done = payments.receive(
            db, NOW, SETTINGS, issue_one(db, alice, 1_000), source, amount_cents=1_200, method="card"
        )
        assert done is not None
        self.of: tuple[Invoice, Payment] = (done.invoice, done.payment)

    def ask(self, cents: int) -> int:
        done = refunds.refund(self.db, NOW, SETTINGS, 1, self.of[1].id, amount_cents=cents)
        assert done.refund is not None
        return done.refund.id

    def around(self) -> Around:
        return Around(SETTINGS, stripe=self.stripe, noticed=self.notices.extend)

    def work(self, hours: float = 0) -> Ran:
        self.clock.pass_(hours=hours)
        return run_stored(self.db, self.clock, self.around(), KINDS)

    def made(self) -> list[tuple[int, str]]:
        """The refunds that are at Stripe."""
        return [(one.amount, str(one.status)) for one in self.client.v1.refunds.list().data]

    def told(self) -> list[str]:
        return [one.kind for one in self.notices]

    def hear(self) -> None:
        """What the fake has told of money that went back, shuffled, some of it twice."""
        heard = [one for one in self.fake.events if one["type"].startswith(("refund.", "charge.refund"))]
        for event in random.Random(7).sample([*heard, *heard[:2]], len(heard) + min(2, len(heard))):
            self.notices += tell(self.db, self.clock(), SETTINGS, event).notices


@pytest.fixture
def stage(db: Connection, stripe_fake: StripeFake, alice: Person) -> Stage:
    return Stage(db, stripe_fake, alice)


def test_a_refund_is_sent_and_what_stripe_tells_of_it_changes_nothing_more(stage: Stage) -> None:
    stage.ask(500)
    assert stage.work().completed == 1
    assert stage.made() == [(500, "succeeded")]
    after = books(stage.db, *stage.of)
    assert (after.refunds[0][1:], after.refunded, after.notes) == ((500, "succeeded", 500), 500, [-500])
    stage.hear()
    assert books(stage.db, *stage.of) == after
    assert stage.told() == ["payment_refunded"]


def test_what_fails_at_the_bank_afterwards_is_account_credit(
    db: Connection, stripe_fake: StripeFake, alice: Person
) -> None:
    stage = Stage(db, stripe_fake, alice, "pm_card_pendingRefund")
    stage.ask(1_200)
    stage.work()
    assert stage.told() == []
    assert books(db, *stage.of).status == "refunded"
    stripe_fake.fail_refund(stage.client.v1.refunds.list().data[0].id)
    stage.hear()
    after = books(db, *stage.of)
    assert (after.status, after.account_credit, after.refunded) == ("paid", 1_200, 0)
    assert stage.told() == ["refund_failed"]


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"status": 429},
        {"status": 503},
        {"status": 500, "stored": True},
        {"status": 500, "stored": True, "executed": True},
    ],
    ids=str,
)
def test_an_answer_that_is_lost_makes_no_second_refund(stage: Stage, fault: dict[str, Any]) -> None:
    """Nor does a key that Stripe has forgotten by the time that we ask again."""
    stage.ask(500)
    stage.fake.fault("POST", "/v1/refunds", **fault)
    assert stage.work().retryable == 1
    stage.work(1)
    stage.work(1)
    assert stage.made() == [(500, "succeeded")]
    assert stage.told() == ["payment_refunded"]


def test_a_lost_answer_is_found_again_when_its_key_is_forgotten(stage: Stage) -> None:
    stage.ask(500)
    stage.fake.fault("POST", "/v1/refunds", drop="after")
    stage.work()
    stage.fake.prune_keys(0)
    assert stage.work(24).completed == 1
    assert stage.made() == [(500, "succeeded")]
    assert stage.told() == ["payment_refunded"]


def test_what_is_refused_because_a_lost_answer_has_done_it_already_is_done(stage: Stage) -> None:
    """The whole of it went back, and Stripe has forgotten the key: it says that nothing is left."""
    stage.ask(1_200)
    stage.fake.fault("POST", "/v1/refunds", drop="after")
    stage.work()
    stage.fake.prune_keys(0)
    assert stage.work(1).completed == 1
    assert stage.made() == [(1_200, "succeeded")]
    assert (stage.told(), books(stage.db, *stage.of).refunded) == (["payment_refunded"], 1_200)


class Dying(StripeGateway):
    """The process is gone the moment after Stripe has answered."""

    def create_refund(self, params: Any, key: str) -> Any:
        super().create_refund(params, key)
        os._exit(KILLED)


def test_a_worker_that_is_killed_after_the_answer_leaves_one_refund(stage: Stage, url: str) -> None:
    stage.ask(500)
    pid = os.fork()
    if not pid:
        try:
            stage.stripe = Dying(KEY, stage.fake.url, retries=0)
            run_stored(billing_db.connect(url), stage.clock, stage.around(), KINDS)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == KILLED
    row = fetch_one(stage.db, "SELECT stripe_refund_id FROM billing_refunds")
    assert row is not None
    assert row["stripe_refund_id"] is None
    assert stage.work(0.2).completed == 1
    assert stage.made() == [(500, "succeeded")]
    assert books(stage.db, *stage.of).refunded == 500


def test_what_stripe_refuses_is_account_credit_and_somebody_is_told(stage: Stage) -> None:
    """Somebody was faster, over there: then our refund makes room for his."""
    stage.ask(1_200)
    stage.client.v1.refunds.create({"charge": stage.charge.id, "amount": 1_200})
    stage.hear()
    assert stage.work().completed == 1
    after = books(stage.db, *stage.of)
    assert sorted(row[2:] for row in after.refunds) == [("failed", 0), ("succeeded", 1_200)]
    assert (after.status, after.account_credit, after.refunded, after.notes) == ("refunded", 0, 1_200, [-1_200])
    assert stage.told().count("refund_failed") == 1


def test_a_key_without_the_permission_is_mended_and_not_the_refund(stage: Stage) -> None:
    stage.ask(500)
    stage.fake.fault("POST", "/v1/refunds", status=403)
    assert stage.work().retryable == 1
    assert books(stage.db, *stage.of).refunds == [(None, 500, "pending", 500)]
    assert stage.work(1).completed == 1


def test_stripe_is_asked_what_has_paid_where_no_event_has_told_it_yet(stage: Stage) -> None:
    with billing_db.atomic(stage.db):
        billing_db.execute(
            stage.db, "UPDATE billing_payments SET stripe_payment_intent_id = NULL, stripe_charge_id = NULL"
        )
    stage.ask(500)
    assert stage.work().completed == 1
    assert stage.made() == [(500, "succeeded")]


def test_money_that_stripe_never_had_cannot_go_back_there(stage: Stage) -> None:
    """Of an invoice that somebody marked as paid over there."""
    draft = stage.client.v1.invoices.create({"customer": str(stage.charge.customer), "currency": "eur"})
    stage.client.v1.invoice_items.create(
        {"customer": str(stage.charge.customer), "invoice": draft.id, "amount": 1_200, "currency": "eur"}
    )
    stage.client.v1.invoices.finalize_invoice(draft.id)
    stage.client.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    with billing_db.atomic(stage.db):
        billing_db.execute(
            stage.db,
            """UPDATE billing_payments
                  SET gateway_key = :key, stripe_payment_intent_id = NULL, stripe_charge_id = NULL""",
            key=draft.id,
        )
    stage.ask(500)
    stage.work()
    rows = fetch_all(stage.db, "SELECT status, booked_cents FROM billing_refunds")
    assert [(row["status"], row["booked_cents"]) for row in rows] == [("failed", 0)]
    assert (stage.made(), stage.told()) == ([], ["refund_failed"])


def test_without_stripe_it_waits(stage: Stage) -> None:
    stage.ask(500)
    ran = run_stored(stage.db, stage.clock, Around(SETTINGS), KINDS)
    assert (ran.retryable, ran.dead) == (1, 0)


# -- credit that Stripe keeps ----------------------------------------------------------------------------


def credit_there(stage: Stage, cents: int) -> None:
    """The owner credits the invoice in the dashboard, to the customer's balance, and Stripe tells of it."""
    invoice_id = str(stage.of[1].gateway_key)
    stage.client.v1.credit_notes.create({"invoice": invoice_id, "amount": cents, "credit_amount": cents})
    (event,) = [one for one in stage.fake.events if one["type"] == "credit_note.created"]
    with billing_db.atomic(stage.db):
        billing_db.execute(
            stage.db,
            "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id",
            stripe_id=invoice_id,
            id=stage.of[0].id,
        )
    stage.notices += tell(stage.db, stage.clock(), SETTINGS, event).notices


def kept_there(stage: Stage) -> list[int]:
    return [one["balance"] for one in stage.fake.objects.values() if one["object"] == "customer"]


@pytest.mark.parametrize("fault", [None, {"drop": "before"}, {"drop": "after"}, {"status": 503}], ids=str)
def test_credit_in_the_customers_balance_there_is_account_credit_here_and_nowhere_else(
    stage: Stage, fault: dict[str, Any] | None
) -> None:
    credit_there(stage, 500)
    assert (books(stage.db, *stage.of).account_credit, kept_there(stage)) == (500, [-500])
    if fault is not None:
        stage.fake.fault("POST", "/v1/customers", **fault)
    stage.work()
    stage.work(1)
    stage.work(1)
    assert (books(stage.db, *stage.of).account_credit, kept_there(stage)) == (500, [0])
