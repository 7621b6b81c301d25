"""Money in Python: the same rules, refusals and signals as over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing
from api_v1.signals import invoice_issued, payment_refunded
from billing_db import Connection, fetch_all, fetch_one
from tests.api.invoicing import Office
from tests.api.test_subscribing_face import lent
from tests.cast import SECRET, Cast, Person
from tests.issued import issue_one, line
from turf_saas.demo import SELLER
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.invoices import Invoice
from turf_saas.payments import Payment


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, **SELLER)
    return app


@pytest.fixture
def billing(app: Flask, db: Connection) -> Billing:
    """It is 20 May."""
    billing = Billing(app)
    Office(app.test_client(), db).it_is(5, 20, 10)
    return billing


@pytest.fixture
def twelve(db: Connection, alice: Person) -> str:
    """The number of an invoice of 10.00 + 2.00."""
    return issue_one(db, alice, 1_000).number


@pytest.fixture
def told() -> Iterator[list[str]]:
    heard: list[str] = []

    def receive(_: Flask, invoice: Invoice) -> None:
        heard.append(invoice.number)

    invoice_issued.connect(receive)
    yield heard
    invoice_issued.disconnect(receive)


def test_a_payment_is_recorded_and_the_invoice_says_so(billing: Billing, db: Connection, twelve: str) -> None:
    done = billing.record_payment(twelve, 500, method="check", reference="CHQ 12", received_on=date(2030, 5, 19))
    assert (done.payment.amount_cents, done.invoice.status, done.invoice.due_cents) == (500, "pending", 700)
    rest = billing.record_payment(twelve, 900)
    assert (rest.excess_cents, rest.invoice.status, rest.payment.method) == (200, "paid", "transfer")
    assert rest.payment.received_on == "2030-05-20"
    assert billing.get_invoice(twelve) == rest.invoice
    row = fetch_one(db, "SELECT * FROM billing_payments WHERE id = :id", id=done.payment.id)
    assert row is not None
    assert (row["reference"], row["received_on"], row["created_by"]) == ("CHQ 12", "2030-05-19", "app")


def test_a_refund_goes_out_and_is_told(billing: Billing, twelve: str, told: list[str]) -> None:
    paid = billing.record_payment(twelve, 1_200).payment
    seen: list[tuple[int, object]] = []

    def hear(_app: Flask, payment: Payment, refund: object) -> None:
        seen.append((payment.refunded_cents, refund))

    with payment_refunded.connected_to(hear):
        part = billing.refund_payment(paid.id, 500)
        rest = billing.refund_payment(paid.id)
    assert (part.payment.refunded_cents, rest.payment.left_cents, part.refund) == (500, 0, None)
    assert part.credit_note is not None
    assert rest.credit_note is not None
    assert told == [part.credit_note.number, rest.credit_note.number]
    assert seen == [(500, None), (1_200, None)]
    with pytest.raises(Conflict, match="refund_too_large"):
        billing.refund_payment(paid.id)
    with pytest.raises(InvalidInput, match="Out of range"):
        billing.refund_payment(paid.id, 0)


def test_a_credit_note_is_issued_and_told(billing: Billing, db: Connection, alice: Person, told: list[str]) -> None:
    number = issue_one(db, alice, 1_000, line(500, description="Setup")).number
    part = billing.credit_note(number, 120, reason="Outage")
    assert (part.amount_cents, part.reason, part.credited_number) == (-120, "Outage", number)
    of_a_line = billing.credit_note(number, lines=[{"position": 2, "net_cents": 300}])
    assert of_a_line.net_cents == -300
    rest = billing.credit_note(number)
    assert (part.amount_cents + of_a_line.amount_cents + rest.amount_cents) == -1_800
    assert told == [part.number, of_a_line.number, rest.number]
    assert billing.get_invoice(number).status == "cancelled"


def test_an_item_is_on_the_invoice_of_its_month(billing: Billing, app: Flask, db: Connection, alice: Person) -> None:
    item = billing.add_invoice_item(alice.id, "Setup", Decimal("1.5"), "120.00")
    assert (item.month, item.amount_cents, item.currency) == ("2030-05", 18_000, "EUR")
    assert billing.add_invoice_item(alice.id, "Hours", 2, Decimal("1E+1")).amount_cents == 2_000
    Office(app.test_client(), db).it_is(6, 1)
    issued = billing.generate_monthly_invoice(alice.id, "2030-05")
    assert issued is not None
    assert [(one.description, one.net_cents) for one in issued.lines] == [("Setup", 18_000), ("Hours", 2_000)]


def test_what_http_refuses_is_refused_in_the_same_words(
    billing: Billing, db: Connection, people: Cast, twelve: str
) -> None:
    def payment(**given: Any) -> Any:
        return billing.record_payment(**{"number": twelve, "amount_cents": 1, **given})

    def item(**given: Any) -> Any:
        good = {"user_id": people.alice.id, "description": "Setup", "quantity": 1, "unit_amount": "1"}
        return billing.add_invoice_item(**{**good, **given})

    def note(**given: Any) -> Any:
        return billing.credit_note(**{"number": twelve, **given})

    for call, given, code in (
        (payment, {"amount_cents": 0}, "field_range"),
        (payment, {"amount_cents": "12"}, "field_type"),
        (payment, {"method": "shells"}, "field_choice"),
        (payment, {"reference": "a\nb"}, "field_control"),
        (payment, {"received_on": "2030-05-21"}, "received_in_future"),
        (payment, {"received_on": "1969-12-31"}, "received_too_early"),
        (payment, {"number": "FACT\0"}, "field_text"),
        (note, {"amount_cents": 1.5}, "field_type"),
        (note, {"lines": []}, "field_length"),
        (note, {"lines": [{"position": 1, "cents": 1}]}, "field_unknown"),
        (note, {"lines": [{"position": 1}], "amount_cents": 1}, "credit_amount_or_lines"),
        (item, {"quantity": 1.5}, "decimal_invalid"),
        (item, {"unit_amount": Decimal("NaN")}, "decimal_invalid"),
        (item, {"unit_amount": Decimal(-1)}, "field_range"),
        (item, {"description": ""}, "field_length"),
        (item, {"currency": "eur"}, "field_format"),
    ):
        with pytest.raises(InvalidInput) as refused:
            call(**given)
        assert code in (refused.value.code, *(fault.code for fault in refused.value.faults)), (given, refused.value)
    with pytest.raises(Conflict, match="Only 1000 cents net are left to credit of line 1"):
        note(lines=[{"position": 1, "net_cents": 1_001}])
    for missing in ({"number": "FACT-1"}, {"tenant_id": 2}):
        for call in (payment, note):
            with pytest.raises(NotFound, match="invoice_not_found"):
                call(**missing)
        with pytest.raises(NotFound, match="invoice_not_found"):
            billing.get_invoice(**{"number": twelve, **missing})
    with pytest.raises(NotFound, match="user_not_found"):
        item(user_id="nobody")
    assert (fetch_all(db, "SELECT id FROM billing_payments"), len(fetch_all(db, "SELECT id FROM invoices"))) == ([], 1)


def test_lent_a_connection_it_belongs_to_the_hosts_transaction(
    app: Flask, billing: Billing, db: Connection, url: str, alice: Person, twelve: str, told: list[str]
) -> None:
    @app.post("/book/<what>")
    def book(what: str) -> str:
        with lent(url) as given:
            billing.record_payment(twelve, 500, db=given)
            billing.credit_note(twelve, 100, db=given)
            billing.add_invoice_item(alice.id, "Setup", 1, 1, db=given)
            assert billing.get_invoice(twelve, db=given).due_cents == 600
            given.commit() if what == "keep" else given.rollback()
        return "done"

    def counted() -> list[int]:
        tables = ("billing_payments", "invoices", "billing_pending_items")
        return [fetch_one(db, f"SELECT COUNT(*) AS n FROM {table}")["n"] for table in tables]  # type: ignore[index]

    client = app.test_client()
    assert client.post("/book/undo").status_code == 200
    assert (counted(), told) == ([0, 1, 0], [])
    assert client.post("/book/keep").status_code == 200
    assert (counted(), told) == ([1, 2, 1], ["FACT-203005-0001"])
