"""Billing beside a host's own things: what the host answers is the same with it and without it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Blueprint, Flask, Response, abort, got_request_exception, jsonify, request, session, url_for
from flask.json.provider import DefaultJSONProvider
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, jwt_required
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from api_v1 import Billing, billing_bp
from tests.cast import SECRET, token_for

PREFIX = "/api/v1/billing"
CONSUMPTION = f"{PREFIX}/consumption"
ALICE = {"Authorization": f"Bearer {token_for(1)}"}


class Shouting(DefaultJSONProvider):
    """A host's own idea of JSON."""

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return super().response({"HOST": args[0] if args else kwargs})


def their_errors(app: Flask) -> None:
    for status in (401, 403, 404, 405, 413, 418, 429, 500, 503):
        app.register_error_handler(status, lambda error, status=status: (f"<h1>host's {status}</h1>", status))
    app.register_error_handler(HTTPException, lambda error: ("<h1>host's HTTP</h1>", error.code or 500))
    app.register_error_handler(Exception, lambda error: (f"<h1>host's {type(error).__name__}</h1>", 500))


def their_tokens(app: Flask) -> None:
    jwt = JWTManager(app)
    jwt.unauthorized_loader(lambda reason: (f"<h1>no token: {reason}</h1>", 401))
    jwt.invalid_token_loader(lambda reason: ("<h1>bad token</h1>", 418))
    jwt.expired_token_loader(lambda header, claims: ("<h1>too late</h1>", 401))
    jwt.revoked_token_loader(lambda header, claims: ("<h1>taken back</h1>", 401))
    jwt.token_in_blocklist_loader(lambda header, claims: claims["sub"] == "666")
    jwt.additional_claims_loader(lambda identity: {"host": True})

    @app.get("/private")
    @jwt_required()
    def private() -> Response:
        return jsonify("private")


def their_hooks(app: Flask) -> None:
    @app.before_request
    def refuse() -> Any:
        if "refuse" in request.args:
            abort(int(request.args["refuse"]))
        return Response("the host is closed", 503) if "closed" in request.args else None

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["Access-Control-Allow-Origin"] = "https://app.example"
        response.headers["X-Host"] = str(app.config.get("NAME"))
        return response


def their_billing(app: Flask) -> None:
    """The name is taken: a blueprint, a route below our prefix and commands."""
    billing = Blueprint("billing", "host", cli_group="billing")
    billing.add_url_rule("/billing/", "index", lambda: jsonify(here=url_for("billing.index")))
    billing.add_url_rule(f"{PREFIX}/theirs", "theirs", lambda: "theirs", methods=["GET", "POST"])

    @billing.cli.command("hello")
    def hello() -> None:
        click.echo("the host's own")

    app.register_blueprint(billing)


def their_routes(app: Flask) -> None:
    @app.post("/count")
    def count() -> Response:
        session["count"] = session.get("count", 0) + 1
        return jsonify(session["count"])

    @app.get("/boom")
    def boom() -> None:
        raise LookupError("boom")

    @app.get("/teapot")
    def teapot() -> None:
        abort(418)

    app.add_url_rule("/<path:page>", "spa", lambda page: f"<h1>{page}</h1>", methods=["GET"])


PARTS = [their_errors, their_tokens, their_hooks, their_billing, their_routes]


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Flask]:
    """A host with all of that; `billing` says when we come in: "first", "last" or never."""

    def make(billing: str | None = None, **options: Any) -> Flask:
        app = Flask("host")
        app.json = Shouting(app)
        app.config.update(
            SECRET_KEY="host", JWT_SECRET_KEY=SECRET, TURF_SAAS_DB=tmp_path / "b.db", BILLING_ENV="testing"
        )
        app.config["MAX_CONTENT_LENGTH"] = 1000
        if billing == "first":
            Billing(app, **options)
        for part in PARTS:
            part(app)
        if billing == "last":
            app.register_blueprint(billing_bp, **options)
        return app

    return make


@pytest.fixture(params=["first", "last"])
def when(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def tokens(app: Flask) -> dict[str, str]:
    with app.app_context():
        return {
            "none": "",
            "good": create_access_token("1"),
            "expired": create_access_token("1", expires_delta=timedelta(seconds=-5)),
            "refresh": create_refresh_token("1"),
            "revoked": create_access_token("666"),
            "garbage": "a.b.c",
        }


def shown(reply: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return reply.status_code, reply.data, sorted(reply.headers.items())


HOST_REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/", {}),
    ("GET", "/some/page", {}),
    ("POST", "/some/page", {}),
    ("OPTIONS", "/some/page", {}),
    ("TRACE", "/some/page", {}),
    ("GET", "/billing/", {}),
    ("GET", "/billing", {}),
    ("POST", "/count", {}),
    ("GET", "/count", {}),
    ("POST", "/count", {"data": b"x" * 2000}),
    ("GET", "/boom", {}),
    ("GET", "/teapot", {}),
    ("GET", "/api/v1/billin", {}),
    ("GET", "/api/v1/billings/consumption", {}),
    ("GET", f"{PREFIX}/theirs", {}),
    ("POST", f"{PREFIX}/theirs", {}),
    ("OPTIONS", f"{PREFIX}/theirs", {}),
    *[("GET", f"/some/page?refuse={status}", {}) for status in (401, 403, 404, 429, 503)],
    ("GET", "/some/page?closed", {}),
]


@pytest.mark.parametrize(("method", "path", "options"), HOST_REQUESTS)
def test_the_hosts_own_answers_are_the_same_to_the_byte(
    host: Callable[..., Flask], when: str, method: str, path: str, options: dict[str, Any]
) -> None:
    without, beside = host().test_client(), host(when).test_client()
    assert shown(beside.open(path, method=method, **options)) == shown(without.open(path, method=method, **options))


@pytest.mark.parametrize("kind", ["none", "good", "expired", "refresh", "revoked", "garbage"])
def test_its_token_callbacks_speak_on_its_routes_and_not_on_ours(
    host: Callable[..., Flask], when: str, kind: str
) -> None:
    without, beside = host(), host(when)
    token = tokens(beside)[kind]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    theirs = beside.test_client().get("/private", headers=headers)
    assert shown(theirs) == shown(without.test_client().get("/private", headers=headers))
    ours = beside.test_client().get(CONSUMPTION, headers=headers)
    assert (ours.status_code, ours.mimetype) == (200 if kind == "good" else 401, "application/json")
    assert (theirs.status_code, theirs.mimetype) == (
        ours.status_code,
        "application/json",
    ) or theirs.mimetype == "text/html"
    if kind != "good":
        assert ours.json["code"] == "unauthenticated"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{PREFIX}/nothing", 404, "not_found"),
        ("GET", f"{PREFIX}/", 404, "not_found"),
        ("POST", CONSUMPTION, 405, "method_not_allowed"),
        ("DELETE", f"{PREFIX}/theirs", 405, "method_not_allowed"),
        ("GET", CONSUMPTION, 401, "unauthenticated"),
        ("GET", f"{CONSUMPTION}?refuse=401", 401, "unauthenticated"),
        ("GET", f"{CONSUMPTION}?refuse=403", 403, "forbidden"),
        ("GET", f"{CONSUMPTION}?refuse=404", 404, "not_found"),
        ("GET", f"{CONSUMPTION}?refuse=413", 413, "body_too_large"),
        ("GET", f"{CONSUMPTION}?refuse=418", 418, "bad_request"),
        ("GET", f"{CONSUMPTION}?refuse=429", 429, "too_many_requests"),
        ("GET", f"{CONSUMPTION}?refuse=500", 500, "internal_error"),
        ("GET", f"{CONSUMPTION}?refuse=503", 503, "service_unavailable"),
    ],
)
def test_below_our_prefix_every_error_is_ours_in_json(
    host: Callable[..., Flask], when: str, method: str, path: str, status: int, code: str
) -> None:
    reply = host(when).test_client().open(path, method=method)
    assert (reply.status_code, reply.mimetype) == (status, "application/json")
    assert json.loads(reply.data)["code"] == code  # the host's JSON provider has no part in it
    assert reply.headers["X-Host"] == "None"  # its after_request has
    assert reply.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_a_response_of_the_hosts_before_request_goes_through_as_it_is(host: Callable[..., Flask], when: str) -> None:
    reply = host(when).test_client().get(f"{CONSUMPTION}?closed", headers=ALICE)
    assert (reply.status_code, reply.data) == (503, b"the host is closed")


def test_a_preflight_request_gets_the_hosts_cors_headers(host: Callable[..., Flask], when: str) -> None:
    reply = host(when).test_client().options(CONSUMPTION, headers={"Origin": "https://app.example"})
    assert (reply.status_code, reply.headers["Allow"]) == (204, "GET")
    assert reply.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_reading_the_month_leaves_the_hosts_session_alone(host: Callable[..., Flask], when: str) -> None:
    client = host(when).test_client()
    client.post("/count")
    reply = client.get(CONSUMPTION, headers=ALICE)
    assert reply.status_code == 200
    assert "Set-Cookie" not in reply.headers
    assert client.post("/count").json == {"HOST": 2}


def test_a_fault_of_ours_is_told_to_the_host_and_shown_to_nobody(
    host: Callable[..., Flask], when: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise LookupError("the loader fell over")

    app = host(when, user_loader=broken)
    heard: list[Exception] = []

    def hear(_sender: Flask, exception: Exception, **_: Any) -> None:
        heard.append(exception)

    with got_request_exception.connected_to(hear, app):
        reply = app.test_client().get(CONSUMPTION)
    assert (reply.status_code, reply.json["code"]) == (500, "internal_error")
    assert "fell over" not in reply.text
    assert [type(error) for error in heard] == [LookupError]
    [record] = [record for record in caplog.records if record.name == "host"]
    assert record.getMessage() == f"Exception on {CONSUMPTION} [GET]"
    assert record.exc_info is not None


def test_the_hosts_logging_is_not_configured(host: Callable[..., Flask], when: str) -> None:
    def configured() -> Any:
        return (
            logging.root.handlers[:],
            logging.root.level,
            logging.getLogger("host").handlers[:],
            logging.root.disabled,
        )

    before = configured()
    host(when).test_client().get(CONSUMPTION, headers=ALICE)
    assert configured() == before
    ours = logging.getLogger("turf_saas")
    assert [type(handler) for handler in ours.handlers] == [logging.NullHandler]
    assert (ours.level, ours.propagate) == (logging.NOTSET, True)


def test_the_hosts_own_billing_blueprint_and_commands_stay_its_own(host: Callable[..., Flask], when: str) -> None:
    app = host(when)
    assert app.blueprints["billing"] is not billing_bp
    assert app.test_client().get("/billing/").json == {"HOST": {"here": "/billing/"}}
    with app.test_request_context():
        assert url_for("turf_saas_billing.consumption") == CONSUMPTION

    runner = app.test_cli_runner()
    assert runner.invoke(args=["billing", "hello"]).output == "the host's own\n"
    ours = runner.invoke(args=["turf-billing", "migrate"])
    assert (ours.exit_code, ours.exception) == (0, None), ours.output
    assert runner.invoke(args=["billing", "migrate"]).exit_code == 2


def test_where_the_host_has_no_such_commands_ours_have_the_short_name(tmp_path: Path) -> None:
    app = Flask("host")
    app.config.update(TESTING=True, TURF_SAAS_DB=tmp_path / "b.db")
    Billing(app)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["billing", "migrate"]).exit_code == 0
    listed = runner.invoke(args=["--help"]).output
    assert "  billing" in listed
    assert "turf-billing" not in listed


@pytest.mark.parametrize("path", ["/apispec_1.json", "/apidocs/"])
def test_a_hosts_flasgger_describes_the_host_as_before(host: Callable[..., Flask], when: str, path: str) -> None:
    flasgger = pytest.importorskip("flasgger", reason="flasgger is not installed")

    def documented(app: Flask) -> TestResponse:
        flasgger.Swagger(app)

        @app.get("/horses/<int:horse_id>")
        def horse(horse_id: int) -> str:
            """One horse.
            ---
            parameters:
              - {name: horse_id, in: path, type: integer, required: true}
            responses:
              200: {description: The horse}
            """
            return str(horse_id)

        return app.test_client().get(path)

    beside = documented(host(when))
    assert beside.status_code == 200
    assert shown(beside) == shown(documented(host()))
    if path.endswith(".json"):
        assert list(beside.json["HOST"]["paths"]) == ["/horses/{horse_id}"]


def test_a_host_may_choose_the_name_of_our_commands(tmp_path: Path) -> None:
    app = Flask("host")
    app.config.update(TESTING=True, TURF_SAAS_DB=tmp_path / "b.db")
    app.register_blueprint(billing_bp, cli_group="saas")
    runner = app.test_cli_runner()
    assert runner.invoke(args=["saas", "migrate"]).exit_code == 0
    assert runner.invoke(args=["billing", "migrate"]).exit_code == 2
