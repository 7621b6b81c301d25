"""Invoices of a subscription that Stripe runs: each one that is finalized there becomes one of ours.

Its lines and totals are Stripe's; its number, its place in the chain and its rows in the ledger are ours.
"""

from __future__ import annotations

import logging
from datetime import date, datetime

from billing_db import Connection, atomic, execute
from turf_saas import invoice_register, invoices, profiles, rollover
from turf_saas.buyer import Buyer
from turf_saas.errors import Conflict
from turf_saas.invoice_documents import Document
from turf_saas.invoices import Invoice
from turf_saas.mentions import mentions_of
from turf_saas.seller import Seller, require_seller
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Customer, Event, Unknown, find_customer, find_known
from turf_saas.stripe_mirror import find_by_stripe_id
from turf_saas.stripe_objects import Json, cents, currency_of, dig, instant, sid
from turf_saas.stripe_run_lines import UNTAXED, Read, read_lines, supplied_on, write_lines
from turf_saas.stripe_states import FINAL
from turf_saas.subscriptions import Subscription, find_of_stripe
from turf_saas.tax import TaxDecision, decide
from turf_saas.values import compact_json, instant_text, local_day

logger = logging.getLogger("turf_saas.billing")

FINALIZED = ("open", "paid", "uncollectible")


def subscription_id_of(invoice: Json) -> str | None:
    """Of Stripe's invoice, wherever it stands; None where the invoice is of no subscription."""
    return sid(invoice.get("subscription")) or sid(dig(invoice, "parent", "subscription_details", "subscription"))


def find_or_issue(db: Connection, now: datetime, settings: Settings, event: Event) -> Invoice | None:
    """Ours of the invoice that the event is about, issued now where it was not. None: it is none to be issued.

    A draft, a void one, one of nothing or of less, and one of what never began is none. Unknown while its subscription
    is not known yet.
    """
    given, stripe_id = event.object, str(event.object_id)
    found = find_by_stripe_id(db, stripe_id)
    customer = find_customer(db, sid(given.get("customer")))
    if found is not None or customer is None or given.get("status") not in FINALIZED:
        return found
    subscription = _subscription_of(db, given)
    if subscription is None or subscription.user_id != customer.user_id:
        return None
    total = cents(given.get("total")) or 0
    if total <= 0:
        if total < 0:
            logger.warning("%s gives %d back: Stripe keeps that for the customer's next invoice", stripe_id, -total)
        return None
    with atomic(db):
        invoice_register.hold_register(db, customer.tenant_id)
        found = find_by_stripe_id(db, stripe_id)  # somebody else may have been faster
        return found if found is not None else _issue(db, now, settings, customer, subscription, given)


def why_none(given: Json) -> str:
    """Of one for which find_or_issue gives none."""
    return "nothing is issued for it" if given.get("status") == "paid" else "nothing is issued for it before it is paid"


def _subscription_of(db: Connection, given: Json) -> Subscription | None:
    """None: of none, of one that never began, or of one that has not begun and is not paid by this."""
    stripe_id = subscription_id_of(given)
    found = find_of_stripe(db, stripe_id) if stripe_id is not None else None
    if found is not None or stripe_id is None:
        return found
    known = find_known(db, stripe_id)
    if known is not None and (known.rank >= FINAL or given.get("status") != "paid"):
        return None
    raise Unknown(stripe_id)


def _issue(
    db: Connection,
    now: datetime,
    settings: Settings,
    customer: Customer,
    subscription: Subscription,
    given: Json,
) -> Invoice:
    """In the caller's transaction, which holds the register."""
    now = invoice_register.earliest_issue(db, now, customer.tenant_id)
    document = _document(db, now, settings, customer, subscription, given)
    (issued,) = invoice_register.issue(db, now, settings, customer.tenant_id, [document])
    execute(
        db,
        "UPDATE invoices SET stripe_invoice_id = :stripe_id WHERE id = :id",
        stripe_id=sid(given),
        id=issued.id,
    )
    return invoices.get_by_id(db, issued.id)


def _document(
    db: Connection,
    now: datetime,
    settings: Settings,
    customer: Customer,
    subscription: Subscription,
    given: Json,
) -> Document:
    seller = require_seller(settings)
    buyer = profiles.get_profile(db, settings, customer.user_id)
    locale = buyer.locale or settings.locale
    currency = currency_of(given) or settings.currency
    plan = rollover.find_version(db, subscription)
    read = read_lines(given, plan.name if plan is not None else subscription.plan, locale)
    decisions = [_decide(seller, buyer, supplied_on(settings, line.end, now), read) for line in read.lines]
    written = write_lines(read, decisions, currency)
    start, end = _period(given, read, subscription)
    due = instant(given.get("due_date")) or now
    return Document(
        kind="stripe",
        user_id=customer.user_id,
        month=None,
        period_start=start,
        period_end=end,
        plan=subscription.plan,
        currency=currency,
        due_on=local_day(due, settings.timezone).isoformat(),
        locale=locale,
        seller=compact_json(seller.snapshot()),
        buyer=compact_json(buyer.snapshot()),
        mentions=compact_json(mentions_of(settings.mentions, seller, buyer.kind, written.decisions)),
        lines=written.lines,
        taxes=written.taxes,
    )


def _decide(seller: Seller, buyer: Buyer, on: date, read: Read) -> TaxDecision:
    """What our own table says. Where it knows none, and Stripe has said which tax there is, that is enough."""
    try:
        return decide(seller, buyer, on)
    except Conflict:
        if not read.taxed:
            raise
        return UNTAXED


def _period(given: Json, read: Read, subscription: Subscription) -> tuple[str, str]:
    """From the first of the lines' beginnings to the last of their ends; Stripe's own period is the one before."""
    starts = [line.start for line in read.lines if line.start is not None]
    ends = [line.end for line in read.lines if line.end is not None]
    if starts and ends and min(starts) < max(ends):
        return instant_text(min(starts)), instant_text(max(ends))
    created = instant(given.get("created"))
    fallback = instant_text(created) if created is not None else subscription.effective_at or ""
    return subscription.current_period_start or fallback, subscription.current_period_end or fallback
