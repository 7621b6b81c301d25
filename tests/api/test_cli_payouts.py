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
from tests.cast import Person
from tests.domain.money_back import taken
from tests.issued import SETTINGS
from tests.stripe_payloads import AT, dispute, event, payout, tell
from turf_saas import payouts

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
Run = Callable[..., tuple[int, str]]
LINES = [
    ("charge", 10_000, 175), ("refund", -4_000, 0), ("adjustment", -1_000, 1_500), ("stripe_fee", -100, 0),
    ("payout", -3_225, 0),
]  # fmt: skip
WHOLE = [
    "2026-05-20  po_1  paid  32.25 EUR  agrees",
    "            charges 100.00 EUR  refunds -40.00 EUR  disputes -10.00 EUR  other 0.00 EUR  fees -2.75 EUR  dispute fees -15.00 EUR  net 32.25 EUR",  # noqa: E501
]


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        result = make_app(BILLING_LOCALE="en").test_cli_runner().invoke(billing_bp.cli, ["payouts", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    return run


def arrived(db: Connection, payout_id: str, amount: int, *lines: tuple[str, int, int]) -> None:
    """lines: type, amount and fee. An adjustment is a dispute's; a refund is of nothing that is known here."""
    payouts.note(db, NOW, payout_id, payout(payout_id, amount=amount), amount, "paid")
    given: list[dict[str, Any]] = [
        {
            "id": f"txn_{payout_id}_{number}",
            "type": kind,
            "source": {"charge": "ch_1", "adjustment": "dp_1"}.get(kind, f"x_{number}"),
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
    arrived(db, "po_1", 3_225, *LINES)
    code, out = run()
    assert code == 0
    assert out.splitlines() == [
        *WHOLE,
        "1 payouts",
    ]


def test_each_line_says_of_which_payment_it_is(run: Run, db: Connection, alice: Person) -> None:
    invoice, payment = taken(db, alice)
    tell(db, NOW, SETTINGS, event("charge.dispute.created", dispute(amount=1_000)))
    arrived(db, "po_1", 3_225, *LINES)
    of = f"payment {payment.id}  {invoice.number}  user {alice.id}"
    code, out = run("show", "po_1")
    assert (code, out.splitlines()) == (
        0,
        [
            *WHOLE,
            f"            charge   ch_1  100.00 EUR  fee -1.75 EUR  {of}",
            "            refund   x_1  -40.00 EUR",
            f"            dispute  dp_1  -10.00 EUR  fee -15.00 EUR  {of}",
            "            fee      x_3  -1.00 EUR",
        ],
    )
    shown = json.loads(run("show", "po_1", "--json")[1])
    assert [(one["part"], one["payment_id"]) for one in shown["items"]] == [
        ("charge", payment.id), ("refund", None), ("dispute", payment.id), ("fee", None)
    ]  # fmt: skip
    assert run("show", "po_2") == (1, "")


def test_one_that_does_not_agree_is_exit_1(run: Run, db: Connection) -> None:
    arrived(db, "po_1", 9_826, ("charge", 10_000, 175))
    code, out = run("--json")
    (found,) = json.loads(out)["payouts"]
    assert (code, found["agrees"], found["net_cents"], found["fees_cents"]) == (1, False, 9_825, 175)
    arrived(db, "po_2", 500)
    assert "its lines are not known" in run()[1]
