"""What stands behind a discount, and behind the credit and the charge of a change: the code, the part of the period."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from billing_db import Connection, fetch_one
from turf_saas.change_parts import find_part
from turf_saas.explained_lines import Words, tell_part
from turf_saas.invoice_documents import DocumentLine


def tell_change(db: Connection, line: DocumentLine, words: Words) -> Iterator[str]:
    """The sentence below the line; none where it is no discount and no change."""
    origin = json.loads(line.origin)
    if line.kind == "discount" and origin.get("redemption_id") is not None:
        yield from _tell_discount(db, line, origin["redemption_id"], words)
    elif line.kind in ("credit", "charge") and origin.get("item_id") is not None:
        part = find_part(db, origin["item_id"])
        if part is None:
            yield words.say(
                "explain_change", first=words.first_day(line.period_start), last=words.last_day(line.period_end)
            )
        else:
            yield from _tell_part(part, line, words)
    elif line.kind == "credit" and origin.get("change") is not None:
        part = origin["change"]
        names = {"old": part["old"] or "", "new": part["new"] or ""}
        yield words.say("line_credit" if part["new"] is not None else "line_credit_end", **names) + "."
        yield from _tell_part(part, line, words)


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


def _tell_part(part: Mapping[str, Any], line: DocumentLine, words: Words) -> Iterator[str]:
    """The part of the period; and what of it is here, where the change gave back several things."""
    amount = part["amount_cents"]
    whole, time = (part["whole_from"], part["whole_to"]), (part["from"], part["to"])
    yield tell_part(whole, time, part["full_cents"], amount, words)
    if part["full_cents"] is not None and abs(line.amount_cents) != amount:
        yield words.say("explain_here", amount=words.money(abs(line.amount_cents)))
