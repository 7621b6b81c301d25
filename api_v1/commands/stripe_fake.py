"""`flask billing stripe-fake`: Stripe on loopback, to try checkout, webhooks and declined cards without an account."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from urllib.parse import urlsplit

import click

from api_v1.blueprint import billing_bp
from api_v1.commands.shared import as_json, in_one_sentence, show
from api_v1.runtime import current_runtime
from turf_saas.errors import Conflict, Forbidden

SECRET = "whsec_of_the_fake"  # noqa: S105  not a secret: it is printed, and signs what never leaves the machine
KEY = "sk_test_fake"
WHERE_TO = ("BILLING_STRIPE_SUCCESS_URL", "BILLING_STRIPE_CANCEL_URL", "BILLING_STRIPE_RETURN_URL")
OUR_WEBHOOK = "http://127.0.0.1:5000/api/v1/billing/webhooks/stripe"


@billing_bp.cli.command("stripe-fake")
@click.option("--port", type=click.IntRange(0, 65_535), default=12_111, show_default=True, help="0: any that is free.")
@click.option("--webhook", default=OUR_WEBHOOK, show_default=True, help="Where events are posted, on this machine.")
@click.option("--secret", default=SECRET, show_default=True, help="What they are signed with.")
@as_json
@in_one_sentence
def stripe_fake(port: int, webhook: str, secret: str, as_json: bool) -> None:
    """Serve Stripe on 127.0.0.1, in memory, until Ctrl-C. Not in production: BILLING_ENV=development beside it."""
    from api_v1.stripe_fake import StripeFake, is_on_this_machine

    if current_runtime().settings.production:
        raise Forbidden("stripe_fake_in_production")
    if not is_on_this_machine(webhook):
        raise click.BadParameter("events go to this machine only: http://127.0.0.1:…", param_hint="--webhook")
    try:
        fake = StripeFake(port=port)
    except OSError:
        raise Conflict("stripe_fake_port_taken", port=port) from None
    with fake, _until_told_to_end():
        fake.add_endpoint(webhook, secret)
        target = urlsplit(webhook)
        settings = {"STRIPE_SECRET_KEY": KEY, "BILLING_STRIPE_API_BASE": fake.url, "STRIPE_WEBHOOK_SECRET": secret}
        settings |= dict.fromkeys(WHERE_TO, f"{target.scheme}://{target.netloc}/")
        lines = [
            f"Stripe on loopback answers at {fake.url}, and posts events to {webhook}. Point the app at it with",
            " ".join(f"{name}={value}" for name, value in settings.items()),
            "Ctrl-C ends it, and what it knows is gone.",
        ]
        show({"url": fake.url, "webhook": webhook, "settings": settings}, as_json, lines)


@contextmanager
def _until_told_to_end() -> Iterator[None]:
    """Waits after the block for Ctrl-C, or for the process to be asked to end; either may come before."""
    told = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        told.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
