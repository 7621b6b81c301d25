"""Of any document: parts add up, what is inclusive costs what it says, and credits come to the invoice."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from turf_saas.credit_split import CreditLine, gross_of, left_of, split_credit
from turf_saas.invoice_totals import Tax, TaxedLine, total

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
bounded = hypothesis.settings(max_examples=300, deadline=None)

RATES = st.sampled_from(["20", "10", "5.5", "2.1", "25.5", "0.0001", "100"]).map(Decimal)
TAXED = st.builds(
    TaxedLine, st.integers(-100_000, 10**7), st.just("S"), RATES, st.sampled_from(["inclusive", "exclusive"])
)
UNTAXED = st.builds(TaxedLine, st.integers(-100_000, 10**7), st.sampled_from(["E", "AE", "O"]), st.just(Decimal(0)))
LINES = st.lists(TAXED | UNTAXED, min_size=1, max_size=12)


@bounded
@hypothesis.given(LINES)
def test_lines_taxes_and_totals_add_up(lines: list[TaxedLine]) -> None:
    found = total(lines)
    assert found.net_cents == sum(found.lines_net_cents) == sum(tax.base_cents for tax in found.taxes)
    assert found.tax_cents == sum(tax.tax_cents for tax in found.taxes)
    assert found.amount_cents == gross_of(found.taxes)
    assert len({(tax.category, tax.rate) for tax in found.taxes}) == len(found.taxes)
    assert total(list(reversed(lines))).taxes == found.taxes


@bounded
@hypothesis.given(st.lists(TAXED.map(lambda line: line._replace(tax_behavior="inclusive")), min_size=1, max_size=12))
def test_what_is_inclusive_costs_exactly_what_it_says(lines: list[TaxedLine]) -> None:
    found = total(lines)
    assert found.amount_cents == sum(line.amount_cents for line in lines)
    for line, net in zip(lines, found.lines_net_cents, strict=True):
        assert abs(net - line.amount_cents / (1 + Fraction(line.rate) / 100)) <= Fraction(1, 2)


@bounded
@hypothesis.given(st.lists(TAXED.map(lambda line: line._replace(tax_behavior="exclusive")), min_size=1, max_size=12))
def test_the_tax_of_a_rate_is_half_a_cent_from_the_exact_one(lines: list[TaxedLine]) -> None:
    for tax in total(lines).taxes:
        assert abs(tax.tax_cents - Fraction(tax.rate) * tax.base_cents / 100) <= Fraction(1, 2)


@st.composite
def wishes(draw: Any, left: tuple[Tax, ...]) -> dict[str, Any]:
    """An amount, a line, or all."""
    kind = draw(st.sampled_from(["amount", "amount", "line", "all"]))
    of_a_line = [tax for tax in left if tax.base_cents > 0]
    if kind == "amount":
        return {"amount_cents": draw(st.integers(1, gross_of(left)))}
    if kind == "line" and of_a_line:
        tax = draw(st.sampled_from(of_a_line))
        return {"lines": [CreditLine(draw(st.integers(1, tax.base_cents)), tax.category, tax.rate)]}
    return {}


@bounded
@hypothesis.given(
    LINES.map(lambda lines: [line._replace(amount_cents=abs(line.amount_cents)) for line in lines]), st.data()
)
def test_credits_add_up_to_each_rate_of_the_invoice_and_never_pass_it(lines: list[TaxedLine], data: Any) -> None:
    invoice = total(lines).taxes
    hypothesis.assume(gross_of(invoice) > 0)
    credited: list[Tax] = []
    for _ in range(6):
        left = left_of(invoice, credited)
        if gross_of(left) == 0:
            break
        assert all(tax.base_cents >= 0 and tax.tax_cents >= 0 for tax in left)
        wish = data.draw(wishes(left))
        note = split_credit(invoice, credited, **wish)
        assert -gross_of(note) == wish.get("amount_cents", -gross_of(note)) > 0
        assert all(tax.base_cents <= 0 and tax.tax_cents <= 0 for tax in note)
        credited += note
    else:
        if left_of(invoice, credited):
            credited += split_credit(invoice, credited)
    assert left_of(invoice, credited) == ()


@bounded
@hypothesis.given(LINES, st.data())
def test_an_invoice_with_rates_below_nothing_is_credited_to_the_cent(lines: list[TaxedLine], data: Any) -> None:
    invoice = total(lines).taxes
    hypothesis.assume(gross_of(invoice) > 1)
    note = split_credit(invoice, amount_cents=data.draw(st.integers(1, gross_of(invoice) - 1)))
    assert left_of(invoice, [*note, *split_credit(invoice, note)]) == ()
