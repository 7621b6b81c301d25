"""What falls due while the fake's clock is moved: each thing at its own instant, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from api_v1.stripe_fake import checkout, collecting, invoices, payouts, subscriptions
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World

HOUR = 3_600
NOTICE_OF_TRIAL_END = 3 * 86_400
MOST_STEPS = 10_000

Due = tuple[int, Callable[[], object]]


def step(world: World, to: int) -> bool:
    """Does what is due first until then; False when nothing is, and the clock is there."""
    waiting = [due for due in _due(world) if due[0] <= to]
    if not waiting:
        world.set_clock(to)
        return False
    at, act = min(waiting, key=lambda due: due[0])
    world.set_clock(max(at, world.now()))
    act()
    return True


def _due(world: World) -> Iterator[Due]:
    for found in list(world.objects.values()):
        look = LOOK.get(found["object"])
        if look is not None:
            yield from look(world, found)


def _subscription(world: World, subscription: Obj) -> Iterator[Due]:
    if subscription["status"] in {*subscriptions.OVER, "paused"}:
        return
    if subscription["status"] == "incomplete":
        yield subscription["created"] + 23 * HOUR, lambda: subscriptions.expire(world, subscription)
        return
    if subscription["cancel_at"] is not None:
        yield subscription["cancel_at"], lambda: subscriptions.end_now(world, subscription)
    if subscription["status"] == "trialing" and not subscription["_warned"]:
        yield subscription["trial_end"] - NOTICE_OF_TRIAL_END, lambda: _warn(world, subscription)
    yield subscriptions.period_of(subscription)[1], lambda: subscriptions.renew(world, subscription)


def _warn(world: World, subscription: Obj) -> None:
    subscription["_warned"] = True
    world.emit("customer.subscription.trial_will_end", subscription)


def _invoice(world: World, invoice: Obj) -> Iterator[Due]:
    if invoice["status"] == "draft" and invoice["automatically_finalizes_at"] is not None:
        yield invoice["automatically_finalizes_at"], lambda: invoices.finalize(world, {}, invoice["id"])
    if invoice["status"] == "open":
        if invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], lambda: collecting.retry(world, invoice)
        if invoice["due_date"] is not None and not invoice["_overdue"]:
            yield invoice["due_date"], lambda: _overdue(world, invoice)


def _overdue(world: World, invoice: Obj) -> None:
    invoice["_overdue"] = True
    world.emit("invoice.overdue", invoice)
    subscriptions.invoice_was_not_paid(world, invoice)


def _session(world: World, session: Obj) -> Iterator[Due]:
    if session["status"] == "open":
        yield session["expires_at"], lambda: checkout.expire(world, {}, session["id"])


def _booked(world: World, booked: Obj) -> Iterator[Due]:
    if booked["status"] == "pending":
        yield booked["available_on"], lambda: booked.update(status="available")


def _payout(world: World, payout: Obj) -> Iterator[Due]:
    if payout["status"] in {"pending", "in_transit"}:
        yield payout["arrival_date"], lambda: payouts.arrive(world, payout)


LOOK: dict[str, Callable[[World, Obj], Iterator[Due]]] = {
    "subscription": _subscription,
    "invoice": _invoice,
    "checkout.session": _session,
    "balance_transaction": _booked,
    "payout": _payout,
}
