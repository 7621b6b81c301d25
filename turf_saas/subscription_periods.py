"""The periods of a subscription as they were opened, and what a change in the middle of one costs.

What a period cost when it began, and what was charged and credited since, stands in its row: nothing of a closed period
is worked out again, and no credit exceeds what the period charged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection, Row, atomic, execute, fetch_one
from turf_saas import discounts
from turf_saas.discounts import Redemption
from turf_saas.money import share
from turf_saas.periods import Period
from turf_saas.plans import Plan
from turf_saas.proration import Proration, fee_of
from turf_saas.settings import Settings
from turf_saas.subscriptions import Subscription
from turf_saas.values import Month, UserId, instant_text, parse_instant


@dataclass(frozen=True)
class PaidPeriod:
    """A period that has begun. `price_cents`: what all of its nominal length costs now, after discount."""

    id: int
    plan_id: int
    starts_at: datetime
    ends_at: datetime
    nominal_start: datetime
    nominal_end: datetime
    price_cents: int
    charged_cents: int
    credited_cents: int
    currency: str
    redemption_id: int | None

    @property
    def period(self) -> Period:
        short = self.nominal_start if self.nominal_start != self.starts_at else None
        return Period(self.starts_at, self.ends_at, short)

    def clamped(self, instant: datetime) -> datetime:
        """The instant, or the nearer end of the period: a clock may go back, and an unpaid period is long over."""
        return min(max(instant, self.starts_at), self.ends_at)

    @property
    def left_cents(self) -> int:
        """What the period has charged and not given back."""
        return self.charged_cents - self.credited_cents


def _paid_period(row: Row) -> PaidPeriod:
    return PaidPeriod(
        row["id"],
        row["plan_id"],
        parse_instant(row["starts_at"]),
        parse_instant(row["ends_at"]),
        parse_instant(row["nominal_start"]),
        parse_instant(row["nominal_end"]),
        row["price_cents"],
        row["charged_cents"],
        row["credited_cents"],
        row["currency"],
        row["redemption_id"],
    )


_PAID = """SELECT id, plan_id, starts_at, ends_at, nominal_start, nominal_end, price_cents, charged_cents,
                  credited_cents, currency, redemption_id
             FROM billing_periods"""


def find_current(db: Connection, subscription: Subscription) -> PaidPeriod | None:
    """The period that it is in, as it was opened; None in a trial, and where nothing is billed."""
    row = fetch_one(
        db,
        f"{_PAID} WHERE subscription_id = :id AND starts_at = :start AND starts_at < ends_at",
        id=subscription.id,
        start=subscription.current_period_start,
    )
    return _paid_period(row) if row else None


def find_last(db: Connection, subscription: Subscription) -> PaidPeriod | None:
    """The last one that was opened since it began, whatever its row says."""
    row = fetch_one(
        db,
        f"""{_PAID} WHERE subscription_id = :id AND starts_at < ends_at AND starts_at >= :begins
             ORDER BY starts_at DESC LIMIT 1""",
        id=subscription.id,
        begins=subscription.effective_at or "",
    )
    return _paid_period(row) if row else None


def find_paid_until(db: Connection, user_id: UserId) -> datetime | None:
    """Until when the user's periods reach, of all his subscriptions."""
    row = fetch_one(
        db,
        "SELECT MAX(ends_at) AS ends_at FROM billing_periods WHERE user_id = :user_id AND starts_at < ends_at",
        user_id=user_id,
    )
    return parse_instant(row["ends_at"]) if row and row["ends_at"] else None


def open_period(
    db: Connection, now: datetime, settings: Settings, subscription: Subscription, plan: Plan, period: Period
) -> int:
    """The period has begun, and this is its fee, which is given back in cents: of a short one its part, by second."""
    fee = fee_of(period, plan.amount_cents)
    redemption = discounts.find_running(db, subscription.user_id, plan.currency, period.start) if fee else None
    off = redemption.off(fee) if redemption else 0
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_periods (tenant_id, user_id, subscription_id, plan_id, month, starts_at, ends_at,
                                            nominal_start, nominal_end, fee_cents, discount_cents, redemption_id,
                                            fee_redemption_id, price_cents, charged_cents, currency, opened_at)
               VALUES (:tenant_id, :user_id, :subscription_id, :plan_id, :month, :start, :end, :nominal_start, :end,
                       :fee, :off, :redemption_id, :redemption_id, :price, :charged, :currency, :now)""",
            tenant_id=subscription.tenant_id,
            user_id=subscription.user_id,
            subscription_id=subscription.id,
            plan_id=plan.id,
            month=str(Month.of(period.start, settings.timezone)),
            start=instant_text(period.start),
            end=instant_text(period.end),
            nominal_start=instant_text(period.nominal.start),
            fee=fee,
            off=off,
            redemption_id=redemption.id if redemption else None,
            price=price_after(redemption, plan, period),
            charged=fee - off,
            currency=plan.currency,
            now=instant_text(now),
        )
        if redemption:
            discounts.spend(db, now, redemption)
    return fee - off


def price_after(redemption: Redemption | None, plan: Plan, period: Period) -> int:
    """What the whole nominal period costs after discount, so that the part which the period is costs its fee.

    An amount is taken off a short fee as a whole, which is more off the price of a whole period.
    """
    if redemption is None:
        return plan.amount_cents
    if redemption.percent is not None:
        return plan.amount_cents - redemption.off(plan.amount_cents)
    fee = fee_of(period, plan.amount_cents)
    return share(fee - redemption.off(fee), period.nominal.seconds, period.seconds)


def price_of(db: Connection, now: datetime, subscription: Subscription, plan: Plan, paid: PaidPeriod) -> int:
    """What the plan costs in a period that has begun: a discount that was taken off its fee goes on to its end.

    One that was redeemed since takes its place.
    """
    redemption = discounts.find_running(db, subscription.user_id, plan.currency, now)
    if redemption is None and paid.redemption_id is not None:
        redemption = discounts.get_redemption(db, paid.redemption_id)
    if redemption is None or not plan.amount_cents:
        return plan.amount_cents
    if redemption.id != paid.redemption_id:
        with atomic(db):
            discounts.spend(db, now, redemption)
            execute(
                db,
                "UPDATE billing_periods SET redemption_id = :redemption_id WHERE id = :id",
                redemption_id=redemption.id,
                id=paid.id,
            )
    return price_after(redemption, plan, paid.period)


def settle_change(
    db: Connection, period: PaidPeriod, proration: Proration, *, price_cents: int, ends_at: datetime | None = None
) -> None:
    """The period has cost this much more and less, costs `price_cents` from now on, and may have ended earlier."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_periods
                  SET price_cents = :price, charged_cents = charged_cents + :charge,
                      credited_cents = credited_cents + :credit, ends_at = :ends_at
                WHERE id = :id""",
            price=price_cents,
            charge=proration.charge_cents,
            credit=proration.credit_cents,
            ends_at=instant_text(ends_at or period.ends_at),
            id=period.id,
        )
