"""What a checkout comes to, in every order of its events: a bank may take days, and Stripe may call it active then."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.conftest import NOW
from tests.stripe_payloads import AT, Payload, checkout_session, event, is_customer, subscription, tell
from turf_saas import catalogue, checkouts
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import Conflict
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscriptions import find_live
from turf_saas.users import User

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
PAID = {"payment_status": "paid"}
UNPAID = {"payment_status": "unpaid"}


@pytest.fixture(autouse=True)
def _checkout(db: Connection, alice: Person) -> None:
    """Alice has been sent to pay for a plan: her checkout is number 1."""
    catalogue.create_plan(db, NOW, 1, PlanDraft("nineteen", "Nineteen", 1_900, "EUR", stripe_price_id="price_1"))
    is_customer(db, alice.id)
    offered = checkouts.offer(db, NOW, SETTINGS, User(alice.id, 1, "user"), "nineteen")
    assert checkouts.begin(db, NOW, User(alice.id, 1, "user"), offered).id == 1
    checkouts.note_session(db, NOW, 1, "cs_test_1")


def session(what: str, at: int = AT, **changed: Any) -> Payload:
    return event(f"checkout.session.{what}", checkout_session(**changed), at=at)


def told(what: str, at: int = AT, **changed: Any) -> Payload:
    return event(f"customer.subscription.{what}", subscription(metadata={"checkout_id": "1"}, **changed), at=at)


def hear(db: Connection, *payloads: Payload) -> list[str]:
    return [tell(db, NOW, SETTINGS, payload).result for payload in payloads]


def ends(db: Connection, person: Person) -> tuple[str, str | None]:
    """How the checkout stands, and the plan."""
    live = find_live(db, person.id)
    (row,) = fetch_all(db, "SELECT status FROM billing_checkouts")
    return row["status"], live.plan if live else None


def test_a_debit_that_is_paid_days_later_ends_the_same_in_every_order(db: Connection, alice: Person) -> None:
    story = [
        told("created", AT, status="incomplete"),
        told("updated", AT + 1, status="active"),
        session("completed", AT + 1, **UNPAID),
        session("async_payment_succeeded", AT + 500, **PAID),
    ]
    for order in permutations(story):
        with rehearsal(db, dry_run=True):
            for payload in order:
                hear(db, payload, payload)
                if payload is not story[3] and ends(db, alice)[0] != "complete":
                    assert find_live(db, alice.id) is None, "nothing is granted before the bank has paid"
            assert ends(db, alice) == ("complete", "nineteen")


def test_a_debit_that_is_not_paid_grants_nothing_in_any_order(db: Connection, alice: Person) -> None:
    story = [
        told("updated", AT + 1, status="active"),
        session("completed", AT + 1, **UNPAID),
        session("async_payment_failed", AT + 500, **UNPAID),
        told("updated", AT + 500, status="past_due"),
    ]
    for order in permutations(story):
        with rehearsal(db, dry_run=True):
            hear(db, *order)
            assert ends(db, alice) == ("failed", None)


def test_what_failed_and_is_paid_after_all_begins(db: Connection, alice: Person) -> None:
    hear(db, session("completed", AT, **UNPAID), session("async_payment_failed", AT + 5, **UNPAID))
    hear(db, told("updated", AT + 60, status="active"))
    assert ends(db, alice) == ("failed", "nineteen")


def test_a_card_pays_at_once_in_every_order(db: Connection, alice: Person) -> None:
    story = [told("created", AT, status="incomplete"), told("updated", AT), session("completed", AT, **PAID)]
    for order in permutations(story):
        with rehearsal(db, dry_run=True):
            hear(db, *order)
            assert ends(db, alice) == ("complete", "nineteen")


def test_who_has_paid_for_one_that_is_not_told_of_yet_pays_for_no_second_one(db: Connection, alice: Person) -> None:
    user = User(alice.id, 1, "user")
    hear(db, session("completed", AT, **PAID))
    assert ends(db, alice) == ("complete", None)
    day = timedelta(days=1)
    for begins in (
        lambda: checkouts.offer(db, NOW + day - timedelta(seconds=1), SETTINGS, user, "nineteen"),
        lambda: subscribe(db, NOW, SETTINGS, user, "nineteen"),
    ):
        with pytest.raises(Conflict, match="checkout_processing"):
            begins()
    assert checkouts.offer(db, NOW + day, SETTINGS, user, "nineteen").mode == "subscription"
    hear(db, told("created", status="active"))
    hear(db, told("deleted", AT + 60, status="canceled", ended_at=AT + 60))
    assert checkouts.offer(db, NOW, SETTINGS, user, "nineteen").mode == "subscription"


def test_what_is_complete_does_not_expire(db: Connection, alice: Person) -> None:
    hear(db, session("completed", AT, **PAID), told("created"), session("expired", AT + 9, status="expired"))
    assert ends(db, alice) == ("complete", "nineteen")


def test_a_session_that_we_were_killed_before_noting_is_known_by_its_hint_and_its_customer(
    db: Connection, alice: Person, bob: Person
) -> None:
    is_customer(db, bob.id, "cus_Bob")
    with atomic(db):
        execute(db, "UPDATE billing_checkouts SET stripe_session_id = NULL, status = 'opening'")
    hint = {"metadata": {"checkout_id": "1"}}
    hear(db, told("created"), session("completed", customer="cus_Bob", **PAID, **hint))
    assert ends(db, alice) == ("opening", None)
    hear(db, session("completed", **PAID, **hint))
    assert ends(db, alice) == ("complete", "nineteen")
    assert hear(db, session("completed", object_id="cs_test_2", **PAID, **hint)) == ["ignored"]


@pytest.mark.parametrize("hint", ["", "x", "9" * 30, "٣", "2", 1, None])
def test_a_hint_that_is_none_is_nobodys(db: Connection, alice: Person, hint: Any) -> None:
    given = session("completed", object_id="cs_test_9", **PAID, metadata={"checkout_id": hint})
    assert hear(db, given) == ["ignored"]
    assert ends(db, alice) == ("open", None)


def test_somebody_elses_checkout_in_its_metadata_holds_nothing_back(db: Connection, bob: Person, alice: Person) -> None:
    is_customer(db, bob.id, "cus_Bob")
    hear(db, event("customer.subscription.created", subscription(customer="cus_Bob", metadata={"checkout_id": "1"})))
    live = find_live(db, bob.id)
    assert live is not None
    assert live.plan == "nineteen"
    assert ends(db, alice) == ("open", None)
