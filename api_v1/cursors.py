"""Cursors of lists: the position of the last row that was shown, and nothing else, so that none is worth forging."""

from __future__ import annotations

import base64
import json

from turf_saas.errors import Fault, InvalidInput

MAX_LENGTH = 400


def cursor_after(*position: str | int) -> str:
    """The cursor that goes on after the row with this sort key."""
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(given: str, *kinds: type) -> tuple[str | int, ...]:
    """The position in a cursor of ours: one value for each of kinds. Anything else is refused."""
    try:
        position = json.loads(base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise _refused() from None
    if not isinstance(position, list) or [type(value) for value in position] != list(kinds):
        raise _refused()
    if not all(value.isprintable() if isinstance(value, str) else abs(value) < 2**63 for value in position):
        raise _refused()
    return tuple(position)


def _refused() -> InvalidInput:
    return InvalidInput("cursor_invalid", faults=[Fault("/cursor", "cursor_invalid", {})])
