"""What an invoice's lines come to: each line's net, the VAT of each rate rounded once, and the totals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from turf_saas.money import share
from turf_saas.plans import TaxBehavior
from turf_saas.tax import Category


class TaxedLine(NamedTuple):
    """A line to be totalled: `amount_cents` is net where the price is exclusive, gross where it is inclusive."""

    amount_cents: int
    category: Category
    rate: Decimal
    tax_behavior: TaxBehavior = "exclusive"


class Tax(NamedTuple):
    """One category and rate of a document: what it is taken of, and what it is."""

    category: Category
    rate: Decimal
    base_cents: int
    tax_cents: int

    @property
    def gross_cents(self) -> int:
        return self.base_cents + self.tax_cents


class Totals(NamedTuple):
    """`lines_net_cents` in the order of the lines; `taxes` by category, the highest rate first."""

    lines_net_cents: tuple[int, ...]
    taxes: tuple[Tax, ...]
    net_cents: int
    tax_cents: int

    @property
    def amount_cents(self) -> int:
        """What is to be paid, tax included."""
        return self.net_cents + self.tax_cents


def total(lines: Sequence[TaxedLine]) -> Totals:
    """The totals of a document. What is inclusive costs exactly what it says.

    The tax of a rate is that of its exclusive lines together, rounded once, and what its inclusive lines hold beside
    their nets.
    """
    nets = []
    groups: dict[tuple[Category, Decimal], list[int]] = {}  # net, exclusive net, tax inside the inclusive
    for line in lines:
        group = groups.setdefault((line.category, line.rate), [0, 0, 0])
        net = line.amount_cents
        if line.tax_behavior == "inclusive":
            net = net_of(line.amount_cents, line.rate)
            group[2] += line.amount_cents - net
        else:
            group[1] += net
        group[0] += net
        nets.append(net)
    taxes = ordered(
        Tax(category, rate, net, tax_of(exclusive, rate) + inside)
        for (category, rate), (net, exclusive, inside) in groups.items()
    )
    return Totals(tuple(nets), taxes, sum(nets), sum(tax.tax_cents for tax in taxes))


def tax_of(net_cents: int, rate: Decimal) -> int:
    """The tax on a net amount, half a cent away from zero."""
    part, whole = _parts(rate)
    return share(net_cents, part, whole)


def net_of(gross_cents: int, rate: Decimal) -> int:
    """What of an amount with its tax is net, half a cent away from zero."""
    part, whole = _parts(rate)
    return share(gross_cents, whole, whole + part)


def ordered(taxes: Iterable[Tax]) -> tuple[Tax, ...]:
    """By category, the highest rate first: the same document always reads the same."""
    return tuple(sorted(taxes, key=lambda tax: (tax.category, -tax.rate)))


@lru_cache(maxsize=256)  # a handful of rates, asked for on every document
def _parts(rate: Decimal) -> tuple[int, int]:
    """A percentage as a fraction of integers: 5.5 is 11 / 200."""
    part, whole = rate.as_integer_ratio()
    return part, 100 * whole
