"""Every answer of an app under test is held to the document that the app gives about itself."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from jsonschema import Draft202012Validator

from api_v1 import openapi
from api_v1.runtime import Runtime

BLUEPRINT = "turf_saas_billing."
ERROR = {"$ref": "#/components/schemas/Error"}
# A program that the caller can do nothing about: never documented, and only ever a test's own doing.
UNDOCUMENTED = {500}
_documents: dict[tuple[str, ...], dict[str, Any]] = {}


def hold_to_document(app: Flask) -> None:
    """From now on an answer whose status, type, headers or body the document does not describe fails the test."""
    document = _document_of(app.extensions["billing"])
    operations = {
        operation["operationId"]: operation for methods in document["paths"].values() for operation in methods.values()
    }

    @app.after_request
    def check(response: Response) -> Response:
        endpoint = request.endpoint or ""
        if endpoint.startswith(BLUEPRINT) and not response.is_streamed:
            name = endpoint.removeprefix(BLUEPRINT).removeprefix("tenant_")
            if operation := operations.get(endpoint.removeprefix(BLUEPRINT)) or operations.get(name):
                _check(document, operation, response)
            else:
                _check_error(document, response)
        return response


def _document_of(runtime: Runtime) -> dict[str, Any]:
    """Made once for all apps that have the same operations: to describe them takes longer than most tests."""
    has = (runtime.prefix, *(operation.name for operation in runtime.operations))
    if has not in _documents:
        _documents[has] = openapi.document(runtime.operations, runtime.prefix)
    return _documents[has]


def _check(document: dict[str, Any], operation: dict[str, Any], response: Response) -> None:
    said = operation["responses"].get(str(response.status_code))
    where = f"{operation['operationId']} {response.status_code}"
    if said is None:
        assert response.status_code in UNDOCUMENTED, f"{where} is not in the document: {response.data!r}"
        said = {"content": {"application/json": {"schema": ERROR}}}
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
    extra = {name for name, _ in response.headers if name.startswith("X-Billing")} - set(said.get("headers", {}))
    assert not extra, f"{where} carries {extra}, which the document does not name"
    if response.status_code >= 400:
        promised = {name for name, header in said.get("headers", {}).items() if header.get("required", True)}
        missing = {name for name in promised if name not in response.headers}
        assert not missing, f"{where} lacks {missing}, which the document promises"
    if "content" not in said:
        assert not response.data, f"{where} has a body, and the document names none"
        return
    assert response.mimetype == "application/json", f"{where} is {response.mimetype}"
    if request.method != "HEAD":
        fits(document, said["content"]["application/json"]["schema"], response.json, where)


def _check_error(document: dict[str, Any], response: Response) -> None:
    assert response.mimetype == "application/json"
    if response.status_code >= 400 and request.method != "HEAD":
        fits(document, ERROR, response.json, f"{request.path} {response.status_code}")


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> None:
    """Assert that a value is as a schema of the document says."""
    validator = Draft202012Validator({**schema, "components": document["components"]})
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not faults, f"{where}: {faults}"
