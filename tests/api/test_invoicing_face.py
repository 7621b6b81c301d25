"""Invoices in Python, and the signal that tells the host of each: what is committed, once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from flask import Flask

import billing_db
from api_v1 import Billing
from api_v1.signals import invoice_issued
from billing_db import Connection, fetch_one
from tests.api.invoicing import Office, begin
from tests.api.test_subscribing_face import lent
from tests.cast import SECRET, Cast, Person
from turf_saas.demo import SELLER
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.invoices import Invoice
from turf_saas.values import Month


@pytest.fixture
def app(url: str, people: Cast) -> Flask:
    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, **SELLER)
    return app


@pytest.fixture
def billing(app: Flask, db: Connection, alice: Person) -> Billing:
    """It is 1 July, and Alice has a fee of June."""
    billing = Billing(app)
    begin(db, alice, "premium", 6)
    Office(app.test_client(), db).it_is(7, 1)
    return billing


@pytest.fixture
def told(db: Connection) -> Iterator[list[tuple[str, int]]]:
    """The number that was said, and how many invoices everybody could read at that moment."""
    heard: list[tuple[str, int]] = []

    def receive(_: Flask, invoice: Invoice) -> None:
        heard.append((invoice.number, fetch_one(db, "SELECT COUNT(*) AS n FROM invoices")["n"]))

    invoice_issued.connect(receive)
    yield heard
    invoice_issued.disconnect(receive)


def test_a_month_is_issued_once(billing: Billing, alice: Person, told: list[Any]) -> None:
    issued = billing.generate_monthly_invoice(alice.id, "2030-06")
    assert issued is not None
    assert (issued.number, issued.amount_cents, len(issued.lines)) == ("FACT-203007-0001", 2_280, 1)
    assert billing.generate_monthly_invoice(alice.id) == issued
    assert told == [("FACT-203007-0001", 1)]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2030-06-01T00:00:00Z", "2030-07-01T00:00:00Z"),
        ("2030-06-01", "2030-06-30"),
        (date(2030, 6, 1), date(2030, 7, 1)),
        (datetime(2030, 6, 1, tzinfo=UTC), datetime(2030, 7, 1, tzinfo=UTC)),
    ],
)
def test_a_period_is_a_month_by_its_bounds(billing: Billing, bob: Person, start: Any, end: Any) -> None:
    assert billing.generate_monthly_invoice(bob.id, period_start=start, period_end=end) is None  # nothing to bill


def test_what_is_no_month_of_a_user_is_refused(billing: Billing, alice: Person) -> None:
    for given in (
        {"month": "2030-13"},
        {"month": 6},
        {"period_start": "2030-06-01"},
        {"period_end": "2030-07-01"},
        {"period_start": "2030-06-02", "period_end": "2030-07-01"},
        {"period_start": "2030-06-01", "period_end": "2030-07-02"},
        {"period_start": "2030-06-01T00:00:00", "period_end": "2030-07-01T00:00:00"},
        {"period_start": "2030-06-01T00:00:01Z", "period_end": "2030-07-01T00:00:00Z"},
        {"period_start": "June", "period_end": "July"},
        {"month": "2030-06", "period_start": "2030-06-01", "period_end": "2030-07-01"},
    ):
        with pytest.raises(InvalidInput):
            billing.generate_monthly_invoice(alice.id, **given)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="period_open"):
        billing.generate_monthly_invoice(alice.id, Month(2030, 7))
    with pytest.raises(NotFound):
        billing.generate_monthly_invoice("x", "2030-06")


def test_lent_a_connection_it_belongs_to_the_hosts_transaction(
    app: Flask, billing: Billing, db: Connection, url: str, alice: Person, told: list[Any]
) -> None:
    @app.post("/close/<what>")
    def close(what: str) -> str:
        with lent(url) as given:
            billing.generate_monthly_invoice(alice.id, "2030-06", db=given)
            given.commit() if what == "keep" else given.rollback()
        return "done"

    client = app.test_client()
    assert client.post("/close/undo").status_code == 200
    assert (told, fetch_one(db, "SELECT COUNT(*) AS n FROM invoices")["n"]) == ([], 0)
    assert client.post("/close/keep").status_code == 200
    assert told == [("FACT-203007-0001", 1)], "the number that was taken back is drawn again"


def test_each_invoice_of_a_run_is_told_once(
    billing: Billing, app: Flask, db: Connection, people: Cast, told: list[Any]
) -> None:
    begin(db, people.bob, "pro", 6)
    office = Office(app.test_client(), db)
    assert "would issue 2," in app.test_cli_runner().invoke(args=["billing", "invoice", "--due", "--dry-run"]).output
    assert told == []
    for _ in range(2):
        assert office.post(people.ada, "/run").status_code == 200
        assert app.test_cli_runner().invoke(args=["billing", "invoice", "--due"]).exit_code == 0
    assert told == [("FACT-203007-0001", 2), ("FACT-203007-0002", 2)]
    assert office.post(people.ada, f"/generate/{people.bob.id}").status_code == 200
    assert len(told) == 2


def test_a_run_inside_a_block_that_is_taken_back_is_not_told(
    app: Flask, billing: Billing, url: str, db: Connection, ada: Person, told: list[Any]
) -> None:
    with pytest.raises(ZeroDivisionError), billing_db.atomic(billing_db.get_db(url)):  # noqa: PT012
        Office(app.test_client(), db).post(ada, "/run")
        raise ZeroDivisionError
    assert told == []


def test_a_receiver_that_fails_fails_nobody(
    billing: Billing, alice: Person, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def receive(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    invoice_issued.connect(receive)
    try:
        assert billing.generate_monthly_invoice(alice.id, "2030-06") is not None
    finally:
        invoice_issued.disconnect(receive)
    assert "ZeroDivisionError" in caplog.text
