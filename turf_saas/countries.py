"""Countries: the codes of ISO 3166-1, who is in the Union for its VAT, and what stands before a VAT number."""

from __future__ import annotations

DEFAULT = "FR"  # the seller's, where nothing else is said

_ISO_3166 = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRIES = frozenset(_ISO_3166.split())
UNION = frozenset(_UNION.split())
# Overseas departments have their own codes and their own rates, or none: that is not decided here.
OVERSEAS_DEPARTMENTS = frozenset({"GF", "GP", "MQ", "RE", "YT"})
_TAXED_AS = {"MC": "FR"}
_PREFIXES = {"EL": "GR", "XI": "GB"}  # Greece writes its own; Northern Ireland is in the Union for goods alone


def taxed_as(country: str) -> str:
    """The country whose VAT is meant: Monaco's is the French one."""
    return _TAXED_AS.get(country, country)


def in_union(country: str) -> bool:
    return taxed_as(country) in UNION


def of_prefix(vat_id: str) -> str:
    """The country that a VAT number names."""
    return _PREFIXES.get(vat_id[:2], vat_id[:2])
