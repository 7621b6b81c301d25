"""Subscribers who only had a plan, as three values in a row, begin to pay for it.

Such a row gives plan and limits and costs nothing until it has an effective_at. To give it one is to say from which
day its periods are billed; the periods themselves are opened as those of any other subscription.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing_db import Connection, atomic, fetch_all
from turf_saas.errors import InvalidInput
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.subscribing import MOST_DAYS_BACK
from turf_saas.values import end_of_day, instant_text, local_day

REASON = "adopted"

# Of saas_subscriptions AS s and its plan p: why a row that costs nothing yet stays so; NULL: it need not.
# A row of the history after :since tells of a plan that was not in force on the day; a plan's edit changes nobody's.
_LEFT_OUT = """CASE
    WHEN s.billed_by = 'stripe' OR s.stripe_subscription_id IS NOT NULL THEN 'stripe'
    WHEN p.id IS NULL THEN 'plan_unknown'
    WHEN p.amount_cents = 0 AND p.prices = '[]' THEN 'plan_is_free'
    WHEN s.status IN ('trialing', 'unpaid') THEN s.status
    WHEN EXISTS (SELECT 1 FROM billing_status_history AS h
                  WHERE h.user_id = s.user_id AND h.subject = 'subscription' AND h.at > :since
                    AND COALESCE(h.reason, '') <> 'plan_version') THEN 'changed_since'
    WHEN EXISTS (SELECT 1 FROM billing_periods AS b
                  WHERE b.user_id = s.user_id AND b.currency <> p.currency) THEN 'other_currency'
    WHEN EXISTS (SELECT 1 FROM billing_periods AS b
                  WHERE b.user_id = s.user_id AND b.starts_at < b.ends_at
                    AND b.ends_at >= :next_day) THEN 'paid_already'
END"""
_ROWS = """saas_subscriptions AS s
      LEFT JOIN billing_plans AS p
        ON p.tenant_id = s.tenant_id AND (p.id = s.plan_id OR (s.plan_id IS NULL AND p.code = s.plan
                                                               AND p.superseded_at IS NULL))
     WHERE s.tenant_id = :tenant_id AND s.status IN ('trialing', 'active', 'past_due', 'unpaid')
       AND s.effective_at IS NULL AND s.current_period_end IS NULL"""


@dataclass(frozen=True)
class Adopted:
    """How many are billed from the day on, per plan; how many are not, and why."""

    effective_at: str
    plans: dict[str, int]
    left_out: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.plans.values())


def adopt_subscribers(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    day: date,
    *,
    plan: str | None = None,
    by: str | None = None,
) -> Adopted:
    """The tenant's three-value rows (of one plan, if it is named) are billed from 00:00 of the local day.

    Each month since then is, also of a day in the past. Left out is who is in a trial or unpaid, whose plan costs
    nothing or is not known, whose plan was another one on that day, and who has paid for a time that is not over then.
    """
    _check_day(now, settings, day)
    since = instant_text(start_of_day(day, settings.timezone))
    only = "" if plan is None else "AND s.plan = :plan"
    asked = {
        "tenant_id": tenant_id,
        "since": since,
        "next_day": instant_text(end_of_day(day, settings.timezone)),
        **({} if plan is None else {"plan": plan}),
    }
    with atomic(db):
        adopted = fetch_all(
            db,
            f"""UPDATE saas_subscriptions
                   SET effective_at = :since, changed_at = :now, changed_by = :by, change_reason = '{REASON}',
                       revision = revision + 1, updated_at = :now
                 WHERE effective_at IS NULL AND id IN (SELECT s.id FROM {_ROWS} {only} AND {_LEFT_OUT} IS NULL)
             RETURNING plan""",  # noqa: S608  constants
            now=instant_text(now),
            by=by,
            **asked,
        )
        left = fetch_all(
            db,
            f"SELECT {_LEFT_OUT} AS reason, COUNT(*) AS rows FROM {_ROWS} {only} GROUP BY 1 ORDER BY 1",  # noqa: S608
            **asked,
        )
    plans = Counter(row["plan"] for row in adopted)
    return Adopted(since, dict(sorted(plans.items())), {row["reason"]: row["rows"] for row in left})


def _check_day(now: datetime, settings: Settings, day: date) -> None:
    """A day to come would take their plan away until then: a subscription gives it from its beginning on only."""
    today = local_day(now, settings.timezone)
    if day > today:
        raise InvalidInput("adopted_in_future", day=day.isoformat())
    earliest = today - timedelta(days=MOST_DAYS_BACK)
    if day < earliest:
        raise InvalidInput("adopted_too_early", day=day.isoformat(), earliest=earliest.isoformat())
