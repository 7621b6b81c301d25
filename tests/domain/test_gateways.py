"""Who collects: nobody, Stripe, a host's own service, or the one that plays it in a host's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing, signals
from billing_db import Connection, fetch_all
from tests.cast import SECRET, Cast, Person
from tests.collected import issue
from tests.domain.issuing import APRIL, at, begin, sell, settings_with
from tests.issued import owed
from turf_saas import gateway_invoices, invoices, issuing, jobs, payments
from turf_saas.doctor_collecting import examine_collecting
from turf_saas.errors import SettingsError
from turf_saas.gateway_choice import choose, name_of
from turf_saas.gateways import Collected, FakeGateway, GatewayDown, GatewayRefused, ManualGateway
from turf_saas.invoices import Invoice
from turf_saas.stripe_gateway import StripeGateway

KEY = "sk_test_of_nobody"


@pytest.fixture
def host(url: str) -> Callable[..., Flask]:
    """A host that hands in a gateway."""

    def make(gateway: Any, **config: Any) -> Flask:
        app = Flask("host")
        app.config.update({"TESTING": True, "TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, **config})
        Billing(app, gateway=gateway)
        return app

    return make


@contextmanager
def heard(signal: Any) -> Iterator[list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    def receive(_app: Flask, **about: Any) -> None:
        told.append(about)

    signal.connect(receive)
    yield told
    signal.disconnect(receive)


def collect(app: Flask, db: Connection, user: Person) -> Invoice:
    """An invoice of 12.00, and what the host's gateway has made of it."""
    billing = app.extensions["billing"]
    invoice = issue(db, billing.settings, user, 1_000)
    while billing.process_one():
        continue
    return invoices.get_by_id(db, invoice.id)


def row(db: Connection, invoice: Invoice) -> gateway_invoices.GatewayInvoice:
    found = gateway_invoices.find(db, invoice.id)
    assert found is not None
    return found


def test_money_that_is_noted_by_hand_leaves_no_trace_of_a_gateway(
    host: Callable[..., Flask], db: Connection, alice: Person
) -> None:
    invoice = collect(host("manual", STRIPE_SECRET_KEY=KEY), db, alice)
    assert (invoice.status, gateway_invoices.find(db, invoice.id), jobs.list_jobs(db)) == ("pending", None, [])


def test_the_fake_gateway_pays_at_once(host: Callable[..., Flask], db: Connection, alice: Person) -> None:
    gateway = FakeGateway()
    with heard(signals.invoice_paid) as told:
        invoice = collect(host(gateway), db, alice)
    assert (invoice.status, row(db, invoice).status, gateway.synced) == ("paid", "paid", [invoice.number])
    (payment,) = payments.list_payments(db, 1)
    assert (payment.amount_cents, payment.gateway) == (1_200, "fake")
    assert [about["invoice"].number for about in told] == [invoice.number]
    assert owed(db, alice) == 0


def test_the_fake_gateway_declines_when_it_is_told_to(
    host: Callable[..., Flask], db: Connection, alice: Person
) -> None:
    with heard(signals.payment_failed) as told:
        invoice = collect(host(FakeGateway(declines="insufficient_funds")), db, alice)
    assert (invoice.status, row(db, invoice).status) == ("pending", "open")
    assert [about["attempt"].code for about in told] == ["insufficient_funds"]


def test_a_function_is_gateway_enough(host: Callable[..., Flask], db: Connection, alice: Person) -> None:
    given = []

    def sync(invoice: Invoice, lines: Any) -> str:
        given.append((invoice.number, sum(line.net_cents for line in lines)))
        return "acme-17"

    invoice = collect(host(sync), db, alice)
    assert given == [(invoice.number, 1_000)]
    found = row(db, invoice)
    assert (found.gateway, found.provider_id, found.status) == ("host", "acme-17", "open")


def test_what_a_host_cannot_do_is_tried_again_or_parked(
    host: Callable[..., Flask], db: Connection, alice: Person
) -> None:
    class Acme:
        name = "stripe"  # which it is not
        errors = iter((GatewayDown("busy"), ValueError("oops"), GatewayRefused("closed", "sk_live_abc is closed")))

        def sync(self, _invoice: Invoice, _lines: Any) -> Collected:
            raise next(self.errors)

    app = host(Acme())
    invoice = collect(app, db, alice)
    (job,) = jobs.list_jobs(db)
    assert (job.state, row(db, invoice).gateway) == ("retryable", "host")
    for state in ("retryable", "dead"):
        jobs.retry(db, at(1, 1), job.id)
        app.extensions["billing"].process_one()
        assert jobs.get_job(db, job.id).state == state
    found = row(db, invoice)
    assert (found.status, found.last_error) == ("parked", "closed: … is closed")
    assert levels(db) == ["error"]
    payments.record_payment(db, at(1, 1), app.extensions["billing"].settings, 1, invoice.number, amount_cents=1_199)
    app.extensions["billing"].process_one()
    assert (row(db, invoice).status, levels(db)) == ("parked", ["error"])
    payments.record_payment(db, at(1, 1), app.extensions["billing"].settings, 1, invoice.number, amount_cents=1)
    app.extensions["billing"].process_one()
    assert (row(db, invoice).status, levels(db)) == ("skipped", ["ok"])


def levels(db: Connection) -> list[str]:
    """What the doctor says of what is collected."""
    found = examine_collecting(db, at(1, 1))
    return [found.level] if found is not None else []


def test_production_refuses_the_fake_and_a_name_that_it_does_not_know(host: Callable[..., Flask]) -> None:
    production = {"TESTING": False, "BILLING_ENV": "production"}
    for given in ("fake", FakeGateway()):
        with pytest.raises(SystemExit):
            host(given, **production)
    with pytest.raises(SystemExit):
        host("stripe")  # without a key
    for nonsense in ("paypal", 17, object()):
        with pytest.raises(TypeError):
            host(nonsense)


def test_nothing_given_is_stripe_where_there_is_a_key(host: Callable[..., Flask]) -> None:
    names = []
    for given, config in ((None, {}), (None, {"STRIPE_SECRET_KEY": KEY}), ("manual", {"STRIPE_SECRET_KEY": KEY})):
        billing = host(given, **config).extensions["billing"]
        names.append((billing.settings.gateway, name_of(billing.gateway), billing.stripe is not None))
    assert names == [("manual", "manual", False), ("stripe", "stripe", True), ("manual", "manual", True)]
    with pytest.raises(SettingsError):
        choose(settings_with(), "stripe")
    assert isinstance(choose(settings_with(), None), ManualGateway)
    assert KEY not in repr(StripeGateway(KEY))


def test_a_run_has_each_invoice_collected_and_a_rehearsal_none(db: Connection, people: Cast) -> None:
    settings = settings_with(STRIPE_SECRET_KEY=KEY)
    sell(db, "ten", 1_000)
    for person in (people.alice, people.bob):
        begin(db, person, "ten", at(4, 1), settings=settings)
    payments_before = issuing.run(db, at(5, 1, 1), settings, 1, APRIL, dry_run=True)
    assert (payments_before.issued, collected(db)) == (2, [])
    issuing.run(db, at(5, 1, 1), settings, 1, APRIL)
    assert collected(db) == [("waiting", 1_200), ("waiting", 1_200)]
    stored = jobs.list_jobs(db)
    assert [job.name for job in stored] == ["billing.collect_invoice"] * 2
    assert {job.max_attempts for job in stored} == {jobs.PATIENT}


def collected(db: Connection) -> list[tuple[str, int]]:
    rows = fetch_all(db, "SELECT status, amount_cents FROM billing_gateway_invoices ORDER BY invoice_id")
    return [(row["status"], row["amount_cents"]) for row in rows]
