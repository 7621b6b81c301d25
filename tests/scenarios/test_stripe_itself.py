"""The same against Stripe's sandbox, where a key is there: what our own fake takes, Stripe itself must take.

STRIPE_TEST_KEY=sk_test_… python -m pytest tests/scenarios/test_stripe_itself.py. What it makes there it voids.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
import stripe as sdk

from api_v1.stripe_fake import StripeFake
from billing_db import Connection, atomic, execute
from tests.cast import Person
from tests.collected import issue
from tests.domain.working import Clock
from tests.issued import line
from tests.stripe import KEY, client_of
from turf_saas import gateway_invoices, invoice_numbers
from turf_saas.invoices import Invoice
from turf_saas.job_kinds import KINDS
from turf_saas.settings import Settings, read_settings
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.working import Around, run_stored

SANDBOX_KEY = os.environ.get("STRIPE_TEST_KEY", "")  # at import: each test takes STRIPE_* out of its environment


class Side(NamedTuple):
    """Who is asked: by us, and by the SDK for what only a customer's browser does."""

    gateway: StripeGateway
    client: sdk.StripeClient


@pytest.fixture(params=["the fake", "Stripe"])
def side(request: pytest.FixtureRequest) -> Side:
    """The fake first: so these tests are known to be right where nobody has a key."""
    if request.param == "the fake":
        fake: StripeFake = request.getfixturevalue("stripe_fake")
        return Side(StripeGateway(KEY, fake.url), client_of(fake))
    if not SANDBOX_KEY.startswith(("sk_test_", "rk_test_")):
        pytest.skip("no Stripe test key (STRIPE_TEST_KEY)")
    return Side(StripeGateway(SANDBOX_KEY), sdk.StripeClient(SANDBOX_KEY))


@pytest.fixture
def settings() -> Settings:
    return read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing", "STRIPE_SECRET_KEY": KEY})


@pytest.fixture
def invoice(db: Connection, alice: Person, settings: Settings) -> Invoice:
    """49.00, a discount of 4.90, 10.55 with 5.5 % inside: 63.47. Its number is nobody's in that account."""
    now = datetime.now(UTC)
    invoice_numbers.start_series(db, now, settings, 1, secrets.randbelow(9_000_000) + 1_000_000)
    lines = line(4_900), line(-490, kind="discount"), line(1_055, "5.5", inclusive=True)
    due_on = (now + timedelta(days=30)).date().isoformat()
    return issue(db, settings, alice, *lines, now=now, due_on=due_on)


def collect(db: Connection, settings: Settings, gateway: StripeGateway) -> None:
    around = Around(settings, gateway=gateway, stripe=gateway)
    run_stored(db, Clock(datetime.now(UTC) + timedelta(minutes=1)), around, KINDS)


def test_what_is_issued_stands_at_stripe_to_the_cent(
    db: Connection, side: Side, settings: Settings, invoice: Invoice
) -> None:
    gateway = side.gateway
    collect(db, settings, gateway)
    row = gateway_invoices.find(db, invoice.id)
    assert row is not None
    assert (row.status, row.last_error) == ("open", None)
    there = gateway.retrieve("invoices", str(row.provider_id))
    assert [there[name] for name in ("status", "total", "number", "collection_method")] == [
        "open", 6_347, invoice.number, "send_invoice"]  # fmt: skip
    gateway.void_invoice(str(row.provider_id), {}, f"void-{row.provider_id}")


def test_a_card_pays_what_is_issued(
    db: Connection, side: Side, settings: Settings, alice: Person, invoice: Invoice
) -> None:
    gateway = side.gateway
    customer = gateway.create_customer({"name": "Alice"}, f"customer-{invoice.number}")
    card = side.client.v1.payment_methods.attach("pm_card_visa", {"customer": str(customer["id"])})
    with atomic(db):
        execute(
            db,
            """UPDATE billing_accounts SET stripe_customer_id = :customer, stripe_payment_method_id = :card
                WHERE user_id = :user_id""",
            user_id=alice.id,
            customer=customer["id"],
            card=card.id,
        )
    collect(db, settings, gateway)
    row = gateway_invoices.find(db, invoice.id)
    assert row is not None
    there = gateway.retrieve("invoices", str(row.provider_id))
    assert (there["status"], there["amount_paid"]) == ("paid", 6_347)
