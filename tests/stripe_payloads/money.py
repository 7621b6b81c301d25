"""Payment intents, charges, refunds, disputes and payouts."""

from __future__ import annotations

from typing import Any

from tests.stripe_payloads.events import AT, CUSTOMER, JUNE, Payload, Shape


def payment_intent(
    object_id: str = "pi_1", *, status: str = "succeeded", amount: int = 2_280, charge: str | None = "ch_1",
    shape: Shape = "endive", invoice: str | None = None, **changed: Any,
) -> Payload:  # fmt: skip
    common = {
        "id": object_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount if status == "succeeded" else 0,
        "created": AT,
        "currency": "eur",
        "customer": CUSTOMER,
        "last_payment_error": None,
        "latest_charge": charge,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "status": status,
    }
    return {**common, **({"invoice": invoice} if shape == "acacia" else {}), **changed}


def charge(
    object_id: str = "ch_1", *, amount: int = 2_280, refunded: int = 0, intent: str | None = "pi_1",
    shape: Shape = "endive", invoice: str | None = None, **changed: Any,
) -> Payload:  # fmt: skip
    """refunded: all that has gone back, as far as this state knows. invoice: only the old shape tells it."""
    common = {
        "id": object_id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": refunded,
        "balance_transaction": "txn_1",
        "captured": True,
        "created": AT,
        "currency": "eur",
        "customer": CUSTOMER,
        "disputed": False,
        "failure_code": None,
        "livemode": False,
        "metadata": {},
        "outcome": {"network_status": "approved_by_network", "reason": None, "type": "authorized"},
        "paid": True,
        "payment_intent": intent,
        "refunded": refunded == amount,
        "status": "succeeded",
    }
    return {**common, **({"invoice": invoice} if shape == "acacia" else {}), **changed}


def refund(
    object_id: str = "re_1", *, amount: int = 2_280, status: str = "succeeded", charge: str | None = "ch_1",
    intent: str | None = "pi_1", **changed: Any,
) -> Payload:  # fmt: skip
    return {
        "id": object_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": "txn_2",
        "charge": charge,
        "created": AT,
        "currency": "eur",
        "metadata": {},
        "payment_intent": intent,
        "reason": "requested_by_customer",
        "receipt_number": None,
        "status": status,
        **({"failure_reason": "expired_or_canceled_card"} if status == "failed" else {}),
        **changed,
    }


def dispute(
    object_id: str = "dp_1", *, amount: int = 2_280, status: str = "needs_response", charge: str = "ch_1",
    intent: str | None = "pi_1", **changed: Any,
) -> Payload:  # fmt: skip
    return {
        "id": object_id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge,
        "created": AT,
        "currency": "eur",
        "evidence_details": {"due_by": JUNE, "has_evidence": False, "past_due": False, "submission_count": 0},
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": intent,
        "reason": "fraudulent",
        "status": status,
        **changed,
    }


def payout(object_id: str = "po_1", *, amount: int = 2_221, status: str = "paid", **changed: Any) -> Payload:
    return {
        "id": object_id,
        "object": "payout",
        "amount": amount,
        "arrival_date": AT,
        "automatic": True,
        "balance_transaction": "txn_3",
        "created": AT,
        "currency": "eur",
        "failure_code": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "status": status,
        "type": "bank_account",
        **changed,
    }
