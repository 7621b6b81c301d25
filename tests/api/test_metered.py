"""The host's own routes are counted, and refused past a quota."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api_v1 import metered, requires_quota
from api_v1.signals import usage_threshold_reached
from billing_db import Connection, fetch_all
from tests.api.metered_host import make_host
from tests.cast import Cast, Person


@pytest.fixture
def host(url: str, people: Cast) -> Flask:
    return make_host(url, PROPAGATE_EXCEPTIONS=False, BILLING_LIMIT_FREE_API_CALLS="3", BILLING_LIMIT_FREE_TOKENS="100")


@pytest.fixture
def visitor(host: Flask) -> FlaskClient:
    return host.test_client()


def counted(db: Connection) -> dict[tuple[Any, str], int]:
    rows = fetch_all(db, "SELECT user_id, endpoint, SUM(api_calls) AS calls FROM consumption_log GROUP BY 1, 2")
    return {(row["user_id"], row["endpoint"]): int(row["calls"]) for row in rows if row["calls"]}


RACE = "/api/races/<int:race>"


def test_a_call_is_counted_under_its_rule(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    for race in (7, 8):
        assert visitor.get(f"/api/races/{race}", headers=alice.headers).status_code == 200
    assert counted(db) == {(alice.id, RACE): 2}


def test_a_request_id_of_the_client_suppresses_nothing(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    for _ in range(2):
        visitor.get(
            "/api/races/7", headers={**alice.headers, "X-Request-ID": "the-same", "Idempotency-Key": "the-same"}
        )
    assert counted(db) == {(alice.id, RACE): 2}


@pytest.mark.parametrize(
    ("status", "counts"), [(200, 1), (204, 1), (302, 1), (400, 1), (404, 1), (429, 0), (500, 0), (503, 0)]
)
def test_which_statuses_count(visitor: FlaskClient, alice: Person, db: Connection, status: int, counts: int) -> None:
    assert visitor.get(f"/api/races/7?status={status}", headers=alice.headers).status_code == status
    assert counted(db) == ({(alice.id, RACE): 1} if counts else {})


def test_the_host_says_what_counts(url: str, alice: Person, db: Connection) -> None:
    host = make_host(url, BILLING_METER_METHODS="POST", BILLING_METER_STATUSES="2xx,429")
    visitor = host.test_client()
    visitor.get("/api/races/7", headers=alice.headers)
    visitor.post("/api/races/7?status=404", headers=alice.headers)
    assert counted(db) == {}
    visitor.post("/api/races/7", headers=alice.headers)
    visitor.post("/api/races/7?status=429", headers=alice.headers)
    assert counted(db) == {(alice.id, RACE): 2}


def test_neither_a_preflight_nor_a_stranger_nor_a_crash_is_counted(
    visitor: FlaskClient, alice: Person, db: Connection
) -> None:
    assert visitor.options("/api/races/7", headers=alice.headers).status_code == 200
    assert visitor.get("/api/races/7").status_code == 200
    assert visitor.get("/api/breaks", headers=alice.headers).status_code == 500
    assert counted(db) == {}


def test_a_prefix_counts_what_is_below_it_once_and_never_our_own_routes(
    url: str, alice: Person, db: Connection
) -> None:
    visitor = make_host(url, meter="/").test_client()
    for path in ("/api/races/7", "/api/plain", "/outside", "/api/v1/billing/consumption", "/nowhere", "/quota"):
        visitor.get(path, headers=alice.headers)
    assert counted(db) == {(alice.id, rule): 1 for rule in (RACE, "/api/plain", "/outside", "/quota")}
    below = make_host(url, meter=["/api/"]).test_client()
    for path in ("/api/plain", "/outside"):
        below.get(path, headers=alice.headers)
    assert counted(db)[alice.id, "/api/plain"] == 2
    assert counted(db)[alice.id, "/outside"] == 1


@pytest.mark.parametrize(
    ("meter", "below"),
    [
        ("/api", {"/api", "/api/", "/api/races", "/api/races/"}),
        ("/api/", {"/api/", "/api/races", "/api/races/"}),
        (["/api/races", "/apiary"], {"/api/races", "/api/races/", "/apiary"}),
        ("/", {"/api", "/api/", "/api/races", "/api/races/", "/apiary", "/"}),
    ],
)
def test_a_prefix_ends_at_a_slash(
    url: str, alice: Person, db: Connection, meter: str | list[str], below: set[str]
) -> None:
    host = make_host(url, meter=meter)
    paths = ("/api", "/api/", "/api/races", "/api/races/", "/apiary", "/")
    for path in paths:
        host.add_url_rule(path, f"at {path}", lambda: "", strict_slashes=True)
    for path in paths:
        assert host.test_client().get(path, headers=alice.headers).status_code == 200
    assert counted(db) == {(alice.id, path): 1 for path in below}


def test_a_metered_answer_says_how_much_is_left(visitor: FlaskClient, alice: Person) -> None:
    said = [visitor.get("/api/races/7", headers=alice.headers).headers for _ in range(4)]
    assert [headers.get("X-Billing-Alert") for headers in said] == [
        None,
        None,
        "hard_limit_reached",
        "hard_limit_reached",
    ]
    assert [headers["RateLimit-Remaining"] for headers in said] == ["2", "1", "0", "0"]
    assert {headers["RateLimit-Limit"] for headers in said} == {"3"}


def test_a_quota_admits_up_to_the_limit_and_counts_once(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    answers = [visitor.get("/quota", headers=alice.headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert counted(db) == {(alice.id, "/quota"): 3}
    refused = answers[-1]
    assert refused.json is not None
    assert refused.json["code"] == "quota_exceeded"
    assert refused.headers["X-Billing-Alert"] == "hard_limit_reached"
    assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("3", "0")
    assert int(refused.headers["Retry-After"]) == int(refused.headers["RateLimit-Reset"]) >= 1


@pytest.mark.parametrize("path", ["/quota?status=500", "/quota?status=429", "/quota/breaks"])
def test_an_answer_that_does_not_count_gives_the_quota_back(
    visitor: FlaskClient, alice: Person, db: Connection, path: str
) -> None:
    for _ in range(5):
        visitor.get(path, headers=alice.headers)
    assert counted(db) == {}
    assert visitor.get("/quota", headers=alice.headers).status_code == 200


def test_a_crash_that_the_host_lets_through_gives_the_quota_back(url: str, alice: Person, db: Connection) -> None:
    visitor = make_host(url, TESTING=True).test_client()
    with pytest.raises(RuntimeError, match="a fault of the host"):
        visitor.get("/quota/breaks", headers=alice.headers)
    assert counted(db) == {}


def test_a_quota_of_another_metric_is_an_event(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    statuses = [visitor.get(f"/quota/tokens/{n}", headers=alice.headers).status_code for n in (60, 41, 40)]
    assert statuses == [200, 429, 200]
    visitor.get("/quota/tokens/1", headers=alice.headers)
    events = fetch_all(db, "SELECT metric, quantity FROM usage_events WHERE user_id = :id", id=alice.id)
    assert [(row["metric"], row["quantity"]) for row in events] == [("tokens", 60), ("tokens", 40)]


def test_tokens_are_given_back_by_a_correction(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    assert visitor.get("/quota/tokens/60?status=500", headers=alice.headers).status_code == 500
    events = fetch_all(db, "SELECT quantity FROM usage_events WHERE user_id = :id ORDER BY quantity DESC", id=alice.id)
    assert [row["quantity"] for row in events] == [60, -60]
    assert visitor.get("/quota/tokens/100", headers=alice.headers).status_code == 200


def test_a_soft_quota_only_warns(visitor: FlaskClient, alice: Person, db: Connection) -> None:
    answers = [visitor.get("/quota/soft", headers=alice.headers) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[-1].headers["X-Billing-Alert"] == "hard_limit_reached"
    assert counted(db) == {(alice.id, "/quota/soft"): 5}


def test_a_preflight_needs_no_quota(visitor: FlaskClient, db: Connection) -> None:
    assert visitor.options("/quota/preflight").status_code == 200
    assert visitor.get("/quota/preflight").status_code == 401
    assert counted(db) == {}


def test_of_two_quotas_the_refusing_one_speaks_and_the_other_gets_its_own_back(
    visitor: FlaskClient, alice: Person, db: Connection
) -> None:
    for _ in range(3):
        visitor.get("/quota", headers=alice.headers)
    refused = visitor.get("/quota/two", headers=alice.headers)
    assert refused.status_code == 429
    assert refused.json is not None
    assert refused.json["metric"] == "api_calls"
    assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("3", "0")
    events = fetch_all(db, "SELECT quantity FROM usage_events WHERE user_id = :id ORDER BY quantity DESC", id=alice.id)
    assert [row["quantity"] for row in events] == [60, -60]


def test_a_stranger_has_no_quota(visitor: FlaskClient) -> None:
    answer = visitor.get("/quota")
    assert (answer.status_code, answer.json and answer.json["code"]) == (401, "unauthenticated")


def test_each_threshold_is_told_once(host: Flask, visitor: FlaskClient, alice: Person) -> None:
    heard = []

    def listen(app: Flask, crossing: Any) -> None:
        heard.append((app.name, crossing.user_id, crossing.metric, crossing.percent, crossing.used, crossing.limit))

    with usage_threshold_reached.connected_to(listen, sender=host):
        for _ in range(5):
            visitor.get("/api/races/7", headers=alice.headers)
    # 3 of 3: 80 % of 3 is 2.4, so the third call reaches both.
    assert heard == [
        ("metered_host", alice.id, "api_calls", 80, 3, 3),
        ("metered_host", alice.id, "api_calls", 100, 3, 3),
    ]


def test_a_receiver_that_fails_does_not_harm_the_answer(host: Flask, visitor: FlaskClient, alice: Person) -> None:
    def fail(app: Flask, crossing: Any) -> None:
        raise RuntimeError("the host's mail server is down")

    with usage_threshold_reached.connected_to(fail, sender=host):
        statuses = [visitor.get("/api/races/7", headers=alice.headers).status_code for _ in range(3)]
    assert statuses == [200, 200, 200]


def test_a_login_that_billing_does_not_know_is_told_once(
    visitor: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        visitor.get("/api/races/7")
    said = [record for record in caplog.records if "user_loader=" in record.getMessage()]
    assert len(said) == 1


def test_a_receiver_inside_a_function_is_not_forgotten(host: Flask, visitor: FlaskClient, alice: Person) -> None:
    heard = []

    def create() -> None:
        @usage_threshold_reached.connect
        def send_mail(app: Flask, crossing: Any) -> None:
            heard.append(crossing.percent)

    create()
    try:
        for _ in range(3):
            visitor.get("/api/races/7", headers=alice.headers)
    finally:
        usage_threshold_reached.receivers.clear()
    assert heard == [80, 100]


def test_of_two_quotas_the_scarcer_one_is_shown(visitor: FlaskClient, alice: Person) -> None:
    answer = visitor.get("/quota/two", headers=alice.headers)  # 60 of 100 tokens, 1 of 3 calls
    assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("100", "40")


def test_a_decorator_that_is_written_wrongly_is_told_at_once() -> None:
    for wrong in (lambda: metered(len), lambda: metered("api_calls", 0), lambda: metered("api_calls", lambda: 1)):  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            wrong()
    for name in ("My Tokens", "", "tokens\n", "é"):
        with pytest.raises(ValueError, match="is no metric"):
            requires_quota(name)
