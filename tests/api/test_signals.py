"""What the host hears of money: once each, when it is committed, and each receiver by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from stripe import WebhookSignature

import billing_db
from api_v1 import Billing
from api_v1.signals import invoice_issued, invoice_paid, send, signal_named, usage_threshold_reached
from billing_db import Connection, atomic, execute
from tests.api.invoicing import Office
from tests.api.test_subscribing_face import lent
from tests.cast import SECRET, Cast, Person
from tests.issued import issue_one
from tests.stripe_payloads import event, invoice as stripe_invoice, is_customer
from turf_saas.demo import SELLER
from turf_saas.invoices import Invoice
from turf_saas.notices import Kind
from turf_saas.payments import Payment

SIGNED_WITH = "whsec_of_the_tests"
Heard = list[tuple[str, str, int | None]]


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(
        TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, STRIPE_WEBHOOK_SECRET=SIGNED_WITH, **SELLER
    )
    return app


@pytest.fixture
def billing(app: Flask, db: Connection) -> Billing:
    """It is 20 May."""
    billing = Billing(app)
    Office(app.test_client(), db).it_is(5, 20, 10)
    return billing


@pytest.fixture
def paid() -> Iterator[Heard]:
    """Number, status and the cents of the payment, of each invoice that is told as paid."""
    heard: Heard = []

    def receive(_: Flask, invoice: Invoice, payment: Payment | None) -> None:
        heard.append((invoice.number, invoice.status, payment.amount_cents if payment is not None else None))

    with invoice_paid.connected_to(receive):
        yield heard


def test_only_the_payment_that_brings_the_last_cent_tells_that_an_invoice_is_paid(
    billing: Billing, db: Connection, alice: Person, paid: Heard
) -> None:
    number = issue_one(db, alice, 1_000).number  # 12.00 with its VAT
    billing.record_payment(number, 1_199)
    assert paid == []
    billing.record_payment(number, 1)
    billing.record_payment(number, 300)  # more than is due
    assert paid == [(number, "paid", 1)]


def test_an_invoice_that_account_credit_pays_is_told_when_it_is_issued(
    app: Flask, billing: Billing, db: Connection, people: Cast, paid: Heard
) -> None:
    alice, ada = people.alice, people.ada
    first = issue_one(db, alice, 1_000).number
    billing.record_payment(first, 11_200)  # 100.00 of it is account credit
    billing.add_invoice_item(alice.id, "Setup", 1, "50")
    office = Office(app.test_client(), db)
    office.it_is(6, 2, 10)
    paid.clear()
    issued = office.client.post(
        f"/api/v1/billing/invoices/generate/{alice.id}", json={"period": "2030-05"}, headers=ada.headers
    )
    assert (issued.json["status"], issued.json["amount_cents"]) == ("paid", 6_000)
    assert paid == [(issued.json["number"], "paid", None)]


def test_a_payment_that_the_host_takes_back_is_not_told(
    app: Flask, billing: Billing, db: Connection, url: str, alice: Person, paid: Heard
) -> None:
    number = issue_one(db, alice, 1_000).number

    @app.post("/commit")
    @app.post("/undo", endpoint="undo")
    def view() -> str:
        from flask import request

        with lent(url) as connection:
            billing.record_payment(number, 1_200, db=connection)
            if request.path == "/commit":
                connection.commit()
            else:
                connection.rollback()
        return ""

    assert app.test_client().post("/undo").status_code == 200
    assert paid == []
    assert app.test_client().post("/commit").status_code == 200
    assert paid == [(number, "paid", 1_200)]


def post(app: Flask, payload: dict[str, Any]) -> str:
    body = json.dumps(payload)
    header = WebhookSignature.generate_signature_header(body, SIGNED_WITH, timestamp=int(time.time()))
    answer = app.test_client().post(
        "/api/v1/billing/webhooks/stripe",
        data=body,
        headers={"Stripe-Signature": header},
        content_type="application/json",
    )
    assert answer.status_code == 200, answer.data
    return str(answer.json["result"])


@pytest.fixture
def at_stripe(billing: Billing, db: Connection, alice: Person) -> Invoice:
    """An invoice of 12.00 that Stripe knows as in_1."""
    issued = issue_one(db, alice, 1_000)
    is_customer(db, alice.id)
    with atomic(db):
        execute(db, "UPDATE invoices SET stripe_invoice_id = 'in_1' WHERE id = :id", id=issued.id)
    return issued


def test_an_event_that_comes_twice_tells_once(app: Flask, at_stripe: Invoice, paid: Heard) -> None:
    payload = event("invoice.paid", stripe_invoice("in_1", status="paid", total=1_200))
    assert [post(app, payload), post(app, payload)] == ["applied", "duplicate"]
    twin = event("invoice.paid", stripe_invoice("in_1", status="paid", total=1_200))
    post(app, twin)
    assert paid == [(at_stripe.number, "paid", 1_200)]


def test_an_event_inside_a_block_that_is_taken_back_is_not_told(
    app: Flask, url: str, at_stripe: Invoice, paid: Heard
) -> None:
    payload = event("invoice.paid", stripe_invoice("in_1", status="paid", total=1_200))
    with pytest.raises(ZeroDivisionError), billing_db.atomic(billing_db.get_db(url)):  # noqa: PT012
        assert post(app, payload) == "applied"
        raise ZeroDivisionError
    assert paid == []


@pytest.mark.parametrize("signal", [invoice_paid, invoice_issued, usage_threshold_reached], ids=lambda one: one.name)
def test_a_receiver_that_fails_takes_the_news_from_no_other(signal: Any, caplog: pytest.LogCaptureFixture) -> None:
    app, heard = Flask("host"), []

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    def hear(_: Flask, about: str) -> None:
        heard.append(about)

    others = [fail, hear, lambda *_, **__: fail(), lambda _, about: heard.append(about)]
    for receiver in others:
        signal.connect(receiver, app)
    send(app, signal, about="it")
    send(Flask("another"), signal, about="another app's")
    for receiver in others:
        signal.disconnect(receiver, app)
    assert heard == ["it", "it"]
    assert len(caplog.records) == 2
    assert f"a receiver of {signal.name.replace('-', '_')} failed" in caplog.text


def test_a_receiver_that_fails_fails_no_request(
    app: Flask, at_stripe: Invoice, paid: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with invoice_paid.connected_to(fail):
        post(app, event("invoice.paid", stripe_invoice("in_1", status="paid", total=1_200)))
    assert paid == [(at_stripe.number, "paid", 1_200)]
    assert "a receiver of invoice_paid failed" in caplog.text


def test_there_is_a_signal_for_each_notice() -> None:
    kinds = Kind.__args__  # type: ignore[attr-defined]
    assert {signal_named(kind).name for kind in kinds} == {kind.replace("_", "-") for kind in kinds}
