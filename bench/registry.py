"""What a measure is, and the list of them. A new one is a function under @bench in a module of bench/rows/."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from bench.timing import Spread

Size = Literal["full", "quick", "tiny"]
T = TypeVar("T")


class CannotRun(Exception):
    """Why a measure cannot be taken here, in one sentence."""


@dataclass(frozen=True)
class Setup:
    """What a measure is given: a folder of its own that is thrown away, and how large it may be."""

    folder: Path
    size: Size = "full"
    postgresql: bool = False

    def pick(self, *, full: T, quick: T, tiny: T) -> T:
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]


@dataclass(frozen=True)
class Row:
    """One line of the table: two figures of the same run, and the ratio of the two."""

    what: str
    unit: str
    ours: Spread
    compared_with: str
    theirs: Spread
    ratio: Spread
    at_most: float | None = None
    at_least: float | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the ratio keeps what is required of it; None when nothing is."""
        if self.at_most is not None:
            return self.ratio.median <= self.at_most
        if self.at_least is not None:
            return self.ratio.median >= self.at_least
        return None

    @property
    def required(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""


@dataclass(frozen=True)
class Bench:
    name: str
    summary: str
    measure: Callable[[Setup], Iterable[Row]]


BENCHES: dict[str, Bench] = {}
Measure = Callable[[Setup], Iterable[Row]]


def bench(name: str, summary: str) -> Callable[[Measure], Measure]:
    """Enter a function into the list under a name that --only takes."""

    def enter(measure: Measure) -> Measure:
        if name in BENCHES:
            raise ValueError(f"there are two measures called {name}")
        BENCHES[name] = Bench(name, summary, measure)
        return measure

    return enter


def load_all() -> dict[str, Bench]:
    """Every measure that the modules of bench/rows/ enter."""
    package = importlib.import_module("bench.rows")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"bench.rows.{module.name}")
    return BENCHES
