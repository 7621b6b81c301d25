"""Empty objects in today's shape: the SDK's own classes say which fields there are."""

from __future__ import annotations

import copy
import importlib
import typing
from functools import lru_cache
from typing import Any

CLASSES = {
    "account": "Account",
    "balance_transaction": "BalanceTransaction",
    "billing_portal.configuration": "billing_portal.Configuration",
    "billing_portal.session": "billing_portal.Session",
    "charge": "Charge",
    "checkout.session": "checkout.Session",
    "credit_note": "CreditNote",
    "credit_note_line_item": "CreditNoteLineItem",
    "customer": "Customer",
    "customer_balance_transaction": "CustomerBalanceTransaction",
    "dispute": "Dispute",
    "event": "Event",
    "invoice": "Invoice",
    "invoice_payment": "InvoicePayment",
    "invoiceitem": "InvoiceItem",
    "line_item": "InvoiceLineItem",
    "payment_intent": "PaymentIntent",
    "payment_method": "PaymentMethod",
    "payout": "Payout",
    "plan": "Plan",
    "price": "Price",
    "product": "Product",
    "refund": "Refund",
    "setup_intent": "SetupIntent",
    "subscription": "Subscription",
    "subscription_item": "SubscriptionItem",
    "tax_rate": "TaxRate",
    "webhook_endpoint": "WebhookEndpoint",
}

# In an answer only when they are asked for by expand, or in other cases than ours.
ABSENT = {
    "account": {"company", "controller", "external_accounts", "groups", "individual", "requirements", "tos_acceptance"},
    "charge": {"refunds", "source", "level3", "authorization_code", "presentment_details", "transfer"},
    "checkout.session": {"line_items", "presentment_details", "optional_items"},
    "customer": {
        "sources",
        "subscriptions",
        "tax_ids",
        "cash_balance",
        "tax",
        "customer_account",
        "invoice_credit_balance",
    },
    "event": {"account", "context"},
    "invoice": {"payments", "confirmation_secret", "threshold_reason", "total_pretax_credit_amounts"},
    "price": {"currency_options", "tiers"},
    "refund": {"next_action", "failure_reason", "failure_balance_transaction", "instructions_email", "description"},
    "webhook_endpoint": {"secret"},
}
# Of a payment method only its own kind is there.
KEPT = {
    "payment_method": {
        "allow_redisplay", "billing_details", "card", "created", "customer", "customer_account", "id", "livemode",
        "metadata", "object", "radar_options", "type",
    }
}  # fmt: skip


@lru_cache(maxsize=64)
def annotations_of(object_type: str) -> dict[str, Any]:
    """The fields that the SDK declares for an object, with their types."""
    import stripe

    *module, name = CLASSES[object_type].split(".")
    owner = importlib.import_module(".".join(["stripe", *module])) if module else stripe
    declared: dict[str, Any] = getattr(owner, name).__annotations__
    return {field: kind for field, kind in declared.items() if field not in {"OBJECT_NAME", "deleted"}}


@lru_cache(maxsize=64)
def _blank(object_type: str) -> dict[str, Any]:
    fields = annotations_of(object_type)
    kept = KEPT.get(object_type, fields.keys() - ABSENT.get(object_type, set()))
    made = {name: _nothing(kind) for name, kind in sorted(fields.items()) if name in kept}
    return made | {"object": object_type} | ({"livemode": False} if "livemode" in made else {})


def blank(object_type: str) -> dict[str, Any]:
    return copy.deepcopy(_blank(object_type))


def _nothing(kind: Any) -> Any:
    if type(None) in typing.get_args(kind):
        return None
    if kind is bool:
        return False
    if kind is int:
        return 0
    if kind is str:
        return ""
    return [] if typing.get_origin(kind) is list else {}
