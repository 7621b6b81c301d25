"""What lint remarks: right plans that are probably not meant. Amounts are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from turf_saas.plan_drafts import PlanDraft, draft_from
from turf_saas.plan_lint import remarks_of
from turf_saas.starter_plans import STARTERS

FREE = PlanDraft("free", "Free", 0, "EUR")


def plan(*prices: dict[str, Any], limits: dict[str, Any] | None = None, **fields: Any) -> PlanDraft:
    given = {"code": "pro", "name": "Pro", "amount_cents": 4_900, "limits": limits or {}, "prices": list(prices)}
    return draft_from({**given, **fields}, currency="EUR")


def tiers(model: str, *given: tuple[Any, ...], **more: Any) -> dict[str, Any]:
    """(up_to, unit_amount[, flat_cents]) each."""
    named = [dict(zip(("up_to", "unit_amount", "flat_cents"), tier, strict=False)) for tier in given]
    return {"metric": "seats", "model": model, "tiers": named, **more}


def remarks(*drafts: PlanDraft, default_plan: str = "pro") -> list[tuple[str, str, str]]:
    return [(found.plan, found.loc, found.check) for found in remarks_of(drafts, default_plan=default_plan)]


def checks(*drafts: PlanDraft) -> list[tuple[str, str]]:
    """Where and what, of plans of which none is the default one."""
    found = remarks_of([FREE, *drafts], default_plan="free")
    return [(remark.loc, remark.check) for remark in found if remark.plan != "free"]


def sentence(draft: PlanDraft, check: str) -> str:
    found = remarks_of([FREE, draft], default_plan="free")
    (message,) = [remark.message for remark in found if remark.check == check]
    return message


def test_the_plans_of_a_new_database_leave_nothing_to_remark() -> None:
    assert remarks_of([draft_from(given, currency="EUR") for given in STARTERS], default_plan="free") == []


def test_no_plans_leave_nothing_to_remark() -> None:
    assert remarks_of([], default_plan="free") == []


def test_a_volume_price_that_falls_by_one_more_unit_names_both_amounts() -> None:
    price = tiers("volume", (15, "10"), (None, "5"))
    assert checks(plan(price)) == [("/prices/0/tiers/1", "volume_cliff")]
    assert sentence(plan(price), "volume_cliff") == (
        "one more than 15 seats costs less: the total falls from 150.00 EUR to 80.00 EUR"
    )


def test_a_volume_price_that_never_falls_is_no_cliff() -> None:
    assert checks(plan(tiers("volume", (1, "10"), (None, "5")))) == []  # 10 and 10
    assert checks(plan(tiers("volume", (15, "5"), (None, "10")))) == []
    # 15 cost 150.00, 16 cost 16 x 5 + 70.00 = 150.00; with a cent less it is a cliff
    assert checks(plan(tiers("volume", (15, "10"), (None, "5", 7_000)))) == []
    assert checks(plan(tiers("volume", (15, "10"), (None, "5", 6_999)))) == [("/prices/0/tiers/1", "volume_cliff")]


def test_a_cliff_is_told_in_the_currency_of_the_plan() -> None:
    price = tiers("volume", (15, "10"), (None, "5"))
    assert "from 150 JPY to 80 JPY" in sentence(plan(price, currency="JPY"), "volume_cliff")


def test_a_tiered_price_has_no_cliff_whatever_its_tiers_cost() -> None:
    assert checks(plan(tiers("tiered", (15, "10"), (None, "5")))) == []


def test_a_tier_between_two_whole_numbers_is_reached_by_nobody() -> None:
    assert checks(plan(tiers("tiered", ("0.5", "9"), (10, "5"), (None, "2")))) == [
        ("/prices/0/tiers/0", "unreachable_tier")
    ]
    assert checks(plan(tiers("tiered", ("10.2", "9"), ("10.9", "5"), (None, "2")))) == [
        ("/prices/0/tiers/1", "unreachable_tier")
    ]
    assert checks(plan(tiers("tiered", ("10.2", "9"), (11, "5"), (None, "2")))) == []
    assert checks(plan(tiers("tiered", (1, "9"), (2, "5"), (None, "2")))) == []


def test_tiers_beneath_what_is_included_are_reached_because_counting_begins_above_it() -> None:
    limits = {"seats": {"included": 100, "policy": "soft"}}
    assert checks(plan(tiers("tiered", (10, "9"), (None, "5")), limits=limits)) == []


@pytest.mark.parametrize(
    ("model", "first", "second", "is_one"),
    [
        ("tiered", ("5", 0), ("5", 0), True),
        ("tiered", ("5", 100), ("5", 0), True),  # the flat amount was paid on entering the first
        ("tiered", ("5", 100), ("5", 100), False),  # and is paid again here
        ("tiered", ("5", 0), ("4", 0), False),
        ("volume", ("5", 0), ("5.00", 0), True),
        ("volume", ("5", 100), ("5", 100), True),
        ("volume", ("5", 0), ("5", 100), False),
    ],
)
def test_neighbouring_tiers_that_cost_the_same_are_one(
    model: str, first: tuple[str, int], second: tuple[str, int], is_one: bool
) -> None:
    found = checks(plan(tiers(model, (10, *first), (None, *second))))
    assert found == ([("/prices/0/tiers/1", "equal_tiers")] if is_one else [])


def test_a_free_step_between_paid_ones_is_a_gap() -> None:
    price = tiers("tiered", (100, "1"), (1_000, "0"), (None, "0.5"))
    assert checks(plan(price)) == [("/prices/0/tiers/1", "gap")]
    assert sentence(plan(price), "gap") == (
        "seats costs nothing above 100 and up to 1000, and something before and after"
    )
    assert checks(plan(tiers("tiered", (100, "0"), (None, "0.5")))) == [], "units for nothing at first are usual"
    assert checks(plan(tiers("tiered", (100, "1"), (None, "0")))) == [], "and so is a most that is paid"


def test_a_price_that_bills_nothing_is_told() -> None:
    flat = {"metric": "seats", "model": "flat", "unit_amount": "5"}
    for included, policy, check in (
        (None, "soft", [("/prices/0", "never_billed")]),
        (None, "hard", [("/prices/0", "never_billed")]),
        (10, "hard", [("/prices/0", "behind_hard_limit")]),
        (10, "soft", []),
    ):
        assert checks(plan(flat, limits={"seats": {"included": included, "policy": policy}})) == check
    nothing = [("/prices/0", "costs_nothing")]
    assert checks(plan({**flat, "unit_amount": "0.00"})) == nothing
    assert checks(plan({"metric": "seats", "model": "package", "package_size": 5, "package_cents": 0})) == nothing
    assert checks(plan(tiers("volume", (5, "0"), (None, "0")))) == nothing


def test_a_flat_amount_at_zero_that_is_none_is_told() -> None:
    where = ("/prices/0/flat_at_zero", "flat_at_zero_of_nothing")
    assert checks(plan(tiers("tiered", (5, "1", 0), (None, "2", 100), flat_at_zero=True))) == [where]
    assert checks(plan(tiers("tiered", (5, "1", 1), (None, "2"), flat_at_zero=True))) == []


def test_what_is_neither_refused_nor_billed_is_told() -> None:
    assert checks(plan(limits={"seats": {"included": 10, "policy": "soft"}})) == [
        ("/limits/seats", "neither_refused_nor_billed")
    ]
    for limit in (
        {"included": 10, "policy": "hard"},
        {"included": 10, "policy": "soft", "window": "day"},
        {"included": None, "policy": "soft"},
    ):
        assert checks(plan(limits={"seats": limit})) == []


def test_a_metric_that_only_another_plan_names_is_told() -> None:
    limited = plan(limits={"seats": {"included": 10, "policy": "hard"}})
    other = replace(limited, code="team", limits={}, amount_cents=9_900)
    assert ("team", "/limits", "metric_not_named") in remarks(limited, other)
    assert ("pro", "/limits", "metric_not_named") not in remarks(limited, other)


def test_a_trial_of_nothing_is_told() -> None:
    assert checks(plan(amount_cents=0, trial_days=14)) == [("/trial_days", "trial_of_nothing")]
    assert checks(plan(trial_days=14)) == []


def test_the_default_plan_has_to_be_there_and_costs_no_fee() -> None:
    assert remarks(plan(), default_plan="free") == [("free", "", "default_missing")]
    assert remarks(plan(), default_plan="pro") == [("pro", "/amount_cents", "default_with_fee")]
    assert remarks(FREE, default_plan="free") == []


def test_a_plan_that_costs_as_much_and_includes_less_is_told() -> None:
    limits = {"seats": {"included": 10, "policy": "hard"}}
    more = plan(limits=limits)
    for included, amount_cents, is_worse in (
        (9, 4_900, True),
        (9, 4_901, True),
        (9, 4_899, False),
        (10, 4_900, False),
        (None, 4_900, False),
    ):
        other = plan(limits={"seats": {"included": included, "policy": "hard"}}, amount_cents=amount_cents, code="team")
        for pair in ((more, other), (other, more)):
            found = [
                remark for remark in remarks_of([FREE, *pair], default_plan="free") if remark.check == "worse_plan"
            ]
            assert [remark.plan for remark in found] == (["team"] if is_worse else []) + (
                ["pro"] if included is None and amount_cents <= 4_900 else []
            )
    other = plan(limits={"seats": {"included": 9, "policy": "soft"}}, code="team")
    assert "worse_plan" not in [check for _, check in checks(more, other)], "another policy is another plan"
    other = plan(limits={"seats": {"included": 9, "policy": "hard"}}, code="team", currency="USD")
    assert "worse_plan" not in [check for _, check in checks(more, other)], "another currency is another market"


@pytest.mark.parametrize("names", [("pro-year", "Pro a year"), ("pro_annual", "x"), ("year-of-pro", "PRO")])
def test_a_year_that_costs_more_than_twelve_months_is_told(names: tuple[str, str]) -> None:
    code, name = names
    for amount_cents, is_dear in ((58_800, False), (58_801, True)):
        yearly = plan(code=code, name=name, interval="year", amount_cents=amount_cents)
        assert checks(plan(), yearly) == ([("/amount_cents", "dear_year")] if is_dear else [])
    assert sentence_of_pair(plan(), yearly) == "a year costs 588.01 EUR, twelve months of pro 588.00 EUR"


def sentence_of_pair(*drafts: PlanDraft) -> str:
    return remarks_of([FREE, *drafts], default_plan="free")[0].message


def test_two_plans_whose_settings_have_one_name_are_told() -> None:
    found = checks(plan(code="pro-plus"), plan(code="pro_plus", amount_cents=1))
    assert ("/code", "same_setting") in found
