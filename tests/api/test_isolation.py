"""Nobody reaches what is another's: made from the document itself, so that a route added later is tried as well.

Alice and Ada have things. Bob is in their tenant, Charlie and Dora (an admin) are in another; each comes with a token
and with an API key, and puts Alice's ids wherever an operation takes a value: path, query, body, cursor, tenant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api_v1.routing import OPERATIONS, Operation
from billing_db import Connection, engine as engine_of, fetch_all, quoted
from tests.api.examples import EXAMPLES, MARK, MARKED_CALLS, Call, Stage
from tests.cast import Cast, Person
from tests.stripe import with_pages
from turf_saas.demo import SELLER

PREFIX = "/api/v1/billing"
REFUSED = {401, 403, 404, 422, 429}
# What no caller may set about himself or others, unless the operation documents it.
COVETED = {
    "id": 1, "user_id": 1, "userId": 1, "owner_id": 1, "tenant_id": 1, "in_tenant": 1, "tenant": 1, "role": "admin",
    "roles": ["admin"], "is_admin": True, "admin": True, "scopes": ["usage:write"], "scope": "billing.write",
    "plan": "pro", "status": "active", "limit": 10**9, "created_at": "2020-01-01T00:00:00Z", "revoked_at": "",
    "password_hash": "x", "secret_sha256": "x", "email_verified": True, "stripe_customer_id": "cus_1", "__class__": "x",
}  # fmt: skip
# Written whoever asks: when a key was used, how often somebody guessed.
PASSING = {"last_used_at"}
PASSING_TABLES = {"billing_login_failures"}

Dump = dict[str, set[str]]  # of each table, the rows
# Every database of an engine has the same tables.
statements: dict[str, tuple[list[str], str]] = {}
documents: dict[bool, Any] = {}
Who = tuple[str, Person, dict[str, str]]
Place = tuple[str | int, ...]


# Who posts is known by a signature on the bytes, and by nothing that a caller of ours could say.
SIGNED = {"stripe_webhook", "payment_webhook"}
ASK_STRIPE = {"open_checkout", "open_portal"}


def names(with_accounts: bool) -> list[str]:
    return [
        operation.name
        for operation in OPERATIONS
        if (with_accounts or not operation.accounts) and operation.name not in SIGNED
    ]


ALL = [
    (an_engine, name, with_accounts)
    for an_engine, with_accounts in (("sqlite", True), ("sqlite", False), ("postgresql", True))
    for name in names(with_accounts)
]
each_operation = pytest.mark.parametrize(
    ("engine", "name", "with_accounts"),
    ALL,
    ids=[f"{an_engine}-{name}{'' if on else '-host'}" for an_engine, name, on in ALL],
    indirect=["engine"],
)


@pytest.fixture
def stage(db: Connection, people: Cast) -> Stage:
    people.alice.has_used(MARKED_CALLS)
    people.ada.has_used(MARKED_CALLS)
    return Stage(db, people)


@pytest.fixture
def app(make_app: Callable[..., Flask], with_accounts: bool, request: pytest.FixtureRequest) -> Flask:
    asks_stripe = "name" in request.fixturenames and request.getfixturevalue("name") in ASK_STRIPE
    stripe = with_pages(request.getfixturevalue("stripe_fake")) if asks_stripe else {}
    return make_app(BILLING_ACCOUNTS="1" if with_accounts else "0", BILLING_SELF_REPORT="1", **SELLER, **stripe)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def operation(app: Flask, name: str) -> Operation:
    return next(found for found in app.extensions["billing"].operations if found.name == name)


@pytest.fixture
def document(client: FlaskClient, operation: Operation, with_accounts: bool) -> dict[str, Any]:
    """The operation as /openapi.json shows it, which is the same for every app with accounts, or without."""
    if with_accounts not in documents:
        documents[with_accounts] = client.get(f"{PREFIX}/openapi.json").json
    shown = documents[with_accounts]
    path = next(path for path, methods in shown["paths"].items() for found in methods.values()
                if found["operationId"] == operation.name)  # fmt: skip
    found = shown["paths"][path][operation.method.lower()]
    body = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    in_query = [parameter["name"] for parameter in found.get("parameters", []) if parameter["in"] == "query"]
    return {"path": path, "query": in_query, "body": list(dict.fromkeys(fields_of(shown, body)))}


def fields_of(shown: dict[str, Any], schema: dict[str, Any], place: Place = ()) -> Iterator[Place]:
    """Where the fields stand that a body may have: in all its shapes, in objects and in a list's first entry."""
    if "$ref" in schema:
        schema = shown["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from fields_of(shown, choice, place)
    for name, field in schema.get("properties", {}).items():
        yield (*place, name)
        yield from fields_of(shown, field, (*place, name))
    if "items" in schema:
        yield from fields_of(shown, schema["items"], (*place, 0))


@pytest.fixture
def owner(operation: Operation, people: Cast) -> Person:
    return people.ada if operation.who == "admin" else people.alice


@pytest.fixture
def intruders(stage: Stage, people: Cast, operation: Operation) -> list[Who]:
    if operation.who == "anyone":  # whoever asks is the same to it
        return [("charlie", people.charlie, people.charlie.headers)]
    found: list[Who] = []
    for person in (people.bob, people.charlie, people.dora):
        _, secret = stage.new_key(person, "billing.read", "billing.write", "usage:write")
        found.append((person.name, person, person.headers))
        found.append((f"{person.name}'s key", person, {"X-API-Key": secret}))
    return found


def send(
    client: FlaskClient,
    operation: Operation,
    document: dict[str, Any],
    call: Call,
    headers: dict[str, str],
    tenant: Any = None,
) -> TestResponse:
    within = "" if tenant is None else f"/tenants/{tenant}"
    return client.open(
        f"{PREFIX}{within}{document['path'].format(**call.path)}",
        method=operation.method,
        query_string=call.query,
        json=call.body,
        headers=headers,
    )


def dump(db: Connection) -> Dump:
    """Every row of every table as JSON, but for what passes: in one statement, for it is asked thousands of times."""
    engine = engine_of(db)
    if engine not in statements:
        tables = tables_of(db)
        statements[engine] = list(tables), every_row(tables, engine)
    names, statement = statements[engine]
    found: Dump = {name: set() for name in names}
    for row in fetch_all(db, statement):
        found[row["name"]].add(row["content"])
    return found


def tables_of(db: Connection) -> dict[str, list[str]]:
    """The columns of each table, but for what passes."""
    if engine_of(db) == "sqlite":
        sql = """SELECT tables.name AS name, columns.name AS field
                 FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
                 WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'"""
    else:
        sql = """SELECT tablename AS name, column_name AS field
                 FROM pg_tables JOIN information_schema.columns
                   ON table_schema = schemaname AND table_name = tablename
                 WHERE schemaname = current_schema()"""
    found: dict[str, list[str]] = {}
    for row in fetch_all(db, sql):
        found.setdefault(row["name"], []).append(row["field"])
    return {
        name: [f for f in fields if f not in PASSING] for name, fields in found.items() if name not in PASSING_TABLES
    }


def every_row(tables: dict[str, list[str]], engine: str) -> str:
    selects = []
    for name, fields in tables.items():
        if engine == "sqlite":
            pairs = ", ".join(f"'{field}', {quoted(field)}" for field in fields)
            selects.append(f"SELECT '{name}' AS name, json_object({pairs}) AS content FROM {quoted(name)}")
        else:
            row = f"SELECT {', '.join(map(quoted, fields))} FROM {quoted(name)}"
            selects.append(f"SELECT '{name}' AS name, CAST(row_to_json(row) AS TEXT) AS content FROM ({row}) AS row")
    return " UNION ALL ".join(selects)


def assert_unchanged(before: Dump, after: Dump, what: str) -> None:
    changed = {table: after[table] ^ rows for table, rows in before.items() if after[table] != rows}
    assert not changed, f"{what} changed {changed}"


def assert_only_his_own_changed(before: Dump, after: Dump, person: Person, what: str) -> None:
    """New or changed rows are the caller's, or for an admin his tenant's; and no row of before is gone or changed."""
    for table, rows in before.items():
        assert rows <= after[table] or person_rows(rows - after[table], person), f"{what} changed {rows - after[table]}"
        for row in after[table] - rows:
            values = json.loads(row)
            assert values.get("tenant_id", person.tenant_id) == person.tenant_id, f"{what}: {table} {values}"
            if person.role != "admin":
                assert values.get("user_id", person.id) == person.id, f"{what}: {table} {values}"


def person_rows(rows: set[str], person: Person) -> bool:
    """His own; of what is nobody's in particular, such as plans, an admin's are those of his tenant."""
    found = [json.loads(row) for row in rows]
    return all(
        row.get("user_id") == person.id
        or ("user_id" not in row and person.role == "admin" and row.get("tenant_id") == person.tenant_id)
        for row in found
    )


def assert_kept_apart(reply: TestResponse, before: Dump, after: Dump, person: Person, what: str) -> None:
    assert reply.status_code < 500, f"{what}: {reply.data!r}"
    assert MARK.encode() not in reply.data, f"{what} was answered {reply.data!r}"
    assert str(MARKED_CALLS).encode() not in reply.data, f"{what} was answered {reply.data!r}"
    if reply.status_code < 400:
        assert_only_his_own_changed(before, after, person, what)
    else:
        assert reply.status_code in REFUSED, f"{what}: {reply.status_code} {reply.data!r}"
        assert_unchanged(before, after, what)


# -- the tests ------------------------------------------------------------------------------------


def test_every_operation_has_an_example_and_every_example_an_operation() -> None:
    assert set(EXAMPLES) == set(names(True))


@pytest.mark.parametrize("with_accounts", [True, False])
def test_the_document_has_every_route_that_the_app_has(app: Flask, client: FlaskClient, with_accounts: bool) -> None:
    """Nothing answers beside what is walked here: a route that is not in the document would not be tried."""
    shown = client.get(f"{PREFIX}/openapi.json").json["paths"]
    ids = {operation["operationId"] for methods in shown.values() for operation in methods.values()}
    assert ids == set(names(with_accounts)) | SIGNED
    endpoints = {rule.endpoint.removeprefix("turf_saas_billing.") for rule in app.url_map.iter_rules()} - {"static"}
    assert {endpoint.removeprefix("tenant_") for endpoint in endpoints} - {"nothing_here"} == ids - {
        endpoint.removeprefix("tenant_") for endpoint in ids if endpoint.startswith("tenant_")
    }


@each_operation
def test_the_example_is_right_when_its_owner_sends_it(
    client: FlaskClient, stage: Stage, operation: Operation, document: dict[str, Any], owner: Person
) -> None:
    reply = send(client, operation, document, EXAMPLES[operation.name](stage, owner), owner.headers)
    assert reply.status_code == operation.status, reply.data


@each_operation
def test_nobody_at_all_is_refused(
    client: FlaskClient, stage: Stage, operation: Operation, document: dict[str, Any], owner: Person
) -> None:
    call = EXAMPLES[operation.name](stage, owner)
    before = dump(stage.db)
    reply = send(client, operation, document, call, {})
    if operation.who == "anyone":
        assert reply.status_code == operation.status
        return
    assert reply.status_code == 401
    assert_unchanged(before, dump(stage.db), "nobody")


@each_operation
def test_anothers_ids_in_the_path_lead_nowhere(
    client: FlaskClient,
    stage: Stage,
    operation: Operation,
    document: dict[str, Any],
    owner: Person,
    intruders: list[Who],
) -> None:
    if operation.who == "anyone":
        return
    call = EXAMPLES[operation.name](stage, owner)
    for who, person, headers in intruders:
        before = dump(stage.db)
        tries = []
        if call.path:
            tries.append((None, f"{who} in {document['path']}"))
        if operation.in_tenant and (call.path or person.tenant_id != owner.tenant_id):
            tries.append((owner.tenant_id, f"{who} under the owner's tenant"))
        for tenant, what in tries:
            reply = send(client, operation, document, call, headers, tenant)
            if call.path == {"tenant_id": person.tenant_id}:
                continue  # his own tenant: there is nothing of another's in it
            assert reply.status_code in {403, 404}, f"{what}: {reply.status_code} {reply.data!r}"
            assert_kept_apart(reply, before, dump(stage.db), person, what)


@each_operation
def test_anothers_ids_in_a_documented_field_show_and_change_nothing_of_theirs(
    client: FlaskClient,
    stage: Stage,
    operation: Operation,
    document: dict[str, Any],
    owner: Person,
    intruders: list[Who],
) -> None:
    for who, person, headers in intruders:
        mine = EXAMPLES[operation.name](stage, person)
        for field in document["query"]:
            for value in (
                owner.id,
                owner.tenant_id,
                f"{MARK}-1",
                "1,2",
                "*",
                "%",
                "' OR 1=1 --",
                cursor_of(client, owner, operation, document, stage),
            ):
                if value is not None:
                    try_one(
                        client,
                        stage,
                        operation,
                        document,
                        Call(mine.path, {**mine.query, field: value}, mine.body),
                        who,
                        person,
                        headers,
                    )
        tricks = (owner.id, str(owner.id), owner.tenant_id, [owner.id], {"id": owner.id}, "' OR 1=1 --")
        for place in document["body"]:
            for shape, body in enumerate(bodies(mine)):
                if with_value(body, place, None) is None:
                    continue
                theirs = bodies(EXAMPLES[operation.name](stage, owner))  # each is used once: a second time it is his
                found = [value_at(other, place) for other in theirs]
                stolen = [value for value in found if value is not None and MARK not in str(value)]  # that he would see
                # A made-up key or code would be his own when it comes again; what he may not meet is the owner's.
                is_his_own = place in (("idempotency_key",), ("events", 0, "idempotency_key"), ("code",))
                for value in stolen if is_his_own else (*stolen, *tricks[: 1 if shape else None]):
                    fresh = EXAMPLES[operation.name](stage, person)
                    changed = with_value(bodies(fresh)[shape], place, value)
                    call = Call(fresh.path, fresh.query, changed)
                    try_one(client, stage, operation, document, call, who, person, headers)


def bodies(call: Call) -> list[dict[str, Any]]:
    return [call.body or {}, *call.others]


def value_at(body: Any, place: Place) -> Any:
    for step in place:
        try:
            body = body[step]
        except (LookupError, TypeError):
            return None
    return body


def with_value(body: dict[str, Any], place: Place, value: Any) -> dict[str, Any] | None:
    """The body with the value in that place, or None where its shape has no such place."""
    changed = deepcopy(body)
    inner = value_at(changed, place[:-1])
    if not isinstance(inner, dict):
        return None
    inner[place[-1]] = value
    return changed


def test_fields_are_found_and_filled_inside_lists_and_choices() -> None:
    shown = {"components": {"schemas": {"A": {"properties": {"x": {}}}, "B": {"properties": {"many": {
        "anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/A"}}, {"type": "null"}]}}}}}}  # fmt: skip
    choice = {"oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}]}
    assert list(fields_of(shown, choice)) == [("x",), ("many",), ("many", 0, "x")]
    assert with_value({"many": [{"x": 1}, {"x": 2}]}, ("many", 0, "x"), 9) == {"many": [{"x": 9}, {"x": 2}]}
    assert with_value({"x": 1}, ("many", 0, "x"), 9) is None


def try_one(
    client: FlaskClient,
    stage: Stage,
    operation: Operation,
    document: dict[str, Any],
    call: Call,
    who: str,
    person: Person,
    headers: dict[str, str],
) -> None:
    before = dump(stage.db)
    reply = send(client, operation, document, call, headers)
    assert_kept_apart(reply, before, dump(stage.db), person, f"{who}: {operation.name} {call}")


def cursor_of(
    client: FlaskClient, owner: Person, operation: Operation, document: dict[str, Any], stage: Stage
) -> str | None:
    """The cursor that the owner got for his second page."""
    if "cursor" not in document["query"]:
        return None
    reply = send(client, operation, document, EXAMPLES[operation.name](stage, owner), owner.headers)
    if "items" not in reply.json:  # a path that may be one thing or a list
        return None
    assert reply.json["next_cursor"], "the example of a list makes more than one page"
    return str(reply.json["next_cursor"])


@each_operation
def test_what_the_document_does_not_name_cannot_be_set(
    client: FlaskClient, stage: Stage, operation: Operation, document: dict[str, Any], owner: Person, people: Cast
) -> None:
    for person in (owner, people.charlie, people.dora):
        call = EXAMPLES[operation.name](stage, person)
        before = dump(stage.db)
        for field, value in COVETED.items():
            tries = [Call(call.path, {**call.query, field: value}, call.body)] if field not in document["query"] else []
            tries += [
                Call(call.path, call.query, body)
                for shape in (call.body, *call.others)
                for body in with_field(shape, field, value, document["body"])
            ]
            for wrong in tries:
                reply = send(client, operation, document, wrong, person.headers)
                what = f"{person.name}: {operation.name} {wrong}"
                assert reply.status_code in {403, 404, 422}, f"{what}: {reply.status_code} {reply.data!r}"
                if person is owner:
                    assert reply.status_code == 422, what
                    assert [fault["code"] for fault in reply.json["errors"]] == ["field_unknown"], what
        assert_unchanged(before, dump(stage.db), f"{person.name}: {operation.name}")


def with_field(body: Any, field: str, value: Any, documented: list[Place]) -> Iterator[dict[str, Any]]:
    """The body with the field in it, once for each object that the body is made of."""
    for place in objects_in(body):
        if (*(0 if isinstance(step, int) else step for step in place), field) not in documented:
            changed = deepcopy(body)
            inner = changed
            for step in place:
                inner = inner[step]
            if field not in inner:
                inner[field] = value
                yield changed


def objects_in(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        yield place
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in steps:
        yield from objects_in(part, (*place, step))


def test_the_refusals_of_what_is_anothers_and_of_what_is_not_there_are_the_same(
    make_app: Callable[..., Flask], db: Connection, people: Cast
) -> None:
    stage = Stage(db, people)
    client = make_app().test_client()
    alices, _ = stage.new_key(people.alice)
    for person in (people.bob, people.charlie, people.dora):
        anothers = client.delete(f"{PREFIX}/api-keys/{alices}", headers=person.headers)
        missing = client.delete(f"{PREFIX}/api-keys/{'0' * len(alices)}", headers=person.headers)
        assert (anothers.status_code, missing.status_code) == (404, 404)
        assert json.loads(anothers.data) == json.loads(missing.data)
