"""Revoked keys are kept to be looked at, for ninety days and the last hundred of a user: not without limit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

import billing_db
from billing_db import Connection, atomic, execute, fetch_all
from tests.cast import Cast, Person
from tests.conftest import NOW
from turf_saas import api_keys
from turf_saas.api_keys import MAX_LIVE_KEYS, MAX_REVOKED_KEYS, REVOKED_KEPT
from turf_saas.errors import Conflict, NotFound
from turf_saas.users import User
from turf_saas.values import instant_text

SECOND = timedelta(seconds=1)


def key_of(person: Person, at: datetime = NOW) -> str:
    holder = User(person.id, person.tenant_id, "user")
    return api_keys.create_key(person.db, at, holder, name="", scopes=["billing.read"])[0].id


def revoked_key_of(person: Person, at: datetime) -> str:
    """Revoked at this instant, and written without the purge."""
    key_id = key_of(person, at)
    with atomic(person.db):
        execute(
            person.db, "UPDATE billing_api_keys SET revoked_at = :at WHERE id = :id", at=instant_text(at), id=key_id
        )
    return key_id


def kept(db: Connection) -> set[str]:
    return {row["id"] for row in fetch_all(db, "SELECT id FROM billing_api_keys")}


@pytest.mark.parametrize(("age", "stays"), [(-SECOND, True), (0 * SECOND, False), (SECOND, False)], ids=str)
@pytest.mark.parametrize("deed", ["make", "revoke"])
def test_a_key_revoked_ninety_days_ago_goes_when_its_user_makes_or_revokes_one(
    alice: Person, bob: Person, age: timedelta, stays: bool, deed: str
) -> None:
    live = key_of(alice)
    old = revoked_key_of(alice, NOW - REVOKED_KEPT - age)
    his = revoked_key_of(bob, NOW - 2 * REVOKED_KEPT)
    if deed == "make":
        key_of(alice)
    else:
        api_keys.revoke_key(alice.db, NOW, live)
    assert (old in kept(alice.db)) == stays
    assert {live, his} <= kept(alice.db), "what is live, new or another's stays"


def test_of_a_hundred_and_one_revoked_keys_the_oldest_goes(alice: Person) -> None:
    ids = [revoked_key_of(alice, NOW - timedelta(minutes=1000 - n)) for n in range(MAX_REVOKED_KEYS - 1)]
    live = key_of(alice)
    assert kept(alice.db) == {*ids, live}, "ninety-nine stay"
    api_keys.revoke_key(alice.db, NOW, live)
    assert kept(alice.db) == {*ids, live}, "a hundred stay"
    last = key_of(alice)
    api_keys.revoke_key(alice.db, NOW, last)
    assert kept(alice.db) == {*ids[1:], live, last}


def test_making_and_revoking_in_turn_fills_nothing(alice: Person) -> None:
    for n in range(MAX_REVOKED_KEYS + 20):
        api_keys.revoke_key(alice.db, NOW + n * SECOND, key_of(alice, NOW + n * SECOND))
    assert len(kept(alice.db)) == MAX_REVOKED_KEYS


def test_a_purged_key_is_still_nobodys_and_cannot_be_revoked(alice: Person) -> None:
    holder = User(alice.id, alice.tenant_id, "user")
    key, secret = api_keys.create_key(alice.db, NOW, holder, name="", scopes=["billing.read"])
    api_keys.revoke_key(alice.db, NOW, key.id)
    key_of(alice, NOW + REVOKED_KEPT)
    assert key.id not in kept(alice.db)
    assert api_keys.find_by_secret(alice.db, secret) is None
    with pytest.raises(NotFound):
        api_keys.revoke_key(alice.db, NOW, key.id)


@pytest.mark.parametrize("there", [MAX_LIVE_KEYS - 1, MAX_LIVE_KEYS, MAX_LIVE_KEYS + 1])
def test_the_hundredth_live_key_is_the_last_and_revoked_ones_do_not_count(alice: Person, there: int) -> None:
    for _ in range(MAX_LIVE_KEYS - 1):
        key_of(alice)
        revoked_key_of(alice, NOW - SECOND)
    with atomic(alice.db):  # one more than allowed, as another program may write it
        for n in range(there - (MAX_LIVE_KEYS - 1)):
            execute(
                alice.db,
                "INSERT INTO billing_api_keys (id, user_id, secret_sha256, scopes) VALUES (:id, 1, '', '')",
                id=f"0000000{n}",
            )
    before = kept(alice.db)
    if there < MAX_LIVE_KEYS:
        assert key_of(alice) in kept(alice.db)
    else:
        with pytest.raises(Conflict) as refused:
            key_of(alice)
        assert (refused.value.code, refused.value.params) == ("too_many_keys", {"most": 100})
        assert kept(alice.db) == before


def test_keys_made_and_revoked_by_many_at_once_end_without_a_deadlock(url: str, people: Cast) -> None:
    for n in range(MAX_REVOKED_KEYS):
        revoked_key_of(people.alice, NOW - REVOKED_KEPT - n * SECOND)
    start, faults = threading.Barrier(4), []

    def work() -> None:
        db = billing_db.connect(url)
        start.wait()
        try:
            for _ in range(10):
                holder = User(people.alice.id, 1, "user")
                key, _secret = api_keys.create_key(db, NOW, holder, name="", scopes=["billing.read"])
                api_keys.revoke_key(db, NOW, key.id)
        except Exception as fault:
            faults.append(fault)
        finally:
            db.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(kept(people.alice.db)) == 40
