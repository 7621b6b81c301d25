"""`flask billing admin assign`: the way into a tenant, also for the users of a host that has its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import billing_db
from api_v1 import Billing
from api_v1.commands.admin import admin as admin_group
from billing_db import atomic, execute, fetch_all
from tests.cast import SECRET, Person, token_for
from tests.conftest import NOW
from turf_saas import api_keys
from turf_saas.users import User

BILLING = "/api/v1/billing"

MakeApp = Callable[..., Flask]


def assign(app: Flask, *words: str) -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(admin_group, ["assign", *words])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def tenant_answers(app: Flask, person: Person, tenant_id: int) -> int:
    return app.test_client().get(f"{BILLING}/tenants/{tenant_id}/consumption", headers=person.headers).status_code


def test_a_user_is_put_in_a_tenant_from_his_next_request_on(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    assert (tenant_answers(app, alice, 1), tenant_answers(app, alice, 2)) == (200, 404)
    code, out, err = assign(app, "1", "--tenant", "2")
    assert (code, out, err) == (0, "user 1 is now in tenant 2: user (was in tenant 1: user)\n", "")
    assert (tenant_answers(app, alice, 1), tenant_answers(app, alice, 2)) == (404, 200)
    code, out, err = assign(app, "1", "--tenant", "2")
    assert (code, out, err) == (0, "user 1 is in tenant 2 already: nothing was done\n", "")


def test_what_comes_of_a_role_and_of_keys_is_said(make_app: MakeApp, ada: Person) -> None:
    app = make_app()
    for _ in range(2):
        api_keys.create_key(ada.db, NOW, User(4, 1, "admin"), name="", scopes=["billing.read"])
    said = "user 4 would be in tenant 2: user (is in tenant 1: admin), API keys revoked: 2\n"
    assert assign(app, "4", "--tenant", "2", "--dry-run") == (0, said, "")
    tried = json.loads(assign(app, "4", "--tenant", "2", "--dry-run", "--json")[1])
    assert tenant_answers(app, ada, 1) == 200, "a dry run moves nobody"
    assert all(key.revoked_at is None for key in api_keys.list_all_keys(ada.db))
    done = json.loads(assign(app, "4", "--tenant", "2", "--json")[1])
    assert done == {"dry_run": False, "user_id": 4, "tenant_id": 2, "role": "user", "keys_revoked": 2}
    assert tried == {**done, "dry_run": True}


def test_records_in_another_tenant_are_one_sentence_in_the_dry_run_too(make_app: MakeApp, alice: Person) -> None:
    alice.has_used(5)
    for locale, sentence in (
        ("fr", "L'utilisateur a des données dans l'espace 1 (consumption_log) : il doit y rester."),
        ("en", "The user has records in tenant 1 (consumption_log): he has to stay there."),
    ):
        app = make_app(BILLING_LOCALE=locale)
        for words in ((), ("--dry-run",), ("--json",)):
            assert assign(app, "1", "--tenant", "2", *words) == (1, "", f"Error: {sentence}\n")
        assert tenant_answers(app, alice, 1) == 200


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("1", "--tenant", "3"), 1),
        (("1", "--tenant", "0"), 1),
        (("1", "--tenant", "-1"), 1),
        (("1", "--tenant", "9" * 30), 1),
        (("999", "--tenant", "2"), 1),
        (("nobody@example.com", "--tenant", "2"), 1),
        (("a\0", "--tenant", "2"), 1),
        (("1", "--tenant", "two"), 2),
        (("1", "--tenant", ""), 2),
        (("1",), 2),
        (("--tenant", "2"), 2),
    ],
    ids=str,
)
def test_wrong_use_is_2_a_refusal_is_1_in_one_sentence(
    make_app: MakeApp, alice: Person, words: tuple[str, ...], code: int
) -> None:
    got, out, err = assign(make_app(), *words)
    assert (got, out) == (code, "")
    assert code == 2 or err.count("\n") == 1
    (row,) = fetch_all(alice.db, "SELECT tenant_id FROM billing_accounts WHERE user_id = 1")
    assert row["tenant_id"] == 1


def test_the_help_names_what_its_sisters_have(make_app: MakeApp) -> None:
    code, out, _ = assign(make_app(), "--help")
    assert code == 0
    assert all(option in out for option in ("--tenant", "--json", "--dry-run"))


# -- a host with users of its own ----------------------------------------------------------------------------


@pytest.fixture
def own_users(empty_url: str) -> Callable[..., Flask]:
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, "CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT)")
        execute(db, "INSERT INTO users VALUES (7, 'nina'), (8, 'emile')")
    db.close()

    def make(**config: Any) -> Flask:
        app = Flask("host")
        app.config.update({"TESTING": True, "TURF_SAAS_DB": empty_url, "JWT_SECRET_KEY": SECRET, **config})
        Billing(app, is_admin=lambda user_id: user_id == 8)
        return app

    return make


def post(app: Flask, path: str, **body: str) -> tuple[int, str | None]:
    bearer = {"Authorization": f"Bearer {token_for(8)}"}
    reply = app.test_client().post(f"{BILLING}{path}", json=body, headers=bearer)
    return reply.status_code, reply.json.get("code")


LOGIN = {"email": "a@example.com", "password": "a good password"}


def test_a_host_with_users_of_its_own_has_no_route_that_makes_some(own_users: Callable[..., Flask]) -> None:
    app = own_users()
    for path in ("/tenants/1/users", "/users", "/tenants", "/auth/login"):
        assert post(app, path, **LOGIN) == (404, "not_found")


def test_with_the_accounts_switched_on_it_is_told_to_make_them_itself_and_may_open_tenants(
    own_users: Callable[..., Flask], empty_url: str
) -> None:
    app = own_users(BILLING_ACCOUNTS=True)
    assert post(app, "/tenants/1/users", **LOGIN) == (409, "users_not_ours")
    assert post(app, "/users", **LOGIN) == (409, "users_not_ours")
    with_admin = {"admin_email": LOGIN["email"], "admin_password": LOGIN["password"]}
    assert post(app, "/tenants", name="second", **with_admin) == (409, "users_not_ours")
    assert post(app, "/tenants", name="second") == (201, None)
    db = billing_db.connect(empty_url)
    assert [row["id"] for row in fetch_all(db, "SELECT id FROM users ORDER BY id")] == [7, 8]
    assert [row["id"] for row in fetch_all(db, "SELECT id FROM tenants ORDER BY id")] == [1, 2]
    db.close()


def test_its_users_come_into_a_tenant_by_the_command(own_users: Callable[..., Flask], empty_url: str) -> None:
    app, nina = own_users(), Person("nina", 7)
    assert (tenant_answers(app, nina, 1), tenant_answers(app, nina, 2)) == (200, 404)
    db = billing_db.connect(empty_url)
    with atomic(db):
        execute(db, "INSERT INTO tenants (name) VALUES ('second')")
    db.close()
    assert assign(app, "7", "--tenant", "2")[0] == 0
    assert (tenant_answers(app, nina, 1), tenant_answers(app, nina, 2)) == (404, 200)
