"""What the ledger says of a document sums to it, and its hash is of all that it says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from turf_saas.invoice_documents import HASHED, LEDGER_TYPES, NO_HASH, DocumentLine, DocumentTax, hash_of, ledger_of
from turf_saas.invoice_totals import TaxedLine, total


def document(*given: tuple[Any, ...]) -> tuple[list[DocumentLine], list[DocumentTax]]:
    """Lines of (kind, cents, rate, with VAT or without), and their taxes."""
    totals = total([TaxedLine(cents, "S", Decimal(rate), behavior) for _, cents, rate, behavior in given])
    lines = [
        DocumentLine(kind, kind, None, "1", None, cents, behavior, net, "S", rate, None, None, "{}")
        for (kind, cents, rate, behavior), net in zip(given, totals.lines_net_cents, strict=True)
    ]
    taxes = [
        DocumentTax(tax.category, f"{tax.rate:f}", tax.base_cents, tax.tax_cents, None, None) for tax in totals.taxes
    ]
    return lines, taxes


def exclusive(kind: str, cents: int, rate: str = "20") -> tuple[Any, ...]:
    return kind, cents, rate, "exclusive"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([exclusive("base", 1900), exclusive("overage", 150)], {"subscription": 2280, "overage": 180}),
        # 19.00 less half of it, at 20 %
        ([exclusive("base", 1900), exclusive("discount", -950)], {"subscription": 2280, "credit": -1140}),
        # all of it: what was sold and what was given are there, though they come to nothing
        ([exclusive("base", 1900), exclusive("discount", -1900)], {"subscription": 2280, "credit": -2280}),
        # a rate below nothing, and one that comes to a cent
        ([exclusive("item", 100, "10"), exclusive("credit", -400, "10")], {"subscription": 110, "credit": -440}),
        ([exclusive("base", 1900), exclusive("credit", -1899)], {"subscription": 2280, "credit": -2279}),
        # 0.07 + 0.014 and 0.06 + 0.012: the VAT of both is 0.026, of which the first has 0.01 and the last the rest
        ([exclusive("base", 7), exclusive("late", 6)], {"subscription": 8, "overage": 8}),
        ([exclusive("charge", 100), exclusive("item", 100, "5.5"), exclusive("late", 10, "5.5")],
         {"subscription": 120 + 106, "overage": 10}),
        ([("base", 999, "20", "inclusive")], {"subscription": 999}),
        ([exclusive("base", 0)], {}),
    ],
)  # fmt: skip
def test_the_ledger_has_each_type_with_its_vat(given: list[Any], expected: dict[str, int]) -> None:
    lines, taxes = document(*given)
    assert ledger_of(lines, taxes) == expected
    assert sum(expected.values()) == sum(line.net_cents for line in lines) + sum(tax.tax_cents for tax in taxes)


def test_whatever_the_lines_are_the_ledger_sums_to_the_document() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    line = st.tuples(
        st.sampled_from(sorted(LEDGER_TYPES)),
        st.integers(-5_000, 5_000),
        st.sampled_from(["20", "5.5", "2.1", "100", "0.0001"]),
        st.sampled_from(["exclusive", "inclusive"]),
    )

    @hypothesis.settings(max_examples=200, deadline=None)
    @hypothesis.given(st.lists(line, min_size=1, max_size=8))
    def holds(given: list[Any]) -> None:
        lines, taxes = document(*given)
        amount = sum(one.net_cents for one in lines) + sum(tax.tax_cents for tax in taxes)
        assert sum(ledger_of(lines, taxes).values()) == amount

    holds()


def test_each_word_of_a_document_is_in_its_hash() -> None:
    lines, taxes = document(exclusive("base", 1900), exclusive("overage", 150))
    row = dict.fromkeys(HASHED, "x")
    found = {hash_of(NO_HASH, row, lines, taxes), hash_of("1" * 64, row, lines, taxes)}
    found |= {hash_of(NO_HASH, {**row, name: "y"}, lines, taxes) for name in HASHED}
    found |= {hash_of(NO_HASH, row, [lines[0]._replace(**{name: "y"}), lines[1]], taxes) for name in lines[0]._fields}
    found |= {hash_of(NO_HASH, row, lines, [taxes[0]._replace(**{name: "y"})]) for name in taxes[0]._fields}
    found |= {hash_of(NO_HASH, row, lines[::-1], taxes), hash_of(NO_HASH, row, lines[:1], taxes)}
    assert len(found) == 2 + len(HASHED) + len(DocumentLine._fields) + len(DocumentTax._fields) + 2
    assert hash_of(NO_HASH, row, [tuple(line) for line in lines], [list(tax) for tax in taxes]) in found
