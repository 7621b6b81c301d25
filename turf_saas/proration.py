"""What a change in the middle of a period costs: by second, in two amounts that are rounded each by itself.

The old fee is given back for what is left of the period, the new one charged for it. What is left is measured against
the period's full length, also in a short first period, whose fee was that part of the full one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from turf_saas.money import share
from turf_saas.periods import Period, seconds_between


@dataclass(frozen=True)
class Proration:
    """What is given back and what is charged, both zero or more: two lines."""

    credit_cents: int = 0
    charge_cents: int = 0

    @property
    def net_cents(self) -> int:
        return self.charge_cents - self.credit_cents


def fee_of(period: Period, full_cents: int) -> int:
    """What a period costs whose full length costs this much: all of it, or the part that a short first one is."""
    return share(full_cents, period.seconds, period.nominal.seconds)


def change_plan(period: Period, at: datetime, *, old_cents: int, new_cents: int, left_cents: int) -> Proration:
    """The plan is another one from an instant on, and the period stays.

    old_cents, new_cents: what the period at full length costs under the plan in force and under the new one.
    left_cents: what this period has charged so far and not given back. No more is credited.
    """
    credit = capped_credit(_rest(period, at, old_cents), left_cents)
    return Proration(credit, _rest(period, at, new_cents))


def change_interval(period: Period, at: datetime, *, old_cents: int, left_cents: int, new_fee_cents: int) -> Proration:
    """A new period begins at an instant, the 00:00 of the local day, and is charged as one that begins: its fee."""
    return Proration(capped_credit(_rest(period, at, old_cents), left_cents), new_fee_cents)


def cancel_now(period: Period, at: datetime, *, old_cents: int, left_cents: int) -> Proration:
    """Nothing follows: what is left of the period is given back."""
    return Proration(capped_credit(_rest(period, at, old_cents), left_cents))


def capped_credit(wanted_cents: int, left_cents: int) -> int:
    """What can be given back of what is left of a charge; never less than nothing."""
    return max(0, min(wanted_cents, left_cents))


def _rest(period: Period, at: datetime, full_cents: int) -> int:
    if not period.start <= at <= period.end:
        raise ValueError(f"{at} is not in the period from {period.start} to {period.end}")
    return share(full_cents, seconds_between(at, period.end), period.nominal.seconds)
