"""Money that goes back is seen where payments are: refunds with why they failed, disputes with their day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from billing_db import Connection
from tests.cast import Cast, Person
from tests.domain.money_back import NOW, taken
from tests.issued import SETTINGS
from tests.stripe_payloads import dispute, event, refund, tell
from turf_saas.doctor_contested import examine_disputes, examine_refunds

DUE = "2026-06-01T00:00:00Z"


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(BILLING_LOCALE="en")


def hear(db: Connection, kind: str, about: dict[str, Any]) -> None:
    assert tell(db, NOW, SETTINGS, event(kind, about)).result == "applied"


def payments_of(app: Flask, person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        app.test_client().get("/api/v1/billing/payments", headers=person.headers).json["items"]
    )
    return found


def test_each_payment_shows_its_own_refunds_and_disputes(app: Flask, db: Connection, people: Cast) -> None:
    first, second = taken(db, people.alice)[1], taken(db, people.alice, number=2, month="2026-05")[1]
    hear(db, "refund.created", refund(amount=500))
    hear(db, "refund.failed", refund("re_2", amount=300, status="failed"))
    hear(db, "charge.dispute.created", dispute(amount=1_200, charge="ch_2", intent="pi_2"))
    newest, oldest = payments_of(app, people.alice)
    assert [newest["id"], oldest["id"]] == [second.id, first.id]
    assert [(one["status"], one["amount_cents"], one["failure"]) for one in oldest["refunds"]] == [
        ("succeeded", 500, None),
        ("failed", 300, "expired_or_canceled_card"),
    ]
    assert (oldest["disputes"], newest["refunds"]) == ([], [])
    (found,) = newest["disputes"]
    assert found == {
        "id": found["id"],
        "status": "needs_response",
        "amount_cents": 1_200,
        "reason": "fraudulent",
        "evidence_due_at": DUE,
    }
    assert payments_of(app, people.charlie) == []


def test_disputes_are_listed_with_whom_they_are_about_and_their_day(app: Flask, db: Connection, alice: Person) -> None:
    invoice, payment = taken(db, alice)

    def run(*words: str) -> str:
        result = app.test_cli_runner().invoke(billing_bp.cli, ["disputes", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert run() == "0 disputes\n"
    hear(db, "charge.dispute.created", dispute(amount=1_200))
    about = f"dp_1  payment {payment.id}  {invoice.number}  user {alice.id}  12.00 EUR"
    assert run() == f"{about}  needs_response  fraudulent  answer until {DUE}\n1 disputes\n"
    (shown,) = json.loads(run("--json"))["disputes"]
    assert (shown["invoice_number"], shown["payment_id"], shown["evidence_due_at"]) == (invoice.number, payment.id, DUE)
    hear(db, "charge.dispute.closed", dispute(amount=1_200, status="won"))
    assert run() == f"{about}  won  fraudulent\n1 disputes\n"
    assert run("--open") == "0 disputes\n"


def test_the_doctor_names_the_day_of_an_open_dispute(db: Connection, alice: Person) -> None:
    invoice, payment = taken(db, alice)
    assert examine_disputes(db) is None
    hear(db, "charge.dispute.created", dispute(amount=1_200))
    found = examine_disputes(db)
    assert found is not None
    said = f"12.00 EUR of payment {payment.id} of {invoice.number} are disputed, to be answered until {DUE}."
    assert (found.level, found.message) == (
        "warning",
        f"{said} Answer them in Stripe; flask billing disputes lists them.",
    )
    hear(db, "charge.dispute.closed", dispute(amount=1_200, status="won"))
    found = examine_disputes(db)
    assert found is not None
    assert found.level == "ok"


def test_a_refund_that_failed_is_in_the_log_and_for_thirty_days_the_doctors(
    db: Connection, alice: Person, caplog: pytest.LogCaptureFixture
) -> None:
    payment = taken(db, alice)[1]
    assert examine_refunds(db, NOW) is None
    hear(db, "refund.created", refund(amount=300, status="pending"))
    assert (levels(db), caplog.messages) == (["ok"] * 3, [])
    hear(db, "refund.failed", refund(amount=300, status="failed"))
    hear(db, "refund.updated", refund(amount=300, status="failed"))
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("ERROR", f"refund 1 of payment {payment.id} has failed: expired_or_canceled_card")
    ]
    found = examine_refunds(db, datetime(2026, 5, 20, 10, tzinfo=UTC))
    assert found is not None
    said = f"3.00 EUR of payment {payment.id}: expired_or_canceled_card."
    assert found.message == f"Refunds that failed: {said} Each is the user's account credit."
    assert levels(db) == ["warning", "ok", "ok"]


def levels(db: Connection) -> list[str]:
    """On the thirtieth day, to the second."""
    found = [examine_refunds(db, NOW + timedelta(days=30, seconds=beside)) for beside in (-1, 0, 1)]
    return [one.level for one in found if one is not None]
