"""The calls of tests/api/examples.py about credit notes, payments, one-off items and the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from tests.api.examples import Call, Stage, example
from tests.cast import Person
from tests.issued import SETTINGS
from turf_saas import invoice_items, payments, stripe_calls
from turf_saas.users import User


def new_payment(stage: Stage, person: Person) -> int:
    """The id of a payment of the person's, which paid an invoice and a little more."""
    done = payments.record_payment(
        stage.db,
        datetime.now(UTC),
        SETTINGS,
        person.tenant_id,
        stage.new_invoice(person),
        amount_cents=1_300,
        reference=stage.mark(person),
    )
    return done.payment.id


def new_item(stage: Stage, person: Person) -> int:
    """The id of a one-off item of the person's, which waits for its invoice."""
    return invoice_items.add_item(
        stage.db,
        datetime.now(UTC),
        SETTINGS,
        User(person.id, person.tenant_id, "user"),
        description=stage.mark(person),
        quantity=Decimal(1),
        unit_amount=Decimal(7),
    ).id


@example
def credit_invoice(stage: Stage, person: Person) -> Call:
    lines = {"lines": [{"position": 1, "net_cents": 100}], "reason": stage.mark(person)}
    return Call(
        path={"number": stage.new_invoice(person)},
        body={"amount_cents": 600, "reason": stage.mark(person)},
        others=(lines,),
    )


@example
def record_payment(stage: Stage, person: Person) -> Call:
    body = {"amount_cents": 600, "method": "transfer", "reference": stage.mark(person), "received_on": "2026-05-20"}
    return Call(path={"number": stage.new_invoice(person)}, body=body)


@example
def list_attempts(stage: Stage, person: Person) -> Call:
    return Call(path={"number": stage.new_invoice(person)})


@example
def refund_payment(stage: Stage, person: Person) -> Call:
    return Call(path={"payment_id": new_payment(stage, person)}, body={"amount_cents": 200})


@example
def list_payments(stage: Stage, person: Person) -> Call:
    new_payment(stage, person)
    new_payment(stage, person)
    return Call(query={"limit": 1})


@example
def create_invoice_item(stage: Stage, person: Person) -> Call:
    price = {"quantity": "1.5", "unit_amount": "120.00", "currency": "EUR"}
    return Call(body={"user_id": person.id, "description": stage.mark(person), **price})


@example
def list_invoice_items(stage: Stage, person: Person) -> Call:
    new_item(stage, person)
    new_item(stage, person)
    return Call(query={"limit": 1})


@example
def remove_invoice_item(stage: Stage, person: Person) -> Call:
    return Call(path={"item_id": new_item(stage, person)})


@example
def list_account_credit(stage: Stage, person: Person) -> Call:
    new_payment(stage, person)
    new_payment(stage, person)
    return Call(query={"limit": 1})


@example
def list_transactions(stage: Stage, person: Person) -> Call:
    new_payment(stage, person)
    new_payment(stage, person)
    return Call(query={"limit": 1})


@example
def open_checkout(stage: Stage, person: Person) -> Call:
    stripe_calls.installation(stage.db)  # drawn when it is first asked for
    return Call(body={"plan": "premium"})


@example
def open_portal(stage: Stage, person: Person) -> Call:
    stripe_calls.installation(stage.db)
    return Call(body={})
