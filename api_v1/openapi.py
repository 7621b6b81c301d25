"""The routes as OpenAPI: 3.1 for programs, and the same in 3.0.3 for the page that cannot read 3.1."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from inspect import getdoc
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from api_v1.idempotency import HEADER, REPEATED
from api_v1.routing import Operation
from api_v1.schemas import MAX_INT, Error, QuotaRefusal
from turf_saas.idempotency import MAX_KEY

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

TITLE = "turf_saas billing"
VERSION = "1"
REF = "#/components/schemas/{model}"
DESCRIPTION = """Metered consumption, plans and invoices.

A refusal is `{"error": "<sentence>", "code": "<stable code>"}`, with `errors` naming every field at fault.
Sentences are French or English by `Accept-Language`; codes never change.
A field or query parameter that is not listed here is refused.
Numbers: `5.0` is taken for the integer 5; NaN, Infinity and what a double cannot hold are not JSON."""

REFUSALS = {
    400: ("Unreadable", "The request cannot be read"),
    401: ("Unauthenticated", "Nobody we know is asking"),
    403: ("Forbidden", "The caller may not do this"),
    404: ("NotFound", "It is not there, or it is somebody else's"),
    409: ("Conflict", "It contradicts what is there"),
    413: ("TooLarge", "The body is larger than 1 MiB, or than the operation says"),
    415: ("NotJson", "The body is not uncompressed application/json in UTF-8"),
    422: ("Invalid", "Values are not acceptable; `errors` names them all"),
    429: ("TooMany", "Too often or too much"),
    502: ("GatewayFailed", "The payment service did not do it now (`gateway_failed`), or refuses it for good"),
    503: ("Unavailable", "The database is busy or not ready"),
}
REFUSAL_HEADERS: dict[int, dict[str, tuple[str, Json]]] = {
    401: {"WWW-Authenticate": ("How to say who is asking", {"type": "string"})},
    429: {"Retry-After": ("Seconds after which it may be tried again", {"type": "integer", "minimum": 0})},
    502: {"Retry-After": ("With `gateway_failed`: seconds until it may be tried", {"type": "integer", "minimum": 0})},
    503: {"Retry-After": ("Seconds after which it may be tried again", {"type": "integer", "minimum": 0})},
}
SECONDS: Json = {"type": "integer", "minimum": 0}
SHORT_TEXT: Json = {"type": "string", "minLength": 1, "maxLength": 255}
COUNT: Json = {"type": "integer", "format": "int64", "minimum": 0}
# A quota's 429. Those that are not required are absent where the spending cap refuses: it is money, no number of units.
QUOTA_REFUSED = "QuotaRefused"
QUOTA_REFUSAL: Json = {
    "description": "The quota has no room, or the spending cap is reached; nothing was counted or held",
    "content": {"application/json": {"schema": {"$ref": REF.format(model="QuotaRefusal")}}},
    "headers": {
        "Retry-After": {"description": "Seconds until the window is over", "required": True, "schema": SECONDS},
        "X-Billing-Alert": {"description": "`hard_limit_reached`", "required": True, "schema": {"type": "string"}},
        "RateLimit-Limit": {"description": "What the plan includes", "required": False, "schema": COUNT},
        "RateLimit-Remaining": {"description": "What is left of it", "required": False, "schema": COUNT},
        "RateLimit-Reset": {"description": "Seconds until the window is over", "required": False, "schema": SECONDS},
    },
}
IDEMPOTENCY_KEY: Json = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Kept for 24 hours, per caller. The same key and body again: the first answer, "
    f"with `{REPEATED}: true`. Another body: 409. A refused request leaves the key free.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
}
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT whose subject is the user's id, or an API key. "
        "The host's own session is accepted as well, where it has one.",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key, bk_…"},
}


SECURITY: list[Json] = [{"bearer": []}, {"api_key": []}]
ETAG: Json = {"ETag": {"description": "Names this answer", "schema": {"type": "string"}}}
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an answer that one has already: 304 when it is still the same",
    "schema": {"type": "string"},
}


class _Plain(GenerateJsonSchema):
    """Without a made-up title on every field."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def document(operations: Iterable[Operation], prefix: str) -> Json:
    """OpenAPI 3.1 of the operations, as they answer under the prefix."""
    operations = list(operations)
    schemas, components = _schemas(operations)
    servers = _servers(prefix)
    paths: Json = {}
    for operation in operations:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", operation.rule)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas, servers)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": servers,
        "security": SECURITY,
        "tags": [{"name": _tag(module), "description": _first_line(module)} for module in _modules(operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _refusals(operations),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def with_servers(found: Json, prefix: str) -> Json:
    """The same document, as it is seen from outside a host that is itself mounted somewhere."""
    return {**found, "servers": _servers(prefix)}


def _servers(prefix: str) -> list[Json]:
    tenant = {"default": "1", "description": "The caller's own tenant; another one answers 404"}
    return [
        {"url": prefix or "/", "description": "The caller's tenant"},
        {
            "url": f"{prefix}/tenants/{{tenant_id}}",
            "description": "The same, with the tenant named",
            "variables": {"tenant_id": tenant},
        },
    ]


def _modules(operations: list[Operation]) -> list[str]:
    return list(dict.fromkeys(operation.module for operation in operations))


def _tag(module: str) -> str:
    return module.rpartition(".")[2]


def _first_line(module: str) -> str:
    return (getdoc(sys.modules[module]) or "").partition("\n")[0]


# -- the models -----------------------------------------------------------------------------------


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Json], Json]:
    """Each model's schema by (model, mode), and the components that these refer to."""
    wanted: dict[Any, tuple[Any, Mode, TypeAdapter[Any]]] = {(Error, "serialization"): _wanted(Error, "serialization")}
    if any(operation.judged for operation in operations):
        wanted[QuotaRefusal, "serialization"] = _wanted(QuotaRefusal, "serialization")
    for operation in operations:
        wanted[operation.query, "validation"] = _wanted(operation.query, "validation")
        for body in operation.bodies:
            wanted[body, "validation"] = _wanted(body, "validation")
        for returned in (operation.returns, *(shape for _, shape in operation.also.values())):
            if returned is not None:
                wanted[returned, "serialization"] = _wanted(returned, "serialization")
    schemas, rest = TypeAdapter.json_schemas(wanted.values(), ref_template=REF, schema_generator=_Plain)
    components = rest.get("$defs", {})
    found = {key: dict(schema) for key, schema in schemas.items()}
    queries = {operation.query for operation in operations}
    for query in queries:  # shown as parameters, not as a schema
        reference = found[query, "validation"].get("$ref", "")
        found[query, "validation"] = components.pop(reference.rpartition("/")[2], found[query, "validation"])
    return found, dict(sorted(components.items()))


def _wanted(model: Any, mode: Mode) -> tuple[Any, Mode, TypeAdapter[Any]]:
    return model, mode, TypeAdapter(model)


# -- one operation --------------------------------------------------------------------------------


def _operation(operation: Operation, schemas: dict[Any, Json], servers: list[Json]) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(operation.module)],
        "responses": _responses(operation, schemas),
    }
    description = [operation.description, _who(operation)]
    found["description"] = "\n\n".join(text for text in description if text)
    parameters = [*_path_parameters(operation.rule), *_query_parameters(schemas[operation.query, "validation"])]
    if operation.idempotent:
        parameters.append(IDEMPOTENCY_KEY)
    if operation.revalidated:
        parameters.append(IF_NONE_MATCH)
    parameters += [
        {"name": name, "in": "header", "required": False, "description": meaning, "schema": SHORT_TEXT}
        for name, meaning in operation.takes.items()
    ]
    if parameters:
        found["parameters"] = parameters
    if operation.bodies:
        shapes = [schemas[body, "validation"] for body in operation.bodies]
        content = {"application/json": {"schema": shapes[0] if len(shapes) == 1 else {"oneOf": shapes}}}
        found["requestBody"] = {"required": not operation.body_optional, "content": content}
    if operation.who == "anyone":
        found["security"] = [{}, *SECURITY] if operation.of_tenant else []
    if not operation.in_tenant:
        found["servers"] = servers[:1]
    return found


def _who(operation: Operation) -> str:
    if operation.who == "anyone":
        return ""
    who = "Admins only." if operation.who == "admin" else "Signed-in users."
    return f"{who} API keys need the scope `{operation.scope}`." if operation.scope else who


def _path_parameters(rule: str) -> list[Json]:
    found = []
    for converter, name in re.findall(r"<(?:(\w+):)?(\w+)>", rule):
        schema: Json = {"type": "string", "minLength": 1}
        if converter == "int":
            schema = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_INT}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    return found


def _query_parameters(model: Json) -> list[Json]:
    required = model.get("required", [])
    found = []
    for name, field in model.get("properties", {}).items():
        schema = _without_null(field)
        parameter = {"name": name, "in": "query", "required": name in required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        found.append({**parameter, "schema": schema})
    return found


def _without_null(schema: Json) -> Json:
    """A query parameter is absent, never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    if len(choices) == 1:
        return {**choices[0], **rest}
    return {**rest, "anyOf": choices} if choices else rest


def _responses(operation: Operation, schemas: dict[Any, Json]) -> Json:
    success: Json = {"description": operation.summary}
    if operation.returns is not None:
        success["content"] = {"application/json": {"schema": schemas[operation.returns, "serialization"]}}
    if operation.headers:
        success["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in operation.headers.items()
        }
    if operation.revalidated:
        success["headers"] = {**success.get("headers", {}), **ETAG}
    responses: Json = {str(operation.status): success}
    for status, (when, returned) in operation.also.items():
        content = {"application/json": {"schema": schemas[returned, "serialization"]}}
        responses[str(status)] = {"description": when, "content": content}
    if operation.revalidated:
        responses["304"] = {"description": "What one has is still the same", "headers": ETAG}
    for status in sorted(_refused_with(operation)):
        name = QUOTA_REFUSED if operation.judged and status == 429 else REFUSALS[status][0]
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return responses


def _refused_with(operation: Operation) -> set[int]:
    statuses = {400, 422, 503, *operation.refuses}
    if operation.who != "anyone":
        statuses |= {401, 403, 404}
    if "<" in operation.rule or operation.of_tenant:
        statuses.add(404)
    if operation.body is not None:
        statuses |= {413, 415}
    if operation.judged:
        statuses.add(429)
    if operation.idempotent:
        statuses.add(409)
    return statuses


def _refusals(operations: list[Operation]) -> Json:
    found = {name: _refusal(status, text) for status, (name, text) in REFUSALS.items()}
    if any(operation.judged for operation in operations):
        found[QUOTA_REFUSED] = QUOTA_REFUSAL
    return found


def _refusal(status: int, description: str) -> Json:
    found: Json = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="Error")}}},
    }
    headers = {
        name: {"description": text, "schema": schema, **({"required": False} if status == 502 else {})}
        for name, (text, schema) in REFUSAL_HEADERS.get(status, {}).items()
    }
    return {**found, "headers": headers} if headers else found


# -- the same in 3.0.3 ----------------------------------------------------------------------------


def as_3_0(found: Json) -> Json:
    """The document for readers of OpenAPI 3.0.3: no type "null", no const, no lists of examples."""
    return {**_older(found), "openapi": "3.0.3"}


def _older(node: Any) -> Any:
    """A part of the document that is not a schema itself; schemas stand under `schema` and `schemas`."""
    if isinstance(node, list):
        return [_older(part) for part in node]
    if not isinstance(node, dict):
        return node
    older = {}
    for key, value in node.items():
        if key == "schema":
            older[key] = _older_schema(value)
        elif key == "schemas":
            older[key] = {name: _older_schema(schema) for name, schema in value.items()}
        else:
            older[key] = _older(value)
    return older


_OF_SCHEMA = ("items", "additionalProperties", "not")
_OF_SCHEMAS = ("anyOf", "oneOf", "allOf")
_UNKNOWN_THEN = ("propertyNames", "patternProperties", "$defs", "$comment", "contentMediaType", "prefixItems")


def _older_schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    older: Json = {}
    for key, value in schema.items():
        if key in _OF_SCHEMA:
            older[key] = _older_schema(value)
        elif key in _OF_SCHEMAS:
            older[key] = [_older_schema(part) for part in value]
        elif key == "properties":
            older[key] = {name: _older_schema(part) for name, part in value.items()}
        elif key == "const":
            older["enum"] = [value]
        elif key == "examples":
            older["example"] = value[0]
        elif key in ("exclusiveMinimum", "exclusiveMaximum"):
            older |= {key.replace("exclusiveM", "m"): value, key: True}
        elif key not in _UNKNOWN_THEN:
            older[key] = value
    return _ref_alone(_nullable(older))


def _nullable(schema: Json) -> Json:
    null = {"type": "null"}
    if null not in schema.get("anyOf", []):
        return schema
    choices = [choice for choice in schema["anyOf"] if choice != null]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(choices) != 1:
        return {**rest, "anyOf": choices, "nullable": True}
    if "$ref" in choices[0]:
        return {**rest, "allOf": choices, "nullable": True}
    if "enum" in choices[0]:
        choices[0]["enum"] = [*choices[0]["enum"], None]
    return {**choices[0], **rest, "nullable": True}


def _ref_alone(schema: Json) -> Json:
    """3.0 ignores whatever stands beside a $ref."""
    if "$ref" not in schema or len(schema) == 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return {**rest, "allOf": [{"$ref": schema["$ref"]}]}
