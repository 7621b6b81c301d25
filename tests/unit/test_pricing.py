"""What a quantity costs, at every edge of a tier; and every fault of a price, with its place."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest

from tests.cases import cases
from turf_saas.errors import Fault, InvalidInput
from turf_saas.money import MAX_CENTS
from turf_saas.pricing import Price, Tier, calculate, faults_of, price_as_json, price_from, rate

ENTERED: list[dict[str, Any]] = [
    {"up_to": 100, "unit_amount": "0.10"},
    {"up_to": 1000, "unit_amount": "0.05"},
    {"up_to": None, "unit_amount": "0.02"},
]


def price(model: str = "tiered", **fields: Any) -> Price:
    return price_from({"metric": "units", "model": model, **fields})


def cents(found: Price, quantity: int | str, currency: str = "EUR") -> int:
    return calculate(found, Decimal(quantity), currency).amount_cents


# -- what others found --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*cases("tiered"), *cases("volume"), *cases("package")], ids=lambda case: case["id"])
def test_models_as_others_have_them(case: dict[str, Any]) -> None:
    charge = calculate(price_from(case["inputs"]["price"]), Decimal(case["inputs"]["quantity"]), "EUR")
    assert charge.amount_cents == case["expected"]["amount_cents"]
    assert sum(step.amount for step in charge.steps) == charge.amount
    if "packages" in case["expected"]:
        assert [step.quantity for step in charge.steps] == [case["expected"]["packages"]]


@pytest.mark.parametrize("case", cases("overage"), ids=lambda case: case["id"])
def test_what_is_above_the_included_quantity_is_paid(case: dict[str, Any]) -> None:
    given, expected = case["inputs"], case["expected"]
    charge = rate(price_from(given["price"]), given["used"], given["included"], "EUR")
    assert charge.quantity == expected["quantity"]
    assert charge.amount == Decimal(expected["amount"])
    assert charge.amount_cents == expected["overage_cents"]
    assert given["fee_cents"] + charge.amount_cents == expected["invoice_cents"]


@pytest.mark.parametrize(
    "case", [case for case in cases("rounding") if case["inputs"]["kind"] == "per_unit"], ids=lambda case: case["id"]
)
def test_a_line_is_rounded_once_and_not_event_by_event(case: dict[str, Any]) -> None:
    given, expected = price_from(case["inputs"]["price"]), case["expected"]
    charge = calculate(given, Decimal(case["inputs"]["quantity"]), "EUR")
    assert charge.amount == Decimal(expected["amount"])
    assert charge.amount_cents == expected["amount_cents"]
    assert cents(given, 1) == expected["wrong_if_rounded_per_event"] == 0


# -- the four models -----------------------------------------------------------------------------------


def test_a_unit_may_cost_less_than_a_cent() -> None:
    """12 345 × 0.0004 = 4.938; a unit price that was rounded first would make it 0."""
    assert cents(price("flat", unit_amount="0.0004"), 12_345) == 494


@pytest.mark.parametrize(
    ("quantity", "tiered", "volume"),
    [
        ("0", 0, 0),
        ("1", 10, 10),
        ("99", 990, 990),
        ("100", 1000, 1000),  # the bound belongs to its tier
        ("100.5", 1003, 503),  # 10.00 + 0.5 × 0.05 = 10.025; 100.5 × 0.05 = 5.025
        ("101", 1005, 505),
        ("999", 5495, 4995),
        ("1000", 5500, 5000),
        ("1001", 5502, 2002),
        ("1500", 6500, 3000),
    ],
)
def test_tiered_and_volume_at_every_edge(quantity: str, tiered: int, volume: int) -> None:
    assert cents(price("tiered", tiers=ENTERED), quantity) == tiered
    assert cents(price("volume", tiers=ENTERED), quantity) == volume


FLAT_PARTS = [
    {"up_to": 10, "unit_amount": "1", "flat_cents": 500},
    {"up_to": 20, "unit_amount": "0.50", "flat_cents": 300},
    {"up_to": None, "unit_amount": "0.25"},
]


@pytest.mark.parametrize(
    ("quantity", "tiered", "volume"),
    [
        (1, 600, 600),
        (10, 1500, 1500),
        (11, 1850, 850),  # 15.00 + 3.00 + 0.50; 3.00 + 11 × 0.50
        (20, 2300, 1300),
        (21, 2325, 525),  # each entered tier's flat amount; the matched tier's, which has none
    ],
)
def test_flat_amounts_are_those_of_each_entered_tier_or_of_the_matched_one(
    quantity: int, tiered: int, volume: int
) -> None:
    assert cents(price("tiered", tiers=FLAT_PARTS), quantity) == tiered
    assert cents(price("volume", tiers=FLAT_PARTS), quantity) == volume


@pytest.mark.parametrize("model", ["tiered", "volume"])
def test_nothing_used_costs_nothing_unless_the_price_says_so(model: str) -> None:
    assert cents(price(model, tiers=FLAT_PARTS), 0) == 0
    at_zero = calculate(price(model, tiers=FLAT_PARTS, flat_at_zero=True), 0, "EUR")
    assert at_zero.amount_cents == 500
    assert [(step.quantity, step.flat_cents, step.amount) for step in at_zero.steps] == [(0, 500, 5)]
    assert cents(price(model, tiers=FLAT_PARTS, flat_at_zero=True), 1) == 600


def test_what_is_covered_by_the_included_quantity_counts_as_nothing_used() -> None:
    for included in (7, 8, None):
        assert rate(price("tiered", tiers=FLAT_PARTS), 7, included, "EUR").amount_cents == 0
        assert rate(price("tiered", tiers=FLAT_PARTS, flat_at_zero=True), 7, included, "EUR").amount_cents == 500
    assert rate(price("tiered", tiers=FLAT_PARTS), 7, 6, "EUR").amount_cents == 600
    assert rate(price("flat", unit_amount="1"), Decimal("7.5"), 6, "EUR").amount_cents == 150


@pytest.mark.parametrize(
    ("quantity", "packages"),
    [("0", 0), ("0.001", 1), ("1", 1), ("99", 1), ("100", 1), ("100.001", 2), ("101", 2), ("250", 3)],
)
def test_a_package_that_is_begun_is_paid_whole(quantity: str, packages: int) -> None:
    charge = calculate(price("package", package_size=100, package_cents=500), Decimal(quantity), "EUR")
    assert charge.amount_cents == 500 * packages
    assert [(step.quantity, step.size) for step in charge.steps] == [(packages, 100)] * (packages > 0)


def test_packages_above_the_included_quantity() -> None:
    """250 used, 100 free: 150 are two packages."""
    assert rate(price("package", package_size=100, package_cents=500), 250, 100, "EUR").amount_cents == 1000


def test_a_currency_without_cents_and_one_with_three_decimals() -> None:
    given = price("tiered", tiers=[{"up_to": 10, "unit_amount": "0.25", "flat_cents": 7}, ENTERED[2]])
    assert cents(given, 2, "JPY") == 8  # 0.5 yen go to 1, and 7 of the smallest unit
    assert cents(given, 2, "KWD") == 507
    assert calculate(given, 2, "KWD").amount == Decimal("0.507")


# -- how it is explained -------------------------------------------------------------------------------


def test_a_charge_is_explained_tier_by_tier() -> None:
    charge = calculate(price("tiered", tiers=FLAT_PARTS), 25, "EUR")
    assert [tuple(step) for step in charge.steps] == [
        (0, 10, 10, 1, 500, 15, 1),
        (10, 20, 10, Decimal("0.5"), 300, 8, 1),
        (20, None, 5, Decimal("0.25"), 0, Decimal("1.25"), 1),
    ]
    assert charge.amount == Decimal("24.25")


@pytest.mark.parametrize(
    ("model", "fields", "quantity", "unit_amount"),
    [
        ("flat", {"unit_amount": "0.0004"}, 12_345, "0.0004"),
        ("tiered", {"tiers": ENTERED}, 5, None),
        ("volume", {"tiers": ENTERED}, 101, "0.05"),
        ("volume", {"tiers": FLAT_PARTS}, 10, None),
        ("volume", {"tiers": FLAT_PARTS}, 21, "0.25"),
        ("package", {"package_size": 100, "package_cents": 500}, 100, None),
    ],
)
def test_a_unit_amount_stands_where_it_explains_the_line(
    model: str, fields: dict[str, Any], quantity: int, unit_amount: str | None
) -> None:
    charge = calculate(price(model, **fields), quantity, "EUR")
    assert charge.unit_amount == (None if unit_amount is None else Decimal(unit_amount))
    if charge.unit_amount is not None:
        assert charge.quantity * charge.unit_amount == charge.amount


# -- how large it may be -------------------------------------------------------------------------------


def test_the_largest_amount_is_exact_and_one_cent_more_is_refused() -> None:
    given = price("flat", unit_amount="0.01")
    assert cents(given, MAX_CENTS) == MAX_CENTS
    assert cents(given, MAX_CENTS - 1) == MAX_CENTS - 1
    with pytest.raises(InvalidInput, match="exceeds") as refused:
        cents(given, MAX_CENTS + 1)
    assert refused.value.code == "amount_too_large"
    for huge in (
        price("flat", unit_amount="1000000000"),
        price("package", package_size=1, package_cents=MAX_CENTS),
        price("volume", tiers=[{"up_to": None, "unit_amount": "1", "flat_cents": MAX_CENTS}]),
        price("tiered", tiers=[{"up_to": 1, "unit_amount": "0", "flat_cents": MAX_CENTS}, ENTERED[2]]),
    ):
        with pytest.raises(InvalidInput, match="amount_too_large"):
            cents(huge, 2**53)


@pytest.mark.parametrize("quantity", [-1, Decimal("-0.5"), 2**63])
def test_a_quantity_that_cannot_have_been_used_is_refused(quantity: int | Decimal) -> None:
    with pytest.raises(InvalidInput, match="quantity_invalid"):
        calculate(price("flat", unit_amount="1"), quantity, "EUR")
    assert cents(price("flat", unit_amount="0"), 2**63 - 1) == 0


def test_twelve_decimals_and_sixteen_digits_are_not_cut_whatever_the_thread_s_context() -> None:
    given = price("tiered", tiers=[{"up_to": 1, "unit_amount": "0.000000000001"}, ENTERED[2]])
    with localcontext() as context:
        context.prec = 4
        charge = calculate(given, 4_503_599_627_370_496, "EUR")
        packages = calculate(price("package", package_size=7, package_cents=3), 123_456_789, "EUR")
    assert charge.amount == Decimal("90071992547409.900000000001")
    assert charge.amount_cents == 9_007_199_254_740_990
    assert packages.amount_cents == 17_636_685 * 3  # 123 456 789 / 7 = 17 636 684.14


# -- a price as it is written --------------------------------------------------------------------------

CONTRACTED = [
    {"metric": "api_calls", "model": "flat", "unit_amount": "0.0004"},
    {
        "metric": "storage_gb",
        "model": "tiered",
        "tiers": [
            {"up_to": 100, "unit_amount": "0.10", "flat_cents": 0},
            {"up_to": None, "unit_amount": "0.02", "flat_cents": 0},
        ],
    },
    {
        "metric": "seats",
        "model": "volume",
        "tiers": [
            {"up_to": "0.5", "unit_amount": "10", "flat_cents": 3},
            {"up_to": None, "unit_amount": "5", "flat_cents": 0},
        ],
        "flat_at_zero": True,
    },
    {"metric": "reports", "model": "package", "package_size": 100, "package_cents": 500},
]


@pytest.mark.parametrize("given", CONTRACTED, ids=lambda given: given["model"])
def test_a_price_is_written_as_it_was_read(given: dict[str, Any]) -> None:
    found = price_from(given)
    assert price_as_json(found) == given
    assert price_from(price_as_json(found)) == found
    assert faults_of(found) == []


def test_what_may_be_left_out_or_null_is_as_if_it_were_there() -> None:
    short = {"metric": "seats", "model": "volume", "tiers": [{"up_to": 15, "unit_amount": 10}, {"unit_amount": "5"}]}
    expected = Price("seats", "volume", tiers=(Tier(Decimal(15), Decimal(10)), Tier(None, Decimal(5))))
    assert price_from(short) == expected
    assert price_from({**short, "unit_amount": None, "package_size": None, "flat_at_zero": None}) == expected


def test_a_number_of_a_file_may_be_a_decimal_and_its_digits_stand() -> None:
    found = price("flat", unit_amount=Decimal("4E-7"))
    assert price_as_json(found)["unit_amount"] == "0.0000004"


def faults(given: Any) -> list[tuple[str, str]]:
    return [(fault.loc, fault.code) for fault in faults_of(given)]


FLAT = {"metric": "units", "model": "flat", "unit_amount": "1"}
PACKAGE = {"metric": "units", "model": "package", "package_size": 10, "package_cents": 1}
LAST = {"up_to": None, "unit_amount": "1"}


def with_tiers(*tiers: Any) -> dict[str, Any]:
    return {"metric": "units", "model": "tiered", "tiers": list(tiers)}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], [("", "field_type")]),
        ({}, [("/metric", "field_missing"), ("/model", "field_missing")]),
        ({**FLAT, "metric": "API calls"}, [("/metric", "field_format")]),
        ({**FLAT, "metric": 5}, [("/metric", "field_format")]),
        ({**FLAT, "model": "graduated"}, [("/model", "field_choice")]),
        ({**FLAT, "model": []}, [("/model", "field_choice")]),
        ({**FLAT, "price": 1}, [("/price", "field_unknown")]),
        ({**FLAT, "a/b~": 1}, [("/a~1b~0", "field_unknown")]),
        ({"metric": "units", "model": "flat"}, [("/unit_amount", "field_missing")]),
        ({**FLAT, "unit_amount": "-1"}, [("/unit_amount", "field_range")]),
        ({**FLAT, "unit_amount": "-0"}, [("/unit_amount", "field_range")]),
        ({**FLAT, "unit_amount": -1}, [("/unit_amount", "field_range")]),
        ({**FLAT, "unit_amount": "1000000000"}, []),
        ({**FLAT, "unit_amount": "1000000000.1"}, [("/unit_amount", "field_range")]),
        ({**FLAT, "unit_amount": "0.000000000001"}, []),
        ({**FLAT, "unit_amount": "0.0000000000001"}, [("/unit_amount", "decimal_places")]),
        (
            {**FLAT, "unit_amount": "-0.0000000000001"},
            [("/unit_amount", "decimal_places"), ("/unit_amount", "field_range")],
        ),
        *(
            ({**FLAT, "unit_amount": bad}, [("/unit_amount", "decimal_invalid")])
            for bad in (0.1, True, "", "1e3", "0,1", " 1", "1 ", "+1", ".5", "5.", "NaN", "٣", [], {}, "1" * 31)
        ),
        ({**FLAT, "unit_amount": Decimal("NaN")}, [("/unit_amount", "decimal_invalid")]),
        ({**FLAT, "unit_amount": Decimal("1E+999999")}, [("/unit_amount", "decimal_invalid")]),
        ({**FLAT, "tiers": [LAST]}, [("/tiers", "price_field_of_another_model")]),
        ({**FLAT, "flat_at_zero": True}, [("/flat_at_zero", "price_field_of_another_model")]),
        ({**PACKAGE, "unit_amount": "1"}, [("/unit_amount", "price_field_of_another_model")]),
        ({**PACKAGE, "package_size": 0}, [("/package_size", "field_range")]),
        ({**PACKAGE, "package_size": 1}, []),
        ({**PACKAGE, "package_size": 2**53}, []),
        ({**PACKAGE, "package_size": 2**53 + 1}, [("/package_size", "field_range")]),
        ({**PACKAGE, "package_size": True}, [("/package_size", "field_type")]),
        ({**PACKAGE, "package_cents": -1}, [("/package_cents", "field_range")]),
        ({**PACKAGE, "package_cents": "5"}, [("/package_cents", "field_type")]),
        ({**PACKAGE, "package_size": None}, [("/package_size", "field_missing")]),
        ({**PACKAGE, "package_cents": None}, [("/package_cents", "field_missing")]),
        ({"metric": "units", "model": "volume"}, [("/tiers", "field_missing")]),
        (with_tiers(), [("/tiers", "field_length")]),
        ({**with_tiers(), "tiers": "LAST"}, [("/tiers", "field_type")]),
        (with_tiers(LAST), []),
        (with_tiers("LAST"), [("/tiers/0", "field_type")]),
        (with_tiers({"up_to": None}), [("/tiers/0/unit_amount", "field_missing")]),
        (with_tiers({**LAST, "from": 1}), [("/tiers/0/from", "field_unknown")]),
        (with_tiers({**LAST, "flat_cents": 1.5}), [("/tiers/0/flat_cents", "field_type")]),
        (with_tiers({**LAST, "up_to": 5}), [("/tiers/0/up_to", "last_tier_bounded")]),
        (with_tiers(LAST, LAST), [("/tiers/0/up_to", "tier_without_bound")]),
        (with_tiers({**LAST, "up_to": 0}, LAST), [("/tiers/0/up_to", "field_range")]),
        (with_tiers({**LAST, "up_to": "0.000000000001"}, LAST), []),
        (with_tiers({**LAST, "up_to": 2**53 + 1}, LAST), [("/tiers/0/up_to", "field_range")]),
        (with_tiers({**LAST, "up_to": "x"}, LAST), [("/tiers/0/up_to", "decimal_invalid")]),
        (with_tiers({**LAST, "up_to": 9}, {**LAST, "up_to": 9}, LAST), [("/tiers/1/up_to", "tiers_not_rising")]),
        (with_tiers({**LAST, "up_to": 9}, {**LAST, "up_to": "9.1"}, LAST), []),
        (with_tiers({**LAST, "up_to": 9}, {**LAST, "up_to": 5}, LAST), [("/tiers/1/up_to", "tiers_not_rising")]),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_place(given: Any, found: list[tuple[str, str]]) -> None:
    assert faults(given) == found


def test_all_faults_are_named_at_once() -> None:
    given = {
        "metric": "Seats",
        "model": "volume",
        "colour": "red",
        "unit_amount": "1",
        "flat_at_zero": 1,
        "tiers": [
            {"up_to": 10, "unit_amount": "-0.5"},
            {"up_to": 5, "unit_amount": "0.0000000000001"},
            {"up_to": 20, "unit_amount": "1", "flat_cents": -1},
        ],
    }
    expected = [
        ("/colour", "field_unknown"),
        ("/metric", "field_format"),
        ("/unit_amount", "price_field_of_another_model"),
        ("/tiers/0/unit_amount", "field_range"),
        ("/tiers/1/unit_amount", "decimal_places"),
        ("/tiers/2/flat_cents", "field_range"),
        ("/tiers/1/up_to", "tiers_not_rising"),
        ("/tiers/2/up_to", "last_tier_bounded"),
        ("/flat_at_zero", "field_type"),
    ]
    assert faults(given) == expected
    with pytest.raises(InvalidInput) as refused:
        price_from(given)
    assert [(fault.loc, fault.code) for fault in refused.value.faults] == expected
    assert refused.value.faults[6] == Fault("/tiers/1/up_to", "tiers_not_rising", {"former": "10"})


@pytest.mark.parametrize(("count", "found"), [(99, []), (100, []), (101, [("/tiers", "field_length")])])
def test_a_price_has_a_hundred_tiers_at_most(count: int, found: list[tuple[str, str]]) -> None:
    bounded = [{"up_to": place, "unit_amount": "1"} for place in range(1, count)]
    assert faults(with_tiers(*bounded, LAST)) == found
