"""The payloads of tests against the SDK's own types: a field that Stripe does not know would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from tests import stripe_payloads as payloads
from turf_saas import stripe_inbox

Build = Callable[..., payloads.Payload]
BUILDERS: list[tuple[Any, Build]] = [
    (stripe.Invoice, payloads.invoice),
    (stripe.InvoiceLineItem, payloads.line),
    (stripe.InvoicePayment, payloads.invoice_payment),
    (stripe.CreditNote, payloads.credit_note),
    (stripe.PaymentIntent, payloads.payment_intent),
    (stripe.Charge, payloads.charge),
    (stripe.Refund, payloads.refund),
    (stripe.Dispute, payloads.dispute),
    (stripe.Payout, payloads.payout),
    (stripe.Customer, payloads.customer),
    (stripe.PaymentMethod, payloads.payment_method),
    (stripe.Subscription, payloads.subscription),
    (stripe.checkout.Session, payloads.checkout_session),
]


def _variants(build: Build) -> Iterator[payloads.Payload]:
    yield build()
    if build is payloads.invoice:
        yield build(status="draft")
        yield build(status="paid", subscription="sub_1", tax=380)
    if build is payloads.line:
        yield build(subscription_item="si_1", price="price_1")


@pytest.mark.parametrize(("kind", "build"), BUILDERS, ids=[kind.__name__ for kind, _ in BUILDERS])
def test_todays_payloads_have_todays_fields_only(kind: Any, build: Build) -> None:
    known = set(kind.__annotations__) | {"object"}
    for made in _variants(build):
        assert made.keys() <= known


@pytest.mark.parametrize("shape", payloads.SHAPES)
def test_an_event_is_one_to_the_inbox(shape: payloads.Shape) -> None:
    about = payloads.subscription(shape=shape)
    read = stripe_inbox.event_of(payloads.event("customer.subscription.updated", about, shape=shape, previous={"a": 1}))
    assert (read.type, read.object_id, read.previous) == ("customer.subscription.updated", "sub_1", {"a": 1})
    assert read.api_version == payloads.VERSIONS[shape]
