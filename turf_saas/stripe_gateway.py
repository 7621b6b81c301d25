"""The one door to Stripe: nothing else imports its SDK, and what goes in and comes out is plain.

Whoever writes gives a key: what Stripe has done for a key it does not do again. A call that may have been done is
written down before it is made: see stripe_calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Any, NoReturn, TypeVar

from turf_saas.errors import Unavailable
from turf_saas.gateways import STRIPE, CardDeclined, GatewayDown, GatewayRefused
from turf_saas.stripe_objects import Json, dig, items_of, sid

SIGNED_AT = re.compile(r"t=([0-9]{1,12})")
TIMEOUTS = (3, 10)  # seconds: to be connected, to be answered
RETRIES = 2  # by the SDK, with the same key, where there is no answer or one of 409 and 5xx
PAGE = 100
UNREADABLE = "unreadable"  # an answer that is none of Stripe's: it is tried again
OF_KEY = (401, 403)
Answer = TypeVar("Answer")


def is_signed(raw: bytes, header: str | None, secrets: Sequence[str], now: datetime, *, tolerance: int) -> bool:
    """Whether Stripe has signed these bytes with one of the secrets, within so many seconds of now, before or after."""
    from stripe import SignatureVerificationError, WebhookSignature

    signed_at = _signed_at(header or "")
    if header is None or signed_at is None or abs(now.timestamp() - signed_at) > tolerance:
        return False
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    for secret in secrets:
        try:
            if WebhookSignature.verify_header(text, header, secret, tolerance=None):
                return True
        except (SignatureVerificationError, ValueError, TypeError):  # TypeError: what is compared is no ASCII
            continue
    return False


def _signed_at(header: str) -> int | None:
    """When, in Stripe's seconds. Said twice, one could be checked here and the other one be signed."""
    said = [part for part in header.split(",") if part.partition("=")[0].strip() == "t"]
    found = SIGNED_AT.fullmatch(said[0]) if len(said) == 1 else None
    return int(found[1]) if found else None


def require_stripe(given: object) -> StripeGateway:
    """The gateway, where it is Stripe. Unavailable where no key of Stripe's is set."""
    if not isinstance(given, StripeGateway):
        raise Unavailable("stripe_not_configured")
    return given


class StripeGateway:
    """What is asked of Stripe. GatewayDown, GatewayRefused or CardDeclined where it does not do it."""

    name = STRIPE

    def __init__(self, key: str, api_base: str = "", *, retries: int = RETRIES) -> None:
        self._key, self._api_base, self._retries = key, api_base, retries
        self.left_alone_until: datetime | None = None  # by jobs: it did not answer one of them

    def __repr__(self) -> str:
        return f"<StripeGateway {self.mode}>"

    @property
    def mode(self) -> str:
        return "live" if self._key.startswith(("sk_live_", "rk_live_")) else "test"

    @cached_property
    def _v1(self) -> Any:
        """Not made before it is needed: the SDK takes its time to be imported."""
        import stripe

        base = {"base_addresses": dict.fromkeys(("api", "files", "connect", "meter_events"), self._api_base)}
        client: Any = stripe.StripeClient
        return client(
            self._key,
            http_client=stripe.RequestsClient(timeout=TIMEOUTS),
            max_network_retries=self._retries,
            **(base if self._api_base else {}),
        ).v1

    # -- what is written: with a key of its own each -------------------------------------------------------

    def create_customer(self, params: Json, key: str) -> Json:
        return self._write("customers.create", params, key)

    def update_customer(self, customer_id: str, params: Json, key: str) -> Json:
        return self._write("customers.update", params, key, customer_id)

    def add_to_balance(self, customer_id: str, params: Json, key: str) -> Json:
        """Below zero it is the customer's credit."""
        return self._write("customers.balance_transactions.create", params, key, customer_id)

    def create_invoice(self, params: Json, key: str) -> Json:
        return self._write("invoices.create", params, key)

    def create_item(self, params: Json, key: str) -> Json:
        """A line of a draft."""
        return self._write("invoice_items.create", params, key)

    def update_invoice(self, invoice_id: str, params: Json, key: str) -> Json:
        return self._write("invoices.update", params, key, invoice_id)

    def finalize_invoice(self, invoice_id: str, params: Json, key: str) -> Json:
        """From here on nothing of it changes, and Stripe collects it."""
        return self._write("invoices.finalize_invoice", params, key, invoice_id)

    def pay_invoice(self, invoice_id: str, params: Json, key: str) -> Json:
        return self._write("invoices.pay", params, key, invoice_id)

    def void_invoice(self, invoice_id: str, params: Json, key: str) -> Json:
        return self._write("invoices.void_invoice", params, key, invoice_id)

    def create_credit_note(self, params: Json, key: str) -> Json:
        return self._write("credit_notes.create", params, key)

    def create_refund(self, params: Json, key: str) -> Json:
        return self._write("refunds.create", params, key)

    def create_session(self, params: Json, key: str) -> Json:
        """Of the checkout: its `url` is where the user goes."""
        return self._write("checkout.sessions.create", params, key)

    def expire_session(self, session_id: str, params: Json, key: str) -> Json:
        return self._write("checkout.sessions.expire", params, key, session_id)

    def create_portal_session(self, params: Json, key: str) -> Json:
        return self._write("billing_portal.sessions.create", params, key)

    def update_subscription(self, subscription_id: str, params: Json, key: str) -> Json:
        return self._write("subscriptions.update", params, key, subscription_id)

    def cancel_subscription(self, subscription_id: str, params: Json, key: str) -> Json:
        return self._write("subscriptions.cancel", params, key, subscription_id)

    def create_price(self, params: Json, key: str) -> Json:
        return self._write("prices.create", params, key)

    # -- what is read ----------------------------------------------------------------------------------------

    def retrieve(self, kind: str, object_id: str, **params: Any) -> Json:
        """One object. kind: as the SDK calls the service: "invoices", "checkout.sessions"."""
        return self._read(f"{kind}.retrieve", params, object_id)

    def find(self, kind: str, object_id: str, **params: Any) -> Json | None:
        """The same; None where there is no such object."""
        try:
            return self.retrieve(kind, object_id, **params)
        except GatewayRefused as refused:
            if refused.missing:
                return None
            raise

    def list(self, kind: str, *, most: int = 1_000, **params: Any) -> list[Json]:
        """The newest first, as many pages as that takes."""

        service = self._service(f"{kind}.list")

        def read() -> list[Json]:
            pages = service({"limit": min(most, PAGE), **params})
            if dig(_mapping(pages), "object") != "list":
                raise GatewayDown(UNREADABLE, "no list was answered")
            return [_plain(one) for one in islice(pages.auto_paging_iter(), most)]

        return _asked(read)

    def read_balance_entry(self, customer_id: str, entry_id: str) -> Json:
        """What was once added to, or taken from, the customer's balance."""
        return self._read("customers.balance_transactions.retrieve", {}, customer_id, entry_id)

    def list_balance(self, customer_id: str) -> Sequence[Json]:
        """The newest entries of it, a page."""
        return items_of(self._read("customers.balance_transactions.list", {"limit": PAGE}, customer_id))

    def account(self) -> Json:
        """Whose key it is."""
        return self._read("accounts.retrieve_current", {})

    # ----------------------------------------------------------------------------------------------------------

    def _write(self, name: str, params: Json, key: str, *ids: str) -> Json:
        service = self._service(name)
        return _asked(lambda: _plain(service(*ids, dict(params), {"idempotency_key": key})))

    def _read(self, name: str, params: Json, *ids: str) -> Json:
        service = self._service(name)
        return _asked(lambda: _plain(service(*ids, dict(params))))

    def _service(self, name: str) -> Callable[..., Any]:
        found = self._v1
        for step in name.split("."):
            found = getattr(found, step)
        return found  # type: ignore[no-any-return]


def _plain(answer: Any) -> Json:
    """GatewayDown where it has no id: it is the word of something on the way, and whether it was done is not known."""
    found = _mapping(answer)
    if sid(found) is None:
        raise GatewayDown(UNREADABLE, "an object without an id was answered")
    return found


def _mapping(answer: Any) -> Json:
    if not hasattr(answer, "to_dict"):  # the SDK gives back what is no object as it is
        raise GatewayDown(UNREADABLE, f"{type(answer).__name__} was answered")
    found = answer.to_dict(for_json=True)
    return found if isinstance(found, Mapping) else {}


def _asked(ask: Callable[[], Answer]) -> Answer:
    """What Stripe answers, or why it does not, in our words."""
    from stripe import StripeError

    try:
        return ask()
    except StripeError as error:
        _raise(error)
    except (AttributeError, TypeError, UnicodeDecodeError) as error:  # the SDK's, at an answer that is none of Stripe's
        raise GatewayDown(UNREADABLE, type(error).__name__) from None


def _raise(error: Any) -> NoReturn:
    """By what can be done about it; the SDK's exception, which holds the request, is not chained."""
    import stripe

    said = dig(error.json_body, "error")
    code, status = _code(said, error), error.http_status or 0
    detail = _detail(said, error)
    if isinstance(error, stripe.CardError):
        raise CardDeclined(code, sid(dig(said, "decline_code")), detail) from None
    if (
        isinstance(error, (stripe.APIConnectionError, stripe.RateLimitError))
        or status in (0, 409, 429)
        or status >= 500
        or (not isinstance(said, Mapping) and status not in OF_KEY)  # no word of Stripe's: of a proxy on the way, say
    ):
        raise GatewayDown(code, detail, status=status, stored=status >= 500 and _is_replayed(error)) from None
    raise GatewayRefused(code, detail, status=status) from None


def _is_replayed(error: Any) -> bool:
    """Whether it is the answer of an earlier time, which the key brings again and again."""
    said = {str(name).lower(): value for name, value in dict(error.headers or {}).items()}
    return said.get("idempotent-replayed") == "true"


def _code(said: Any, error: Any) -> str:
    """Of some errors the SDK knows no code, though the answer has one."""
    for found in (dig(said, "code"), dig(said, "type"), error.code):
        if isinstance(found, str) and found:
            return found
    return "unreachable" if error.http_status is None else f"http_{error.http_status}"


def _detail(said: Any, error: Any) -> str:
    """What Stripe said, which parameter it means, and by which name it finds this request again."""
    message = dig(said, "message") or (type(error).__name__ if error.http_status is None else error.user_message or "")
    param, request = dig(said, "param"), error.request_id
    return " ".join(
        [str(message), *([f"(parameter {param})"] if param else []), *([f"[{request}]"] if request else [])]
    )
