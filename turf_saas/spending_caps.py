"""What a user lets a month's overage cost at most, and how far he is from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing_db import Connection, atomic, engine, execute, fetch_one
from turf_saas import plans
from turf_saas.plans import PlanTerms
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import UserId, instant_text

Counters = Mapping[str, tuple[int, int]]  # per metric what was used and what is held


@dataclass(frozen=True)
class Spending:
    """`overage_cents`: what was used past the included quantities this month. `reached`: one unit more is refused."""

    cap_cents: int | None
    overage_cents: int
    reached: bool


def set_cap(db: Connection, now: datetime, user: User, amount_cents: int | None) -> None:
    """The user's cap from now on; None takes it away."""
    with atomic(db):
        if amount_cents is None:
            execute(db, "DELETE FROM billing_spending_caps WHERE user_id = :user_id", user_id=user.id)
            return
        execute(
            db,
            """INSERT INTO billing_spending_caps (user_id, tenant_id, amount_cents, updated_at)
               VALUES (:user_id, :tenant_id, :amount_cents, :now)
               ON CONFLICT (user_id) DO UPDATE
                  SET amount_cents = excluded.amount_cents, updated_at = excluded.updated_at""",
            user_id=user.id,
            tenant_id=user.tenant_id,
            amount_cents=amount_cents,
            now=instant_text(now),
        )


def queue_up(db: Connection, user_id: UserId) -> None:
    """On PostgreSQL, decisions about a user who has a cap come one after the other until the transaction ends.

    Two metrics are two counters: of two uses at once neither would see what the other costs.
    """
    if engine(db) == "postgresql":
        fetch_one(
            db, "SELECT amount_cents FROM billing_spending_caps WHERE user_id = :user_id FOR UPDATE", user_id=user_id
        )


def spending_of(settings: Settings, plan: PlanTerms, counters: Counters, cap_cents: int | None) -> Spending:
    """Where a month stands."""
    used = {metric: used for metric, (used, _) in counters.items()}
    overage = plans.overage_cents(settings, plan, used)
    return Spending(cap_cents, overage, _is_reached(settings, plan, counters, cap_cents))


def spoken_for_cents(settings: Settings, plan: PlanTerms, counters: Counters) -> int:
    """What the month's overage costs when all that is held is used as well."""
    return plans.overage_cents(settings, plan, {metric: used + held for metric, (used, held) in counters.items()})


def is_passed(settings: Settings, plan: PlanTerms, counters: Counters, cap_cents: int | None) -> bool:
    """Whether that is more than the cap, if there is one."""
    return cap_cents is not None and spoken_for_cents(settings, plan, counters) > cap_cents


def _is_reached(settings: Settings, plan: PlanTerms, counters: Counters, cap_cents: int | None) -> bool:
    """Whether there is a metric of which one unit more would pass the cap."""
    for metric in plans.limits_of(settings, plan).keys() | counters.keys():
        used, held = counters.get(metric, (0, 0))
        if is_passed(settings, plan, {**counters, metric: (used + 1, held)}, cap_cents):
            return True
    return False
