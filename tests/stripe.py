"""Stripe for tests: the fake on a socket, the true SDK that talks to it, and payloads signed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from api_v1.stripe_fake import StripeFake

KEY = "sk_test_of_the_tests"
SECRET = "whsec_of_the_tests"
PAGES = ("SUCCESS", "CANCEL", "RETURN")


@pytest.fixture
def stripe_fake() -> Iterator[StripeFake]:
    """A running fake, closed at the end. What broke inside the fake itself fails the test."""
    with StripeFake() as fake:
        yield fake
    assert not fake.failures, "\n".join(fake.failures)


@pytest.fixture
def stripe_client(stripe_fake: StripeFake) -> stripe.StripeClient:
    return client_of(stripe_fake)


def client_of(fake: StripeFake, key: str = KEY, *, retries: int = 0, timeout: float = 10) -> stripe.StripeClient:
    """The SDK as it is, pointed at the fake."""
    return stripe.StripeClient(
        key,
        base_addresses=fake.addresses,
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout),
    )


def settings_of(fake: StripeFake) -> dict[str, str]:
    """What points an app at the fake."""
    return {"STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": SECRET, "BILLING_STRIPE_API_BASE": fake.url}


def with_pages(fake: StripeFake) -> dict[str, str]:
    """The same, and where Stripe sends whoever was on one of its pages."""
    pages = {f"BILLING_STRIPE_{name}_URL": f"https://host.example/{name.lower()}" for name in PAGES}
    return {**settings_of(fake), **pages}


def signed(payload: Any, secret: str = SECRET, timestamp: int | None = None) -> tuple[bytes, str]:
    """The body and its `Stripe-Signature`, by the SDK's own function."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return raw, stripe.WebhookSignature.generate_signature_header(raw.decode(), secret, timestamp=timestamp)


def paying_customer(client: stripe.StripeClient, card: str = "pm_card_visa", **params: Any) -> str:
    """The id of a customer whose invoices are charged to the card."""
    customer = client.v1.customers.create({"email": "alice@example.com", **params})
    attached = client.v1.payment_methods.attach(card, {"customer": customer.id})
    client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": attached.id}})
    return str(customer.id)
