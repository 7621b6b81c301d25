"""Refunds and disputes: money that goes back, by us or by the bank."""

from __future__ import annotations

from api_v1.stripe_fake import cards, collecting
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

DAY = 86_400
DISPUTE_FEE = 1_500


def create(world: World, params: Obj) -> Obj:
    """Of a charge, up to what is left of it."""
    charge = _charge(world, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if charge["status"] != "succeeded":
        raise Refused(f"Charge {charge['id']} did not succeed and cannot be refunded.", code="charge_not_refundable")
    if charge["disputed"] and not _may_refund(world, charge):
        raise Refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left == 0:
        raise Refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise Refused("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise Refused(message, param="amount")
    if "currency" in params and params["currency"] != charge["currency"]:
        raise Refused(f"The currency of the charge is {charge['currency']}.", param="currency")
    behaviour = cards.behaviour_of(world.get("payment_method", charge["payment_method"]))
    refund = world.add(
        "refund",
        "re",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        customer=charge["customer"],
        destination_details={"card": {"type": "refund", "reference_status": "pending"}, "type": "card"},
        metadata=metadata(params),
        payment_intent=charge["payment_intent"],
        payment_method=charge["payment_method"],
        status=behaviour.refund,
        pending_reason="processing" if behaviour.refund == "pending" else None,
    )
    set_fields(refund, params, {"reason", "instructions_email"})
    _take_off(world, charge, amount)
    booked = collecting.book(world, -amount, charge["currency"], "refund", refund["id"])
    refund["balance_transaction"] = booked["id"]
    world.emit("refund.created", refund)
    world.emit("charge.refunded", charge)
    return refund


def _charge(world: World, params: Obj) -> Obj:
    if ("charge" in params) == ("payment_intent" in params):
        raise Refused(
            "One of the following params should be provided: charge, payment_intent.", code="parameter_missing"
        )
    if "charge" in params:
        return world.named("charge", params["charge"], "charge")
    intent = world.named("payment_intent", params["payment_intent"], "payment_intent")
    if intent["status"] != "succeeded":
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Refused(message, code="payment_intent_unexpected_state", param="payment_intent")
    return world.get("charge", intent["latest_charge"])


def _take_off(world: World, charge: Obj, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]


def update(world: World, params: Obj, refund_id: str) -> Obj:
    refund = world.get("refund", refund_id)
    before = rendered(world, refund)
    set_fields(refund, params, {"metadata"})
    world.emit("refund.updated", refund, before)
    return refund


def fail(world: World, refund_id: str, reason: str = "lost_or_stolen_card") -> Obj:
    """The bank does not take it: what was refunded is the merchant's again."""
    refund = world.get("refund", refund_id)
    assert refund["status"] in {"succeeded", "pending"}, f"the refund is {refund['status']}"
    charge, before = world.get("charge", refund["charge"]), rendered(world, refund)
    _take_off(world, charge, -refund["amount"])
    booked = collecting.book(world, refund["amount"], refund["currency"], "refund_failure", refund["id"])
    refund |= {
        "status": "failed",
        "failure_reason": reason,
        "failure_balance_transaction": booked["id"],
        "pending_reason": None,
    }
    for event_type in ("refund.updated", "charge.refund.updated"):
        world.emit(event_type, refund, before)
    world.emit("refund.failed", refund)
    return refund


def succeed(world: World, refund_id: str) -> Obj:
    """A pending one arrives."""
    refund = world.get("refund", refund_id)
    assert refund["status"] == "pending", f"the refund is {refund['status']}"
    before = rendered(world, refund)
    refund |= {"status": "succeeded", "pending_reason": None}
    for event_type in ("refund.updated", "charge.refund.updated"):
        world.emit(event_type, refund, before)
    return refund


# -- disputes ----------------------------------------------------------------------------------------------


def _may_refund(world: World, charge: Obj) -> bool:
    return all(dispute["is_charge_refundable"] for dispute in world.all("dispute", charge=charge["id"]))


def dispute(world: World, charge_id: str, amount: int | None, reason: str, *, inquiry: bool) -> Obj:
    """The bank takes the money back until it is decided; an inquiry only asks."""
    charge = world.get("charge", charge_id)
    assert charge["status"] == "succeeded", "only what was paid can be disputed"
    made = world.add(
        "dispute",
        "du",
        amount=charge["amount"] if amount is None else amount,
        charge=charge_id,
        currency=charge["currency"],
        evidence={"enhanced_evidence": {}},
        evidence_details=_evidence_details(world),
        is_charge_refundable=inquiry,
        metadata={},
        network_reason_code="10.4",
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="warning_needs_response" if inquiry else "needs_response",
    )
    charge["disputed"] = True
    world.emit("charge.dispute.created", made)
    if not inquiry:
        _move(world, made, -made["amount"], DISPUTE_FEE)
        world.emit("charge.dispute.funds_withdrawn", made)
    world.emit("charge.updated", charge)
    return made


def _evidence_details(world: World) -> Obj:
    return {
        "due_by": world.now() + 9 * DAY,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }


def _move(world: World, disputed: Obj, amount: int, fee: int) -> None:
    kind = "dispute" if amount < 0 else "dispute_reversal"
    booked = collecting.book(world, amount, disputed["currency"], "adjustment", disputed["id"], fee=fee, category=kind)
    disputed["balance_transactions"].append(rendered(world, booked))


def close(world: World, dispute_id: str, outcome: str) -> Obj:
    """lost: the money stays with the bank; won: it comes back, and so does the fee; warning_closed: it never moved."""
    disputed = world.get("dispute", dispute_id)
    inquiry = disputed["status"].startswith("warning_")
    assert outcome in ({"warning_closed"} if inquiry else {"lost", "won"}), (
        f"a {disputed['status']} cannot be {outcome}"
    )
    disputed["status"] = outcome
    if outcome == "won":
        _move(world, disputed, disputed["amount"], -DISPUTE_FEE)
        world.emit("charge.dispute.funds_reinstated", disputed)
    world.emit("charge.dispute.closed", disputed)
    return disputed


def answer(world: World, params: Obj, dispute_id: str) -> Obj:
    """Evidence, which makes the bank look."""
    disputed = world.get("dispute", dispute_id)
    before = rendered(world, disputed)
    set_fields(disputed, params, {"evidence", "metadata"})
    if "evidence" in params:
        disputed["evidence_details"]["has_evidence"] = True
        if params.get("submit", True):
            disputed["status"] = "warning_under_review" if disputed["status"].startswith("warning_") else "under_review"
    world.emit("charge.dispute.updated", disputed, before)
    return disputed


def give_up(world: World, params: Obj, dispute_id: str) -> Obj:
    disputed = world.get("dispute", dispute_id)
    if disputed["status"] in {"lost", "won", "warning_closed"}:
        raise Refused("This dispute is already closed")
    return close(world, dispute_id, "warning_closed" if disputed["status"].startswith("warning_") else "lost")
