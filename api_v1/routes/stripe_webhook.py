"""What Stripe posts: checked by its signature on the raw bytes, stored once, and applied before it is answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app

from api_v1 import schemas_stripe as shapes
from api_v1.routing import route
from api_v1.runtime import current_request, current_runtime
from api_v1.telling import tell_notices
from api_v1.wire import read_raw
from turf_saas import stripe_gateway, stripe_inbox
from turf_saas.errors import Malformed, Unavailable

MAX_EVENT = 256 * 1024
REFUSED_AT = "billing.webhook_refused_at"
TOLD_EVERY = timedelta(minutes=1)


@route(
    "POST",
    "/webhooks/stripe",
    summary="What Stripe posts",
    who="anyone",
    returns=shapes.WebhookAnswer,
    refuses=(413, 503),
    takes={"Stripe-Signature": "When Stripe signed it, and how"},
)
def stripe_webhook() -> Any:
    """The body is an event, signed with one of the secrets of `STRIPE_WEBHOOK_SECRET`; no other leaves a trace.

    It is stored once and applied: `applied`, `ignored` (nothing here depends on it), `deferred` (what it is about is
    not known yet; it is tried again) or `duplicate`. 503 without a secret, or while the database is busy.
    """
    runtime = current_runtime()
    secrets, tolerance = runtime.settings.stripe_webhook_secrets, runtime.settings.stripe_tolerance
    if not secrets:
        raise Unavailable("stripe_not_configured")
    raw = read_raw(MAX_EVENT)
    header = current_request().headers.get("Stripe-Signature")
    if not stripe_gateway.is_signed(raw, header, secrets, runtime.real_now(), tolerance=tolerance):
        _log_refused(runtime.real_now())
        raise Malformed("stripe_signature_invalid")
    text = raw.decode()
    event = stripe_inbox.read_event(text)
    received = stripe_inbox.receive(runtime.db(), runtime.now(), runtime.settings, event, text)
    tell_notices(runtime, received.notices)
    return shapes.WebhookAnswer(status="ok", result=received.result)


def _log_refused(now: datetime) -> None:
    """A sentence a minute in each process: anybody may post here, and nothing that he posts is in it."""
    last = current_app.extensions.get(REFUSED_AT)
    if last is None or not timedelta(0) <= now - last < TOLD_EVERY:
        current_app.extensions[REFUSED_AT] = now
        current_app.logger.warning("billing: webhook refused: its signature fits no secret of STRIPE_WEBHOOK_SECRET")


@route(
    "POST",
    "/webhooks/payment",
    summary="The same under another name",
    who="anyone",
    returns=shapes.WebhookAnswer,
    refuses=(413, 503),
    takes={"Stripe-Signature": "When Stripe signed it, and how"},
)
def payment_webhook() -> Any:
    """See `/webhooks/stripe`."""
    return stripe_webhook()
