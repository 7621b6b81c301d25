"""GET, POST, PATCH and DELETE /plans: the catalogue for anyone to see, and for admins to change."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import billing_db
from billing_db import Connection, fetch_all, fetch_one
from tests.api.selling import PLAN, PLANS, change, faults, plan, sell
from tests.api.test_api_keys import key_of, with_key
from tests.cast import Cast, Person
from turf_saas import catalogue

MakeApp = Callable[..., Flask]
TENANT_2 = "/api/v1/billing/tenants/2/plans"


def codes(client: FlaskClient, path: str = PLANS, **given: Any) -> list[str]:
    reply = client.get(path, **given)
    assert reply.status_code == 200, reply.data
    return [found["code"] for found in reply.json["items"]]


# -- seeing ------------------------------------------------------------------------------------------------


def test_anyone_sees_what_is_sold_the_cheapest_first(client: FlaskClient) -> None:
    reply = client.get(PLANS)
    assert [(found["code"], found["amount_cents"]) for found in reply.json["items"]] == [
        ("free", 0),
        ("premium", 1_900),
        ("pro", 4_900),
    ]
    assert client.get(f"{PLANS}/premium").json == reply.json["items"][1] == {
        "code": "premium",
        "name": "Premium",
        "description": "",
        "interval": "month",
        "cycle": "calendar",
        "amount_cents": 1_900,
        "currency": "EUR",
        "tax_behavior": "exclusive",
        "trial_days": 0,
        "stripe_price_id": None,
        "limits": {
            "api_calls": {"included": 3_000, "policy": "soft", "window": "month"},
            "tokens": {"included": 1_000_000, "policy": "soft", "window": "month"},
        },
        "prices": [
            {"metric": "api_calls", "model": "flat", "unit_amount": "0.01"},
            {"metric": "tokens", "model": "flat", "unit_amount": "0.00001"},
        ],
        "version": 1,
        "archived": False,
    }  # fmt: skip


def test_the_limits_are_those_that_hold(make_app: MakeApp) -> None:
    client = make_app(BILLING_LIMIT_PREMIUM_TOKENS="5", BILLING_LIMIT_PRO_API_CALLS="unlimited").test_client()
    shown = {found["code"]: found["limits"] for found in client.get(PLANS).json["items"]}
    assert shown["premium"]["tokens"]["included"] == 5
    assert shown["pro"]["api_calls"]["included"] is None
    assert shown["pro"]["tokens"]["included"] == 10_000_000


def test_a_plan_that_is_not_there_is_not_found(client: FlaskClient, ada: Person) -> None:
    for reply in (
        client.get(f"{PLANS}/platinum"),
        change(client, ada, "platinum", amount_cents=1),
        client.delete(f"{PLANS}/platinum", headers=ada.headers),
        client.get(f"{PLANS}/PREMIUM"),
        client.get(f"{PLANS}/%00"),
        client.get(f"{PLANS}/{'x' * 5_000}"),
    ):
        assert (reply.status_code, reply.json["code"]) in ((404, "plan_not_found"), (404, "not_found"))


def test_whoever_has_the_answer_already_is_told_so_until_it_changes(client: FlaskClient, ada: Person) -> None:
    for path in (PLANS, f"{PLANS}/premium"):
        first = client.get(path)
        etag = first.headers["ETag"]
        assert not etag.startswith("W/")
        assert first.headers["Cache-Control"] == "no-cache"
        for asked in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            again = client.get(path, headers={"If-None-Match": asked})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
            assert "Content-Type" not in again.headers
        assert client.get(path, headers={"If-None-Match": '"other"'}).data == first.data
        assert client.head(path).headers["ETag"] == etag
        change(client, ada, "premium", name=f"Premium for {path}")
        changed = client.get(path, headers={"If-None-Match": etag})
        assert (changed.status_code, changed.headers["ETag"] != etag) == (200, True)


def test_a_setting_that_replaces_a_limit_changes_the_etag(make_app: MakeApp) -> None:
    one, other = (make_app(BILLING_LIMIT_PRO_TOKENS=limit).test_client().get(PLANS) for limit in ("5", "6"))
    assert one.headers["ETag"] != other.headers["ETag"]


def test_a_caller_sees_what_his_tenant_sells_and_nobody_what_he_names(client: FlaskClient, people: Cast) -> None:
    assert sell(client, people.dora, code="stud").status_code == 201
    ours, theirs = ["free", "premium", "pro"], ["free", "premium", "stud", "pro"]
    assert codes(client) == codes(client, headers=people.alice.headers) == ours
    assert codes(client, headers=people.charlie.headers) == theirs
    assert codes(client, TENANT_2) == codes(client, TENANT_2, headers=people.charlie.headers) == theirs
    assert client.get(f"{TENANT_2}/stud").status_code == 200
    for path in (TENANT_2, f"{TENANT_2}/stud", f"{TENANT_2}/free"):
        assert client.get(path, headers=people.alice.headers).status_code == 404
    assert client.get(PLANS.replace("plans", "tenants/1/plans"), headers=people.charlie.headers).status_code == 404
    for tenant in (0, 3, 2**63 - 1, 2**63, "x"):
        assert client.get(f"/api/v1/billing/tenants/{tenant}/plans").status_code == 404


def test_a_login_that_is_over_is_nobody_here(client: FlaskClient) -> None:
    assert codes(client, headers={"Authorization": "Bearer nonsense"}) == ["free", "premium", "pro"]


# -- selling -------------------------------------------------------------------------------------------------


def test_a_plan_of_all_four_models_is_sold_as_it_was_sent(client: FlaskClient, ada: Person, db: Connection) -> None:
    made = sell(client, ada)
    assert made.status_code == 201
    assert made.json == {**PLAN, "version": 1, "archived": False}
    assert client.get(f"{PLANS}/studio").json == made.json
    row = fetch_one(db, "SELECT created_by FROM billing_plans WHERE code = 'studio'")
    assert row["created_by"] == "user:4"


def test_what_is_left_out_is_the_usual_and_the_currency_the_sellers(make_app: MakeApp, ada: Person) -> None:
    client = make_app(BILLING_CURRENCY="CHF").test_client()
    body = {"code": "bare", "name": "Bare", "amount_cents": 0}
    made = client.post(PLANS, json=body, headers=ada.headers).json
    assert made["currency"] == "CHF"
    assert (made["interval"], made["cycle"], made["limits"], made["prices"]) == ("month", "calendar", {}, [])
    yearly = client.post(PLANS, json={**body, "code": "year", "interval": "year"}, headers=ada.headers).json
    assert yearly["cycle"] == "anniversary"


def test_amounts_may_be_whole_numbers_and_are_shown_as_texts(client: FlaskClient, ada: Person) -> None:
    prices = [{"metric": "seats", "model": "flat", "unit_amount": 5}]
    assert sell(client, ada, prices=prices).json["prices"] == [{**prices[0], "unit_amount": "5"}]


def test_a_plan_that_is_sold_already_is_a_conflict(client: FlaskClient, ada: Person) -> None:
    for code in ("premium", "free"):
        reply = sell(client, ada, code=code)
        assert (reply.status_code, reply.json["code"]) == (409, "plan_exists")
        assert reply.json["error"] == f"Le plan {code} existe déjà."


def test_every_fault_is_named_at_once_and_nothing_is_written(client: FlaskClient, ada: Person, db: Connection) -> None:
    bad = deepcopy(PLAN)
    bad |= {"code": "A B", "currency": "ZZZ", "colour": "blue", "interval": "year", "cycle": "calendar"}
    bad["prices"][1]["tiers"] = [{"up_to": 10, "unit_amount": "1"}, {"up_to": 5, "unit_amount": 0.5}]
    bad["limits"]["api_calls"] = {"included": -1}
    del bad["name"]
    reply = client.post(PLANS, json=bad, headers={**ada.headers, "Accept-Language": "en"})
    assert faults(reply) == [
        ("/colour", "field_unknown"),
        ("/name", "field_missing"),
        ("/code", "field_format"),
        ("/currency", "currency_unknown"),
        ("/limits/api_calls/included", "field_range"),
        ("/prices/1/tiers/1/unit_amount", "decimal_invalid"),
        ("/prices/1/tiers/1/up_to", "last_tier_bounded"),
        ("/prices/1/tiers/1/up_to", "tiers_not_rising"),
        ("/cycle", "year_is_anniversary"),
    ]
    assert reply.json["code"] == "invalid_input"
    assert fetch_all(db, "SELECT id FROM billing_plans WHERE code = 'A B'") == []


def test_a_single_fault_speaks_for_the_whole(client: FlaskClient, ada: Person) -> None:
    reply = sell(client, ada, interval="year", cycle="calendar")
    assert (reply.status_code, reply.json["code"]) == (422, "year_is_anniversary")


@pytest.mark.parametrize("body", [[], "plan", 1, True])
def test_a_body_that_is_no_object_is_a_fault(client: FlaskClient, ada: Person, body: Any) -> None:
    for reply in (
        client.post(PLANS, json=body, headers=ada.headers),
        client.patch(f"{PLANS}/premium", json=body, headers=ada.headers),
    ):
        assert [code for _, code in faults(reply)] == ["field_type"]


def test_texts_that_cannot_be_stored_are_faults_wherever_they_stand(client: FlaskClient, ada: Person) -> None:
    for name, field in (("name", "a\0b"), ("description", "a\0b"), ("description", "\ud800")):
        reply = client.post(
            PLANS, data=json.dumps(plan(**{name: field})), headers=ada.headers,
            content_type="application/json",
        )  # fmt: skip
        assert [loc for loc, _ in faults(reply)] == [f"/{name}"]


def test_the_same_key_sells_once(client: FlaskClient, ada: Person) -> None:
    headers = {**ada.headers, "Idempotency-Key": "spring"}
    first, again = (client.post(PLANS, json=PLAN, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code, again.data) == (201, 201, first.data)
    assert client.post(PLANS, json=plan(name="Other"), headers=headers).json["code"] == "idempotency_conflict"


def test_of_two_who_sell_the_same_plan_at_once_one_meets_a_conflict(
    make_app: MakeApp, ada: Person, db: Connection
) -> None:
    app, start = make_app(), Barrier(2, timeout=30)

    def post(cents: int) -> int:
        start.wait()
        try:
            return int(sell(app.test_client(), ada, amount_cents=cents).status_code)
        finally:
            billing_db.close_db()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(post, (100, 200), timeout=60)) == [201, 409]
    assert len(fetch_all(db, "SELECT id FROM billing_plans WHERE code = 'studio'")) == 1


# -- changing ------------------------------------------------------------------------------------------------


def test_a_change_is_a_version_and_what_is_not_named_stays(client: FlaskClient, ada: Person, db: Connection) -> None:
    sell(client, ada)
    changed = change(client, ada, "studio", amount_cents=3_900, stripe_price_id=None)
    assert changed.status_code == 200
    assert changed.json == {**PLAN, "amount_cents": 3_900, "stripe_price_id": None, "version": 2, "archived": False}
    assert change(client, ada, "studio", prices=[]).json["version"] == 3
    assert change(client, ada, "studio", prices=[], amount_cents=3_900).json["version"] == 3
    assert change(client, ada, "studio").json["version"] == 3
    rows = fetch_all(db, "SELECT version, amount_cents, created_by FROM billing_plans WHERE code = 'studio'")
    assert {row["version"]: (row["amount_cents"], row["created_by"]) for row in rows} == {
        1: (2_900, "user:4"),
        2: (3_900, "user:4"),
        3: (3_900, "user:4"),
    }


def test_who_is_subscribed_keeps_his_limits_until_he_is_moved(
    client: FlaskClient, ada: Person, alice: Person, bob: Person
) -> None:
    alice.is_on("premium")
    limits = {"api_calls": {"included": 7, "policy": "soft"}}
    change(client, ada, "premium", limits=limits, prices=[])
    bob.is_on("premium")
    assert [limit_of(client, person) for person in (alice, bob)] == [3_000, 7]


def limit_of(client: FlaskClient, person: Person) -> Any:
    return client.get("/api/v1/billing/consumption", headers=person.headers).json["consumption"]["limit_api_calls"]


def test_existing_says_who_moves(client: FlaskClient, ada: Person, db: Connection) -> None:
    change(client, ada, "premium", amount_cents=2_000)
    change(client, ada, "premium", amount_cents=2_100, existing="next_period")
    rows = fetch_all(db, "SELECT version, rolls_into FROM billing_plans WHERE code = 'premium' AND tenant_id = 1")
    newest = catalogue.get_plan(db, 1, "premium").id
    assert {row["version"]: row["rolls_into"] for row in rows} == {1: newest, 2: newest, 3: None}
    for existing in ("now", "", None, 1, ["keep"]):
        assert faults(change(client, ada, "premium", existing=existing)) == [("/existing", "field_choice")]


def test_nobody_is_moved_into_another_currency(client: FlaskClient, ada: Person) -> None:
    reply = change(client, ada, "premium", currency="USD", existing="next_period")
    assert (reply.status_code, reply.json["code"]) == (409, "currency_mismatch")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"code": "other"}, [("/code", "field_unknown")]),
        ({"version": 7, "amount_cents": -1}, [("/version", "field_unknown"), ("/amount_cents", "field_range")]),
        ({"name": None}, [("/name", "field_type")]),
        ({"limits": None, "prices": None}, [("/limits", "field_type"), ("/prices", "field_type")]),
        ({"interval": "year", "cycle": "calendar"}, [("/cycle", "year_is_anniversary")]),
        ({"limits": {"seats": {"included": 5, "window": "day"}}}, [("/limits/seats/window", "day_limit_with_price")]),
        ({"existing": "now", "trial_days": 731}, [("/trial_days", "field_range"), ("/existing", "field_choice")]),
    ],
)
def test_a_bad_change_changes_nothing(
    client: FlaskClient, ada: Person, changes: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    sell(client, ada, cycle="calendar")
    assert faults(change(client, ada, "studio", **changes)) == found
    assert client.get(f"{PLANS}/studio").json["version"] == 1


def test_a_plan_becomes_yearly_and_its_cycle_with_it(client: FlaskClient, ada: Person) -> None:
    assert change(client, ada, "premium", interval="year", amount_cents=19_000).json["cycle"] == "anniversary"
    assert faults(change(client, ada, "premium", cycle="calendar")) == [("/cycle", "year_is_anniversary")]


# -- archiving -----------------------------------------------------------------------------------------------


def test_an_archived_plan_is_out_of_the_list_and_can_be_sold_again(client: FlaskClient, ada: Person) -> None:
    for _ in range(2):
        archived = client.delete(f"{PLANS}/pro", headers=ada.headers)
        assert (archived.status_code, archived.json["archived"], archived.json["version"]) == (200, True, 1)
    assert codes(client) == ["free", "premium"]
    assert codes(client, f"{PLANS}?archived=true") == ["free", "premium", "pro"]
    assert client.get(f"{PLANS}/pro").json["archived"] is True
    refused = change(client, ada, "pro", amount_cents=1)
    assert (refused.status_code, refused.json["code"]) == (409, "plan_archived")
    again = sell(client, ada, code="pro")
    assert (again.status_code, again.json["version"], again.json["archived"]) == (201, 2, False)


@pytest.mark.parametrize("asked", ["1", "True", "", "yes"])
def test_archived_is_true_or_false(client: FlaskClient, asked: str) -> None:
    assert faults(client.get(f"{PLANS}?archived={asked}")) == [("/archived", "field_choice")]


def test_the_default_plan_stays_on_sale(make_app: MakeApp, ada: Person) -> None:
    for default, status in (("free", 409), ("premium", 200)):
        reply = make_app(BILLING_DEFAULT_PLAN=default).test_client().delete(f"{PLANS}/free", headers=ada.headers)
        assert reply.status_code == status
        assert status == 200 or reply.json["code"] == "plan_is_default"


# -- who may -------------------------------------------------------------------------------------------------


def test_only_an_admin_with_the_scope_changes_what_is_sold(client: FlaskClient, people: Cast) -> None:
    may_not = [
        (people.alice.headers, "forbidden"),
        (with_key(key_of(people.alice, "billing.write")[1]), "forbidden"),
        (with_key(key_of(people.ada, "billing.read")[1]), "scope_missing"),
    ]
    for headers, code in may_not:
        for reply in (
            client.post(PLANS, json=PLAN, headers=headers),
            client.patch(f"{PLANS}/premium", json={"amount_cents": 1}, headers=headers),
            client.delete(f"{PLANS}/premium", headers=headers),
        ):
            assert (reply.status_code, reply.json["code"]) == (403, code)
    assert client.post(PLANS, json=PLAN).status_code == 401
    assert client.post(PLANS, json=PLAN, headers=with_key(key_of(people.ada, "billing.write")[1])).status_code == 201


def test_an_admin_of_another_tenant_changes_his_own_plans_only(client: FlaskClient, people: Cast) -> None:
    sell(client, people.ada)
    dora = people.dora
    assert change(client, dora, "studio", amount_cents=1).status_code == 404
    assert client.delete(f"{PLANS}/studio", headers=dora.headers).status_code == 404
    assert change(client, dora, "premium", amount_cents=1).json["amount_cents"] == 1
    assert client.get(f"{PLANS}/premium").json["amount_cents"] == 1_900
    for method in (client.post, client.patch, client.delete):
        path = "tenants/1/plans" if method == client.post else "tenants/1/plans/premium"
        reply = method(f"/api/v1/billing/{path}", json={"amount_cents": 5}, headers=dora.headers)
        assert reply.status_code == 404
