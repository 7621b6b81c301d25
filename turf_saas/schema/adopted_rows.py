"""One row of a reference table, made fit for ours: what is plain is put right, the rest is refused with its reason.

Pure functions: a row and what has been seen so far in, the values for our table out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from turf_saas.subscriptions import LIVE
from turf_saas.values import instant_text, local_day

MAX_INTEGER = 2**53
INVOICE_STATUSES = ("pending", "paid", "overdue", "cancelled", "refunded")
TRANSACTION_TYPES = ("subscription", "overage", "credit", "refund")
OTHER_WORDS = {
    "invoice": {"canceled": "cancelled", "open": "pending", "created": "pending"},
    "subscription": {"cancelled": "canceled"},
}
_DAY = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})")
_NUMBER = re.compile(r"FACT-([0-9]{6})-([0-9]{1,15})")


class Rejected(Exception):
    """The row cannot be ours. The message is the reason, without the row's values, so that it can be counted."""


@dataclass
class Seen:
    """What earlier rows of the adoption have taken, and what may be pointed at."""

    zone: tzinfo
    now: str
    taken: set[tuple[str, Any]] = field(default_factory=set)
    invoices: set[int] = field(default_factory=set)
    live_users: set[Any] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)  # about the row at hand: kept, but not as it was

    def once(self, what: str, value: Any) -> None:
        if (what, value) in self.taken:
            raise Rejected(f"{what} is there already")
        self.taken.add((what, value))

    def drop(self, what: str) -> None:
        self.notes.append(what)


Row = Mapping[str, Any]
Values = dict[str, Any]


# -- days and instants ---------------------------------------------------------------------------------


def adopted_day(given: object, zone: tzinfo) -> str | None:
    """`YYYY-MM-DD` for what names one day only: `2026-1-5`, `2026/01/05`, an ISO date or instant. Else None."""
    if not isinstance(given, str):
        return None
    text = given.strip()
    match = _DAY.fullmatch(text)
    try:
        if match:
            return date(int(match[1]), int(match[2]), int(match[3])).isoformat()
        instant = _iso(text)
        return (instant.date() if instant.tzinfo is None else local_day(instant, zone)).isoformat()
    except (ValueError, OverflowError):
        return None


def adopted_instant(given: object) -> str | None:
    """An instant as we write it. SQLite's `datetime('now')` and Stripe's seconds are UTC; a bare day is its 00:00."""
    try:
        if isinstance(given, int) and 10**8 <= given < 10**11:
            return instant_text(datetime.fromtimestamp(given, UTC))
        if not isinstance(given, str):
            return None
        instant = _iso(given.strip())
        return instant_text(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _iso(text: str) -> datetime:
    if not text.isascii() or not re.match(r"[0-9]{4}-?[0-9W]", text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


# -- one value -----------------------------------------------------------------------------------------


def _whole(row: Row, name: str) -> int:
    value = row[name]
    if not isinstance(value, int) or not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise Rejected(f"{name} is not a whole number")
    return value


def is_text(value: str) -> bool:
    """Whether what was read was UTF-8. (Other bytes come as half surrogates, which nothing can write.)"""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(value: str | bytes) -> str:
    """A text, with a mark in the place of each byte that is none."""
    told = value if isinstance(value, bytes) else value.encode(errors="surrogateescape")
    return told.decode(errors="replace")


def _text(row: Row, name: str) -> str | None:
    """A text; an empty one is none."""
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        raise Rejected(f"{name} is not a text")
    if not is_text(str(value)):
        raise Rejected(f"{name} is not UTF-8")
    return str(value)


def _remark(row: Row, seen: Seen, name: str) -> str | None:
    """A text that only people read: no row is refused over it."""
    value = row.get(name)
    if not isinstance(value, (str, bytes)):
        return _text(row, name)
    told = readable(value)
    if told != (value if isinstance(value, str) else value.decode(errors="surrogateescape")):
        seen.drop(f"{name} is not UTF-8: kept as far as it can be read")
    return told or None


def _needed(row: Row, name: str) -> str:
    value = _text(row, name)
    if value is None:
        raise Rejected(f"{name} is missing")
    return value


def _user(row: Row) -> Any:
    if row["billing_key"] is None:
        raise Rejected("there is no such user")
    return row["billing_key"]


def _currency(row: Row) -> str:
    value = _needed(row, "currency").upper()
    if not re.fullmatch("[A-Z]{3}", value):
        raise Rejected("currency is not a currency")
    return value


def _made_at(row: Row, seen: Seen, name: str = "created_at") -> str:
    instant = adopted_instant(row.get(name))
    if instant is None and row.get(name) is not None:
        seen.drop(f"{name} could not be read")
    return instant or seen.now


def _instant(row: Row, seen: Seen, name: str) -> str | None:
    instant = adopted_instant(row.get(name))
    if instant is None and row.get(name) not in (None, ""):
        seen.drop(f"{name} could not be read")
    return instant


def _edge(row: Row, name: str, zone: tzinfo) -> str:
    """The edge of an invoice's period: a day stays a day."""
    given = _needed(row, name).strip()
    edge = adopted_instant(given) if len(given) > len("2026-01-01") else adopted_day(given, zone)
    if edge is None:
        raise Rejected(f"{name} is not a date")
    return edge


# -- one row -------------------------------------------------------------------------------------------


def invoice(row: Row, seen: Seen) -> Values:
    status = _needed(row, "status").lower()
    status = OTHER_WORDS["invoice"].get(status, status)
    if status not in INVOICE_STATUSES:
        raise Rejected("status is not one of an invoice")
    created_at = _made_at(row, seen)
    values = {
        "id": row["row_id"],
        "invoice_number": _needed(row, "invoice_number"),
        "user_id": _user(row),
        "period_start": _edge(row, "period_start", seen.zone),
        "period_end": _edge(row, "period_end", seen.zone),
        "plan": _needed(row, "plan"),
        "amount_cents": _whole(row, "amount_cents"),
        "currency": _currency(row),
        "status": status,
        "pdf_path": _remark(row, seen, "pdf_path"),
        "stripe_invoice_id": _text(row, "stripe_invoice_id"),
        "created_at": created_at,
        "paid_at": _instant(row, seen, "paid_at"),
        "kind": "adopted",
        "updated_at": _instant(row, seen, "updated_at") or created_at,
    }
    if values["period_start"] > values["period_end"]:
        raise Rejected("the period ends before it begins")
    _once(values, seen, "invoice_number", "stripe_invoice_id")
    if row["id"] == row["row_id"]:  # else what points at this number means another one
        seen.invoices.add(row["row_id"])
    return values


def _once(values: Values, seen: Seen, *names: str) -> None:
    """Every one of them is free, or none is taken."""
    for name in names:
        if (name, values[name]) in seen.taken:
            raise Rejected(f"{name} is there already")
    for name in names:
        if values[name] is not None:
            seen.once(name, values[name])


def series_of(number: object) -> tuple[str, int] | None:
    """`FACT-202605-0012` is the twelfth of series 202605. (It was given out, even where its row is refused.)"""
    match = _NUMBER.fullmatch(number) if isinstance(number, str) else None
    return (match[1], int(match[2])) if match else None


def transaction(row: Row, seen: Seen) -> Values:
    kind = _needed(row, "type").lower()
    if kind not in TRANSACTION_TYPES:
        raise Rejected("type is not one of a transaction")
    invoice_id = row["invoice_id"]
    values = {
        "id": row["row_id"],
        "user_id": _user(row),
        "invoice_id": invoice_id if invoice_id in seen.invoices else None,
        "type": kind,
        "amount_cents": _whole(row, "amount_cents"),
        "currency": _currency(row),
        "stripe_payment_intent_id": _text(row, "stripe_payment_intent_id"),
        "description": _remark(row, seen, "description"),
        "created_at": _made_at(row, seen),
    }
    intent = values["stripe_payment_intent_id"]
    if intent is not None and kind != "refund":
        seen.once("stripe_payment_intent_id", (intent, kind))
    if invoice_id is not None and values["invoice_id"] is None:
        seen.drop("its invoice is not there: kept without it")
    return values


def stripe_event(row: Row, seen: Seen) -> Values:
    values = {
        "id": row["row_id"],
        "stripe_event_id": _text(row, "stripe_event_id"),
        "event_type": _text(row, "event_type"),
        "payload": _remark(row, seen, "payload"),
        "created_at": _made_at(row, seen),
    }
    _once(values, seen, "stripe_event_id")
    return values


def subscription(row: Row, seen: Seen) -> Values:
    """The first live row of a user stays so (subscription_order puts the right one first), later ones have ended."""
    user_id = _user(row)
    plan = _text(row, "plan")
    status = (_text(row, "status") or "active").strip().lower()
    status = OTHER_WORDS["subscription"].get(status, status)
    if status in LIVE:
        if user_id in seen.live_users:
            status = "canceled"
            seen.drop("the user has a newer subscription: canceled")
        seen.live_users.add(user_id)
    created_at = _made_at(row, seen)
    stripe_id = _text(row, "stripe_subscription_id")
    if stripe_id is not None and ("stripe_subscription_id", stripe_id) in seen.taken:
        seen.drop("stripe_subscription_id is there already: kept without it")
        stripe_id = None
    elif stripe_id is not None:
        seen.once("stripe_subscription_id", stripe_id)
    begin, end = _instant(row, seen, "current_period_start"), _instant(row, seen, "current_period_end")
    if begin is not None and end is not None and begin >= end:
        seen.drop("the period ends before it begins: kept without it")
        begin = end = None
    return {
        "id": row["row_id"],
        "user_id": user_id,
        "plan": plan,
        "status": status,
        "billed_by": "stripe" if stripe_id else "local",
        "effective_at": _instant(row, seen, "effective_at"),
        "current_period_start": begin,
        "current_period_end": end,
        "trial_end": _instant(row, seen, "trial_end"),
        "cancel_at_period_end": int(str(row.get("cancel_at_period_end")).lower() in ("1", "true")),
        "canceled_at": _instant(row, seen, "canceled_at"),
        "ended_at": _instant(row, seen, "ended_at"),
        "stripe_subscription_id": stripe_id,
        "created_at": created_at,
        "updated_at": _instant(row, seen, "updated_at") or created_at,
    }


_RANK = {"active": 0, "trialing": 0, "past_due": 1, "unpaid": 2}


def subscription_order(rows: list[Row]) -> list[Row]:
    """The one that counts first: active before overdue before the others, the newest before the older ones."""
    newest = sorted(rows, key=lambda row: (adopted_instant(row.get("created_at")) or "", row["row_id"]), reverse=True)
    return sorted(newest, key=lambda row: _RANK.get(str(row["status"] or "active").strip().lower(), 3))


CLEAN: dict[str, Callable[[Row, Seen], Values]] = {
    "invoices": invoice,
    "transactions": transaction,
    "saas_subscriptions": subscription,
    "billing_events": stripe_event,
}
