"""Subscriptions that Stripe runs: one function brings ours to the state that Stripe tells, whatever came before it.

What has not been paid for grants nothing, what has ended never begins again, and what is older than what we know
changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, atomic, fetch_all
from turf_saas import checkouts, jobs, rollover, subscription_changes
from turf_saas.errors import Conflict
from turf_saas.gateways import STRIPE
from turf_saas.notices import Notice
from turf_saas.plans import Plan
from turf_saas.settings import Settings
from turf_saas.stripe_applying import (
    Customer,
    Event,
    Outcome,
    Unknown,
    applied,
    find_customer,
    find_known,
    ignored,
    is_news,
    mismatch,
    note_state,
)
from turf_saas.stripe_objects import Json, sid
from turf_saas.stripe_plans import find_follower, find_plan
from turf_saas.stripe_states import ENDED, FINAL, RECOVERED, State, rank_of, state_of
from turf_saas.subscribing import enter
from turf_saas.subscription_words import What, words_for
from turf_saas.subscriptions import Subscription, find_of_stripe, hold, update_subscription
from turf_saas.values import instant_text, parse_instant

logger = logging.getLogger("turf_saas.billing")

SYNC_JOB = "billing.sync_subscription"
SOON = timedelta(seconds=10)  # by then Stripe has most often told the rest
ASKED = 2  # the rank of a state that was answered, after an event's 0 and 1
SKEW = timedelta(minutes=10)  # between our clock and Stripe's, at most
_NOT_BEGUN = "nothing is granted before it is paid for"


def apply(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """The newest state, of whichever of its events. One that is older than what we know changes nothing."""
    customer = find_customer(db, sid(event.object.get("customer")))
    stripe_id = event.object_id
    if customer is None or stripe_id is None:
        return ignored("no customer of ours")
    rank = rank_of(event.object, is_first=event.type.endswith(".created"))
    in_doubt = _may_be_either(db, stripe_id, event.created, rank)
    is_newest = is_news(db, event, stripe_id, rank=rank, tenant_id=customer.tenant_id)
    if in_doubt and (is_newest or _differs(db, settings, customer, event.object)):
        ask_again(db, now, settings, stripe_id)
    if is_newest:
        return follow(db, now, settings, customer, event.object, at=event.created)
    return ignored("a newer state is known")


def trial_will_end(db: Connection, now: datetime, settings: Settings, event: Event) -> Outcome:
    """The host is told, some days before; nothing changes."""
    customer, stripe_id = find_customer(db, sid(event.object.get("customer"))), event.object_id
    if customer is None or stripe_id is None:
        return ignored("no customer of ours")
    held = find_of_stripe(db, stripe_id)
    if held is None and find_known(db, stripe_id) is None:
        raise Unknown(stripe_id)  # of a short trial it is said at once
    if held is None or held.user_id != customer.user_id:
        return ignored("no trial of ours")
    if held.status != "trialing":
        return ignored("the trial is over")
    return applied(Notice("trial_will_end", {"subscription": held}))


def note_asked(db: Connection, now: datetime, customer: Customer, given: Json) -> None:
    """What Stripe has answered now is newer than what it told before, though some of that may still come."""
    note_state(db, now, str(sid(given)), rank=rank_of(given) - 1 + ASKED, tenant_id=customer.tenant_id)


def follow(
    db: Connection,
    now: datetime,
    settings: Settings,
    customer: Customer,
    given: Json,
    *,
    at: datetime,
    by: str | None = STRIPE,
) -> Outcome:
    """Ours is as Stripe's is `at` that instant: begun, changed or ended. Nobody asks how new that is.

    by: who has brought it about, as far as that is known.
    """
    at = min(at, now)
    with atomic(db):
        row = find_of_stripe(db, str(sid(given)))
        held = hold(db, row.id) if row is not None else None
        if held is not None and held.user_id != customer.user_id:
            return mismatch(f"{held.stripe_subscription_id} is another user's here")
        plan = find_plan(db, customer.tenant_id, given, held)
        state = state_of(given, settings)
        if held is not None:
            return _change(db, now, held, plan, state, at, by)
        if not _is_granted(db, customer, given, state, at):
            return Outcome("ignored", _NOT_BEGUN, known=(state.id,))
        if plan is None:
            return mismatch(f"the price of {state.id} is of no plan here")
        return _begin(db, now, settings, customer, plan, state, at)


def follow_newest(
    db: Connection, now: datetime, settings: Settings, customer: Customer, stripe_id: str
) -> Outcome | None:
    """The same with the newest state that was told of it; None where none was told yet."""
    rows = fetch_all(
        db,
        """SELECT e.event_type, e.payload, r.happened_at
             FROM billing_received_events AS r JOIN billing_events AS e ON e.id = r.event_id
            WHERE r.object_id = :id AND r.forgotten_at IS NULL AND e.event_type LIKE 'customer.subscription.%'
            ORDER BY r.happened_at DESC, e.id DESC LIMIT 20""",
        id=stripe_id,
    )
    told = [
        (row["happened_at"], rank_of(about, is_first=row["event_type"].endswith(".created")), about)
        for row in rows
        for about in [json.loads(row["payload"])["data"]["object"]]
    ]
    if not told:
        return None
    happened_at, _, newest = max(told, key=lambda one: one[:2])
    return follow(db, now, settings, customer, newest, at=parse_instant(happened_at))


def ask_again(db: Connection, now: datetime, settings: Settings, stripe_id: str) -> None:
    """Stripe is asked how it stands, as soon as the caller has committed; where no key is set, nobody is."""
    if settings.stripe_secret_key:
        jobs.enqueue(
            db,
            now,
            SYNC_JOB,
            {"subscription_id": stripe_id},
            run_at=now + SOON,
            dedupe_key=f"{stripe_id} {instant_text(now)}",
        )


def _may_be_either(db: Connection, stripe_id: str, at: datetime, rank: int) -> bool:
    """Whether only Stripe knows which of two states is the newer one: of one second, or by its clock and by ours.

    A subscription goes from any of the states that follow `active` back to it; all others follow each other.
    """
    known = find_known(db, stripe_id)
    if known is None or known.told_at < instant_text(at):
        return False
    if known.told_at > instant_text(at):
        return known.rank % 10 == ASKED and parse_instant(known.told_at) - at <= SKEW
    lower, higher = sorted((rank, known.rank))
    return lower == higher or (lower >= RECOVERED and higher < FINAL)


def _differs(db: Connection, settings: Settings, customer: Customer, given: Json) -> bool:
    """Whether ours is not as this says."""
    held = find_of_stripe(db, str(sid(given)))
    if held is None or held.status == "canceled":
        return held is None
    columns = _columns(db, held, find_plan(db, customer.tenant_id, given, held), state_of(given, settings))
    return any(getattr(held, name) != value for name, value in columns.items())


# -- it begins -------------------------------------------------------------------------------------------


def _is_granted(db: Connection, customer: Customer, given: Json, state: State, at: datetime) -> bool:
    """Whether it has begun: not before its first payment, which a bank may take days for.

    Stripe may call it active meanwhile, so the checkout that it came of has the word, where it came of one.
    """
    if state.status is None or state.never_began:
        return False
    checkout = checkouts.find_of_subscription(db, customer, given)
    if checkout is None or checkout.status == "complete":
        return True
    if checkout.is_under_way or state.status not in ("trialing", "active"):
        return False
    failed = find_known(db, checkout.stripe_session_id)
    return failed is None or failed.told_at < instant_text(at)  # it was paid in another way since


def _begin(
    db: Connection, now: datetime, settings: Settings, customer: Customer, plan: Plan, state: State, at: datetime
) -> Outcome:
    live = rollover.bring_up_to_date(db, now, settings, customer.user_id)
    ended = state.status == "canceled"
    if live is not None and not ended:
        if not checkouts.gives_way(db, live):
            return mismatch(f"user {customer.user_id} has another live subscription than {state.id}")
        if live.effective_at is None and not live.is_billed:
            taken = update_subscription(db, now, live, at=at, by=STRIPE, reason="subscribed", **_first(plan, state, at))
            return _told(taken, ["subscribed"])
        subscription_changes.cancel(db, now, settings, live, when="now", by=STRIPE, reason="replaced")
    values = _first(plan, state, at)
    begins, status = parse_instant(values.pop("effective_at")), values.pop("status")
    values = {name: value for name, value in values.items() if name not in ("plan", "plan_id")}
    try:
        # One that has ended meanwhile has been there, too.
        status = "active" if ended and live is None else status
        begun = enter(db, now, customer.user, plan, begins, status, STRIPE, **values)
    except Conflict:
        return mismatch(f"user {customer.user_id} has another live subscription than {state.id}")
    if ended and begun.is_live:
        return _change(db, now, begun, plan, state, at, STRIPE)
    return _told(begun, ["subscribed"] if begun.is_live else [])


def _first(plan: Plan, state: State, at: datetime) -> dict[str, Any]:
    begins = min(state.started_at or at, at)
    return {
        "billed_by": "stripe",
        "stripe_subscription_id": state.id,
        "plan": plan.code,
        "plan_id": plan.id,
        "effective_at": instant_text(begins),
        **state.columns,
    }


# -- it changes ------------------------------------------------------------------------------------------


def _change(
    db: Connection,
    now: datetime,
    held: Subscription,
    plan: Plan | None,
    state: State,
    at: datetime,
    by: str | None,
) -> Outcome:
    if held.status == "canceled":
        return ignored("it has ended")
    if state.status is None:  # as it was before it began
        return ignored(_NOT_BEGUN)
    if plan is None and state.status not in ENDED:
        logger.warning("the price of %s is of no plan here: it stays on %s", state.id, held.plan)
    columns = _columns(db, held, plan, state)
    if all(getattr(held, name) == value for name, value in columns.items()):
        return applied(known=(state.id,))
    ended_at = state.ended_at if state.status in ENDED else None
    since = min(ended_at, at) if ended_at is not None else at
    changed = update_subscription(db, now, held, at=since, by=by, reason=_reason(held, columns), **columns)
    return _told(changed, words_for(held, changed))


def end(db: Connection, now: datetime, held: Subscription, *, at: datetime, by: str | None, reason: str) -> Notice:
    """It has ended at Stripe, though no state of it says so; a later word of before does not bring it back."""
    note_state(db, at, str(held.stripe_subscription_id), rank=rank_of({"status": "canceled"}), tenant_id=held.tenant_id)
    since = min(at, now)
    ended = update_subscription(
        db, now, held, at=since, by=by, reason=reason, status="canceled", canceled_at=instant_text(since),
        ended_at=instant_text(since), cancel_at_period_end=0, pending_plan_id=None, pending_at=None,
    )  # fmt: skip
    return Notice("subscription_changed", {"subscription": ended, "what": "canceled"})


def _columns(db: Connection, held: Subscription, plan: Plan | None, state: State) -> dict[str, Any]:
    """What its row is to hold."""
    columns = {**state.columns, "billed_by": "stripe"}
    if state.status in ENDED:
        return {**columns, "pending_plan_id": None, "pending_at": None}
    return {**columns, **_plan_columns(db, held, plan, state)} if plan is not None else columns


def _plan_columns(db: Connection, held: Subscription, plan: Plan, state: State) -> dict[str, Any]:
    """The plan that its price is of. One that was to follow waits for its period, though Stripe knows its price."""
    start, awaited = state.columns["current_period_start"], held.pending_at
    if awaited is not None and (start is None or start < awaited):
        if plan.id in (held.pending_plan_id, held.plan_id):
            return {}
    elif start != held.current_period_start and plan.id == held.plan_id:
        plan = find_follower(db, plan)
    return {"plan": plan.code, "plan_id": plan.id, "pending_plan_id": None, "pending_at": None}


def _reason(held: Subscription, columns: dict[str, Any]) -> str:
    if columns["status"] != held.status:
        return str(columns["status"])
    return "changed" if columns.get("plan_id", held.plan_id) != held.plan_id else "told"


def _told(changed: Subscription, words: Sequence[What]) -> Outcome:
    notices = [Notice("subscription_changed", {"subscription": changed, "what": word}) for word in words]
    return applied(*notices, known=(str(changed.stripe_subscription_id),))
