"""Which VAT a service bears: decided once per line, from who sells, who buys and on which day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

from turf_saas.buyer import Buyer
from turf_saas.checks import invalid, read_decimal
from turf_saas.countries import OVERSEAS_DEPARTMENTS, in_union, of_prefix, taxed_as
from turf_saas.errors import Conflict, Fault, InvalidInput
from turf_saas.money import EXACT
from turf_saas.seller import Seller
from turf_saas.tax_rates import RateKey, find_rate
from turf_saas.values import can_be_stored

# UNCL 5305: S taxed, E exempt, AE the buyer owes it, O outside its scope, G export, K goods within the Union.
Category = Literal["S", "E", "AE", "O", "G", "K"]
MAX_RATE_PLACES = 4
MAX_MENTION = 500
_ZERO = Decimal(0)
_FIELDS = ("category", "rate", "vatex", "mention")


class TaxDecision(NamedTuple):
    """A category and its rate in percent; `vatex` is the reason's code in an electronic invoice.

    `mention` names one of turf_saas/mentions.py; what is no name there is the sentence itself.
    """

    category: Category
    rate: Decimal
    vatex: str | None = None
    mention: str | None = None

    @property
    def rate_text(self) -> str:
        return rate_text(self.rate)


REVERSE_CHARGE = TaxDecision("AE", _ZERO, "VATEX-EU-AE", "reverse_charge")
OUTSIDE_UNION = TaxDecision("O", _ZERO, "VATEX-EU-O", "outside_eu")
FRENCH_FRANCHISE = TaxDecision("E", _ZERO, "VATEX-FR-FRANCHISE", "franchise")
FRANCHISE = TaxDecision("E", _ZERO, None, "franchise")


def decide(seller: Seller, buyer: Buyer, on: date, *, rate_key: RateKey = "standard") -> TaxDecision:
    """The VAT of a service supplied electronically. Conflict where the rule or the rate is not known here."""
    home, theirs = taxed_as(seller.country), taxed_as(buyer.country or seller.country)
    if seller.vat_regime == "franchise":
        return FRENCH_FRANCHISE if home == "FR" else FRANCHISE
    if not in_union(home) or {home, theirs} & OVERSEAS_DEPARTMENTS:
        raise Conflict("tax_undecided", country=theirs, seller=home)
    if theirs == home:
        return _taxed(home, rate_key, on)
    if not in_union(theirs):
        return OUTSIDE_UNION
    if buyer.kind == "pro" and buyer.vat_id is not None and of_prefix(buyer.vat_id) == theirs:
        return REVERSE_CHARGE
    return _taxed(theirs if seller.oss else home, rate_key, on)


def checked(given: Any) -> TaxDecision:
    """What the host's own tax function has answered, in the same shape; refused where it cannot be right."""
    if isinstance(given, TaxDecision):
        given = given._asdict()
    if not isinstance(given, Mapping):
        raise invalid([Fault("", "field_type", {"expected": "object"})])
    faults = [Fault(f"/{name}"[:100], "field_unknown", {}) for name in given if name not in _FIELDS]
    faults += [Fault(f"/{name}", "field_missing", {}) for name in _FIELDS[:2] if name not in given]
    category, rate = given.get("category"), read_decimal(given.get("rate"))
    if "category" in given and category not in get_args(Category):
        faults.append(Fault("/category", "field_choice", {"expected": ", ".join(get_args(Category))}))
    elif "rate" in given:
        faults += _faults_of_rate(rate, category)
    for name in _FIELDS[2:]:
        faults += _faults_of_text(name, given.get(name))
    if faults or rate is None or category is None:
        raise invalid(faults)
    return TaxDecision(category, abs(rate), given.get("vatex"), given.get("mention"))  # -0 is 0


def checked_lines(given: Any, count: int) -> tuple[TaxDecision, ...]:
    """The same for each line of a document: one answer that is for all of them, or a list with one for each."""
    if not isinstance(given, (list, tuple)) or isinstance(given, TaxDecision):
        return (checked(given),) * count
    if len(given) != count:
        raise invalid([Fault("", "field_length", {"expected": str(count)})])
    return tuple(_checked_at(place, one) for place, one in enumerate(given))


def _checked_at(place: int, given: Any) -> TaxDecision:
    try:
        return checked(given)
    except InvalidInput as error:
        raise invalid([replace(fault, loc=f"/{place}{fault.loc}") for fault in error.faults]) from None


def rate_text(rate: Decimal) -> str:
    """A rate as it is stored and shown: "20", "5.5"."""
    return f"{EXACT.normalize(rate):f}"


def _taxed(country: str, rate_key: str, on: date) -> TaxDecision:
    rate = find_rate(country, rate_key, on)
    if rate is None:
        raise Conflict("tax_rate_unknown", country=country, rate=rate_key, day=on.isoformat())
    return TaxDecision("S", rate)


def _faults_of_rate(rate: Decimal | None, category: Any) -> list[Fault]:
    """A tax has a rate, and what bears none has none."""
    if rate is None:
        return [Fault("/rate", "decimal_invalid", {})]
    if -int(rate.as_tuple().exponent) > MAX_RATE_PLACES:
        return [Fault("/rate", "decimal_places", {"most": MAX_RATE_PLACES})]
    if category == "S" and not 0 < rate <= 100:
        return [Fault("/rate", "field_range", {"expected": "> 0, ≤ 100"})]
    if category != "S" and rate != 0:
        return [Fault("/rate", "field_range", {"expected": "0"})]
    return []


def _faults_of_text(name: str, given: Any) -> list[Fault]:
    if given is None:
        return []
    if not isinstance(given, str):
        return [Fault(f"/{name}", "field_type", {"expected": "string"})]
    if not can_be_stored(given) or not given.isprintable():
        return [Fault(f"/{name}", "field_control", {})]
    if not 0 < len(given) <= MAX_MENTION:
        return [Fault(f"/{name}", "field_length", {"expected": f"1 … {MAX_MENTION}"})]
    return []
