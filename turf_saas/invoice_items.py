"""One-off items: what somebody has to pay once, on his next invoice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing_db import Connection, atomic
from turf_saas import rollover
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.ids import insert_row
from turf_saas.money import EXACT, MAX_CENTS, to_cents
from turf_saas.prices import decimal_text
from turf_saas.settings import Settings
from turf_saas.subscribing import find_currency, has_price
from turf_saas.subscriptions import find_live
from turf_saas.users import User
from turf_saas.values import Month, UserId, instant_text

MAX_QUANTITY = 10**9
MAX_QUANTITY_PLACES = 4
MAX_DESCRIPTION = 500


@dataclass(frozen=True)
class Item:
    """What waits for the invoice of its month. Net: VAT is decided when it is issued."""

    id: int
    user_id: UserId
    month: str
    description: str
    quantity: str
    unit_amount: str
    amount_cents: int
    currency: str
    created_at: str


def add_item(
    db: Connection,
    now: datetime,
    settings: Settings,
    user: User,
    *,
    description: str,
    quantity: Decimal,
    unit_amount: Decimal,
    currency: str | None = None,
    by: str | None = None,
) -> Item:
    """It goes on the user's next invoice, rounded once. Conflict in another currency than his."""
    with atomic(db):
        wanted = find_currency(db, user.id) or _of_his_plan(db, user)
        currency = currency or wanted or settings.currency
        if wanted not in (None, currency):
            raise Conflict("currency_mismatch", currency=currency, wanted=wanted)
        cents = to_cents(EXACT.multiply(quantity, unit_amount), currency)
        if not 1 <= cents <= MAX_CENTS:
            raise InvalidInput("item_amount_invalid", field="unit_amount", most=MAX_CENTS)
        values: dict[str, Any] = {
            "user_id": user.id,
            "month": str(Month.of(now, settings.timezone)),
            "description": description,
            "quantity": decimal_text(quantity),
            "unit_amount": decimal_text(unit_amount),
            "amount_cents": cents,
            "currency": currency,
            "created_at": instant_text(now),
        }
        item_id = insert_row(
            db, "billing_pending_items", "id", tenant_id=user.tenant_id, kind="item", created_by=by, **values
        )
    return Item(id=item_id, **values)


def _of_his_plan(db: Connection, user: User) -> str | None:
    """In a trial nothing was paid yet, but it is known in what it will be."""
    live = find_live(db, user.id)
    plan = rollover.find_version(db, live) if live is not None else None
    return plan.currency if plan is not None and has_price(plan) else None
