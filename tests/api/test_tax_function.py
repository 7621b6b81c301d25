"""The tax function of docs/invoices.md, run as it stands there; and what of a bad answer is told over HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from api_v1 import Billing
from billing_db import Connection
from tests.api.invoicing import Office, at, begin
from tests.cast import SECRET, Cast
from tests.domain.issuing import flat, sell
from tests.house.sources import ROOT
from turf_saas import profiles
from turf_saas.buyer import Buyer
from turf_saas.demo import SELLER

GERMAN = Buyer("pro", "Bob GmbH", country="DE", vat_id="DE136695976")


@pytest.fixture
def app(url: str, db: Connection) -> Flask:
    app = Flask("taxed")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, **SELLER)
    return app


def office_of(app: Flask, db: Connection, month: int = 7, day: int = 1) -> Office:
    office = Office(app.test_client(), db)
    office.it_is(month, day)
    return office


def documented() -> str:
    """The code below "A tax function of your own"."""
    text = (ROOT / "docs" / "invoices.md").read_text(encoding="utf-8").split("### A tax function of your own\n")[1]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    return code[1]


def test_the_documented_tax_function_decides_line_by_line_or_for_all(app: Flask, db: Connection, people: Cast) -> None:
    exec(documented(), {"app": app})
    office = office_of(app, db)
    sell(db, "shop", 1_000, flat("books", "2.00"))
    for person in (people.alice, people.bob):
        begin(db, person, "shop", 6)
        person.has_used(5, "books", day="2030-06-20")
    profiles.set_profile(db, at(6, 2), people.bob.id, 1, GERMAN)
    found: list[Any] = []
    for person in (people.alice, people.bob):
        reply = office.post(people.ada, f"/generate/{person.id}")
        assert reply.status_code == 201, reply.data
        found.append([(tax["category"], tax["vat_rate"], tax["tax_cents"]) for tax in reply.json["taxes"]])
    assert [sorted(taxes) for taxes in found] == [[("S", "20", 200), ("S", "5.5", 55)], [("AE", "0", 0)]]


def test_a_bad_answer_is_a_conflict_that_names_the_function_and_the_fault(
    app: Flask, db: Connection, people: Cast
) -> None:
    def our_vat(_seller: Any, _buyer: Any, lines: Any, _on: Any) -> Any:
        return [{"category": "S", "rate": 0.2} for _ in lines]

    Billing(app, tax=our_vat)
    office = office_of(app, db, 6, 20)
    begin(db, people.alice, "premium", 6)
    said = (
        "The app's tax function our_vat failed (/0/rate: Invalid number. "
        'Write a decimal number as a text: "0.0004"): the invoice waits for the next run.'
    )
    upcoming = office.get(people.alice, "/upcoming")
    assert (upcoming.status_code, upcoming.json["code"], upcoming.json["error"]) == (409, "tax_failed", said)
    assert [(fault["loc"], fault["code"]) for fault in upcoming.json["errors"]] == [("/0/rate", "decimal_invalid")]
    office.it_is(7, 1)
    refused = office.post(people.ada, f"/generate/{people.alice.id}")
    assert (refused.status_code, refused.json["error"]) == (409, said)
    [failed] = office.post(people.ada, "/run").json["failed"]
    assert (failed["code"], failed["error"]) == ("tax_failed", said)


def test_what_an_exception_says_stays_in_the_log(
    app: Flask, db: Connection, people: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    class Service:
        def __call__(self, *_given: Any) -> Any:
            raise ConnectionError("https://tax.example/?key=secret")

    Billing(app, tax=Service())
    office = office_of(app, db)
    begin(db, people.alice, "premium", 6)
    refused = office.post(people.ada, f"/generate/{people.alice.id}")
    assert refused.json["error"] == (
        "The app's tax function Service failed (ConnectionError): the invoice waits for the next run."
    )
    assert "key=secret" in caplog.text
