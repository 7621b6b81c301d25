"""Numbers that registers give out: SIREN, SIRET, VAT numbers, IBAN, BIC. Their form is checked, offline.

Each function answers the number as it is stored, without the blanks and dots that people write, or None.
"""

from __future__ import annotations

import re

_BETWEEN = re.compile("[ .\u00a0\u202f-]+")
_LA_POSTE = "356000000"  # whose establishments are too many for Luhn's digit
_KEY_LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"

# What follows the prefix. France and the prefix itself are seen to below.
_VAT = {
    "AT": r"U\d{8}",
    "BE": r"[01]\d{9}",
    "BG": r"\d{9,10}",
    "CH": r"E\d{9}(MWST|TVA|IVA)?",
    "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}",
    "DE": r"[1-9]\d{8}",
    "DK": r"\d{8}",
    "EE": r"\d{9}",
    "EL": r"\d{9}",
    "ES": r"[A-Z]\d{7}[A-Z]|\d{8}[A-Z]|[A-Z]\d{8}",
    "FI": r"\d{8}",
    "FR": rf"[{_KEY_LETTERS}]{{2}}\d{{9}}",
    "GB": r"\d{9}|\d{12}|(GD|HA)\d{3}",
    "HR": r"\d{11}",
    "HU": r"\d{8}",
    "IE": r"\d{7}[A-W][A-I]?|\d[A-Z+*]\d{5}[A-W]",
    "IT": r"\d{11}",
    "LT": r"\d{9}|\d{12}",
    "LU": r"\d{8}",
    "LV": r"\d{11}",
    "MT": r"\d{8}",
    "NL": r"\d{9}B\d{2}",
    "NO": r"\d{9}(MVA)?",
    "PL": r"\d{10}",
    "PT": r"\d{9}",
    "RO": r"[1-9]\d{1,9}",
    "SE": r"\d{12}",
    "SI": r"[1-9]\d{7}",
    "SK": r"[1-9]\d{9}",
    "XI": r"\d{9}|\d{12}|(GD|HA)\d{3}",
}
VAT_PREFIXES = tuple(_VAT)


def read_siren(given: str) -> str | None:
    """Nine digits, the last of which follows from the others."""
    number = _plain(given)
    return number if re.fullmatch(r"[0-9]{9}", number) and int(number) and _luhn(number) else None


def read_siret(given: str) -> str | None:
    """A SIREN and five digits more, with a last one of their own."""
    number = _plain(given)
    if not re.fullmatch(r"[0-9]{14}", number) or read_siren(number[:9]) is None:
        return None
    by_sum = number.startswith(_LA_POSTE) and sum(map(int, number)) % 5 == 0
    return number if by_sum or _luhn(number) else None


def read_vat_id(given: str) -> str | None:
    """A VAT number with its prefix. Whether somebody has it is known to VIES alone."""
    number = _plain(given).upper()
    pattern = _VAT.get(number[:2])
    if pattern is None or not re.fullmatch(pattern, number[2:], re.ASCII):
        return None
    return number if number[:2] != "FR" or _french_key(number[2:4], number[4:]) else None


def siren_of(vat_id: str) -> str | None:
    """The SIREN in a French VAT number; one of Monaco has none."""
    return vat_id[4:] if vat_id.startswith("FR") and not vat_id.startswith("000", 4) else None


def read_iban(given: str) -> str | None:
    number = _plain(given).upper()
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", number):
        return None
    return number if int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1 else None


def read_bic(given: str) -> str | None:
    number = _plain(given).upper()
    return number if re.fullmatch(r"[A-Z]{6}[A-Z0-9]{2}([A-Z0-9]{3})?", number) else None


def _plain(given: str) -> str:
    number = _BETWEEN.sub("", given)
    return number if number.isascii() else ""  # capitals of other scripts may be ours


def _luhn(number: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _french_key(key: str, digits: str) -> bool:
    """The two signs of the key follow from the SIREN; they are digits, or since the nineties also letters."""
    if not digits.startswith("000") and read_siren(digits) is None:
        return False
    if key.isdigit():
        return int(f"{digits}12") % 97 == int(key)
    first, second = map(_KEY_LETTERS.index, key)
    check = first * 24 + second - 10 if key[0].isdigit() else first * 34 + second - 100
    return (int(digits) + 1 + check // 11) % 11 == check % 11
