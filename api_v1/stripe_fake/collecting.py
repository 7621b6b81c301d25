"""How an invoice's money comes in: intents, charges, their fees, retries."""

from __future__ import annotations

from decimal import Decimal

from api_v1.stripe_fake import cards
from api_v1.stripe_fake.customers import default_card
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.lines import rounded
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

DAY = 86_400
OF_A_CARD = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
FEE_PERCENT, FEE_FIXED = Decimal("1.5"), 25


# -- intents and charges -----------------------------------------------------------------------------------


def make_intent(world: World, amount: int, currency: str, customer_id: str | None, **values: object) -> Obj:
    intent = world.add(
        "payment_intent",
        "pi",
        amount=amount,
        currency=currency,
        customer=customer_id,
        amount_details={"tip": {}},
        capture_method="automatic",
        confirmation_method="automatic",
        metadata={},
        payment_method_options={},
        payment_method_types=["card"],
        status="requires_payment_method",
        **values,
    )
    intent["client_secret"] = f"{intent['id']}_secret_{world.new_id('x')[2:]}"
    world.emit("payment_intent.created", intent)
    return intent


def charge(world: World, intent: Obj, card: Obj, *, present: bool = False) -> Refused | None:
    """Charges the card; what the bank says when it refuses. `present`: the customer can answer 3-D Secure."""
    behaviour = cards.behaviour_of(card)
    intent["payment_method"] = card["id"]
    if behaviour.asks and not present:
        return _asked(world, intent, card)
    made = _make_charge(world, intent, card, behaviour)
    intent["latest_charge"] = made["id"]
    if behaviour.decline is not None:
        refusal = cards.declined(behaviour, charge=made["id"], payment_method=rendered(world, card))
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": dict(refusal.error),
            "payment_method": None,
        }
        refusal.error["payment_intent"] = rendered(world, intent)
        world.emit("charge.failed", made)
        world.emit("payment_intent.payment_failed", intent)
        return refusal
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "next_action": None,
    }
    world.emit("charge.succeeded", made)
    world.emit("payment_intent.succeeded", intent)
    return None


def _asked(world: World, intent: Obj, card: Obj) -> Refused:
    action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    intent |= {"status": "requires_action", "next_action": action}
    world.emit("payment_intent.requires_action", intent)
    return Refused(
        "Your card was declined. This transaction requires authentication.",
        code="authentication_required",
        status=402,
        kind="card_error",
        decline_code="authentication_required",
        payment_intent=rendered(world, intent),
        payment_method=rendered(world, card),
    )


def _make_charge(world: World, intent: Obj, card: Obj, behaviour: cards.Behaviour) -> Obj:
    fails = behaviour.decline is not None
    made = world.add(
        "charge",
        "ch",
        amount=intent["amount"],
        amount_captured=0 if fails else intent["amount"],
        billing_details=dict(card["billing_details"]),
        captured=not fails,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome=_outcome(behaviour),
        paid=not fails,
        payment_intent=intent["id"],
        payment_method=card["id"],
        payment_method_details={"type": "card", "card": {name: card["card"][name] for name in OF_A_CARD}},
        radar_options={},
        status="failed" if fails else "succeeded",
    )
    if fails:
        made |= {"failure_code": behaviour.code, "failure_message": str(cards.declined(behaviour))}
    else:
        fee = rounded(made["amount"] * FEE_PERCENT / 100) + FEE_FIXED
        booked = book(world, made["amount"], made["currency"], "charge", made["id"], fee=fee)
        made |= {"balance_transaction": booked["id"], "receipt_url": f"{world.base_url}/receipts/{made['id']}"}
    return made


def _outcome(behaviour: cards.Behaviour) -> Obj:
    fails = behaviour.decline is not None
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if fails else "approved_by_network",
        "reason": behaviour.decline,
        "risk_level": "normal",
        "seller_message": "The bank did not authorize the payment." if fails else "Payment complete.",
        "type": "issuer_declined" if fails else "authorized",
    }


def book(world: World, amount: int, currency: str, kind: str, source: str, *, fee: int = 0, category: str = "") -> Obj:
    """A line of Stripe's own account with the merchant: what came in, less its fee."""
    details = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return world.add(
        "balance_transaction",
        "txn",
        amount=amount,
        available_on=world.now() + 2 * DAY,
        balance_type="payments",
        currency=currency,
        fee=fee,
        fee_details=[details] if fee else [],
        net=amount - fee,
        reporting_category=category or kind,
        source=source,
        status="pending",
        type=kind,
        _payout=None,
    )


# -- an invoice's payments ---------------------------------------------------------------------------------


def expect(world: World, invoice: Obj) -> Obj:
    """The intent that an open invoice waits for, and the payment that joins them."""
    amount, words = invoice["amount_due"], f"Payment for Invoice {invoice['number']}"
    intent = make_intent(world, amount, invoice["currency"], invoice["customer"], description=words)
    return world.add(
        "invoice_payment",
        "inpay",
        amount_requested=amount,
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
        status_transitions={"canceled_at": None, "paid_at": None},
    )


def expect_no_more(world: World, invoice: Obj) -> None:
    for payment in world.all("invoice_payment", invoice=invoice["id"], status="open"):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = world.now()
        intent = world.get("payment_intent", payment["payment"]["payment_intent"])
        intent |= {"status": "canceled", "canceled_at": world.now(), "cancellation_reason": "void_invoice"}
        world.emit("payment_intent.canceled", intent)


def chosen_cards(world: World, invoice: Obj) -> list[str | None]:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    subscription = world.find("subscription", details.get("subscription") or "") or {}
    return [invoice["default_payment_method"], subscription.get("default_payment_method")]


def attempt(
    world: World, invoice: Obj, *, card: Obj | None = None, automatic: bool = False, present: bool = False
) -> Refused | None:
    """One try at the open invoice's money; what the bank says when it refuses.

    Any try counts as the first attempt, later ones only when Stripe itself makes them.
    """
    card = card or default_card(world, invoice["customer"], *chosen_cards(world, invoice))
    payment = world.all("invoice_payment", invoice=invoice["id"], status="open")[0]
    intent = world.get("payment_intent", payment["payment"]["payment_intent"])
    intent["amount"] = invoice["amount_remaining"]
    before = rendered(world, invoice)
    invoice["attempted"] = True
    if automatic or invoice["attempt_count"] == 0:
        invoice["attempt_count"] += 1
    refusal = (
        charge(world, intent, card, present=present) if card else Refused("There is no card to charge.", code="missing")
    )
    if refusal is None:
        paid = invoice["amount_remaining"]
        payment |= {"status": "paid", "amount_paid": paid}
        payment["status_transitions"]["paid_at"] = world.now()
        settle(world, invoice, paid=paid)
        world.emit("invoice_payment.paid", payment)
        world.emit("invoice.updated", invoice, before)
        return None
    _failed(world, invoice, card, refusal, before)
    return refusal


def confirm(world: World, invoice: Obj) -> None:
    """The customer has answered what the bank asked: the charge goes through."""
    payment = world.all("invoice_payment", invoice=invoice["id"], status="open")[0]
    intent = world.get("payment_intent", payment["payment"]["payment_intent"])
    assert intent["status"] == "requires_action", f"the intent is {intent['status']}"
    attempt(world, invoice, card=world.get("payment_method", intent["payment_method"]), present=True)


def settle(world: World, invoice: Obj, *, paid: int = 0) -> None:
    """Paid: by a charge, or because nothing is left to pay."""
    invoice["amount_paid"] += paid
    _close(world, invoice)


def settle_outside(world: World, invoice: Obj) -> None:
    """Paid by other means than Stripe: no charge, no fee."""
    invoice["amount_paid_off_stripe"] = (invoice["amount_paid_off_stripe"] or 0) + invoice["amount_remaining"]
    invoice["amount_paid"] += invoice["amount_remaining"]
    expect_no_more(world, invoice)
    _close(world, invoice)


def _close(world: World, invoice: Obj) -> None:
    from api_v1.stripe_fake import subscriptions

    invoice |= {
        "status": "paid",
        "amount_remaining": 0,
        "attempted": True,
        "next_payment_attempt": None,
        "auto_advance": False,
    }
    invoice["status_transitions"]["paid_at"] = world.now()
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    subscriptions.invoice_was_paid(world, invoice)


def _failed(world: World, invoice: Obj, card: Obj | None, refusal: Refused, before: Obj) -> None:
    from api_v1.stripe_fake import subscriptions

    code = refusal.error.get("decline_code")
    invoice["_declined"] = (card or {}).get("id") if code in cards.HARD_DECLINES else None
    plan_retry(world, invoice)
    asks = code == "authentication_required"
    world.emit("invoice.payment_failed", invoice)
    if asks:
        world.emit("invoice.payment_action_required", invoice)
    world.emit("invoice.updated", invoice, before)
    subscriptions.invoice_was_not_paid(world, invoice)


def plan_retry(world: World, invoice: Obj) -> None:
    """When Stripe tries again by itself, if it does."""
    by_itself = invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically"
    days = world.retry_days
    if not by_itself or invoice["_retries"] >= len(days):
        invoice["next_payment_attempt"] = None
    else:
        invoice["next_payment_attempt"] = world.now() + days[invoice["_retries"]] * DAY


def retry(world: World, invoice: Obj) -> None:
    """The planned try. A card that the bank has refused for good is not charged again."""
    invoice["_retries"] += 1
    card = default_card(world, invoice["customer"], *chosen_cards(world, invoice))
    if invoice["_declined"] is not None and card is not None and card["id"] == invoice["_declined"]:
        from api_v1.stripe_fake import subscriptions

        plan_retry(world, invoice)
        world.emit("invoice.updated", invoice)
        subscriptions.invoice_was_not_paid(world, invoice)
        return
    attempt(world, invoice, automatic=True)
