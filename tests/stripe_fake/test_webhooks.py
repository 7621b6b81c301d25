"""Events that arrive: signed, in order, twice, shuffled, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import stripe

from api_v1.stripe_fake import StripeFake
from tests.stripe import SECRET, client_of, paying_customer, signed

Heard = list[tuple[bytes, str]]


class Ear(HTTPServer):
    """An endpoint that keeps what it hears, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hears)
        self.heard: Heard = []
        self.status = 200

    @property
    def types(self) -> list[str]:
        return [json.loads(raw)["type"] for raw, _ in self.heard]


class _Hears(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((raw, self.headers["Stripe-Signature"]))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"heard")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def ear(stripe_fake: StripeFake) -> Iterator[Ear]:
    with Ear() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stripe_fake.add_endpoint(f"http://127.0.0.1:{server.server_address[1]}/hook", SECRET)
        yield server
        server.shutdown()
        thread.join()


def test_events_arrive_in_order_and_the_sdk_believes_the_signature(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, ear: Ear
) -> None:
    customer = stripe_client.v1.customers.create({"name": "Alice"}, {"idempotency_key": "one"})
    stripe_client.v1.customers.update(customer.id, {"name": "Alicia"})
    assert stripe_fake.settled()
    assert ear.types == ["customer.created", "customer.updated"]
    first, second = (stripe.Webhook.construct_event(raw, header, SECRET) for raw, header in ear.heard)
    assert first.request is not None
    assert (first.request.idempotency_key, first.pending_webhooks, first.livemode) == ("one", 1, False)
    assert first.api_version == "2026-10-28.endive"
    assert second.to_dict()["data"]["previous_attributes"] == {"name": "Alice"}
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(*ear.heard[0], "whsec_another")


def test_what_was_refused_stays_undelivered_until_it_is_delivered_again(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, ear: Ear
) -> None:
    ear.status = 503
    stripe_client.v1.customers.create({})
    assert stripe_fake.settled()
    missed = stripe_client.v1.events.list({"delivery_success": False}).data
    assert [event.type for event in missed] == ["customer.created"]
    assert [(each.status, each.body, each.delivered) for each in stripe_fake.deliveries] == [(503, "heard", False)]
    ear.status = 200
    assert [each.delivered for each in stripe_fake.redeliver(missed[0].id)] == [True]
    assert stripe_client.v1.events.list({"delivery_success": False}).data == []
    assert stripe_client.v1.events.retrieve(missed[0].id).pending_webhooks == 0


def test_paused_events_are_delivered_in_any_order_and_twice(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, ear: Ear
) -> None:
    stripe_fake.pause()
    customer = stripe_client.v1.customers.create({})
    stripe_client.v1.customers.update(customer.id, {"name": "x"})
    stripe_client.v1.customers.delete(customer.id)
    assert stripe_fake.settled()
    assert ear.heard == []
    stripe_fake.deliver(["customer.deleted", "customer.created"], times=2)
    assert ear.types == ["customer.deleted"] * 2 + ["customer.created"] * 2
    stripe_fake.deliver("shuffled")
    assert ear.types[4:] == ["customer.updated"]
    stripe_fake.resume()
    stripe_client.v1.customers.create({})
    assert stripe_fake.settled()
    assert ear.types[5:] == ["customer.created"]


def test_nothing_is_delivered_when_delivery_is_off(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient, ear: Ear
) -> None:
    stripe_fake.silence()
    stripe_client.v1.customers.create({})
    stripe_fake.resume()
    stripe_client.v1.products.create({"name": "x"})
    assert stripe_fake.settled()
    assert ear.types == ["product.created"]
    assert [event.type for event in stripe_client.v1.events.list({"delivery_success": False}).data] == [
        "customer.created"
    ]


def test_an_endpoint_hears_only_what_it_asked_for_and_nothing_leaves_this_machine(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    made = stripe_client.v1.webhook_endpoints.create(
        {"url": "https://example.com/h", "enabled_events": ["invoice.paid"]}
    )
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert "secret" not in stripe_client.v1.webhook_endpoints.retrieve(made.id).to_dict()
    assert "secret" not in stripe_client.v1.webhook_endpoints.list().data[0].to_dict()
    customer = paying_customer(stripe_client)
    invoice = stripe_client.v1.invoices.create({"customer": customer, "auto_advance": True})
    stripe_client.v1.invoices.finalize_invoice(invoice.id)
    assert stripe_fake.settled()
    assert [(each.event_type, each.status) for each in stripe_fake.deliveries] == [("invoice.paid", None)]
    assert "this machine only" in stripe_fake.deliveries[0].body


def test_events_are_found_by_type_and_time(stripe_client: stripe.StripeClient) -> None:
    customer = stripe_client.v1.customers.create({})
    stripe_client.v1.products.create({"name": "x"})
    stripe_client.v1.customers.delete(customer.id)
    by_pattern = stripe_client.v1.events.list({"type": "customer.*"}).data
    assert [event.type for event in by_pattern] == ["customer.deleted", "customer.created"]
    by_names = stripe_client.v1.events.list({"types": ["product.created", "customer.deleted"]}).data
    assert [event.type for event in by_names] == ["customer.deleted", "product.created"]
    last = by_pattern[0].created
    assert stripe_client.v1.events.list({"created": {"gt": last}}).data == []
    assert len(stripe_client.v1.events.list({"created": {"lte": last}}).data) == 3


def test_events_of_old_endpoints_have_their_fields_at_the_top() -> None:
    with StripeFake(old_shapes=True) as fake:
        client = client_of(fake)
        customer = paying_customer(client)
        price = {"currency": "eur", "product": client.v1.products.create({"name": "Pro"}).id, "unit_amount": 4_900}
        recurring = client.v1.prices.create({**price, "recurring": {"interval": "month"}})  # type: ignore[typeddict-item]
        made = client.v1.subscriptions.create({"customer": customer, "items": [{"price": recurring.id}]})
        paid = next(event for event in fake.events if event["type"] == "invoice.paid")["data"]["object"]
        told = next(event for event in fake.events if event["type"] == "customer.subscription.created")
        charge = next(event for event in fake.events if event["type"] == "charge.succeeded")["data"]["object"]
        assert (paid["subscription"], paid["paid"], paid["charge"]) == (made.id, True, charge["id"])
        assert (paid["payment_intent"], "parent" in paid) == (charge["payment_intent"], False)
        assert paid["lines"]["data"][0]["price"]["id"] == recurring.id
        assert told["data"]["object"]["current_period_end"] == made["items"]["data"][0]["current_period_end"]
        assert "current_period_end" not in told["data"]["object"]["items"]["data"][0]
        assert (charge["invoice"], told["api_version"]) == (paid["id"], "2024-06-20")
        assert not fake.failures


def test_a_payload_signed_by_hand_is_believed() -> None:
    raw, header = signed({"id": "evt_1", "object": "event", "type": "x", "data": {"object": {}}})
    assert stripe.Webhook.construct_event(raw, header, SECRET).id == "evt_1"
    old = signed({"id": "evt_1"}, timestamp=1)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        stripe.Webhook.construct_event(*old, SECRET)
