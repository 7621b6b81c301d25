"""The billing profile that a user writes about himself: who his invoices are made out to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from billing_db import Connection, atomic, execute, fetch_all, fetch_one
from turf_saas import jobs
from turf_saas.buyer import Buyer
from turf_saas.errors import NotFound
from turf_saas.many import named, parts, places
from turf_saas.seller import seller_of
from turf_saas.settings import Settings
from turf_saas.subscriptions import find_live
from turf_saas.values import UserId, instant_text

REPRICE_JOB = "billing.reprice_subscription"


def get_profile(db: Connection, settings: Settings, user_id: UserId) -> Buyer:
    """Who is billed. Who has never said: a consumer in the seller's country."""
    row = fetch_one(
        db,
        """SELECT kind, name, address, zip, city, country, siren, vat_id, email, locale
             FROM billing_accounts WHERE user_id = :user_id""",
        user_id=user_id,
    )
    found = Buyer(**{**dict(row), "kind": row["kind"] or "consumer"}) if row is not None else Buyer()
    return replace(found, country=found.country or seller_of(settings).country)


def list_profiles(db: Connection, settings: Settings, user_ids: Sequence[UserId]) -> dict[UserId, Buyer]:
    """Those of many users; who has never said is left out."""
    country = seller_of(settings).country
    found = {}
    for part in parts(user_ids):
        for row in fetch_all(
            db,
            f"""SELECT user_id, {", ".join(_FIELDS)} FROM billing_accounts
                 WHERE user_id IN ({places(part)})""",  # noqa: S608
            **named(part),
        ):
            said = {name: row[name] for name in _FIELDS if row[name] is not None}
            found[row["user_id"]] = Buyer(**{"country": country, **said})
    return found


_FIELDS = ("kind", "name", "address", "zip", "city", "country", "siren", "vat_id", "email", "locale")


def set_profile(db: Connection, now: datetime, user_id: UserId, tenant_id: int, buyer: Buyer) -> None:
    """From now on the user is billed so; nothing of what he said before stays. Invoices that are issued keep theirs."""
    with atomic(db):
        written = execute(
            db,
            """INSERT INTO billing_accounts (user_id, tenant_id, kind, name, address, zip, city, country, siren, vat_id,
                                             email, locale, created_at, updated_at)
               VALUES (:user_id, :tenant_id, :kind, :name, :address, :zip, :city, :country, :siren, :vat_id,
                       :email, :locale, :now, :now)
               ON CONFLICT (user_id) DO UPDATE
                  SET kind = excluded.kind, name = excluded.name, address = excluded.address, zip = excluded.zip,
                      city = excluded.city, country = excluded.country, siren = excluded.siren,
                      vat_id = excluded.vat_id, email = excluded.email, locale = excluded.locale,
                      updated_at = excluded.updated_at
                WHERE billing_accounts.tenant_id = excluded.tenant_id""",
            user_id=user_id,
            tenant_id=tenant_id,
            now=instant_text(now),
            **asdict(buyer),
        )
        if not written:  # he was put into another tenant meanwhile
            raise NotFound("user_not_found")
        live = find_live(db, user_id)
        if live is not None and live.billed_by == "stripe":  # its price there has the VAT of who he was
            jobs.enqueue(db, now, REPRICE_JOB, {"user_id": user_id}, tenant_id=tenant_id)
