"""What stands behind a discount, and behind the credit and the charge of a change: the code, and the part by second."""

from __future__ import annotations

import json
from collections.abc import Iterator

from billing_db import Connection, Row, fetch_one
from turf_saas.discounts import get_redemption
from turf_saas.explained_lines import Words
from turf_saas.invoice_documents import DocumentLine
from turf_saas.money import share
from turf_saas.periods import seconds_between
from turf_saas.values import read_instant


def tell_change(db: Connection, line: DocumentLine, words: Words) -> Iterator[str]:
    """The sentence below the line; none where it is no discount and no change."""
    origin = json.loads(line.origin)
    if line.kind == "discount" and origin.get("redemption_id") is not None:
        yield from _tell_discount(db, line, origin["redemption_id"], words)
    elif line.kind in ("credit", "charge") and origin.get("item_id") is not None:
        yield from _tell_part(db, line, origin["item_id"], words)


def _tell_discount(db: Connection, line: DocumentLine, redemption_id: int, words: Words) -> Iterator[str]:
    row = fetch_one(
        db,
        """SELECT d.code, d.percent, d.amount_cents FROM billing_redemptions AS r
             JOIN billing_discounts AS d ON d.id = r.discount_id WHERE r.id = :id""",
        id=redemption_id,
    )
    first, amount = words.first_day(line.period_start), words.money(-line.amount_cents)
    if row is None:
        yield words.say("explain_discount", first=first)
    elif row["percent"] is not None:
        percent = words.number(row["percent"])
        yield words.say("explain_percent", code=row["code"], percent=percent, first=first, amount=amount)
    else:
        full = words.money(row["amount_cents"])
        yield words.say("explain_off", code=row["code"], full=full, first=first, amount=amount)


def _tell_part(db: Connection, line: DocumentLine, item_id: int, words: Words) -> Iterator[str]:
    row = fetch_one(
        db,
        """SELECT i.amount_cents, i.period_start, i.period_end, b.nominal_start, b.nominal_end, b.redemption_id,
                  p.amount_cents AS full_cents
             FROM billing_pending_items AS i
             JOIN billing_periods AS b ON b.id = i.billing_period_id
             JOIN billing_plans AS p
               ON p.id = CASE i.kind WHEN 'charge' THEN i.to_plan_id ELSE i.from_plan_id END
            WHERE i.id = :id""",
        id=item_id,
    )
    days = {"first": words.first_day(line.period_start), "last": words.last_day(line.period_end)}
    seconds, whole = (_seconds(row, *names) for names in _SPANS) if row else (0, 0)
    if row is None or not 0 <= seconds <= whole or not whole:
        yield words.say("explain_change", **days)
        return
    amount = abs(line.amount_cents)
    full = next((full for full in _prices(db, row) if share(full, seconds, whole) == amount), None)
    if full is None:  # all that the period still had to give back, say
        yield words.say("explain_part", seconds=seconds, whole=whole, **days)
        return
    yield words.say(
        "explain_fee_part", seconds=seconds, whole=whole, full=words.money(full), amount=words.money(amount), **days
    )


_SPANS = (("period_start", "period_end"), ("nominal_start", "nominal_end"))


def _seconds(row: Row, first: str, then: str) -> int:
    begins, ends = read_instant(row[first]), read_instant(row[then])
    return seconds_between(begins, ends) if begins and ends else -1


def _prices(db: Connection, row: Row) -> Iterator[int]:
    """What the whole period cost: the plan's price, or that price after the discount of the period."""
    yield row["full_cents"]
    if row["redemption_id"] is not None:
        yield row["full_cents"] - get_redemption(db, row["redemption_id"]).off(row["full_cents"])
