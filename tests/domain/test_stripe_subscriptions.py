"""Subscriptions that Stripe runs: whatever is told, in whatever order and how often, ours ends as Stripe's stands."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from threading import Barrier, Thread
from typing import Any

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.conftest import NOW
from tests.stripe_payloads import AT, JUNE, MAY, SHAPES, Payload, Shape, event, is_customer, subscription, tell
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscriptions import Subscription, find_live, find_of_stripe
from turf_saas.users import User
from turf_saas.values import instant_text

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
JULY = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())


@pytest.fixture(autouse=True)
def _plans(db: Connection, alice: Person) -> None:
    for draft in (
        PlanDraft("nineteen", "Nineteen", 1_900, "EUR", stripe_price_id="price_1"),
        PlanDraft("fortynine", "Forty-nine", 4_900, "EUR", stripe_price_id="price_2"),
        PlanDraft("ours", "Ours", 3_000, "EUR"),
        PlanDraft("nothing", "Nothing", 0, "EUR"),
    ):
        catalogue.create_plan(db, datetime(2026, 1, 1, tzinfo=UTC), 1, draft)
    is_customer(db, alice.id)


def told(kind: str, at: int = AT, shape: Shape = "endive", **changed: Any) -> Payload:
    return event(f"customer.subscription.{kind}", subscription(shape=shape, **changed), at=at, shape=shape)


def hear(db: Connection, *payloads: Payload) -> list[str]:
    return [tell(db, NOW, SETTINGS, payload).result for payload in payloads]


def live(db: Connection, person: Person) -> Subscription:
    found = find_live(db, person.id)
    assert found is not None
    return found


def state(db: Connection, stripe_id: str = "sub_1") -> tuple[Any, ...]:
    found = find_of_stripe(db, stripe_id)
    assert found is not None
    return (found.status, found.plan, found.current_period_start, found.current_period_end, found.cancel_at_period_end)


MAY_TO_JUNE = ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_subscription_begins_with_its_plan_and_its_period_in_either_shape(
    db: Connection, alice: Person, shape: Shape
) -> None:
    assert hear(db, told("created", shape=shape)) == ["applied"]
    found = live(db, alice)
    assert (found.billed_by, found.plan, found.status) == ("stripe", "nineteen", "active")
    assert (found.current_period_start, found.current_period_end) == MAY_TO_JUNE
    assert found.effective_at == "2026-05-01T00:00:00Z"
    assert fetch_all(db, "SELECT * FROM billing_periods") == []


def test_the_period_of_several_items_reaches_from_the_first_to_the_last(db: Connection, alice: Person) -> None:
    given = subscription()
    items = given["items"]["data"]
    items.append({**items[0], "id": "si_2", "price": {**items[0]["price"], "id": "price_other"},
                  "current_period_start": AT, "current_period_end": JULY})  # fmt: skip
    hear(db, event("customer.subscription.created", given))
    assert live(db, alice).current_period_end == "2026-07-01T00:00:00Z"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("active", "active"), ("trialing", "trialing"), ("past_due", "past_due"), ("unpaid", "unpaid"),
     ("paused", "unpaid"), ("canceled", "canceled")],
)  # fmt: skip
def test_each_status_of_stripes_is_one_of_ours(db: Connection, alice: Person, theirs: str, ours: str) -> None:
    hear(db, told("created"), told("updated", AT + 1, status=theirs))
    assert state(db)[0] == ours


def test_what_is_not_paid_for_yet_grants_nothing(db: Connection, alice: Person) -> None:
    assert hear(db, told("created", status="incomplete")) == ["ignored"]
    assert find_live(db, alice.id) is None
    assert hear(db, told("updated", AT, status="active")) == ["applied"]
    assert live(db, alice).plan == "nineteen"


def test_what_was_never_paid_for_leaves_nothing(db: Connection, alice: Person) -> None:
    hear(db, told("created", status="incomplete"), told("updated", AT + 1, status="incomplete_expired"))
    assert fetch_all(db, "SELECT * FROM saas_subscriptions") == []


def test_every_order_of_what_is_told_ends_the_same(db: Connection, alice: Person) -> None:
    story = [
        told("created", AT, status="incomplete"),
        told("updated", AT, status="active"),
        told("updated", AT + 1, price="price_2"),
        told("updated", AT + 2, price="price_2", cancel_at_period_end=True),
    ]
    for order in permutations(story):
        with rehearsal(db, dry_run=True):
            hear(db, *order, *order)
            assert state(db) == ("active", "fortynine", *MAY_TO_JUNE, True)


def test_what_has_ended_is_not_revived_by_what_is_late(db: Connection, alice: Person) -> None:
    ended = told("deleted", AT + 5, status="canceled", canceled_at=AT + 5, ended_at=AT + 5)
    for order in permutations([told("created", AT), told("updated", AT + 1), ended]):
        with rehearsal(db, dry_run=True):
            hear(db, *order)
            assert find_live(db, alice.id) is None
            assert state(db)[0] == "canceled"
            found = find_of_stripe(db, "sub_1")
            assert found is not None
            assert found.ended_at == instant_text(datetime.fromtimestamp(AT + 5, UTC))


def test_nothing_revives_it_in_the_second_in_which_it_ended_or_later(db: Connection, alice: Person) -> None:
    hear(db, told("created"))
    for order in permutations([told("deleted", AT + 5, status="canceled"), told("updated", AT + 5)]):
        with rehearsal(db, dry_run=True):
            hear(db, *order)
            assert state(db)[0] == "canceled"
            assert hear(db, told("updated", AT + 9, status="active")) == ["ignored"]
            assert state(db)[0] == "canceled"


def test_three_webhooks_at_once_make_one_subscription(db: Connection, url: str, alice: Person) -> None:
    payloads = [told("created", AT, status="incomplete"), told("updated", AT), told("updated", AT + 1)]
    together = Barrier(len(payloads))

    def hear_alone(payload: Payload) -> None:
        own = billing_db.connect(url)
        together.wait(timeout=30)
        try:
            tell(own, NOW, SETTINGS, payload)
        finally:
            own.close()

    threads = [Thread(target=hear_alone, args=(payload,)) for payload in payloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [row["status"] for row in fetch_all(db, "SELECT status FROM saas_subscriptions")] == ["active"]


def test_an_upgrade_that_waits_for_its_payment_changes_nothing(db: Connection, alice: Person) -> None:
    waiting = {"expires_at": JUNE, "subscription_items": [{"id": "si_1", "price": {"id": "price_2"}}]}
    hear(db, told("created"), told("updated", AT + 1, pending_update=waiting))
    assert live(db, alice).plan == "nineteen"
    hear(db, told("pending_update_applied", AT + 2, price="price_2"))
    assert live(db, alice).plan == "fortynine"


def test_a_price_that_is_of_no_plan_begins_nothing_and_changes_no_plan(db: Connection, alice: Person) -> None:
    hear(db, event("customer.subscription.created", subscription("sub_9", price="price_unknown")))
    assert find_live(db, alice.id) is None
    hear(db, told("created"), told("updated", AT + 1, price="price_unknown", status="past_due"))
    assert (live(db, alice).plan, live(db, alice).status) == ("nineteen", "past_due")


def test_the_plan_of_another_tenant_is_none(db: Connection, alice: Person) -> None:
    theirs = catalogue.create_plan(db, NOW, 2, PlanDraft("theirs", "Theirs", 100, "EUR", stripe_price_id="price_7"))
    given = subscription("sub_2", price="price_7", metadata={"plan_id": str(theirs.id)})
    hear(db, event("customer.subscription.created", given))
    assert find_live(db, alice.id) is None


def test_a_price_that_we_made_says_which_plan_it_is_of(db: Connection, alice: Person) -> None:
    ours = catalogue.get_plan(db, 1, "ours")
    given = subscription(price="price_made")
    given["items"]["data"][0]["price"]["metadata"] = {"plan_id": str(ours.id)}
    hear(db, event("customer.subscription.created", given))
    assert live(db, alice).plan == "ours"


def test_nobody_elses_customer_and_no_second_subscription(db: Connection, alice: Person, bob: Person) -> None:
    assert hear(db, told("created", customer="cus_Nobody", metadata={"user_id": str(alice.id)})) == ["ignored"]
    hear(db, told("created"))
    received = tell(db, NOW, SETTINGS, event("customer.subscription.created", subscription("sub_2", price="price_2")))
    assert [(one.kind, "sub_2" in one.about["reason"]) for one in received.notices] == [("payment_mismatch", True)]
    assert live(db, alice).plan == "nineteen"
    marked = fetch_all(db, "SELECT status FROM billing_received_events WHERE object_id = 'sub_2'")
    assert [row["status"] for row in marked] == ["mismatch"]


def test_who_pays_us_for_a_plan_keeps_it_and_who_pays_nothing_leaves_it(
    db: Connection, alice: Person, bob: Person
) -> None:
    is_customer(db, bob.id, "cus_Bob")
    subscribe(db, NOW, SETTINGS, User(alice.id, 1, "user"), "ours")
    subscribe(db, NOW, SETTINGS, User(bob.id, 1, "user"), "nothing")
    hear(db, told("created"), event("customer.subscription.created", subscription("sub_2", customer="cus_Bob")))
    assert (live(db, alice).plan, live(db, alice).billed_by) == ("ours", "local")
    assert (live(db, bob).plan, live(db, bob).billed_by) == ("nineteen", "stripe")


def test_a_row_that_only_says_the_plan_becomes_this_one(db: Connection, alice: Person) -> None:
    alice.is_on("nineteen")
    hear(db, told("created"))
    assert [row["billed_by"] for row in fetch_all(db, "SELECT billed_by FROM saas_subscriptions")] == ["stripe"]
    assert live(db, alice).effective_at == "2026-05-01T00:00:00Z"


def test_an_adopted_row_with_its_id_is_followed(db: Connection, alice: Person) -> None:
    alice.is_on("nineteen", stripe_subscription_id="sub_1", billed_by="stripe")
    hear(db, told("updated", AT, price="price_2", status="past_due"))
    assert state(db) == ("past_due", "fortynine", *MAY_TO_JUNE, False)


def test_a_downgrade_that_was_asked_for_waits_for_its_period(db: Connection, alice: Person) -> None:
    hear(db, told("created", price="price_2"))
    plan_id = catalogue.get_plan(db, 1, "nineteen").id
    with atomic(db):
        execute(
            db,
            "UPDATE saas_subscriptions SET pending_plan_id = :plan, pending_at = current_period_end",
            plan=plan_id,
        )
    hear(db, told("updated", AT + 1, price="price_2"), told("updated", AT + 2, price="price_1"))
    assert (live(db, alice).plan, live(db, alice).pending_plan) == ("fortynine", "nineteen")
    hear(db, told("updated", AT + 3, price="price_1", start=JUNE, end=JULY))
    assert (live(db, alice).plan, live(db, alice).pending_plan) == ("nineteen", None)


def test_the_host_is_told_what_became_of_it_once(db: Connection, alice: Person) -> None:
    def words(payload: Payload) -> list[str]:
        received = tell(db, NOW, SETTINGS, payload)
        return [notice.about["what"] for notice in received.notices if notice.kind == "subscription_changed"]

    first = told("created", status="trialing")
    assert words(first) == ["subscribed"]
    assert words(first) == []
    assert words(told("updated", AT + 1, start=AT)) == ["trial_ended"]
    assert words(told("updated", AT + 2, start=AT, cancel_at=JUNE)) == ["cancel_scheduled"]
    assert words(told("updated", AT + 3, start=AT)) == ["resumed"]
    assert words(told("updated", AT + 4, start=JUNE, end=JULY, price="price_2")) == ["rolled_over", "changed"]
    assert words(told("updated", AT + 5, start=JUNE, end=JULY, price="price_2", status="past_due")) == ["past_due"]
    assert words(told("updated", AT + 6, start=JUNE, end=JULY, price="price_2")) == ["active"]
    assert words(told("deleted", AT + 7, status="canceled", start=JUNE, end=JULY, price="price_2")) == ["canceled"]


def test_two_states_of_one_second_and_rank_are_asked_for_again_where_a_key_is_set(
    db: Connection, alice: Person
) -> None:
    keyed = read_settings({"TURF_SAAS_DB": "unused", "STRIPE_SECRET_KEY": "sk_test_x"})
    for payload in (told("created"), told("updated", AT + 1), told("updated", AT + 1, price="price_2")):
        tell(db, NOW, keyed, payload)
    jobs = fetch_all(db, "SELECT payload FROM billing_jobs WHERE name = 'billing.sync_subscription'")
    assert [row["payload"] for row in jobs] == ['{"subscription_id":"sub_1"}']
    assert MAY < AT
