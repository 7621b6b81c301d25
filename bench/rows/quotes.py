"""What a quote costs: the whole of it, explained, beside the bare arithmetic that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from time import perf_counter

from bench.registry import Row, Setup, bench
from bench.timing import Spread, ratios, take_turns
from turf_saas.pricing import calculate, price_from

ASKED_FOR = 100_000  # quotes per second
QUANTITIES = (50, 500, 1500)  # one that ends in each of the tiers
PRICE = price_from(
    {
        "metric": "storage_gb",
        "model": "tiered",
        "tiers": [
            {"up_to": 100, "unit_amount": "0.10"},
            {"up_to": 1000, "unit_amount": "0.05"},
            {"up_to": None, "unit_amount": "0.02"},
        ],
    }
)
FIRST, SECOND, THIRD = (tier.unit_amount for tier in PRICE.tiers)
BOUNDS = Decimal(100), Decimal(1000)
HUNDRED, WHOLE = Decimal(100), Decimal(1)


@bench("quotes", "a price of three tiers rated and explained, beside the bare Decimal arithmetic of the same tiers")
def quotes(setup: Setup) -> Iterator[Row]:
    rounds, times = setup.pick(full=(21, 30_000), quick=(9, 10_000), tiny=(2, 300))
    for quantity in QUANTITIES:
        if calculate(PRICE, quantity, "EUR").amount_cents != bare(quantity):
            raise RuntimeError(f"the two disagree about {quantity}")
    taken = take_turns(
        rounds, {"ours": _per_second(lambda n: calculate(PRICE, n, "EUR"), times), "bare": _per_second(bare, times)}
    )
    ours, theirs, asked = taken["ours"], taken["bare"], [float(ASKED_FOR)] * rounds
    yield _row(ours, f"what is asked for: {ASKED_FOR}", asked, at_least=1)
    yield _row(ours, "bare Decimal arithmetic, no steps", theirs)


def bare(quantity: int) -> int:
    """The three tiers written out for this one price, in the thread's own context, rounded to cents."""
    units = Decimal(quantity)
    if units <= BOUNDS[0]:
        amount = units * FIRST
    elif units <= BOUNDS[1]:
        amount = BOUNDS[0] * FIRST + (units - BOUNDS[0]) * SECOND
    else:
        amount = BOUNDS[0] * FIRST + (BOUNDS[1] - BOUNDS[0]) * SECOND + (units - BOUNDS[1]) * THIRD
    return int((amount * HUNDRED).quantize(WHOLE, ROUND_HALF_UP))


def _per_second(quote: Callable[[int], object], times: int) -> Callable[[], float]:
    def measure() -> float:
        begun = perf_counter()
        for _ in range(times):
            for quantity in QUANTITIES:
                quote(quantity)
        return times * len(QUANTITIES) / (perf_counter() - begun)

    return measure


def _row(ours: list[float], compared_with: str, theirs: list[float], at_least: float | None = None) -> Row:
    what = "a quote of three tiers, explained"
    return Row(
        what, "quotes/s", Spread.of(ours), compared_with, Spread.of(theirs), ratios(ours, theirs), at_least=at_least
    )
