"""Numbers of registers: the right ones are read however they are written, and one wrong sign is seen."""

from __future__ import annotations

import pytest

from turf_saas.identifiers import read_bic, read_iban, read_siren, read_siret, read_vat_id, siren_of

IBAN = "FR1420041010050500013M02606"


@pytest.mark.parametrize("given", ["732829320", "732 829 320", "732.829.320", "732\u00a0829\u202f320"])
def test_a_siren_is_read_without_its_blanks(given: str) -> None:
    """Every second digit doubled: 7 6 2 16→7 2 18→9 3 4 0 = 40, a multiple of ten."""
    assert read_siren(given) == "732829320"


@pytest.mark.parametrize(
    "given",
    ["", "732829321", "732829230", "73282932", "7328293200", "000000000", "73282932O", "７32829320", "732829320\n"],
)
def test_what_is_no_siren_is_none(given: str) -> None:
    assert read_siren(given) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("732 829 320 00074", "73282932000074"),
        ("73282932000075", None),
        ("73282932100074", None),
        ("732829320", None),
        ("35600000049837", "35600000049837"),  # La Poste: 3+5+6+4+9+8+3+7 = 45, a multiple of five
        ("35600000049838", None),
    ],
)
def test_a_siret_is_a_siren_and_its_establishment(given: str, found: str | None) -> None:
    assert read_siret(given) == found


@pytest.mark.parametrize(
    "given",
    [
        "FR40303265045",  # (12 + 3 × (303265045 mod 97)) mod 97 = 40
        "FR83404833048",
        "FRK7399859412",  # a key with a letter
        "FR53000004605",  # Monaco: no SIREN
        "ATU12345678", "BE0123456789", "BE1123456789", "BG123456789", "BG1234567890", "CHE123456789MWST",
        "CY12345678X", "CZ12345678", "CZ1234567890", "DE123456789", "DK12345678", "EE123456789", "EL123456789",
        "ESX12345678", "ES12345678X", "ESX1234567X", "FI12345678", "GB123456789", "GBGD123", "HR12345678901",
        "HU12345678", "IE1234567W", "IE1234567WA", "IE1A12345W", "IT12345678901", "LT123456789", "LT123456789012",
        "LU12345678", "LV12345678901", "MT12345678", "NL123456789B01", "NO123456789MVA", "PL1234567890",
        "PT123456789", "RO12", "RO1234567890", "SE123456789012", "SI12345678", "SK1234567890", "XI123456789",
    ],
)  # fmt: skip
def test_a_vat_number_has_its_countrys_form(given: str) -> None:
    assert read_vat_id(given) == given
    written = f"{given[:2].lower()} {given[2:5]}.{given[5:].lower()}"
    assert read_vat_id(written) == given
    assert read_vat_id(f"{given}0") in (None, f"{given}0")
    assert read_vat_id(given[:-1] + "!") is None


@pytest.mark.parametrize(
    "given",
    [
        "", "FR", "303265045", "FR41303265045", "FR40303265046", "FRI7399859412", "FRK8399859412", "GR123456789",
        "US123456789", "UK123456789", "DE12345678", "DE1234567890", "DE023456789", "NL123456789A01", "EL12345678",
        "ATX12345678", "DE١٢٣٤٥٦٧٨٩", "DE123456789\n", "XX", "ſE123456789012",
    ],
)  # fmt: skip
def test_what_is_no_vat_number_is_none(given: str) -> None:
    assert read_vat_id(given) is None


def test_a_french_vat_number_holds_the_siren() -> None:
    assert [siren_of(number) for number in ("FR40303265045", "FR53000004605", "DE123456789", "")] == [
        "303265045", None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("FR14 2004 1010 0505 0001 3M02 606", IBAN),
        (IBAN.lower(), IBAN),
        (IBAN[:-1] + "7", None),
        ("FR41" + IBAN[4:], None),
        ("FR14", None),
        ("1420041010050500013M02606", None),
        ("DE89370400440532013000", "DE89370400440532013000"),
    ],
)
def test_an_iban_is_one_by_97(given: str, found: str | None) -> None:
    assert read_iban(given) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("BNPAFRPP", "BNPAFRPP"), ("bnpafrppxxx", "BNPAFRPPXXX"), ("BNPAFRP", None), ("BNPAFRPPX", None),
        ("BNPA1RPP", None), ("BNPAFRPPXXXX", None),
    ],
)  # fmt: skip
def test_a_bic_has_eight_or_eleven_signs(given: str, found: str | None) -> None:
    assert read_bic(given) == found
