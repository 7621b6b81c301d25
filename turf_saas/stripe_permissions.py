"""What a restricted key of Stripe's has to be allowed, each by its name in the dashboard, and how that is found out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from turf_saas.gateways import GatewayRefused
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import Json

NOBODY = "turf_saas_doctor"  # an id that no object has: what is asked about it changes nothing


class Needed(NamedTuple):
    """A permission. kind: what is listed to see whether it may be read; write: a call about what is not there."""

    name: str
    level: str  # "Read" or "Write", which includes it
    why: str
    kind: str
    write: str | None = None


PERMISSIONS = (
    Needed("Customers", "Write", "each user who pays is a customer", "customers", "customers"),
    Needed("Invoices", "Write", "invoices are sent there to be collected", "invoices", "invoices"),
    Needed("Credit notes", "Write", "what was credited here is not collected there", "credit_notes", "credit_notes"),
    Needed("Charges and Refunds", "Write", "money is given back", "refunds", "refunds"),
    Needed("PaymentIntents", "Read", "which payment has paid an invoice", "payment_intents"),
    Needed("PaymentMethods", "Read", "whether a user has a card", "payment_methods"),
    Needed("Disputes", "Read", "payments that are called into question", "disputes"),
    Needed("Checkout Sessions", "Write", "a user subscribes on Stripe's page", "checkout.sessions", "checkout"),
    Needed("Subscriptions", "Write", "those that Stripe runs are changed and ended", "subscriptions", "subscriptions"),
    Needed("Customer portal", "Write", "a user changes his card", "billing_portal.configurations", "portal"),
    Needed("Products and Prices", "Read", "the prices of plans", "prices"),
    Needed("Balance and Payouts", "Read", "fees, and what reaches the bank", "payouts"),
    Needed("Balance transaction sources", "Read", "what a payout is made of", "balance_transactions"),
    Needed("Events", "Read", "what was not delivered is made up for", "events"),
    Needed("Webhook Endpoints", "Read", "whether Stripe knows where to post", "webhook_endpoints"),
)


def list_missing(gateway: StripeGateway, *, restricted: bool) -> Iterator[Needed]:
    """What the key may not. Writing is only tried with a restricted key: another one may do what it may read."""
    for needed in PERMISSIONS:
        if not _may_read(gateway, needed) or (restricted and needed.write and not _may_write(gateway, needed.write)):
            yield needed


def _may_read(gateway: StripeGateway, needed: Needed) -> bool:
    try:
        gateway.list(needed.kind, most=1)
    except GatewayRefused as refused:
        return not refused.of_key
    return True


def _may_write(gateway: StripeGateway, what: str) -> bool:
    """Asked about what is not there: who may is told that it is not, who may not is told that."""
    key, there_is_none = f"{NOBODY}-{what}", f"cus_{NOBODY}"
    try:
        _try_to_write(gateway, what, there_is_none, key)
    except GatewayRefused as refused:
        return not refused.of_key
    return True


def _try_to_write(gateway: StripeGateway, what: str, customer: str, key: str) -> Json:
    match what:
        case "customers":
            return gateway.update_customer(customer, {}, key)
        case "invoices":
            return gateway.update_invoice(f"in_{NOBODY}", {}, key)
        case "credit_notes":
            return gateway.create_credit_note({"invoice": f"in_{NOBODY}", "amount": 1}, key)
        case "refunds":
            return gateway.create_refund({"charge": f"ch_{NOBODY}"}, key)
        case "checkout":
            return gateway.expire_session(f"cs_{NOBODY}", {}, key)
        case "subscriptions":
            return gateway.update_subscription(f"sub_{NOBODY}", {}, key)
        case _:
            return gateway.create_portal_session({"customer": customer}, key)
