"""`flask billing plans …`: the catalogue and the file that it is kept in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from api_v1.commands.plans import plans as plans_group
from billing_db import Connection, fetch_all
from tests.cast import OTHER_TENANT, Cast, Person
from turf_saas import catalogue, plan_files
from turf_saas.plan_drafts import draft_of

MakeApp = Callable[..., Flask]
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "plans.toml")
PRO = """[[plans]]
code = "pro"
name = "Pro"
amount_cents = 4900
limits.api_calls = { included = 40000, policy = "soft" }
limits.seats = { included = "unlimited", policy = "soft" }

[[plans.prices]]
metric = "api_calls"
model = "flat"
unit_amount = "0.005"
"""


def run(app: Flask, *words: str | Path) -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(plans_group, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "plans.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


# -- list, show ----------------------------------------------------------------------------------------------


def test_the_list_has_a_line_for_each_plan(app: Flask, db: Connection) -> None:
    assert run(app, "list") == (
        0,
        (
            "free  v1  0.00 EUR a month  api_calls 300 hard; tokens 100000 hard\n"
            "premium  v1  19.00 EUR a month  api_calls 3000 soft, priced; tokens 1000000 soft, priced\n"
            "pro  v1  49.00 EUR a month  api_calls 30000 soft, priced; tokens 10000000 soft, priced\n"
        ),
        "",
    )
    catalogue.archive_plan(db, datetime(2026, 5, 20, tzinfo=UTC), 1, "pro", default_plan="free")
    assert [plan["code"] for plan in json.loads(run(app, "list", "--json")[1])] == ["free", "premium"]
    shown = json.loads(run(app, "list", "--json", "--archived")[1])
    assert [(plan["code"], plan["archived"], plan["version"]) for plan in shown][2] == ("pro", True, 1)
    assert "archived 2026-05-20T00:00:00Z" in run(app, "list", "--archived")[1]


def test_what_is_shown_can_be_kept_as_a_file_and_makes_no_difference(
    app: Flask, db: Connection, tmp_path: Path
) -> None:
    run(app, "apply", EXAMPLE)
    code, out, _ = run(app, "show")
    file = written(tmp_path, out)
    assert code == 0
    assert plan_files.read_file(file, currency="CHF") == [draft_of(plan) for plan in catalogue.list_plans(db, 1)]
    assert run(app, "diff", file) == (0, "no difference\n", "")


def test_a_setting_that_replaces_a_limit_is_named_beside_the_plan(make_app: MakeApp) -> None:
    app = make_app(BILLING_LIMIT_PRO_TOKENS="5", BILLING_LIMIT_PRO_API_CALLS="unlimited")
    _, out, _ = run(app, "show", "pro")
    assert "# BILLING_LIMIT_PRO_TOKENS=5 holds instead of what is included here\n" in out
    assert "# BILLING_LIMIT_PRO_API_CALLS=unlimited holds" in out
    assert "limits.tokens = { included = 10000000, " in out


def test_a_plan_that_is_not_there_is_told(app: Flask) -> None:
    assert run(app, "show", "platinum") == (1, "", "Error: Plan introuvable.\n")
    assert json.loads(run(app, "show", "pro", "--json")[1])["code"] == "pro"
    assert [plan["code"] for plan in json.loads(run(app, "show", "pro", "free", "--json")[1])] == ["pro", "free"]


# -- apply, diff ---------------------------------------------------------------------------------------------


def test_a_file_is_compared_rehearsed_and_applied(app: Flask, db: Connection, tmp_path: Path) -> None:
    file = written(tmp_path, PRO + '\n[[plans]]\ncode = "new"\nname = "New"\namount_cents = 5\ncurrency = "USD"\n')
    changes = (
        "    limits.api_calls: {'included': 30000, 'policy': 'soft', 'window': 'month'} -> "
        "{'included': 40000, 'policy': 'soft', 'window': 'month'}\n"
        "    limits.tokens: {'included': 10000000, 'policy': 'soft', 'window': 'month'} -> None\n"
        "    limits.seats: None -> {'included': None, 'policy': 'soft', 'window': 'month'}\n"
        "    prices.tokens: {'metric': 'tokens', 'model': 'flat', 'unit_amount': '0.000005'} -> None\n"
    )
    left = "free: not in the file: left as it is\npremium: not in the file: left as it is\n"
    assert run(app, "diff", file) == (1, f"pro: version 2\n{changes}new: new\n{left}", "")
    rehearsed = run(app, "apply", file, "--dry-run")
    assert rehearsed == (0, f"pro: version 2\n{changes}new: new\n{left}nothing was done: a dry run\n", "")
    assert catalogue.find_plan(db, 1, "new") is None
    assert run(app, "apply", file) == (0, f"pro: version 2\n{changes}new: new\n{left}", "")
    assert [plan.code for plan in catalogue.list_plans(db, 1)] == ["free", "new", "premium", "pro"]
    assert run(app, "apply", file) == (0, f"pro: unchanged\nnew: unchanged\n{left}", "")
    assert run(app, "diff", file)[:2] == (1, left), "what is sold and not in the file is a difference"
    assert {row["created_by"] for row in fetch_all(db, "SELECT created_by FROM billing_plans WHERE version = 2")} == {
        "cli"
    }


def test_the_answers_for_programs(app: Flask, tmp_path: Path) -> None:
    file = written(tmp_path, PRO.replace("4900", "5900"))
    code, out, _ = run(app, "diff", file, "--json")
    answer = json.loads(out)
    assert (code, answer["equal"]) == (1, False)
    assert answer["plans"][0]["fields"]["amount_cents"] == [4_900, 5_900]
    code, out, _ = run(app, "apply", file, "--json", "--dry-run")
    answer = json.loads(out)
    assert (code, answer["dry_run"]) == (0, True)
    assert [(plan["code"], plan["kind"], plan["version"]) for plan in answer["plans"]] == [
        ("pro", "changed", 2),
        ("free", "missing", 1),
        ("premium", "missing", 1),
    ]


def test_archiving_what_is_missing_has_to_be_asked_for_and_spares_the_default_plan(
    app: Flask, db: Connection, tmp_path: Path
) -> None:
    refused = run(app, "apply", written(tmp_path, PRO), "--archive-missing")
    assert (refused[0], refused[1]) == (1, "")
    assert "BILLING_DEFAULT_PLAN" in refused[2]
    assert catalogue.get_plan(db, 1, "pro").version == 1, "nothing of the file was applied"
    free = run(app, "show", "free")[1]
    code, out, _ = run(app, "apply", written(tmp_path, PRO + free), "--archive-missing")
    assert (code, "premium: archived\n" in out) == (0, True)
    assert [plan.code for plan in catalogue.list_plans(db, 1)] == ["free", "pro"]


def test_who_is_subscribed_keeps_or_moves_as_it_is_said(app: Flask, db: Connection, tmp_path: Path) -> None:
    run(app, "apply", written(tmp_path, PRO))
    run(app, "apply", written(tmp_path, PRO.replace("4900", "5900")), "--existing", "next_period")
    rows = fetch_all(db, "SELECT version, rolls_into FROM billing_plans WHERE code = 'pro' AND tenant_id = 1")
    newest = catalogue.get_plan(db, 1, "pro").id
    assert {row["version"]: row["rolls_into"] for row in rows} == {1: newest, 2: newest, 3: None}
    assert run(app, "apply", EXAMPLE, "--existing", "now")[0] == 2


def test_a_file_with_faults_is_refused_with_all_of_them(app: Flask, db: Connection, tmp_path: Path) -> None:
    bad = PRO.replace("4900", "-1").replace('"soft"', '"firm"').replace('"0.005"', "nan")
    file = written(tmp_path, bad)
    for command in ("apply", "diff"):
        assert run(app, command, file) == (
            1,
            "",
            (
                "/plans/0/amount_cents: Valeur hors limites : ≥ 0.\n"
                "/plans/0/limits/api_calls/policy: Valeurs possibles : hard, soft.\n"
                "/plans/0/limits/seats/policy: Valeurs possibles : hard, soft.\n"
                '/plans/0/prices/0/unit_amount: Nombre invalide. Écrire un nombre décimal comme texte : "0.0004".\n'
                f"Error: {file}: 4 faults\n"
            ),
        )
    code, out, err = run(app, "lint", file, "--json")
    answer = json.loads(out)
    assert (code, err, answer["ok"], answer["warnings"]) == (1, "", False, [])
    assert [fault["loc"] for fault in answer["faults"]][:2] == [
        "/plans/0/amount_cents",
        "/plans/0/limits/api_calls/policy",
    ]
    assert run(app, "lint", file)[1].startswith("fault    /plans/0/amount_cents: ")


def test_a_file_that_cannot_be_read_is_one_sentence(app: Flask, tmp_path: Path) -> None:
    for command in ("apply", "diff", "lint"):
        code, out, err = run(app, command, tmp_path / "none.toml")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "none.toml" in err
    assert run(app, "apply")[0] == run(app, "diff")[0] == 2


def test_another_tenants_catalogue_is_named(app: Flask, db: Connection, people: Cast) -> None:
    run(app, "apply", EXAMPLE, "--tenant", str(OTHER_TENANT))
    assert catalogue.find_plan(db, OTHER_TENANT, "team") is not None
    assert catalogue.find_plan(db, 1, "team") is None
    assert "team" in run(app, "list", "--tenant", str(OTHER_TENANT))[1]
    for command in (("list",), ("show",), ("apply", EXAMPLE), ("diff", EXAMPLE), ("lint",)):
        assert run(app, *command, "--tenant", "9") == (1, "", "Error: Espace introuvable.\n")


# -- lint ----------------------------------------------------------------------------------------------------


def test_warnings_are_told_and_fail_nothing(app: Flask, tmp_path: Path) -> None:
    assert run(app, "lint") == (0, "3 plans, nothing to remark\n", "")
    assert run(app, "lint", EXAMPLE) == (0, "3 plans, nothing to remark\n", "")
    code, out, err = run(app, "lint", written(tmp_path, PRO.replace('"unlimited"', "5")))
    assert (code, err) == (0, "")
    assert out == (
        "warning  pro/limits/seats: seats above 5 is neither refused (soft) nor billed (no price)\n"
        "warning  free: whoever has no subscription is on it (BILLING_DEFAULT_PLAN), and it is not among these plans\n"
    )


# -- adopt-subscribers ---------------------------------------------------------------------------------------


def test_subscribers_of_three_values_are_billed_from_a_day_on(
    app: Flask, db: Connection, alice: Person, bob: Person
) -> None:
    alice.is_on("premium")
    bob.is_on("free")
    today = datetime.now(UTC).date().isoformat()
    said = f"premium: 1 would be billed from {today}T00:00:00Z on\nleft out: 1, for their plan costs nothing\n"
    assert run(app, "adopt-subscribers", "--from", today, "--dry-run") == (0, said, "")
    assert fetch_all(db, "SELECT id FROM saas_subscriptions WHERE effective_at IS NOT NULL") == []
    code, out, _ = run(app, "adopt-subscribers", "--from", today, "--json")
    assert (code, json.loads(out)) == (
        0,
        {
            "dry_run": False,
            "total": 1,
            "effective_at": f"{today}T00:00:00Z",
            "plans": {"premium": 1},
            "left_out": {"plan_is_free": 1},
        },
    )
    assert run(app, "adopt-subscribers", "--from", today, "--plan", "premium") == (0, "nobody to bill\n", "")
    rows = fetch_all(db, "SELECT actor FROM billing_status_history WHERE reason = 'adopted'")
    assert [row["actor"] for row in rows] == ["cli"]


def test_a_day_to_come_a_wrong_day_and_a_wrong_plan_are_refused(app: Flask, alice: Person) -> None:
    alice.is_on("premium")
    tomorrow = (datetime.now(UTC).date() + timedelta(days=2)).isoformat()
    code, out, err = run(app, "adopt-subscribers", "--from", tomorrow)
    assert (code, out, tomorrow in err) == (1, "", True)
    assert run(app, "adopt-subscribers", "--from", "2026-02-30")[0] == 2
    assert run(app, "adopt-subscribers")[0] == 2
    assert run(app, "adopt-subscribers", "--from", "2026-05-01", "--plan", "x") == (1, "", "Error: Plan introuvable.\n")
