"""The invoices' routes: issuing a month that is over, and who sees what. Premium is 19.00, a call above 3000 a cent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import billing_db
from billing_db import Connection, atomic, execute
from tests.api.invoicing import PREFIX, Office, at, begin
from tests.cast import SECRET, Cast, Person, token_for
from tests.issued import issue_one
from turf_saas import profiles
from turf_saas.buyer import Buyer
from turf_saas.demo import SELLER

MISSING = {"error": "There is no such invoice.", "code": "invoice_not_found"}
OVERSEAS = Buyer("consumer", country="GP")  # whose VAT is not known here


@pytest.fixture
def office(make_app: Callable[..., Flask], db: Connection, people: Cast) -> Office:
    office = Office(make_app(**SELLER).test_client(), db)
    office.it_is(7, 1)
    return office


@pytest.fixture
def june(office: Office, db: Connection, people: Cast) -> Office:
    """Alice has a fee and 150 calls too many, Bob some use that costs nothing, Charlie of another tenant a fee."""
    begin(db, people.alice, "premium", 6)
    people.alice.has_used(3_150, day="2030-06-20")
    people.bob.has_used(100, day="2030-06-20")
    begin(db, people.charlie, "pro", 6)
    return office


# -- issuing one -----------------------------------------------------------------------------------


def test_a_month_that_is_over_becomes_an_invoice(june: Office, alice: Person, ada: Person) -> None:
    reply = june.post(ada, f"/generate/{alice.id}", {"period": "2030-06"})
    assert reply.status_code == 201
    invoice: dict[str, Any] = reply.json
    assert invoice["lines"] == [
        {
            "position": 1, "kind": "base", "description": "Abonnement Premium", "metric": None, "quantity": "1",
            "unit_amount": "19.00", "net_cents": 1_900, "tax_behavior": "exclusive", "vat_rate": "20",
            "period_start": "2030-06-01T00:00:00Z",
            "period_end": "2030-07-01T00:00:00Z",
        },
        {
            "position": 2, "kind": "overage", "description": "api_calls au-delà de l'offre premium",
            "metric": "api_calls", "quantity": "150", "unit_amount": "0.01", "net_cents": 150,
            "tax_behavior": "exclusive", "vat_rate": "20",
            "period_start": "2030-06-01T00:00:00Z", "period_end": "2030-07-01T00:00:00Z",
        },
    ]  # fmt: skip
    tax = {"category": "S", "vat_rate": "20", "base_cents": 2_050, "tax_cents": 410, "vatex": None}
    assert invoice["taxes"] == [tax]
    sums = [invoice[f"{name}_cents"] for name in ("net", "tax", "amount", "paid", "credited", "due")]
    assert sums == [2_050, 410, 2_460, 0, 0, 2_460]
    said = {name: invoice[name] for name in ("number", "kind", "user_id", "month", "plan", "status", "currency")}
    assert said == {
        "number": "FACT-203007-0001", "kind": "period", "user_id": alice.id, "month": "2030-06", "plan": "premium",
        "status": "pending", "currency": "EUR",
    }  # fmt: skip
    assert (invoice["period_start"], invoice["period_end"]) == ("2030-06-01T00:00:00Z", "2030-07-01T00:00:00Z")
    assert (invoice["issued_at"], invoice["due_on"], invoice["paid_at"]) == ("2030-07-01T00:00:00Z", "2030-07-31", None)
    assert (invoice["usage"], invoice["credited_number"], invoice["reason"]) == ({"api_calls": 3_150}, None, None)
    assert (invoice["seller"]["vat"], invoice["buyer"]) == ("FR11123456782", {"kind": "consumer", "country": "FR"})
    assert invoice["mentions"] == {"operation": "Catégorie de l'opération : prestations de services."}


def test_asked_for_again_it_is_the_same_one(june: Office, alice: Person, ada: Person) -> None:
    first = june.post(ada, f"/generate/{alice.id}", {"period": "2030-06"})
    june.it_is(7, 9)
    again = june.post(ada, f"/generate/{alice.id}", {"period": "2030-06"}, **{"Idempotency-Key": "a"})
    assert (again.status_code, again.json) == (200, first.json)
    assert june.post(ada, f"/generate/{alice.id}").json == first.json, "without a period it is the last closed month"


def test_what_costs_nothing_has_no_invoice(june: Office, people: Cast) -> None:
    for _ in range(2):
        reply = june.post(people.ada, f"/generate/{people.bob.id}", {"period": "2030-06"})
        assert (reply.status_code, reply.json) == (200, {"invoice": None})
    assert june.numbers(people.bob) == []


def test_a_month_is_open_until_its_last_second_is_over(office: Office, alice: Person, ada: Person) -> None:
    begin(office.db, alice, "premium", 7)
    office.it_is(7, 31, 23)
    refused = office.post(ada, f"/generate/{alice.id}", {"period": "2030-07"})
    assert (refused.status_code, refused.json) == (
        409,
        {
            "error": "The month 2030-07 is not over: it closes at 2030-08-01T00:00:00Z.",
            "code": "period_open",
            "closes_at": "2030-08-01T00:00:00Z",
        },
    )
    assert office.post(ada, "/run", {"period": "2030-07"}).json["closes_at"] == "2030-08-01T00:00:00Z"
    office.it_is(8, 1)
    assert office.post(ada, f"/generate/{alice.id}", {"period": "2030-07"}).status_code == 201


def test_the_month_is_that_of_the_zone(make_app: Callable[..., Flask], db: Connection, people: Cast) -> None:
    office = Office(make_app(**SELLER, BILLING_TIMEZONE="Europe/Paris").test_client(), db)
    begin(db, people.alice, "premium", 6, 2)
    office.it_is(6, 30, 21)
    refused = office.post(people.ada, f"/generate/{people.alice.id}", {"period": "2030-06"})
    assert refused.json["closes_at"] == "2030-06-30T22:00:00Z"
    office.it_is(6, 30, 22)
    reply = office.post(people.ada, f"/generate/{people.alice.id}")
    assert (reply.status_code, reply.json["number"]) == (201, "FACT-203007-0001")


@pytest.mark.parametrize(("body", "loc"), [({"period": "2030-13"}, "/period"), ({"month": "2030-06"}, "/month")])
def test_what_is_no_month_is_a_fault(office: Office, ada: Person, body: dict[str, str], loc: str) -> None:
    for path in ("/generate/1", "/run"):
        reply = office.post(ada, path, body)
        assert (reply.status_code, [fault["loc"] for fault in reply.json["errors"]]) == (422, [loc])


def test_without_a_seller_it_is_said_what_is_missing(make_app: Callable[..., Flask], june: Office, ada: Person) -> None:
    nobody = Office(make_app(BILLING_SELLER_NAME="Turf").test_client(), june.db)
    for path in ("/generate/1", "/run"):
        refused = nobody.post(ada, path)
        assert (refused.status_code, refused.json["code"]) == (409, "seller_incomplete")
        assert "BILLING_SELLER_SIREN" in refused.json["error"]
        assert "BILLING_SELLER_NAME" not in refused.json["error"]
    assert june.numbers(ada) == []


# -- the run ---------------------------------------------------------------------------------------


def test_a_run_issues_every_month_that_is_over_and_a_second_one_nothing(june: Office, people: Cast) -> None:
    june.it_is(8, 1)  # June and July: Alice has two fees, Bob something in June
    first = june.post(people.ada, "/run")
    assert (first.status_code, first.json) == (200, {"issued": 2, "existing": 0, "skipped": 1, "failed": []})
    assert june.numbers(people.ada) == ["FACT-203008-0002", "FACT-203008-0001"]
    again = june.post(people.ada, "/run").json
    assert (again["issued"], again["skipped"], again["failed"]) == (0, 0, [])
    one = june.post(people.ada, "/run", {"period": "2030-06"}).json
    assert one == {"issued": 0, "existing": 1, "skipped": 0, "failed": []}
    assert june.numbers(people.dora) == [], "another tenant's run is its own"
    assert june.post(people.dora, "/run").json["issued"] == 2
    assert june.numbers(people.charlie) == ["FACT-203008-0002", "FACT-203008-0001"]


def test_the_fault_of_one_is_told_and_the_rest_goes_on(june: Office, people: Cast) -> None:
    begin(june.db, people.bob, "premium", 6)
    profiles.set_profile(june.db, at(6, 2), people.alice.id, 1, OVERSEAS)
    reply = june.post(people.ada, "/run")
    [failed] = reply.json["failed"]
    assert (reply.status_code, reply.json) == (200, {"issued": 1, "existing": 0, "skipped": 0, "failed": [failed]})
    assert (failed["user_id"], failed["month"], failed["code"]) == (people.alice.id, "2030-06", "tax_undecided")
    assert "GP" in failed["error"]
    refused = june.post(people.ada, f"/generate/{people.alice.id}")
    assert (refused.status_code, refused.json["code"]) == (409, "tax_undecided")
    profiles.set_profile(june.db, at(7, 2), people.alice.id, 1, Buyer("consumer", country="FR"))
    assert june.post(people.ada, "/run").json["issued"] == 1


def test_the_hosts_tax_function_is_asked_outside_of_any_transaction(
    june: Office, url: str, alice: Person, ada: Person
) -> None:
    from api_v1 import Billing

    asked: list[tuple[str, int]] = []
    works = False

    def tax(seller: Any, buyer: Any, lines: Any, on: Any) -> Any:
        assert not billing_db.in_transaction(billing_db.get_db(url))
        asked.append((on.isoformat(), len(lines)))
        if not works:
            raise TimeoutError
        return [{"category": "S", "rate": rate} for rate in ("20", "8.5")]

    app = Flask("taxed")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, **SELLER)
    Billing(app, tax=tax)
    taxed = Office(app.test_client(), june.db)
    refused = taxed.post(ada, f"/generate/{alice.id}")
    assert (refused.status_code, refused.json["code"]) == (409, "tax_failed")
    assert (
        refused.json["error"] == "The app's tax function tax failed (TimeoutError): the invoice waits for the next run."
    )
    assert taxed.post(ada, "/run").json["failed"][0]["code"] == "tax_failed"
    works = True
    taxes = taxed.post(ada, f"/generate/{alice.id}").json["taxes"]
    assert sorted((tax["vat_rate"], tax["tax_cents"]) for tax in taxes) == [("20", 380), ("8.5", 13)]
    assert {*asked} == {("2030-06-30", 2)}, "of the month that is billed"


# -- who sees what ---------------------------------------------------------------------------------


def test_a_user_sees_his_own_and_an_admin_his_tenants(june: Office, people: Cast) -> None:
    alices = issue_one(june.db, people.alice, 1_000, month="2030-04").number
    bobs = issue_one(june.db, people.bob, 1_000, month="2030-04").number
    charlies = issue_one(june.db, people.charlie, 1_000, month="2030-04").number
    assert (alices, bobs, charlies) == ("FACT-202605-0001", "FACT-202605-0002", "FACT-202605-0001")
    assert june.numbers(people.alice) == [alices]
    assert june.numbers(people.alice, user_id=people.alice.id) == [alices]
    assert june.numbers(people.alice, f"/{people.alice.id}") == [alices]
    assert june.numbers(people.ada) == [bobs, alices]
    assert june.numbers(people.ada, user_id=people.bob.id) == june.numbers(people.ada, f"/{people.bob.id}") == [bobs]
    assert june.numbers(people.ada, f"/{people.ada.id}") == []
    assert june.get(people.alice, f"/{alices}").json == june.get(people.alice).json["items"][0]
    assert june.get(people.ada, f"/{bobs}").json["user_id"] == people.bob.id
    assert june.get(people.charlie, f"/{charlies}").json["user_id"] == people.charlie.id, "the number is each tenant's"


def test_anothers_invoice_looks_as_one_that_is_not_there(june: Office, people: Cast) -> None:
    issue_one(june.db, people.alice, 1_000)
    number = issue_one(june.db, people.bob, 1_000).number
    for stranger in (people.alice, people.charlie, people.dora):
        for path in (f"/{number}", "/FACT-202605-0009", "/nonsense"):
            reply = june.get(stranger, path)
            assert (reply.status_code, reply.json) == (404, MISSING)
        for path in (f"/{people.bob.id}", "/999", f"/{2**63}", "/007", "/" + "9" * 300):
            reply = june.get(stranger, path)
            assert (reply.status_code, reply.json) == (404, MISSING)
        refused = june.get(stranger, user_id=people.bob.id)
        assert (refused.status_code, refused.json["code"]) == (404, "user_not_found")


def test_what_another_route_is_called_is_no_number(office: Office, ada: Person) -> None:
    assert office.get(ada, "/run").json["code"] == "method_not_allowed"
    assert office.client.options(f"{PREFIX}/invoices/run").headers["Allow"] == "POST"
    assert office.get(ada, "/runs").json == MISSING


def test_only_an_admin_issues_and_only_for_his_own(june: Office, people: Cast) -> None:
    for path in (f"/generate/{people.alice.id}", "/run"):
        assert june.post(people.alice, path).status_code == 403
    for named in (people.charlie.id, 999, "nobody"):
        refused = june.post(people.ada, f"/generate/{named}")
        assert (refused.status_code, refused.json["code"]) == (404, "user_not_found")
    assert june.numbers(people.charlie) == []


def test_a_list_is_read_page_by_page_and_by_status(june: Office, people: Cast) -> None:
    numbers = [issue_one(june.db, people.alice, cents, month=f"2030-0{cents}").number for cents in (1, 2, 3, 4)]
    issue_one(june.db, people.bob, 1_000)
    with atomic(june.db):
        execute(june.db, "UPDATE invoices SET status = 'overdue' WHERE invoice_number = :number", number=numbers[1])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        reply = june.get(people.alice, limit=2, **cursor).json
        seen += [item["number"] for item in reply["items"]]
        if reply["next_cursor"] is None:
            break
        cursor = {"cursor": reply["next_cursor"]}
    assert seen == numbers[::-1]
    assert june.numbers(people.alice, status="overdue") == numbers[1:2]
    assert june.numbers(people.ada, f"/{people.alice.id}", status="pending", limit=2) == [numbers[3], numbers[2]]
    for query, loc in (({"limit": 0}, "/limit"), ({"limit": 101}, "/limit"), ({"status": "open"}, "/status")):
        assert june.get(people.alice, **query).json["errors"][0]["loc"] == loc
    assert june.get(people.alice, cursor="e30").json["code"] == "cursor_invalid"


def test_adopted_invoices_stand_beside_ours(june: Office, alice: Person, ada: Person) -> None:
    with atomic(june.db):
        for number, status in (("2024-A 7", "paid"), ("20240008", "pending")):
            execute(
                june.db,
                """INSERT INTO invoices (invoice_number, user_id, period_start, period_end, plan, amount_cents, status)
                   VALUES (:number, :user_id, '2024-01-01', '2024-02-01', 'premium', 1200, :status)""",
                number=number,
                user_id=alice.id,
                status=status,
            )
    june.post(ada, f"/generate/{alice.id}")
    items = {item["number"]: item for item in june.get(alice).json["items"]}
    assert list(items) == ["FACT-203007-0001", "20240008", "2024-A 7"]
    old = items["2024-A 7"]
    assert (old["kind"], old["net_cents"], old["tax_cents"], old["lines"], old["month"]) == (
        "adopted",
        None,
        None,
        [],
        None,
    )
    assert [(item["amount_cents"], item["paid_cents"], item["due_cents"]) for item in items.values()] == [
        (2_460, 0, 2_460), (1_200, 0, 1_200), (1_200, 1_200, 0)]  # fmt: skip
    for number, item in items.items():
        assert june.get(alice, f"/{number}").json == item, "also one of digits alone, where no user has that id"


def test_where_ids_are_texts_digits_are_one_too(empty_url: str) -> None:
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, "CREATE TABLE users (id VARCHAR(40) PRIMARY KEY, name TEXT)")
        execute(db, "INSERT INTO users VALUES ('007', 'james'), ('m', 'olivia')")
    from api_v1 import Billing

    app = Flask("host")
    app.config.update(TESTING=True, TURF_SAAS_DB=empty_url, JWT_SECRET_KEY=SECRET, **SELLER)
    Billing(app, is_admin=lambda user_id: user_id == "m")
    james, olivia = (({"Authorization": f"Bearer {token_for(user_id)}"}) for user_id in ("007", "m"))
    client = app.test_client()
    client.post(
        f"{PREFIX}/subscriptions", json={"plan": "premium", "user_id": "007", "start_at": "2026-01-01"}, headers=olivia
    )
    assert client.post(f"{PREFIX}/invoices/generate/007", json={"period": "2026-01"}, headers=olivia).status_code == 201
    for path in ("", "/007"):
        assert [item["user_id"] for item in client.get(f"{PREFIX}/invoices{path}", headers=james).json["items"]] == [
            "007"
        ]
    assert client.get(f"{PREFIX}/invoices/7", headers=james).status_code == 404
    db.close()
