"""Bad plans and discounts: every fault at once, each with its place; and the bounds at one below, at and above."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from tests.api.selling import DISCOUNT, PLAN
from turf_saas import discount_drafts, plan_faults
from turf_saas.discount_drafts import discount_from
from turf_saas.errors import InvalidInput
from turf_saas.messages import LOCALES, say
from turf_saas.plan_drafts import PlanDraft, draft_as_json, draft_from

NOTHING_BUT = {"code": "a", "name": "A", "amount_cents": 0}


def plan_with(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(PLAN)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def faults(given: Any) -> list[tuple[str, str]]:
    found = plan_faults.faults_of(given)
    for fault in found:
        for locale in LOCALES:
            assert "{" not in say(fault.code, locale, **fault.params)
    return [(fault.loc, fault.code) for fault in found]


def discount_faults(given: Any) -> list[tuple[str, str]]:
    return [(fault.loc, fault.code) for fault in discount_drafts.faults_of(given)]


def test_the_plan_of_the_contract_has_no_fault_and_comes_back_as_it_was_written() -> None:
    assert faults(PLAN) == []
    assert draft_as_json(draft_from(PLAN, currency="USD")) == PLAN


def test_what_is_not_said_is_the_usual() -> None:
    assert faults(NOTHING_BUT) == []
    assert draft_from(NOTHING_BUT, currency="CHF") == PlanDraft("a", "A", 0, "CHF")
    yearly = draft_from({**NOTHING_BUT, "interval": "year"}, currency="EUR")
    assert yearly.cycle == "anniversary"


def test_a_limit_without_end_is_null_or_a_word_and_never_forgotten() -> None:
    for included in (None, "unlimited"):
        limits = {"tokens": {"included": included, "policy": "soft"}}
        assert draft_from({**NOTHING_BUT, "limits": limits}, currency="EUR").limits["tokens"].included is None
    assert faults({**NOTHING_BUT, "limits": {"tokens": {}}}) == [("/limits/tokens/included", "field_missing")]


@pytest.mark.parametrize(
    ("path", "right", "wrong", "code"),
    [
        (("code",), ["a", "0", "a" * 63, "a_-9"], ["a" * 64, "", "-a", "A", "é", "a b", "a\n"], "field_format"),
        (("code",), [], [None, 1, True, ["a"]], "field_type"),
        (("name",), ["x", "x" * 100, "Été"], ["", " ", "x" * 101], "field_length"),
        (("name",), [], ["a\nb", "a\0b", "\x7f"], "field_format"),
        (("name",), [], ["\ud800"], "field_text"),
        (("description",), ["", "x" * 2_000, "two\nlines"], ["x" * 2_001], "field_length"),
        (("description",), [], ["\0", "\udfff"], "field_text"),
        (("interval",), ["month"], ["week", "", None, 1, ["month"]], "field_choice"),
        (("cycle",), ["calendar", "anniversary"], ["Calendar", None], "field_choice"),
        (("amount_cents",), [0, 2**53], [-1, 2**53 + 1], "field_range"),
        (("amount_cents",), [], [None, "1900", 19.0, True, Decimal(1)], "field_type"),
        (("currency",), ["EUR", "JPY", "KWD"], ["eur", "EURO", "ZZZ", "", None, 978], "currency_unknown"),
        (("tax_behavior",), ["exclusive", "inclusive"], ["none"], "field_choice"),
        (("trial_days",), [0, 730], [-1, 731], "field_range"),
        (("stripe_price_id",), [None, "p", "p" * 255], ["p" * 256, ""], "field_length"),
        (("stripe_price_id",), [], ["price 1", "prix_é", "a\n"], "field_format"),
        (("limits",), [{}], [[], None, "x"], "field_type"),
        (("limits", "api_calls"), [], [300, None, []], "field_type"),
        (("limits", "api_calls", "included"), [0, 2**53], [-1, 2**53 + 1], "field_range"),
        (("limits", "api_calls", "included"), [None, "unlimited"], ["300", 1.5, True, [], {}], "field_type"),
        (("limits", "api_calls", "policy"), ["hard", "soft"], ["firm", None, True], "field_choice"),
        (("limits", "exports", "window"), ["day", "month"], ["hour", None], "field_choice"),
        (("prices",), [[], ()], [{}, None, "x"], "field_type"),
    ],
)  # fmt: skip
def test_each_field_has_its_bounds(path: tuple[Any, ...], right: list[Any], wrong: list[Any], code: str) -> None:
    where = "".join(f"/{step}" for step in path)
    for value in right:
        assert faults(plan_with(path, value)) == [], value
    for value in wrong:
        assert faults(plan_with(path, value)) == [(where, code)], value


def test_a_metric_is_named_as_usage_names_it() -> None:
    for name, right in (("a", True), ("a" * 63, True), ("a" * 64, False), ("A", False), ("9a", False), ("", False)):
        found = faults({**NOTHING_BUT, "limits": {name: {"included": 1}}})
        assert found == ([] if right else [(f"/limits/{name}", "field_format")]), name


def test_as_many_metrics_as_are_allowed_and_one_more() -> None:
    limits = {f"m{number}": {"included": 1} for number in range(101)}
    prices = [{"metric": f"m{number}", "model": "flat", "unit_amount": "1"} for number in range(101)]
    both = {"limits": dict(list(limits.items())[:100]), "prices": prices[:100]}
    assert faults({**NOTHING_BUT, **both}) == []
    assert faults({**NOTHING_BUT, "limits": limits, "prices": prices}) == [
        ("/limits", "field_length"),
        ("/prices", "field_length"),
    ]


def test_a_year_is_counted_from_its_anniversary() -> None:
    assert faults({**PLAN, "interval": "year", "cycle": "calendar"}) == [("/cycle", "year_is_anniversary")]
    assert faults({**PLAN, "interval": "year", "cycle": "anniversary"}) == []
    assert faults({name: value for name, value in PLAN.items() if name != "cycle"} | {"interval": "year"}) == []


def test_a_limit_per_day_has_no_price_beside_it() -> None:
    exports = {"metric": "exports", "model": "flat", "unit_amount": "1"}
    assert faults({**PLAN, "prices": [exports]}) == [("/limits/exports/window", "day_limit_with_price")]


def test_a_metric_has_one_price() -> None:
    prices = [*PLAN["prices"], {"metric": "seats", "model": "flat", "unit_amount": "1"}]
    assert faults({**PLAN, "prices": prices}) == [("/prices/4/metric", "price_twice")]


def test_all_faults_of_a_plan_are_named_at_once() -> None:
    bad = {
        "code": "Pro Plus",
        "name": "",
        "interval": "year",
        "cycle": "calendar",
        "currency": "EURO",
        "trial_days": 731,
        "colour": "blue",
        "limits": {"Tokens": {"included": -1, "polcy": "hard"}, "seats": {"included": 1, "window": "day"}},
        "prices": [
            {"metric": "seats", "model": "flat", "unit_amount": "0.1234567890123"},
            {
                "metric": "seats",
                "model": "tiered",
                "tiers": [{"up_to": 10, "unit_amount": "1"}, {"up_to": 5, "unit_amount": "-1"}],
            },
        ],
    }
    assert faults(bad) == [
        ("/colour", "field_unknown"),
        ("/amount_cents", "field_missing"),
        ("/code", "field_format"),
        ("/name", "field_length"),
        ("/currency", "currency_unknown"),
        ("/trial_days", "field_range"),
        ("/limits/Tokens", "field_format"),
        ("/limits/Tokens/polcy", "field_unknown"),
        ("/limits/Tokens/included", "field_range"),
        ("/prices/0/unit_amount", "decimal_places"),
        ("/prices/1/tiers/1/unit_amount", "field_range"),
        ("/prices/1/tiers/1/up_to", "last_tier_bounded"),
        ("/prices/1/tiers/1/up_to", "tiers_not_rising"),
        ("/cycle", "year_is_anniversary"),
        ("/prices/1/metric", "price_twice"),
        ("/limits/seats/window", "day_limit_with_price"),
    ]
    with pytest.raises(InvalidInput) as refused:
        draft_from(bad, currency="EUR")
    assert len(refused.value.faults) == 16


@pytest.mark.parametrize("given", [None, 1, "plan", [], [PLAN], True])
def test_what_is_no_object_is_no_plan_and_no_discount(given: Any) -> None:
    assert faults(given) == [("", "field_type")]
    assert discount_faults(given) == [("", "field_type")]


def test_names_that_are_made_up_to_be_long_are_cut_and_their_slashes_escaped() -> None:
    found = faults({**NOTHING_BUT, "limits": {"a/b~" + "x" * 5_000: {"included": 1}}})
    assert found == [("/limits/a~1b~0" + "x" * 96, "field_format")]


def test_a_change_may_be_of_any_field_but_the_code() -> None:
    found = plan_faults.faults_of({"code": "other", "trial_days": -1}, required=(), but=("code",))
    assert [(fault.loc, fault.code) for fault in found] == [("/code", "field_unknown"), ("/trial_days", "field_range")]
    assert plan_faults.faults_of({}, required=(), but=("code",)) == []


# -- discounts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "right", "wrong", "code"),
    [
        ("code", ["A", "a-1_Z", "x" * 63], ["x" * 64, "", "-a", "é", "a b"], "field_format"),
        ("percent", [1, 100, "0.01", "100", "100.00", "12.5"], [0, 101, "100.01", "-1", -5, "0"], "field_range"),
        ("percent", [], ["0.001", "33.333"], "decimal_places"),
        ("percent", [], [12.5, "12,5", "ten", True, [], "1e1", "٣"], "decimal_invalid"),
        ("duration", [], ["month", 1, []], "field_choice"),
        ("months", [1, 120], [0, 121, -1], "field_range"),
        ("months", [], ["3", 1.0, True], "field_type"),
        ("max_uses", [None, 1, 10**9], [0, 10**9 + 1], "field_range"),
    ],
)  # fmt: skip
def test_each_field_of_a_discount_has_its_bounds(name: str, right: list[Any], wrong: list[Any], code: str) -> None:
    for value in right:
        assert discount_faults({**DISCOUNT, name: value}) == [], value
    for value in wrong:
        found = discount_faults({**DISCOUNT, name: value})
        assert found[0] == (f"/{name}", code), value
        assert [fault for fault in found if fault[0] != "/months"] == found or name in ("months", "duration"), value


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"amount_cents": 500}, [("/percent", "discount_value")]),
        ({"percent": None}, [("/percent", "discount_value")]),
        ({"percent": None, "amount_cents": 500}, []),
        ({"percent": None, "amount_cents": 2**53}, []),
        ({"percent": None, "amount_cents": 2**53 + 1}, [("/amount_cents", "field_range")]),
        ({"percent": None, "amount_cents": 0}, [("/amount_cents", "field_range")]),
        ({"percent": None, "amount_cents": 500, "currency": "USD"}, []),
        ({"percent": None, "amount_cents": 500, "currency": "usd"}, [("/currency", "currency_unknown")]),
        ({"currency": "USD"}, [("/currency", "currency_without_amount")]),
        ({"months": None}, [("/months", "discount_months")]),
        ({"duration": "once"}, [("/months", "discount_months")]),
        ({"duration": "forever", "months": None}, []),
        ({"duration": None}, [("/duration", "field_missing")]),
        ({"code": None, "uses": 3}, [("/uses", "field_unknown"), ("/code", "field_missing")]),
        ({"uses": None}, [("/uses", "field_unknown")]),
    ],
)  # fmt: skip
def test_what_of_a_discount_does_not_go_together(changes: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert discount_faults({**DISCOUNT, **changes}) == found


@pytest.mark.parametrize(("given", "kept"), [(25, "25"), ("12.50", "12.5"), ("100.00", "100"), (100, "100")])
def test_a_percentage_is_kept_in_as_few_digits_as_it_needs(given: Any, kept: str) -> None:
    assert discount_from({**DISCOUNT, "percent": given}, currency="EUR")["percent"] == kept


def test_an_amount_is_in_the_sellers_currency_unless_it_says_otherwise() -> None:
    given = {"code": "FIVE", "amount_cents": 500, "duration": "once", "max_uses": None}
    assert discount_from(given, currency="CHF") == {
        "code": "FIVE",
        "amount_cents": 500,
        "duration": "once",
        "currency": "CHF",
    }
    assert discount_from({**given, "currency": "JPY"}, currency="CHF")["currency"] == "JPY"
