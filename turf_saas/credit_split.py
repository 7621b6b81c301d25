"""How much of each rate a credit note takes back, so that the credits of an invoice add up to it, to the cent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from turf_saas.errors import Conflict, InvalidInput
from turf_saas.invoice_totals import Tax, net_of, ordered, tax_of
from turf_saas.money import spread
from turf_saas.tax import Category


class CreditLine(NamedTuple):
    """What is taken back of one line: net, positive; negative where a discount is taken back too.

    gross_cents: of a line whose price includes its VAT, what it cost.
    """

    net_cents: int
    category: Category
    rate: Decimal
    gross_cents: int | None = None


def left_of(invoice: Iterable[Tax], credited: Iterable[Tax] = ()) -> tuple[Tax, ...]:
    """What of each rate has not been credited. Credit notes are negative, as they are stored."""
    sums: dict[tuple[Category, Decimal], list[int]] = {}
    for tax in (*invoice, *credited):
        group = sums.setdefault((tax.category, tax.rate), [0, 0])
        group[0] += tax.base_cents
        group[1] += tax.tax_cents
    return ordered(Tax(*key, base, tax_cents) for key, (base, tax_cents) in sums.items() if base or tax_cents)


def split_credit(
    invoice: Sequence[Tax],
    credited: Sequence[Tax] = (),
    *,
    amount_cents: int | None = None,
    lines: Sequence[CreditLine] | None = None,
) -> tuple[Tax, ...]:
    """The taxes of a credit note, negative: of an amount with its tax, of lines, or of all that is left.

    An amount or lines, not both. An amount is spread over the rates as they stand to each other in what is left.
    Whoever takes the last of a rate takes what is left of its net and of its VAT. More than is left is a Conflict.
    """
    left = left_of(invoice, credited)
    if amount_cents is not None and (type(amount_cents) is not int or amount_cents < 1):
        raise InvalidInput("credit_invalid", field="amount_cents")
    if gross_of(left) <= 0:
        raise Conflict("nothing_left_to_credit")
    if lines is not None:
        taken = _by_lines(left, lines)
    elif amount_cents is None or amount_cents == gross_of(left):
        taken = left
    else:
        taken = _by_amount(left, amount_cents)
    return tuple(Tax(tax.category, tax.rate, -tax.base_cents, -tax.tax_cents) for tax in taken)


def gross_of(taxes: Iterable[Tax]) -> int:
    return sum(tax.gross_cents for tax in taxes)


def _by_amount(left: Sequence[Tax], amount_cents: int) -> tuple[Tax, ...]:
    if amount_cents > gross_of(left):
        raise Conflict("credit_too_large", left_cents=gross_of(left))
    # A rate whose lines came to less than nothing is taken back with the last credit, that of all that is left.
    positive = [tax for tax in left if tax.gross_cents > 0]
    parts = spread(amount_cents, [tax.gross_cents for tax in positive])
    return tuple(_gross_part(tax, part) for tax, part in zip(positive, parts, strict=True) if part)


def _gross_part(left: Tax, gross_cents: int) -> Tax:
    """The part of a rate that has this gross: its net by the rate, neither net nor VAT more than is left.

    So the last part is all that is left, whatever was rounded before.
    """
    net = max(gross_cents - left.tax_cents, min(net_of(gross_cents, left.rate), left.base_cents))
    return Tax(left.category, left.rate, net, gross_cents - net)


def _by_lines(left: Sequence[Tax], lines: Sequence[CreditLine]) -> tuple[Tax, ...]:
    sums: dict[tuple[Category, Decimal], list[int]] = {}  # net, and of it what includes its VAT: net and that VAT
    for line in lines:
        group = sums.setdefault((line.category, line.rate), [0, 0, 0])
        group[0] += line.net_cents
        if line.gross_cents is not None:
            group[1] += line.net_cents
            group[2] += line.gross_cents - line.net_cents
    wanted = {key: group for key, group in sums.items() if group[0]}
    if not wanted or any(group[0] < 0 for group in wanted.values()):
        raise InvalidInput("credit_invalid", field="lines")
    of = {(tax.category, tax.rate): tax for tax in left}
    for key, (net, _, _) in wanted.items():
        found = of.get(key)
        if found is None or net > found.base_cents:
            base, rate = (max(0, found.base_cents) if found else 0), f"{key[1]:f}"
            raise Conflict("credit_too_large", sentence="credit_too_large_of_rate", left_cents=base, rate=rate)
    taken = ordered(_net_part(of[key], *group) for key, group in wanted.items())
    # A rate that came to less than nothing has taken part of it, and comes along with the last of the others.
    if gross_of(taken) > gross_of(left) or (gross_of(taken) == gross_of(left) and taken != tuple(left)):
        raise Conflict("credit_too_large", left_cents=gross_of(left))
    return taken


def _net_part(left: Tax, net_cents: int, inclusive_cents: int, inside_cents: int) -> Tax:
    """The part of a rate that has this net: its VAT by the rate and as it was inside, not more than is left."""
    if net_cents == left.base_cents:
        return left
    tax_cents = tax_of(net_cents - inclusive_cents, left.rate) + inside_cents
    return Tax(left.category, left.rate, net_cents, max(0, min(tax_cents, left.tax_cents)))
