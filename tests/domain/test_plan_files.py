"""A file of plans: read with every fault named, compared, applied whole or not at all, and written as it is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing_db import Connection, fetch_all
from tests.api.selling import PLAN
from tests.cast import OTHER_TENANT, Person
from tests.domain.test_catalogue import side_by_side
from turf_saas import catalogue, plan_files, plan_lint
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.plan_drafts import draft_from, draft_of
from turf_saas.plan_files import Difference, as_toml, read_file
from turf_saas.plans import PlanLimit
from turf_saas.subscriptions import find_live

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "examples" / "plans.toml"
TEN = PlanDraft("ten", "Ten", 1_000, "EUR", limits={"seats": PlanLimit(10)})


def written(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "plans.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refused(file: Path) -> InvalidInput:
    with pytest.raises(InvalidInput) as error:
        read_file(file, currency="EUR")
    return error.value


def apply(db: Connection, *drafts: PlanDraft, **given: Any) -> list[tuple[str, str, int]]:
    done = plan_files.apply(db, NOW, 1, drafts, **{"default_plan": "free", "by": "cli", **given})
    return [(found.code, found.kind, found.version) for found in done]


def sold(db: Connection) -> list[PlanDraft]:
    return [draft_of(plan) for plan in catalogue.list_plans(db, 1)]


# -- reading and writing ---------------------------------------------------------------------------------


def test_the_example_is_a_catalogue_without_a_remark_in_all_four_models() -> None:
    drafts = read_file(EXAMPLE, currency="EUR")
    assert [draft.code for draft in drafts] == ["free", "team", "team-year"]
    assert {price.model for draft in drafts for price in draft.prices} == {"flat", "tiered", "volume", "package"}
    assert plan_lint.remarks_of(drafts, default_plan="free") == []


@pytest.mark.parametrize(
    "draft",
    [
        *read_file(EXAMPLE, currency="EUR"),
        draft_from(PLAN, currency="EUR"),
        PlanDraft("odd", 'A "quoted" \\ name', 0, "KWD", "two\nlines\t\x7f é \U0001f40e", "year").in_order,
    ],
    ids=lambda draft: draft.code,
)  # fmt: skip
def test_a_plan_that_is_written_is_read_as_the_same(tmp_path: Path, draft: PlanDraft) -> None:
    file = written(tmp_path, as_toml(draft) + "\n" + as_toml(replace(draft, code="again")))
    assert read_file(file, currency="EUR") == [draft, replace(draft, code="again")]


def test_numbers_of_a_file_are_read_as_they_are_written(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """[[plans]]
code = "a"
name = "A"
amount_cents = 1_900
[[plans.prices]]
metric = "tokens"
model = "flat"
unit_amount = 0.000000000001
""",
    )
    (draft,) = read_file(file, currency="CHF")
    assert (draft.amount_cents, draft.currency, format(draft.prices[0].unit_amount or 0, "f")) == (
        1_900,
        "CHF",
        "0.000000000001",
    )


def test_every_fault_of_every_plan_is_named_with_its_place(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """version = 1
[[plans]]
code = "a"
name = "A"
amount_cents = 19.0
trial_days = 2026-05-20
[[plans]]
code = "a"
name = "A"
amount_cents = 0
prices = [{ metric = "t", model = "flat", unit_amount = inf }, { metric = "u", model = "volume", tiers = [
  { up_to = 5, unit_amount = 1e999 }, { up_to = 1e-999999999, unit_amount = 1 }, { up_to = 6, unit_amount = nan }] }]
""",
    )
    assert [(fault.loc, fault.code) for fault in refused(file).faults] == [
        ("/version", "field_unknown"),
        ("/plans/0/amount_cents", "field_type"),
        ("/plans/0/trial_days", "field_type"),
        ("/plans/1/prices/0/unit_amount", "decimal_invalid"),
        ("/plans/1/prices/1/tiers/0/unit_amount", "decimal_invalid"),
        ("/plans/1/prices/1/tiers/1/up_to", "decimal_invalid"),
        ("/plans/1/prices/1/tiers/2/unit_amount", "decimal_invalid"),
        ("/plans/1/prices/1/tiers/2/up_to", "last_tier_bounded"),
        ("/plans/1/code", "plan_twice"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[plans]\n", "(at line 1"),
        ("plans = [\n", "(at "),
        ("a = 1\na = 2\n", "(at line 2"),
        (b"name = '\xff'\n", "UTF-8"),
        ("a = " + "[" * 5_000, ""),
        ("a = " + "9" * 5_000, "limit"),
        (b"# " + b"x" * 1024 * 1024, "bytes"),
    ],
)
def test_what_is_no_toml_is_told_in_one_sentence(tmp_path: Path, text: str | bytes, reason: str) -> None:
    error = refused(written(tmp_path, text))
    assert error.code == "plans_unreadable"
    assert reason in str(error)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.toml").code == "plans_unreadable"
    assert refused(tmp_path).params["reason"] == "Is a directory"


@pytest.mark.parametrize(("text", "code"), [('plans = "free"', "field_type"), ("plans = [1]", "field_type")])
def test_plans_are_a_list_of_tables(tmp_path: Path, text: str, code: str) -> None:
    assert [fault.code for fault in refused(written(tmp_path, text)).faults] == [code]


def test_a_file_has_at_most_a_thousand_plans(tmp_path: Path) -> None:
    def many(count: int) -> Path:
        tables = (f"[[plans]]\ncode = 'p{number}'\nname = 'P'\namount_cents = 1\n" for number in range(count))
        return written(tmp_path, "".join(tables))

    assert len(read_file(many(1_000), currency="EUR")) == 1_000
    assert [(fault.loc, fault.code) for fault in refused(many(1_001)).faults] == [("/plans", "field_length")]


def test_an_empty_file_is_a_catalogue_of_nothing(tmp_path: Path) -> None:
    assert read_file(written(tmp_path, ""), currency="EUR") == []


# -- comparing and applying --------------------------------------------------------------------------------


def test_each_plan_is_new_changed_unchanged_or_missing_and_applying_twice_changes_nothing(db: Connection) -> None:
    free, premium, pro = sold(db)
    dearer = replace(premium, amount_cents=2_500, name="Premium+")
    assert apply(db, TEN, free, dearer) == [
        ("ten", "new", 1),
        ("free", "unchanged", 1),
        ("premium", "changed", 2),
        ("pro", "missing", 1),
    ]
    assert sold(db) == [free, TEN, dearer, pro]
    assert [kind for _, kind, _ in apply(db, TEN, free, dearer)] == ["unchanged", "unchanged", "unchanged", "missing"]
    assert len(fetch_all(db, "SELECT id FROM billing_plans WHERE tenant_id = 1")) == 5


def test_a_comparison_tells_what_each_said_and_changes_nothing(db: Connection) -> None:
    free, premium, _ = sold(db)
    found = plan_files.compare(db, 1, [free, replace(premium, amount_cents=2_500)])
    assert found[1] == Difference("premium", "changed", 2, {"amount_cents": (1_900, 2_500)})
    assert [(difference.code, difference.is_one) for difference in found] == [
        ("free", False),
        ("premium", True),
        ("pro", True),
    ]
    assert catalogue.get_plan(db, 1, "premium").version == 1


def test_what_is_not_in_the_file_is_archived_only_when_it_is_asked_for(db: Connection) -> None:
    free, premium, _ = sold(db)
    assert apply(db, free, premium, archive_missing=True)[-1] == ("pro", "archived", 1)
    assert sold(db) == [free, premium]
    assert [code for code, _, _ in apply(db, free, premium)] == ["free", "premium"], (
        "an archived plan is missed no more"
    )


def test_a_plan_that_was_archived_returns_in_the_next_version(db: Connection) -> None:
    free, premium, pro = sold(db)
    apply(db, free, premium, archive_missing=True)
    assert apply(db, free, premium, pro)[-1] == ("pro", "returns", 2)
    assert sold(db) == [free, premium, pro]


def test_a_file_is_applied_whole_or_not_at_all(db: Connection) -> None:
    before = sold(db)
    with pytest.raises(Conflict, match="plan_is_default"):
        apply(db, TEN, archive_missing=True)
    assert sold(db) == before


def test_of_two_who_apply_the_same_file_at_once_the_second_has_nothing_to_do(db: Connection, url: str) -> None:
    drafts = read_file(EXAMPLE, currency="EUR")
    done = side_by_side(url, *[lambda db: apply(db, *drafts)] * 3)
    kinds = sorted([kind for _, kind, _ in found[:3]] for found in done if isinstance(found, list))
    assert kinds == [["changed", "new", "new"], *[["unchanged"] * 3] * 2]


def test_an_applied_change_keeps_or_moves_whoever_is_subscribed(db: Connection, alice: Person) -> None:
    free, premium, pro = sold(db)
    alice.is_on("premium")
    apply(db, free, replace(premium, amount_cents=2_500), pro)
    apply(db, free, replace(premium, amount_cents=2_600), pro, existing="next_period")
    live = find_live(db, alice.id)
    assert live is not None
    assert catalogue.get_version(db, live.plan_id or 0).version == 1
    rows = fetch_all(db, "SELECT version, rolls_into FROM billing_plans WHERE code = 'premium' AND tenant_id = 1")
    newest = catalogue.get_plan(db, 1, "premium").id
    assert {row["version"]: row["rolls_into"] for row in rows} == {1: newest, 2: newest, 3: None}


def test_another_tenants_catalogue_is_left_alone(db: Connection, alice: Person) -> None:
    theirs = catalogue.list_plans(db, OTHER_TENANT)
    apply(db, TEN, *sold(db)[:1], archive_missing=True)
    assert catalogue.list_plans(db, OTHER_TENANT) == theirs
