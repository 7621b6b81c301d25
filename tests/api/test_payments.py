"""Payments, refunds, one-off items, account credit and the ledger over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from billing_db import Connection, fetch_all
from tests.api.invoicing import PREFIX, SETTINGS, Office, at, begin
from tests.cast import Cast, Person
from tests.issued import issue_one
from turf_saas import invoices, jobs, payments
from turf_saas.demo import SELLER
from turf_saas.subscription_changes import Wish, change_plan

PAYMENT = {"amount_cents": 500, "method": "check", "reference": "CHQ 12", "received_on": "2030-05-19"}
ITEM = {"description": "Setup", "quantity": "1.5", "unit_amount": "120.00"}


class Cashier(Office):
    def ask(self, person: Person, path: str, **query: Any) -> TestResponse:
        return self.client.get(f"{PREFIX}{path}", headers=self._headers(person), query_string=query)

    def send(self, person: Person, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.post(f"{PREFIX}{path}", json=body or {}, headers={**self._headers(person), **headers})

    def remove(self, person: Person, item_id: int) -> TestResponse:
        return self.client.delete(f"{PREFIX}/invoice-items/{item_id}", headers=self._headers(person))

    def pay(self, person: Person, number: str, **body: Any) -> TestResponse:
        return self.send(person, f"/invoices/{number}/payments", {"amount_cents": 500, **body})


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Cashier:
    desk = Cashier(make_app(**SELLER).test_client(), db)
    desk.it_is(5, 20, 10)
    return desk


@pytest.fixture
def twelve(db: Connection, alice: Person) -> str:
    """The number of an invoice of 10.00 + 2.00."""
    return issue_one(db, alice, 1_000).number


def faults(reply: TestResponse) -> list[tuple[str, str]]:
    assert reply.status_code == 422, reply.data
    return [(fault["loc"], fault["code"]) for fault in reply.json["errors"]]


# -- payments --------------------------------------------------------------------------------------


def test_a_payment_says_what_is_due_after_it(desk: Cashier, ada: Person, twelve: str, alice: Person) -> None:
    reply = desk.send(ada, f"/invoices/{twelve}/payments", PAYMENT)
    assert (reply.status_code, reply.json) == (
        201,
        {
            "id": 1,
            "user_id": alice.id,
            "invoice_number": twelve,
            **PAYMENT,
            "currency": "EUR",
            "refunded_cents": 0,
                "gateway": None,
            "created_at": "2030-05-20T10:00:00Z",
            "excess_cents": 0,
            "invoice": {
                "number": twelve, "status": "pending", "amount_cents": 1_200, "paid_cents": 500, "credited_cents": 0,
                "due_cents": 700,
            },
        },
    )  # fmt: skip
    rest = desk.pay(ada, twelve, amount_cents=900).json
    assert (rest["method"], rest["reference"], rest["received_on"]) == ("transfer", None, "2030-05-20")
    assert (rest["excess_cents"], rest["invoice"]["status"], rest["invoice"]["due_cents"]) == (200, "paid", 0)
    assert desk.get(alice, f"/{twelve}").json["paid_at"] == "2030-05-20T10:00:00Z"


def test_what_was_paid_too_much_pays_the_next_invoice(
    desk: Cashier, db: Connection, ada: Person, alice: Person, twelve: str
) -> None:
    """19.00 and 3.80 of VAT, of which 8.00 are there."""
    desk.pay(ada, twelve, amount_cents=2_000)
    begin(db, alice, "premium", 5)
    desk.it_is(6, 1)
    invoice = desk.post(ada, f"/generate/{alice.id}", {"period": "2030-05"}).json
    assert (invoice["amount_cents"], invoice["paid_cents"], invoice["due_cents"]) == (2_280, 800, 1_480)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount_cents": 0}, ("/amount_cents", "field_range")),
        ({"amount_cents": 2**53 + 1}, ("/amount_cents", "field_range")),
        ({"amount_cents": 1.5}, ("/amount_cents", "field_type")),
        ({"method": "shells"}, ("/method", "field_choice")),
        ({"received_on": "2030-02-30"}, ("/received_on", "date_invalid")),
        ({"reference": "\u202e"}, ("/reference", "field_control")),
        ({"currency": "EUR"}, ("/currency", "field_unknown")),
    ],
)
def test_a_payment_that_cannot_be_is_named(
    desk: Cashier, ada: Person, twelve: str, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert faults(desk.pay(ada, twelve, **changes)) == [expected]


def test_no_payment_is_received_tomorrow(desk: Cashier, ada: Person, twelve: str) -> None:
    reply = desk.pay(ada, twelve, received_on="2030-05-21")
    assert (reply.status_code, reply.json["code"]) == (422, "received_in_future")
    assert desk.pay(ada, twelve, received_on="2030-05-20").status_code == 201


def test_no_payment_is_older_than_1970(desk: Cashier, ada: Person, twelve: str) -> None:
    assert faults(desk.pay(ada, twelve, received_on="1969-12-31")) == [("/received_on", "received_too_early")]
    assert desk.pay(ada, twelve, received_on="1970-01-01").status_code == 201


def test_what_takes_no_payment_is_409_and_what_is_not_ones_own_404(desk: Cashier, people: Cast, twelve: str) -> None:
    note = desk.post(people.ada, f"/{twelve}/credit-notes").json["number"]
    for number in (twelve, note):
        reply = desk.pay(people.ada, number)
        assert (reply.status_code, reply.json["code"]) == (409, "invoice_takes_no_payment")
    missing, foreign = desk.pay(people.ada, "FACT-1"), desk.pay(people.dora, twelve)
    assert (missing.status_code, missing.json) == (foreign.status_code, foreign.json)
    assert (missing.status_code, missing.json["code"]) == (404, "invoice_not_found")
    assert desk.pay(people.alice, twelve).status_code == 403


def test_sent_again_with_its_key_it_is_paid_once(desk: Cashier, ada: Person, twelve: str) -> None:
    replies = [desk.send(ada, f"/invoices/{twelve}/payments", PAYMENT, **{"Idempotency-Key": "once"}) for _ in range(2)]
    assert replies[0].json == replies[1].json
    assert len(desk.ask(ada, "/payments").json["items"]) == 1


# -- refunds ---------------------------------------------------------------------------------------


def test_a_refund_beyond_the_account_credit_makes_a_credit_note(desk: Cashier, ada: Person, twelve: str) -> None:
    paid = desk.pay(ada, twelve, amount_cents=1_500).json["id"]
    part = desk.send(ada, f"/payments/{paid}/refund", {"amount_cents": 300}).json
    assert (part["refunded_cents"], part["credit_note"], part["invoice"]["status"]) == (300, None, "paid")
    reply = desk.send(ada, f"/payments/{paid}/refund")
    assert reply.status_code == 200
    rest: dict[str, Any] = reply.json
    assert (rest["refunded_cents"], rest["invoice"]["status"], rest["invoice"]["paid_cents"]) == (1_500, "refunded", 0)
    note = desk.get(ada, f"/{rest['credit_note']}").json
    assert (note["amount_cents"], note["credited_number"], note["reason"]) == (-1_200, twelve, "refund")
    again = desk.send(ada, f"/payments/{paid}/refund")
    assert (again.status_code, again.json["code"], again.json["left_cents"]) == (409, "refund_too_large", 0)


def test_a_refund_of_what_stripe_took_is_pending_until_it_is_sent(
    desk: Cashier, db: Connection, ada: Person, twelve: str
) -> None:
    by_hand = desk.pay(ada, twelve, amount_cents=300).json["id"]
    assert desk.send(ada, f"/payments/{by_hand}/refund").json["refund"] is None
    source = payments.Source("stripe", "in_1", "pi_1", "ch_1")
    invoice = invoices.get_invoice(db, 1, twelve)
    taken = payments.receive(db, at(5, 20, 10), SETTINGS, invoice, source, amount_cents=1_200, method="card")
    assert taken is not None
    reply = desk.send(ada, f"/payments/{taken.payment.id}/refund", {"amount_cents": 1_200}).json
    assert reply["refund"] == {"id": reply["refund"]["id"], "status": "pending", "amount_cents": 1_200}
    assert [job.payload for job in jobs.list_jobs(db)] == [{"refund_id": reply["refund"]["id"]}]


def test_a_refund_that_nothing_covers_does_nothing(
    desk: Cashier, db: Connection, ada: Person, alice: Person, twelve: str
) -> None:
    paid = desk.pay(ada, twelve, amount_cents=1_200).json["id"]
    desk.post(ada, f"/{twelve}/credit-notes", {"amount_cents": 400})
    issue_one(db, alice, 1_000, month="2026-05")
    before = desk.numbers(ada)
    reply = desk.send(ada, f"/payments/{paid}/refund")
    assert (reply.status_code, reply.json["code"], reply.json["left_cents"]) == (409, "refund_not_covered", 800)
    assert "Only 800 cents" in reply.json["error"]
    assert desk.numbers(ada) == before


def test_who_refunds(desk: Cashier, people: Cast, twelve: str) -> None:
    paid = desk.pay(people.ada, twelve).json["id"]
    assert desk.send(people.alice, f"/payments/{paid}/refund").status_code == 403
    missing = desk.send(people.ada, f"/payments/{paid + 1}/refund")
    foreign = desk.send(people.dora, f"/payments/{paid}/refund")
    assert (missing.status_code, missing.json) == (foreign.status_code, foreign.json)
    assert (missing.status_code, missing.json["code"]) == (404, "payment_not_found")


# -- one-off items -----------------------------------------------------------------------------------


def test_an_item_is_on_the_next_invoice(desk: Cashier, ada: Person, alice: Person) -> None:
    reply = desk.send(ada, "/invoice-items", {**ITEM, "user_id": alice.id})
    assert (reply.status_code, reply.json) == (
        201,
        {
            "id": 1,
            "user_id": alice.id,
            "month": "2030-05",
            **ITEM,
            "amount_cents": 18_000,
            "currency": "EUR",
            "created_at": "2030-05-20T10:00:00Z",
        },
    )
    desk.it_is(6, 1)
    invoice = desk.post(ada, f"/generate/{alice.id}").json
    assert [(line["kind"], line["quantity"], line["net_cents"]) for line in invoice["lines"]] == [
        ("item", "1.5", 18_000)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": "0"}, ("/quantity", "field_range")),
        ({"quantity": "0.00001"}, ("/quantity", "decimal_places")),
        ({"quantity": 1.5}, ("/quantity", "decimal_invalid")),
        ({"quantity": "1000000001"}, ("/quantity", "field_range")),
        ({"unit_amount": "-1"}, ("/unit_amount", "field_range")),
        ({"unit_amount": "0.0000000000001"}, ("/unit_amount", "decimal_places")),
        ({"unit_amount": "1000000001"}, ("/unit_amount", "field_range")),
        ({"description": ""}, ("/description", "field_length")),
        ({"description": "a\tb"}, ("/description", "field_control")),
        ({"currency": "QQQ"}, ("/currency", "currency_unknown")),
        ({"currency": "eur"}, ("/currency", "field_format")),
    ],
)
def test_an_item_that_cannot_be_is_named(
    desk: Cashier, ada: Person, alice: Person, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert faults(desk.send(ada, "/invoice-items", {**ITEM, "user_id": alice.id, **changes})) == [expected]


def test_an_item_of_nothing_or_in_another_currency(desk: Cashier, db: Connection, ada: Person, alice: Person) -> None:
    begin(db, alice, "premium", 5)
    nothing = desk.send(ada, "/invoice-items", {**ITEM, "user_id": alice.id, "unit_amount": "0.001"})
    assert (nothing.status_code, nothing.json["code"]) == (422, "item_amount_invalid")
    dollars = desk.send(ada, "/invoice-items", {**ITEM, "user_id": alice.id, "currency": "USD"})
    assert (dollars.status_code, dollars.json["code"]) == (409, "currency_mismatch")
    assert fetch_all(db, "SELECT id FROM billing_pending_items") == []


def test_who_puts_items_on_whose_invoice(desk: Cashier, people: Cast) -> None:
    body = {**ITEM, "user_id": people.alice.id}
    assert desk.send(people.alice, "/invoice-items", body).status_code == 403
    reply = desk.send(people.dora, "/invoice-items", body)
    assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")


def test_items_that_wait_are_listed_newest_first_and_what_is_invoiced_is_not(desk: Cashier, people: Cast) -> None:
    added = [
        desk.send(people.ada, "/invoice-items", {**ITEM, "user_id": person.id}).json
        for person in (people.alice, people.bob, people.alice)
    ]

    def ids(person: Person, **query: Any) -> list[int]:
        return [item["id"] for item in desk.ask(person, "/invoice-items", **query).json["items"]]

    assert desk.ask(people.bob, "/invoice-items").json == {"items": [added[1]], "next_cursor": None}
    assert (ids(people.alice), ids(people.ada), ids(people.dora)) == ([3, 1], [3, 2, 1], [])
    assert ids(people.ada, user_id=people.bob.id) == [2]
    assert desk.ask(people.alice, "/invoice-items", user_id=people.bob.id).status_code == 404
    first = desk.ask(people.ada, "/invoice-items", limit=2).json
    assert ids(people.ada, limit=2, cursor=first["next_cursor"]) == [1]
    desk.it_is(6, 1)
    desk.post(people.ada, f"/generate/{people.alice.id}")
    assert ids(people.ada) == [2]


def test_an_item_that_waits_is_removed_and_never_billed(desk: Cashier, ada: Person, alice: Person) -> None:
    item = desk.send(ada, "/invoice-items", {**ITEM, "user_id": alice.id}).json
    removed = desk.remove(ada, item["id"])
    assert (removed.status_code, removed.json) == (200, item)
    again = desk.remove(ada, item["id"])
    assert (again.status_code, again.json["code"]) == (404, "invoice_item_not_found")
    desk.it_is(6, 1)
    assert desk.post(ada, f"/generate/{alice.id}").json == {"invoice": None}


def test_only_an_item_that_waits_is_removed_and_only_by_its_admin(desk: Cashier, db: Connection, people: Cast) -> None:
    """What a change of plan has left is no item: the subscription is what is changed back."""
    begun = begin(db, people.bob, "premium", 5)
    change_plan(db, at(5, 16, 12), SETTINGS, begun, Wish("pro"))
    left = [row["id"] for row in fetch_all(db, "SELECT id FROM billing_pending_items")]
    item = desk.send(people.ada, "/invoice-items", {**ITEM, "user_id": people.alice.id}).json["id"]
    assert desk.remove(people.alice, item).status_code == 403
    for reply in (desk.remove(people.dora, item), *(desk.remove(people.ada, one) for one in (*left, 99))):
        assert (reply.status_code, reply.json["code"]) == (404, "invoice_item_not_found")
    desk.it_is(6, 1)
    number = desk.post(people.ada, f"/generate/{people.alice.id}").json["number"]
    reply = desk.remove(people.ada, item)
    assert (reply.status_code, reply.json["code"]) == (409, "item_invoiced")
    assert number in reply.json["error"]
    assert desk.remove(people.dora, item).status_code == 404
    assert len(fetch_all(db, "SELECT id FROM billing_pending_items")) == len(left) + 1


# -- lists -------------------------------------------------------------------------------------------


def test_payments_are_listed_newest_first_a_page_at_a_time(
    desk: Cashier, db: Connection, people: Cast, twelve: str
) -> None:
    other = issue_one(db, people.bob, 1_000).number
    for number, cents in ((twelve, 1), (other, 2), (twelve, 3)):
        desk.pay(people.ada, number, amount_cents=cents)

    def amounts(person: Person, **query: Any) -> list[int]:
        return [one["amount_cents"] for one in desk.ask(person, "/payments", **query).json["items"]]

    assert (amounts(people.alice), amounts(people.bob), amounts(people.dora)) == ([3, 1], [2], [])
    assert amounts(people.ada) == [3, 2, 1]
    assert amounts(people.ada, user_id=people.bob.id) == [2]
    assert desk.ask(people.alice, "/payments", user_id=people.bob.id).status_code == 404
    first = desk.ask(people.ada, "/payments", limit=2).json
    assert amounts(people.ada, limit=2, cursor=first["next_cursor"]) == [1]
    for limit in (0, 101):
        assert faults(desk.ask(people.ada, "/payments", limit=limit)) == [("/limit", "field_range")]


def test_account_credit_says_what_came_and_went_and_what_is_there(
    desk: Cashier, db: Connection, people: Cast, twelve: str
) -> None:
    """15.00 for 12.00: 3.00 too much. 2.00 credited, 4.00 of the next 12.00 paid by it, and 1.00 gone out."""
    paid = desk.pay(people.ada, twelve, amount_cents=1_500).json["id"]
    desk.post(people.ada, f"/{twelve}/credit-notes", {"amount_cents": 200})
    desk.send(people.ada, f"/payments/{paid}/refund", {"amount_cents": 100})
    following = issue_one(db, people.alice, 1_000, month="2026-05", now=at(5, 20, 11)).number

    def shown(person: Person, **query: Any) -> list[tuple[Any, ...]]:
        items = desk.ask(person, "/account-credit", **query).json["items"]
        return [tuple(one[name] for name in ("kind", "amount_cents", "invoice_number", "payment_id")) for one in items]

    everything = [
        ("applied", -400, following, None),
        ("refund", -100, None, paid),
        ("credit_note", 200, twelve, None),
        ("excess", 300, twelve, paid),
    ]
    assert shown(people.alice) == shown(people.ada, user_id=people.alice.id) == everything
    whole = desk.ask(people.alice, "/account-credit", limit=3).json
    assert whole["balances"] == [{"currency": "EUR", "balance_cents": 0}]
    assert (whole["items"][0]["currency"], whole["items"][0]["created_at"]) == ("EUR", "2030-05-20T11:00:00Z")
    assert shown(people.alice, limit=3, cursor=whole["next_cursor"]) == everything[3:]


def test_account_credit_is_ones_own_and_the_admins(desk: Cashier, people: Cast, twelve: str) -> None:
    desk.pay(people.ada, twelve, amount_cents=1_500)
    nothing = {"items": [], "balances": [], "next_cursor": None}
    for person in (people.bob, people.charlie, people.dora, people.ada):
        assert desk.ask(person, "/account-credit").json == nothing
    for person in (people.bob, people.charlie, people.dora):
        reply = desk.ask(person, "/account-credit", user_id=people.alice.id)
        assert (reply.status_code, reply.json["code"]) == (404, "user_not_found")
    found = desk.ask(people.ada, "/account-credit", user_id=people.alice.id).json
    assert found["balances"] == [{"currency": "EUR", "balance_cents": 300}]


def test_the_ledger_of_a_local_month(make_app: Callable[..., Flask], db: Connection, people: Cast) -> None:
    """22:30 UTC on 31 May is June in Paris. Sold 12.00, paid, taken back 2.00, and those went out."""
    desk = Cashier(make_app(BILLING_TIMEZONE="Europe/Paris", **SELLER).test_client(), db)
    number = issue_one(db, people.alice, 1_000, now=at(5, 31, 12)).number
    desk.it_is(5, 31, 22)
    paid = desk.pay(people.ada, number, amount_cents=1_200).json["id"]
    desk.send(people.ada, f"/payments/{paid}/refund", {"amount_cents": 200})

    def entries(person: Person, **query: Any) -> list[tuple[str, int]]:
        items = desk.ask(person, "/transactions", **query).json["items"]
        return [(one["type"], one["amount_cents"]) for one in items]

    everything = [("refund", 200), ("credit", -200), ("subscription", 1_200)]
    assert entries(people.alice) == entries(people.ada) == everything
    assert entries(people.alice, month="2030-05") == [("subscription", 1_200)]
    assert entries(people.alice, month="2030-06") == everything[:2]
    assert entries(people.bob) == entries(people.dora) == []
    assert desk.ask(people.alice, "/transactions").json["items"][0]["invoice_number"] == number
    assert desk.ask(people.bob, "/transactions", user_id=people.alice.id).status_code == 404
    assert desk.ask(people.alice, "/transactions", month="2030-13").status_code == 422
