"""Who sells: read from the settings, asked for when the first invoice is issued, and kept on each invoice as it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from turf_saas.countries import DEFAULT
from turf_saas.errors import Conflict
from turf_saas.settings import Settings

VatRegime = Literal["normal", "franchise"]
# Companies whose invoices name their capital and their register. One person, or an association, has neither.
_COMPANIES = "SARL EURL SAS SASU SA SCA SCS SNC SCOP SCIC SE SELARL SELARLU SELAS SELASU SELAFA SELCA"
FORMS_WITH_CAPITAL = frozenset(_COMPANIES.split())
ALWAYS = ("NAME", "ADDRESS", "ZIP", "CITY")


class SellerIncomplete(Conflict):
    """Nobody's invoice can be issued before the settings say who sells."""


@dataclass(frozen=True)
class Seller:
    """What an invoice says about the seller; empty where a setting is not given."""

    name: str = ""
    form: str = ""
    capital: str = ""
    siren: str = ""
    siret: str = ""
    rcs: str = ""
    vat: str = ""
    address: str = ""
    zip: str = ""
    city: str = ""
    country: str = DEFAULT
    iban: str = ""
    bic: str = ""
    vat_regime: VatRegime = "normal"
    vat_on_debits: bool = False
    oss: bool = False

    def snapshot(self) -> dict[str, str | bool]:
        """As it is kept on an invoice: plain, with what was given."""
        return {name: value for name, value in asdict(self).items() if value != ""}


def seller_of(settings: Settings) -> Seller:
    given = {name.lower(): value for name, value in settings.seller.items()}
    if "siren" not in given and "siret" in given:
        given["siren"] = given["siret"][:9]
    regime: VatRegime = "franchise" if settings.vat_regime == "franchise" else "normal"
    return Seller(**given, vat_regime=regime, vat_on_debits=settings.vat_on_debits, oss=settings.oss)


def missing(settings: Settings) -> list[str]:
    """The settings without which no invoice can be issued, in their order."""
    seller = seller_of(settings)
    wanted = list(ALWAYS)
    if seller.country == "FR":
        wanted += ["FORM", "SIREN"]
        if seller.form.upper().replace(".", "").replace(" ", "") in FORMS_WITH_CAPITAL:
            wanted += ["CAPITAL", "RCS"]
    if seller.vat_regime == "normal":
        wanted.append("VAT")
    return [f"BILLING_SELLER_{name}" for name in wanted if not getattr(seller, name.lower())]


def require_seller(settings: Settings) -> Seller:
    """The seller, or a Conflict that names what is missing."""
    names = missing(settings)
    if names:
        raise SellerIncomplete("seller_incomplete", missing=", ".join(names))
    return seller_of(settings)
