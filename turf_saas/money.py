"""Money: whole cents of a currency, and the one way in which anything is rounded to them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow

MAX_CENTS = 2**53  # what every reader of JSON holds exactly

# Nothing that is multiplied or added here is ever cut: it would be an error, not another amount. The context is ours,
# because the thread's own belongs to the host.
EXACT = Context(prec=120, traps=[Inexact, InvalidOperation, Overflow])
_ROUNDING = Context(prec=120, rounding=ROUND_HALF_UP, traps=[InvalidOperation, Overflow])
_WHOLE = Decimal(1)

# ISO 4217: how many decimals a currency's minor unit has. `cents` is our word for that unit, whatever its name.
_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
        CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
        HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
        MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
        SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW
        ZWG""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: decimals for decimals, codes in _DECIMALS.items() for code in codes.split()}


def is_currency(code: object) -> bool:
    """Whether it is a currency of ISO 4217 that has a minor unit."""
    return isinstance(code, str) and code in _EXPONENTS


def exponent(currency: str) -> int:
    """How many decimals its amounts have: 2 for EUR, 0 for JPY, 3 for KWD."""
    return _EXPONENTS[currency]


def to_cents(amount: Decimal, currency: str) -> int:
    """An amount in the major unit as cents: half a cent goes away from zero, so that a refund mirrors its charge."""
    return int(_ROUNDING.quantize(_ROUNDING.scaleb(amount, _EXPONENTS[currency]), _WHOLE))


def from_cents(cents: int, currency: str) -> Decimal:
    """Cents as an amount in the major unit."""
    return EXACT.scaleb(Decimal(cents), -_EXPONENTS[currency])


def share(cents: int, part: int, whole: int) -> int:
    """What `part` of `whole` is of cents, in integers: half a cent goes away from zero."""
    if whole <= 0:
        raise ValueError(f"a share of {whole} parts is none")
    product = cents * part
    size = (2 * abs(product) + whole) // (2 * whole)
    return size if product >= 0 else -size


def spread(cents: int, weights: Sequence[int]) -> list[int]:
    """Cents over the weights, to the last one: each gets its part cut, what is left goes to the largest remainders.

    Of equal remainders the first comes first. A negative amount is spread as the positive one is.
    """
    whole = sum(weights)
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative")
    if whole == 0:
        if cents:
            raise ValueError(f"{cents} cents have nothing to be spread over")
        return [0 for _ in weights]
    parts = [divmod(abs(cents) * weight, whole) for weight in weights]
    left = abs(cents) - sum(cut for cut, _ in parts)
    first_served = set(sorted(range(len(parts)), key=lambda place: -parts[place][1])[:left])
    sign = 1 if cents >= 0 else -1
    return [sign * (cut + (place in first_served)) for place, (cut, _) in enumerate(parts)]
