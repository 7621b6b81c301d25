"""GET and PUT /profile: who is billed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing_db import Connection, atomic, execute, fetch_one
from tests.cast import Cast, Person
from turf_saas import profiles
from turf_saas.buyer import Buyer
from turf_saas.errors import NotFound
from turf_saas.settings import read_settings

PROFILE = "/api/v1/billing/profile"
NOBODY = {
    "kind": "consumer", "name": None, "address": None, "zip": None, "city": None, "country": "FR", "siren": None,
    "vat_id": None, "email": None, "locale": None,
}  # fmt: skip
STABLE = {
    "kind": "pro", "name": "Écurie Bleue", "address": "1 rue du Paddock", "zip": "60500", "city": "Chantilly",
    "country": "FR", "siren": "303265045", "vat_id": "FR40303265045", "email": "compta@example.org", "locale": "fr",
}  # fmt: skip
NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)


def stored(db: Connection, person: Person) -> dict[str, Any]:
    return dict(fetch_one(db, "SELECT * FROM billing_accounts WHERE user_id = :id", id=person.id) or {})


def test_who_has_never_written_one_is_a_consumer_in_the_sellers_country(
    client: FlaskClient, make_app: Callable[..., Flask], alice: Person
) -> None:
    reply = client.get(PROFILE, headers=alice.headers)
    assert (reply.status_code, reply.json) == (200, NOBODY)
    assert reply.headers["Cache-Control"] == "no-store"
    belgian = make_app(BILLING_SELLER_COUNTRY="BE").test_client()
    assert belgian.get(PROFILE, headers=alice.headers).json == {**NOBODY, "country": "BE"}


def test_what_is_written_is_read(client: FlaskClient, alice: Person, bob: Person) -> None:
    reply = client.put(PROFILE, json=STABLE, headers=alice.headers)
    assert (reply.status_code, reply.json) == (200, STABLE)
    assert client.get(PROFILE, headers=alice.headers).json == STABLE
    assert client.get(PROFILE, headers=bob.headers).json == NOBODY


def test_what_is_read_can_be_written_back_and_nothing_changes(client: FlaskClient, alice: Person) -> None:
    for written in (NOBODY, STABLE):
        client.put(PROFILE, json=written, headers=alice.headers)
        read = client.get(PROFILE, headers=alice.headers).json
        assert client.put(PROFILE, json=read, headers=alice.headers).json == read == written


def test_a_profile_is_replaced_as_a_whole(client: FlaskClient, alice: Person) -> None:
    client.put(PROFILE, json=STABLE, headers=alice.headers)
    before = stored(alice.db, alice)
    reply = client.put(PROFILE, json={"kind": "consumer", "name": "Alice"}, headers=alice.headers)
    assert reply.json == {**NOBODY, "name": "Alice"}
    after = stored(alice.db, alice)
    kept = ("user_id", "tenant_id", "role", "stripe_customer_id", "created_at")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["country"], after["vat_id"], after["email"]) == (None, None, None)


def test_numbers_are_stored_without_their_blanks(client: FlaskClient, alice: Person) -> None:
    written = {**STABLE, "siren": "303 265 045", "vat_id": "fr 40 303 265 045", "email": "Compta@Example.org"}
    assert client.put(PROFILE, json=written, headers=alice.headers).json == STABLE


def test_every_fault_is_named_in_the_callers_language_and_nothing_is_written(
    client: FlaskClient, alice: Person
) -> None:
    client.put(PROFILE, json=STABLE, headers=alice.headers)
    before = stored(alice.db, alice)
    wrong = {**STABLE, "name": "a\nb", "siren": "303265046", "country": "DE", "iban": "FR14"}
    reply = client.put(PROFILE, json=wrong, headers={**alice.headers, "Accept-Language": "en"})
    assert (reply.status_code, reply.json["code"]) == (422, "invalid_input")
    found = {fault["loc"]: (fault["code"], fault["message"]) for fault in reply.json["errors"]}
    assert found == {
        "/name": ("field_control",
                  "Contains a control character: one line of text, without a line break or a change of direction."),
        "/siren": ("siren_invalid", "Invalid SIREN: nine digits, the last of which follows from the others."),
        "/vat_id": ("vat_id_of_another_country", "This VAT number is of another country than DE."),
        "/iban": ("field_unknown", "Unknown field."),
    }  # fmt: skip
    assert stored(alice.db, alice) == before
    reply = client.put(PROFILE, json={**STABLE, "siren": "1"}, headers=alice.headers)
    assert (reply.status_code, reply.json["code"]) == (422, "siren_invalid")
    assert reply.json["error"] == "SIREN invalide : neuf chiffres, dont le dernier découle des autres."


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400), (b"{", 400), (b"null", 422), (b"[]", 422), (b'{"kind": "consumer", "kind": "pro"}', 400),
        (b"{}", 422), (b'{"kind": null}', 422), (b'{"kind": "consumer", "name": "a\\u0000b"}', 422),
        (b'{"kind": "consumer", "name": "a\\ud800b"}', 422), (b'{"kind": "consumer", "name": "a\\u202eb"}', 422),
        (b'{"kind": "consumer", "name": ["a"]}', 422), (b'{"kind": "consumer", "name": 1e400}', 400),
        (b'{"kind": "consumer", "user_id": 2}', 422), (b'{"kind": "consumer", "stripe_customer_id": "cus_1"}', 422),
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused(client: FlaskClient, alice: Person, raw: bytes, status: int) -> None:
    reply = client.put(PROFILE, data=raw, content_type="application/json", headers=alice.headers)
    assert reply.status_code == status, reply.data
    assert stored(alice.db, alice)["kind"] is None


def test_an_admin_reads_and_writes_anybodys_of_his_tenant(client: FlaskClient, people: Cast) -> None:
    reply = client.put(f"{PROFILE}?user_id={people.bob.id}", json=STABLE, headers=people.ada.headers)
    assert (reply.status_code, reply.json) == (200, STABLE)
    assert client.get(PROFILE, headers=people.bob.headers).json == STABLE
    assert client.get(f"{PROFILE}?user_id={people.bob.id}", headers=people.ada.headers).json == STABLE
    assert stored(people.bob.db, people.bob)["tenant_id"] == 1
    assert client.get(PROFILE, headers=people.ada.headers).json == NOBODY


def test_nobody_else_does_and_another_one_looks_like_nobody(client: FlaskClient, people: Cast) -> None:
    client.put(PROFILE, json=STABLE, headers=people.alice.headers)
    missing = client.get(f"{PROFILE}?user_id=99", headers=people.ada.headers)
    for who in (people.bob, people.charlie, people.dora):
        for reply in (
            client.get(f"{PROFILE}?user_id={people.alice.id}", headers=who.headers),
            client.put(f"{PROFILE}?user_id={people.alice.id}", json=NOBODY, headers=who.headers),
        ):
            assert (reply.status_code, reply.json) == (404, missing.json)
    assert client.get(PROFILE, headers=people.alice.headers).json == STABLE


def test_who_has_no_account_yet_gets_one_with_his_profile(db: Connection, people: Cast) -> None:
    with atomic(db):
        execute(db, "INSERT INTO users (id, name) VALUES (77, 'new')")
    settings = read_settings({"TURF_SAAS_DB": "."})
    assert profiles.get_profile(db, settings, 77) == Buyer(country="FR")
    profiles.set_profile(db, NOW, 77, 1, Buyer("consumer", name="New"))
    assert profiles.get_profile(db, settings, 77) == Buyer("consumer", name="New", country="FR")


def test_who_was_put_into_another_tenant_meanwhile_is_not_written(db: Connection, people: Cast) -> None:
    with pytest.raises(NotFound) as refused:
        profiles.set_profile(db, NOW, people.charlie.id, 1, Buyer("consumer", name="stolen"))
    assert refused.value.code == "user_not_found"
    assert stored(db, people.charlie)["name"] is None


def test_the_address_of_invoices_is_no_login(make_app: Callable[..., Flask], people: Cast) -> None:
    """Whoever writes the boss's address into his profile is not the boss when an admin is named by e-mail."""
    from turf_saas.accounts import get_user_named
    from turf_saas.users import get_users_table

    client = make_app().test_client()
    client.put(PROFILE, json={**NOBODY, "email": "boss@example.org"}, headers=people.alice.headers)
    with pytest.raises(NotFound):
        get_user_named(people.alice.db, get_users_table(people.alice.db), "boss@example.org")
