"""Checkout, the portal, hosted invoices: over the API, by hook and as a person clicks."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import stripe

from api_v1.stripe_fake import Refused, StripeFake
from tests.stripe import paying_customer
from tests.stripe_fake.test_invoices import open_invoice, refused, types
from tests.stripe_fake.test_subscriptions import price, subscribe

Client = stripe.StripeClient
SUCCESS = "https://shop.example/done?s={CHECKOUT_SESSION_ID}"


def session_for(client: Client, mode: Any = "subscription", cents: int = 4_900, **more: Any) -> Any:
    data: Any = {"currency": "eur", "product_data": {"name": "Pro <b>"}, "unit_amount": cents}
    if mode == "subscription":
        data["recurring"] = {"interval": "month"}
    return client.v1.checkout.sessions.create(
        {"mode": mode, "line_items": [{"price_data": data, "quantity": 1}], "success_url": SUCCESS, **more}
    )


def browse(url: str, method: str = "GET", **form: str) -> tuple[int, str, str]:
    """Status, page and where it leads."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.netloc, timeout=10)
    connection.request(method, target.path, urlencode(form))
    answer = connection.getresponse()
    page = answer.read().decode()
    connection.close()
    return answer.status, page, answer.headers.get("Location", "")


def hook(fake: StripeFake, name: str, method: str = "POST", **given: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=10)
    connection.request(method, f"/_fake/{name}", json.dumps(given))
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_a_completed_checkout_makes_the_subscription(stripe_fake: StripeFake, stripe_client: Client) -> None:
    customer = stripe_client.v1.customers.create({"email": "a@example.com"})
    made = session_for(
        stripe_client,
        customer=customer.id,
        client_reference_id="7",
        metadata={"a": "b"},
        subscription_data={"metadata": {"user": "7"}},
    )
    assert (made.status, made.payment_status, made.amount_total, made.subscription) == ("open", "unpaid", 4_900, None)
    done = stripe_fake.complete_checkout(made.id)
    assert (done["status"], done["payment_status"], done["client_reference_id"]) == ("complete", "paid", "7")
    subscription = stripe_client.v1.subscriptions.retrieve(done["subscription"])
    assert (subscription.status, subscription.to_dict()["metadata"]) == ("active", {"user": "7"})
    assert types(stripe_fake, "checkout.", "customer.sub")[-2:] == [
        "customer.subscription.created",
        "checkout.session.completed",
    ]
    with pytest.raises(Refused, match="complete"):
        stripe_fake.complete_checkout(made.id)


def test_a_declined_checkout_stays_open(stripe_fake: StripeFake, stripe_client: Client) -> None:
    made = session_for(stripe_client)
    with pytest.raises(Refused, match="insufficient funds"):
        stripe_fake.complete_checkout(made.id, "pm_card_chargeDeclinedInsufficientFunds")
    assert stripe_client.v1.checkout.sessions.retrieve(made.id).status == "open"
    assert stripe_client.v1.subscriptions.list({"status": "all"}).data == []
    assert stripe_fake.complete_checkout(made.id)["status"] == "complete"


def test_a_checkout_of_one_payment_and_one_that_is_decided_later(
    stripe_fake: StripeFake, stripe_client: Client
) -> None:
    now, later = (session_for(stripe_client, "payment") for _ in range(2))
    assert stripe_fake.complete_checkout(now.id)["payment_status"] == "paid"
    assert stripe_fake.complete_checkout(later.id, later=True)["payment_status"] == "unpaid"
    assert stripe_fake.decide_payment(later.id, succeeded=True)["payment_status"] == "paid"
    assert types(stripe_fake, "checkout.") == [
        "checkout.session.completed",
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
    ]


def test_a_free_checkout_and_a_trial_need_no_payment(stripe_fake: StripeFake, stripe_client: Client) -> None:
    trial = session_for(stripe_client, subscription_data={"trial_period_days": 7})
    assert stripe_fake.complete_checkout(trial.id)["payment_status"] == "no_payment_required"


def test_what_checkout_lacks_is_refused(stripe_client: Client) -> None:
    create: Any = stripe_client.v1.checkout.sessions.create
    refused("parameter_missing", lambda: create({"success_url": SUCCESS}))
    refused("parameter_missing", lambda: create({"mode": "subscription", "success_url": SUCCESS}))
    refused("url_invalid", lambda: session_for(stripe_client, cancel_url="/back"))
    refused("amount_too_small", lambda: session_for(stripe_client, "payment", 49))
    refused(None, lambda: session_for(stripe_client, "payment", subscription_data={"metadata": {"a": "b"}}))
    made = session_for(stripe_client)
    assert stripe_client.v1.checkout.sessions.expire(made.id).status == "expired"
    refused(None, lambda: stripe_client.v1.checkout.sessions.expire(made.id))


def test_a_person_pays_on_the_page_and_goes_back(stripe_fake: StripeFake, stripe_client: Client) -> None:
    made = session_for(stripe_client)
    status, page, _ = browse(made.url)
    assert (status, "Pro &lt;b&gt;" in page, "pm_card_visa" in page) == (200, True, True)
    assert "<p>49.00 EUR</p>" in page
    status, page, _ = browse(made.url, "POST", card="pm_card_chargeDeclined")
    assert (status, "Your card was declined." in page) == (402, True)
    assert browse(made.url, "POST", card="pm_card_visa")[::2] == (303, f"https://shop.example/done?s={made.id}")
    assert browse(f"{stripe_fake.url}/checkout/cs_nothing")[0] == 404
    assert browse(f"{stripe_fake.url}/checkout/{made.id}", "POST", card="gold")[0] == 400


def test_a_person_changes_card_and_ends_a_subscription_in_the_portal(stripe_client: Client) -> None:
    customer = paying_customer(stripe_client)
    mine = subscribe(stripe_client, customer, price(stripe_client, 4_900))
    other = subscribe(stripe_client, paying_customer(stripe_client), price(stripe_client, 4_900))
    portal = stripe_client.v1.billing_portal.sessions.create({"customer": customer, "return_url": "https://x.example"})
    assert "Plan of 4900: active" in browse(portal.url)[1]
    assert browse(portal.url, "POST", cancel=other.id)[0] == 404
    assert browse(portal.url, "POST", cancel=mine.id)[0] == 303
    assert stripe_client.v1.subscriptions.retrieve(mine.id).cancel_at_period_end
    assert browse(portal.url, "POST", card="pm_card_visa")[0] == 303
    assert len(stripe_client.v1.customers.payment_methods.list(customer).data) == 2


def test_an_open_invoice_is_paid_on_its_page(stripe_client: Client) -> None:
    customer = stripe_client.v1.customers.create({})
    invoice = open_invoice(stripe_client, customer.id, 500, collection_method="send_invoice", days_until_due=1)
    assert invoice.hosted_invoice_url is not None
    assert browse(invoice.hosted_invoice_url)[0] == 200
    assert browse(invoice.hosted_invoice_url, "POST", card="pm_card_chargeCustomerFail")[0] == 402
    assert browse(invoice.hosted_invoice_url, "POST", card="pm_card_visa")[0] == 303
    assert stripe_client.v1.invoices.retrieve(invoice.id).status == "paid"
    assert browse(invoice.hosted_invoice_url, "POST", card="pm_card_visa")[0] == 400


def test_the_hooks_answer_over_http(stripe_fake: StripeFake, stripe_client: Client) -> None:
    assert hook(stripe_fake, "faults", path="/v1/customers") == (
        400, {"error": "faults: a fault has a status, a hang or a drop"})  # fmt: skip
    code, said = hook(stripe_fake, "faults", path="/v1/customers", status=503)
    assert (code, said["done"]["status"], said["done"]["times"], said["done"]["drop"]) == (200, 503, 1, None)
    with pytest.raises(stripe.APIError):
        stripe_client.v1.customers.create({})
    assert hook(stripe_fake, "down", down=True) == (200, {"done": True})
    with pytest.raises(stripe.APIConnectionError):
        stripe_client.v1.customers.create({})
    hook(stripe_fake, "down", down=False)
    made = session_for(stripe_client)
    assert hook(stripe_fake, "complete_checkout", session_id=made.id)[1]["done"]["status"] == "complete"
    assert hook(stripe_fake, "complete_checkout", session_id=made.id)[0] == 400
    assert hook(stripe_fake, "clock", now="2030-01-01T00:00:00+00:00")[1]["done"] > 0
    assert hook(stripe_fake, "requests", "GET")[1]["done"][0]["status"] == 503
    assert hook(stripe_fake, "nothing")[0] == 404
    assert hook(stripe_fake, "objects", "GET")[1]["done"][made.id]["status"] == "complete"
    for name, given, error in (
        ("clock", {}, "clock lacks now"),
        ("pay_out", {"money": 1}, "pay_out: got an unexpected keyword argument 'money'"),
        ("close_dispute", {"dispute_id": "du_1"}, "close_dispute: missing 1 required positional argument: 'outcome'"),
        ("clock", {"now": "tomorrow"}, "clock: Invalid isoformat string: 'tomorrow'"),
    ):
        assert hook(stripe_fake, name, **given) == (400, {"error": error})
