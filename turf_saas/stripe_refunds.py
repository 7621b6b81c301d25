"""Refunds as Stripe tells of them: those that we have asked for, and those that somebody made over there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from billing_db import Connection
from turf_saas import refunds
from turf_saas.notices import Notice
from turf_saas.payments import Payment
from turf_saas.refund_rows import Status, Told
from turf_saas.refunds import Noted
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Event, Outcome, Unknown, alarm, applied, find_customer, ignored, mismatch
from turf_saas.stripe_objects import APP, Json, cents, items_of, metadata_of, number_in, sid
from turf_saas.stripe_payments import amount_of, fault_of, get_payment_of, recognize
from turf_saas.values import plain

logger = logging.getLogger("turf_saas.billing")

_STATUSES: dict[str, Status] = {
    "pending": "pending",
    "requires_action": "action_required",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}


def changed(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """A refund was made, or something has become of it."""
    payment, told = get_payment_of(db, event.object), read_refund(event.object)
    fault = fault_of(payment, event.object, amount_of(event.object))
    if fault is not None or told is None:
        return mismatch(fault or "it is no refund that we can read", event)
    return _applied(event, refunds.note(db, now, settings, payment, told))


def charge_refunded(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """So much of a charge has gone back in all. In the old shape the refunds stand in it, each with its id."""
    charge = event.object
    payment = recognize(db, sid(charge.get("payment_intent")), sid(charge))
    if payment is None:
        if find_customer(db, sid(charge.get("customer"))) is None:
            return ignored("no customer of ours")
        raise Unknown(sid(charge.get("payment_intent")) or str(event.object_id))
    refunded = cents(charge.get("amount_refunded"))
    fault = fault_of(payment, charge, refunded)
    if fault is not None or refunded is None:
        return mismatch(fault or "it has no amount", event)
    noted = [refunds.note(db, now, settings, payment, told) for told in _listed(charge)]
    rest = refunds.note_sum(db, now, settings, payment, refunded)
    return _applied(event, *noted, *([rest] if rest is not None else []))


def read_refund(given: Json) -> Told | None:
    """None for what has no id, no amount or no status that we know."""
    refund_id, amount, status = sid(given), amount_of(given), _STATUSES.get(str(given.get("status")))
    if refund_id is None or amount is None or amount <= 0 or status is None:
        return None
    reason, failure = (_word(given.get(name)) for name in ("reason", "failure_reason"))
    return Told(refund_id, amount, status, reason, _local_id(given), failure)


def _word(given: object) -> str | None:
    return given if isinstance(given, str) else None


def notices_of(event: Event | None, noted: Noted) -> list[Notice]:
    """What the host is told of it, each once."""
    told: list[Notice] = [Notice("invoice_issued", {"invoice": note}) for note in noted.credit_notes]
    about = {"payment": noted.payment, "refund": noted.refund}
    if noted.has_succeeded:
        told.append(Notice("payment_refunded", about))
    if noted.has_failed:
        _log_failed(noted)
        told.append(Notice("refund_failed", about))
    if noted.lacks and noted.before is None:
        reason = _lacking(noted.payment, noted)
        logger.error("%s", reason)
        told.append(alarm(reason, event))
    return told


def _log_failed(noted: Noted) -> None:
    """Money that somebody waits for and will not get."""
    refund = noted.refund
    why = plain(refund.failure or "Stripe does not say why", most=200)
    logger.error("refund %s of payment %s has %s: %s", refund.id, refund.payment_id, _ENDS[refund.status], why)


_ENDS = {"failed": "failed", "canceled": "been canceled"}


def _applied(event: Event, *noted: Noted) -> Outcome:
    notices = [notice for one in noted for notice in notices_of(event, one)]
    known = [one.refund.stripe_refund_id for one in noted if one.refund.stripe_refund_id is not None]
    return applied(*notices, known=tuple(known))


def _lacking(payment: Payment, noted: Noted) -> str:
    there, whole = noted.refund.booked_cents, noted.refund.amount_cents
    return f"of a refund of {whole} cents of payment {payment.id} only {there} could be booked: the rest was used"


def _listed(charge: Json) -> Iterator[Told]:
    for one in items_of(charge.get("refunds")):
        told = read_refund(one)
        if told is not None:
            yield told


def _local_id(given: Json) -> int | None:
    return number_in(given, "local_refund_id") if metadata_of(given).get("app") == APP else None
