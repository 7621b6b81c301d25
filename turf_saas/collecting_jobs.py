"""The jobs that collect: an invoice is brought to its gateway, told of what changes here, and tried again."""

from __future__ import annotations

from datetime import timedelta

from billing_db import atomic
from turf_saas import (
    collecting,
    collecting_changes,
    gateway_invoices,
    host_collecting,
    invoices,
    payment_attempts,
)
from turf_saas.asking_stripe import asking
from turf_saas.collecting_bundles import Uncollectable
from turf_saas.gateways import STRIPE, GatewayDown, GatewayRefused
from turf_saas.stripe_applying import alarm
from turf_saas.users import get_users_table
from turf_saas.working import NotYet, Park, Work

BUSY = timedelta(seconds=30)  # another job brings the same invoice


def collect_invoice(work: Work) -> None:
    """The invoice is at its gateway. Where that cannot be, it is parked, and somebody is told."""
    invoice_id = _claim(work)
    row = gateway_invoices.find(work.db, invoice_id)
    if row is None:
        return
    if row.gateway != STRIPE:
        host_collecting.collect(work, row)
        return
    try:
        with asking(work) as stripe:
            collecting.collect(work.db, work.now, work.around.settings, stripe, invoice_id, work.go_on)
    except (GatewayDown, GatewayRefused) as failed:
        gateway_invoices.note_error(work.db, work.now, invoice_id, str(failed))
        raise
    except (Uncollectable, Park) as why:
        _park(work, invoice_id, str(why), is_mismatch=isinstance(why, Uncollectable))
        raise Park(str(why)) from None


def _park(work: Work, invoice_id: int, why: str, *, is_mismatch: bool) -> None:
    gateway_invoices.move(work.db, work.now, invoice_id, "parked", seen=("waiting", "draft", "parked"), error=why)
    if is_mismatch:
        invoice = invoices.get_by_id(work.db, invoice_id)
        work.around.noticed([alarm(why, invoice=invoice)])


def settle_collected(work: Work) -> None:
    """The gateway waits for no more than what is due. What was parked before it came there is not sent any more."""
    invoice_id = _claim(work)
    row = gateway_invoices.find(work.db, invoice_id)
    if row is None:
        return
    if row.status == "parked" and row.provider_id is None and not invoices.get_by_id(work.db, invoice_id).due_cents:
        gateway_invoices.move(work.db, work.now, invoice_id, "skipped", seen=("parked",))
    elif row.gateway == STRIPE:
        with asking(work) as stripe:
            collecting_changes.settle(work.db, work.now, stripe, invoice_id)


def pay_collected(work: Work) -> None:
    invoice_id = _claim(work)
    with asking(work) as stripe:
        collecting_changes.pay(work.db, work.now, stripe, invoice_id, str(work.payload["attempt"]))


def pay_open_invoices(work: Work) -> None:
    user_id = get_users_table(work.db).parse_id(work.payload["user_id"])
    if user_id is not None:
        collecting_changes.enqueue_open(work.db, work.now, user_id)


def catch_up(work: Work) -> None:
    """What is ours to try again today, and what was given up while the gateway was away."""
    db, now = work.db, work.now
    with atomic(db):
        gateway_invoices.revive(db, now)
        for retry in payment_attempts.list_retries(db, now, work.around.settings):
            row = gateway_invoices.find(db, retry.invoice_id)
            if row is not None and row.gateway == STRIPE:
                gateway_invoices.enqueue_payment(db, now, row.tenant_id, row.invoice_id, f"day-{retry.number}")


def _claim(work: Work) -> int:
    """The invoice of the job; for itself, so that each of its steps follows the one before."""
    invoice_id = int(work.payload["invoice_id"])
    row = gateway_invoices.find(work.db, invoice_id)
    for held in {invoice_id, row.carried_into if row is not None and row.carried_into else invoice_id}:
        if row is not None and not gateway_invoices.claim(work.db, work.now, held, work.job.id):
            raise NotYet(work.now + BUSY)
    return invoice_id
