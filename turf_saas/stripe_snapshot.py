"""What Stripe has, read at once and before anything is compared: events that were missed, and the objects themselves.

Nothing is written, and no transaction is open while it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from billing_db import Connection, fetch_all, fetch_one
from turf_saas import stripe_events
from turf_saas.gateways import STRIPE, GatewayRefused
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import Json, instant, sid
from turf_saas.values import instant_text, parse_instant

MOST = 10_000  # of a kind
REMEMBERED = timedelta(days=30)  # so long Stripe lists an event
OVERLAP = timedelta(days=1)  # before the newest event that we have: they come in no order


@dataclass
class Remote:
    """Objects by their ids; None for one that we know and Stripe does not. as_of: Stripe's own time, as far as it goes.

    unread: what the key may not read, and what there is more of than was read.
    """

    live: bool
    as_of: datetime
    since: datetime
    events: list[Json] = field(default_factory=list)
    subscriptions: dict[str, Json | None] = field(default_factory=dict)
    invoices: dict[str, Json | None] = field(default_factory=dict)
    payments: dict[str, Json | None] = field(default_factory=dict)
    refunds: dict[str, Json | None] = field(default_factory=dict)
    disputes: dict[str, Json | None] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


Asked = Callable[[], None]


def read(db: Connection, now: datetime, gateway: StripeGateway, *, since: datetime | None) -> Remote:
    """since: objects made from then on, and every event; without it those of 30 days, and the events not taken."""
    of_now = gateway.list("events", most=1)
    newest = instant(of_now[0].get("created")) if of_now else None
    as_of = newest or now
    remote = Remote(gateway.mode == "live", as_of, since or as_of - REMEMBERED)
    _read_events(db, gateway, remote, told_since=since)
    for kind, into, known in (
        ("subscriptions", remote.subscriptions, _KNOWN_SUBSCRIPTIONS),
        ("invoices", remote.invoices, _KNOWN_INVOICES),
        ("refunds", remote.refunds, _KNOWN_REFUNDS),
        ("disputes", remote.disputes, _KNOWN_DISPUTES),
    ):
        given = {"status": "all"} if kind == "subscriptions" else {}
        into.update(_by_id(_list(gateway, remote, kind, created=_from(remote.since), **given)))
        if kind not in remote.unread:
            _read_known(gateway, remote, kind, into, (row["id"] for row in fetch_all(db, known, gateway=STRIPE)))
    _read_payments(db, gateway, remote)
    return remote


# What we know and believe to be open; what is settled on both sides is left alone.
_KNOWN_SUBSCRIPTIONS = """SELECT stripe_subscription_id AS id FROM saas_subscriptions
     WHERE billed_by = :gateway AND stripe_subscription_id IS NOT NULL
       AND status IN ('trialing', 'active', 'past_due', 'unpaid') ORDER BY id"""
_KNOWN_INVOICES = """SELECT provider_id AS id FROM billing_gateway_invoices
     WHERE gateway = :gateway AND provider_id IS NOT NULL AND status IN ('draft', 'open', 'uncollectible')
     UNION
    SELECT stripe_invoice_id FROM invoices
     WHERE stripe_invoice_id LIKE 'in!_%' ESCAPE '!' AND status IN ('pending', 'overdue')
       AND NOT EXISTS (SELECT 1 FROM billing_gateway_invoices AS g
                        WHERE g.invoice_id = invoices.id AND g.gateway <> :gateway)"""
_KNOWN_REFUNDS = """SELECT r.stripe_refund_id AS id FROM billing_refunds AS r
      JOIN billing_payments AS p ON p.id = r.payment_id AND p.gateway = :gateway
     WHERE r.stripe_refund_id LIKE 're!_%' ESCAPE '!' AND r.status IN ('pending', 'action_required')"""
_KNOWN_DISPUTES = """SELECT d.stripe_dispute_id AS id FROM billing_disputes AS d
      JOIN billing_payments AS p ON p.id = d.payment_id AND p.gateway = :gateway
     WHERE d.status NOT IN ('won', 'lost', 'warning_closed', 'prevented')"""


def _read_events(db: Connection, gateway: StripeGateway, remote: Remote, *, told_since: datetime | None) -> None:
    row = fetch_one(db, "SELECT MAX(happened_at) AS newest FROM billing_received_events")
    newest = row["newest"] if row is not None else None
    if told_since is None:
        told_since = max(parse_instant(newest) - OVERLAP, remote.since) if newest is not None else remote.since
    listed = _list(gateway, remote, "events", created=_from(told_since))
    listed += _list(gateway, remote, "events", delivery_success=False)
    told = {
        str(sid(one)): one
        for one in reversed(listed)
        if one.get("type") in stripe_events.HANDLERS and not _is_known(db, sid(one))
    }
    remote.events = sorted(told.values(), key=lambda one: one["created"])


def _is_known(db: Connection, event_id: str | None) -> bool:
    return fetch_one(db, "SELECT 1 AS one FROM billing_events WHERE stripe_event_id = :id", id=event_id) is not None


def _read_known(
    gateway: StripeGateway, remote: Remote, kind: str, into: dict[str, Json | None], ids: Iterable[str]
) -> None:
    for object_id in ids:
        if object_id not in into:
            into[object_id] = gateway.find(kind, object_id)


def _read_payments(db: Connection, gateway: StripeGateway, remote: Remote) -> None:
    """Of each invoice that is paid: which intent or charge has paid it, where that is not known here."""
    for stripe_id, given in remote.invoices.items():
        if given is None or given.get("status") != "paid" or not given.get("amount_paid"):
            continue
        row = fetch_one(
            db,
            """SELECT COALESCE(SUM(amount_cents), 0) AS cents FROM billing_payments
                WHERE (gateway_key = :id OR gateway_key LIKE :more)
                  AND (stripe_payment_intent_id IS NOT NULL OR stripe_charge_id IS NOT NULL)""",
            id=stripe_id,
            more=f"{stripe_id}:%",
        )
        if _may_be_ours(db, given) and (row is None or row["cents"] < given["amount_paid"]):
            remote.payments.update(_by_id(_list(gateway, remote, "invoice_payments", invoice=stripe_id)))


def _may_be_ours(db: Connection, given: Json) -> bool:
    """Whether its customer is a user of ours: of others there is nothing to ask."""
    row = fetch_one(
        db,
        "SELECT 1 AS one FROM billing_accounts WHERE stripe_customer_id = :id",
        id=sid(given.get("customer")) or "",
    )
    return row is not None


def _list(gateway: StripeGateway, remote: Remote, kind: str, **params: Any) -> list[Json]:
    try:
        found = gateway.list(kind, most=MOST + 1, **params)
    except GatewayRefused as refused:
        if not refused.of_key:
            raise
        if kind not in remote.unread:
            remote.unread.append(kind)
        return []
    if len(found) > MOST:
        remote.unread.append(f"{kind} before {instant_text(instant(found[MOST - 1].get('created')) or remote.since)}")
    return found[:MOST]


def _by_id(found: Iterable[Json]) -> dict[str, Json | None]:
    return {str(sid(one)): one for one in found}


def _from(since: datetime) -> dict[str, int]:
    return {"gte": int(since.timestamp())}
