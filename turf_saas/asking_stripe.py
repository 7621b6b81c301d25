"""How a job asks Stripe: what its answers mean for the job, and when it is left alone for a while.

A Stripe that does not answer costs each job half a minute: after one has waited, the others do not begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from turf_saas.gateways import GatewayDown, GatewayRefused
from turf_saas.stripe_gateway import StripeGateway, require_stripe
from turf_saas.working import NotYet, Park, Work

LEFT_ALONE = timedelta(seconds=60)


@contextmanager
def asking(work: Work) -> Iterator[StripeGateway]:
    """Stripe, for a job: what it does not answer is tried again, what it refuses is parked."""
    stripe = require_stripe(work.around.stripe)
    if stripe.left_alone_until is not None and work.now < stripe.left_alone_until <= work.now + LEFT_ALONE:
        raise NotYet(stripe.left_alone_until)
    try:
        yield stripe
    except GatewayDown as down:
        if down.is_away:
            stripe.left_alone_until = work.now + LEFT_ALONE
        raise
    except GatewayRefused as refused:
        if refused.of_key:
            raise  # whoever mends the key has mended all of them
        raise Park(str(refused)) from None
