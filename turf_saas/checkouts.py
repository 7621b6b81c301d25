"""Who was sent to Stripe's checkout, for which plan, and what became of it: written down before he is sent there.

A user has one checkout at a time. So two requests at once come to one page, and one subscription.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing_db import Connection, Row, atomic, execute, fetch_one
from turf_saas import open_checkouts, rollover
from turf_saas.errors import Conflict
from turf_saas.plans import Plan
from turf_saas.settings import Settings
from turf_saas.stripe_applying import Customer
from turf_saas.stripe_objects import Json, number_in, sid
from turf_saas.subscribing import check_currency, get_sold_plan
from turf_saas.subscriptions import Subscription, has_tried
from turf_saas.users import User
from turf_saas.values import UserId, instant_text, parse_instant

Mode = Literal["subscription", "setup"]
# processing: he has finished, and his bank takes days to pay.
Status = Literal["opening", "open", "processing", "complete", "expired", "failed"]
UNDER_WAY = ("opening", "open", "processing")
OPENS_WITHIN = timedelta(hours=23)  # so long Stripe knows by its key that a page was asked for


@dataclass(frozen=True)
class Checkout:
    """A row of billing_checkouts."""

    id: int
    tenant_id: int
    user_id: UserId
    plan_id: int
    mode: Mode
    stripe_session_id: str | None
    status: Status
    created_at: str

    @property
    def is_under_way(self) -> bool:
        return self.status in UNDER_WAY


@dataclass(frozen=True)
class Offer:
    """What may be checked out: the plan, how, and the days of its trial that the user has not had."""

    plan: Plan
    mode: Mode
    trial_days: int


_COLUMNS = "id, tenant_id, user_id, plan_id, mode, stripe_session_id, status, created_at"


def offer(db: Connection, now: datetime, settings: Settings, user: User, code: str) -> Offer:
    """The plan to this user. Conflict where he has one that he pays for, or pays in another currency."""
    plan = get_sold_plan(db, user.tenant_id, code)
    live = rollover.bring_up_to_date(db, now, settings, user.id)
    if live is not None and not gives_way(db, live):
        raise Conflict("subscription_exists")
    open_checkouts.refuse_awaited(db, now, user.id)
    check_currency(db, user.id, plan)
    if plan.amount_cents == 0:
        return Offer(plan, "setup", 0)
    return Offer(plan, "subscription", 0 if has_tried(db, user.id, plan.code) else plan.trial_days)


def gives_way(db: Connection, live: Subscription) -> bool:
    """Whether it ends when one that Stripe runs begins: nobody pays a fee for it."""
    if live.billed_by == "stripe":
        return False
    if live.effective_at is None and not live.is_billed:  # three values that only say who is on which plan
        return True
    plan = rollover.find_version(db, live)
    follower = rollover.find_follower(db, live, plan) if plan is not None else None
    return plan is not None and follower is not None and plan.amount_cents == follower.amount_cents == 0


def find_under_way(db: Connection, user_id: UserId) -> Checkout | None:
    row = fetch_one(
        db,
        f"SELECT {_COLUMNS} FROM billing_checkouts WHERE user_id = :user_id AND status IN {UNDER_WAY}",  # noqa: S608
        user_id=user_id,
    )
    return _checkout(row)


def begin(db: Connection, now: datetime, user: User, offered: Offer) -> Checkout:
    """A checkout that is not at Stripe yet; of two at once both get the first one's."""
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_checkouts (tenant_id, user_id, plan_id, mode, created_at, updated_at)
               VALUES (:tenant_id, :user_id, :plan_id, :mode, :now, :now) ON CONFLICT DO NOTHING""",
            tenant_id=user.tenant_id,
            user_id=user.id,
            plan_id=offered.plan.id,
            mode=offered.mode,
            now=instant_text(now),
        )
        found = find_under_way(db, user.id)
    if found is None:  # whose was there first has just been settled
        raise Conflict("checkout_changed")
    return found


def is_stale(checkout: Checkout, now: datetime) -> bool:
    """Whether nobody can tell any more if Stripe has a page for it."""
    return checkout.status == "opening" and now - parse_instant(checkout.created_at) >= OPENS_WITHIN


def note_session(db: Connection, now: datetime, checkout_id: int, session_id: str) -> None:
    """Stripe has a page for it, of this id. What has ended meanwhile stays so."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_checkouts
                  SET stripe_session_id = COALESCE(stripe_session_id, :session_id), updated_at = :now,
                      status = CASE WHEN status = 'opening' THEN 'open' ELSE status END
                WHERE id = :id""",
            session_id=session_id,
            now=instant_text(now),
            id=checkout_id,
        )


def settle(db: Connection, now: datetime, checkout: Checkout, status: Status) -> None:
    """What became of it."""
    with atomic(db):
        execute(
            db,
            "UPDATE billing_checkouts SET status = :status, updated_at = :now WHERE id = :id",
            status=status,
            now=instant_text(now),
            id=checkout.id,
        )


def find_of_session(db: Connection, session: Json) -> Checkout | None:
    """Ours of a session of Stripe's: by its id, or, where we were killed before we wrote that down, by our own hint."""
    row = fetch_one(
        db,
        f"SELECT {_COLUMNS} FROM billing_checkouts WHERE stripe_session_id = :id",  # noqa: S608  a constant
        id=sid(session) or "",
    )
    if row is not None:
        return _checkout(row)
    hinted = _find_hinted(db, session)
    return hinted if hinted is not None and hinted.stripe_session_id is None else None


def find_of_subscription(db: Connection, customer: Customer, subscription: Json) -> Checkout | None:
    """The checkout of this customer's that a subscription of Stripe's has come of."""
    hinted = _find_hinted(db, subscription)
    return hinted if hinted is not None and hinted.user_id == customer.user_id else None


def _find_hinted(db: Connection, given: Json) -> Checkout | None:
    hint = number_in(given, "checkout_id")
    return _checkout(
        fetch_one(db, f"SELECT {_COLUMNS} FROM billing_checkouts WHERE id = :id", id=hint)  # noqa: S608
    )


def _checkout(row: Row | None) -> Checkout | None:
    return Checkout(**{name: row[name] for name in Checkout.__dataclass_fields__}) if row is not None else None
