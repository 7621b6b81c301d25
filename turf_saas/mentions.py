"""The sentences that an invoice has to carry. The law changes their wording: each can be replaced by a setting.

BILLING_MENTION_<NAME> replaces the sentence of that name, in both languages; with _FR or _EN behind it, in one. A name
that is none of these adds a sentence of its own to every invoice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from turf_saas.messages import LOCALES
from turf_saas.seller import Seller
from turf_saas.settings import MENTION_PREFIX
from turf_saas.tax import TaxDecision

DEFAULTS: dict[str, dict[str, str]] = {
    "operation": {
        "fr": "Catégorie de l'opération : prestations de services.",
        "en": "Category of the operation: supply of services.",
    },
    "vat_on_debits": {
        "fr": "Option pour le paiement de la taxe d'après les débits.",
        "en": "VAT falls due on the invoice (option for payment of the tax on debits).",
    },
    "franchise": {
        "fr": "TVA non applicable, art. 293 B du CGI.",
        "en": "VAT not applicable, article 293 B of the French tax code (CGI).",
    },
    "reverse_charge": {
        "fr": "Autoliquidation, art. 283-2 du CGI et art. 196 de la directive 2006/112/CE.",
        "en": "Reverse charge, article 283-2 of the CGI and article 196 of directive 2006/112/EC.",
    },
    "outside_eu": {
        "fr": "TVA non applicable, art. 259-1 du CGI.",
        "en": "VAT not applicable, article 259-1 of the French tax code (CGI).",
    },
    "penalty": {
        "fr": "En cas de retard de paiement : pénalités au taux de trois fois l'intérêt légal.",
        "en": "Late payment: penalties at three times the French legal interest rate.",
    },
    "recovery_fee": {
        "fr": "Indemnité forfaitaire pour frais de recouvrement en cas de retard : 40 €.",
        "en": "Fixed compensation for recovery costs in case of late payment: EUR 40.",
    },
    "early_payment": {
        "fr": "Pas d'escompte pour paiement anticipé.",
        "en": "No discount for early payment.",
    },
}
BETWEEN_PROFESSIONALS = ("penalty", "recovery_fee", "early_payment")
_LANGUAGE = re.compile("_(" + "|".join(locale.upper() for locale in LOCALES) + ")$")


def mentions_of(
    given: Mapping[str, str], seller: Seller, buyer_kind: str, decisions: Iterable[TaxDecision]
) -> dict[str, dict[str, str]]:
    """What an invoice carries, by language and name, as it is kept on it. given: the settings BILLING_MENTION_…"""
    given = {name.upper(): sentence for name, sentence in given.items()}
    names = ["operation"]
    taxes = list(dict.fromkeys(decisions))
    if seller.vat_on_debits and any(tax.category == "S" for tax in taxes):
        names.append("vat_on_debits")
    names += dict.fromkeys(tax.mention for tax in taxes if tax.mention is not None)
    if buyer_kind == "pro":
        names += BETWEEN_PROFESSIONALS
    names += sorted(_further(given))
    return {
        locale: {name: sentence_of(given, name, locale) for name in _said(given, names, locale)} for locale in LOCALES
    }


def sentence_of(given: Mapping[str, str], name: str, locale: str) -> str:
    """The setting's in this language, the setting's, the default; a name that has none of them is itself a sentence."""
    setting = f"{MENTION_PREFIX}{name.upper()}"
    return given.get(f"{setting}_{locale.upper()}") or given.get(setting) or DEFAULTS.get(name, {}).get(locale) or name


def _further(given: Mapping[str, str]) -> set[str]:
    """The names of sentences that are the seller's own."""
    names = {_LANGUAGE.sub("", setting.removeprefix(MENTION_PREFIX)).lower() for setting in given}
    return names - DEFAULTS.keys()


def _said(given: Mapping[str, str], names: list[str], locale: str) -> list[str]:
    """Without those of the seller's own that he has written for the other language alone."""
    own = _further(given)
    written = {setting.removeprefix(MENTION_PREFIX).lower() for setting in given}
    return [name for name in names if name not in own or written & {name, f"{name}_{locale}"}]
