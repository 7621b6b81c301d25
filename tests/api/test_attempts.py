"""How an invoice is collected, as its user sees it: where he can pay it, and what came of each try."""

from __future__ import annotations

from flask.testing import FlaskClient

from billing_db import Connection, atomic, execute
from tests.cast import Person
from tests.domain.at_stripe import collected, hear
from tests.stripe_payloads import AT, event, invoice as there, invoice_payment

URL = "/api/v1/billing/invoices"


def test_an_open_invoice_says_where_it_can_be_paid_and_what_came_of_each_try(
    client: FlaskClient, db: Connection, alice: Person, bob: Person, ada: Person
) -> None:
    invoice = collected(db, alice, status="draft")
    path = f"{URL}/{invoice.number}"
    assert client.get(path, headers=alice.headers).get_json()["payment_url"] is None
    intent = {"id": "pi_1", "last_payment_error": {"code": "card_declined", "decline_code": "insufficient_funds"}}
    hear(
        db,
        event(
            "invoice.payment_failed", there(attempt_count=1, payment_intent=intent, next_payment_attempt=AT + 86_400)
        ),
    )
    assert client.get(path, headers=alice.headers).get_json()["payment_url"] == "https://invoice.stripe.com/i/in_1"
    failed = {
        "status": "failed", "amount_cents": 2_280, "currency": "EUR", "code": "insufficient_funds", "hard": False,
        "next_attempt_at": "2026-05-21T09:00:00Z", "happened_at": "2026-05-20T09:00:00Z",
    }  # fmt: skip
    for person in (alice, ada):
        answer = client.get(f"{path}/attempts", headers=person.headers)
        assert (answer.status_code, answer.get_json()) == (
            200,
            {"gateway": "stripe", "status": "open", "items": [failed]},
        )
    assert client.get(f"{path}/attempts", headers=bob.headers).status_code == 404
    paid = there(status="paid", attempt_count=1)
    hear(db, event("invoice.paid", paid, at=AT + 60), event("invoice_payment.paid", invoice_payment(), at=AT + 60))
    assert client.get(path, headers=alice.headers).get_json()["payment_url"] is None
    tries = client.get(f"{path}/attempts", headers=alice.headers).get_json()["items"]
    assert [one["status"] for one in tries] == ["failed", "succeeded"]
    (payment,) = client.get("/api/v1/billing/payments", headers=alice.headers).get_json()["items"]
    assert (payment["gateway"], payment["reference"]) == ("stripe", "pi_1")


def test_an_invoice_that_nobody_collects_has_no_tries(client: FlaskClient, db: Connection, alice: Person) -> None:
    invoice = collected(db, alice)
    with atomic(db):
        execute(db, "DELETE FROM billing_gateway_invoices WHERE invoice_id = :id", id=invoice.id)
    answer = client.get(f"{URL}/{invoice.number}/attempts", headers=alice.headers)
    assert answer.get_json() == {"gateway": None, "status": None, "items": []}
