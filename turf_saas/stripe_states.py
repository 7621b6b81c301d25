"""The state of a subscription as Stripe tells it, in our words: its status, its period, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from turf_saas.settings import Settings
from turf_saas.stripe_objects import Json, instant, items_of, sid
from turf_saas.values import instant_text, local_day

ENDED = ("canceled",)
# Ours for each of Stripe's; None where it has not begun. One that is paused for want of a card is not served.
STATUSES: Mapping[str, str | None] = {
    "incomplete": None,
    "incomplete_expired": "canceled",
    "trialing": "trialing",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "unpaid",
    "paused": "unpaid",
    "canceled": "canceled",
}
# Of two states of one second the later one: what a subscription goes through stands in this order.
_ORDER = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused", "incomplete_expired", "canceled")
RECOVERED = 10 * _ORDER.index("active")  # which may follow each of the later ones
FINAL = 10 * _ORDER.index("incomplete_expired")  # nothing follows a state of such a rank


@dataclass(frozen=True)
class State:
    """status: None before it has begun. columns: what of our row follows from it."""

    id: str
    status: str | None
    never_began: bool
    started_at: datetime | None
    ended_at: datetime | None
    columns: Mapping[str, Any]


def rank_of(given: Json, *, is_first: bool = False) -> int:
    """Of the states of one second: which is the newer one. is_first: it is told as having just been made."""
    status = given.get("status")
    return 10 * _ORDER.index(status) + (not is_first) if status in _ORDER else 0


def state_of(given: Json, settings: Settings) -> State:
    """Of an object of Stripe's. A status that is not known changes nothing: it is as if it had not begun."""
    said = given.get("status")
    status = STATUSES.get(said) if isinstance(said, str) else None
    start, end = period_of(given)
    started_at = instant(given.get("start_date")) or instant(given.get("created"))
    ended_at = (instant(given.get("ended_at")) or instant(given.get("canceled_at"))) if status in ENDED else None
    anchor = instant(given.get("billing_cycle_anchor")) or started_at
    columns = {
        "status": status,
        "current_period_start": _text(start),
        "current_period_end": _text(end),
        "trial_end": _text(instant(given.get("trial_end"))),
        "cancel_at_period_end": int(status not in ENDED and _is_to_end(given, end)),
        "canceled_at": _text(instant(given.get("canceled_at"))),
        "ended_at": _text(ended_at),
        "cycle": "anniversary",
        "anchor": local_day(anchor, settings.timezone).isoformat() if anchor is not None else None,
    }
    return State(str(sid(given)), status, said == "incomplete_expired", started_at, ended_at, columns)


def period_of(given: Json) -> tuple[datetime | None, datetime | None]:
    """From the first of its items' beginnings to the last of their ends; at the top, where it stood before."""
    found: list[datetime | None] = []
    for name, furthest in (("current_period_start", min), ("current_period_end", max)):
        instants = [instant(item.get(name)) for item in items_of(given.get("items"))]
        known = [each for each in instants if each is not None]
        found.append(furthest(known) if known else instant(given.get(name)))
    start, end = found
    return (start, end) if start is not None and end is not None and start < end else (None, None)


def _is_to_end(given: Json, end: datetime | None) -> bool:
    """Said in either of the two ways: with its period, or at an instant that is not after it."""
    at = instant(given.get("cancel_at"))
    return given.get("cancel_at_period_end") is True or (at is not None and end is not None and at <= end)


def _text(given: datetime | None) -> str | None:
    return instant_text(given) if given is not None else None
