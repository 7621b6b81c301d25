"""The VAT rates that are known here, each from its first day on. A change is one more entry.

France's four, and of the other members of the Union the standard rate, as it was when the one-stop shop began (1 July
2021) and since. Whoever sells at another rate, or from elsewhere, hands in a tax function of his own.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from decimal import Decimal
from typing import Literal

RateKey = Literal["standard", "intermediate", "reduced", "super"]

_FRENCH = date(2014, 1, 1)
_SHOP = date(2021, 7, 1)
_Rates = tuple[tuple[date, Decimal], ...]


def _since(*entries: tuple[date, str]) -> _Rates:
    return tuple((day, Decimal(rate)) for day, rate in entries)


_UNCHANGED = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25", "ES": "21", "GR": "24",
    "HR": "25", "HU": "27", "IE": "23", "IT": "22", "LT": "21", "LV": "21", "MT": "18", "NL": "21", "PL": "23",
    "PT": "23", "SE": "25", "SI": "22",
}  # fmt: skip
_CHANGED = {
    "EE": ((_SHOP, "20"), (date(2024, 1, 1), "22"), (date(2025, 7, 1), "24")),
    "FI": ((_SHOP, "24"), (date(2024, 9, 1), "25.5")),
    "LU": ((_SHOP, "17"), (date(2023, 1, 1), "16"), (date(2024, 1, 1), "17")),
    "RO": ((_SHOP, "19"), (date(2025, 8, 1), "21")),
    "SK": ((_SHOP, "20"), (date(2025, 1, 1), "23")),
}
RATES: dict[tuple[str, str], _Rates] = {
    ("FR", "standard"): _since((_FRENCH, "20")),
    ("FR", "intermediate"): _since((_FRENCH, "10")),
    ("FR", "reduced"): _since((_FRENCH, "5.5")),
    ("FR", "super"): _since((_FRENCH, "2.1")),
    **{(country, "standard"): _since((_SHOP, rate)) for country, rate in _UNCHANGED.items()},
    **{(country, "standard"): _since(*entries) for country, entries in _CHANGED.items()},
}


def find_rate(country: str, key: str, on: date) -> Decimal | None:
    """The rate in percent, or None where it is not known here."""
    entries = RATES.get((country, key), ())
    place = bisect_right(entries, on, key=lambda entry: entry[0])
    return entries[place - 1][1] if place else None
