"""Taking turns: what is compared is measured in the same rounds, so that a busy machine slows both."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns


@dataclass(frozen=True)
class Spread:
    """The middle of several rounds, and how far apart they were."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def take_turns(rounds: int, contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each contestant's figure of each round. Every second round runs backwards: nobody is always first."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            figures[name].append(contestants[name]())
    return figures


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio within each round, then the middle of these: what slows a whole round cancels out."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def microseconds(work: Callable[[], object], times: int) -> float:
    """The median of single calls."""
    taken = []
    for _ in range(times):
        begun = perf_counter_ns()
        work()
        taken.append(perf_counter_ns() - begun)
    return statistics.median(taken) / 1000
