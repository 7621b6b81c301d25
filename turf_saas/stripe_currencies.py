"""What Stripe takes of each currency: the least that it collects by itself, and what it counts in another unit."""

from __future__ import annotations

# In the currency's minor unit, as Stripe documents it for cards.
MINIMUM_CENTS = {
    "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1_500, "DKK": 250, "EUR": 50,
    "GBP": 30, "HKD": 400, "HUF": 17_500, "INR": 50, "JPY": 50, "MXN": 1_000, "MYR": 200, "NOK": 300, "NZD": 50,
    "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1_000, "USD": 50,
}  # fmt: skip
ELSEWHERE = 50


# Stripe counts these in another unit than ISO 4217 does.
OTHER_UNIT = frozenset({"CLF", "ISK", "MGA", "UGX", "UYI", "UYW"})
THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})  # of which Stripe takes two


def can_collect(currency: str, cents: int) -> bool:
    """Whether such an amount can be said in Stripe's unit."""
    return currency not in OTHER_UNIT and not (currency in THREE_DECIMALS and cents % 10)


def minimum_cents(currency: str) -> int:
    """What an invoice has to come to at least to be collected alone: less waits for the user's next one."""
    return MINIMUM_CENTS.get(currency, ELSEWHERE)


def minimum_sql(currency: str) -> str:
    """The same in SQL. currency: the column that holds it."""
    cases = " ".join(f"WHEN '{code}' THEN {cents}" for code, cents in MINIMUM_CENTS.items())
    return f"CASE {currency} {cases} ELSE {ELSEWHERE} END"
