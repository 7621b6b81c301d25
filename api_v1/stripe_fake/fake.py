"""StripeFake: what a test holds in its hands."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs

from api_v1.stripe_fake import cards, checkout, endpoints
from api_v1.stripe_fake.deliveries import Delivery, Postman, signature
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.faults import Fault, Faults
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.replays import Replays
from api_v1.stripe_fake.server import Handler, Request, Server
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
        self.postman = Postman(self.world)
        self.world.on_event = self.postman.take
        self.faults = Faults()
        self.replays = Replays()
        self.requests: list[Request] = []
        self.failures: list[str] = []  # faults of the fake's own: a test that meets one proves nothing
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
            raise Refused(message, status=401, replayed=False)
        masked = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else f"{key[:8]}***"
        if not key.startswith(("sk_test_", "rk_test_")) or self.key not in {None, key}:
            raise Refused(f"Invalid API Key provided: {masked}", status=401, replayed=False)
        resource = path.split("/")[2]
        needed = f"{resource}:{'read' if method == 'GET' else 'write'}"
        if key.startswith("rk_") and needed in self.refused_permissions:
            message = (
                f"The provided key '{masked}' does not have the required permissions for this endpoint. Having the"
            )
            message += f" '{needed}' permission would allow this request to continue."
            raise Refused(message, status=403, replayed=False)

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
        self.postman.mode = "running"
        self.postman.deliver()

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

    # -- the clock ----------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.world.now(), UTC)

    # -- beside the API -----------------------------------------------------------------------------------

    def beside(self, handler: Handler, path: str, query: str, raw: bytes) -> None:
        """Pages for people, and the hooks over HTTP."""
        del query
        form = {name: values[0] for name, values in parse_qs(raw.decode(errors="replace")).items()}
        del form
        handler.answer(
            404, {"error": {"type": "invalid_request_error", "message": f"Unrecognized request URL ({path})."}}
        )
