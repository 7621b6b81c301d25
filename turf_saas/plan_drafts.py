"""A plan as it is written down, in JSON or in a file of plans, before it is anybody's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from turf_saas.checks import invalid
from turf_saas.plan_faults import UNLIMITED, faults_of
from turf_saas.plans import Cycle, Interval, Plan, PlanLimit, TaxBehavior
from turf_saas.prices import Price, price_as_json, price_from


@dataclass(frozen=True)
class PlanDraft:
    """What a version of a plan says."""

    code: str
    name: str
    amount_cents: int
    currency: str
    description: str = ""
    interval: Interval = "month"
    cycle: Cycle = "calendar"
    tax_behavior: TaxBehavior = "exclusive"
    trial_days: int = 0
    stripe_price_id: str | None = None
    limits: Mapping[str, PlanLimit] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()

    @property
    def in_order(self) -> PlanDraft:
        """The same, as it is kept: a year is always counted from its anniversary."""
        return replace(self, cycle="anniversary") if self.interval == "year" else self

    def differs_from(self, other: PlanDraft) -> list[str]:
        """The fields that say something else. The order in which prices are written says nothing."""
        mine, others = ({**vars(draft), "prices": _by_metric(draft.prices)} for draft in (self, other))
        return [name for name in mine if mine[name] != others[name]]


def _by_metric(prices: Sequence[Price]) -> list[Price]:
    return sorted(prices, key=lambda price: price.metric)


def draft_of(plan: Plan) -> PlanDraft:
    """What a version says, as somebody would write it down."""
    return PlanDraft(
        plan.code,
        plan.name,
        plan.amount_cents,
        plan.currency,
        plan.description,
        plan.interval,
        plan.cycle,
        plan.tax_behavior,
        plan.trial_days,
        plan.stripe_price_id,
        dict(plan.terms.limits),
        plan.terms.prices,
    )


def draft_from(given: Mapping[str, Any], *, currency: str) -> PlanDraft:
    """The plan that was written, or a refusal that names all its faults. currency: where it says none."""
    faults = faults_of(given)
    if faults:
        raise invalid(faults)
    return PlanDraft(**{"currency": currency, **changes_from(given)}).in_order


def changes_from(given: Mapping[str, Any]) -> dict[str, Any]:
    """Written fields that have no fault, as fields of a draft."""
    changes = dict(given)
    if "limits" in changes:
        changes["limits"] = {metric: _limit_from(limit) for metric, limit in given["limits"].items()}
    if "prices" in changes:
        changes["prices"] = tuple(price_from(price) for price in given["prices"])
    return changes


def _limit_from(given: Mapping[str, Any]) -> PlanLimit:
    included = given["included"]
    return PlanLimit(**{**given, "included": None if included == UNLIMITED else included})


def check_draft(draft: PlanDraft) -> None:
    """InvalidInput when a draft that nobody has written down in words could not be."""
    faults = faults_of(draft_as_json(draft))
    if faults:
        raise invalid(faults)


def draft_as_json(draft: PlanDraft) -> dict[str, Any]:
    """The draft in words, as it is written in a body and in a file."""
    return {
        "code": draft.code,
        "name": draft.name,
        "description": draft.description,
        "interval": draft.interval,
        "cycle": draft.cycle,
        "amount_cents": draft.amount_cents,
        "currency": draft.currency,
        "tax_behavior": draft.tax_behavior,
        "trial_days": draft.trial_days,
        "stripe_price_id": draft.stripe_price_id,
        "limits": limits_as_json(draft.limits),
        "prices": prices_as_json(draft.prices),
    }


def limits_as_json(limits: Mapping[str, PlanLimit]) -> dict[str, dict[str, Any]]:
    return {
        metric: {"included": limit.included, "policy": limit.policy, "window": limit.window}
        for metric, limit in sorted(limits.items())
    }


def prices_as_json(prices: Sequence[Price]) -> list[dict[str, Any]]:
    return [price_as_json(price) for price in prices]
