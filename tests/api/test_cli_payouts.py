"""`flask billing payouts`: of what each payout is made, and exit 1 when one does not come to what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from billing_db import Connection
from tests.stripe_payloads import AT, payout
from turf_saas import payouts

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        result = make_app(BILLING_LOCALE="en").test_cli_runner().invoke(billing_bp.cli, ["payouts", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    return run


def arrived(db: Connection, payout_id: str, amount: int, *lines: tuple[str, int, int]) -> None:
    """lines: type, amount and fee."""
    payouts.note(db, NOW, payout_id, payout(payout_id, amount=amount), amount, "paid")
    given: list[dict[str, Any]] = [
        {
            "id": f"txn_{payout_id}_{number}",
            "type": kind,
            "source": f"x_{number}",
            "amount": cents,
            "fee": fee,
            "currency": "eur",
            "created": AT,
        }
        for number, (kind, cents, fee) in enumerate(lines)
    ]
    payouts.write_lines(db, NOW, payout_id, given)


def test_a_payout_shows_its_parts_and_its_fees(run: Run, db: Connection) -> None:
    assert run() == (0, "0 payouts\n")
    lines = [("charge", 10_000, 175), ("refund", -4_000, 0), ("adjustment", -1_000, 1_500), ("payout", -3_325, 0)]
    arrived(db, "po_1", 3_325, *lines)
    code, out = run()
    assert code == 0
    assert out.splitlines() == [
        "2026-05-20  po_1  paid  33.25 EUR  agrees",
        "            charges 100.00 EUR  refunds -40.00 EUR  other -10.00 EUR  fees -16.75 EUR  net 33.25 EUR",
        "1 payouts",
    ]


def test_one_that_does_not_agree_is_exit_1(run: Run, db: Connection) -> None:
    arrived(db, "po_1", 9_826, ("charge", 10_000, 175))
    code, out = run("--json")
    (found,) = json.loads(out)["payouts"]
    assert (code, found["agrees"], found["net_cents"], found["fees_cents"]) == (1, False, 9_825, 175)
    arrived(db, "po_2", 500)
    assert "its lines are not known" in run()[1]
