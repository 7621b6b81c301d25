"""What goes wrong on demand: answers that are errors, answers that never come."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

BODIES: dict[int, dict[str, str]] = {
    400: {"type": "invalid_request_error", "message": "Invalid request."},
    401: {"type": "invalid_request_error", "message": "Invalid API Key provided: sk_test_***"},
    402: {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "generic_decline",
        "message": "Your card was declined.",
    },
    403: {"type": "invalid_request_error", "message": "The provided key does not have the required permissions."},
    409: {
        "type": "invalid_request_error",
        "code": "lock_timeout",
        "message": "This object cannot be accessed right now because another API request is currently accessing it.",
    },
    429: {"type": "invalid_request_error", "code": "rate_limit", "message": "Request rate limit exceeded."},
    500: {"type": "api_error", "message": "An unknown error occurred"},
    503: {"type": "api_error", "message": "Stripe is temporarily unavailable."},
}
LONGEST_HANG = 120


@dataclass
class Fault:
    """For the next `times` requests that match, after `skip` of them: a status, a hang, or a dropped connection."""

    method: str = "*"
    path: str = "/"  # a beginning, or a pattern when it starts with ^
    status: int | None = None
    executed: bool = False  # the error is a lie: the effect is there
    stored: bool = False  # the idempotency key gives this answer again
    hang: float | None = None  # seconds, or until release()
    drop: Literal["before", "after"] | None = None
    times: int = 1
    skip: int = 0
    code: str | None = None
    message: str | None = None
    decline_code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hits: int = field(default=0, init=False)
    reached: threading.Event = field(default_factory=threading.Event, init=False)
    _released: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        if self.status is None and self.hang is None and self.drop is None:
            raise ValueError("a fault has a status, a hang or a drop")
        if self.drop not in {None, "before", "after"}:
            raise ValueError("a connection is dropped before the effect or after it")

    def matches(self, method: str, path: str) -> bool:
        if self.method not in {"*", method}:
            return False
        return bool(re.search(self.path, path)) if self.path.startswith("^") else path.startswith(self.path)

    def wait(self) -> None:
        """Holds the request: for its seconds, or until somebody releases it."""
        self.reached.set()
        if self.hang is not None:
            self._released.wait(min(self.hang, LONGEST_HANG))

    def release(self) -> None:
        self._released.set()

    @property
    def body(self) -> dict[str, Any]:
        assert self.status is not None
        error: dict[str, Any] = dict(BODIES.get(self.status, BODIES[500]))
        said = {"code": self.code, "message": self.message, "decline_code": self.decline_code}
        return {"error": error | {name: value for name, value in said.items() if value is not None}}


class Faults:
    """The faults that wait for their request."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._all: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
            self._all.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault that matches, counted down."""
        with self._lock:
            for fault in self._waiting:
                if not fault.matches(method, path):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                fault.hits += 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """No more faults, and nobody hangs any longer."""
        with self._lock:
            self._waiting.clear()
            for fault in self._all:
                fault.release()
