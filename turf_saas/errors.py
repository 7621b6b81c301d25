"""What can be refused. A code for programs, parameters for the sentence; HTTP is decided in api_v1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from turf_saas.messages import MESSAGES


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input: where it stands (a JSON pointer) and what it is."""

    loc: str
    code: str
    params: dict[str, Any]


class BillingError(Exception):
    """Base of all refusals. `code` is stable English, `params` fill the sentence in the caller's language."""

    def __init__(self, code: str, /, *, faults: list[Fault] | None = None, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params
        self.faults = faults or []

    def __str__(self) -> str:
        """For whoever calls from Python: the code and its English sentence."""
        sentence = MESSAGES[self.code]["en"].format(**self.params) if self.code in MESSAGES else ""
        return f"{self.code}: {sentence}" if sentence else self.code


class Malformed(BillingError):
    """The request cannot be read."""


class InvalidInput(BillingError):
    """The request can be read, but a value in it is not acceptable."""


class Unauthenticated(BillingError):
    """We do not know who is asking."""


class Forbidden(BillingError):
    """We know who is asking, and the answer is no."""


class NotFound(BillingError):
    """It is not there, or it is somebody else's: both look the same from outside."""


class Conflict(BillingError):
    """It contradicts what is there."""


class TooMany(BillingError):
    """Too often or too much; `retry_after` says in how many seconds it may be tried again."""

    def __init__(self, code: str, /, *, retry_after: int, **params: Any) -> None:
        super().__init__(code, **params)
        self.retry_after = retry_after


class Unavailable(BillingError):
    """Something that this needs is not configured or not ready."""


class SettingsError(Exception):
    """A setting cannot be used. The message is one line and names the variable and its value."""
