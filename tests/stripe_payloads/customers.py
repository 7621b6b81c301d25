"""Customers and what they pay with, subscriptions, and checkouts."""

from __future__ import annotations

from typing import Any

from tests.stripe_payloads.events import AT, CUSTOMER, JUNE, MAY, Payload, Shape
from tests.stripe_payloads.invoices import listed


def customer(object_id: str = CUSTOMER, *, default: str | None = None, **changed: Any) -> Payload:
    """default: the id of what he pays with."""
    return {
        "id": object_id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": AT,
        "currency": "eur",
        "default_source": None,
        "delinquent": False,
        "email": "alice@example.com",
        "invoice_settings": {"custom_fields": None, "default_payment_method": default, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": "Alice",
        **changed,
    }


def payment_method(object_id: str = "pm_1", *, customer: str | None = CUSTOMER, **changed: Any) -> Payload:
    return {
        "id": object_id,
        "object": "payment_method",
        "billing_details": {"email": None, "name": None},
        "card": {"brand": "visa", "country": "FR", "exp_month": 8, "exp_year": 2030, "last4": "4242"},
        "created": AT,
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
        **changed,
    }


def subscription(
    object_id: str = "sub_1", *, customer: str = CUSTOMER, status: str = "active", price: str = "price_1",
    unit_amount: int = 1_900, start: int = MAY, end: int = JUNE, shape: Shape = "endive", **changed: Any,
) -> Payload:  # fmt: skip
    """One item of one price. The period stands on the subscription in the old shape, on its item in the new one."""
    recurring = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
    sold = {"id": price, "object": "price", "active": True, "currency": "eur", "product": "prod_1", "metadata": {},
            "recurring": recurring, "type": "recurring", "unit_amount": unit_amount}  # fmt: skip
    item = {"id": "si_1", "object": "subscription_item", "created": AT, "metadata": {}, "price": sold, "quantity": 1,
            "subscription": object_id}  # fmt: skip
    period = {"current_period_start": start, "current_period_end": end}
    common = {
        "id": object_id,
        "object": "subscription",
        "billing_cycle_anchor": start,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": AT if status == "canceled" else None,
        "collection_method": "charge_automatically",
        "created": start,
        "currency": "eur",
        "customer": customer,
        "default_payment_method": None,
        "ended_at": AT if status == "canceled" else None,
        "items": listed([item if shape == "acacia" else {**item, **period}]),
        "latest_invoice": "in_1",
        "livemode": False,
        "metadata": {},
        "pause_collection": None,
        "pending_update": None,
        "start_date": start,
        "status": status,
        "trial_end": None,
        "trial_start": None,
    }
    return {**common, **(period if shape == "acacia" else {}), **changed}


def checkout_session(
    object_id: str = "cs_test_1", *, customer: str | None = CUSTOMER, mode: str = "subscription",
    subscription: str | None = "sub_1", status: str = "complete", payment_status: str = "paid", **changed: Any,
) -> Payload:  # fmt: skip
    return {
        "id": object_id,
        "object": "checkout.session",
        "amount_total": 2_280,
        "client_reference_id": None,
        "created": AT,
        "currency": "eur",
        "customer": customer,
        "customer_details": {"email": "alice@example.com", "name": "Alice"},
        "expires_at": AT + 86_400,
        "invoice": "in_1" if mode == "subscription" else None,
        "livemode": False,
        "metadata": {},
        "mode": mode,
        "payment_status": payment_status,
        "setup_intent": "seti_1" if mode == "setup" else None,
        "status": status,
        "subscription": subscription if mode == "subscription" else None,
        "url": None,
        **changed,
    }
