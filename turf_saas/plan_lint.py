"""What is allowed in a catalogue and probably not meant: cliffs, steps that nobody takes, prices that nobody pays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, pairwise
from math import floor

from turf_saas.errors import pointer
from turf_saas.money import from_cents
from turf_saas.plan_drafts import PlanDraft
from turf_saas.prices import Price, Tier, decimal_text
from turf_saas.pricing import calculate_volume

_YEARLY = re.compile(r"[_-](year|yearly|annual|annually|annuel|an)$")


@dataclass(frozen=True)
class Remark:
    """Something to look at again: in which plan, where in it, and why."""

    plan: str
    loc: str
    check: str
    message: str


Remarks = Iterator[Remark]


def remarks_of(drafts: Sequence[PlanDraft], *, default_plan: str) -> list[Remark]:
    """Of plans that have no fault: what their owner should know before he sells them."""
    metrics = {metric for draft in drafts for metric in _metrics(draft)}
    found: list[Remark] = []
    for draft in drafts:
        for place, price in enumerate(draft.prices):
            found += _of_price(draft, place, price)
        found += _of_limits(draft, metrics)
        found += _of_default(draft, default_plan)
    if drafts and all(draft.code != default_plan for draft in drafts):
        message = "whoever has no subscription is on it (BILLING_DEFAULT_PLAN), and it is not among these plans"
        found.append(Remark(default_plan, "", "default_missing", message))
    for one, other in combinations(drafts, 2):
        found += _of_pair(one, other)
    return found


def _metrics(draft: PlanDraft) -> set[str]:
    return {*draft.limits, *(price.metric for price in draft.prices)}


# -- one price --------------------------------------------------------------------------------------


def _of_price(draft: PlanDraft, place: int, price: Price) -> Remarks:
    where = pointer("prices", place)
    limit = draft.limits.get(price.metric)
    if limit is not None and limit.included is None:
        yield Remark(draft.code, where, "never_billed", f"{price.metric} is included without limit: this bills nothing")
    elif limit is not None and limit.policy == "hard":
        message = f"{price.metric} is refused past {limit.included}: this bills only what is reported afterwards"
        yield Remark(draft.code, where, "behind_hard_limit", message)
    if not _costs(price):
        yield Remark(draft.code, where, "costs_nothing", f"the price of {price.metric} is 0 whatever is used")
        return
    if price.flat_at_zero and not price.tiers[0].flat_cents:
        message = "flat_at_zero does nothing: the first tier has no flat amount"
        yield Remark(draft.code, pointer("prices", place, "flat_at_zero"), "flat_at_zero_of_nothing", message)
    for number, (below, above) in enumerate(pairwise((None, *price.tiers))):
        assert above is not None, "a tier follows"
        tier_at = pointer("prices", place, "tiers", number)
        if not _holds_a_number(below, above):
            message = f"no whole number is above {_bound(below)} and at most {_bound(above)}: nobody reaches this tier"
            yield Remark(draft.code, tier_at, "unreachable_tier", message)
        elif below is not None and _same(price.model, below, above):
            message = "it costs what the tier before costs: one of the two can go"
            yield Remark(draft.code, tier_at, "equal_tiers", message)
    yield from _gaps(draft, place, price)
    if price.model == "volume":
        yield from _cliffs(draft, place, price)


def _costs(price: Price) -> bool:
    return bool(price.unit_amount or price.package_cents or any(map(_tier_costs, price.tiers)))


def _tier_costs(tier: Tier) -> bool:
    return bool(tier.unit_amount or tier.flat_cents)


def _bound(tier: Tier | None) -> str:
    return "0" if tier is None or tier.up_to is None else decimal_text(tier.up_to)


def _holds_a_number(below: Tier | None, tier: Tier) -> bool:
    """Usage is counted in whole numbers."""
    lower = below.up_to if below is not None else Decimal(0)
    return tier.up_to is None or floor(tier.up_to) > floor(lower or 0)


def _same(model: str, below: Tier, above: Tier) -> bool:
    """A tiered price adds each tier's flat amount, a volume price has that of one."""
    flat = below.flat_cents if model == "volume" else 0
    return below.unit_amount == above.unit_amount and above.flat_cents == flat


def _gaps(draft: PlanDraft, place: int, price: Price) -> Remarks:
    """Of a volume price such a tier is a cliff."""
    if price.model != "tiered":
        return
    costly = [number for number, tier in enumerate(price.tiers) if _tier_costs(tier)]
    for number in range(costly[0], costly[-1]):
        if number not in costly:
            bounds = f"above {_bound(price.tiers[number - 1])} and up to {_bound(price.tiers[number])}"
            message = f"{price.metric} costs nothing {bounds}, and something before and after"
            yield Remark(draft.code, pointer("prices", place, "tiers", number), "gap", message)


def _cliffs(draft: PlanDraft, place: int, price: Price) -> Remarks:
    for number, tier in enumerate(price.tiers[:-1]):
        assert tier.up_to is not None, "the last tier alone has no bound"
        last = floor(tier.up_to)
        before, after = (
            calculate_volume(price, Decimal(quantity), draft.currency).amount_cents for quantity in (last, last + 1)
        )
        if after < before:
            message = (
                f"one more than {last} {price.metric} costs less: the total falls from "
                f"{_money(before, draft.currency)} to {_money(after, draft.currency)}"
            )
            yield Remark(draft.code, pointer("prices", place, "tiers", number + 1), "volume_cliff", message)


def _money(cents: int, currency: str) -> str:
    return f"{decimal_text(from_cents(cents, currency))} {currency}"


# -- one plan ---------------------------------------------------------------------------------------


def _of_limits(draft: PlanDraft, metrics: set[str]) -> Remarks:
    priced = {price.metric for price in draft.prices}
    for metric, limit in sorted(draft.limits.items()):
        is_open = limit.policy == "soft" and limit.window == "month" and limit.included is not None
        if is_open and metric not in priced:
            message = f"{metric} above {limit.included} is neither refused (soft) nor billed (no price)"
            yield Remark(draft.code, pointer("limits", metric), "neither_refused_nor_billed", message)
    for metric in sorted(metrics - _metrics(draft)):
        message = f"{metric} is limited or priced in another plan; here it is not named: unlimited, and free"
        yield Remark(draft.code, "/limits", "metric_not_named", message)
    if draft.trial_days and not draft.amount_cents:
        message = "a trial of a plan without a fee: in it every limit is hard, and nothing is saved"
        yield Remark(draft.code, "/trial_days", "trial_of_nothing", message)


def _of_default(draft: PlanDraft, default_plan: str) -> Remarks:
    if draft.code == default_plan and draft.amount_cents:
        fee = _money(draft.amount_cents, draft.currency)
        message = f"whoever has no subscription is on it, and pays no fee: its {fee} are for subscribers only"
        yield Remark(draft.code, "/amount_cents", "default_with_fee", message)


# -- two plans --------------------------------------------------------------------------------------


def _of_pair(one: PlanDraft, other: PlanDraft) -> Remarks:
    if one.code.replace("-", "_") == other.code.replace("-", "_"):
        message = f"its settings BILLING_LIMIT_… are those of {one.code}, too"
        yield Remark(other.code, "/code", "same_setting", message)
    if one.currency != other.currency or one.tax_behavior != other.tax_behavior:
        return
    if one.interval != other.interval:
        yield from _of_intervals(*((one, other) if one.interval == "month" else (other, one)))
        return
    for worse, better in ((one, other), (other, one)):
        if worse.amount_cents >= better.amount_cents and _gives_less(worse, better):
            costs = "the same" if worse.amount_cents == better.amount_cents else "more"
            message = f"it costs {costs} and includes less than {better.code}"
            yield Remark(worse.code, "/amount_cents", "worse_plan", message)
            return


def _of_intervals(monthly: PlanDraft, yearly: PlanDraft) -> Remarks:
    is_same = monthly.name.casefold() == yearly.name.casefold() or _YEARLY.sub("", yearly.code) == monthly.code
    if is_same and yearly.amount_cents > 12 * monthly.amount_cents:
        message = (
            f"a year costs {_money(yearly.amount_cents, yearly.currency)}, twelve months of {monthly.code} "
            f"{_money(12 * monthly.amount_cents, monthly.currency)}"
        )
        yield Remark(yearly.code, "/amount_cents", "dear_year", message)


def _gives_less(worse: PlanDraft, better: PlanDraft) -> bool:
    """The same prices, nothing more of anything, and less of something."""
    if "prices" in worse.differs_from(better) or worse.trial_days > better.trial_days:
        return False
    if worse.limits.keys() != better.limits.keys():
        return False
    pairs = [(worse.limits[metric], better.limits[metric]) for metric in worse.limits]
    if any((less.policy, less.window) != (more.policy, more.window) for less, more in pairs):
        return False
    amounts = [(_amount(less.included), _amount(more.included)) for less, more in pairs]
    return all(less <= more for less, more in amounts) and any(less < more for less, more in amounts)


def _amount(included: int | None) -> float:
    return float("inf") if included is None else included
