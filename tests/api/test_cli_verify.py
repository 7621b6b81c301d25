"""`flask billing verify`: exit 0 when all is as it was issued, 1 when something is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from billing_db import Connection, fetch_one
from tests.billed import at, bill
from tests.cast import Cast
from tests.domain.tables import change
from turf_saas.clock import set_clock
from turf_saas.settings import read_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        result = make_app(BILLING_LOCALE="en").test_cli_runner().invoke(billing_bp.cli, ["verify", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def billed(db: Connection, people: Cast) -> Connection:
    bill(db, people)
    settings = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing"})
    set_clock(db, at(6, 20), settings, at(6, 20))
    return db


def test_what_is_right_ends_with_the_hash_of_each_chain(run: Run, billed: Connection) -> None:
    heads: list[Any] = [
        fetch_one(billed, "SELECT * FROM billing_invoice_chains WHERE tenant_id = :tenant", tenant=tenant)
        for tenant in (1, 2)
    ]
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "looked at 6 documents and 5 closed months",
        f"chain of tenant 1: 4 documents, the last of 2026-06-02T00:00:00Z, {heads[0]['hash']}",
        f"chain of tenant 2: 2 documents, the last of 2026-06-01T03:00:00Z, {heads[1]['hash']}",
        "all of it is as it was issued",
    ]
    code, out, _ = run("--json", "--tenant", "2")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["documents"], answer["findings"]) == (0, True, 2, 0)
    assert [head["hash"] for head in answer["chains"]] == [heads[1]["hash"]]
    assert run("--tenant", "9") == (1, "", "Error: Tenant not found.\n")


def test_what_is_wrong_is_named_and_ends_with_1(run: Run, billed: Connection) -> None:
    change(billed, "UPDATE billing_revenue SET net_cents = net_cents + 1")
    change(billed, "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (2, '2026-04-03', 4)")
    code, out, _ = run("--limit", "1")
    assert code == 1
    assert out.splitlines()[:4] == [
        "[revenue] the revenue of tenant 1 in 2026-05 says 4776 net_cents in EUR, and it is 4775",
        "… and 3 more",
        "1 told, and no fault:",
        "[late] user 2 2026-04: 4 api_calls are known since it was closed",
    ]
    assert out.splitlines()[-1] == "4 findings"
    answer = json.loads(run("--json")[1])
    assert (answer["ok"], answer["kinds"], answer["waiting"]) == (False, {"revenue": 4}, {"late": 1})
    assert answer["shown"][0]["tenant_id"] == 1
