"""subscription_changed: the host hears of what was committed, once, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

import billing_db
from api_v1.signals import invoice_issued, subscription_changed
from billing_db import Connection, fetch_one
from tests.api.subscribing import THEN, Desk
from tests.cast import Cast, Person
from turf_saas import discounts
from turf_saas.demo import SELLER
from turf_saas.invoices import Invoice
from turf_saas.subscriptions import Subscription


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    return Desk(make_app().test_client(), db, people)


@pytest.fixture
def told(db: Connection) -> Iterator[list[tuple[str, str, str]]]:
    """What was said, its plan, and the plan that everybody could read at that moment."""
    heard: list[tuple[str, str, str]] = []

    def receive(_: Flask, subscription: Subscription, what: str) -> None:
        seen = fetch_one(db, "SELECT plan FROM saas_subscriptions WHERE id = :id", id=subscription.id)
        heard.append((what, subscription.plan, seen["plan"]))

    subscription_changed.connect(receive)
    yield heard
    subscription_changed.disconnect(receive)


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_each_change_is_told_once_when_everybody_can_see_it(
    desk: Desk, alice: Person, told: list[Any], keys: bool
) -> None:
    desk.at("2026-06-01T00:00")
    number = 0
    for verb, body in (
        ("", {"plan": "twentyfive"}),
        ("change", {"plan": "forty"}),
        ("change", {"plan": "ten"}),
        ("change", {"plan": "forty"}),
        ("cancel", {}),
        ("resume", {}),
        ("cancel", {"when": "now"}),
    ):
        path = f"/subscriptions/{number}/{verb}" if verb else "/subscriptions"
        headers = {"Idempotency-Key": f"key-{len(told)}"} if keys else {}
        answers = [desk.post(alice, path, body, **headers) for _ in range(2 if keys else 1)]
        assert {reply.status_code for reply in answers} <= {200, 201}
        number = number or answers[0].json["id"]
    assert told == [
        ("subscribed", "twentyfive", "twentyfive"),
        ("changed", "forty", "forty"),
        ("change_scheduled", "forty", "forty"),
        ("change_dropped", "forty", "forty"),
        ("cancel_scheduled", "forty", "forty"),
        ("resumed", "forty", "forty"),
        ("canceled", "forty", "forty"),
    ]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a"}], ids=["without a key", "with a key"])
def test_neither_a_dry_run_nor_a_refusal_is_told(
    desk: Desk, alice: Person, told: list[Any], headers: dict[str, str]
) -> None:
    discounts.create_discount(desk.db, THEN, 1, code="HALF", percent="50", duration="forever")
    number = desk.subscribe(alice, "ten")["id"]
    told.clear()
    for verb, body in (
        ("change", {"plan": "forty", "dry_run": True}),
        ("cancel", {"when": "now", "dry_run": True}),
        ("change", {"plan": "gold", "discount_code": "HALF"}),
        ("resume", {}),
    ):
        desk.post(alice, f"/subscriptions/{number}/{verb}", body, **headers)
    assert told == []


def test_a_receiver_that_fails_fails_no_request(desk: Desk, alice: Person, caplog: pytest.LogCaptureFixture) -> None:
    def receive(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    subscription_changed.connect(receive)
    try:
        desk.subscribe(alice, "ten")
    finally:
        subscription_changed.disconnect(receive)
    assert "ZeroDivisionError" in caplog.text


def test_a_request_inside_a_block_that_is_taken_back_is_not_told(
    desk: Desk, url: str, alice: Person, told: list[Any]
) -> None:
    with pytest.raises(ZeroDivisionError), billing_db.atomic(billing_db.get_db(url)):  # noqa: PT012
        desk.subscribe(alice, "ten")
        raise ZeroDivisionError
    assert told == []
    assert desk.now(alice) is None


def test_a_credit_note_that_an_end_brings_is_told_and_that_of_a_dry_run_is_not(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    desk = Desk(make_app(**SELLER).test_client(), db, people)
    desk.at("2026-06-01T00:00")
    number = desk.subscribe(people.alice, "yearly")["id"]
    desk.at("2026-07-01T00:05")
    assert desk.done(desk.post(people.ada, "/invoices/run"), 200)["issued"] == 1
    heard: list[tuple[str, str | None]] = []

    def receive(_: Flask, invoice: Invoice) -> None:
        heard.append((invoice.kind, invoice.credited_number))

    with invoice_issued.connected_to(receive):
        desk.cancel(people.alice, number, when="now", dry_run=True)
        assert heard == []
        desk.cancel(people.alice, number, when="now")
    assert heard == [("credit_note", "FACT-202607-0001")]
