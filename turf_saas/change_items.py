"""What a change in the middle of a period leaves to bill: a charge, and credits that name what they give back.

A credit of what is not invoiced yet stands on the same invoice as that; what was invoiced is given back by a credit
note on its invoice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from billing_db import Connection, atomic, fetch_all, fetch_one
from turf_saas import giving_back
from turf_saas.ids import insert_row
from turf_saas.invoice_drafts import PendingCredit
from turf_saas.invoices import Invoice
from turf_saas.plans import Plan
from turf_saas.proration import Proration
from turf_saas.settings import Settings
from turf_saas.subscription_periods import PaidPeriod
from turf_saas.subscriptions import Subscription
from turf_saas.values import Month, instant_text


@dataclass(frozen=True)
class Change:
    """Who changed what: in which period, when (`at`), from which plan to which."""

    subscription: Subscription
    period: PaidPeriod
    at: datetime
    old: Plan
    new: Plan | None
    by: str | None


class _Source(NamedTuple):
    """What a credit can give back: a charge, or without an id the fee; and how much of it is left."""

    item_id: int | None
    month: str
    invoice_id: int | None
    left_cents: int


def add_items(
    db: Connection, now: datetime, settings: Settings, change: Change, proration: Proration
) -> tuple[Invoice, ...]:
    """The credit and the charge: they wait for an invoice, but for credits of what was invoiced already.

    These are credit notes at once, which are given back here. The caller's transaction holds the register, so that
    nobody invoices the period meanwhile.
    """
    issued: tuple[Invoice, ...] = ()
    with atomic(db):
        if proration.credit_cents:
            issued = _credit(db, now, settings, change, proration.credit_cents)
        if proration.charge_cents:
            month = str(Month.of(change.at, settings.timezone))
            _insert(db, now, change, kind="charge", month=month, amount_cents=proration.charge_cents)
    return issued


def _credit(db: Connection, now: datetime, settings: Settings, change: Change, cents: int) -> tuple[Invoice, ...]:
    given_back = []
    for source, part in _shared(_list_sources(db, change), cents):
        item_id = _insert(
            db,
            now,
            change,
            kind="credit",
            month=source.month,
            amount_cents=-part,
            credits_item_id=source.item_id,
        )
        if source.invoice_id is not None:
            period, price = change.period.id, change.period.price_cents
            given_back.append(PendingCredit(item_id, source.invoice_id, source.item_id, period, part, price))
    return tuple(giving_back.give_back_items(db, now, settings, given_back, by=change.by))


def _shared(sources: Iterable[_Source], cents: int) -> Iterator[tuple[_Source, int]]:
    """The credit over what it gives back, the newest charge first; the fee, which is the last, has the rest."""
    for source in sources:
        part = cents if source.item_id is None else min(cents, max(0, source.left_cents))
        if part:
            yield source, part
            cents -= part


def _list_sources(db: Connection, change: Change) -> list[_Source]:
    """The charges of the period, the newest first, and its fee."""
    whose = {"user_id": change.subscription.user_id, "period_id": change.period.id}
    charges = fetch_all(
        db,
        """SELECT c.id AS item_id, c.month, c.invoice_id,
                  c.amount_cents + COALESCE(CAST((SELECT SUM(g.amount_cents) FROM billing_pending_items AS g
                                                   WHERE g.user_id = c.user_id AND g.credits_item_id = c.id)
                                                 AS BIGINT), 0) AS left_cents
             FROM billing_pending_items AS c
            WHERE c.user_id = :user_id AND c.billing_period_id = :period_id AND c.kind = 'charge'
            ORDER BY c.id DESC""",
        **whose,
    )
    fee = fetch_one(
        db,
        "SELECT NULL AS item_id, month, invoice_id, 0 AS left_cents FROM billing_periods WHERE id = :period_id",
        period_id=change.period.id,
    )
    return [_Source(*(row[name] for name in _Source._fields)) for row in (*charges, fee)]


def _insert(db: Connection, now: datetime, change: Change, **values: object) -> int:
    return insert_row(
        db,
        "billing_pending_items",
        "id",
        tenant_id=change.subscription.tenant_id,
        user_id=change.subscription.user_id,
        currency=change.period.currency,
        billing_period_id=change.period.id,
        from_plan_id=change.old.id,
        to_plan_id=change.new.id if change.new else None,
        period_start=instant_text(change.at),
        period_end=instant_text(change.period.ends_at),
        created_at=instant_text(now),
        created_by=change.by,
        **values,
    )
