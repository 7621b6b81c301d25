"""Invoices that are collected at the loopback Stripe: issued by the register, sent by the worker over a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api_v1.stripe_fake import StripeFake
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Person
from tests.domain.working import Clock
from tests.issued import ISSUED_AT, document
from tests.stripe import KEY, client_of
from turf_saas import account_credit, gateway_invoices, invoice_register, invoices, jobs, stripe_inbox
from turf_saas.invoices import Invoice
from turf_saas.job_kinds import KINDS
from turf_saas.settings import Settings, read_settings
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.working import Around, Ran, run_stored

SOON = ISSUED_AT + timedelta(minutes=1)


def settings_for(fake: StripeFake, **given: str) -> Settings:
    return read_settings(
        {
            "TURF_SAAS_DB": "unused",
            "BILLING_ENV": "testing",
            "STRIPE_SECRET_KEY": KEY,
            "BILLING_STRIPE_API_BASE": fake.url,
            **given,
        }
    )


def issue(
    db: Connection,
    settings: Settings,
    user: Person,
    *lines: int | dict[str, Any],
    now: datetime = ISSUED_AT,
    **given: Any,
) -> Invoice:
    """As the run does it: account credit has paid its part, and the rest is to be collected."""
    with atomic(db):
        invoice_register.hold_register(db, user.tenant_id)
        issued = invoice_register.issue(db, now, settings, user.tenant_id, [document(user, *lines, **given)])
        paid = account_credit.apply(db, now, user.tenant_id, issued)
        gateway_invoices.enqueue_issued(db, now, settings, user.tenant_id, issued, paid)
    return invoices.get_by_id(db, issued[0].id)


class Collector:
    """A worker that talks to the fake. What it tells the host is kept."""

    def __init__(self, db: Connection, fake: StripeFake, now: datetime = SOON) -> None:
        self.db, self.fake, self.clock = db, fake, Clock(now)
        self.settings = settings_for(fake)
        self.stripe = StripeGateway(KEY, fake.url, retries=0)
        self.notices: list[Any] = []
        self._heard = 0

    def work(self, **given: Any) -> Ran:
        """All that is due now."""
        around = Around(self.settings, gateway=self.stripe, stripe=self.stripe, noticed=self.notices.extend)
        return run_stored(self.db, self.clock, around, KINDS, **given)

    def hear(self) -> list[str]:
        """What Stripe has told since is applied, in order; each type with what became of it."""
        events, said = self.fake.events[self._heard :], []
        self._heard += len(events)
        for event in events:
            done = stripe_inbox.receive(
                self.db, self.clock(), self.settings, stripe_inbox.event_of(event), json.dumps(event)
            )
            self.notices += done.notices
            said.append(f"{event['type']} {done.result}")
        return said

    def work_through(self, hours: float = 1) -> Ran:
        """The same after so much time, when what had failed is due again."""
        self.clock.pass_(hours=hours)
        return self.work()

    def at_stripe(self) -> list[Mapping[str, Any]]:
        """Its invoices, the oldest first."""
        found = [one for one in self.fake.objects.values() if one["object"] == "invoice"]
        return sorted(found, key=lambda one: (one["created"], one["metadata"].get("local_invoice_id", "")))

    def row(self, invoice: Invoice) -> gateway_invoices.GatewayInvoice:
        found = gateway_invoices.find(self.db, invoice.id)
        assert found is not None
        return found

    def errors(self) -> list[str]:
        return [job.last_error for job in jobs.list_jobs(self.db) if job.last_error]

    def give_card(self, user: Person, card: str = "pm_card_visa") -> str:
        """The user has a default card at Stripe, and we know of it."""
        return _customer(self.db, self.fake, user, card)


def _customer(db: Connection, fake: StripeFake, user: Person, card: str) -> str:
    client = client_of(fake)
    customer = client.v1.customers.create({"email": "alice@example.com"})
    attached = client.v1.payment_methods.attach(card, {"customer": customer.id})
    client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": attached.id}})
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_accounts (user_id, tenant_id, stripe_customer_id, stripe_payment_method_id)
               VALUES (:user_id, :tenant_id, :customer, :card)
               ON CONFLICT (user_id) DO UPDATE SET stripe_customer_id = excluded.stripe_customer_id,
                                                   stripe_payment_method_id = excluded.stripe_payment_method_id""",
            user_id=user.id,
            tenant_id=user.tenant_id,
            customer=customer.id,
            card=attached.id,
        )
    return str(attached.id)


def calls(db: Connection, **given: Any) -> list[str]:
    """The steps that were written down, with version and status."""
    rows = fetch_all(db, "SELECT step, version, status FROM billing_stripe_calls ORDER BY id")
    return [f"{row['step']} v{row['version']} {row['status']}" for row in rows]
