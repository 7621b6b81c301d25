"""What the invoice of a month that is still open would say now. Nothing is stored, and no number is taken."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from billing_db import Connection
from turf_saas import account_credit, rollover
from turf_saas.issuing_documents import Composed, Composer, TaxOf
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import Month


class Foreseen(NamedTuple):
    """The month as it would be composed, what account credit would pay of it, and what is left to pay."""

    composed: Composed
    account_credit_cents: int
    due_cents: int


def preview(
    db: Connection, now: datetime, settings: Settings, user: User, locale: str, tax_of: TaxOf | None = None
) -> Foreseen:
    """The current month's: the fees of periods that have begun in it, its use until now, what waits for it."""
    rollover.bring_up_to_date(db, now, settings, user.id)
    composer = Composer(db, now, settings, user.tenant_id, [user.id], Month.of(now, settings.timezone))
    composed = composer.compose(user.id, composer.ask(user.id, tax_of, locale) if tax_of else None, locale)
    amount = composed.totals.amount_cents
    paid = account_credit.would_pay(db, user.id, composed.draft.currency, amount)
    return Foreseen(composed, paid, amount - paid)
