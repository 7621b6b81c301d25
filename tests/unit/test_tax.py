"""Which VAT: the table of docs/invoices.md, row by row, the days on which rates change, and a host's own answer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from turf_saas.buyer import Buyer
from turf_saas.countries import COUNTRIES, UNION, in_union, of_prefix, taxed_as
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.seller import Seller
from turf_saas.tax import TaxDecision, checked, decide, rate_text
from turf_saas.tax_rates import RATES, find_rate

TODAY = date(2026, 11, 21)
FRENCH = Seller(country="FR")
SHOP = Seller(country="FR", oss=True)
SMALL = Seller(country="FR", vat_regime="franchise")
BELGIAN = Seller(country="BE")

CONSUMER = Buyer()
GERMAN = Buyer("pro", country="DE", vat_id="DE123456789")
GREEK = Buyer("pro", country="GR", vat_id="EL123456789")


def decided(seller: Seller, buyer: Buyer, on: date = TODAY, **key: Any) -> tuple[str, str, str | None, str | None]:
    found = decide(seller, buyer, on, **key)
    return found.category, found.rate_text, found.vatex, found.mention


@pytest.mark.parametrize(
    ("seller", "buyer", "expected"),
    [
        (SMALL, CONSUMER, ("E", "0", "VATEX-FR-FRANCHISE", "franchise")),
        (SMALL, GERMAN, ("E", "0", "VATEX-FR-FRANCHISE", "franchise")),
        (SMALL, Buyer(country="US"), ("E", "0", "VATEX-FR-FRANCHISE", "franchise")),
        (Seller(country="BE", vat_regime="franchise"), CONSUMER, ("E", "0", None, "franchise")),
        (FRENCH, CONSUMER, ("S", "20", None, None)),
        (FRENCH, Buyer("pro", country="FR", siren="303265045", vat_id="FR40303265045"), ("S", "20", None, None)),
        (FRENCH, Buyer(country="MC"), ("S", "20", None, None)),
        (FRENCH, GERMAN, ("AE", "0", "VATEX-EU-AE", "reverse_charge")),
        (SHOP, GERMAN, ("AE", "0", "VATEX-EU-AE", "reverse_charge")),
        (FRENCH, GREEK, ("AE", "0", "VATEX-EU-AE", "reverse_charge")),
        (BELGIAN, Buyer("pro", country="MC", vat_id="FR53000004605"), ("AE", "0", "VATEX-EU-AE", "reverse_charge")),
        (FRENCH, Buyer("pro", country="DE"), ("S", "20", None, None)),  # no number: as a consumer
        (FRENCH, Buyer("pro", country="DE", vat_id="NL123456789B01"), ("S", "20", None, None)),
        (FRENCH, Buyer("pro", country="DE", vat_id="FR40303265045"), ("S", "20", None, None)),
        (FRENCH, Buyer(country="DE", vat_id="DE123456789"), ("S", "20", None, None)),  # a consumer has none
        (FRENCH, Buyer(country="DE"), ("S", "20", None, None)),  # below the threshold
        (SHOP, Buyer(country="DE"), ("S", "19", None, None)),
        (SHOP, Buyer("pro", country="DE"), ("S", "19", None, None)),
        (SHOP, Buyer(country="FI"), ("S", "25.5", None, None)),
        (SHOP, Buyer(country="FR"), ("S", "20", None, None)),
        (BELGIAN, CONSUMER, ("S", "21", None, None)),
        (BELGIAN, Buyer(country="FR"), ("S", "21", None, None)),
        (FRENCH, Buyer(country="US"), ("O", "0", "VATEX-EU-O", "outside_eu")),
        (SHOP, Buyer("pro", country="CH", vat_id="CHE123456789"), ("O", "0", "VATEX-EU-O", "outside_eu")),
        (FRENCH, Buyer("pro", country="GB", vat_id="XI123456789"), ("O", "0", "VATEX-EU-O", "outside_eu")),
        (FRENCH, Buyer(country="PF"), ("O", "0", "VATEX-EU-O", "outside_eu")),
    ],
)
def test_who_sells_to_whom_decides(seller: Seller, buyer: Buyer, expected: tuple[str, str, str, str]) -> None:
    assert decided(seller, buyer) == expected


@pytest.mark.parametrize(
    ("key", "rate"), [("standard", "20"), ("intermediate", "10"), ("reduced", "5.5"), ("super", "2.1")]
)
def test_france_has_four_rates(key: str, rate: str) -> None:
    assert decided(FRENCH, CONSUMER, rate_key=key) == ("S", rate, None, None)


@pytest.mark.parametrize(
    ("country", "day", "rate"),
    [
        ("EE", date(2023, 12, 31), "20"), ("EE", date(2024, 1, 1), "22"), ("EE", date(2025, 6, 30), "22"),
        ("EE", date(2025, 7, 1), "24"), ("FI", date(2024, 8, 31), "24"), ("FI", date(2024, 9, 1), "25.5"),
        ("SK", date(2024, 12, 31), "20"), ("SK", date(2025, 1, 1), "23"), ("RO", date(2025, 7, 31), "19"),
        ("RO", date(2025, 8, 1), "21"), ("LU", date(2022, 12, 31), "17"), ("LU", date(2023, 6, 1), "16"),
        ("LU", date(2024, 1, 1), "17"), ("DE", date(2021, 7, 1), "19"),
    ],
)  # fmt: skip
def test_a_rate_holds_from_its_first_day(country: str, day: date, rate: str) -> None:
    assert decided(SHOP, Buyer(country=country), day) == ("S", rate, None, None)


def test_every_country_of_the_union_has_a_standard_rate_today_and_they_rise_in_time() -> None:
    assert len(UNION) == 27
    assert all(find_rate(country, "standard", TODAY) for country in UNION)
    assert {country for country, _ in RATES} == UNION <= COUNTRIES
    for entries in RATES.values():
        days = [day for day, _ in entries]
        assert days == sorted(set(days))


@pytest.mark.parametrize(
    ("seller", "buyer", "day", "key", "code"),
    [
        (FRENCH, CONSUMER, date(2013, 12, 31), "standard", "tax_rate_unknown"),
        (SHOP, Buyer(country="DE"), date(2021, 6, 30), "standard", "tax_rate_unknown"),
        (SHOP, Buyer(country="DE"), TODAY, "reduced", "tax_rate_unknown"),
        (FRENCH, Buyer(country="RE"), TODAY, "standard", "tax_undecided"),
        (FRENCH, Buyer("pro", country="GP"), TODAY, "standard", "tax_undecided"),
        (Seller(country="MQ"), CONSUMER, TODAY, "standard", "tax_undecided"),
        (Seller(country="US"), CONSUMER, TODAY, "standard", "tax_undecided"),
        (Seller(country="CH"), Buyer(country="FR"), TODAY, "standard", "tax_undecided"),
    ],
)
def test_what_is_not_known_here_is_said_and_not_guessed(
    seller: Seller, buyer: Buyer, day: date, key: Any, code: str
) -> None:
    with pytest.raises(Conflict) as refused:
        decide(seller, buyer, day, rate_key=key)
    assert refused.value.code == code
    assert code in str(refused.value)  # its sentence has all that it names


def test_countries_and_their_prefixes() -> None:
    assert [of_prefix(number) for number in ("EL1", "XI1", "DE1", "FR1")] == ["GR", "GB", "DE", "FR"]
    assert (taxed_as("MC"), in_union("MC"), in_union("GB"), in_union("RE")) == ("FR", True, False, False)


# -- what a host's own tax function answers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"category": "S", "rate": "8.5"}, TaxDecision("S", Decimal("8.5"))),
        ({"category": "S", "rate": 20}, TaxDecision("S", Decimal(20))),
        ({"category": "S", "rate": Decimal("0.0001")}, TaxDecision("S", Decimal("0.0001"))),
        ({"category": "S", "rate": "100"}, TaxDecision("S", Decimal(100))),
        ({"category": "G", "rate": 0, "vatex": "VATEX-EU-G", "mention": None},
         TaxDecision("G", Decimal(0), "VATEX-EU-G")),
        ({"category": "K", "rate": "0.00", "mention": "Livraison intracommunautaire"},
         TaxDecision("K", Decimal(0), None, "Livraison intracommunautaire")),
        (TaxDecision("E", Decimal(0), None, "franchise"), TaxDecision("E", Decimal(0), None, "franchise")),
    ],
)  # fmt: skip
def test_a_hosts_answer_of_the_same_shape_is_taken(given: Any, found: TaxDecision) -> None:
    assert checked(given) == found


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        (None, [("", "field_type")]),
        ("S", [("", "field_type")]),
        ({}, [("/category", "field_missing"), ("/rate", "field_missing")]),
        ({"category": "S", "rate": 20, "country": "FR"}, [("/country", "field_unknown")]),
        ({"category": "Z", "rate": 0}, [("/category", "field_choice")]),
        ({"category": ["S"], "rate": 20}, [("/category", "field_choice")]),
        ({"category": "S", "rate": 20.0}, [("/rate", "decimal_invalid")]),
        ({"category": "S", "rate": True}, [("/rate", "decimal_invalid")]),
        ({"category": "S", "rate": Decimal("NaN")}, [("/rate", "decimal_invalid")]),
        ({"category": "S", "rate": "0.00001"}, [("/rate", "decimal_places")]),
        ({"category": "S", "rate": 0}, [("/rate", "field_range")]),
        ({"category": "S", "rate": "-1"}, [("/rate", "field_range")]),
        ({"category": "S", "rate": "100.0001"}, [("/rate", "field_range")]),
        ({"category": "AE", "rate": 20}, [("/rate", "field_range")]),
        ({"category": "O", "rate": "0.0001"}, [("/rate", "field_range")]),
        ({"category": "S", "rate": None, "vatex": 7, "mention": "a\nb"},
         [("/rate", "decimal_invalid"), ("/vatex", "field_type"), ("/mention", "field_control")]),
        ({"category": "E", "rate": 0, "mention": "x" * 501}, [("/mention", "field_length")]),
        ({"category": "E", "rate": 0, "mention": ""}, [("/mention", "field_length")]),
    ],
)  # fmt: skip
def test_a_hosts_answer_that_cannot_be_right_is_refused_with_every_fault(given: Any, faults: list[Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(given)
    assert [(fault.loc, fault.code) for fault in refused.value.faults] == faults


def test_a_mention_may_have_five_hundred_letters() -> None:
    assert checked({"category": "E", "rate": 0, "mention": "x" * 500}).mention == "x" * 500


@pytest.mark.parametrize(
    ("rate", "text"), [("20", "20"), ("20.00", "20"), ("5.50", "5.5"), ("0", "0"), ("100", "100"), ("0.0001", "0.0001")]
)
def test_a_rate_is_stored_in_one_way(rate: str, text: str) -> None:
    assert rate_text(Decimal(rate)) == text
