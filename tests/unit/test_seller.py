"""Who sells: what an invoice cannot do without, and the sentences that the law asks for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from turf_saas.buyer import Buyer
from turf_saas.errors import Conflict, SettingsError
from turf_saas.mentions import DEFAULTS, mentions_of
from turf_saas.seller import Seller, missing, require_seller, seller_of
from turf_saas.settings import Settings, read_settings
from turf_saas.tax import FRENCH_FRANCHISE, OUTSIDE_UNION, REVERSE_CHARGE, TaxDecision

COMPANY = {
    "NAME": "Turf SARL", "FORM": "SARL", "CAPITAL": "10 000 €", "SIREN": "303 265 045", "RCS": "Chantilly",
    "VAT": "FR40303265045", "ADDRESS": "1 allée des Pistes", "ZIP": "60500", "CITY": "Chantilly",
}  # fmt: skip
TAXED = TaxDecision("S", Decimal(20))


def settings_of(given: dict[str, str], **others: Any) -> Settings:
    named = {f"BILLING_SELLER_{name}": value for name, value in given.items()}
    return read_settings({"TURF_SAAS_DB": ".", **named, **others})


def without(*names: str, **changes: str) -> dict[str, str]:
    return {name: value for name, value in {**COMPANY, **changes}.items() if name not in names}


def test_a_whole_seller_lacks_nothing() -> None:
    assert missing(settings_of(COMPANY)) == []
    assert require_seller(settings_of(COMPANY, BILLING_OSS="1")).snapshot() == {
        "name": "Turf SARL", "form": "SARL", "capital": "10 000 €", "siren": "303265045", "rcs": "Chantilly",
        "vat": "FR40303265045", "address": "1 allée des Pistes", "zip": "60500", "city": "Chantilly", "country": "FR",
        "vat_regime": "normal", "vat_on_debits": False, "oss": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(COMPANY))
def test_what_a_company_lacks_is_named(name: str) -> None:
    assert missing(settings_of(without(name))) == [f"BILLING_SELLER_{name}"]


def test_without_anything_set_the_refusal_names_all() -> None:
    with pytest.raises(Conflict) as refused:
        require_seller(settings_of({}))
    assert refused.value.code == "seller_incomplete"
    assert refused.value.params["missing"] == ", ".join(
        f"BILLING_SELLER_{name}" for name in ("NAME", "ADDRESS", "ZIP", "CITY", "FORM", "SIREN", "VAT")
    )


def test_a_siret_names_the_siren() -> None:
    given = settings_of(without("SIREN", SIRET="30326504500011"))
    assert (missing(given), seller_of(given).siren) == ([], "303265045")


def test_one_person_has_no_capital_and_no_register_and_a_franchise_no_vat_number() -> None:
    given = without("CAPITAL", "RCS", "VAT", FORM="Entrepreneur individuel")
    assert missing(settings_of(given)) == ["BILLING_SELLER_VAT"]
    assert missing(settings_of(given, BILLING_VAT_REGIME="franchise")) == []
    assert missing(settings_of(without("CAPITAL", FORM="s.a.s."))) == ["BILLING_SELLER_CAPITAL"]


def test_elsewhere_there_is_no_siren() -> None:
    given = without("FORM", "CAPITAL", "SIREN", "RCS", COUNTRY="BE", VAT="BE0123456789")
    assert missing(settings_of(given)) == []


@pytest.mark.parametrize(("name", "given"), [("SIRET", "73282932000074"), ("VAT", "FR83404833048")])
def test_the_sellers_numbers_are_one_companys(name: str, given: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of({"SIREN": "303265045", name: given})
    assert str(refused.value) == f"BILLING_SELLER_{name}={given!r}: must hold the SIREN 303265045"
    with pytest.raises(SettingsError, match="must hold the SIREN 303265045"):
        settings_of({"SIRET": "30326504500011", "VAT": "FR83404833048"})


# -- the sentences --------------------------------------------------------------------------------------


def names(seller: Seller, buyer: Buyer, *taxes: TaxDecision, **given: str) -> list[str]:
    found = mentions_of(given, seller, buyer.kind, taxes)
    assert found.keys() == {"fr", "en"}
    assert list(found["fr"]) == list(found["en"])
    return list(found["fr"])


def test_a_professional_reads_of_delays_and_a_consumer_does_not() -> None:
    assert names(Seller(), Buyer("pro"), TAXED) == ["operation", "penalty", "recovery_fee", "early_payment"]
    assert names(Seller(), Buyer(), TAXED) == ["operation"]


def test_the_tax_says_why_it_is_none() -> None:
    assert names(Seller(), Buyer(), FRENCH_FRANCHISE, FRENCH_FRANCHISE) == ["operation", "franchise"]
    assert names(Seller(), Buyer("pro"), REVERSE_CHARGE)[1] == "reverse_charge"
    assert names(Seller(), Buyer(), OUTSIDE_UNION, TAXED) == ["operation", "outside_eu"]


def test_vat_on_debits_is_said_where_there_is_vat() -> None:
    opted = Seller(vat_on_debits=True)
    assert names(opted, Buyer(), TAXED) == ["operation", "vat_on_debits"]
    assert names(opted, Buyer("pro"), REVERSE_CHARGE)[1] == "reverse_charge"


def test_the_forty_euros_and_the_articles_stand_in_both_languages() -> None:
    found = mentions_of({}, Seller(), "pro", [REVERSE_CHARGE])
    assert "40 €" in found["fr"]["recovery_fee"]
    assert "EUR 40" in found["en"]["recovery_fee"]
    assert found["fr"]["reverse_charge"].startswith("Autoliquidation")
    assert found["fr"]["early_payment"] == "Pas d'escompte pour paiement anticipé."


def test_a_setting_replaces_a_sentence_in_both_languages_or_in_one() -> None:
    given = {"BILLING_MENTION_PENALTY": "12 %", "BILLING_MENTION_EARLY_PAYMENT_EN": "2 % within a week"}
    found = mentions_of(given, Seller(), "pro", [TAXED])
    assert (found["fr"]["penalty"], found["en"]["penalty"]) == ("12 %", "12 %")
    assert found["fr"]["early_payment"] == DEFAULTS["early_payment"]["fr"]
    assert found["en"]["early_payment"] == "2 % within a week"


def test_old_and_new_wording_of_the_law_are_both_a_setting() -> None:
    for wording in ("TVA non applicable, art. 293 B du CGI", "TVA non applicable (CIBS)"):
        found = mentions_of({"BILLING_MENTION_FRANCHISE": wording}, Seller(), "consumer", [FRENCH_FRANCHISE])
        assert found["fr"]["franchise"] == wording


def test_a_sentence_of_the_sellers_own_stands_on_every_invoice_in_its_language() -> None:
    given = {"BILLING_MENTION_THANKS": "Merci, thanks", "BILLING_MENTION_HOLIDAYS_FR": "Fermé en août"}
    found = mentions_of(given, Seller(), "consumer", [TAXED])
    assert found["fr"] == {
        "operation": DEFAULTS["operation"]["fr"], "holidays": "Fermé en août", "thanks": "Merci, thanks",
    }  # fmt: skip
    assert found["en"] == {"operation": DEFAULTS["operation"]["en"], "thanks": "Merci, thanks"}


def test_a_hosts_own_mention_is_its_sentence() -> None:
    found = mentions_of({}, Seller(), "consumer", [TaxDecision("G", Decimal(0), None, "Export")])
    assert "Export" in found["fr"].values()
    assert "Export" in found["en"].values()


def test_a_buyer_is_kept_as_he_was_without_what_he_left_out() -> None:
    assert Buyer("pro", name="Écurie Bleue", country="FR").snapshot() == {
        "kind": "pro", "name": "Écurie Bleue", "country": "FR",
    }  # fmt: skip
