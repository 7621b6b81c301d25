"""Who is calling, as the host says it: loader, request.current_user, flask-login, JWT, API key, in this order."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, abort, request
from flask_jwt_extended import JWTManager, get_jwt_identity, verify_jwt_in_request

import billing_db
from api_v1 import Billing
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import SECRET, Person, token_for
from tests.conftest import NOW
from turf_saas import api_keys, schema, users
from turf_saas.settings import read_settings

WHO_AM_I = "/api/v1/billing/consumption"
NOBODY = {"error": "Authentification requise.", "code": "unauthenticated"}

MakeApp = Callable[..., Flask]


def host_that_says(app: Flask, user: Any) -> Flask:
    """A host whose middleware sets request.current_user."""
    app.before_request(lambda: setattr(request, "current_user", user))
    return app


class HostUser:
    """What flask-login asks of a user."""

    is_authenticated = is_active = True
    is_anonymous = False

    def __init__(self, user_id: Any) -> None:
        self.id = user_id

    def get_id(self) -> str:
        return str(self.id)


# -- order ---------------------------------------------------------------------------------------------


def test_each_way_of_saying_who_is_calling_yields_to_the_one_before(
    make_app: MakeApp, alice: Person, bob: Person, charlie: Person, ada: Person
) -> None:
    flask_login = pytest.importorskip("flask_login")
    said: dict[str, Any] = {"loader": 1, "middleware": {"id": 2}, "session": HostUser(3)}
    app = make_app(BILLING_USER_LOADER=lambda: said["loader"], SECRET_KEY="k" * 32)
    app.before_request(lambda: setattr(request, "current_user", said["middleware"]))
    flask_login.LoginManager(app).request_loader(lambda _request: said["session"])
    key, secret = api_keys.create_key(alice.db, NOW, users.User(5, 2, "admin"), name="dora's", scopes=["billing.read"])
    client, headers = app.test_client(), {**ada.headers, "X-API-Key": secret}

    def who() -> int:
        return client.get(WHO_AM_I, headers=headers).json["user_id"]

    assert who() == 1
    said["loader"] = None
    assert who() == 2
    said["middleware"] = None
    assert who() == 3
    said["session"] = None
    assert who() == 4
    del headers["Authorization"]
    assert who() == 5 == key.user_id
    del headers["X-API-Key"]
    assert client.get(WHO_AM_I, headers=headers).json == NOBODY


@pytest.mark.parametrize(
    "user",
    [1, "1", {"id": 1}, {"id": "1", "plan": "pro"}, SimpleNamespace(id=1), SimpleNamespace(id="1", plan="pro")],
    ids=repr,
)
def test_a_host_may_hand_over_an_id_a_dict_or_an_object(make_app: MakeApp, alice: Person, user: Any) -> None:
    reply = host_that_says(make_app(), user).test_client().get(WHO_AM_I)
    assert (reply.json["user_id"], reply.json["plan"]) == (1, "free")


@pytest.mark.parametrize("user", [{"plan": "pro"}, {"id": None}, SimpleNamespace(name="x"), None], ids=repr)
def test_a_host_that_names_nobody_has_said_nothing(make_app: MakeApp, alice: Person, user: Any) -> None:
    client = host_that_says(make_app(), user).test_client()
    assert client.get(WHO_AM_I).json == NOBODY
    assert client.get(WHO_AM_I, headers=alice.headers).json["user_id"] == 1


def test_a_host_may_hand_over_the_row_of_its_database(make_app: MakeApp, alice: Person) -> None:
    rows = sqlite3.connect(":memory:")
    rows.row_factory = sqlite3.Row
    app = host_that_says(make_app(), rows.execute("SELECT 'a' AS name, 1 AS id").fetchone())
    rows.close()
    assert app.test_client().get(WHO_AM_I).json["user_id"] == 1


ODD = ("x", True, -1, 1.0, 2**63, b"1", [1], (1,), {"id": 1}, SimpleNamespace())


@pytest.mark.parametrize("user", [*({"id": odd} for odd in ODD), "", b"1", 1.0, True, False, [1]], ids=repr)
def test_an_id_that_cannot_be_a_key_is_nobodys(make_app: MakeApp, alice: Person, user: Any) -> None:
    client = host_that_says(make_app(), user).test_client()
    reply = client.get(WHO_AM_I)
    assert (reply.status_code, reply.json) == (401, NOBODY)
    assert client.get(WHO_AM_I, headers=alice.headers).status_code == 401, "the host named somebody, whoever that is"


@pytest.mark.parametrize("odd", [1, 1.5, b"a", True, [], ["a"]], ids=repr)
def test_where_keys_are_texts_an_odd_id_is_not_turned_into_one(empty_url: str, odd: Any) -> None:
    host = host_with_own_users(empty_url, "TEXT", "1", "1.5", "b'a'", "True", "[]", "['a']")
    host_that_says(host, SimpleNamespace(id=odd))
    reply = host.test_client().get(WHO_AM_I)
    assert reply.json.get("user_id") == ("1" if odd == 1 and odd is not True else None)


class Anonymous:
    """Somebody with an id all the same, which must not count."""

    id = 1
    is_authenticated: Any = False


class OldAnonymous(Anonymous):
    def is_authenticated(self) -> bool:
        return False


@pytest.mark.parametrize(
    "user", [Anonymous(), OldAnonymous(), {"id": 1, "is_authenticated": False}, {"id": 1, "is_authenticated": 0}]
)
def test_who_is_not_authenticated_by_his_own_word_is_nobody(make_app: MakeApp, alice: Person, user: Any) -> None:
    for app in (host_that_says(make_app(), user), make_app(BILLING_USER_LOADER=lambda: user)):
        client = app.test_client()
        assert client.get(WHO_AM_I).json == NOBODY
        assert client.get(WHO_AM_I, headers=alice.headers).json["user_id"] == 1, "the next way of saying it is asked"


def test_an_anonymous_user_of_flask_login_is_nobody_wherever_the_host_puts_him(
    make_app: MakeApp, alice: Person
) -> None:
    flask_login = pytest.importorskip("flask_login")
    app = host_that_says(make_app(SECRET_KEY="k" * 32), flask_login.current_user)
    flask_login.LoginManager(app).request_loader(
        lambda asked: HostUser(1) if asked.headers.get("X-Name") == "alice" else None
    )
    assert app.test_client().get(WHO_AM_I).json == NOBODY
    assert app.test_client().get(WHO_AM_I, headers={"X-Name": "alice"}).json["user_id"] == 1


class OldUser:
    id = 1

    def is_authenticated(self) -> bool:
        return True


@pytest.mark.parametrize("user", [HostUser(1), OldUser(), {"id": 1, "is_authenticated": True}])
def test_who_is_authenticated_by_his_own_word_is_known(make_app: MakeApp, alice: Person, user: Any) -> None:
    assert host_that_says(make_app(), user).test_client().get(WHO_AM_I).json["user_id"] == 1


def _aborting() -> Any:
    abort(401)


def _asking_the_extension() -> Any:
    verify_jwt_in_request()
    return get_jwt_identity()


@pytest.mark.parametrize("loader", [_aborting, _asking_the_extension])
def test_a_loader_that_refuses_in_its_own_way_is_a_401_of_ours(
    make_app: MakeApp, alice: Person, loader: Callable[[], Any]
) -> None:
    app = make_app(BILLING_USER_LOADER=loader)
    JWTManager(app)
    for headers in ({}, {"Authorization": "Bearer garbage"}):
        reply = app.test_client().get(WHO_AM_I, headers=headers)
        assert (reply.status_code, reply.json) == (401, NOBODY)
        assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_of_flask_login_is_enough(make_app: MakeApp, alice: Person) -> None:
    flask_login = pytest.importorskip("flask_login")
    app = make_app(SECRET_KEY="k" * 32)
    flask_login.LoginManager(app).user_loader(HostUser)
    app.add_url_rule("/login", view_func=lambda: str(flask_login.login_user(HostUser("1"))))
    client = app.test_client()
    assert client.get(WHO_AM_I).status_code == 401
    client.get("/login")
    assert client.get(WHO_AM_I).json["user_id"] == 1


def test_the_caller_belongs_to_the_request_even_where_an_app_context_outlives_it(
    make_app: MakeApp, alice: Person, bob: Person
) -> None:
    app = make_app()
    with app.app_context():
        client = app.test_client()
        assert client.get(WHO_AM_I, headers=alice.headers).json["user_id"] == 1
        assert client.get(WHO_AM_I, headers=bob.headers).json["user_id"] == 2
        assert client.get(WHO_AM_I).status_code == 401


# -- admins by the host's word -------------------------------------------------------------------------


def test_the_hook_is_admin_gets_the_users_id_and_rules_in_his_tenant_only(url: str, charlie: Person) -> None:
    asked: list[Any] = []
    app = Flask("host")
    app.config.update(TESTING=True, TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, BILLING_ACCOUNTS=True)
    Billing(app, is_admin=lambda user_id: asked.append(user_id) or user_id == 3)
    client = app.test_client()
    user = {"email": "new@example.com", "password": "a good password"}
    made = client.post("/api/v1/billing/users", json=user, headers=charlie.headers)
    assert (made.status_code, made.json["tenant_id"]) == (201, 2)
    assert asked == [3]
    assert client.post("/api/v1/billing/tenants/1/users", json=user, headers=charlie.headers).status_code == 404
    assert client.post("/api/v1/billing/users", json=user, headers=bearer_of(1)).status_code == 403


def bearer_of(user_id: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_for(user_id)}"}


# -- users whom the host vouches for -----------------------------------------------------------------------


def test_a_user_whom_the_host_vouches_for_is_entered_at_first_contact(make_app: MakeApp, db: Connection) -> None:
    client = make_app().test_client()
    assert client.get(WHO_AM_I, headers=bearer_of(77)).json["user_id"] == 77
    assert [row["id"] for row in fetch_all(db, "SELECT id FROM users")] == [77]


def test_twenty_first_contacts_at_once_enter_one_row(make_app: MakeApp, db: Connection) -> None:
    app, replies = make_app(), []
    start = threading.Barrier(20)

    def call() -> None:
        start.wait()
        replies.append(app.test_client().get(WHO_AM_I, headers=bearer_of(77)).status_code)
        billing_db.close_db()

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 20
    assert len(fetch_all(db, "SELECT id FROM users WHERE id = 77")) == 1


def test_where_billing_keeps_the_accounts_nobody_is_entered_by_a_token(make_app: MakeApp, db: Connection) -> None:
    reply = make_app(BILLING_ACCOUNTS=True).test_client().get(WHO_AM_I, headers=bearer_of(77))
    assert (reply.status_code, reply.json) == (401, NOBODY)
    assert fetch_all(db, "SELECT id FROM users") == []


def host_with_own_users(empty_url: str, key_type: str, *ids: Any) -> Flask:
    """A host whose users table is `user`, with keys of the given type."""
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, f'CREATE TABLE "user" (id {key_type} PRIMARY KEY, mail TEXT)')
        for user_id in ids:
            execute(db, 'INSERT INTO "user" (id) VALUES (:id)', id=user_id)
    db.close()
    app = Flask("host")
    app.config.update(
        TESTING=True, TURF_SAAS_DB=empty_url, JWT_SECRET_KEY=SECRET, BILLING_USERS_TABLE="user", SECRET_KEY="k" * 32
    )
    Billing(app)
    return app


def test_the_hosts_own_table_decides_who_exists_and_gets_no_rows(empty_url: str) -> None:
    client = host_with_own_users(empty_url, "INTEGER", 1).test_client()
    assert client.get(WHO_AM_I, headers=bearer_of(1)).json["user_id"] == 1
    assert client.get(WHO_AM_I, headers=bearer_of(2)).json == NOBODY
    db = billing_db.connect(empty_url)
    assert len(fetch_all(db, 'SELECT id FROM "user"')) == 1
    db.close()


def test_text_keys_are_taken_as_they_are_written(empty_url: str) -> None:
    client = host_with_own_users(empty_url, "VARCHAR(36)", "01", "alice@x").test_client()
    assert client.get(WHO_AM_I, headers=bearer_of("01")).json["user_id"] == "01"
    assert client.get(WHO_AM_I, headers=bearer_of("alice@x")).json["user_id"] == "alice@x"
    for unknown in ("1", "ALICE@X", "alice@x ", "a" * 256, "a\0"):
        assert client.get(WHO_AM_I, headers=bearer_of(unknown)).json == NOBODY


def test_a_uuid_key_is_found_and_what_is_no_uuid_is_nobodys(empty_url: str) -> None:
    if not billing_db.is_postgresql(empty_url):
        pytest.skip("SQLite has no uuid type")
    known = uuid.uuid4()
    app = host_with_own_users(empty_url, "uuid", str(known))
    client = app.test_client()
    assert client.get(WHO_AM_I, headers=bearer_of(known)).json["user_id"] == str(known)
    assert client.get(WHO_AM_I, headers=bearer_of("not-a-uuid")).json == NOBODY
    host = host_that_says(Flask("host"), SimpleNamespace(id=known))
    host.config.update(app.config)
    Billing(host)
    assert host.test_client().get(WHO_AM_I).json["user_id"] == str(known)


def test_a_uuid_object_is_its_text_where_keys_are_texts(empty_url: str) -> None:
    known = uuid.uuid4()
    host = host_with_own_users(empty_url, "VARCHAR(36)", str(known))
    said: list[Any] = [known, {"id": known}, SimpleNamespace(id=known)]
    host.before_request(lambda: setattr(request, "current_user", said.pop()))
    client = host.test_client()
    assert [client.get(WHO_AM_I).json["user_id"] for _ in range(3)] == [str(known)] * 3


def test_the_id_is_read_under_the_name_of_the_hosts_column(tmp_path: Path) -> None:
    path = str(tmp_path / "host.db")
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE people (login TEXT PRIMARY KEY)")
        db.execute("INSERT INTO people VALUES ('alice')")
    db.close()
    app = host_that_says(Flask("host"), SimpleNamespace(id=12, login="alice"))
    app.config.update(TESTING=True, TURF_SAAS_DB=path, BILLING_USERS_TABLE="people", BILLING_USERS_ID="login")
    Billing(app)
    assert app.test_client().get(WHO_AM_I).json["user_id"] == "alice"


def test_a_file_of_billings_own_takes_text_keys_when_told_so(tmp_path: Path) -> None:
    path = str(tmp_path / "billing.db")
    settings = {"TURF_SAAS_DB": path, "BILLING_USERS_ID_TYPE": "text"}
    db = billing_db.connect(path)
    schema.migrate(db, NOW, read_settings(settings))
    app = host_that_says(Flask("host"), {"id": "é" * 255})
    app.config.update(TESTING=True, **settings)
    Billing(app)
    assert app.test_client().get(WHO_AM_I).json["user_id"] == "é" * 255
    assert [row["id"] for row in fetch_all(db, "SELECT id FROM users")] == ["é" * 255]
    db.close()


# -- the same routes under the tenant ------------------------------------------------------------------------


def test_the_routes_answer_under_the_callers_own_tenant_only(make_app: MakeApp, alice: Person, charlie: Person) -> None:
    client = make_app().test_client()

    def under(tenant: Any, person: Person) -> int:
        return client.get(f"/api/v1/billing/tenants/{tenant}/consumption", headers=person.headers).status_code

    assert under(1, alice) == 200
    assert under(2, charlie) == 200
    assert under(2, alice) == under(1, charlie) == under(3, alice) == under(10**18, alice) == 404
    assert under("x", alice) == under("-1", alice) == under("１", alice) == under(10**30, alice) == 404
    assert client.get("/api/v1/billing/tenants/1/consumption").status_code == 401
