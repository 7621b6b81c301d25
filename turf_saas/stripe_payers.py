"""Users as customers of Stripe's: made there once, and known by our own record alone."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from billing_db import Connection, Row, atomic, execute, fetch_one
from turf_saas import stripe_calls
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, metadata_of, sid
from turf_saas.values import UserId, instant_text

logger = logging.getLogger("turf_saas.billing")

STEP = "customer"
LOOKED_AT = 1_000  # customers without an address of theirs, the newest first


def ensure_customer(db: Connection, now: datetime, stripe: StripeGateway, tenant_id: int, user_id: UserId) -> str:
    """The id of the user's customer at Stripe, who is made there when there is none."""
    subject = f"user:{user_id}"
    was_made = stripe_calls.is_answered(db, subject, STEP)
    known = find_customer_id(db, user_id)  # read after it: who is being made by somebody else is not made again
    if known is not None:
        return known
    row = _row(db, user_id)
    mine = {"app": APP, "installation": stripe_calls.installation(db), "local_user_id": str(user_id)}
    stripe_calls.make(
        db,
        now,
        tenant_id,
        subject,
        STEP,
        _params(row, mine),
        stripe.create_customer,
        find=lambda: _find(stripe, row, mine),
        and_then=lambda customer: _note(db, now, tenant_id, user_id, customer),
        again=was_made,  # one that was made and is not known any more was deleted there
    )
    found = find_customer_id(db, user_id)
    assert found is not None, "it was noted with the answer"
    return found


def ensure_known_customer(db: Connection, now: datetime, stripe: StripeGateway, tenant_id: int, user_id: UserId) -> str:
    """The same, and Stripe is asked whether it knows him still: the key may be another account's now."""
    known = find_customer_id(db, user_id)
    if known is not None:
        there = stripe.find("customers", known)
        if there is None or there.get("deleted") is True:
            logger.warning("Stripe does not know customer %s any more: another is made", known)
            forget_customer(db, now, tenant_id, user_id, known, at=now)
    return ensure_customer(db, now, stripe, tenant_id, user_id)


def forget_customer(
    db: Connection, now: datetime, tenant_id: int, user_id: UserId, stripe_id: str, *, at: datetime
) -> None:
    """He is no customer there since then, and pays with nothing; what is told of that customer is about him still."""
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_former_customers (stripe_customer_id, tenant_id, user_id, deleted_at)
               VALUES (:stripe_id, :tenant_id, :user_id, :at) ON CONFLICT DO NOTHING""",
            stripe_id=stripe_id,
            tenant_id=tenant_id,
            user_id=user_id,
            at=instant_text(at),
        )
        execute(
            db,
            """UPDATE billing_accounts
                  SET stripe_customer_id = NULL, stripe_payment_method_id = NULL, updated_at = :now
                WHERE stripe_customer_id = :stripe_id""",
            stripe_id=stripe_id,
            now=instant_text(now),
        )


def find_customer_id(db: Connection, user_id: UserId) -> str | None:
    row = fetch_one(db, "SELECT stripe_customer_id FROM billing_accounts WHERE user_id = :id", id=user_id)
    return row["stripe_customer_id"] if row is not None else None


def find_card(db: Connection, user_id: UserId) -> str | None:
    """With what the user pays by default, as Stripe calls it."""
    row = fetch_one(db, "SELECT stripe_payment_method_id FROM billing_accounts WHERE user_id = :id", id=user_id)
    return row["stripe_payment_method_id"] if row is not None else None


def _row(db: Connection, user_id: UserId) -> Row | None:
    return fetch_one(
        db,
        "SELECT email, name, address, zip, city, country, locale FROM billing_accounts WHERE user_id = :id",
        id=user_id,
    )


def _params(row: Row | None, mine: dict[str, str]) -> Json:
    """What is known of him, for Stripe's own pages and mails."""
    if row is None:
        return {"metadata": mine}
    address = {"line1": row["address"], "postal_code": row["zip"], "city": row["city"], "country": row["country"]}
    said: dict[str, Any] = {
        "name": row["name"],
        "email": row["email"],
        "address": {name: value for name, value in address.items() if value} if row["address"] else None,
        "preferred_locales": [row["locale"]] if row["locale"] else None,
    }
    return {**{name: value for name, value in said.items() if value}, "metadata": mine}


def _find(stripe: StripeGateway, row: Row | None, mine: dict[str, str]) -> Json | None:
    """The one that an earlier call has made, though nobody heard of it."""
    email = {"email": row["email"]} if row is not None and row["email"] else {}
    made = stripe.list("customers", most=LOOKED_AT, **email)
    return next((one for one in made if mine.items() <= metadata_of(one).items()), None)


def _note(db: Connection, now: datetime, tenant_id: int, user_id: UserId, customer: Json) -> None:
    with atomic(db):
        execute(
            db,
            """INSERT INTO billing_accounts (user_id, tenant_id, stripe_customer_id, created_at, updated_at)
               VALUES (:user_id, :tenant_id, :customer, :now, :now)
               ON CONFLICT (user_id) DO UPDATE
                  SET stripe_customer_id = excluded.stripe_customer_id
                WHERE billing_accounts.stripe_customer_id IS NULL""",
            user_id=user_id,
            tenant_id=tenant_id,
            customer=sid(customer),
            now=instant_text(now),
        )
