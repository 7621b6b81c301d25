"""A profile: every fault at its place, and each bound at what is just inside and just outside."""

from __future__ import annotations

from typing import Any

import pytest

from turf_saas.buyer import Buyer, buyer_from, faults_of
from turf_saas.errors import InvalidInput

PRO = {
    "kind": "pro", "name": "Écurie Bleue", "address": "1 rue du Paddock", "zip": "60500", "city": "Chantilly",
    "country": "FR",
}  # fmt: skip


def faults(given: Any) -> list[tuple[str, str]]:
    return [(fault.loc, fault.code) for fault in faults_of(given)]


def test_a_whole_profile_is_stored_without_blanks_around_and_inside_numbers() -> None:
    given = {
        **PRO, "name": "  Écurie Bleue ", "siren": "303 265 045", "vat_id": "fr 40 303 265 045",
        "email": "Compta@Example.ORG", "locale": "fr",
    }  # fmt: skip
    assert buyer_from(given) == Buyer(
        "pro", "Écurie Bleue", "1 rue du Paddock", "60500", "Chantilly", "FR", "303265045", "FR40303265045",
        "compta@example.org", "fr",
    )  # fmt: skip


def test_a_consumer_may_say_nothing_about_himself() -> None:
    assert buyer_from({"kind": "consumer"}) == Buyer()
    assert buyer_from({"kind": "consumer", "name": None, "country": None, "locale": None}) == Buyer()


def test_a_professional_needs_a_name_and_an_address() -> None:
    missing = [(f"/{name}", "field_missing") for name in ("name", "address", "city", "country")]
    assert faults({"kind": "pro"}) == missing
    assert faults({"kind": "pro", "name": None, "address": None, "city": None, "country": None}) == missing
    assert faults({name: value for name, value in PRO.items() if name != "zip"}) == []  # Ireland long had none


@pytest.mark.parametrize("given", [None, [], "pro", 1])
def test_what_is_no_object_is_no_profile(given: Any) -> None:
    assert faults(given) == [("", "field_type")]


def test_all_faults_are_named_at_once() -> None:
    given = {
        "kind": "boss", "name": "a\nb", "address": "", "zip": 60500, "city": "\ud800", "country": "XX", "siren": "1",
        "vat_id": "ZZ1", "email": "nobody", "locale": "de", "tenant_id": None, "role": "admin",
    }  # fmt: skip
    assert sorted(faults(given)) == sorted([
        ("/kind", "field_choice"), ("/name", "field_control"), ("/address", "field_length"), ("/zip", "field_type"),
        ("/city", "field_text"), ("/country", "country_unknown"), ("/siren", "siren_invalid"),
        ("/vat_id", "vat_id_invalid"), ("/email", "email_invalid"), ("/locale", "field_choice"),
        ("/tenant_id", "field_unknown"), ("/role", "field_unknown"),
    ])  # fmt: skip
    with pytest.raises(InvalidInput):
        buyer_from(given)


@pytest.mark.parametrize(("field", "most"), [("name", 200), ("address", 300), ("zip", 20), ("city", 100)])
def test_a_text_has_a_length(field: str, most: int) -> None:
    for length, expected in ((0, ["field_length"]), (1, []), (most - 1, []), (most, []), (most + 1, ["field_length"])):
        assert [code for _, code in faults({**PRO, field: "é" * length})] == expected, length
    assert faults({**PRO, field: "   "}) == [(f"/{field}", "field_length")]


def test_an_email_and_a_number_have_a_length() -> None:
    for length, expected in ((253, []), (254, []), (255, ["field_length"])):
        email = f"{'x' * 60}@{'y' * (length - 61)}"
        assert [code for _, code in faults({**PRO, "email": email})] == expected, length
    assert faults({**PRO, "siren": "303265045" + " " * 31}) == []
    assert faults({**PRO, "siren": "303265045" + " " * 32}) == [("/siren", "field_length")]


@pytest.mark.parametrize(
    "letter",
    ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\ud800"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["name", "address", "zip", "city", "email", "vat_id", "siren", "country"])
def test_a_text_is_one_line_of_letters(field: str, letter: str) -> None:
    [(where, code)] = faults({**PRO, field: f"a{letter}b"})
    assert where == f"/{field}"
    assert code in ("field_control", "field_text")
    assert faults({**PRO, field: f"{PRO.get(field, '303265045')}{letter}"})[0][0] == f"/{field}"


@pytest.mark.parametrize("name", ["Ο Ίππος", "馬主", "می‌خواهم", "L’Écurie № 1 & fils", "👩‍🌾", "<b>x</b>", "'; --"])
def test_names_of_all_scripts_are_names(name: str) -> None:
    assert buyer_from({**PRO, "name": name}).name == name


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"siren": "303265045", "country": "BE"}, [("/siren", "siren_not_french")]),
        ({"siren": "303265045", "kind": "consumer"}, [("/siren", "siren_not_french")]),
        ({"siren": "303265046"}, [("/siren", "siren_invalid")]),
        ({"vat_id": "FR40303265045", "kind": "consumer"}, [("/vat_id", "vat_id_of_consumer")]),
        ({"vat_id": "DE123456789"}, [("/vat_id", "vat_id_of_another_country")]),
        ({"vat_id": "FR40303265045", "country": "DE"}, [("/vat_id", "vat_id_of_another_country")]),
        ({"vat_id": "EL123456789", "country": "GR"}, []),
        ({"vat_id": "GR123456789", "country": "GR"}, [("/vat_id", "vat_id_invalid")]),
        ({"vat_id": "EL123456789", "country": "EL"}, [("/country", "country_unknown")]),
        ({"vat_id": "XI123456789", "country": "GB"}, []),
        ({"vat_id": "FR53000004605", "country": "MC"}, []),
        ({"vat_id": "FR40303265045", "siren": "404833048"}, [("/vat_id", "vat_id_of_another_siren")]),
        ({"vat_id": "FR40303265045", "siren": "303 265 045"}, []),
        ({"country": "fr"}, [("/country", "country_unknown")]),
        ({"country": "FRA"}, [("/country", "country_unknown")]),
    ],
)
def test_numbers_go_with_who_one_is(changes: dict[str, str], expected: list[Any]) -> None:
    assert faults({**PRO, **changes}) == expected
