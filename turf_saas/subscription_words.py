"""What became of a subscription, in the words of the signal subscription_changed: whoever bills it."""

from __future__ import annotations

from typing import Literal, cast

from turf_saas.subscriptions import Subscription

What = Literal[
    "subscribed", "changed", "change_scheduled", "change_dropped", "cancel_scheduled", "canceled", "resumed",
    "trial_ended", "rolled_over", "past_due", "unpaid", "active",
]  # fmt: skip


def words_for(before: Subscription, after: Subscription) -> list[What]:
    """One for each thing that happened between the two, in order."""
    words: list[What] = []
    if before.status == "trialing" and after.status != "trialing" and not _was_left_early(before, after):
        words.append("trial_ended")
    elif after.current_period_start not in (None, before.current_period_start):
        words.append("rolled_over")
    if (after.plan, after.plan_id) != (before.plan, before.plan_id):
        words.append("changed")
    elif after.pending_plan_id not in (None, before.pending_plan_id):
        words.append("change_scheduled")
    if after.status != before.status and after.status in ("past_due", "unpaid", "canceled"):
        words.append(cast(What, after.status))
    elif after.status == "active" and before.status in ("past_due", "unpaid"):
        words.append("active")
    if after.is_live and after.cancel_at_period_end != before.cancel_at_period_end:
        words.append("cancel_scheduled" if after.cancel_at_period_end else "resumed")
    return words


def _was_left_early(before: Subscription, after: Subscription) -> bool:
    """Whether it has ended before its trial did."""
    ended_at, trial_end = after.ended_at, before.current_period_end
    return ended_at is not None and trial_end is not None and ended_at < trial_end
