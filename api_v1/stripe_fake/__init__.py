"""Stripe on loopback: a real HTTP server that behaves as Stripe does, for tests and demonstrations.

It holds every request against the parameter types of the SDK, answers in today's shapes, honours idempotency keys,
refuses what Stripe refuses, fails on demand, and posts signed webhooks. Nothing of it is used in production.
"""

from api_v1.stripe_fake.deliveries import Delivery, is_on_this_machine
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.fake import StripeFake
from api_v1.stripe_fake.faults import Fault

__all__ = ["Delivery", "Fault", "Refused", "StripeFake", "is_on_this_machine"]
