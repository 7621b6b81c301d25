"""Invoices, their lines and their payments, and credit notes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.stripe_payloads.events import AT, CUSTOMER, JUNE, MAY, Payload, Shape


def invoice(
    object_id: str = "in_1",
    *,
    customer: str = CUSTOMER,
    status: str = "open",
    total: int = 2_280,
    tax: int = 0,
    subscription: str | None = None,
    shape: Shape = "endive",
    intent: str | None = None,
    charge: str | None = None,
    lines: list[Payload] | None = None,
    **changed: Any,
) -> Payload:
    """Of this total, tax included. paid: all of it, by card, once. intent, charge: only the old shape tells them."""
    paid = total if status == "paid" else 0
    common = {
        "id": object_id,
        "object": "invoice",
        "account_country": "FR",
        "amount_due": total,
        "amount_paid": paid,
        "amount_remaining": total - paid,
        "amount_shipping": 0,
        "attempt_count": int(status == "paid"),
        "attempted": status == "paid",
        "auto_advance": status in ("draft", "open"),
        "billing_reason": "subscription_cycle" if subscription else "manual",
        "collection_method": "charge_automatically",
        "created": AT,
        "currency": "eur",
        "customer": customer,
        "customer_email": "alice@example.com",
        "due_date": None,
        "ending_balance": None if status == "draft" else 0,
        "hosted_invoice_url": None if status == "draft" else f"https://invoice.stripe.com/i/{object_id}",
        "invoice_pdf": None if status == "draft" else f"https://pay.stripe.com/invoice/{object_id}/pdf",
        "last_finalization_error": None,
        "lines": listed(lines if lines is not None else [line(amount=total - tax, shape=shape)]),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None if status == "draft" else f"{object_id.upper()}-0001",
        "period_end": JUNE,
        "period_start": MAY,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": status,
        "status_transitions": {
            "finalized_at": None if status == "draft" else AT,
            "marked_uncollectible_at": AT if status == "uncollectible" else None,
            "paid_at": AT if status == "paid" else None,
            "voided_at": AT if status == "void" else None,
        },
        "subtotal": total - tax,
        "total": total,
        "total_excluding_tax": total - tax,
    }
    if shape == "acacia":
        common |= {
            "paid": status == "paid",
            "paid_out_of_band": False,
            "payment_intent": intent,
            "charge": charge,
            "subscription": subscription,
            "subscription_details": {"metadata": {} if subscription else None},
            "tax": tax or None,
            "total_tax_amounts": [{"amount": tax, "inclusive": False, "tax_rate": "txr_1"}] if tax else [],
            "discount": None,
        }
    else:
        of = {"metadata": {}, "subscription": subscription}
        common |= {
            "amount_overpaid": 0,
            "discounts": [],
            "parent": {"quote_details": None, "subscription_details": of, "type": "subscription_details"}
            if subscription
            else None,
            "total_taxes": [{"amount": tax, "tax_behavior": "exclusive", "type": "tax_rate_details"}] if tax else [],
        }
    return {**common, **changed}


def line(
    object_id: str = "il_1",
    *,
    amount: int = 1_900,
    description: str = "1 × Premium (at €19.00 / month)",
    price: str | None = None,
    subscription_item: str | None = None,
    proration: bool = False,
    shape: Shape = "endive",
    **changed: Any,
) -> Payload:
    """A line of an invoice: of a subscription's item where one is named, else an invoice item."""
    common = {
        "id": object_id,
        "object": "line_item",
        "amount": amount,
        "currency": "eur",
        "description": description,
        "discountable": True,
        "livemode": False,
        "metadata": {},
        "period": {"end": JUNE, "start": MAY},
        "quantity": 1,
    }
    if shape == "acacia":
        common |= {
            "price": {"id": price, "object": "price", "unit_amount": amount, "currency": "eur"} if price else None,
            "proration": proration,
            "subscription_item": subscription_item,
            "type": "subscription" if subscription_item else "invoiceitem",
        }
    else:
        kind = "subscription_item_details" if subscription_item else "invoice_item_details"
        of = {"subscription_item": subscription_item} if subscription_item else {"invoice_item": "ii_1"}
        pricing = {"price_details": {"price": price, "product": "prod_1"}, "type": "price_details"}
        common |= {
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": None,
                "type": kind,
                kind: {**of, "proration": proration},
            },
            "pricing": {**pricing, "unit_amount_decimal": str(amount)} if price else None,
            "taxes": [],
        }
    return {**common, **changed}


def listed(objects: list[Payload]) -> Payload:
    """A list as Stripe writes it inside another object."""
    return {"object": "list", "data": objects, "has_more": False, "total_count": len(objects), "url": "/v1/list"}


def invoice_payment(
    object_id: str = "inpay_1",
    *,
    invoice: str = "in_1",
    amount: int = 2_280,
    intent: str | None = "pi_1",
    **changed: Any,
) -> Payload:
    """Which payment has paid how much of an invoice. There is none of the old shape."""
    return {
        "id": object_id,
        "object": "invoice_payment",
        "amount_paid": amount,
        "amount_requested": amount,
        "created": AT,
        "currency": "eur",
        "invoice": invoice,
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent, "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": AT},
        **changed,
    }


def credit_note(
    object_id: str = "cn_1", *, invoice: str = "in_1", amount: int = 500, refunds: Iterable[str] = (),
    shape: Shape = "endive", **changed: Any,
) -> Payload:  # fmt: skip
    """What was taken off an invoice over there. refunds: ids of the refunds that it came with."""
    common = {
        "id": object_id,
        "object": "credit_note",
        "amount": amount,
        "created": AT,
        "currency": "eur",
        "customer": CUSTOMER,
        "invoice": invoice,
        "lines": listed([]),
        "livemode": False,
        "memo": None,
        "metadata": {},
        "number": f"{object_id.upper()}-CN-01",
        "out_of_band_amount": None,
        "reason": "order_change",
        "status": "issued",
        "subtotal": amount,
        "total": amount,
        "type": "post_payment" if list(refunds) else "pre_payment",
        "voided_at": None,
    }
    if shape == "acacia":
        return {**common, "refund": next(iter(refunds), None), **changed}
    given = [{"amount_refunded": amount, "refund": one, "type": "refund"} for one in refunds]
    post = amount if given else 0
    return {**common, "refunds": given, "pre_payment_amount": amount - post, "post_payment_amount": post, **changed}
