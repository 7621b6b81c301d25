"""POST /invoices/<number>/credit-notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from api_v1.signals import invoice_issued
from billing_db import Connection, fetch_all
from tests.api.invoicing import Office
from tests.cast import Cast, Person
from tests.issued import issue_one, line

MISSING = {"error": "There is no such invoice.", "code": "invoice_not_found"}


@pytest.fixture
def office(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Office:
    office = Office(make_app().test_client(), db)
    office.it_is(5, 20)
    return office


@pytest.fixture
def twelve(db: Connection, alice: Person) -> str:
    """The number of an invoice of 10.00 + 2.00."""
    return issue_one(db, alice, 1_000).number


def credit(office: Office, person: Person, number: str, body: Any = None, **headers: str) -> Any:
    return office.post(person, f"/{number}/credit-notes", body, **headers)


def test_three_thirds_of_twelve_euros(office: Office, alice: Person, ada: Person, twelve: str) -> None:
    """3.33 + 0.67, 3.33 + 0.67, and 3.34 + 0.66: what is left."""
    replies = [credit(office, ada, twelve, {"amount_cents": 400, "reason": "Outage"}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [201, 201, 201]
    notes = [reply.json for reply in replies]
    assert [(note["net_cents"], note["tax_cents"], note["amount_cents"]) for note in notes] == [
        (-333, -67, -400),
        (-333, -67, -400),
        (-334, -66, -400),
    ]
    assert [(note["kind"], note["credited_number"], note["reason"]) for note in notes] == [
        ("credit_note", twelve, "Outage")
    ] * 3
    invoice = office.get(alice, f"/{twelve}").json
    assert (invoice["status"], invoice["credited_cents"], invoice["due_cents"]) == ("cancelled", 1_200, 0)
    assert office.numbers(alice) == [note["number"] for note in reversed(notes)] + [twelve]
    reply = credit(office, ada, twelve, {"amount_cents": 1})
    assert (reply.status_code, reply.json["code"]) == (409, "nothing_left_to_credit")


def test_nothing_said_credits_all_that_is_left(office: Office, ada: Person, twelve: str) -> None:
    credit(office, ada, twelve, {"amount_cents": 500})
    assert credit(office, ada, twelve).json["amount_cents"] == -700


def test_lines_are_named_by_their_position(office: Office, db: Connection, alice: Person, ada: Person) -> None:
    number = issue_one(db, alice, 1_000, line(2_000, "5.5", description="Book")).number
    note = credit(office, ada, number, {"lines": [{"position": 2, "net_cents": 500}, {"position": 1}]}).json
    assert [(one["description"], one["net_cents"], one["vat_rate"]) for one in note["lines"]] == [
        (f"Credit on invoice {number}: Book", -500, "5.5"),
        (f"Credit on invoice {number}: Pro subscription", -1_000, "20"),
    ]
    assert (note["net_cents"], note["tax_cents"]) == (-1_500, -228)
    assert note["lines"][0]["unit_amount"] == "-5.00"


def test_more_than_is_left_is_refused_and_says_how_much_that_is(office: Office, ada: Person, twelve: str) -> None:
    credit(office, ada, twelve, {"amount_cents": 400})
    reply = credit(office, ada, twelve, {"amount_cents": 801})
    assert (reply.status_code, reply.json) == (
        409,
        {"error": "Only 800 cents, VAT included, are left to credit.", "code": "credit_too_large", "left_cents": 800},
    )


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Only 600 cents net are left to credit of line 1."),
        ("fr", "Il ne reste que 600 centimes hors taxe à créditer de la ligne 1."),
    ],
)
def test_more_than_is_left_of_a_line_names_it_and_says_that_it_is_net(
    office: Office, ada: Person, twelve: str, language: str, said: str
) -> None:
    credit(office, ada, twelve, {"lines": [{"position": 1, "net_cents": 400}]})
    body = {"lines": [{"position": 1, "net_cents": 601}]}
    reply = office.post(ada, f"/{twelve}/credit-notes", body, **{"Accept-Language": language})
    assert (reply.status_code, reply.json) == (409, {"error": said, "code": "credit_too_large", "left_cents": 600})


def test_a_fee_without_its_discount_is_more_than_its_rate_has_left(
    office: Office, db: Connection, alice: Person, ada: Person
) -> None:
    number = issue_one(db, alice, 1_000, line(-250)).number
    reply = credit(office, ada, number, {"lines": [{"position": 1}]})
    said = "Only 750 cents net are left to credit of what is taxed at 20 %."
    assert (reply.status_code, reply.json) == (409, {"error": said, "code": "credit_too_large", "left_cents": 750})


@pytest.mark.parametrize(
    ("body", "loc", "code"),
    [
        ({"amount_cents": 0}, "/amount_cents", "field_range"),
        ({"amount_cents": 2**53 + 1}, "/amount_cents", "field_range"),
        ({"amount_cents": "4"}, "/amount_cents", "field_type"),
        ({"lines": []}, "/lines", "field_length"),
        ({"lines": [{"position": 0}]}, "/lines/0/position", "field_range"),
        ({"lines": [{"net_cents": 1}]}, "/lines/0/position", "field_missing"),
        ({"reason": "a\nb"}, "/reason", "field_control"),
        ({"reason": " "}, "/reason", "field_format"),
        ({"reason": "x" * 501}, "/reason", "field_length"),
        ({"amount": 4}, "/amount", "field_unknown"),
    ],
)
def test_a_body_that_cannot_be_is_named(
    office: Office, ada: Person, twelve: str, body: dict[str, Any], loc: str, code: str
) -> None:
    reply = credit(office, ada, twelve, body)
    assert reply.status_code == 422
    assert [(fault["loc"], fault["code"]) for fault in reply.json["errors"]] == [(loc, code)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount_cents": 1, "lines": [{"position": 1}]}, "credit_amount_or_lines"),
        ({"lines": [{"position": 2}]}, "credit_line_unknown"),
        ({"lines": [{"position": 1}, {"position": 1}]}, "credit_lines_invalid"),
        ({"lines": [{"position": 1, "net_cents": 0}]}, "credit_invalid"),
    ],
)
def test_so_is_what_does_not_fit_the_invoice(
    office: Office, ada: Person, twelve: str, body: dict[str, Any], code: str
) -> None:
    reply = credit(office, ada, twelve, body)
    assert (reply.status_code, reply.json["code"]) == (422, code)


def test_an_admin_of_the_same_tenant_credits_and_nobody_else(
    office: Office, people: Cast, twelve: str, db: Connection
) -> None:
    assert credit(office, people.alice, twelve).status_code == 403
    missing = credit(office, people.ada, "FACT-202605-9999")
    foreign = credit(office, people.dora, twelve)
    assert (missing.status_code, missing.json) == (foreign.status_code, foreign.json) == (404, MISSING)
    assert len(fetch_all(db, "SELECT id FROM invoices")) == 1


def test_a_credit_note_of_a_credit_note_and_of_an_adopted_invoice(
    office: Office, db: Connection, ada: Person, twelve: str
) -> None:
    note = credit(office, ada, twelve).json["number"]
    assert credit(office, ada, note).json["code"] == "credit_note_not_creditable"


def test_sent_again_with_its_key_it_is_the_same_credit_note(office: Office, ada: Person, twelve: str) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = (credit(office, ada, twelve, {"amount_cents": 400}, **key) for _ in range(2))
    assert first.json == again.json
    assert office.get(ada, f"/{twelve}").json["credited_cents"] == 400


def test_whoever_listens_hears_of_it(office: Office, ada: Person, twelve: str) -> None:
    heard = []

    def listen(_app: Any, invoice: Any) -> None:
        heard.append((invoice.kind, invoice.amount_cents))

    invoice_issued.connect(listen)
    try:
        credit(office, ada, twelve, {"amount_cents": 400})
        credit(office, ada, twelve, {"amount_cents": 4_000})
    finally:
        invoice_issued.disconnect(listen)
    assert heard == [("credit_note", -400)]
