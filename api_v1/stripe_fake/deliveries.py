"""Events on their way: signed, posted to the registered endpoints over real HTTP, and what became of each."""

from __future__ import annotations

import http.client
import json
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

ANSWER_WITHIN = 30
KEPT_OF_AN_ANSWER = 2_000
THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}

Mode = Literal["running", "paused", "off"]


@dataclass(frozen=True)
class Delivery:
    """One try at telling one endpoint of one event."""

    event_id: str
    event_type: str
    endpoint_id: str
    url: str
    status: int | None  # None: nobody answered
    body: str

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Postman:
    """Delivers in order, by one thread; or keeps what comes until it is told."""

    def __init__(self, world: World, note_failure: Callable[[str], None]) -> None:
        self.world = world
        self._note_failure = note_failure
        self.mode: Mode = "running"
        self.done: list[Delivery] = []
        self.kept: list[Obj] = []
        self._queue: deque[tuple[Obj, Obj]] = deque()
        self._changed = threading.Condition()
        self._busy = self._stopping = False
        self._thread = threading.Thread(target=self._work, name="stripe-fake-postman", daemon=True)
        self._thread.start()

    def take(self, event: Obj) -> None:
        """A new event: queued for whoever listens, or kept."""
        listeners = self._listeners(event["type"])
        event["_undelivered"] = {endpoint["id"] for endpoint in listeners}
        event["pending_webhooks"] = len(listeners)
        if self.mode == "paused":
            self.kept.append(event)
        elif self.mode == "running":
            with self._changed:
                self._queue.extend((event, endpoint) for endpoint in listeners)
                self._changed.notify_all()

    def _listeners(self, event_type: str) -> list[Obj]:
        return [
            endpoint
            for endpoint in self.world.oldest_first("webhook_endpoint", status="enabled")
            if {"*", event_type} & set(endpoint["enabled_events"])
        ]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if self._stopping:
                    return
                event, endpoint = self._queue.popleft()
                self._busy = True
            try:
                self.post(event, endpoint)
            except Exception:  # the next event is delivered all the same
                self._note_failure(traceback.format_exc())

    def idle(self, within: float) -> bool:
        """Whether everything queued has been posted and answered."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, within)

    def deliver(self, order: Sequence[str] | Literal["shuffled"] | None = None, times: int = 1) -> list[Delivery]:
        """What was kept, now, by the caller's thread: in the order of ids or types given, each so many times."""
        kept, self.kept = self.kept, []
        if order == "shuffled":
            random.shuffle(kept)
        elif order is not None:
            chosen = [event for wanted in order for event in kept if wanted in {event["id"], event["type"]}]
            self.kept = [event for event in kept if event not in chosen]
            kept = chosen
        return [result for event in kept for _ in range(times) for result in self.redeliver(event)]

    def redeliver(self, event: Obj) -> list[Delivery]:
        return [self.post(event, endpoint) for endpoint in self._listeners(event["type"])]

    def post(self, event: Obj, endpoint: Obj) -> Delivery:
        with self.world.lock:
            event["pending_webhooks"] = len(event["_undelivered"])
            raw = json.dumps(rendered(self.world, event)).encode()
        status, body = _post(endpoint["url"], raw, signature(raw, endpoint["secret"]))
        result = Delivery(event["id"], event["type"], endpoint["id"], endpoint["url"], status, body)
        with self.world.lock:
            if result.delivered:
                event["_undelivered"].discard(endpoint["id"])
            event["pending_webhooks"] = len(event["_undelivered"])
            self.done.append(result)
        return result

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(ANSWER_WITHIN + 5)


def signature(raw: bytes, secret: str, timestamp: int | None = None) -> str:
    """The `Stripe-Signature` of a body, by the real time: that is what the receiver holds it against."""
    from stripe import WebhookSignature

    return str(WebhookSignature.generate_signature_header(raw.decode(), secret, timestamp=timestamp))


def is_on_this_machine(url: str) -> bool:
    target = urlsplit(url)
    return target.scheme == "http" and target.hostname in THIS_MACHINE


def _post(url: str, raw: bytes, signed: str) -> tuple[int | None, str]:
    target = urlsplit(url)
    if not is_on_this_machine(url) or target.hostname is None:
        return None, "not delivered: the fake posts to this machine only"
    connection = http.client.HTTPConnection(target.hostname, target.port or 80, timeout=ANSWER_WITHIN)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signed,
        "User-Agent": "Stripe/1.0",
    }
    try:
        connection.request("POST", target.path or "/", raw, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")[:KEPT_OF_AN_ANSWER]
    except (OSError, http.client.HTTPException) as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        connection.close()
