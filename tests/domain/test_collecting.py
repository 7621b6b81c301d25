"""Invoices are brought to Stripe over real sockets: once, to the cent, whatever is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from api_v1.stripe_fake import StripeFake
from billing_db import Connection
from tests.cast import Person
from tests.collected import Collector, calls, issue
from tests.issued import line


@pytest.fixture
def collector(db: Connection, stripe_fake: StripeFake) -> Collector:
    return Collector(db, stripe_fake)


def lines_of(there: Any) -> list[tuple[str, int]]:
    return [(one["description"], one["amount"]) for one in there["lines"]["data"]]


def test_an_invoice_stands_at_stripe_once_to_the_cent(collector: Collector, alice: Person) -> None:
    invoice = issue(
        collector.db,
        collector.settings,
        alice,
        line(4_900),
        line(-490, kind="discount"),
        line(1_055, "5.5", inclusive=True),
    )
    assert (invoice.net_cents, invoice.tax_cents, invoice.amount_cents) == (5_410, 937, 6_347)
    collector.work()
    (there,) = collector.at_stripe()
    assert lines_of(there) == [
        ("Pro subscription", 4_900), ("Pro subscription", -490), ("Pro subscription", 1_000),
        ("VAT 20 %", 882), ("VAT 5.5 %", 55),
    ]  # fmt: skip
    assert (there["status"], there["total"], there["number"]) == ("open", 6_347, invoice.number)
    assert there["collection_method"] == "send_invoice"
    assert there["due_date"] == 1780271999  # 31 May 2026, 23:59:59: its due_on
    assert there["metadata"]["local_invoice_id"] == str(invoice.id)
    row = collector.row(invoice)
    assert (row.status, row.provider_id, row.amount_cents) == ("open", there["id"], 6_347)
    assert row.hosted_url == there["hosted_invoice_url"]
    assert {call.rpartition(" ")[2] for call in calls(collector.db)} == {"done"}
    before = len(collector.fake.requests)
    collector.work_through(24)
    assert len(collector.fake.requests) == before
