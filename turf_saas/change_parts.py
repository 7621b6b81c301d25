"""Which part of a period a change gives back or charges, and of which price: kept with what says so, and told by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from billing_db import Connection, Row, fetch_one
from turf_saas import catalogue, discounts
from turf_saas.money import share
from turf_saas.periods import Period, seconds_between
from turf_saas.subscription_periods import price_after
from turf_saas.values import parse_instant, read_instant

# Of a change that gives back several things there is an item for each: what they come to together is the part.
_ITEM = """SELECT i.kind, i.period_start, i.period_end, i.amount_cents, b.starts_at, b.nominal_start, b.nominal_end,
                  b.redemption_id, b.fee_redemption_id, i.from_plan_id, i.to_plan_id,
                  f.name AS old, t.name AS new,
                  (SELECT SUM(g.amount_cents) FROM billing_pending_items AS g
                    WHERE g.user_id = i.user_id AND g.billing_period_id = i.billing_period_id AND g.kind = i.kind
                      AND g.period_start = i.period_start AND g.created_at = i.created_at
                      AND g.from_plan_id = i.from_plan_id) AS all_cents
             FROM billing_pending_items AS i
             JOIN billing_periods AS b ON b.id = i.billing_period_id
             LEFT JOIN billing_plans AS f ON f.id = i.from_plan_id
             LEFT JOIN billing_plans AS t ON t.id = i.to_plan_id
            WHERE i.id = :id"""


def find_part(db: Connection, item_id: int, price_cents: int | None = None) -> dict[str, Any] | None:
    """From when to when of which whole period, and of which price so much; None where no period is known.

    price_cents: what the period cost until the change, if that is known. `full_cents` is None where no price comes to
    that amount: all that the period still had to give back, say.
    """
    row = fetch_one(db, _ITEM, id=item_id)
    found = _seconds(row) if row is not None else None
    if row is None or found is None:
        return None
    seconds, whole = found
    if not 0 <= seconds <= whole or not whole:
        return None
    prices = [*([] if price_cents is None else [price_cents]), *_list_prices(db, row)]
    cents, full = abs(int(row["all_cents"] or row["amount_cents"])), None
    for each in (cents, abs(row["amount_cents"])):
        full = next((price for price in prices if share(price, seconds, whole) == each), None)
        if full is not None:
            cents = each
            break
    return {
        "kind": row["kind"],
        "old": row["old"],
        "new": row["new"],
        "from": row["period_start"],
        "to": row["period_end"],
        "whole_from": row["nominal_start"],
        "whole_to": row["nominal_end"],
        "full_cents": full,
        "amount_cents": cents,
    }


def _seconds(row: Row) -> tuple[int, int] | None:
    """How long the part is, and the whole; another program may have written an item without a time."""
    begins, ends = read_instant(row["period_start"]), read_instant(row["period_end"])
    if begins is None or ends is None:
        return None
    whole = seconds_between(parse_instant(row["nominal_start"]), parse_instant(row["nominal_end"]))
    return seconds_between(begins, ends), whole


def _list_prices(db: Connection, row: Row) -> Iterator[int]:
    """What the whole period cost by its plan: without a discount, and after those that it had."""
    plan_id = row["to_plan_id"] if row["kind"] == "charge" else row["from_plan_id"]
    if plan_id is None:
        return
    plan = catalogue.get_version(db, plan_id)
    yield plan.amount_cents
    short = row["nominal_start"] if row["nominal_start"] != row["starts_at"] else None
    period = Period(
        parse_instant(row["starts_at"]), parse_instant(row["nominal_end"]), parse_instant(short) if short else None
    )
    for redemption_id in {row["redemption_id"], row["fee_redemption_id"]} - {None}:
        yield price_after(discounts.get_redemption(db, redemption_id), plan, period)
