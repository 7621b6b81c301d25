"""Which event of Stripe's is answered by which function. This table is the contents of all that Stripe can tell us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection
from turf_saas import stripe_invoices
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, ignored

Handler = Callable[[Connection, datetime, Settings, Event], Outcome]


@dataclass(frozen=True)
class Row:
    """What an event means here, in one line, and what answers it."""

    handler: Handler
    meaning: str


HANDLERS: dict[str, Row] = {
    "invoice.paid": Row(stripe_invoices.paid, "an invoice is paid, by whatever way"),
}


def apply(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What the event brings about. Unknown where it is about something that we do not know yet."""
    why = _not_ours(settings, event)
    if why is not None:
        return ignored(why)
    row = HANDLERS.get(event.type)
    return row.handler(db, now, settings, event) if row is not None else ignored("no such event is acted upon")


def _not_ours(settings: Settings, event: Event) -> str | None:
    """Why an event of another mode or account changes nothing here."""
    key = settings.stripe_secret_key
    if key and event.livemode != key.startswith(("sk_live_", "rk_live_")):
        return "live" if event.livemode else "a test, and the key is live"
    if event.account is not None and event.account not in settings.stripe_accounts:
        return f"of the connected account {event.account}"
    return None
