"""`flask billing reconcile`: what was missed is taken, what differs is mended, and a second run finds nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from flask import Flask

from api_v1.blueprint import billing_bp
from api_v1.signals import invoice_issued, invoice_paid
from api_v1.stripe_fake import StripeFake
from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from tests.api.subscribing import THEN
from tests.cast import Cast, Person
from tests.conftest import NOW
from tests.issued import SETTINGS, issue_one
from tests.stripe import SECRET, client_of, paying_customer, settings_of
from tests.stripe_payloads import is_customer
from turf_saas import catalogue, payments, schema
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.invoices import Invoice, get_by_id

HOOK = "https://app.example.com/api/v1/billing/webhooks/stripe"


@dataclass
class World:
    """Alice, a customer of Stripe's with a card; nothing that happens there is delivered."""

    app: Flask
    db: Connection
    fake: StripeFake
    client: stripe.StripeClient
    alice: Person
    customer: str

    def reconcile(self, *words: str) -> tuple[int, dict[str, Any]]:
        result = self.app.test_cli_runner().invoke(billing_bp.cli, ["reconcile", "--json", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        answer = json.loads(result.stdout)
        answer.pop("since")  # 30 days ago, to the second
        return result.exit_code, answer

    def forget_events(self) -> None:
        """As Stripe does after 30 days."""
        with self.fake.world.lock:
            for event in self.fake.world.all("event"):
                del self.fake.world.objects[event["id"]]

    def collected(self, *, linked: bool = True, card: str = "pm_card_visa") -> tuple[Invoice, str]:
        """An invoice of 12.00 that waits at Stripe, open on both sides."""
        ours = issue_one(self.db, self.alice, 1_000)
        theirs = self.send(ours)
        with atomic(self.db):
            execute(
                self.db,
                """INSERT INTO billing_gateway_invoices (invoice_id, user_id, gateway, provider_id, status,
                                                         amount_cents, created_at, updated_at)
                   VALUES (:id, :user_id, 'stripe', :theirs, :status, 1200, :now, :now)""",
                id=ours.id,
                user_id=self.alice.id,
                theirs=theirs if linked else None,
                status="open" if linked else "draft",
                now="2026-05-01T06:00:00Z",
            )
        return ours, theirs

    def send(self, ours: Invoice) -> str:
        metadata = {"app": "turf_saas", "local_invoice_id": str(ours.id), "number": ours.number}
        theirs = self.client.v1.invoices.create(
            {"customer": self.customer, "currency": "eur", "auto_advance": False, "metadata": metadata}
        )
        self.client.v1.invoice_items.create(
            {"customer": self.customer, "invoice": theirs.id, "amount": 1_200, "currency": "eur"}
        )
        self.client.v1.invoices.finalize_invoice(theirs.id, {"auto_advance": False})
        return str(theirs.id)

    def pay(self, theirs: str) -> None:
        self.client.v1.invoices.pay(theirs, {})

    def subscribed(self, price: str) -> str:
        """A subscription of Stripe's that is known here, with all that came of it."""
        made = self.client.v1.subscriptions.create({"customer": self.customer, "items": [{"price": price}]})
        code, answer = self.reconcile()
        assert (code, answer["left"]) == (0, 0), answer
        return str(made.id)

    def state(self, ours: Invoice) -> str:
        return get_by_id(self.db, ours.id).status

    def subscription(self, stripe_id: str) -> Any:
        return fetch_one(self.db, "SELECT * FROM saas_subscriptions WHERE stripe_subscription_id = :id", id=stripe_id)


@pytest.fixture
def world(make_app: Callable[..., Flask], db: Connection, people: Cast, stripe_fake: StripeFake) -> World:
    app = make_app(BILLING_LOCALE="en", **SELLER, **settings_of(stripe_fake))
    stripe_fake.silence()
    stripe_fake.add_endpoint(HOOK, SECRET)
    client = client_of(stripe_fake)
    customer = paying_customer(client)
    is_customer(db, people.alice.id, customer)
    return World(app, db, stripe_fake, client, people.alice, customer)


@pytest.fixture
def prices(world: World) -> dict[str, str]:
    """Of the plans small (19.00) and large (49.00)."""
    product = world.client.v1.products.create({"name": "Plans"})
    made = {}
    for code, cents in (("small", 1_900), ("large", 4_900)):
        price = world.client.v1.prices.create(
            {"product": product.id, "currency": "eur", "unit_amount": cents, "recurring": {"interval": "month"}}
        )
        draft = PlanDraft(code, code.title(), cents, "EUR", cycle="anniversary")
        catalogue.create_plan(world.db, THEN, 1, replace(draft, stripe_price_id=price.id))
        made[code] = str(price.id)
    return made


@pytest.fixture(params=[True, False], ids=["by its events", "without any event"])
def remembered(request: pytest.FixtureRequest) -> bool:
    """Whether Stripe still lists the events that were not delivered."""
    return bool(request.param)


def everything(db: Connection) -> dict[str, list[str]]:
    """Every row of every table of ours."""
    tables = sorted({table for step in schema.migrations("sqlite") for table in step.tables})
    return {table: sorted(str(dict(row)) for row in fetch_all(db, f"SELECT * FROM {table}")) for table in tables}


def mended(world: World, remembered: bool) -> list[dict[str, Any]]:
    """Its steps: a dry run says the same and writes nothing, and a second run finds nothing."""
    if not remembered:
        world.forget_events()
    before = everything(world.db)
    rehearsed = world.reconcile("--dry-run")
    assert everything(world.db) == before
    code, answer = world.reconcile()
    assert rehearsed == (code, {**answer, "dry_run": True})
    assert (code, answer["left"], answer["unread"]) == (0, 0, [])
    assert answer["steps"]
    assert remembered or {step["kind"] for step in answer["steps"]} & {"event"} == set()
    again = world.reconcile()
    assert again == (0, {**answer, "steps": []})
    return list(answer["steps"])


def test_an_invoice_that_was_paid_is_paid_and_the_host_hears_of_it_once(world: World, remembered: bool) -> None:
    ours, theirs = world.collected()
    world.pay(theirs)
    heard: list[str] = []
    with invoice_paid.connected_to(lambda _, invoice, payment: heard.append(invoice.number)):
        mended(world, remembered)
    assert (world.state(ours), heard) == ("paid", [ours.number])
    [payment] = fetch_all(world.db, "SELECT * FROM billing_payments")
    assert payment["amount_cents"] == 1_200
    assert payment["stripe_payment_intent_id"].startswith("pi_")


def test_an_invoice_that_was_voided_is_cancelled(world: World, remembered: bool) -> None:
    ours, theirs = world.collected()
    world.client.v1.invoices.void_invoice(theirs)
    mended(world, remembered)
    assert world.state(ours) == "cancelled"


def test_a_charge_that_failed_is_known(world: World, remembered: bool) -> None:
    ours, theirs = world.collected()
    card = world.client.v1.customers.retrieve(world.customer).invoice_settings.default_payment_method
    world.fake.card_turns(str(card), "pm_card_chargeDeclined")
    world.client.v1.invoices.update(theirs, {"auto_advance": True})
    with pytest.raises(stripe.CardError):
        world.pay(theirs)
    mended(world, remembered)
    assert world.state(ours) in ("pending", "overdue")
    [attempt] = fetch_all(world.db, "SELECT * FROM billing_payment_attempts")
    assert (attempt["invoice_id"], attempt["status"]) == (ours.id, "failed")


def test_a_refund_is_in_the_books(world: World, remembered: bool) -> None:
    _, theirs = world.collected()
    world.pay(theirs)
    world.reconcile()
    [payment] = fetch_all(world.db, "SELECT * FROM billing_payments")
    world.client.v1.refunds.create({"payment_intent": payment["stripe_payment_intent_id"], "amount": 500})
    mended(world, remembered)
    [payment] = fetch_all(world.db, "SELECT * FROM billing_payments")
    assert payment["refunded_cents"] == 500


def test_a_refund_and_the_payment_that_it_is_of_are_found_together(world: World, remembered: bool) -> None:
    ours, theirs = world.collected()
    world.pay(theirs)
    intent = world.client.v1.invoice_payments.list({"invoice": theirs}).data[0].payment.payment_intent
    world.client.v1.refunds.create({"payment_intent": str(intent)})
    mended(world, remembered)
    assert world.state(ours) == "refunded"


def test_a_dispute_that_was_lost_is_in_the_books(world: World, remembered: bool) -> None:
    _, theirs = world.collected()
    world.pay(theirs)
    world.reconcile()
    charge = next(key for key in world.fake.objects if key.startswith("ch_"))
    dispute = world.fake.dispute(charge)
    world.fake.close_dispute(dispute["id"], "lost")
    mended(world, remembered)
    [payment] = fetch_all(world.db, "SELECT * FROM billing_payments")
    assert payment["refunded_cents"] == 1_200


@pytest.mark.parametrize("then", ["open", "paid", "void"])
def test_an_invoice_of_ours_that_stripe_has_and_we_do_not_know_is_linked(
    world: World, remembered: bool, then: str
) -> None:
    ours, theirs = world.collected(linked=False)
    if then == "paid":
        world.pay(theirs)
    elif then == "void":
        world.client.v1.invoices.void_invoice(theirs)
    mended(world, remembered)
    row = fetch_one(world.db, "SELECT * FROM billing_gateway_invoices WHERE invoice_id = :id", id=ours.id)
    assert row is not None
    assert (row["provider_id"], row["status"]) == (theirs, then)
    assert world.state(ours) in {"open": ("pending", "overdue"), "paid": ("paid",), "void": ("cancelled",)}[then]


def test_a_subscription_nobody_told_us_of_begins_with_its_invoice(
    world: World, prices: dict[str, str], remembered: bool
) -> None:
    made = world.client.v1.subscriptions.create({"customer": world.customer, "items": [{"price": prices["small"]}]})
    heard: list[str] = []

    def hear(_: Flask, invoice: Invoice, payment: Any = None) -> None:
        heard.append("issued" if payment is None else "paid")

    with invoice_issued.connected_to(hear), invoice_paid.connected_to(hear):
        mended(world, remembered)
    assert heard == ["issued", "paid"]
    row = world.subscription(made.id)
    assert (row["status"], row["plan"], row["billed_by"]) == ("active", "small", "stripe")
    [issued] = fetch_all(world.db, "SELECT * FROM invoices WHERE kind = 'stripe'")
    assert (issued["status"], issued["amount_cents"]) == ("paid", 1_900)


def test_a_plan_that_was_changed_at_stripe_is_changed(world: World, prices: dict[str, str], remembered: bool) -> None:
    stripe_id = world.subscribed(prices["small"])
    [item] = world.client.v1.subscriptions.retrieve(stripe_id)["items"].data
    world.fake.move_clock(datetime.fromtimestamp(world.fake.now.timestamp() + 60, UTC))
    world.client.v1.subscriptions.update(
        stripe_id, {"items": [{"id": item.id, "price": prices["large"]}], "proration_behavior": "none"}
    )
    mended(world, remembered)
    assert world.subscription(stripe_id)["plan"] == "large"


def test_a_subscription_that_has_ended_at_stripe_has_ended(
    world: World, prices: dict[str, str], remembered: bool
) -> None:
    stripe_id = world.subscribed(prices["small"])
    world.fake.move_clock(datetime.fromtimestamp(world.fake.now.timestamp() + 60, UTC))
    world.client.v1.subscriptions.cancel(stripe_id)
    mended(world, remembered)
    assert world.subscription(stripe_id)["status"] == "canceled"


def test_a_period_that_was_renewed_at_stripe_is_renewed_and_billed(
    world: World, prices: dict[str, str], remembered: bool
) -> None:
    stripe_id = world.subscribed(prices["small"])
    before = world.subscription(stripe_id)["current_period_end"]
    world.fake.move_clock(datetime.fromtimestamp(world.fake.now.timestamp() + 32 * 86_400, UTC))
    mended(world, remembered)
    assert world.subscription(stripe_id)["current_period_start"] == before
    assert len(fetch_all(world.db, "SELECT id FROM invoices WHERE kind = 'stripe' AND status = 'paid'")) == 2


def test_missed_events_are_taken_in_the_order_in_which_they_happened(world: World) -> None:
    _, theirs = world.collected()
    for seconds in (10, 20):
        world.fake.move_clock(datetime.fromtimestamp(world.fake.now.timestamp() + seconds, UTC))
        if seconds == 20:
            world.pay(theirs)
    _, answer = world.reconcile()
    told = [step["object_id"] for step in answer["steps"] if step["kind"] == "event"]
    happened = {event["id"]: event["created"] for event in world.fake.events}
    assert [happened[one] for one in told] == sorted(happened[one] for one in told)
    assert len(told) == len(set(told))
    assert len(told) > 2


def test_a_second_invoice_for_one_of_ours_is_left_for_somebody_to_look_at(world: World) -> None:
    ours, theirs = world.collected()
    twin = world.send(ours)
    world.forget_events()
    code, answer = world.reconcile()
    assert code == 1
    [step] = answer["steps"]
    assert (step["object_id"], step["result"]) == (twin, "left")
    assert f"a second one for {ours.number}, which is {theirs}" in step["sentence"]
    assert world.reconcile() == (1, answer)


def test_what_was_paid_here_and_stripe_still_asks_for_is_left_unless_it_is_about_to_be_told(world: World) -> None:
    ours, theirs = world.collected()
    world.forget_events()
    payments.record_payment(world.db, NOW, SETTINGS, 1, ours.number, amount_cents=1_000)
    assert world.reconcile()[0] == 0  # a job is on its way
    with atomic(world.db):
        execute(world.db, "UPDATE billing_jobs SET state = 'dead'")
    code, answer = world.reconcile()
    [step] = answer["steps"]
    assert (code, step["object_id"]) == (1, theirs)
    assert f"{ours.number}: 200 cents are due here, and Stripe asks for 1200" in step["sentence"]


def test_what_stripe_does_not_know_is_left(world: World) -> None:
    ours, theirs = world.collected()
    world.forget_events()
    with world.fake.world.lock:
        del world.fake.world.objects[theirs]
    code, answer = world.reconcile()
    assert (code, [step["sentence"] for step in answer["steps"]]) == (1, [f"{ours.number}: Stripe does not know it"])


def test_a_subscription_that_goes_on_at_stripe_though_it_has_ended_here_is_left(
    world: World, prices: dict[str, str]
) -> None:
    stripe_id = world.subscribed(prices["small"])
    with atomic(world.db):
        execute(world.db, "UPDATE saas_subscriptions SET status = 'canceled', ended_at = '2026-05-20T10:00:00Z'")
    code, answer = world.reconcile()
    [step] = answer["steps"]
    assert (code, step["object_id"], step["result"]) == (1, stripe_id, "left")


def test_what_the_key_may_not_read_is_told(world: World, make_app: Callable[..., Flask]) -> None:
    world.fake.refused_permissions = {"refunds:read"}
    settings = {**settings_of(world.fake), "STRIPE_SECRET_KEY": "rk_test_of_the_tests"}
    world.app = make_app(**SELLER, **settings)
    world.forget_events()
    code, answer = world.reconcile()
    assert (code, answer["unread"], answer["steps"]) == (1, ["refunds"], [])


def test_without_stripe_or_with_a_stripe_that_does_not_answer_it_is_refused(
    world: World, make_app: Callable[..., Flask]
) -> None:
    world.fake.down = True
    result = world.app.test_cli_runner().invoke(billing_bp.cli, ["reconcile"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"({world.fake.url}) does not do it now: unreachable" in result.stderr
    world.fake.down = False
    world.fake.key = "sk_test_the_right_one"
    result = world.app.test_cli_runner().invoke(billing_bp.cli, ["reconcile"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"({world.fake.url}) refuses: " in result.stderr
    assert "Invalid API Key" in result.stderr
    result = make_app(BILLING_LOCALE="en").test_cli_runner().invoke(billing_bp.cli, ["reconcile"])
    assert (result.exit_code, result.stderr) == (1, "Error: Stripe is not configured here.\n")


def test_a_person_reads_lines(world: World) -> None:
    ours, theirs = world.collected()
    world.pay(theirs)
    world.forget_events()
    result = world.app.test_cli_runner().invoke(billing_bp.cli, ["reconcile", "--dry-run"])
    assert result.exit_code == 0
    invoice, payment, told = result.stdout.splitlines()
    assert invoice == f"would be mended  invoice {theirs}: {ours.number} is open here, paid there"
    assert payment.startswith("would be mended  payment inpay_")
    assert told == "2 would be mended, 0 left to be looked at"
    world.reconcile()
    result = world.app.test_cli_runner().invoke(billing_bp.cli, ["reconcile"])
    assert (result.exit_code, result.stdout) == (0, "all of it agrees\n")
