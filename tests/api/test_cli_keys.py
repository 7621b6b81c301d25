"""`flask billing keys …` and `flask billing admin …`."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
import pytest
from flask import Flask

from api_v1.commands.admin import admin as admin_group
from api_v1.commands.keys import keys as keys_group
from billing_db import atomic, execute, fetch_all
from tests.cast import Person
from tests.conftest import NOW
from turf_saas import api_keys, users
from turf_saas.api_keys import ApiKey
from turf_saas.users import User

WHO_AM_I = "/api/v1/billing/consumption"
READ, WRITE, USAGE = api_keys.SCOPES

MakeApp = Callable[..., Flask]


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def key_of(person: Person, *scopes: str) -> tuple[ApiKey, str]:
    holder = User(person.id, person.tenant_id, person.role)
    return api_keys.create_key(person.db, NOW, holder, name="", scopes=scopes)


def run(app: Flask, group: click.Group, *words: str) -> tuple[int, str, str]:
    result = app.test_cli_runner().invoke(group, words)
    return result.exit_code, result.stdout, result.stderr


def test_a_key_is_made_listed_and_revoked_on_the_command_line(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    code, out, _ = run(app, keys_group, "create", "1", "--scope", READ, "--scope", USAGE, "--name", "cron", "--json")
    made = json.loads(out)
    assert (code, made["user_id"], made["scopes"]) == (0, 1, [READ, USAGE])
    assert app.test_client().get(WHO_AM_I, headers=with_key(made["key"])).json["user_id"] == 1
    code, out, _ = run(app, keys_group, "list", "--json")
    assert (code, [key["id"] for key in json.loads(out)]) == (0, [made["id"]])
    assert made["key"] not in out
    assert made["id"] in run(app, keys_group, "list", "--user", "1")[1]
    assert run(app, keys_group, "revoke", made["id"]) == (0, f"revoked {made['id']} of user 1\n", "")
    assert app.test_client().get(WHO_AM_I, headers=with_key(made["key"])).status_code == 401
    assert run(app, keys_group, "revoke", made["id"]) == (1, "", "Error: Clé introuvable.\n")


def test_plain_create_prints_the_key_alone_and_beside_it_the_id_that_revokes_it(
    make_app: MakeApp, alice: Person
) -> None:
    app = make_app()
    code, out, err = run(app, keys_group, "create", "1", "--scope", READ)
    (key,) = api_keys.list_all_keys(alice.db)
    assert code == 0
    assert err == f"Key {key.id} of user 1, shown this once. To revoke it: keys revoke {key.id}\n"
    assert app.test_client().get(WHO_AM_I, headers={"X-API-Key": out.removesuffix("\n")}).status_code == 200
    assert run(app, keys_group, *err.split(": ")[1].split()[1:])[0] == 0
    assert app.test_client().get(WHO_AM_I, headers={"X-API-Key": out.removesuffix("\n")}).status_code == 401
    for words in (("--json",), ("--dry-run",)):
        assert run(app, keys_group, "create", "1", "--scope", READ, *words)[2] == ""


def test_a_list_of_no_keys_says_so(make_app: MakeApp, alice: Person, bob: Person) -> None:
    app = make_app()
    assert run(app, keys_group, "list") == (0, "There are no keys.\n", "")
    assert run(app, keys_group, "list", "--json") == (0, "[]\n", "")
    key_of(alice, READ)
    assert run(app, keys_group, "list")[1].startswith(api_keys.list_all_keys(alice.db)[0].id)
    assert run(app, keys_group, "list", "--user", "2") == (0, "User 2 has no keys.\n", "")
    assert run(app, keys_group, "list", "--user", "2", "--json") == (0, "[]\n", "")


def test_a_dry_run_refuses_what_the_real_one_refuses(make_app: MakeApp, alice: Person) -> None:
    app = make_app()
    create = ("create", "1", "--scope", READ)
    for _ in range(api_keys.MAX_LIVE_KEYS - 1):
        last, _secret = key_of(alice, READ)
    assert run(app, keys_group, *create, "--dry-run") == (0, "would make a key for user 1: billing.read\n", "")
    assert run(app, keys_group, *create, "--dry-run")[0] == 0, "the first dry run left nothing"
    assert run(app, keys_group, *create)[0] == 0
    refused = run(app, keys_group, *create, "--dry-run")
    assert (refused[0], refused[1]) == (1, "")
    assert refused == run(app, keys_group, *create)

    assert run(app, keys_group, "revoke", last.id)[0] == 0
    refused = run(app, keys_group, "revoke", last.id, "--dry-run")
    assert refused == run(app, keys_group, "revoke", last.id) == (1, "", "Error: Clé introuvable.\n")


def test_what_writes_says_in_json_whether_it_was_a_dry_run(make_app: MakeApp, alice: Person) -> None:
    app, (key, _secret) = make_app(), key_of(alice, READ)
    for group, words in (
        (keys_group, ("create", "1", "--scope", USAGE, "--scope", READ, "--name", "cron")),
        (admin_group, ("grant", "1")),
        (keys_group, ("revoke", key.id)),
    ):
        tried = json.loads(run(app, group, *words, "--dry-run", "--json")[1])
        done = json.loads(run(app, group, *words, "--json")[1])
        assert (tried.pop("dry_run"), done.pop("dry_run")) == (True, False)
        for instant in ("created_at", "revoked_at"):
            tried.pop(instant, None)
        assert tried.items() <= done.items()
        assert done.keys() - tried.keys() <= {"id", "key", "created_at", "revoked_at"}


def test_a_dry_run_does_nothing(make_app: MakeApp, alice: Person) -> None:
    app, (key, _secret) = make_app(), key_of(alice, READ)
    before = api_keys.list_all_keys(alice.db)
    assert run(app, keys_group, "create", "1", "--scope", READ, "--dry-run")[0] == 0
    assert json.loads(run(app, keys_group, "create", "1", "--scope", READ, "--dry-run", "--json")[1])["dry_run"]
    assert run(app, keys_group, "revoke", key.id, "--dry-run") == (0, f"would revoke {key.id} of user 1\n", "")
    would_be = "user 1 of tenant 1 would be: admin (is: user)\n"
    assert run(app, admin_group, "grant", "1", "--dry-run") == (0, would_be, "")
    assert api_keys.list_all_keys(alice.db) == before
    assert users.find_user(alice.db, app.extensions["billing"].users, 1).role == "user"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["create", "1"], 2),
        (["create", "1", "--scope", "everything"], 2),
        (["create", "1", "--scope", READ, "--name", "x" * 101], 2),
        (["create", "999", "--scope", READ], 1),
        (["create", "nobody@example.com", "--scope", READ], 1),
        (["create", "a\0", "--scope", READ], 1),
        (["revoke", "x"], 1),
        (["revoke"], 2),
        (["list", "--user", "999"], 1),
        (["--help"], 0),
        (["create", "--help"], 0),
    ],
    ids=str,
)
def test_wrong_use_is_2_a_refusal_is_1_and_neither_is_a_traceback(
    make_app: MakeApp, alice: Person, words: list[str], code: int
) -> None:
    got, out, err = run(make_app(), keys_group, *words)
    assert got == code
    assert bool(out) == (code == 0)
    assert "Traceback" not in err


def test_the_first_admin_is_granted_on_the_command_line_and_revoked_there(make_app: MakeApp, alice: Person) -> None:
    app = make_app(BILLING_ACCOUNTS=True)
    client = app.test_client()

    def status() -> int:
        user = {
            "email": f"{len(fetch_all(alice.db, 'SELECT id FROM users'))}@example.com",
            "password": "a good password",
        }
        return client.post("/api/v1/billing/users", json=user, headers=alice.headers).status_code

    assert status() == 403
    assert run(app, admin_group, "grant", "1") == (0, "user 1 of tenant 1 is now: admin\n", "")
    assert status() == 201
    code, out, _ = run(app, admin_group, "grant", "1", "--revoke", "--json")
    assert (code, json.loads(out)) == (0, {"dry_run": False, "user_id": 1, "tenant_id": 1, "role": "user"})
    assert status() == 403
    assert run(app, admin_group, "grant", "999") == (1, "", "Error: Utilisateur introuvable.\n")


def test_an_admin_is_granted_by_the_e_mail_of_his_login_and_not_by_one_that_somebody_wrote_into_a_profile(
    make_app: MakeApp, alice: Person, charlie: Person
) -> None:
    with atomic(alice.db):
        login = "INSERT INTO billing_logins (user_id, email, password_hash) VALUES (3, 'charlie@example.com', 'x')"
        execute(alice.db, login)
        execute(alice.db, "UPDATE billing_accounts SET email = 'charlie@example.com' WHERE user_id = 1")
        execute(alice.db, "UPDATE billing_accounts SET email = 'boss@example.com' WHERE user_id = 2")
    app = make_app()
    assert run(app, admin_group, "grant", "charlie@EXAMPLE.com")[1] == "user 3 of tenant 2 is now: admin\n"
    assert run(app, admin_group, "grant", "boss@example.com") == (1, "", "Error: Utilisateur introuvable.\n")
