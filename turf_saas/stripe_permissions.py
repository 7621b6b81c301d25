"""What a restricted key of Stripe's has to be allowed, each by its name in the dashboard, and how that is found out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from turf_saas.gateways import GatewayRefused
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import Json

CALLED = re.compile(r"'([a-z_]+(?::[a-z]+)?)' permission")
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
    Needed("Disputes", "Read", "payments that are called into question", "disputes"),
    Needed("Checkout Sessions", "Write", "a user subscribes on Stripe's page", "checkout.sessions", "checkout"),
    Needed("Subscriptions", "Write", "those that Stripe runs are changed and ended", "subscriptions", "subscriptions"),
    Needed("Customer portal", "Write", "a user changes his card", "billing_portal.configurations", "portal"),
    Needed("Products", "Write", "a plan that names no price gets one", "products"),
    Needed("Prices", "Write", "a plan that names no price gets one", "prices", "prices"),
    Needed("Payouts", "Read", "what reaches the bank", "payouts"),
    Needed("Balance", "Read", "what a payout is made of, and the fees", "balance_transactions"),
    Needed("Events", "Read", "what was not delivered is made up for", "events"),
    Needed("Webhook Endpoints", "Read", "whether Stripe knows where to post", "webhook_endpoints"),
)


class Missing(NamedTuple):
    """What the key may not, and what Stripe itself calls it, where it says so."""

    needed: Needed
    called: str | None


def list_missing(gateway: StripeGateway, *, restricted: bool) -> Iterator[Missing]:
    """What the key may not. Writing is only tried with a restricted key: another one may do what it may read."""
    for needed in PERMISSIONS:
        refused = _refusal(partial(gateway.list, needed.kind, most=1))
        if refused is None and restricted and needed.write is not None:
            refused = _refusal(partial(_try_to_write, gateway, needed.write))
        if refused is not None:
            named = CALLED.search(refused.detail)
            yield Missing(needed, named[1] if named else None)


def _refusal(ask: Callable[[], object]) -> GatewayRefused | None:
    """Why this key may not ask. Whoever may ask for what is not there is told that it is not."""
    try:
        ask()
    except GatewayRefused as refused:
        return refused if refused.of_key else None
    return None


def _try_to_write(gateway: StripeGateway, what: str) -> Json:
    """Asked about what is not there, so that nothing can change."""
    key = f"{NOBODY}-{what}"
    match what:
        case "customers":
            return gateway.update_customer(f"cus_{NOBODY}", {}, key)
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
        case "prices":
            return gateway.create_price({"currency": "eur", "unit_amount": 1, "product": f"prod_{NOBODY}"}, key)
        case _:
            return gateway.create_portal_session({"customer": f"cus_{NOBODY}"}, key)
