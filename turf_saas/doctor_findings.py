"""What the doctor says of one thing that it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from turf_saas.values import plain

SHOWN = 5  # examples of a kind


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `ok`, `warning` (works, but not as you may think) or `error`."""

    check: str
    level: str
    message: str


def listed(rows: list[Any], name: str) -> str:
    """The first of them by name, with how many rows each has."""
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return ", ".join(f"{plain(row[name])} ({row['rows']})" for row in rows[:SHOWN]) + more


def broken(check: str, sentences: Iterable[str], well: str) -> Finding:
    """An error that says the first sentences and how many there are; where there is none, that it is well."""
    left = iter(sentences)
    first = list(islice(left, SHOWN))
    if not first:
        return Finding(check, "ok", well)
    more = sum(1 for _ in left)
    return Finding(check, "error", "; ".join(first) + (f"; and {more} more." if more else "."))
