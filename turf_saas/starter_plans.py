"""What a new database sells, meant to be changed: free, premium and pro."""

from __future__ import annotations

import json
from typing import Any


def _plan(
    code: str, amount_cents: int, policy: str, included: dict[str, int], prices: dict[str, str]
) -> dict[str, Any]:
    return {
        "code": code,
        "name": code.capitalize(),
        "amount_cents": amount_cents,
        "limits": {metric: {"included": number, "policy": policy} for metric, number in included.items()},
        "prices": [{"metric": metric, "model": "flat", "unit_amount": price} for metric, price in prices.items()],
    }


STARTERS = (
    _plan("free", 0, "hard", {"api_calls": 300, "tokens": 100_000}, {}),
    _plan(
        "premium",
        1_900,
        "soft",
        {"api_calls": 3_000, "tokens": 1_000_000},
        {"api_calls": "0.01", "tokens": "0.00001"},
    ),
    _plan(
        "pro",
        4_900,
        "soft",
        {"api_calls": 30_000, "tokens": 10_000_000},
        {"api_calls": "0.005", "tokens": "0.000005"},
    ),
)


def as_sql() -> str:
    """The statement by which the first migration enters them. They hold no quote and no colon outside of JSON."""
    rows = ",\n    ".join(
        f"('{plan['code']}', 1, '{plan['name']}', {plan['amount_cents']}, "
        f"'{json.dumps(plan['limits'])}', '{json.dumps(plan['prices'])}')"
        for plan in STARTERS
    )
    return f"INSERT INTO billing_plans (code, version, name, amount_cents, limits, prices) VALUES\n    {rows};"
