"""Idempotency keys: the first answer is kept, and given again to the same request."""

from __future__ import annotations

from dataclasses import dataclass

from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj

LONGEST_KEY = 255


@dataclass(frozen=True)
class Kept:
    """An answer, and the request that it was given to."""

    asked: tuple[str, str, str]  # method, path, body
    status: int
    body: Obj
    at: int
    request_id: str


class Replays:
    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}

    def find(self, key: str | None, asked: tuple[str, str, str]) -> Kept | None:
        """The answer that was given to this key; refused when it was another request's."""
        if key is None:
            return None
        if not 0 < len(key) <= LONGEST_KEY:
            raise Refused(f"Idempotency keys are at most {LONGEST_KEY} characters long.")
        known = self.kept.get(key)
        if known is not None and known.asked != asked:
            same_place = known.asked[:2] == asked[:2]
            what = "the same parameters" if same_place else "the same endpoint and parameters"
            message = f"Keys for idempotent requests can only be used with {what} they were first used with."
            message += f" Try using a key other than '{key}' if you meant to execute a different request."
            raise Refused(message, kind="idempotency_error")
        return known

    def keep(self, key: str | None, kept: Kept) -> None:
        if key is not None:
            self.kept[key] = kept

    def prune(self, before: int | None = None) -> int:
        """Forgets the keys of that time; Stripe may after 24 hours. How many there were."""
        old = [key for key, kept in self.kept.items() if before is None or kept.at < before]
        for key in old:
            del self.kept[key]
        return len(old)
