"""What the functions that answer Stripe's events share: the event, what they can say of it, and whose object it is.

How new an object's state is decides, not when it came: what is older than what we know changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from billing_db import Connection, execute, fetch_one
from turf_saas.invoices import Invoice
from turf_saas.notices import Notice
from turf_saas.stripe_objects import Json, sid
from turf_saas.users import User
from turf_saas.values import UserId, instant_text

Status = Literal["applied", "ignored", "mismatch"]


@dataclass(frozen=True)
class Event:
    """An event as Stripe sends it. `object`: the state of what it is about, as of `created`."""

    id: str
    type: str
    created: datetime
    object: Json
    previous: Json
    livemode: bool
    account: str | None
    api_version: str | None

    @property
    def object_id(self) -> str | None:
        return sid(self.object)


@dataclass(frozen=True)
class Outcome:
    """What an event has brought about. known: ids that others may have waited for. notices: what the host is told."""

    status: Status
    note: str | None = None
    notices: tuple[Notice, ...] = ()
    known: tuple[str, ...] = ()

    def telling(self, *notices: Notice) -> Outcome:
        return replace(self, notices=(*self.notices, *notices))


APPLIED = Outcome("applied")


def applied(*notices: Notice, known: tuple[str, ...] = ()) -> Outcome:
    return Outcome("applied", notices=notices, known=known)


def ignored(why: str) -> Outcome:
    return Outcome("ignored", why)


def mismatch(why: str, event: Event | None = None, invoice: Invoice | None = None) -> Outcome:
    """It contradicts what we know: nothing is done; somebody has to look, and is told. (The inbox logs it.)"""
    return Outcome("mismatch", why, (alarm(why, event, invoice),))


def alarm(why: str, event: Event | None = None, invoice: Invoice | None = None) -> Notice:
    """What the host is told where something does not add up, whatever was done about it."""
    return Notice("payment_mismatch", {"reason": why, "event": event, "invoice": invoice})


class Unknown(Exception):
    """The event is about something that we do not know yet."""

    def __init__(self, object_id: str) -> None:
        super().__init__(f"{object_id} is not known yet")
        self.object_id = object_id


@dataclass(frozen=True)
class Customer:
    """A user, as Stripe knows him."""

    user_id: UserId
    tenant_id: int
    stripe_id: str
    is_former: bool = False  # deleted there: money of his may still come, or go

    @property
    def user(self) -> User:
        return User(self.user_id, self.tenant_id, "user")


def find_customer(db: Connection, stripe_id: str | None) -> Customer | None:
    """Whose customer it is by our own record; no word of Stripe's about who somebody is counts."""
    row = fetch_one(
        db,
        """SELECT user_id, tenant_id, 0 AS former FROM billing_accounts WHERE stripe_customer_id = :id
           UNION ALL
           SELECT user_id, tenant_id, 1 AS former FROM billing_former_customers WHERE stripe_customer_id = :id
            ORDER BY former LIMIT 1""",
        id=stripe_id or "",
    )
    return Customer(row["user_id"], row["tenant_id"], str(stripe_id), bool(row["former"])) if row is not None else None


def is_news(db: Connection, event: Event, object_id: str, *, rank: int = 0, tenant_id: int = 1) -> bool:
    """Whether the event tells the newest state of the object, and notes that it does. Of one second the higher rank."""
    return note_state(db, event.created, object_id, rank=rank, tenant_id=tenant_id)


def note_state(db: Connection, told_at: datetime, object_id: str, *, rank: int, tenant_id: int) -> bool:
    """The same of a state that is known otherwise. One statement decides, so of two at once one is the newer."""
    return bool(
        execute(
            db,
            """INSERT INTO billing_stripe_objects (id, tenant_id, told_at, rank)
               VALUES (:id, :tenant_id, :told_at, :rank)
               ON CONFLICT (id) DO UPDATE SET told_at = excluded.told_at, rank = excluded.rank
                WHERE (billing_stripe_objects.told_at, billing_stripe_objects.rank) < (excluded.told_at, excluded.rank)
            """,
            id=object_id,
            tenant_id=tenant_id,
            told_at=instant_text(told_at),
            rank=rank,
        )
    )


class Known(NamedTuple):
    """How new the newest state is that we know of an object. told_at: as text, which sorts as time does."""

    told_at: str
    rank: int


def find_known(db: Connection, object_id: str | None) -> Known | None:
    """None where nothing was told of it."""
    row = fetch_one(db, "SELECT told_at, rank FROM billing_stripe_objects WHERE id = :id", id=object_id or "")
    return Known(row["told_at"], int(row["rank"])) if row is not None else None
