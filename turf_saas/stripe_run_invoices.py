"""Invoices of a subscription that Stripe runs: each one that is finalized there becomes one of ours.

Its lines and totals are Stripe's; its number, its place in the chain and its rows in the ledger are ours.
"""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Unknown
from turf_saas.stripe_objects import Json, dig, sid


def subscription_id_of(invoice: Json) -> str | None:
    """Of Stripe's invoice, wherever it stands; None where the invoice is of no subscription."""
    return sid(invoice.get("subscription")) or sid(dig(invoice, "parent", "subscription_details", "subscription"))


def find_or_issue(db: Connection, now: datetime, settings: Settings, event: Event) -> Invoice | None:
    """Ours of the invoice that the event is about, issued now where it was not. None: it is none to be issued.

    Unknown while its subscription is not known yet.
    """
    raise Unknown(subscription_id_of(event.object) or event.id)
