"""Who collects invoices: nobody (money is noted by hand), Stripe, a host's own service, or one that plays it in tests.

What a gateway has to be able to do is little: it is given each invoice that is issued, and answers what it calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from turf_saas.errors import BillingError, Conflict
from turf_saas.invoice_documents import DocumentLine
from turf_saas.invoices import Invoice

MANUAL, STRIPE, FAKE, HOST = "manual", "stripe", "fake", "host"
STRIPE_ADDRESS = "https://api.stripe.com"
MAX_DETAIL = 500
_SECRET = re.compile(r"\b(?:sk|rk|pk|whsec|ek)_\S+")


class GatewayFailed(BillingError):
    """The gateway did not do it. reason: its own code for why; detail: what it said, for whoever looks after it."""

    def __init__(self, code: str, reason: str, detail: str) -> None:
        super().__init__(code)
        self.reason = reason
        self.detail = without_secrets(detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class GatewayDown(GatewayFailed):
    """It may be tried again: there was no answer, or one that says later. Whether it was done is not known.

    stored: this failure is what the gateway answers to the same key from now on.
    """

    def __init__(self, reason: str = "unreachable", detail: str = "", *, status: int = 0, stored: bool = False) -> None:
        super().__init__("gateway_failed", reason, detail)
        self.status = status
        self.stored = stored

    @property
    def is_away(self) -> bool:
        """Whether others will not be answered either: 409 is about this one alone."""
        return self.status != 409 and not self.stored


class GatewayRefused(GatewayFailed):
    """It was not done, and the same will be refused again. of_key: because of the key that asks, not of what."""

    def __init__(self, reason: str = "refused", detail: str = "", *, status: int = 400) -> None:
        super().__init__("gateway_refused", reason, detail)
        self.status = status

    @property
    def of_key(self) -> bool:
        return self.status in (401, 403)

    @property
    def missing(self) -> bool:
        """Whether there is no such thing. What a test key cannot see, and is there with a live one, is not missing."""
        return self.status == 404 and "exists in live mode" not in self.detail


class CardDeclined(Conflict):
    """The payer's bank said no: that is a result, and no failure."""

    def __init__(self, reason: str = "card_declined", decline_code: str | None = None, detail: str = "") -> None:
        super().__init__("card_declined")
        self.reason = reason
        self.decline_code = decline_code
        self.detail = without_secrets(detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.decline_code or self.detail}"


def without_secrets(text: str) -> str:
    """As much of a foreign sentence as is kept: no key stands in it."""
    return _SECRET.sub("…", text)[:MAX_DETAIL]


class Collected(NamedTuple):
    """What a gateway may answer: what it calls the invoice, and what became of collecting it, if it knows already."""

    provider_id: str | None
    paid_cents: int = 0
    declined: str | None = None
    hosted_url: str | None = None


class Gateway(Protocol):
    """What a host may hand in. It may be given the same invoice twice, after a crash: its number tells."""

    def sync(self, invoice: Invoice, lines: Sequence[DocumentLine], /) -> str | Collected | None: ...


class ManualGateway:
    """Nothing is sent anywhere: who receives a transfer notes it."""

    name = MANUAL


class FunctionGateway:
    """A host's own function as a gateway."""

    name = HOST

    def __init__(self, function: Callable[[Invoice, Sequence[DocumentLine]], str | Collected | None]) -> None:
        self._function = function

    def sync(self, invoice: Invoice, lines: Sequence[DocumentLine], /) -> str | Collected | None:
        return self._function(invoice, lines)


class FakeGateway:
    """For a host's tests: pays at once what is due, or declines it with the code that it is told. It asks nobody."""

    name = FAKE

    def __init__(self, *, declines: str | None = None) -> None:
        self.declines = declines
        self.synced: list[str] = []  # the numbers, in order

    def sync(self, invoice: Invoice, _lines: Sequence[DocumentLine], /) -> Collected:
        self.synced.append(invoice.number)
        provider_id = f"fake_{invoice.id}"
        if self.declines:
            return Collected(provider_id, declined=self.declines)
        return Collected(provider_id, paid_cents=invoice.due_cents)
