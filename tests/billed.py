"""Two months of a user who does all that can be billed, issued by the run: for tests of what is proved and explained.

Alice, April 2026: Ten with 10 % off, from the 16th on Big; 300 calls before and 900 after it, 250 reports. In May 30
calls of April and that 150 of the reports were none become known; she pays 60.00 for April, and is given 12.00 back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing_db import Connection
from tests.cast import Cast, Person
from turf_saas import catalogue, credit_notes, discounts, issuing, payments, refunds, usage
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.plans import PlanLimit
from turf_saas.prices import Price, Tier
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import Wish, change_plan
from turf_saas.subscriptions import find_live
from turf_saas.users import User
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused", "BILLING_ENV": "testing", "BILLING_LOCALE": "en", **SELLER})
APRIL, MAY, JUNE = Month(2026, 4), Month(2026, 5), Month(2026, 6)
TIERS = tuple(Tier(None if up_to is None else Decimal(up_to), Decimal(each)) for up_to, each in (
    (100, "0.10"), (1000, "0.05"), (None, "0.02"),
))  # fmt: skip
TEN = PlanDraft(
    "ten", "Ten", 1_000, "EUR",
    limits={"api_calls": PlanLimit(100, "soft")}, prices=(Price("api_calls", "tiered", tiers=TIERS),),
)  # fmt: skip
BIG = PlanDraft(
    "big", "Big", 2_500, "EUR",
    limits={"api_calls": PlanLimit(1_000, "soft")},
    prices=(
        Price("api_calls", "flat", unit_amount=Decimal("0.01")),
        Price("reports", "package", package_size=100, package_cents=500),
    ),
)  # fmt: skip


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def begin(db: Connection, person: Person, plan: str, when: datetime, **given: Any) -> None:
    subscribe(db, when, SETTINGS, User(person.id, person.tenant_id, "user"), plan, **given)


def event(db: Connection, person: Person, metric: str, quantity: int, of: datetime, now: datetime | None = None) -> str:
    new = usage.NewEvent(person.id, person.tenant_id, metric, quantity, of)
    return usage.record_event(db, now or of, SETTINGS, new).id


def sell(db: Connection) -> None:
    """The plans of the story, in both tenants, and a code."""
    for tenant_id in (1, 2):
        for draft in (TEN, BIG):
            catalogue.create_plan(db, at(1, 1), tenant_id, draft)
    discounts.create_discount(db, at(1, 1), 1, code="TENTH", percent="10", duration="once")


def use_april(db: Connection, people: Cast) -> str:
    """The month, not billed yet. Gives back the event of the reports."""
    sell(db)
    alice = people.alice
    begin(db, alice, "ten", at(4, 1), discount_code="TENTH")
    begin(db, people.charlie, "ten", at(4, 1))
    people.bob.has_used(5, day="2026-04-02")
    alice.has_used(300, day="2026-04-10")
    live = find_live(db, alice.id)
    assert live is not None
    change_plan(db, at(4, 16), SETTINGS, live, Wish("big"))
    reports = event(db, alice, "reports", 250, at(4, 20))
    alice.has_used(900, day="2026-04-20")
    return reports


def bill(db: Connection, people: Cast) -> None:
    """All of the story: four documents of Alice, two of Charlie, and a month of Bob without one."""
    reports = use_april(db, people)
    issue(db, at(5, 1, 3))
    people.alice.has_used(30, day="2026-04-30")
    payments.record_payment(db, at(5, 5), SETTINGS, 1, "FACT-202605-0001", amount_cents=6_000)
    usage.correct_event(db, at(5, 10), SETTINGS, 1, reports, -150)
    issue(db, at(6, 1, 3))
    credit_notes.credit_invoice(db, at(6, 2), SETTINGS, 1, "FACT-202605-0001", amount_cents=1_200, reason="gift")
    refunds.refund(db, at(6, 3), SETTINGS, 1, 1, amount_cents=500)


def issue(db: Connection, now: datetime) -> None:
    for tenant_id in (1, 2):
        report = issuing.run(db, now, SETTINGS, tenant_id)
        assert not report.failed
