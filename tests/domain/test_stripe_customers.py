"""With what a user pays, and that he is a customer of Stripe's no more: the same in whatever order it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.conftest import NOW
from tests.issued import issue_one
from tests.stripe_payloads import (
    AT,
    CUSTOMER,
    SHAPES,
    Payload,
    Shape,
    customer,
    event,
    is_customer,
    payment_method,
    subscription,
    tell,
    tell_all,
)
from turf_saas.gateway_invoices import PAY_OPEN_JOB
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import read_settings
from turf_saas.stripe_applying import find_customer
from turf_saas.subscriptions import find_live, find_of_stripe
from turf_saas.values import instant_text

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})


@pytest.fixture(autouse=True)
def _known(db: Connection, alice: Person) -> None:
    is_customer(db, alice.id)


def _pays_with(db: Connection, person: Person) -> str | None:
    rows = fetch_all(
        db, "SELECT stripe_payment_method_id AS id FROM billing_accounts WHERE user_id = :id", id=person.id
    )
    return rows[0]["id"] if rows else None


def _payings(db: Connection) -> int:
    return len(fetch_all(db, "SELECT id FROM billing_jobs WHERE name = :name", name=PAY_OPEN_JOB))


def _default(method: str | None, at: int, before: str | None = None) -> Payload:
    was = {"invoice_settings": {"default_payment_method": before}}
    return event("customer.updated", customer(default=method), at=at, previous=was)


def _moved(kind: str, method: str, at: int) -> Payload:
    if kind == "detached":
        about = payment_method(method, customer=None)
        return event("payment_method.detached", about, at=at, previous={"customer": CUSTOMER})
    return event(f"payment_method.{kind}", payment_method(method), at=at)


def test_the_first_card_is_used_and_a_new_default_after_it_and_each_pays_what_is_open_at_once(
    db: Connection, alice: Person
) -> None:
    told = [_moved("attached", "pm_1", AT), _moved("attached", "pm_2", AT + 1), _default("pm_2", AT + 2, None)]
    assert [tell(db, NOW, SETTINGS, one).result for one in told[:2]] == ["applied", "ignored"]
    assert (_pays_with(db, alice), _payings(db)) == ("pm_1", 1)
    assert tell(db, NOW, SETTINGS, told[2]).result == "applied"
    assert tell_all(db, NOW, SETTINGS, [_default("pm_2", AT + 3), *told]) == ["ignored", *["duplicate"] * 3]
    assert (_pays_with(db, alice), _payings(db)) == ("pm_2", 2)


@pytest.mark.parametrize(
    ("failed_at", "status", "used"),
    [(AT, "open", "pm_2"), (AT + 1, "open", "pm_2"), (AT + 2, "open", "pm_1"), (None, "open", "pm_1"),
     (AT, "paid", "pm_1")],
)  # fmt: skip
def test_a_card_that_comes_after_a_failed_charge_is_used_and_a_good_one_stays(
    db: Connection, alice: Person, failed_at: int | None, status: str, used: str
) -> None:
    tell(db, NOW, SETTINGS, _moved("attached", "pm_1", AT))
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_gateway_invoices (invoice_id, user_id, gateway, provider_id, status, amount_cents,
                                                     first_failed_at, created_at, updated_at)
               VALUES (:id, :user_id, 'stripe', 'in_1', :status, 1200, :failed_at, :now, :now)""",
            id=issue_one(db, alice, 1_000).id,
            user_id=alice.id,
            status=status,
            failed_at=instant_text(datetime.fromtimestamp(failed_at, UTC)) if failed_at is not None else None,
            now="2026-05-01T06:00:00Z",
        )
    tell(db, NOW, SETTINGS, _moved("attached", "pm_2", AT + 1))
    assert (_pays_with(db, alice), _payings(db)) == (used, 1 + (used == "pm_2"))


def test_a_renewed_card_pays_what_is_open_where_it_is_the_one_in_use(db: Connection, alice: Person) -> None:
    tell(db, NOW, SETTINGS, _moved("attached", "pm_1", AT))
    told = [_moved("automatically_updated", method, AT + 1) for method in ("pm_2", "pm_1")]
    assert tell_all(db, NOW, SETTINGS, told) == ["ignored", "applied"]
    assert _payings(db) == 2


# What became of it in the end, by hand: the default is pm_2, or nothing once that was detached.
STORIES = {
    "pm_2": [_moved("attached", "pm_1", AT), _moved("attached", "pm_2", AT + 1), _default("pm_1", AT + 2),
             _default("pm_2", AT + 3, "pm_1"), _moved("detached", "pm_1", AT + 4)],
    None: [_moved("attached", "pm_1", AT), _default("pm_1", AT), _moved("detached", "pm_1", AT + 1),
           _default(None, AT + 1, "pm_1")],
}  # fmt: skip


@pytest.mark.parametrize("end", STORIES, ids=str)
def test_whatever_the_order_he_pays_with_what_was_the_default_last(
    db: Connection, alice: Person, end: str | None
) -> None:
    for order in permutations(STORIES[end]):
        with rehearsal(db, dry_run=True):  # the next order begins where this one did
            tell_all(db, NOW, SETTINGS, order)
            assert _pays_with(db, alice) == end, [one["type"] for one in order]


def test_an_old_default_source_is_read_where_there_is_no_other(db: Connection, alice: Person) -> None:
    tell(db, NOW, SETTINGS, event("customer.updated", customer(default_source={"id": "card_1", "object": "card"})))
    assert _pays_with(db, alice) == "card_1"


def test_another_change_of_a_customer_is_nothing_to_us(db: Connection, alice: Person) -> None:
    tell(db, NOW, SETTINGS, _moved("attached", "pm_1", AT))
    about = customer(name="Alice B.")
    assert tell(db, NOW, SETTINGS, event("customer.updated", about, previous={"name": "Alice"})).result == "ignored"
    assert _pays_with(db, alice) == "pm_1"


@pytest.mark.parametrize("kind", ["customer.updated", "customer.deleted", "payment_method.attached",
                                  "payment_method.automatically_updated", "payment_method.detached",
                                  "customer.subscription.trial_will_end"])  # fmt: skip
def test_strangers_change_nothing(db: Connection, alice: Person, kind: str) -> None:
    about = customer("cus_Mallory", default="pm_1") if kind.startswith("customer.u") else customer("cus_Mallory")
    if "method" in kind or "sub" in kind:
        about = payment_method("pm_1", customer="cus_Mallory", metadata={"user_id": str(alice.id)})
    assert tell(db, NOW, SETTINGS, event(kind, about)).result == "ignored"
    assert (_pays_with(db, alice), find_customer(db, CUSTOMER) is not None) == (None, True)


# -- deleted -------------------------------------------------------------------------------------------


def _subscribed(db: Connection, person: Person, **columns: Any) -> None:
    person.is_on("premium", billed_by="stripe", stripe_subscription_id="sub_1", effective_at="2026-05-01T00:00:00Z",
                 current_period_start="2026-05-01T00:00:00Z", current_period_end="2026-06-01T00:00:00Z",
                 **columns)  # fmt: skip


def test_a_deleted_customer_has_no_subscription_of_stripes_any_more_and_the_user_keeps_the_rest(
    db: Connection, alice: Person
) -> None:
    _subscribed(db, alice)
    tell(db, NOW, SETTINGS, _moved("attached", "pm_1", AT))
    done = tell(db, NOW, SETTINGS, event("customer.deleted", customer(), at=AT + 5))
    assert (done.result, [notice.about["what"] for notice in done.notices]) == ("applied", ["canceled"])
    ended = find_of_stripe(db, "sub_1")
    assert ended is not None
    assert (ended.status, ended.ended_at, find_live(db, alice.id)) == ("canceled", "2026-05-20T09:00:05Z", None)
    assert _pays_with(db, alice) is None
    former = find_customer(db, CUSTOMER)
    assert former is not None, "money of his that is told of later is his"
    assert (former.user_id, former.is_former) == (alice.id, True)
    later = [_default("pm_2", AT + 9), _moved("attached", "pm_2", AT + 9),
             event("customer.deleted", customer(), at=AT + 9)]  # fmt: skip
    assert tell_all(db, NOW, SETTINGS, later) == ["ignored"] * 3
    assert _pays_with(db, alice) is None
    is_customer(db, alice.id, "cus_New")
    again = find_customer(db, "cus_New")
    assert again is not None
    assert not again.is_former


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stale_word_of_a_subscription_does_not_bring_it_back_after_the_customer_is_gone(
    db: Connection, alice: Person, shape: Shape
) -> None:
    _subscribed(db, alice)
    tell(db, NOW, SETTINGS, event("customer.deleted", customer(), at=AT + 5))
    stale = event("customer.subscription.updated", subscription(shape=shape), at=AT + 4, shape=shape)
    assert tell(db, NOW, SETTINGS, stale).result == "ignored"
    assert find_live(db, alice.id) is None


def test_what_is_billed_here_goes_on_without_the_customer(db: Connection, alice: Person) -> None:
    alice.is_on("premium", billed_by="local", effective_at="2026-05-01T00:00:00Z")
    done = tell(db, NOW, SETTINGS, event("customer.deleted", customer()))
    assert (done.result, done.notices, find_live(db, alice.id) is None) == ("applied", (), False)


# -- said only -----------------------------------------------------------------------------------------


def test_that_a_trial_will_end_is_told_while_it_is_one(db: Connection, alice: Person) -> None:
    told = event("customer.subscription.trial_will_end", subscription(status="trialing"))
    assert tell(db, NOW, SETTINGS, told).result == "deferred", "of a short trial it is said at once"
    _subscribed(db, alice)
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET status = 'trialing'")
    again = tell(db, NOW, SETTINGS, {**told, "id": "evt_again"})
    assert [(notice.kind, notice.about["subscription"].plan) for notice in again.notices] == [
        ("trial_will_end", "premium")]  # fmt: skip
    with atomic(db):
        execute(db, "UPDATE saas_subscriptions SET status = 'active'")
    assert tell(db, NOW, SETTINGS, {**told, "id": "evt_late"}).result == "ignored"
