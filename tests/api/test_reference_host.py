"""The reference host: what it answers, on both engines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing_db import Connection, atomic, execute, fetch_one
from tests.cast import SECRET, Cast, token_for
from turf_saas import demo
from turf_saas.settings import read_settings
from turf_saas.users import get_users_table
from wsgi import RACES, create_app

RACES_PATH = "/api/demo/races"
CONSUMPTION = "/api/v1/billing/consumption"


@pytest.fixture
def make_host(url: str) -> Callable[..., Flask]:
    def make(**config: Any) -> Flask:
        given = {"TURF_SAAS_DB": url, "JWT_SECRET_KEY": SECRET, "BILLING_ENV": "development", **config}
        return create_app({name: value for name, value in given.items() if value is not None})

    return make


@pytest.fixture
def host(make_host: Callable[..., Flask]) -> FlaskClient:
    return make_host().test_client()


def used(db: Connection, user_id: int) -> int:
    row = fetch_one(
        db, "SELECT COALESCE(CAST(SUM(used) AS BIGINT), 0) AS used FROM usage_counters WHERE user_id = :u", u=user_id
    )
    return int(row["used"])


# -- the metered route -----------------------------------------------------------------------------


def test_every_call_of_the_demo_route_is_counted_for_its_caller(
    host: FlaskClient, db: Connection, people: Cast
) -> None:
    for number in (1, 2, 3):
        reply = host.get(RACES_PATH, headers=people.alice.headers)
        assert (reply.status_code, reply.json) == (200, {"races": RACES})
        assert used(db, people.alice.id) == number
    assert used(db, people.bob.id) == 0
    log = fetch_one(db, "SELECT endpoint, api_calls, tenant_id FROM consumption_log")
    assert (log["endpoint"], log["api_calls"], log["tenant_id"]) == (RACES_PATH, 3, 1)
    month = host.get(CONSUMPTION, headers=people.alice.headers).json
    assert month["consumption"]["total_api_calls"] == 3


def test_the_header_turns_soft_at_80_percent_and_hard_at_100(make_host: Callable[..., Flask], people: Cast) -> None:
    host = make_host(BILLING_LIMIT_FREE_API_CALLS=10).test_client()
    said = [host.get(RACES_PATH, headers=people.alice.headers).headers.get("X-Billing-Alert") for _ in range(11)]
    assert said == [None] * 7 + ["soft_limit_warning"] * 2 + ["hard_limit_reached"] * 2


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer bk_x"}])
def test_without_a_good_token_nothing_is_counted(
    host: FlaskClient, db: Connection, people: Cast, headers: dict[str, str]
) -> None:
    reply = host.get(RACES_PATH, headers=headers)
    assert (reply.status_code, reply.json["code"]) == (401, "unauthenticated")
    assert fetch_one(db, "SELECT 1 FROM consumption_log") is None


def test_a_token_of_somebody_who_is_not_there_any_more_is_refused(
    host: FlaskClient, db: Connection, people: Cast
) -> None:
    with atomic(db):
        execute(db, "DELETE FROM users WHERE id = :id", id=people.bob.id)
    for user_id in (people.bob.id, 999):
        reply = host.get(RACES_PATH, headers={"Authorization": f"Bearer {token_for(user_id)}"})
        assert reply.status_code == 401


def test_what_a_user_sees_is_kept_nowhere(host: FlaskClient, people: Cast) -> None:
    reply = host.get(RACES_PATH, headers=people.alice.headers)
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


# -- logging in ------------------------------------------------------------------------------------


def test_the_demo_user_logs_in_and_sees_85_percent(make_host: Callable[..., Flask], db: Connection, url: str) -> None:
    app = make_host()
    settings = read_settings({"TURF_SAAS_DB": url, "BILLING_ENV": "development"})
    demo.install(db, app.extensions["billing"].now(), settings, get_users_table(db))
    host = app.test_client()
    login = {"email": "demo@example.com", "password": "demo-demo-demo"}
    answer = host.post("/api/v1/billing/auth/login", json=login).json
    assert (answer["user_id"], answer["tenant_id"], answer["role"]) == (1, 1, "user")
    assert answer["expires_in"] == 3600
    reply = host.get(CONSUMPTION, headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert reply.headers["X-Billing-Alert"] == "soft_limit_warning"
    assert reply.json["consumption"] == {"total_api_calls": 2550, "limit_api_calls": 3000, "usage_pct": 85.0}

    page = host.get("/").text
    assert "demo@example.com" in page
    assert "demo-demo-demo" in page

    production = make_host(BILLING_ENV="production").test_client()
    assert "demo-demo-demo" not in production.get("/").text
    refused = production.post("/api/v1/billing/auth/login", json=login)
    assert (refused.status_code, refused.json["code"]) == (403, "demo_in_production")


# -- the page, and what is not there ---------------------------------------------------------------


def test_the_page_speaks_french_or_english(host: FlaskClient) -> None:
    assert '<html lang="fr">' in host.get("/").text
    assert '<html lang="en">' in host.get("/", headers={"Accept-Language": "en-GB"}).text
    assert '<html lang="fr">' in host.get("/", headers={"Accept-Language": "fr-CA, en;q=0.5"}).text


def test_the_page_asks_no_other_host_and_runs_nothing(host: FlaskClient) -> None:
    reply = host.get("/")
    links = re.findall(r'(?:href|src|action)="([^"]*)"', reply.text)
    assert links
    assert all(link.startswith("/") and not link.startswith("//") for link in links)
    assert "<script" not in reply.text
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_every_link_of_the_page_leads_somewhere(host: FlaskClient) -> None:
    links = re.findall(r'href="([^"]*)"', host.get("/").text)
    assert [(link, host.get(link).status_code) for link in links] == [(link, 200) for link in links]


def test_a_host_name_made_of_html_stays_text(host: FlaskClient) -> None:
    for environ in ({"HTTP_HOST": "<script>alert(1)</script>"}, {"HTTP_HOST": '"><b>'}):
        assert "<script>" not in host.get("/", environ_overrides=environ).text


def test_in_production_the_page_says_how_the_first_account_is_made(make_host: Callable[..., Flask]) -> None:
    page = make_host(BILLING_ENV="production").test_client().get("/").text
    assert "flask --app wsgi billing admin create" in page


@pytest.mark.parametrize(("path", "word"), [("/healthz", "ok"), ("/readyz", "ready")])
def test_health_is_asked_at_the_root_as_well(host: FlaskClient, path: str, word: str) -> None:
    for prefix in ("", "/api/v1/billing"):
        reply = host.get(prefix + path)
        assert (reply.status_code, reply.json) == (200, word)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/demo/nothing", 404, "not_found"),
        ("POST", RACES_PATH, 405, "method_not_allowed"),
        ("DELETE", "/", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_outside_the_prefix_a_refusal_is_json_too(
    host: FlaskClient, method: str, path: str, status: int, code: str
) -> None:
    reply = host.open(path, method=method)
    assert (reply.status_code, reply.json["code"]) == (status, code)
    assert ("Allow" in reply.headers) == (status == 405)


def test_a_redirect_stays_one(host: FlaskClient) -> None:
    reply = host.get("/apidocs")
    assert (reply.status_code, reply.headers["Location"]) == (308, "http://localhost/apidocs/")
