"""What each job's name stands for: the periodic work, what waits for the network, and what others enqueue."""

from __future__ import annotations

from datetime import date
from functools import partial

from turf_saas import (
    accounts,
    collecting_jobs,
    dunning,
    gateway_invoices,
    idempotency,
    issuing,
    open_checkouts,
    payouts,
    profiles,
    received_events,
    refunds,
    reservations,
    rollover,
    schedule,
    sending_refunds,
    stripe_balances,
    stripe_inbox,
    stripe_reading,
    stripe_repricing,
    stripe_sessions,
    stripe_subscriptions,
    stripe_sync,
    stripe_takings,
    tenants,
    usage_check,
    usage_days,
)
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.subscriptions import Subscription
from turf_saas.values import Month, local_day, read_instant
from turf_saas.working import Kind, NotYet, Work


class WorkFailed(Exception):
    """Some of it could not be done; the rest was. It is tried again."""


def _changed(work: Work, before: Subscription, after: Subscription) -> None:
    work.go_on()
    work.around.changed(before, after)


def roll_over(work: Work) -> None:
    done = rollover.advance_due(work.db, work.now, work.around.settings, told=partial(_changed, work))
    if done.failed:
        raise WorkFailed("; ".join(f"subscription {one}: {why}" for one, why in done.failed[:5]))


def expire_reservations(work: Work) -> None:
    reservations.expire_due(work.db, work.now, work.around.settings)


def issue_invoices(work: Work) -> None:
    """Of every tenant, each month that is over. Without a seller nobody could, and it is tried again."""
    failed = [one for tenant in tenants.list_tenants(work.db) for one in _issue(work, tenant.id, None)]
    _refuse_failed(failed)


def _issue(work: Work, tenant_id: int, month: Month | None) -> list[issuing.Failed]:
    around = work.around
    return issuing.run(
        work.db,
        work.now,
        around.settings,
        tenant_id,
        month,
        tax_of=around.tax_of,
        told=around.told,
        progress=lambda _done, _of: work.go_on(),
    ).failed


def _refuse_failed(failed: list[issuing.Failed]) -> None:
    if failed:
        raise WorkFailed("; ".join(f"user {one.user_id}, {one.month}: {one.error}" for one in failed[:5]))


def mark_overdue(work: Work) -> None:
    dunning.mark_overdue(work.db, work.now, work.around.settings)


def dun(work: Work) -> None:
    done = dunning.dun(work.db, work.now, work.around.settings, told=partial(_changed, work))
    if done.failed:
        raise WorkFailed("; ".join(f"user {one}: {why}" for one, why in done.failed[:5]))


def check_usage(work: Work) -> None:
    found = usage_check.check(work.db, None, most=1)
    if found.disagreements:
        raise WorkFailed(f"{found.disagreements} disagreements: see flask billing usage check")


def purge(work: Work) -> None:
    idempotency.forget_old(work.db, work.now)
    received_events.forget_old(work.db, work.now, work.around.settings)
    accounts.forget_failures(work.db, work.now)
    schedule.forget_done(work.db, work.now)


def aggregate_daily(work: Work) -> None:
    """Kept for callers of that name. Days are summed when they are recorded: only what cannot be read is refused."""
    day = _day(work, "day_start")
    usage_days.total_of_day(work.db, _tenant(work), str(work.payload["metric"]), day.isoformat())


def generate_monthly_invoice(work: Work) -> None:
    """A month of a tenant. One that is not over yet is waited for."""
    settings, payload = work.around.settings, work.payload
    start = _day(work, "period_start")
    month = Month(start.year, start.month)
    ends = read_instant(str(payload.get("period_end", "")))
    if start != month.first_day or (ends is not None and ends != month.ends_at(settings.timezone)):
        raise InvalidInput("period_is_no_month")
    currency = payload.get("currency")
    if currency is not None and str(currency).upper() != settings.currency:
        raise Conflict("currency_mismatch", currency=settings.currency, wanted=currency)
    if month.ends_at(settings.timezone) > work.now:
        raise NotYet(month.ends_at(settings.timezone))
    _refuse_failed(_issue(work, tenants.get_tenant(work.db, _tenant(work)).id, month))


def _tenant(work: Work) -> int:
    return int(work.payload.get("tenant_id", work.job.tenant_id))


def _day(work: Work, name: str) -> date:
    text = str(work.payload.get(name, ""))
    instant = read_instant(text)
    if instant is not None:
        return local_day(instant, work.around.settings.timezone)
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise InvalidInput("date_invalid", field=name) from None


def apply_event(work: Work) -> None:
    """What Stripe told and could not be applied. What fails is noted at the event: it is tried again, or parked."""
    event_id = int(work.payload["event_id"])
    received = stripe_inbox.apply_again(work.db, work.now, work.around.settings, event_id)
    if received is not None:
        work.around.noticed(received.notices)
    again = stripe_inbox.next_try(work.db, work.now, event_id)
    if again is not None:
        raise NotYet(again)


KINDS = {
    "billing.mark_overdue": Kind(mark_overdue, by_itself=True),
    "billing.dun": Kind(dun, by_itself=True),
    "billing.roll_over": Kind(roll_over, by_itself=True),
    "billing.expire_reservations": Kind(expire_reservations, by_itself=True),
    "billing.issue_invoices": Kind(issue_invoices, by_itself=True),
    "billing.check_usage": Kind(check_usage, by_itself=True),
    "billing.purge": Kind(purge),
    "billing.aggregate_daily": Kind(aggregate_daily),
    gateway_invoices.COLLECT_JOB: Kind(collecting_jobs.collect_invoice, by_itself=True),
    gateway_invoices.SETTLE_JOB: Kind(collecting_jobs.settle_collected, by_itself=True),
    gateway_invoices.PAY_JOB: Kind(collecting_jobs.pay_collected, by_itself=True),
    gateway_invoices.PAY_OPEN_JOB: Kind(collecting_jobs.pay_open_invoices),
    gateway_invoices.CATCH_UP_JOB: Kind(collecting_jobs.catch_up),
    stripe_inbox.RETRY_JOB: Kind(apply_event, by_itself=True),
    stripe_takings.READ_JOB: Kind(stripe_reading.read_collected, by_itself=True),
    stripe_subscriptions.SYNC_JOB: Kind(stripe_sync.sync_subscription, by_itself=True),
    open_checkouts.CLOSE_JOB: Kind(stripe_sessions.close_checkout, by_itself=True),
    "billing.generate_monthly_invoice": Kind(generate_monthly_invoice, by_itself=True),
    refunds.SEND_JOB: Kind(sending_refunds.send_refund, by_itself=True),
    payouts.READ_JOB: Kind(payouts.read_payout, by_itself=True),
    profiles.REPRICE_JOB: Kind(stripe_repricing.reprice_subscription, by_itself=True),
    stripe_balances.TAKE_JOB: Kind(stripe_balances.take_balance, by_itself=True),
}
