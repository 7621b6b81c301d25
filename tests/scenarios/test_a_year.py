"""A year of one user's, over HTTP: trial, paid, dearer, cheaper, by the year, ended, and back. Each amount by hand.

Seven days of trial, and every step at an hour that is easy to reckon with; the zone is UTC.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from billing_db import Connection
from tests.api.subscribing import THEN, Desk, money
from tests.cast import Cast
from turf_saas import catalogue, discounts
from turf_saas.catalogue import PlanDraft

PLANS = (
    PlanDraft("solo", "Solo", 2_800, "EUR", trial_days=7),
    PlanDraft("team", "Team", 6_200, "EUR"),
    PlanDraft("team-year", "Team by the year", 62_050, "EUR", interval="year"),
)


@pytest.fixture
def desk(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Desk:
    for draft in PLANS:
        catalogue.create_plan(db, THEN, 1, draft)
    discounts.create_discount(db, THEN, 1, code="BACK", percent="50", duration="once")
    return Desk(make_app().test_client(), db, people)


def test_a_year_of_one_subscriber(desk: Desk, people: Cast) -> None:
    alice = people.alice

    # January: a trial from the 3rd, of the 3rd to the 9th.
    desk.at("2027-01-03T09:30")
    begun = desk.subscribe(alice, "solo")
    number = begun["id"]
    assert (begun["status"], begun["trial_end"]) == ("trialing", "2027-01-10T00:00:00Z")
    assert (desk.fees(), desk.items()) == ([], [])

    # It is paid from the 10th on: 22 of 31 days, 2800 × 22/31 = 1987.10.
    assert desk.at("2027-01-10T00:00").json["advanced"] == 1
    assert desk.now(alice)["status"] == "active"
    assert desk.fees() == [("solo", "2027-01-10", 1_987, 0)]

    # 16 February 12:00: up. 12.5 of 28 days are left: −2800 × 12.5/28 = −1250, +6200 × 12.5/28 = 2767.86.
    desk.at("2027-02-16T12:00")
    dry = desk.change(alice, number, "team", dry_run=True)
    up = desk.change(alice, number, "team")
    assert (money(up), money(dry), up["subscription"]["plan"]) == ((1_250, 2_768, 1_518), money(up), "team")

    # 5 April: down, which waits for May and is no money.
    desk.at("2027-04-05T08:00")
    down = desk.change(alice, number, "solo")
    assert (money(down), down["subscription"]["plan"]) == ((0, 0, 0), "team")
    assert down["subscription"]["pending_change"] == {"plan": "solo", "at": "2027-05-01T00:00:00Z"}
    desk.at("2027-05-01T00:00")
    assert (desk.now(alice)["plan"], desk.now(alice)["pending_change"]) == ("solo", None)

    # 11 June 18:45: by the year, from 00:00 of that day. 20 of 30 days are given back: 2800 × 20/30 = 1866.67.
    desk.at("2027-06-11T18:45")
    yearly = desk.change(alice, number, "team-year")
    assert money(yearly) == (1_867, 62_050, 60_183)
    assert yearly["subscription"]["current_period_end"] == "2028-06-11T00:00:00Z"

    # 22 September 12:00: she ends it at its end, thinks again, and ends it now. 262.5 of 366 days (there is a
    # 29 February in them) are left: 62050 × 262.5/366 = 44503.07.
    desk.at("2027-09-22T12:00")
    assert desk.cancel(alice, number)["subscription"]["cancel_at_period_end"] is True
    assert desk.done(desk.post(alice, f"/subscriptions/{number}/resume"), 200)["cancel_at_period_end"] is False
    ended = desk.cancel(alice, number, when="now", reason="a pause")
    assert (money(ended), ended["subscription"]["status"]) == ((44_503, 0, -44_503), "canceled")
    assert desk.get(alice, "/subscription").json == {"subscription": None, "plan": "free"}

    # 17 November: back, with half off once, and no second trial: 14 of 30 days, 2800 × 14/30 = 1306.67, less 653.5.
    desk.at("2027-11-17T10:00")
    back = desk.subscribe(alice, "solo", discount_code="BACK")
    assert (back["status"], back["trial_end"], back["id"] == number) == ("active", None, False)

    # And the year is over.
    desk.at("2028-01-03T00:00")
    assert desk.now(alice)["current_period_start"] == "2028-01-01T00:00:00Z"
    assert desk.fees() == [
        ("solo", "2027-01-10", 1_987, 0),
        ("solo", "2027-02-01", 2_800, 0),
        ("team", "2027-03-01", 6_200, 0),
        ("team", "2027-04-01", 6_200, 0),
        ("solo", "2027-05-01", 2_800, 0),
        ("solo", "2027-06-01", 2_800, 0),
        ("team-year", "2027-06-11", 62_050, 0),
        ("solo", "2027-11-17", 1_307, 654),
        ("solo", "2027-12-01", 2_800, 0),
        ("solo", "2028-01-01", 2_800, 0),
    ]
    # Nothing was invoiced in this year, so each credit is on the invoice that will have what it gives back.
    assert desk.items() == [
        ("2027-02", -1_250),
        ("2027-02", 2_768),
        ("2027-06", -1_867),
        ("2027-06", -44_503),
    ]
    told = desk.get(alice, f"/subscriptions/{number}/history").json["items"][::-1]
    assert [(entry["at"], entry["plan"], entry["status"], entry["by"], entry["reason"]) for entry in told] == [
        ("2027-01-03T00:00:00Z", "solo", "trialing", "user:1", "subscribed"),
        ("2027-01-10T00:00:00Z", "solo", "active", "system", "trial_ended"),
        ("2027-02-16T12:00:00Z", "team", "active", "user:1", "changed"),
        ("2027-05-01T00:00:00Z", "solo", "active", "system", "pending_change"),
        ("2027-06-11T18:45:00Z", "team-year", "active", "user:1", "changed"),
        ("2027-09-22T12:00:00Z", "team-year", "canceled", "user:1", "a pause"),
    ]
