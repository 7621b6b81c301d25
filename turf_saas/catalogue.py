"""What is sold: plans per tenant. An edit makes a version, so that no price changes under who has bought it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from billing_db import Connection, atomic, execute, fetch_all, fetch_one, lock
from turf_saas.errors import Conflict, NotFound
from turf_saas.ids import insert_row
from turf_saas.plan_drafts import PlanDraft, check_draft, draft_of, limits_as_json, prices_as_json
from turf_saas.plans import PLAN_COLUMNS, Plan, plan_of
from turf_saas.values import instant_text

Existing = Literal["keep", "next_period"]  # who is subscribed keeps his version, or moves when his period ends


def find_plan(db: Connection, tenant_id: int, code: str) -> Plan | None:
    """The newest version, archived or not."""
    row = fetch_one(
        db,
        f"""SELECT {PLAN_COLUMNS} FROM billing_plans AS p
             WHERE p.tenant_id = :tenant_id AND p.code = :code AND p.superseded_at IS NULL""",  # noqa: S608  a constant
        tenant_id=tenant_id,
        code=code,
    )
    return plan_of(row) if row else None


def get_plan(db: Connection, tenant_id: int, code: str) -> Plan:
    """The newest version of a plan, archived or not."""
    plan = find_plan(db, tenant_id, code)
    if plan is None:
        raise NotFound("plan_not_found")
    return plan


def get_version(db: Connection, plan_id: int) -> Plan:
    """One version, whichever."""
    row = fetch_one(db, f"SELECT {PLAN_COLUMNS} FROM billing_plans AS p WHERE p.id = :id", id=plan_id)  # noqa: S608
    if row is None:
        raise NotFound("plan_not_found")
    return plan_of(row)


def list_plans(db: Connection, tenant_id: int, *, archived: bool = False) -> list[Plan]:
    """The newest version of each plan, the cheapest first; archived=True: those that are sold no more as well."""
    sold = "" if archived else "AND p.archived_at IS NULL"
    rows = fetch_all(
        db,
        f"""SELECT {PLAN_COLUMNS} FROM billing_plans AS p
             WHERE p.tenant_id = :tenant_id AND p.superseded_at IS NULL {sold}
             ORDER BY p.billing_interval, p.amount_cents, p.code""",  # noqa: S608
        tenant_id=tenant_id,
    )
    return [plan_of(row) for row in rows]


def list_metrics(db: Connection, tenant_id: int) -> set[str]:
    """Every metric that a plan of the tenant limits or prices."""
    return {metric for plan in list_plans(db, tenant_id, archived=True) for metric in plan.terms.metrics}


def lock_catalogue(db: Connection, tenant_id: int) -> None:
    """Nobody else changes what the tenant sells until the transaction ends."""
    lock(db, f"billing_plans_{tenant_id}")


def create_plan(db: Connection, now: datetime, tenant_id: int, draft: PlanDraft, *, by: str | None = None) -> Plan:
    """A plan of a new code, or the next version of one that was archived. Conflict when it is being sold."""
    draft = draft.in_order
    check_draft(draft)
    with atomic(db):
        lock_catalogue(db, tenant_id)
        old = find_plan(db, tenant_id, draft.code)
        if old is not None and old.archived_at is None:
            raise Conflict("plan_exists", plan=draft.code)
        if old is not None:
            return _add_version(db, now, old, draft, "keep", by)
        return get_version(db, _insert(db, now, tenant_id, 1, draft, by))


def edit_plan(
    db: Connection,
    now: datetime,
    tenant_id: int,
    code: str,
    changes: Mapping[str, Any],
    *,
    existing: Existing = "keep",
    by: str | None = None,
) -> Plan:
    """The next version, with these fields of PlanDraft changed. What changes nothing makes no version.

    next_period: whoever is on an older version, also one kept until now, goes on with this one when his period ends.
    """
    with atomic(db):
        lock_catalogue(db, tenant_id)
        old = get_plan(db, tenant_id, code)
        if old.archived_at is not None:
            raise Conflict("plan_archived", plan=code)
        draft = replace(draft_of(old), **changes)
        if "cycle" not in changes:
            draft = draft.in_order
        check_draft(draft)
        if existing == "next_period" and draft.currency != old.currency:  # a user has one currency
            raise Conflict("currency_mismatch", currency=draft.currency, wanted=old.currency)
        if existing == "next_period" and draft.interval != old.interval:  # nobody asked to pay for a year
            raise Conflict("interval_differs", plan=code)
        if draft.differs_from(draft_of(old)):
            return _add_version(db, now, old, draft, existing, by)
        if existing == "next_period":
            _move_subscribers(db, old)
        return old


def archive_plan(db: Connection, now: datetime, tenant_id: int, code: str, *, default_plan: str) -> Plan:
    """Sold no more. Who is on it stays on it. The default plan is everybody's who has no other."""
    if code == default_plan:
        raise Conflict("plan_is_default", plan=code)
    with atomic(db):
        lock_catalogue(db, tenant_id)
        execute(
            db,
            """UPDATE billing_plans SET archived_at = :now
                WHERE tenant_id = :tenant_id AND code = :code AND superseded_at IS NULL AND archived_at IS NULL""",
            now=instant_text(now),
            tenant_id=tenant_id,
            code=code,
        )
        return get_plan(db, tenant_id, code)


def copy_catalogue(db: Connection, now: datetime, source: int, target: int) -> None:
    """What one tenant sells now, as the first versions of another's. A Stripe price belongs to one account only."""
    for plan in list_plans(db, source):
        _insert(db, now, target, 1, replace(draft_of(plan), stripe_price_id=None), None)


def _add_version(
    db: Connection, now: datetime, old: Plan, draft: PlanDraft, existing: Existing, by: str | None
) -> Plan:
    execute(db, "UPDATE billing_plans SET superseded_at = :now WHERE id = :id", now=instant_text(now), id=old.id)
    _pin_subscribers(db, now, old)
    new = get_version(db, _insert(db, now, old.tenant_id, old.version + 1, draft, by))
    if existing == "next_period":
        _move_subscribers(db, new)
    return new


def _move_subscribers(db: Connection, to: Plan) -> None:
    """Whose period of an older version ends goes on with this one; not those who pay in another currency."""
    execute(
        db,
        """UPDATE billing_plans SET rolls_into = :new
            WHERE tenant_id = :tenant_id AND code = :code AND currency = :currency
              AND billing_interval = :interval AND id <> :new""",
        new=to.id,
        tenant_id=to.tenant_id,
        code=to.code,
        currency=to.currency,
        interval=to.interval,
    )


def _pin_subscribers(db: Connection, now: datetime, old: Plan) -> None:
    """Who was on the newest version without saying so was on this one."""
    execute(
        db,
        """UPDATE saas_subscriptions SET plan_id = :id, changed_at = :now, changed_by = 'system',
                                         change_reason = 'plan_version'
            WHERE tenant_id = :tenant_id AND plan = :code AND plan_id IS NULL
              AND status IN ('trialing', 'active', 'past_due', 'unpaid')""",
        id=old.id,
        now=instant_text(now),
        tenant_id=old.tenant_id,
        code=old.code,
    )


def _insert(db: Connection, now: datetime, tenant_id: int, version: int, draft: PlanDraft, by: str | None) -> int:
    return insert_row(
        db,
        "billing_plans",
        "id",
        tenant_id=tenant_id,
        code=draft.code,
        version=version,
        name=draft.name,
        description=draft.description,
        billing_interval=draft.interval,
        cycle=draft.cycle,
        amount_cents=draft.amount_cents,
        currency=draft.currency,
        tax_behavior=draft.tax_behavior,
        trial_days=draft.trial_days,
        stripe_price_id=draft.stripe_price_id,
        limits=json.dumps(limits_as_json(draft.limits)),
        prices=json.dumps(prices_as_json(draft.prices)),
        created_at=instant_text(now),
        created_by=by,
    )
