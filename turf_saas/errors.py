"""What can be refused. A code for programs, parameters for the sentence; HTTP is decided in api_v1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from turf_saas.messages import MESSAGES

TOLD = 5  # faults in one sentence


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input: where it stands (a JSON pointer) and what it is."""

    loc: str
    code: str
    params: dict[str, Any]


def pointer(*steps: object) -> str:
    """The JSON pointer to a field. A name that somebody made up to be long is cut."""
    return "".join(f"/{str(step)[:100].replace('~', '~0').replace('/', '~1')}" for step in steps)


def steps_of(pointer: str) -> tuple[str, ...]:
    """The steps that a JSON pointer names."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _sentence(code: str, params: Mapping[str, Any]) -> str:
    return MESSAGES[code]["en"].format(**params) if code in MESSAGES else ""


class BillingError(Exception):
    """Base of all refusals. `code` is stable English, `params` fill the sentence in the caller's language.

    sentence: the name of the one that is said, where a code has several.
    """

    def __init__(
        self, code: str, /, *, faults: list[Fault] | None = None, sentence: str | None = None, **params: Any
    ) -> None:
        super().__init__(code)
        self.code = code
        self.sentence = sentence or code
        self.params = params
        self.faults = faults or []

    def __str__(self) -> str:
        """For whoever calls from Python: the code, its English sentence and that of each fault."""
        told = [_sentence(self.sentence, self.params)]
        told += [f"{fault.loc}: {_sentence(fault.code, fault.params)}" for fault in self.faults[:TOLD]]
        return f"{self.code}: {' '.join(told)}" if any(told) else self.code


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
