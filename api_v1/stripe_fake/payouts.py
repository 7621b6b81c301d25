"""What Stripe has for the merchant, sent to the bank."""

from __future__ import annotations

from typing import Any

from api_v1.stripe_fake import collecting
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj
from api_v1.stripe_fake.world import World

DAY = 86_400


def unpaid(world: World, currency: str) -> list[Obj]:
    """What is booked and in no payout yet, the oldest first."""
    booked = world.oldest_first("balance_transaction", currency=currency, _payout=None)
    return [each for each in booked if each["type"] != "payout"]


def available(world: World, currency: str) -> int:
    """Net of everything booked, less what was sent."""
    return sum(each["net"] for each in world.all("balance_transaction", currency=currency))


def create(world: World, params: Obj) -> Obj:
    """One asked for by hand: no booking belongs to it but its own."""
    if params["amount"] <= 0:
        raise Refused("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if params["amount"] > available(world, params["currency"]):
        raise Refused(
            "You have insufficient funds in your Stripe account.", code="balance_insufficient", param="amount"
        )
    return _make(world, params["amount"], params["currency"], params, automatic=False)


def automatic(world: World, currency: str = "eur") -> Obj | None:
    """All that is booked, as one payout; nothing when there is nothing to send."""
    booked = unpaid(world, currency)
    amount = sum(each["net"] for each in booked)
    if amount <= 0:
        return None
    payout = _make(world, amount, currency, {}, automatic=True)
    for each in booked:
        each |= {"_payout": payout["id"], "status": "available"}
    return payout


def _make(world: World, amount: int, currency: str, params: Obj, *, automatic: bool) -> Obj:
    payout = world.add(
        "payout",
        "po",
        amount=amount,
        arrival_date=world.now() + DAY,
        automatic=automatic,
        currency=currency,
        metadata=metadata(params),
        method=params.get("method", "standard"),
        reconciliation_status="completed" if automatic else "not_applicable",
        source_type="card",
        status="pending",
        type="bank_account",
    )
    set_fields(payout, params, {"description", "statement_descriptor"})
    booked = collecting.book(world, -amount, currency, "payout", payout["id"])
    booked["_payout"] = payout["id"] if automatic else None
    payout["balance_transaction"] = booked["id"]
    world.emit("payout.created", payout)
    return payout


def arrive(world: World, payout: Obj) -> None:
    payout["status"] = "paid"
    world.emit("payout.paid", payout)


def fail(world: World, payout: Obj) -> None:
    """The bank sends it back."""
    booked = collecting.book(world, payout["amount"], payout["currency"], "payout_failure", payout["id"])
    payout |= {
        "status": "failed",
        "failure_balance_transaction": booked["id"],
        "failure_code": "account_closed",
        "failure_message": "The bank account has been closed",
    }
    world.emit("payout.failed", payout)


def in_payout(_world: World, booked: Obj, wanted: Any) -> bool:
    return bool(booked["_payout"] == wanted)
