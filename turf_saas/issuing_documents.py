"""A user's month as the document that will be issued: its draft, what is late, the VAT of each line, and who is who."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from billing_db import Connection
from turf_saas import profiles
from turf_saas.buyer import Buyer
from turf_saas.errors import BillingError, Conflict, InvalidInput
from turf_saas.invoice_documents import Document, DocumentLine, DocumentTax
from turf_saas.invoice_drafts import Draft, DraftLine, read_drafts
from turf_saas.invoice_totals import TaxedLine, Totals, total
from turf_saas.late_usage import LateUse, late_line, list_late
from turf_saas.mentions import mentions_of
from turf_saas.messages import say
from turf_saas.month_use import as_json
from turf_saas.periods import start_of_day
from turf_saas.seller import Seller, seller_of
from turf_saas.settings import Settings
from turf_saas.tax import TaxDecision, checked_lines, decide, rate_text
from turf_saas.values import Month, UserId, compact_json, instant_text, local_day, parse_instant

logger = logging.getLogger("turf_saas.billing")

Decisions = Sequence[TaxDecision]  # one for each line
# As the host's own tax function is called. What it answers is checked.
TaxOf = Callable[[Seller, Buyer, Sequence[DraftLine], date], Any]


class Asked(NamedTuple):
    """What the host's tax function has said of which lines."""

    lines: tuple[DraftLine, ...]
    decisions: tuple[TaxDecision, ...]


class Composed(NamedTuple):
    """A user's month. Without lines nothing is to be billed, and there is no document."""

    draft: Draft
    late: Sequence[LateUse]
    decisions: Decisions
    totals: Totals
    document: Document | None


class Composer:
    """The months of many users, read by whole statements and put together one by one."""

    def __init__(
        self,
        db: Connection,
        now: datetime,
        settings: Settings,
        tenant_id: int,
        user_ids: Sequence[UserId],
        month: Month,
    ) -> None:
        self._settings, self._month = settings, month
        self._due_on = (local_day(now, settings.timezone) + timedelta(days=settings.payment_days)).isoformat()
        self._start = instant_text(start_of_day(month.first_day, settings.timezone))
        self._end = instant_text(month.ends_at(settings.timezone))
        self._seller = seller_of(settings)
        self._seller_text = compact_json(self._seller.snapshot())
        self._nobody = Buyer(country=self._seller.country)
        self._drafts = read_drafts(db, settings, tenant_id, user_ids, month)
        self._late = list_late(db, settings, tenant_id, user_ids, month)
        self._buyers = profiles.list_profiles(db, settings, user_ids)
        self._decided: dict[tuple[str | None, str | None, str | None, date], TaxDecision] = {}
        self._mentions: dict[tuple[str, tuple[TaxDecision, ...]], str] = {}

    def ask(self, user_id: UserId, tax_of: TaxOf, locale: str | None = None) -> Asked:
        """What the host's tax function says of the lines. It may take its time: nothing is locked."""
        lines = self._draft(user_id, locale).lines
        if not lines:
            return Asked((), ())
        try:
            said = tax_of(self._seller, self._buyer(user_id), lines, self._month.last_day)
            return Asked(lines, checked_lines(said, len(lines)))
        except Conflict:  # what our own table says, which it may ask
            raise
        except Exception as error:  # the host's own code, and perhaps a service behind it
            raise _tax_failed(tax_of, error) from None

    def compose(self, user_id: UserId, asked: Asked | None = None, locale: str | None = None) -> Composed:
        """The document. Conflict where the VAT is not known, the sum is negative, or the lines are not as asked."""
        draft, buyer = self._draft(user_id, locale), self._buyer(user_id)
        if asked is not None and asked.lines != draft.lines:
            raise Conflict("draft_changed")
        late = self._late.get(user_id, [])
        decisions = asked.decisions if asked else self._decide(buyer, draft)
        totals = total(
            [
                TaxedLine(line.amount_cents, decision.category, decision.rate, line.tax_behavior)
                for line, decision in zip(draft.lines, decisions, strict=True)
            ]
        )
        if totals.amount_cents < 0:
            raise Conflict("invoice_negative", month=str(self._month), amount_cents=totals.amount_cents)
        document = self._document(draft, buyer, decisions, totals) if draft.lines else None
        return Composed(draft, late, decisions, totals, document)

    def _draft(self, user_id: UserId, locale: str | None) -> Draft:
        settings = self._settings
        locale = locale or self._buyer(user_id).locale or settings.locale
        draft = self._drafts.of(user_id, locale)
        late = [one for one in self._late.get(user_id, ()) if one.amount_cents > 0]
        if not late:
            return draft
        currencies = {draft.currency} if draft.lines else set()
        if len(currencies := currencies | {one.currency for one in late}) > 1:
            names = ", ".join(sorted(currencies))
            raise Conflict("currencies_mixed", month=str(self._month), currencies=names)
        lines = (*draft.lines, *(late_line(settings, one, locale) for one in late))
        return replace(draft, lines=lines, currency=late[0].currency)

    def _buyer(self, user_id: UserId) -> Buyer:
        return self._buyers.get(user_id, self._nobody)

    def _decide(self, buyer: Buyer, draft: Draft) -> Decisions:
        return [self._decide_on(buyer, self._supplied_on(line)) for line in draft.lines]

    def _decide_on(self, buyer: Buyer, on: date) -> TaxDecision:
        key = (buyer.kind, buyer.country, buyer.vat_id, on)
        if key not in self._decided:
            self._decided[key] = decide(self._seller, buyer, on)
        return self._decided[key]

    def _supplied_on(self, line: DraftLine) -> date:
        """The day that decides about the rate: the last one of the month, or of the line's period if that is earlier.

        The invoice itself is dated later, when another rate may hold.
        """
        last = self._month.last_day
        if line.period_end is None or line.period_end >= self._end:
            return last
        return min(last, local_day(parse_instant(line.period_end) - timedelta(seconds=1), self._settings.timezone))

    def _document(self, draft: Draft, buyer: Buyer, decisions: Decisions, totals: Totals) -> Document:
        said = {(decision.category, decision.rate): decision for decision in reversed(decisions)}
        return Document(
            "period",
            draft.user_id,
            str(self._month),
            self._start,
            self._end,
            draft.plan,
            draft.currency,
            self._due_on,
            buyer.locale or self._settings.locale,
            self._seller_text,
            compact_json(buyer.snapshot()),
            self._mentions_of(buyer, tuple(said.values())),
            tuple(map(_line, draft.lines, decisions, totals.lines_net_cents)),
            tuple(
                DocumentTax(
                    tax.category,
                    rate_text(tax.rate),
                    tax.base_cents,
                    tax.tax_cents,
                    said[tax.category, tax.rate].vatex,
                    said[tax.category, tax.rate].mention,
                )
                for tax in totals.taxes
            ),
            as_json(draft.used),
        )

    def _mentions_of(self, buyer: Buyer, decisions: tuple[TaxDecision, ...]) -> str:
        key = (buyer.kind, decisions)
        if key not in self._mentions:
            self._mentions[key] = compact_json(
                mentions_of(self._settings.mentions, self._seller, buyer.kind, decisions)
            )
        return self._mentions[key]


def _tax_failed(tax_of: TaxOf, error: Exception) -> Conflict:
    """What it was: of an answer all that is wrong with it; of an exception its name, for its text may hold anything."""
    function = getattr(tax_of, "__name__", type(tax_of).__name__)
    logger.error("the tax function %s failed", function, exc_info=error)
    if isinstance(error, InvalidInput):
        told = "; ".join(f"{fault.loc or '/'}: {say(fault.code, 'en', **fault.params)}" for fault in error.faults)
        return Conflict("tax_failed", function=function, why=told.rstrip("."), faults=error.faults)
    return Conflict("tax_failed", function=function, why=type(error).__name__)


def ask_for_taxes(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_ids: Sequence[UserId],
    month: Month,
    tax_of: TaxOf,
) -> Mapping[UserId, Asked | BillingError]:
    """What the host's tax function says of each user's month, before anything is locked; or why it could not."""
    composer = Composer(db, now, settings, tenant_id, user_ids, month)
    found: dict[UserId, Asked | BillingError] = {}
    for user_id in user_ids:
        try:
            found[user_id] = composer.ask(user_id, tax_of)
        except BillingError as error:
            found[user_id] = error
    return found


def _line(line: DraftLine, decision: TaxDecision, net_cents: int) -> DocumentLine:
    return DocumentLine(
        line.kind,
        line.description,
        line.metric,
        line.quantity,
        line.unit_amount,
        line.amount_cents,
        line.tax_behavior,
        net_cents,
        decision.category,
        decision.rate_text,
        line.period_start,
        line.period_end,
        line.origin,
    )
