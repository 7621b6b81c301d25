"""Users as Stripe tells of them: with what they pay, and that they are customers there no more."""

from __future__ import annotations

from datetime import datetime

from billing_db import Connection, atomic, execute
from turf_saas import gateway_invoices, jobs
from turf_saas.gateway_invoices import PAY_OPEN_JOB
from turf_saas.gateways import STRIPE
from turf_saas.notices import Notice
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Customer, Event, Outcome, applied, find_customer, find_known, ignored, is_news
from turf_saas.stripe_objects import dig, sid
from turf_saas.stripe_payers import find_card, forget_customer
from turf_saas.stripe_subscriptions import end
from turf_saas.subscriptions import find_live, hold
from turf_saas.values import instant_text

# Of what is told of one second: a renewed card is one that was attached, a detached one was both.
_ATTACHED, _RENEWED, _DETACHED = 0, 1, 2
_DELETED = 9
_NOT_OURS = ignored("no customer of ours")
_OLD = ignored("a newer state is known")


def updated(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """Another default to pay with: what is open is paid with it at once. One that was taken away is used no more."""
    customer = find_customer(db, event.object_id)
    if customer is None or customer.is_former:
        return _NOT_OURS
    named = "invoice_settings" in event.previous or "default_source" in event.previous
    if not is_news(db, event, customer.stripe_id, rank=int(named), tenant_id=customer.tenant_id):
        return _OLD
    default = _default_of(event.object)
    if default is None:
        taken_away = _default_of(event.previous)
        return applied() if taken_away and _drop(db, now, taken_away) else ignored("nothing of it is kept here")
    if _is_detached(db, event, default):
        return ignored("what he paid with is detached")
    return _use(db, now, customer, event, default)


def deleted(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What Stripe billed him for has ended. Invoices stay, and what is told of him later is about the same user."""
    customer = find_customer(db, event.object_id)
    if customer is None or customer.is_former:
        return _NOT_OURS
    is_news(db, event, customer.stripe_id, rank=_DELETED, tenant_id=customer.tenant_id)
    with atomic(db):
        forget_customer(db, now, customer.tenant_id, customer.user_id, customer.stripe_id, at=event.created)
        return applied(*_end_subscription(db, now, customer, event))


def attached(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """What he can pay with: it is used where nothing else is, or where that has failed.

    (One that becomes the default is told by `updated`.)
    """
    customer = find_customer(db, sid(event.object.get("customer")))
    if customer is None or customer.is_former or event.object_id is None:
        return _NOT_OURS
    if not is_news(db, event, event.object_id, rank=_ATTACHED, tenant_id=customer.tenant_id):
        return _OLD
    is_needed = find_card(db, customer.user_id) is None or gateway_invoices.has_failed(
        db, customer.user_id, event.created
    )
    if not is_needed:
        return ignored("he pays with another one")
    return _use(db, now, customer, event, event.object_id)


def renewed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """His bank has given the card another number or date: what was declined may be paid now."""
    customer = find_customer(db, sid(event.object.get("customer")))
    if customer is None or customer.is_former or event.object_id is None:
        return _NOT_OURS
    if not is_news(db, event, event.object_id, rank=_RENEWED, tenant_id=customer.tenant_id):
        return _OLD
    if find_card(db, customer.user_id) != event.object_id:
        return ignored("he pays with another one")
    _pay_open(db, now, customer, event)
    return applied()


def detached(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """It is used no more. Of whom it was is told as the state before only."""
    customer = find_customer(db, sid(event.previous.get("customer")) or sid(event.object.get("customer")))
    if customer is None or event.object_id is None:
        return _NOT_OURS
    if not is_news(db, event, event.object_id, rank=_DETACHED, tenant_id=customer.tenant_id):
        return _OLD
    return applied() if _drop(db, now, event.object_id) else ignored("he pays with another one")


def _default_of(given: object) -> str | None:
    """Of a customer: of his invoices, or as it was said before there was that."""
    return sid(dig(given, "invoice_settings", "default_payment_method")) or sid(dig(given, "default_source"))


def _use(db: Connection, now: datetime, customer: Customer, event: Event, method_id: str) -> Outcome:
    changed = execute(
        db,
        """UPDATE billing_accounts SET stripe_payment_method_id = :method, updated_at = :now
            WHERE user_id = :user_id AND COALESCE(stripe_payment_method_id, '') <> :method""",
        method=method_id,
        now=instant_text(now),
        user_id=customer.user_id,
    )
    if not changed:
        return ignored("he pays with it already")
    _pay_open(db, now, customer, event)
    return applied()


def _pay_open(db: Connection, now: datetime, customer: Customer, event: Event) -> None:
    payload = {"user_id": customer.user_id}
    jobs.enqueue(db, now, PAY_OPEN_JOB, payload, tenant_id=customer.tenant_id, dedupe_key=event.id)


def _drop(db: Connection, now: datetime, method_id: str) -> bool:
    return bool(
        execute(
            db,
            """UPDATE billing_accounts SET stripe_payment_method_id = NULL, updated_at = :now
                WHERE stripe_payment_method_id = :method""",
            method=method_id,
            now=instant_text(now),
        )
    )


def _is_detached(db: Connection, event: Event, method_id: str) -> bool:
    """Whether it was detached after this was told."""
    known = find_known(db, method_id)
    return known is not None and known.rank == _DETACHED and known.told_at >= instant_text(event.created)


def _end_subscription(db: Connection, now: datetime, customer: Customer, event: Event) -> list[Notice]:
    """Stripe ends what a deleted customer had, and a later word of before does not bring it back."""
    live = find_live(db, customer.user_id)
    held = hold(db, live.id) if live is not None else None
    if held is None or not held.is_live or held.billed_by != "stripe" or held.stripe_subscription_id is None:
        return []
    return [end(db, now, held, at=event.created, by=STRIPE, reason="customer_deleted")]
