"""Who is on which plan, now and at an instant of the past, and what a subscription may become.

(begins) ──► trialing ──► active ◄──► past_due ──► unpaid ──► active
                │            │            │           │
                └────────────┴─────► canceled ◄───────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from billing_db import Connection, Row, atomic, engine, execute, fetch_one
from turf_saas.errors import Conflict, NotFound
from turf_saas.plans import Cycle
from turf_saas.values import UserId, instant_text

Status = Literal["trialing", "active", "past_due", "unpaid", "canceled"]
LIVE = ("trialing", "active", "past_due", "unpaid")
# What may follow: `active` again after `unpaid` when all that was overdue is paid. Nothing follows an end.
FOLLOWS: dict[str, tuple[Status, ...]] = {
    "trialing": ("active", "canceled"),
    "active": ("past_due", "unpaid", "canceled"),
    "past_due": ("active", "unpaid", "canceled"),
    "unpaid": ("active", "canceled"),
    "canceled": (),
}

# Of a row that has a status. An unpaid one gives nothing.
_GIVING = "status IN ('trialing', 'active', 'past_due')"
# Of a row of saas_subscriptions, at :now.
GIVES_ITS_PLAN = f"{_GIVING} AND COALESCE(effective_at, '') <= :now"
_SIGNED = {"plan", "plan_id", "status", "effective_at"}  # what the history notes


@dataclass(frozen=True)
class Subscription:
    """A row of saas_subscriptions. One that another program wrote may have user, plan and status only."""

    id: int
    tenant_id: int
    user_id: UserId
    plan: str
    plan_id: int | None
    status: str
    billed_by: Literal["local", "stripe"]
    cycle: Cycle
    effective_at: str | None
    current_period_start: str | None
    current_period_end: str | None
    trial_end: str | None
    cancel_at_period_end: bool
    canceled_at: str | None
    ended_at: str | None
    anchor: str | None
    pending_plan: str | None
    pending_plan_id: int | None
    pending_at: str | None
    stripe_subscription_id: str | None
    revision: int

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_billed(self) -> bool:
        """Whether it has periods: one that only says who is on which plan costs nothing."""
        return self.current_period_end is not None

    def gives_its_plan(self, now: datetime) -> bool:
        """What GIVES_ITS_PLAN asks of a row."""
        return self.status in ("trialing", "active", "past_due") and (self.effective_at or "") <= instant_text(now)


_FROM = """SELECT s.*, pending.code AS pending_plan
             FROM saas_subscriptions AS s LEFT JOIN billing_plans AS pending ON pending.id = s.pending_plan_id"""
_PLAIN = [name for name in Subscription.__dataclass_fields__ if name not in ("plan", "cancel_at_period_end")]


def subscription_of(row: Row) -> Subscription:
    return Subscription(
        plan=row["plan"] or "",
        cancel_at_period_end=bool(row["cancel_at_period_end"]),
        **{name: row[name] for name in _PLAIN},
    )


def get_subscription(db: Connection, tenant_id: int, subscription_id: int) -> Subscription:
    """One of the tenant, live or ended."""
    row = fetch_one(
        db, f"{_FROM} WHERE s.id = :id AND s.tenant_id = :tenant_id", id=subscription_id, tenant_id=tenant_id
    )
    if row is None:
        raise NotFound("subscription_not_found")
    return subscription_of(row)


def find_live(db: Connection, user_id: UserId) -> Subscription | None:
    """The one that the user has now, if any."""
    row = fetch_one(db, f"{_FROM} WHERE s.user_id = :user_id AND s.status IN {LIVE}", user_id=user_id)
    return subscription_of(row) if row else None


def find_of_stripe(db: Connection, stripe_id: str) -> Subscription | None:
    """The one that Stripe calls so, live or ended."""
    row = fetch_one(db, f"{_FROM} WHERE s.stripe_subscription_id = :id", id=stripe_id)
    return subscription_of(row) if row else None


def hold(db: Connection, subscription_id: int) -> Subscription | None:
    """As it is now, and nobody else changes it until the transaction ends. (On SQLite nobody could anyway.)"""
    waits = " FOR UPDATE OF s" if engine(db) == "postgresql" else ""
    row = fetch_one(db, f"{_FROM} WHERE s.id = :id{waits}", id=subscription_id)
    return subscription_of(row) if row else None


def hold_as_seen(db: Connection, seen: Subscription) -> Subscription:
    """The same; Conflict when it is not any more as it was seen."""
    held = hold(db, seen.id)
    if held is None or (held.revision, held.status, held.plan) != (seen.revision, seen.status, seen.plan):
        raise Conflict("subscription_changed")
    return held


def update_subscription(
    db: Connection,
    now: datetime,
    subscription: Subscription,
    *,
    at: datetime,
    by: str | None,
    reason: str,
    **columns: Any,
) -> Subscription:
    """Its columns are set as of `at`, for the history signed by who did it and why. Conflict when it was changed."""
    columns = {name: value for name, value in columns.items() if getattr(subscription, name) != value}
    status = columns.get("status", subscription.status)
    follows: tuple[str, ...] = FOLLOWS.get(subscription.status, ())
    if subscription.billed_by == "stripe" and follows:  # of what Stripe runs some of the steps may not have reached us
        follows = LIVE + FOLLOWS["active"]
    if subscription.is_billed and "status" in columns and status not in follows:
        raise Conflict("subscription_ended", status=subscription.status)
    if _SIGNED & columns.keys():
        columns |= {"changed_at": instant_text(at), "changed_by": by, "change_reason": reason}
    pairs = "".join(f"{name} = :{name}, " for name in columns)
    with atomic(db):
        changed = execute(
            db,
            f"""UPDATE saas_subscriptions SET {pairs} revision = revision + 1, updated_at = :now
                 WHERE id = :id AND revision = :seen""",  # noqa: S608  names are our own
            now=instant_text(now),
            id=subscription.id,
            seen=subscription.revision,
            **columns,
        )
        if not changed:
            raise Conflict("subscription_changed")
        if _SIGNED & columns.keys():
            note_written(db, now, subscription)
        return get_subscription(db, subscription.tenant_id, subscription.id)


def note_written(db: Connection, now: datetime, subscription: Subscription) -> None:
    """The history's newest row says when it was written: `at` is when it held, which may be long before."""
    execute(
        db,
        """UPDATE billing_status_history SET noted_at = :now
            WHERE id = (SELECT MAX(id) FROM billing_status_history
                         WHERE user_id = :user_id AND subject = 'subscription' AND subject_id = :id)""",
        now=instant_text(now),
        user_id=subscription.user_id,
        id=subscription.id,
    )


class InForce(NamedTuple):
    """A plan by its code, and by the version's id where the subscription has one."""

    plan: str | None
    plan_id: int | None


NOTHING = InForce(None, None)


def find_plan_before(db: Connection, user_id: UserId, instant: datetime) -> InForce:
    """The plan that was in force just before an instant, as the history tells it, or NOTHING.

    Of what the history says of that time, the last word counts. A user has one subscription at a time: who begins one
    has left the one before, though nobody may have said so.
    """
    row = fetch_one(
        db,
        f"""SELECT plan, plan_id
              FROM (SELECT id, subject_id, plan, plan_id FROM billing_status_history
                     WHERE user_id = :user_id AND subject = 'subscription' AND at < :instant AND {_GIVING}
                     ORDER BY id DESC LIMIT 1) AS begun
             WHERE NOT EXISTS (SELECT 1 FROM billing_status_history AS ended
                                WHERE ended.user_id = :user_id AND ended.subject = 'subscription'
                                  AND ended.id > begun.id AND ended.subject_id = begun.subject_id
                                  AND ended.at < :instant)""",  # noqa: S608  a constant
        user_id=user_id,
        instant=instant_text(instant),
    )
    return InForce(row["plan"], row["plan_id"]) if row else NOTHING


class Change(NamedTuple):
    """A row of the history: which state holds from when on, who brought it about, and why."""

    at: str
    plan: str | None
    plan_id: int | None
    status: str
    actor: str | None
    reason: str | None
    subscription_id: int
    is_billed: bool = True  # else it says only who is on which plan


def has_tried(db: Connection, user_id: UserId, plan: str, *, but: Subscription | None = None) -> bool:
    """Whether the user has had a trial of the plan; `but`: another one than the trial that he is in."""
    row = fetch_one(
        db,
        """SELECT 1 AS one FROM billing_status_history
            WHERE user_id = :user_id AND subject = 'subscription' AND status = 'trialing' AND plan = :plan
              AND NOT (subject_id = :but AND at >= :since) LIMIT 1""",
        user_id=user_id,
        plan=plan,
        but=but.id if but else 0,
        since=but.effective_at or "" if but else "",
    )
    return row is not None
