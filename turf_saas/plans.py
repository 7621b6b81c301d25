"""What a plan says: what of each metric it includes, what more of it costs, and what its period costs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from billing_db import Connection, Row, fetch_one
from turf_saas import pricing
from turf_saas.errors import NotFound
from turf_saas.prices import Price, price_from
from turf_saas.settings import Settings
from turf_saas.values import instant_text

logger = logging.getLogger("turf_saas.billing")

Limit = int | None  # None is unlimited
Policy = Literal["hard", "soft"]  # refuse past the limit, or let through and warn
Window = Literal["month", "day"]
Interval = Literal["month", "year"]
Cycle = Literal["calendar", "anniversary"]
TaxBehavior = Literal["exclusive", "inclusive"]


@dataclass(frozen=True)
class PlanLimit:
    """How much of a metric a plan includes, and what happens past it. A day's limit only decides: it bills nothing."""

    included: Limit
    policy: Policy = "hard"
    window: Window = "month"


UNLIMITED = PlanLimit(None, "soft")


@dataclass(frozen=True)
class PlanTerms:
    """What of a plan decides about usage. A metric with a price and no limit: nothing included, nothing refused."""

    code: str
    limits: Mapping[str, PlanLimit]
    prices: tuple[Price, ...]
    currency: str
    tax_behavior: TaxBehavior = "exclusive"

    @property
    def metrics(self) -> set[str]:
        return {*self.limits, *(price.metric for price in self.prices)}


@dataclass(frozen=True)
class Plan:
    """One version of a plan. None of its fields ever changes; an edit makes another version."""

    id: int
    tenant_id: int
    code: str
    version: int
    name: str
    description: str
    interval: Interval
    cycle: Cycle
    amount_cents: int
    currency: str
    tax_behavior: TaxBehavior
    trial_days: int
    stripe_price_id: str | None
    terms: PlanTerms
    created_at: str
    archived_at: str | None

    @property
    def cents_of_12_months(self) -> int:
        """Twelve times what it costs a month, so that a year's price compares without a fraction."""
        return self.amount_cents * (12 if self.interval == "month" else 1)


# Of the table billing_plans AS p: what plan_of reads.
PLAN_COLUMNS = """p.id, p.tenant_id, p.code, p.version, p.name, p.description, p.billing_interval, p.cycle,
                  p.amount_cents, p.currency, p.tax_behavior, p.trial_days, p.stripe_price_id, p.limits, p.prices,
                  p.created_at, p.archived_at"""
# Of a row of saas_subscriptions AS s (or of nobody's) in the tenant of `whose`: which version of which plan.
PLAN_IN_FORCE = """p.id = COALESCE(s.plan_id, (SELECT id FROM billing_plans
                                                WHERE tenant_id = whose.tenant_id AND superseded_at IS NULL
                                                  AND code = COALESCE(s.plan, :default_plan)))"""


def plan_of(row: Row) -> Plan:
    return Plan(
        row["id"],
        row["tenant_id"],
        row["code"],
        row["version"],
        row["name"],
        row["description"],
        row["billing_interval"],
        row["cycle"],
        row["amount_cents"],
        row["currency"],
        row["tax_behavior"],
        row["trial_days"],
        row["stripe_price_id"],
        terms_of(row["code"], row["limits"], row["prices"], row["currency"]),
        row["created_at"],
        row["archived_at"],
    )


@lru_cache(maxsize=1024)  # read with every decision, and a version never changes
def terms_of(code: str, limits: str, prices: str, currency: str, tax_behavior: TaxBehavior = "exclusive") -> PlanTerms:
    """From the texts as they are stored."""
    return PlanTerms(
        code,
        MappingProxyType({metric: PlanLimit(**limit) for metric, limit in json.loads(limits).items()}),
        tuple(price_from(price) for price in json.loads(prices)),
        currency,
        tax_behavior,
    )


def find_default_terms(db: Connection, settings: Settings, tenant_id: int) -> PlanTerms:
    """The default plan's: the tenant's own, or tenant 1's where it has none of that code."""
    row = fetch_one(
        db,
        """SELECT code, limits, prices, currency FROM billing_plans
            WHERE code = :code AND tenant_id IN (:tenant_id, 1) AND superseded_at IS NULL
            ORDER BY tenant_id = :tenant_id DESC LIMIT 1""",
        code=settings.default_plan,
        tenant_id=tenant_id,
    )
    if row is None:  # looked for at the start, and no plan is ever deleted
        raise LookupError(f"BILLING_DEFAULT_PLAN={settings.default_plan!r}: there is no such plan.")
    return terms_of(row["code"], row["limits"], row["prices"], row["currency"])


def find_terms(db: Connection, plan_id: int) -> PlanTerms:
    """Of one version."""
    row = fetch_one(
        db, "SELECT code, limits, prices, currency, tax_behavior FROM billing_plans WHERE id = :id", id=plan_id
    )
    if row is None:
        raise NotFound("plan_not_found")
    return terms_of(row["code"], row["limits"], row["prices"], row["currency"], row["tax_behavior"])


def find_terms_before(
    db: Connection, settings: Settings, tenant_id: int, code: str | None, instant: datetime
) -> PlanTerms:
    """Of the version that was the newest just before an instant, or of the first one; None is the default plan."""
    row = fetch_one(
        db,
        """SELECT code, limits, prices, currency, tax_behavior FROM billing_plans
            WHERE tenant_id = :tenant_id AND code = :code
            ORDER BY created_at < :instant DESC, CASE WHEN created_at < :instant THEN -version ELSE version END
            LIMIT 1""",
        tenant_id=tenant_id,
        code=code or settings.default_plan,
        instant=instant_text(instant),
    )
    if row is None:
        return _unknown(db, settings, tenant_id, code)
    return terms_of(row["code"], row["limits"], row["prices"], row["currency"], row["tax_behavior"])


def found_or_default(db: Connection, settings: Settings, row: Row, named: str | None) -> PlanTerms:
    """Of a row with the columns of the terms and `tenant_id`; a plan that nobody knows has the default one's."""
    if row["code"] is None:
        return _unknown(db, settings, row["tenant_id"], named)
    return terms_of(row["code"], row["limits"], row["prices"], row["currency"])


def _unknown(db: Connection, settings: Settings, tenant_id: int, named: str | None) -> PlanTerms:
    if named is not None:
        _say_once(named)
    return find_default_terms(db, settings, tenant_id)


def plan_limits(settings: Settings, terms: PlanTerms, *, in_trial: bool = False) -> dict[str, PlanLimit]:
    """What a plan includes per metric and how it decides, after the settings have had their say.

    In a trial every limit is hard, for nothing of it is billed; of what has a price and no limit nothing is included.
    """
    limits = {
        metric: _including(limit, settings.limit(terms.code, metric, limit.included))
        for metric, limit in terms.limits.items()
    }
    if in_trial:
        priced = {price.metric: PlanLimit(0) for price in terms.prices}
        limits = priced | {metric: replace(limit, policy="hard") for metric, limit in limits.items()}
    return limits


def _including(limit: PlanLimit, included: Limit) -> PlanLimit:
    return limit if included == limit.included else PlanLimit(included, limit.policy, limit.window)


def limits_of(settings: Settings, terms: PlanTerms) -> dict[str, Limit]:
    """What a plan includes a month, per metric."""
    return {
        metric: settings.limit(terms.code, metric, limit.included) if limit.window == "month" else None
        for metric, limit in terms.limits.items()
    }


def overage_cents(settings: Settings, terms: PlanTerms, used: Mapping[str, int]) -> int:
    """What a month's use past the included quantities costs, each metric rounded once."""
    included = limits_of(settings, terms)
    return sum(
        pricing.rate(price, used.get(price.metric, 0), included.get(price.metric, 0), terms.currency).amount_cents
        for price in terms.prices
    )


_unknown_plans_seen: set[str] = set()


def _say_once(plan_code: str) -> None:
    if plan_code not in _unknown_plans_seen and len(_unknown_plans_seen) < 1000:
        _unknown_plans_seen.add(plan_code)
        logger.warning("plan %r is in the data but not in the catalogue: the default plan's limits hold", plan_code)
