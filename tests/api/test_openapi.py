"""GET /openapi.json: valid, complete, and true of where it is mounted; and the same in 3.0.3."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from api_v1 import Billing, openapi
from api_v1.routing import OPERATIONS
from tests.answers import fits, hold_to_document
from tests.cast import SECRET, Person

PREFIX = "/api/v1/billing"


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    """The document does not ask the database."""
    return str(request.param)


@pytest.fixture(params=["1", "0"], ids=["accounts", "host"])
def document(request: pytest.FixtureRequest, make_app: Callable[..., Flask]) -> Any:
    return make_app(BILLING_ACCOUNTS=request.param).test_client().get(f"{PREFIX}/openapi.json").json


def operations(document: Any) -> dict[str, Any]:
    return {found["operationId"]: found for methods in document["paths"].values() for found in methods.values()}


def test_the_document_is_valid_openapi_3_1(document: Any) -> None:
    validate = pytest.importorskip("openapi_spec_validator").validate
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_the_same_is_valid_openapi_3_0_3(document: Any) -> None:
    validate = pytest.importorskip("openapi_spec_validator").validate
    older = openapi.as_3_0(document)
    assert older["openapi"] == "3.0.3"
    validate(older)
    assert '"null"' not in json.dumps(older)
    assert operations(older).keys() == operations(document).keys()


def test_it_has_every_operation_and_accounts_only_where_they_are_kept(make_app: Callable[..., Flask]) -> None:
    for setting, shown in (("1", OPERATIONS), ("0", [found for found in OPERATIONS if not found.accounts])):
        document = make_app(BILLING_ACCOUNTS=setting).test_client().get(f"{PREFIX}/openapi.json").json
        assert operations(document).keys() == {operation.name for operation in shown}


def test_consumption_as_it_is_documented(document: Any) -> None:
    found = operations(document)["consumption"]
    assert document["paths"]["/consumption"]["get"] is found
    assert [(parameter["name"], parameter["in"], parameter["required"]) for parameter in found["parameters"]] == [
        ("month", "query", False)
    ]
    assert list(found["responses"]) == ["200", "400", "401", "403", "404", "422", "503"]
    assert list(found["responses"]["200"]["headers"]) == ["X-Billing-Alert"]
    assert "security" not in found  # the document's own: a token or a key
    assert "`billing.read`" in found["description"]
    model = document["components"]["schemas"]["Consumption"]
    assert model["required"] == ["user_id", "plan", "month", "consumption", "alerts", "metrics"]
    assert model["additionalProperties"] is False


def test_every_operation_says_what_it_is_and_who_may_call_it(document: Any) -> None:
    for name, found in operations(document).items():
        assert found["summary"], name
        assert found["tags"], name
        assert ("security" in found) == (not {"401", "403"} <= found["responses"].keys() or name == "log_in"), name
        if "requestBody" in found:
            assert {"400", "413", "415", "422"} <= found["responses"].keys(), name
            schema = found["requestBody"]["content"]["application/json"]["schema"]
            for shape in schema.get("oneOf", [schema]):
                model = document["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
                assert model["additionalProperties"] is False, name
    assert [tag["name"] for tag in document["tags"]] == sorted(tag["name"] for tag in document["tags"])
    assert all(tag["description"].endswith(".") for tag in document["tags"])


def test_every_pattern_of_the_document_is_a_pattern(document: Any) -> None:
    month = operations(document)["consumption"]["parameters"][0]["schema"]
    for text in ("2026-05", "0001-01", "9999-12", "1000-10"):
        fits(document, month, text, text)
    for text in ("0000-01", "2026-13", "2026-00", "26-05", "2026-1", "２０２６-05"):
        with pytest.raises(AssertionError):
            fits(document, month, text, text)


def test_the_servers_are_where_the_blueprint_is_mounted(url: str, alice: Person) -> None:
    app = Flask("elsewhere")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET)
    Billing().init_app(app, url_prefix="/money")
    hold_to_document(app)
    shown = app.test_client().get("/money/openapi.json").json
    assert [server["url"] for server in shown["servers"]] == ["/money", "/money/tenants/{tenant_id}"]
    assert shown["servers"][1]["variables"]["tenant_id"]["default"] == "1"
    assert app.test_client().get("/money/tenants/1/consumption", headers=alice.headers).status_code == 200

    def nowhere(_: Any, start_response: Any) -> list[bytes]:
        start_response("404 NOT FOUND", [])
        return []

    mounted = Client(DispatcherMiddleware(nowhere, {"/shop": app}))
    seen = json.loads(mounted.get("/shop/money/openapi.json").data)
    assert seen["servers"][0]["url"] == "/shop/money"
    assert {**seen, "servers": None} == {**shown, "servers": None}


def test_what_answers_without_a_tenant_says_so(document: Any, client: FlaskClient) -> None:
    only_here = {name for name, found in operations(document).items() if "servers" in found}
    assert {"openapi_json", "healthz", "readyz"} <= only_here
    assert "consumption" not in only_here
    assert client.get(f"{PREFIX}/tenants/1/healthz").status_code == 404


def test_the_document_is_not_worked_out_twice(client: FlaskClient) -> None:
    first = client.get(f"{PREFIX}/openapi.json").data
    runtime = client.application.extensions["billing"]
    kept = runtime.document
    assert client.get(f"{PREFIX}/openapi.json").data == first
    assert runtime.document is kept


def test_the_older_rendering_keeps_the_meaning() -> None:
    older = openapi.as_3_0(
        {
            "paths": {"/x": {"get": {"parameters": [{"schema": {"const": 1}}], "description": {"const": 1}}}},
            "components": {
                "schemas": {
                    "A": {
                        "properties": {
                            "const": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
                            "ref": {"anyOf": [{"$ref": "#/a"}, {"type": "null"}], "description": "d"},
                            "choice": {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
                            "many": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
                            "beside": {"$ref": "#/a", "description": "d"},
                            "above": {"type": "array", "items": {"exclusiveMinimum": 0, "examples": [7, 8]}},
                        }
                    }
                }
            },
        }
    )
    assert older["paths"]["/x"]["get"] == {"parameters": [{"schema": {"enum": [1]}}], "description": {"const": 1}}
    assert older["components"]["schemas"]["A"]["properties"] == {
        "const": {"type": "string", "maxLength": 3, "nullable": True},
        "ref": {"description": "d", "allOf": [{"$ref": "#/a"}], "nullable": True},
        "choice": {"enum": ["a", None], "type": "string", "nullable": True},
        "many": {"anyOf": [{"type": "integer"}, {"type": "string"}], "nullable": True},
        "beside": {"description": "d", "allOf": [{"$ref": "#/a"}]},
        "above": {"type": "array", "items": {"minimum": 0, "exclusiveMinimum": True, "example": 7}},
    }


# -- the answers of all other tests are held to it: does that bite? --------------------------------


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        ('{"user_id": 1}', 200, {}),
        ('"ok"', 418, {}),
        ('"ok"', 200, {"X-Billing-Alert": "x"}),
        ("<p>ok</p>", 200, {"Content-Type": "text/html"}),
        ('{"message": "no"}', 422, {}),
    ],
)
def test_an_answer_that_the_document_does_not_describe_fails_its_test(
    make_app: Callable[..., Flask], body: str, status: int, headers: dict[str, str]
) -> None:
    app = make_app()
    app.view_functions["turf_saas_billing.healthz"] = lambda: Response(
        body, status, {"Content-Type": "application/json", **headers}
    )
    with pytest.raises(AssertionError, match="healthz"):
        app.test_client().get(f"{PREFIX}/healthz")


# -- flasgger, on the reference host ---------------------------------------------------------------


@pytest.fixture
def reference_host(tmp_path: Path) -> Flask:
    pytest.importorskip("flasgger")
    from wsgi import create_app

    return create_app(
        {"TESTING": True, "TURF_SAAS_DB": str(tmp_path / "host.db"), "JWT_SECRET_KEY": SECRET, "BILLING_ACCOUNTS": "1"}
    )


def test_apidocs_shows_the_same_in_3_0_3(reference_host: Flask) -> None:
    client = reference_host.test_client()
    ours = client.get(f"{PREFIX}/openapi.json").json
    theirs = client.get("/apispec.json").json
    pytest.importorskip("openapi_spec_validator").validate(theirs)
    assert theirs == openapi.as_3_0(ours)


def test_the_page_names_no_foreign_host(reference_host: Flask) -> None:
    page = reference_host.test_client().get("/apidocs/").text
    for part in ("<script src=", "<link "):
        for place in page.split(part)[1:]:
            assert "//" not in place.partition(">")[0]
    assert "fonts.googleapis.com" not in page


def test_two_apps_do_not_share_their_documentation(tmp_path: Path, reference_host: Flask) -> None:
    from wsgi import create_app

    other = create_app(
        {"TESTING": True, "TURF_SAAS_DB": str(tmp_path / "other.db"), "JWT_SECRET_KEY": SECRET, "BILLING_ACCOUNTS": "0"}
    )
    with_accounts = reference_host.test_client().get("/apispec.json").json["paths"].keys()
    without = other.test_client().get("/apispec.json").json["paths"].keys()
    assert "/auth/login" in with_accounts
    assert "/auth/login" not in without
