"""One-off items: what somebody has to pay once, on the invoice of the month in which it was added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing_db import Connection, Row, atomic, fetch_all, fetch_one
from turf_saas import rollover
from turf_saas.errors import Conflict, InvalidInput, NotFound
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
    """It goes on the invoice of the current month, rounded once. Conflict in another currency than the user's."""
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


def list_waiting(
    db: Connection,
    tenant_id: int,
    *,
    user_id: UserId | None = None,
    before: int | None = None,
    limit: int = 51,
) -> list[Item]:
    """A page of a tenant's items that are on no invoice yet, or of a user's, newest first. before: below this id."""
    wanted = {"user_id": user_id, "before": before}
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = {"user_id": " AND user_id = :user_id", "before": " AND id < :before"}
    rows = fetch_all(
        db,
        f"""SELECT * FROM billing_pending_items
             WHERE tenant_id = :tenant_id AND kind = 'item' AND invoice_id IS NULL
                   {"".join(conditions[name] for name in given)}
             ORDER BY id DESC LIMIT :limit""",  # noqa: S608
        tenant_id=tenant_id,
        limit=limit,
        **given,
    )
    return [_item(row) for row in rows]


def remove_item(db: Connection, tenant_id: int, item_id: int) -> Item:
    """The item, which waits no more. Conflict when it is on an invoice: that is taken back by a credit note."""
    with atomic(db):
        row = fetch_one(
            db,
            """DELETE FROM billing_pending_items
                WHERE id = :id AND tenant_id = :tenant_id AND kind = 'item' AND invoice_id IS NULL RETURNING *""",
            id=item_id,
            tenant_id=tenant_id,
        )
        if row is None:
            raise _not_removed(db, tenant_id, item_id)
    return _item(row)


def _not_removed(db: Connection, tenant_id: int, item_id: int) -> Conflict | NotFound:
    invoiced = fetch_one(
        db,
        """SELECT i.invoice_number FROM billing_pending_items AS p JOIN invoices AS i ON i.id = p.invoice_id
            WHERE p.id = :id AND p.tenant_id = :tenant_id AND p.kind = 'item'""",
        id=item_id,
        tenant_id=tenant_id,
    )
    if invoiced is None:
        return NotFound("invoice_item_not_found")
    return Conflict("item_invoiced", number=invoiced["invoice_number"])


def _item(row: Row) -> Item:
    return Item(**{name: row[name] for name in Item.__dataclass_fields__})


def _of_his_plan(db: Connection, user: User) -> str | None:
    """In a trial nothing was paid yet, but it is known in what it will be."""
    live = find_live(db, user.id)
    plan = rollover.find_version(db, live) if live is not None else None
    return plan.currency if plan is not None and has_price(plan) else None
