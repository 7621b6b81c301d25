"""Asking for many rows by their keys: a hundred at a time, always with the same text of SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Key = TypeVar("Key")
AT_ONCE = 100
_NAMES = [f"k{number}" for number in range(AT_ONCE)]


def parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """The keys in parts of one length: the last is filled up with its own last key, which asks for nothing new."""
    if len(keys) == 1:
        yield keys
        return
    for start in range(0, len(keys), AT_ONCE):
        part = keys[start : start + AT_ONCE]
        yield [*part, *[part[-1]] * (AT_ONCE - len(part))]


def places(part: Sequence[Key]) -> str:
    """The keys' places in a statement, as they stand between the brackets of IN."""
    return ", ".join(f":{name}" for name in _NAMES[: len(part)])


def named(part: Sequence[Key]) -> dict[str, Key]:
    """The keys by the names of their places."""
    return dict(zip(_NAMES, part, strict=False))
