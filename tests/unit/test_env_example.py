""".env.example and the program know the same settings, with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path

from turf_saas.settings import (
    LIMIT_PREFIX,
    MENTION_PREFIX,
    SELLER_FIELDS,
    SETTINGS,
    limit_name,
    read_settings,
)
from turf_saas.starter_plans import STARTERS

LINES = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8").splitlines()
NAMED = [match for match in (re.fullmatch(r"#([A-Z][A-Z_]+)=(.*)", line) for line in LINES) if match]
GIVEN = {match[1]: match[2] for match in NAMED}
LIMITS = {
    limit_name(plan["code"], metric): str(limit["included"])
    for plan in STARTERS
    for metric, limit in plan["limits"].items()
}
OF_THE_HOST = {"JWT_SECRET_KEY": "", "PORT": "5000", "TURF_SAAS_DB": "instance/turf_saas.db"}


def test_every_setting_is_named_once_and_nothing_else() -> None:
    names = [match[1] for match in NAMED if not match[1].startswith(MENTION_PREFIX)]
    sellers = {f"BILLING_SELLER_{name}" for name in SELLER_FIELDS}
    assert sorted(names) == sorted({*SETTINGS, *sellers, *LIMITS, *OF_THE_HOST})
    assert [name for name in GIVEN if name.startswith(MENTION_PREFIX)] == ["BILLING_MENTION_EXAMPLE"]


def test_what_stands_there_is_what_holds_anyway() -> None:
    bare = read_settings({"TURF_SAAS_DB": "x"})
    for name in SETTINGS.keys() - {"TURF_SAAS_DB"}:
        field = SETTINGS[name][0]
        assert getattr(read_settings({"TURF_SAAS_DB": "x", name: GIVEN[name]}), field) == getattr(bare, field), name
        assert bool(GIVEN[name]) == bool(str(getattr(bare, field)).strip("()")), f"{name}: its default is shown"
    assert {name: value for name, value in GIVEN.items() if name.startswith(LIMIT_PREFIX)} == LIMITS
    assert OF_THE_HOST.items() <= GIVEN.items()


def test_a_copy_as_it_is_changes_nothing() -> None:
    assert [line for line in LINES if line and not line.startswith("#")] == []


def test_every_setting_has_its_line_of_explanation() -> None:
    """A run of settings may share one, as the seller's do."""
    for before, line in zip(["", *LINES], LINES, strict=False):
        if re.match(r"#[A-Z_]+=", line):
            assert before.startswith("#"), f"nothing explains {line}"
    assert max(map(len, LINES)) <= 120
