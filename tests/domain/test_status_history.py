"""What the history says of a subscription and of an invoice, whoever changes their rows."""

from __future__ import annotations

from typing import Any

import pytest

from billing_db import Connection
from tests.cast import Person
from tests.domain.reference_database import insert, invoice, rows
from tests.domain.tables import change

pytestmark = pytest.mark.usefixtures("people")


def history(db: Connection, subject: str = "subscription") -> list[tuple[Any, ...]]:
    return rows(
        db,
        """SELECT plan, status, at, actor, reason FROM billing_status_history
            WHERE subject = :subject ORDER BY id""",
        subject=subject,
    )


EVER = "0001-01-01T00:00:00Z"


def test_the_first_three_value_row_holds_since_ever_and_the_next_one_from_its_making(
    db: Connection, alice: Person, bob: Person
) -> None:
    alice.is_on("premium")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2026-05-10T00:00:00Z'")
    alice.is_on("pro", created_at="2026-05-11T00:00:00Z")
    bob.is_on("pro")
    assert history(db) == [
        ("premium", "active", EVER, None, None),
        ("premium", "canceled", "2026-05-10T00:00:00Z", None, None),
        ("pro", "active", "2026-05-11T00:00:00Z", None, None),
        ("pro", "active", EVER, None, None),
    ]


def test_a_row_that_says_since_when_holds_from_then(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z", changed_by="ada", change_reason="gift")
    assert history(db) == [("pro", "active", "2026-05-01T00:00:00Z", "ada", "gift")]


def test_a_signed_change_says_when_by_whom_and_why(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z")
    change(
        db,
        """UPDATE saas_subscriptions SET plan = 'premium', changed_at = '2026-05-09T00:00:00Z', changed_by = 'ada',
                  change_reason = 'asked'""",
    )
    assert history(db)[1:] == [("premium", "active", "2026-05-09T00:00:00Z", "ada", "asked")]


def test_a_change_in_the_second_of_the_making_is_signed_too_and_the_signature_is_used_once(
    db: Connection, alice: Person
) -> None:
    made = "2026-05-01T00:00:00Z"
    alice.is_on("pro", effective_at=made, created_at=made, updated_at=made, changed_at=made, changed_by="ada")
    signed = f"changed_at = '{made}', changed_by = 'bob', change_reason = 'at once'"
    change(db, f"UPDATE saas_subscriptions SET plan = 'premium', {signed}")
    assert history(db)[1:] == [("premium", "active", made, "bob", "at once")]
    assert rows(db, "SELECT changed_at FROM saas_subscriptions") == [(None,)]
    change(db, "UPDATE saas_subscriptions SET plan = 'free'")
    assert history(db)[-1][3:] == (None, None)


def test_a_change_before_the_beginning_is_noted_at_the_beginning(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2099-06-01T00:00:00Z")
    change(db, "UPDATE saas_subscriptions SET status = 'canceled', changed_at = '2099-05-20T00:00:00Z'")
    assert history(db)[1:] == [("pro", "canceled", "2099-06-01T00:00:00Z", None, None)]
    change(db, "UPDATE saas_subscriptions SET status = 'active'")
    change(db, "DELETE FROM saas_subscriptions")
    assert [row[1:3] for row in history(db)[2:]] == [
        ("active", "2099-06-01T00:00:00Z"), ("canceled", "2099-06-01T00:00:00Z"),
    ]  # fmt: skip


def test_another_programs_change_is_noted_now_and_never_signed_with_an_old_name(db: Connection, alice: Person) -> None:
    alice.is_on("pro", effective_at="2026-05-01T00:00:00Z", changed_by="ada", change_reason="gift")
    change(db, "UPDATE saas_subscriptions SET plan = 'premium'")
    change(db, "UPDATE saas_subscriptions SET status = 'past_due'")
    (_, first, second) = history(db)
    assert (first[:2], first[3:]) == (("premium", "active"), (None, None))
    assert (second[:2], second[3:]) == (("premium", "past_due"), (None, None))
    assert "2026-05-01T00:00:00Z" < first[2] <= second[2]


def test_only_a_change_of_plan_or_status_is_noted(db: Connection, alice: Person) -> None:
    alice.is_on("pro")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro', status = 'active', trial_end = '2026-06-01T00:00:00Z'")
    assert len(history(db)) == 1
    change(db, "UPDATE saas_subscriptions SET plan = NULL")
    change(db, "UPDATE saas_subscriptions SET plan = NULL")
    change(db, "UPDATE saas_subscriptions SET plan = 'pro'")
    assert [row[0] for row in history(db)] == ["pro", None, "pro"]


@pytest.mark.parametrize(("status", "noted"), [("active", 2), ("unpaid", 2), ("paused", 2), ("canceled", 1)])
def test_a_row_that_is_deleted_has_ended(db: Connection, alice: Person, status: str, noted: int) -> None:
    alice.is_on("pro", status)
    change(db, "DELETE FROM saas_subscriptions")
    assert len(history(db)) == noted
    assert history(db)[-1][:2] == ("pro", "canceled")


def test_the_states_of_an_invoice_are_noted(db: Connection) -> None:
    insert(db, "invoices", invoice(created_at="2026-06-01T00:00:00Z"))
    change(db, "UPDATE invoices SET pdf_path = 'a.pdf'")
    change(db, "UPDATE invoices SET status = 'paid', changed_at = '2026-06-03T00:00:00Z'")
    change(db, "UPDATE invoices SET status = 'paid'")
    change(db, "UPDATE invoices SET status = 'refunded'")
    noted = history(db, "invoice")
    assert [row[:2] for row in noted] == [("pro", "pending"), ("pro", "paid"), ("pro", "refunded")]
    assert [row[2] for row in noted[:2]] == ["2026-06-01T00:00:00Z", "2026-06-03T00:00:00Z"]


def test_truncate_ends_every_subscription(on_postgresql: Connection) -> None:
    db = on_postgresql
    for user_id, status in ((1, "active"), (2, "canceled"), (3, "unpaid")):
        insert(db, "saas_subscriptions", {"user_id": user_id, "plan": "pro", "status": status})
    change(db, "TRUNCATE saas_subscriptions CASCADE")
    ended = rows(db, "SELECT tenant_id, user_id, status FROM billing_status_history ORDER BY id OFFSET 3")
    assert sorted(ended) == [(1, 1, "canceled"), (2, 3, "canceled")]


def test_subscriptions_and_their_history_can_be_emptied_together(on_postgresql: Connection) -> None:
    insert(on_postgresql, "saas_subscriptions", {"user_id": 1, "plan": "pro", "status": "active"})
    change(on_postgresql, "TRUNCATE saas_subscriptions, billing_status_history CASCADE")
    assert rows(on_postgresql, "SELECT id FROM billing_status_history") == []
