"""Invoices, from the draft to paid, void or given up."""

from __future__ import annotations

from typing import Any

from api_v1.stripe_fake import cards, catalogue, collecting, lines
from api_v1.stripe_fake.changing import set_fields
from api_v1.stripe_fake.customers import change_balance, default_card
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

DAY, HOUR = 86_400, 3_600
OF_A_DRAFT = frozenset(
    {"collection_method", "days_until_due", "number", "description", "footer", "custom_fields", "discounts", "issuer"}
    | {"default_tax_rates", "effective_at", "automatic_tax", "account_tax_ids", "statement_descriptor", "rendering"}
    | {"on_behalf_of", "transfer_data", "application_fee_amount", "shipping_cost", "shipping_details"}
)
ALWAYS = frozenset({"metadata", "auto_advance", "due_date", "payment_settings"})


def create(world: World, params: Obj) -> Obj:
    """A draft; empty, unless the customer's pending items are asked for."""
    if "customer" not in params:
        raise Refused("Missing required param: customer.", code="parameter_missing", param="customer")
    customer = world.named("customer", params["customer"], "customer")
    _check_terms(params, params.get("collection_method", "charge_automatically"))
    _check_number(world, params)
    currency = catalogue.currency_of(params.get("currency") or customer["currency"] or "eur")
    subscription = (
        world.named("subscription", params["subscription"], "subscription") if "subscription" in params else None
    )
    invoice = draft(
        world, customer, currency, subscription, reason="manual", auto_advance=params.get("auto_advance", False)
    )
    set_fields(
        invoice, params, (OF_A_DRAFT | ALWAYS) - {"default_tax_rates", "days_until_due", "auto_advance", "issuer"}
    )
    invoice["default_tax_rates"] = catalogue.tax_rates(world, params.get("default_tax_rates", []))
    invoice["_days_until_due"] = params.get("days_until_due")
    _set_due(world, invoice)
    if params.get("default_payment_method"):
        card = cards.of_customer(world, params["default_payment_method"], customer["id"])
        invoice["default_payment_method"] = card["id"]
    if params.get("pending_invoice_items_behavior") == "include":
        for item in lines.pending_items(world, customer["id"], currency):
            lines.put_on(world, item, invoice)
    lines.retotal(world, invoice)
    world.emit("invoice.created", invoice)
    return invoice


def draft(
    world: World,
    customer: Obj,
    currency: str,
    subscription: Obj | None,
    *,
    reason: str,
    auto_advance: bool,
    keep: bool = True,
) -> Obj:
    """An empty draft, of which nobody has been told."""
    at = world.now()
    parent = None
    if subscription is not None:
        details = {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
            "subscription_proration_date": None,
        }
        parent = {"type": "subscription_details", "subscription_details": details, "quote_details": None}
    method = (subscription or {}).get("collection_method", "charge_automatically")
    return (world.add if keep else world.make)(
        "invoice",
        "in",
        account_country="FR",
        account_name="Fake",
        auto_advance=auto_advance,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        automatically_finalizes_at=at + HOUR if auto_advance else None,
        billing_reason=reason,
        collection_method=method,
        currency=currency,
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_tax_exempt=customer["tax_exempt"],
        customer_tax_ids=[],
        issuer={"type": "self"},
        metadata={},
        parent=parent,
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=at,
        period_start=at,
        status="draft",
        status_transitions={"finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None},
        _lines=[],
        _days_until_due=(subscription or {}).get("days_until_due"),
        _retries=0,
        _declined=None,
        _overdue=False,
    )


def _check_terms(params: Obj, method: str) -> None:
    terms = [name for name in ("days_until_due", "due_date") if params.get(name) not in {None, ""}]
    if method == "send_invoice" and not terms:
        message = "If collection_method is 'send_invoice', you must specify `days_until_due` or `due_date`"
        raise Refused(message, code="parameter_missing", param="days_until_due")
    if method == "charge_automatically" and terms:
        raise Refused(
            "You can only specify `days_until_due` if invoice collection_method is 'send_invoice'.", param=terms[0]
        )
    if len(terms) > 1:
        raise Refused(
            "You may only specify one of these parameters: days_until_due, due_date.", code="parameters_exclusive"
        )


def _check_number(world: World, params: Obj, of_invoice: str | None = None) -> None:
    wanted = params.get("number")
    if wanted and any(each["number"] == wanted and each["id"] != of_invoice for each in world.all("invoice")):
        raise Refused(f"The number {wanted} is already in use by another invoice.", param="number")


def _set_due(world: World, invoice: Obj) -> None:
    if invoice["collection_method"] == "send_invoice" and invoice["_days_until_due"] is not None:
        invoice["due_date"] = world.now() + invoice["_days_until_due"] * DAY


def update(world: World, params: Obj, invoice_id: str) -> Obj:
    """A draft is free to change; of a finalized invoice neither amounts nor terms are."""
    invoice = world.get("invoice", invoice_id)
    fixed = sorted(params.keys() & OF_A_DRAFT)
    if invoice["status"] != "draft" and fixed:
        message = f"Finalized invoices can't be updated in this way: {fixed[0]}"
        raise Refused(message, code="invoice_not_editable", param=fixed[0])
    _check_number(world, params, invoice_id)
    before = rendered(world, invoice)
    set_fields(invoice, params, (OF_A_DRAFT | ALWAYS) - {"default_tax_rates", "days_until_due", "issuer"})
    if "default_tax_rates" in params:
        invoice["default_tax_rates"] = catalogue.tax_rates(world, params["default_tax_rates"] or [])
    if "days_until_due" in params:
        invoice["_days_until_due"] = params["days_until_due"]
        _set_due(world, invoice)
    if params.get("default_payment_method"):
        card = cards.of_customer(world, params["default_payment_method"], invoice["customer"])
        invoice["default_payment_method"] = card["id"]
    if invoice["status"] == "draft":
        invoice["automatically_finalizes_at"] = world.now() + HOUR if invoice["auto_advance"] else None
        lines.retotal(world, invoice)
    world.emit("invoice.updated", invoice, before)
    return invoice


def delete(world: World, params: Obj, invoice_id: str) -> Obj:
    invoice = world.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        raise Refused("You can only delete draft invoices.", code="invoice_not_editable")
    if invoice["parent"] is not None:
        raise Refused("You can only delete draft invoices that are not part of a subscription.")
    for item in world.all("invoiceitem", invoice=invoice_id):
        del world.objects[item["id"]]
    del world.objects[invoice_id]
    world.emit("invoice.deleted", invoice)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


def finalize(world: World, params: Obj, invoice_id: str) -> Obj:
    """Open, with its number; charged at once when it advances by itself and there is a card."""
    invoice = world.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        raise Refused("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    if "auto_advance" in params:
        invoice["auto_advance"] = params["auto_advance"]
    open_up(world, invoice)
    if (
        invoice["status"] == "open"
        and invoice["auto_advance"]
        and invoice["collection_method"] == "charge_automatically"
    ):
        collecting.attempt(world, invoice, automatic=True)
    return invoice


def open_up(world: World, invoice: Obj) -> None:
    """The draft's end: number, due date, balance. What leaves nothing to pay is paid."""
    at, customer = world.now(), world.get("customer", invoice["customer"])
    before = rendered(world, invoice)
    lines.retotal(world, invoice)
    due, left = lines.due_and_left(world, invoice)
    if invoice["number"] is None:
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        customer["next_invoice_sequence"] += 1
    if left != invoice["starting_balance"]:
        moved = left - invoice["starting_balance"]
        change_balance(world, customer, moved, "applied_to_invoice", invoice["id"], invoice["currency"])
    customer["currency"] = customer["currency"] or invoice["currency"]
    _set_due(world, invoice)
    hosted = f"{world.base_url}/pay/{invoice['id']}"
    invoice |= {
        "status": "open",
        "amount_due": due,
        "amount_remaining": due,
        "automatically_finalizes_at": None,
        "effective_at": invoice["effective_at"] or at,
        "ending_balance": left,
        "hosted_invoice_url": hosted,
        "invoice_pdf": f"{hosted}/pdf",
    }
    invoice["status_transitions"]["finalized_at"] = at
    if due:
        collecting.expect(world, invoice)
    world.emit("invoice.finalized", invoice)
    if not due:
        collecting.settle(world, invoice)
    world.emit("invoice.updated", invoice, before)


def pay(world: World, params: Obj, invoice_id: str) -> Obj:
    invoice = world.get("invoice", invoice_id)
    if invoice["status"] == "draft":
        open_up(world, invoice)
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise Refused("Invoice is already paid")
    if invoice["status"] == "void":
        raise Refused("This invoice is void and can no longer be paid.")
    if params.get("paid_out_of_band"):
        collecting.settle_outside(world, invoice)
        return invoice
    card = None
    if "payment_method" in params:
        card = cards.of_customer(world, params["payment_method"], invoice["customer"], "payment_method")
    elif default_card(world, invoice["customer"], *collecting.chosen_cards(world, invoice)) is None:
        message = "There is no `default_payment_method` set on this Customer or Invoice."
        raise Refused(f"{message} Please provide a payment method to pay with.", code="missing")
    refusal = collecting.attempt(world, invoice, card=card)
    if refusal is not None:
        raise refusal
    return invoice


def void(world: World, params: Obj, invoice_id: str) -> Obj:
    return _end(world, invoice_id, "void", "voided_at", "invoice.voided", {"open", "uncollectible"})


def mark_uncollectible(world: World, params: Obj, invoice_id: str) -> Obj:
    return _end(world, invoice_id, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible", {"open"})


def _end(world: World, invoice_id: str, status: str, stamp: str, event_type: str, possible: set[str]) -> Obj:
    invoice = world.get("invoice", invoice_id)
    if invoice["status"] not in possible:
        message = f"You can only pass in {' or '.join(sorted(possible))} invoices. This invoice is {invoice['status']}."
        raise Refused(message, code="status_transition_invalid")
    before = rendered(world, invoice)
    invoice |= {"status": status, "next_payment_attempt": None, "auto_advance": False}
    invoice["status_transitions"][stamp] = world.now()
    if status == "void":
        invoice["amount_remaining"] = 0
        collecting.expect_no_more(world, invoice)
        _give_balance_back(world, invoice)
    world.emit(event_type, invoice)
    world.emit("invoice.updated", invoice, before)
    return invoice


def _give_balance_back(world: World, invoice: Obj) -> None:
    moved = invoice["starting_balance"] - (invoice["ending_balance"] or 0)
    customer = world.find("customer", invoice["customer"])
    if moved and customer is not None and not customer.get("deleted"):
        change_balance(world, customer, moved, "unapplied_from_invoice", invoice["id"], invoice["currency"])


def send(world: World, params: Obj, invoice_id: str) -> Obj:
    invoice = world.get("invoice", invoice_id)
    if invoice["collection_method"] != "send_invoice":
        raise Refused("You can only manually send an invoice with collection_method 'send_invoice'.")
    if invoice["status"] == "draft":
        open_up(world, invoice)
    if invoice["status"] not in {"open", "paid"}:
        raise Refused(f"You cannot send an invoice that is {invoice['status']}.")
    world.emit("invoice.sent", invoice)
    return invoice


def of_subscription(world: World, invoice: Obj, wanted: Any) -> bool:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return bool(details.get("subscription") == wanted)
