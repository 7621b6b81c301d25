"""Two years of one customer, with every invoice and every payment: each amount by hand, VAT of 20 % included.

Only `run-due` is run, when it happens to be: at month's turn, after forty days of silence, after four months.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from billing_db import Connection, fetch_all
from tests.api.subscribing import THEN, Desk, money
from tests.cast import Cast
from turf_saas import catalogue
from turf_saas.catalogue import PlanDraft
from turf_saas.demo import SELLER
from turf_saas.plans import PlanLimit
from turf_saas.pricing import price_from
from turf_saas.settings import read_settings
from turf_saas.values import Month
from turf_saas.verifying import verify

SMALL = {
    "limits": {"api_calls": PlanLimit(1_000, "soft")},
    "prices": (price_from({"metric": "api_calls", "model": "flat", "unit_amount": "0.01"}),),
}
LARGE = {
    "limits": {"api_calls": PlanLimit(5_000, "soft")},
    "prices": (price_from({"metric": "api_calls", "model": "flat", "unit_amount": "0.005"}),),
}
PLANS = (
    PlanDraft("solo", "Solo", 2_800, "EUR", trial_days=7, **SMALL),
    PlanDraft("team", "Team", 6_200, "EUR", **LARGE),
    PlanDraft("team-year", "Team by the year", 62_050, "EUR", interval="year", **LARGE),
)


class Books(Desk):
    """A desk at which time's work is done, and money is received."""

    def work(self, at: str) -> None:
        """It is then, and what is due is done."""
        self.at(at)
        ran = self.client.application.test_cli_runner().invoke(args=["billing", "run-due", "--json"])
        assert ran.exit_code == 0, ran.output

    def pays(self, number: str, cents: int) -> dict[str, Any]:
        body = {"amount_cents": cents, "method": "transfer", "reference": number}
        return self.done(self.post(self.people.ada, f"/invoices/{number}/payments", body), 201)

    def newest(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(self.people.alice, "/invoices").json["items"][0]
        return found

    def invoices(self) -> list[tuple[str, str, int, str, int]]:
        """Number, kind, amount, status and what is due, the first one first."""
        found = self.get(self.people.alice, "/invoices", limit=100).json["items"][::-1]
        names = ("number", "kind", "amount_cents", "status", "due_cents")
        return [tuple(each[name] for name in names) for each in found]


def lines(invoice: dict[str, Any]) -> list[tuple[str, int]]:
    return [(line["kind"], line["net_cents"]) for line in invoice["lines"]]


@pytest.fixture
def books(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Books:
    for draft in PLANS:
        catalogue.create_plan(db, THEN, 1, draft)
    return Books(make_app(**SELLER).test_client(), db, people)


def test_two_years_of_one_customer_balance_to_the_cent(books: Books, people: Cast) -> None:
    alice = people.alice

    # January 2027: a trial of the 3rd to the 9th, then 22 of 31 days of 28.00: 19.87. Of 1000 calls that are included
    # the trial uses 300; 1200 afterwards are 500 too many, at 0.01. 24.87 and 4.97.
    books.at("2027-01-03T09:30")
    number = books.subscribe(alice, "solo")["id"]
    alice.has_used(300, day="2027-01-05")
    alice.has_used(1_200, day="2027-01-20")
    books.work("2027-02-01T00:05")
    assert lines(books.newest()) == [("base", 1_987), ("overage", 500)]
    assert books.invoices() == [("FACT-202702-0001", "period", 2_984, "pending", 2_984)]

    # February: up on the 16th at noon, and paid. 2000 calls before it are 1000 too many at 0.01; of 5000 that the
    # dearer plan includes 2000 are gone, so of 4000 more 1000 are too many at 0.005. 58.18 and 11.64.
    alice.has_used(2_000, day="2027-02-10")
    books.at("2027-02-16T12:00")
    assert money(books.change(alice, number, "team")) == (1_250, 2_768, 1_518)
    alice.has_used(4_000, day="2027-02-20")
    books.at("2027-02-20T10:00")
    assert books.pays("FACT-202702-0001", 2_984)["invoice"]["status"] == "paid"
    books.work("2027-03-01T00:05")
    assert sorted(lines(books.newest())) == [
        ("base", 2_800),
        ("charge", 2_768),
        ("credit", -1_250),
        ("overage", 500),
        ("overage", 1_000),
    ]
    assert books.newest()["amount_cents"] == 6_982

    # Forty days of silence, and February is not paid: overdue since 1 April, past due since the 2nd. March is billed.
    books.work("2027-04-11T08:00")
    assert [row[3] for row in books.invoices()] == ["paid", "overdue", "pending"]
    assert books.newest()["amount_cents"] == 7_440
    assert books.now(alice)["status"] == "past_due"

    # She pays a round sum: 100.00 for 69.82. What is too much, 30.18, pays a part of April's 74.40.
    books.at("2027-04-15T09:00")
    books.pays("FACT-202703-0001", 10_000)
    books.work("2027-05-01T00:05")
    assert books.now(alice)["status"] == "active"
    assert books.invoices()[-1] == ("FACT-202705-0001", "period", 7_440, "pending", 4_422)
    books.pays("FACT-202704-0001", 7_440)
    books.pays("FACT-202705-0001", 4_422)

    # June: by the year from the 11th. 20 of 30 days of 62.00 are given back. 62.00 + 620.50 − 41.33 and 128.23.
    books.work("2027-06-01T00:05")
    books.pays("FACT-202706-0001", 7_440)
    books.at("2027-06-11T18:45")
    assert money(books.change(alice, number, "team-year")) == (4_133, 62_050, 57_917)
    books.work("2027-07-01T00:05")
    assert lines(books.newest()) == [("base", 6_200), ("base", 62_050), ("credit", -4_133)]
    assert books.newest()["amount_cents"] == 76_940
    paid = books.pays("FACT-202707-0001", 76_940)["id"]

    # July: only what is above the year's 5000 calls a month: 1000 at 0.005. August: nothing, so no invoice.
    alice.has_used(6_000, day="2027-07-10")
    books.work("2027-08-01T00:05")
    assert (lines(books.newest()), books.newest()["amount_cents"]) == ([("overage", 500)], 600)
    books.pays("FACT-202708-0001", 600)
    books.work("2027-09-01T00:05")

    # September: she leaves at once. 262.5 of 366 days of 620.50 are 445.03, and 89.01 of VAT: a credit note, for the
    # year was invoiced.
    books.at("2027-09-22T12:00")
    assert money(books.cancel(alice, number, when="now")) == (44_503, 0, -44_503)
    assert books.invoices()[-2:] == [
        ("FACT-202708-0001", "period", 600, "paid", 0),
        ("FACT-202709-0001", "credit_note", -53_404, "paid", 0),
    ]

    # November: back, without another trial: 14 of 30 days of 28.00. It is paid from what she has: 534.04 − 15.68.
    books.at("2027-11-17T10:00")
    number = books.subscribe(alice, "solo")["id"]
    books.work("2027-12-01T00:05")
    assert books.invoices()[-1] == ("FACT-202712-0001", "period", 1_568, "paid", 0)

    # Four months of silence, then nine: each month once, in order, 33.60, from what she has.
    books.work("2028-04-02T12:00")
    assert [row[0] for row in books.invoices()[-4:]] == [f"FACT-202804-000{n}" for n in (1, 2, 3, 4)]
    assert [each["month"] for each in books.get(alice, "/invoices").json["items"][3::-1]] == [
        "2027-12", "2028-01", "2028-02", "2028-03",
    ]  # fmt: skip
    books.at("2028-12-15T10:00")
    books.cancel(alice, number)
    books.work("2029-01-03T00:05")
    assert [row[2:] for row in books.invoices()[-9:]] == [(3_360, "paid", 0)] * 9
    assert books.now(alice) is None

    # 518.36 − 13 × 33.60 = 81.56 are left, and go back to her. Then nobody owes anybody anything.
    books.done(books.post(people.ada, f"/payments/{paid}/refund", {"amount_cents": 8_156}), 200)
    assert owed(books.db) == 0
    found = verify(books.db, read_settings({"TURF_SAAS_DB": "unused", **SELLER}), Month(2029, 1))
    assert (found.wrong.shown, found.waiting.shown, found.documents) == ([], [], 22)


def owed(db: Connection) -> int:
    """What was sold and taken back, less what came in, and what went out again."""
    (row,) = fetch_all(
        db,
        """SELECT (SELECT COALESCE(SUM(amount_cents), 0) FROM transactions)
                - (SELECT COALESCE(SUM(amount_cents), 0) FROM billing_payments) AS cents""",
    )
    return int(row["cents"])
