"""What the invoice of a month that is still open would say now. Nothing is stored, and no number is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from billing_db import Connection
from turf_saas import profiles, rollover
from turf_saas.buyer import Buyer
from turf_saas.invoice_drafts import Draft, DraftLine, read_drafts
from turf_saas.invoice_totals import TaxedLine, Totals, total
from turf_saas.seller import Seller, seller_of
from turf_saas.settings import Settings
from turf_saas.tax import TaxDecision, decide
from turf_saas.users import User
from turf_saas.values import Month, local_day

# As the host's own tax function is called: the lines are those of the draft.
TaxOf = Callable[[Seller, Buyer, Sequence[DraftLine], date], TaxDecision]


@dataclass(frozen=True)
class Preview:
    """A draft with its VAT."""

    draft: Draft
    tax: TaxDecision
    totals: Totals


def preview(
    db: Connection, now: datetime, settings: Settings, user: User, locale: str, tax_of: TaxOf | None = None
) -> Preview:
    """The current month's: the fees of periods that have begun in it, its use until now, what waits for it."""
    rollover.bring_up_to_date(db, now, settings, user.id)
    month, today = Month.of(now, settings.timezone), local_day(now, settings.timezone)
    buyer = profiles.get_profile(db, settings, user.id)
    draft = read_drafts(db, settings, user.tenant_id, [user.id], month).of(user.id, locale)
    seller = seller_of(settings)
    decision = tax_of(seller, buyer, draft.lines, today) if tax_of else decide(seller, buyer, today)
    lines = [TaxedLine(line.amount_cents, decision.category, decision.rate, line.tax_behavior) for line in draft.lines]
    return Preview(draft, decision, total(lines))
