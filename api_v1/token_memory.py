"""The tokens whose signature was checked: a signature is the dear part of a token, and the part that cannot change."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, NamedTuple

REMEMBERED = 4096


class Checked(NamedTuple):
    """A token whose signature was good under `secret`."""

    header: dict[str, Any]
    claims: dict[str, Any]
    secret: Any


class TokenMemory:
    """The last tokens that were checked, at most REMEMBERED of them."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Checked] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._by_digest)

    def get(self, token: str, secret: Any) -> Checked | None:
        found = self._by_digest.get(_digest(token))
        return found if found is not None and found.secret == secret else None

    def put(self, token: str, checked: Checked) -> None:
        with self._lock:
            self._by_digest[_digest(token)] = checked
            if len(self._by_digest) > REMEMBERED:
                del self._by_digest[next(iter(self._by_digest))]  # the oldest


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
