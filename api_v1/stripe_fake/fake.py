"""StripeFake: what a test holds in its hands."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs

from api_v1.stripe_fake import (
    cards,
    checkout,
    clock,
    collecting,
    endpoints,
    hooks,
    pages,
    payouts,
    refunds,
    subscription_changes,
)
from api_v1.stripe_fake.deliveries import Delivery, Postman, signature
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.faults import Fault, Faults
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.replays import Replays
from api_v1.stripe_fake.server import Handler, NoAnswer, Request, Server
from api_v1.stripe_fake.world import World

WHEN_EXHAUSTED = ("canceled", "unpaid", "past_due")
A_DAY = 86_400


class StripeFake:
    """Stripe on 127.0.0.1, in memory.

        with StripeFake() as fake:
            client = stripe.StripeClient("sk_test_x", base_addresses=fake.addresses)

    `retry_days`: after how many days each automatic retry follows the try before it. `when_exhausted`: what becomes of
    a subscription after the last. `old_shapes`: events as endpoints from before basil get them.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        retry_days: Sequence[int] = (3, 5, 7),
        when_exhausted: Literal["canceled", "unpaid", "past_due"] = "canceled",
        old_shapes: bool = False,
        key: str | None = None,
    ) -> None:
        if when_exhausted not in WHEN_EXHAUSTED:
            raise ValueError(f"when_exhausted is one of {', '.join(WHEN_EXHAUSTED)}")
        self.world = World(retry_days=tuple(retry_days), when_exhausted=when_exhausted, old_shapes=old_shapes)
        self.failures: list[str] = []  # faults of the fake's own: a test that meets one proves nothing
        self.postman = Postman(self.world, self.note_failure)
        self.world.on_event = self.postman.take
        self.faults: Faults = Faults()
        self.replays = Replays()
        self.requests: list[Request] = []
        self.down = False
        self.key = key  # None: any test key is good
        self.refused_permissions: set[str] = set()  # of restricted keys: "invoices:write", "events:read"
        self._server = Server(self, port)
        self.port: int = self._server.server_address[1]
        self.world.base_url = self.url
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="stripe-fake", daemon=True
        )
        self._thread.start()

    # -- life ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def addresses(self) -> dict[str, str]:
        """For `StripeClient(base_addresses=…)`."""
        return dict.fromkeys(("api", "files", "connect", "meter_events"), self.url)

    def __enter__(self) -> StripeFake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it: whoever hangs is let go, whatever is on its way is dropped."""
        self.faults.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self.postman.close()

    def note_failure(self, trace: str) -> None:
        self.failures.append(trace)

    # -- keys ---------------------------------------------------------------------------------------------

    def check_key(self, key: str, method: str, path: str) -> None:
        """401 for no key, a live one or another than ours; 403 for what a restricted key may not."""
        if not key:
            message = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise Refused(message, status=401)
        masked = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else f"{key[:8]}***"
        if not key.startswith(("sk_test_", "rk_test_")) or self.key not in {None, key}:
            raise Refused(f"Invalid API Key provided: {masked}", status=401)
        resource = path.split("/")[2]
        needed = f"{resource}:{'read' if method == 'GET' else 'write'}"
        if key.startswith("rk_") and needed in self.refused_permissions:
            message = (
                f"The provided key '{masked}' does not have the required permissions for this endpoint. Having the"
            )
            message += f" '{needed}' permission would allow this request to continue."
            raise Refused(message, status=403)

    # -- what goes wrong ----------------------------------------------------------------------------------

    def fault(self, method: str = "*", path: str = "/", **how: Any) -> Fault:
        """For the next requests to the path: `status=`, `hang=`, `drop="before"|"after"`; see Fault."""
        return self.faults.add(Fault(method, path, **how))

    def prune_keys(self, older_than: int = A_DAY) -> int:
        """Forgets idempotency keys that are older, as Stripe may after 24 hours; 0: all of them."""
        with self.world.lock:
            return self.replays.prune(self.world.now() - older_than if older_than else None)

    # -- webhooks -----------------------------------------------------------------------------------------

    def add_endpoint(self, url: str, secret: str, enabled_events: Sequence[str] = ("*",)) -> Obj:
        with self.world.lock:
            return endpoints.create(self.world, {"url": url, "enabled_events": list(enabled_events)}, secret)

    def pause(self) -> None:
        """Events are kept until deliver() or resume()."""
        self.postman.mode = "paused"

    def resume(self) -> None:
        """Delivers what was kept, and from now on at once."""
        while self.postman.kept:
            self.postman.deliver()
        self.postman.mode = "running"

    def silence(self) -> None:
        """Nothing is delivered any more, as if every delivery had failed."""
        self.postman.mode = "off"

    def deliver(self, order: Sequence[str] | Literal["shuffled"] | None = None, times: int = 1) -> list[Delivery]:
        """What pause() kept, to every endpoint: in this order of ids or types, each so many times."""
        return self.postman.deliver(order, times)

    def redeliver(self, event_id: str) -> list[Delivery]:
        with self.world.lock:
            event = self.world.get("event", event_id)
        return self.postman.redeliver(event)

    def settled(self, within: float = 30) -> bool:
        """Whether all that was queued has been delivered."""
        return self.postman.idle(within)

    @property
    def deliveries(self) -> list[Delivery]:
        return list(self.postman.done)

    @property
    def events(self) -> list[Obj]:
        """All of them, the oldest first, as they would be delivered."""
        with self.world.lock:
            return [rendered(self.world, event) for event in self.world.oldest_first("event")]

    def signed(self, event: Obj, secret: str, timestamp: int | None = None) -> tuple[bytes, str]:
        """Body and `Stripe-Signature` of an event, to be posted by hand."""
        raw = json.dumps(event).encode()
        return raw, signature(raw, secret, timestamp)

    # -- what people and banks do -------------------------------------------------------------------------

    @property
    def objects(self) -> dict[str, Obj]:
        """Every object by its id, as the API shows it."""
        with self.world.lock:
            return {key: rendered(self.world, each) for key, each in self.world.objects.items()}

    def complete_checkout(self, session_id: str, card: str = "pm_card_visa", *, later: bool = False) -> Obj:
        """The customer pays. Refused when the card is; the session is then open still."""
        with self.world.lock:
            refusal = checkout.complete(self.world, session_id, card=card, later=later)
            if refusal is not None:
                raise refusal
            return rendered(self.world, self.world.get("checkout.session", session_id))

    def decide_payment(self, session_id: str, *, succeeded: bool) -> Obj:
        """What became of a payment that was left for later."""
        with self.world.lock:
            return rendered(self.world, checkout.decide(self.world, session_id, succeeded=succeeded))

    def card_turns(self, card_id: str, behaviour: str) -> None:
        """The card behaves from now on as the test card of this name."""
        with self.world.lock:
            assert behaviour in cards.CARDS, f"{behaviour} is no test card"
            self.world.get("payment_method", card_id)["_behaviour"] = behaviour

    def card_updated(self, card_id: str, **card: Any) -> Obj:
        """The bank has sent a new card (`exp_year=2031`): Stripe knows before anybody else."""
        with self.world.lock:
            found = self.world.get("payment_method", card_id)
            before = rendered(self.world, found)
            found["card"] |= card
            self.world.emit("payment_method.automatically_updated", found, before)
            return rendered(self.world, found)

    def confirm_payment(self, invoice_id: str) -> Obj:
        """The customer answers 3-D Secure, and the open invoice is paid."""
        with self.world.lock:
            invoice = self.world.get("invoice", invoice_id)
            collecting.confirm(self.world, invoice)
            return rendered(self.world, invoice)

    def dispute(
        self, charge_id: str, amount: int | None = None, *, reason: str = "fraudulent", inquiry: bool = False
    ) -> Obj:
        """The customer goes to the bank. An inquiry moves no money."""
        with self.world.lock:
            return rendered(self.world, refunds.dispute(self.world, charge_id, amount, reason, inquiry=inquiry))

    def close_dispute(self, dispute_id: str, outcome: Literal["lost", "won", "warning_closed"]) -> Obj:
        with self.world.lock:
            return rendered(self.world, refunds.close(self.world, dispute_id, outcome))

    def fail_refund(self, refund_id: str, reason: str = "lost_or_stolen_card") -> Obj:
        with self.world.lock:
            return rendered(self.world, refunds.fail(self.world, refund_id, reason))

    def succeed_refund(self, refund_id: str) -> Obj:
        """Of one that was pending."""
        with self.world.lock:
            return rendered(self.world, refunds.succeed(self.world, refund_id))

    def pay_out(self, currency: str = "eur") -> Obj | None:
        """All that is booked, on its way to the bank; it arrives a day later. None when there is nothing."""
        with self.world.lock:
            made = payouts.automatic(self.world, currency)
            return rendered(self.world, made) if made else None

    def fail_payout(self, payout_id: str) -> Obj:
        with self.world.lock:
            payout = self.world.get("payout", payout_id)
            payouts.fail(self.world, payout)
            return rendered(self.world, payout)

    def pause_subscription(self, subscription_id: str) -> Obj:
        """Into the status `paused`, which Stripe may be set to after failed payments."""
        with self.world.lock:
            subscription = self.world.get("subscription", subscription_id)
            subscription_changes.pause(self.world, subscription)
            return rendered(self.world, subscription)

    # -- the clock ----------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.world.now(), UTC)

    def move_clock(self, to: datetime) -> int:
        """Forward; then it stands. What falls due in between is done, and told, at its own instant: how much it was."""
        if to.tzinfo is None:
            raise ValueError("the clock is moved to an instant with its zone")
        aim = int(to.timestamp())
        if aim < self.world.now():
            raise ValueError("the clock goes forward only: what has happened stays")
        for done in range(clock.MOST_STEPS):
            with self.world.lock:
                more = clock.step(self.world, aim)
            if not more:
                return done
            self.settled()
        raise RuntimeError(f"more than {clock.MOST_STEPS} things fall due on the way")

    def set_clock(self, instant: datetime) -> None:
        """For the start of a test: any instant, and nothing is done on the way."""
        with self.world.lock:
            self.world.set_clock(int(instant.timestamp()))

    # -- beside the API -----------------------------------------------------------------------------------

    def beside(self, handler: Handler, path: str, raw: bytes) -> None:
        """Pages for people, and the hooks over HTTP."""
        if path.startswith("/_fake/"):
            hooks.serve(self, handler, path.removeprefix("/_fake/"), raw)
        elif self.down:
            raise NoAnswer
        else:
            form = {name: values[0] for name, values in parse_qs(raw.decode(errors="replace")).items()}
            pages.serve(self, handler, path, form)
