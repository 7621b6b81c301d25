"""Stripe's events over real sockets to four processes: fifty at once, and to ones that are killed in the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.issued import issue_one
from tests.scenarios.serving import Server
from tests.stripe import SECRET, signed
from tests.stripe_payloads import Payload, event, invoice, invoice_payment, is_customer
from turf_saas import invoices, received_events
from turf_saas.invoices import Invoice

WEBHOOK = "/api/v1/billing/webhooks/stripe"
PROCESSES, TIMES = 4, 50


class _Host(Server):
    application = "tests.scenarios.webhook_host:app"

    def post(self, payload: Payload) -> str:
        """The result, or `lost` where nobody answered."""
        body, header = signed(payload)
        connection = HTTPConnection(str(urlsplit(self.address).netloc), timeout=40)
        try:
            connection.request("POST", WEBHOOK, body, {"Stripe-Signature": header, "Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read().decode()
            return text.partition('"result":')[2].strip(' "}\n') or f"{reply.status} {text}"
        except (HTTPException, OSError):
            return "lost"
        finally:
            connection.close()


@pytest.fixture
def host(url: str, db: Connection, tmp_path: Path) -> Iterator[_Host]:
    server = _Host(url, "--workers", str(PROCESSES), STRIPE_WEBHOOK_SECRET=SECRET, DYING=str(tmp_path))
    yield server
    server.stop()


@pytest.fixture
def ours(db: Connection, alice: Person) -> Invoice:
    """49.00 and its VAT, sent to Stripe as in_1."""
    is_customer(db, alice.id)
    issued = issue_one(db, alice, 4_900)
    with atomic(db):
        execute(db, "UPDATE invoices SET stripe_invoice_id = 'in_1' WHERE id = :id", id=issued.id)
    return invoices.get_by_id(db, issued.id)


def _paid(total: int) -> Payload:
    return event("invoice.paid", invoice("in_1", total=total, status="paid"))


def test_the_same_event_fifty_times_at_once_has_one_effect(host: _Host, db: Connection, ours: Invoice) -> None:
    paid = _paid(ours.amount_cents)
    with ThreadPoolExecutor(24) as pool:
        results = Counter(pool.map(host.post, [paid] * TIMES))
    assert results == {"applied": 1, "duplicate": TIMES - 1}
    assert invoices.get_by_id(db, ours.id).status == "paid"
    rows = fetch_all(db, "SELECT amount_cents FROM billing_payments")
    assert [row["amount_cents"] for row in rows] == [ours.amount_cents]


def test_the_twins_of_one_payment_at_once_are_one_payment(host: _Host, db: Connection, ours: Invoice) -> None:
    """invoice.paid, its twin payment_succeeded and invoice_payment.paid come in one second, each several times."""
    whole = ours.amount_cents
    about = invoice("in_1", total=whole, status="paid")
    told = [event("invoice.paid", about), event("invoice.payment_succeeded", about),
            event("invoice_payment.paid", invoice_payment(amount=whole))]  # fmt: skip
    with ThreadPoolExecutor(24) as pool:
        results = Counter(pool.map(host.post, told * 8))
    assert results["duplicate"] == 21, (results, host.log)
    assert invoices.get_by_id(db, ours.id).status == "paid"
    rows = fetch_all(db, "SELECT amount_cents, stripe_payment_intent_id AS intent FROM billing_payments")
    assert [(row["amount_cents"], row["intent"]) for row in rows] == [(whole, "pi_1")]


def test_whoever_is_killed_before_the_commit_has_done_nothing_and_the_next_delivery_does_it(
    host: _Host, db: Connection, tmp_path: Path
) -> None:
    (tmp_path / "before_the_commit").touch()
    noted = event("test.noted", {"id": "x"})
    assert host.post(noted) == "lost"
    assert received_events.list_events(db) == []
    assert [host.post(noted) for _ in range(2)] == ["applied", "duplicate"]


def test_whoever_is_killed_before_the_answer_has_done_it_and_the_next_delivery_is_a_duplicate(
    host: _Host, db: Connection, tmp_path: Path, ours: Invoice
) -> None:
    (tmp_path / "before_the_answer").touch()
    paid = _paid(ours.amount_cents)
    assert host.post(paid) == "lost"
    assert [one.status for one in received_events.list_events(db)] == ["applied"]
    assert host.post(paid) == "duplicate"
    assert (invoices.get_by_id(db, ours.id).status, len(fetch_all(db, "SELECT id FROM billing_payments"))) == (
        "paid", 1)  # fmt: skip
