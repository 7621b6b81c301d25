"""Currencies, rounding, shares and spreads: every number here is worked out by hand."""

from __future__ import annotations

from decimal import Decimal, getcontext, localcontext

import pytest

from turf_saas import money
from turf_saas.money import exponent, from_cents, is_currency, share, spread, to_cents


@pytest.mark.parametrize(
    ("code", "decimals"),
    [("EUR", 2), ("USD", 2), ("CHF", 2), ("JPY", 0), ("XPF", 0), ("KWD", 3), ("TND", 3), ("CLF", 4)],
)
def test_a_currency_has_its_own_number_of_decimals(code: str, decimals: int) -> None:
    assert is_currency(code)
    assert exponent(code) == decimals


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XAU", "XTS", "AAA", "EU", "EUR ", None, 978, ["EUR"]])
def test_what_is_no_currency_with_a_minor_unit_is_known_as_none(code: object) -> None:
    assert not is_currency(code)


def test_every_code_is_there_once_in_three_capital_letters() -> None:
    codes = [code for line in money._DECIMALS.values() for code in line.split()]
    assert len(codes) == len(set(codes)) == len(money._EXPONENTS)
    assert all(len(code) == 3 and code.isascii() and code.isalpha() and code.isupper() for code in codes)


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [
        ("4.938", "EUR", 494),  # 12 345 × 0.0004
        ("0.004", "EUR", 0),
        ("0.005", "EUR", 1),
        ("0.004999999999", "EUR", 0),
        ("0.015", "EUR", 2),
        ("0.025", "EUR", 3),  # half to even would be 2
        ("-0.025", "EUR", -3),
        ("-0.024", "EUR", -2),
        ("0", "EUR", 0),
        ("8.5", "JPY", 9),
        ("-8.5", "JPY", -9),
        ("1.0005", "KWD", 1001),
        ("1.00005", "CLF", 10001),
        ("90071992547409.92", "EUR", 2**53),
        ("123456789012345678901234567890.125", "EUR", 12345678901234567890123456789013),  # more than a context holds
    ],
)
def test_half_a_cent_goes_away_from_zero(amount: str, currency: str, cents: int) -> None:
    assert to_cents(Decimal(amount), currency) == cents


def test_the_thread_s_own_context_changes_nothing() -> None:
    with localcontext() as context:
        context.prec = 3
        assert to_cents(Decimal("1234.567"), "EUR") == 123457
        assert from_cents(1234567, "EUR") == Decimal("12345.67")
    assert getcontext().prec == 28


def test_cents_are_an_amount_with_all_their_decimals() -> None:
    assert from_cents(-1234, "EUR") == Decimal("-12.34")
    assert from_cents(7, "JPY") == 7
    assert from_cents(7, "KWD") == Decimal("0.007")


@pytest.mark.parametrize(
    ("cents", "part", "whole", "found"),
    [
        (1000, 1_425_600, 2_678_400, 532),  # from 15 January 12:00: 532.258
        (2500, 1_425_600, 2_678_400, 1331),  # 1330.645
        (100000, 304, 365, 83288),  # 83287.67
        (1, 1, 2, 1),
        (-1, 1, 2, -1),
        (1, 1, 3, 0),
        (5, 1, 2, 3),
        (-5, 1, 2, -3),
        (999, 0, 7, 0),
        (999, 7, 7, 999),
        (2**53, 2**53 - 1, 2**53, 2**53 - 1),  # a float would give back all of it
    ],
)
def test_a_share_is_rounded_once_in_integers(cents: int, part: int, whole: int, found: int) -> None:
    assert share(cents, part, whole) == found


@pytest.mark.parametrize("whole", [0, -1])
def test_there_is_no_share_of_nothing(whole: int) -> None:
    with pytest.raises(ValueError, match="parts"):
        share(1, 1, whole)


@pytest.mark.parametrize(
    ("cents", "weights", "parts"),
    [
        (100, [1, 1, 1], [34, 33, 33]),  # of equal remainders the first comes first
        (-100, [1, 1, 1], [-34, -33, -33]),
        (2, [1, 1, 1], [1, 1, 0]),
        (10, [1, 2, 4], [1, 3, 6]),  # 1.43, 2.86, 5.71: the last cents go to .86 and .71
        (10, [0, 5, 0], [0, 10, 0]),
        (7, [3, 0, 3], [4, 0, 3]),
        (0, [1, 2], [0, 0]),
        (0, [0, 0], [0, 0]),
        (0, [], []),
        (1001, [2000, 500], [801, 200]),  # 800.8, 200.2
    ],
)
def test_a_spread_gives_out_every_cent(cents: int, weights: list[int], parts: list[int]) -> None:
    assert spread(cents, weights) == parts
    assert sum(parts) == cents


def test_cents_are_not_spread_over_nothing() -> None:
    for weights in ([], [0, 0]):
        with pytest.raises(ValueError, match="nothing to be spread over"):
            spread(5, weights)
    with pytest.raises(ValueError, match="negative"):
        spread(5, [3, -1])
