"""What Stripe sends, in both of its shapes: as of 2024 ("acacia") and as of today ("endive").

Every builder makes a whole object, whose fields stand where that version has them: `invoice("in_1", status="paid",
shape="acacia")`. What is given by name replaces a field, or is added. `event` wraps one, and `tell` hands it to the
inbox as the route does.
"""

from tests.stripe_payloads.customers import checkout_session, customer, payment_method, subscription
from tests.stripe_payloads.events import (
    AT,
    CUSTOMER,
    JUNE,
    MAY,
    SHAPES,
    VERSIONS,
    Payload,
    Shape,
    event,
    is_customer,
    seconds,
    tell,
    tell_all,
)
from tests.stripe_payloads.invoices import credit_note, invoice, invoice_payment, line, listed
from tests.stripe_payloads.money import charge, dispute, payment_intent, payout, refund

__all__ = [
    "AT", "CUSTOMER", "JUNE", "MAY", "SHAPES", "VERSIONS", "Payload", "Shape", "charge", "checkout_session",
    "credit_note", "customer", "dispute", "event", "invoice", "invoice_payment", "is_customer", "line", "listed",
    "payment_intent", "payment_method", "payout", "refund", "seconds", "subscription", "tell", "tell_all",
]  # fmt: skip
