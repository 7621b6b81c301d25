"""Who is billed: what a profile is made of, and all that may be wrong with one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from turf_saas.accounts import MAX_EMAIL, clean_email
from turf_saas.checks import Check, Faults, Path, choice, fields, invalid
from turf_saas.countries import COUNTRIES, DEFAULT, of_prefix, taxed_as
from turf_saas.errors import Fault, pointer
from turf_saas.identifiers import VAT_PREFIXES, read_siren, read_vat_id, siren_of
from turf_saas.messages import LOCALES
from turf_saas.values import can_be_stored

Kind = Literal["pro", "consumer"]
KINDS: tuple[Kind, ...] = ("pro", "consumer")
MAX_NAME = 200
MAX_ADDRESS = 300
MAX_ZIP = 20
MAX_CITY = 100
MAX_NUMBER = 40  # of a number as it is written, with its blanks
REQUIRED_OF_PRO = ("name", "address", "city", "country")
# They turn the writing round: what is read would not be what is stored.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@dataclass(frozen=True)
class Buyer:
    """Who is billed. A consumer may say nothing about himself; `country` is then the seller's."""

    kind: Kind = "consumer"
    name: str | None = None
    address: str | None = None
    zip: str | None = None
    city: str | None = None
    country: str | None = None
    siren: str | None = None
    vat_id: str | None = None
    email: str | None = None
    locale: str | None = None

    def snapshot(self) -> dict[str, str]:
        """As it is kept on an invoice: plain, with what is known."""
        return {name: value for name, value in vars(self).items() if value is not None}


def buyer_from(given: Mapping[str, Any]) -> Buyer:
    """The buyer that was written, or a refusal that names all its faults. Blanks around a text are left out."""
    faults = faults_of(given)
    if faults:
        raise invalid(faults)
    found = {name: value.strip() for name, value in given.items() if value is not None}
    for name, read in _READ.items():
        if name in found:
            found[name] = read(found[name])
    return Buyer(**found)


def faults_of(given: Any) -> list[Fault]:
    """Everything that is wrong with a profile. What is null counts as not given."""
    if not isinstance(given, Mapping):
        return [Fault("", "field_type", {"expected": "object"})]
    written = {
        name: value for name, value in given.items() if value is not None or name == "kind" or name not in _CHECKS
    }
    required = ("kind", *(REQUIRED_OF_PRO if written.get("kind") == "pro" else ()))
    faults = list(fields((), written, _CHECKS, required))
    return faults + _contradictions(written, {fault.loc for fault in faults})


def _contradictions(given: Mapping[str, Any], wrong: set[str]) -> list[Fault]:
    """What is right by itself, and not beside the rest. wrong: the places that are not right by themselves."""

    def has(name: str) -> bool:
        return name in given and f"/{name}" not in wrong

    found = []
    siren, country = has("siren"), given.get("country", DEFAULT)
    if siren and has("kind") and (given["kind"] != "pro" or (has("country") and country != "FR")):
        found.append(Fault("/siren", "siren_not_french", {}))
    if not has("vat_id"):
        return found
    vat_id = str(read_vat_id(given["vat_id"]))
    if has("kind") and given["kind"] != "pro":
        found.append(Fault("/vat_id", "vat_id_of_consumer", {}))
    elif has("country") and of_prefix(vat_id) != taxed_as(country):
        found.append(Fault("/vat_id", "vat_id_of_another_country", {"country": country}))
    elif siren and siren_of(vat_id) not in (None, read_siren(given["siren"])):
        found.append(Fault("/vat_id", "vat_id_of_another_siren", {}))
    return found


def is_control(letter: str) -> bool:
    """Whether a letter is none, but does something: begins a line, rings, turns the writing round."""
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp") or letter in _TURNS


def _line(most: int) -> Check:
    """Letters that stand in one line, at least one that is no blank."""

    def check(path: Path, given: Any) -> Faults:
        where = pointer(*path)
        if not isinstance(given, str):
            yield Fault(where, "field_type", {"expected": "string"})
        elif not can_be_stored(given):
            yield Fault(where, "field_text", {})
        elif len(given) > most:
            yield Fault(where, "field_length", {"expected": f"≤ {most}"})
        elif any(map(is_control, given)):
            yield Fault(where, "field_control", {})
        elif not given.strip():
            yield Fault(where, "field_length", {"expected": "≥ 1"})

    return check


def _read(most: int, read: Callable[[str], str | None], code: str, **params: str) -> Check:
    """A line that can be read as something."""
    is_line = _line(most)

    def check(path: Path, given: Any) -> Faults:
        faults = list(is_line(path, given))
        yield from faults
        if not faults and read(given.strip()) is None:
            yield Fault(pointer(*path), code, params)

    return check


def _read_country(given: str) -> str | None:
    return given if given in COUNTRIES else None


_READ: dict[str, Callable[[str], str | None]] = {"siren": read_siren, "vat_id": read_vat_id, "email": clean_email}
_CHECKS: dict[str, Check] = {
    "kind": choice(*KINDS),
    "name": _line(MAX_NAME),
    "address": _line(MAX_ADDRESS),
    "zip": _line(MAX_ZIP),
    "city": _line(MAX_CITY),
    "country": _read(MAX_ZIP, _read_country, "country_unknown"),
    "siren": _read(MAX_NUMBER, read_siren, "siren_invalid"),
    "vat_id": _read(MAX_NUMBER, read_vat_id, "vat_id_invalid", known=", ".join(VAT_PREFIXES)),
    "email": _read(MAX_EMAIL, clean_email, "email_invalid"),
    "locale": choice(*LOCALES),
}
