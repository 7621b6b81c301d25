"""Local against Stripe: what was missed is taken, object by object what differs is brought to what Stripe has.

Everything goes through the functions that answer Stripe's events, so a mend is what the event would have done. What
differs still is left for somebody to look at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from billing_db import Connection, fetch_one
from turf_saas import stripe_differences, stripe_inbox, stripe_snapshot
from turf_saas.notices import Notice
from turf_saas.rehearsal import rehearsal
from turf_saas.settings import Settings
from turf_saas.stripe_differences import Difference
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import dig, instant, sid
from turf_saas.stripe_snapshot import Remote
from turf_saas.values import instant_text

Result = Literal["mended", "ignored", "left"]
Noticed = Callable[[Sequence[Notice]], None]


class Step(NamedTuple):
    """Something that was otherwise, and what became of it. kind: event, subscription, invoice, payment, refund …"""

    kind: str
    object_id: str
    sentence: str
    result: Result


@dataclass(frozen=True)
class Reconciled:
    """What was found and mended, in order. unread: kinds that could not be read, or not all of them."""

    since: datetime
    steps: tuple[Step, ...]
    unread: tuple[str, ...]

    @property
    def left(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.result == "left")


def reconcile(
    db: Connection,
    now: datetime,
    gateway: StripeGateway,
    settings: Settings,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    noticed: Noticed,
) -> Reconciled:
    """A dry run does all of it and takes it back, so that it says what the deed would."""
    remote = stripe_snapshot.read(db, now, gateway, since=since)
    if not dry_run:
        return Reconciled(remote.since, tuple(_mend(db, now, settings, remote, noticed)), tuple(remote.unread))
    with rehearsal(db, dry_run=True):
        steps = tuple(_mend(db, now, settings, remote, _unheard))
    return Reconciled(remote.since, steps, tuple(remote.unread))


def _unheard(_notices: Sequence[Notice]) -> None:
    """Of what is taken back nobody hears."""


def _mend(db: Connection, now: datetime, settings: Settings, remote: Remote, noticed: Noticed) -> Iterator[Step]:
    """First what was missed, as it happened: most of the rest has come of it."""
    missed = [str(sid(event)) for event in remote.events]
    results = {str(sid(event)): _take(db, now, settings, event, noticed) for event in remote.events}
    mended: list[Difference] = []
    for look in stripe_differences.LOOKS:
        for found in list(look(db, settings, remote)):
            mended.append(found)
            if found.event is not None:
                _take(db, now, settings, _event(remote, found), noticed)
    still = {one[:2]: one for one in stripe_differences.list_differences(db, settings, remote)}
    for event, event_id in zip(remote.events, missed, strict=True):
        yield Step("event", event_id, _told(event), _became(db, event_id, results[event_id]))
    for one in mended:
        yield Step(*one[:3], "left" if still.pop(one[:2], None) is not None else "mended")
    for one in still.values():  # what has only come of the rest
        yield Step(*one[:3], "left")


def _take(db: Connection, now: datetime, settings: Settings, event: Any, noticed: Noticed) -> str:
    received = stripe_inbox.receive(db, now, settings, stripe_inbox.event_of(event), json.dumps(event))
    noticed(received.notices)
    return received.result


def _became(db: Connection, event_id: str, result: str) -> Result:
    """What an event has come to, after all the others: it may have waited for one of them."""
    row = fetch_one(
        db,
        """SELECT r.status FROM billing_received_events AS r JOIN billing_events AS e ON e.id = r.event_id
            WHERE e.stripe_event_id = :id""",
        id=event_id,
    )
    status = row["status"] if row is not None else result
    return {"applied": "mended", "ignored": "ignored"}.get(status, "left")  # type: ignore[return-value]


def _told(event: Any) -> str:
    happened = instant(event.get("created"))
    return f"{event.get('type')} of {sid(dig(event, 'data', 'object'))}, {instant_text(happened) if happened else '?'}"


def _event(remote: Remote, found: Difference) -> dict[str, Any]:
    """As Stripe would have told it. Its id is of this state at this time: told again, it would change nothing."""
    state = json.dumps([found.event, found.object, instant_text(remote.as_of)], sort_keys=True)
    return {
        "id": f"reconciled_{found.object_id}_{hashlib.sha256(state.encode()).hexdigest()[:16]}",
        "object": "event",
        "type": found.event,
        "created": int(remote.as_of.timestamp()),
        "livemode": remote.live,
        "data": {"object": found.object},
    }
