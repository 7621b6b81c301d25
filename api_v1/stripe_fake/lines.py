"""Invoice items, the lines they become, and the totals of an invoice."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from api_v1.stripe_fake import catalogue
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.world import World

MAX_LINES = 250
MINIMUM = {"gbp": 30, "jpy": 50, "sek": 300, "nok": 300, "dkk": 250, "pln": 200, "czk": 1500}
SMALLEST = 50
LARGEST = 99_999_999


def rounded(exact: Decimal | int) -> int:
    return int(Decimal(exact).quantize(Decimal(1), ROUND_HALF_UP))


def minimum_of(currency: str) -> int:
    return MINIMUM.get(currency, SMALLEST)


# -- invoice items -----------------------------------------------------------------------------------------


def create_item(world: World, params: Obj) -> Obj:
    """An item of a draft, or one that waits for the customer's next invoice."""
    invoice = world.named("invoice", params["invoice"], "invoice") if "invoice" in params else None
    customer_id = params.get("customer") or (invoice or {}).get("customer")
    if customer_id is None:
        raise Refused("Missing required param: customer.", code="parameter_missing", param="customer")
    world.named("customer", customer_id, "customer")
    if invoice is not None:
        _must_take(world, invoice, customer_id)
    values = priced(world, params, (invoice or {}).get("currency"))
    if invoice is not None and values["currency"] != invoice["currency"]:
        theirs = f"You cannot create an invoice item with currency {values['currency']}"
        raise Refused(f"{theirs} on an invoice with currency {invoice['currency']}.", param="currency")
    subscription = (
        world.named("subscription", params["subscription"], "subscription") if "subscription" in params else None
    )
    item = _make_item(world, params, values, customer_id, subscription)
    if invoice is not None:
        put_on(world, item, invoice)
        _retold(world, invoice)
    return item


def _make_item(world: World, params: Obj, values: Obj, customer_id: str, subscription: Obj | None) -> Obj:
    at = world.now()
    details = {"subscription": subscription["id"], "subscription_item": None} if subscription else None
    item = world.add(
        "invoiceitem",
        "ii",
        customer=customer_id,
        date=at,
        discountable=params.get("discountable", values["amount"] >= 0),
        discounts=[],
        metadata=metadata(params),
        net_amount=values["amount"],
        parent={"type": "subscription_details", "subscription_details": details} if details else None,
        period=_period(params.get("period"), at),
        tax_rates=catalogue.tax_rates(world, params.get("tax_rates", [])),
        **values,
    )
    set_fields(item, params, {"description"})
    world.emit("invoiceitem.created", item)
    return item


def _period(given: Obj | None, at: int) -> Obj:
    if given and given["end"] < given["start"]:
        raise Refused("The period end must be greater than or equal to the start.", param="period[end]")
    return dict(given) if given else {"start": at, "end": at}


def priced(world: World, params: Obj, currency: str | None) -> Obj:
    """Amount, currency, pricing and quantity of an item, from whichever way it was given."""
    if "unit_amount_decimal" in params and "amount" in params:
        raise Refused(
            "You may only specify one of these parameters: amount, unit_amount_decimal.", code="parameters_exclusive"
        )
    quantity = Decimal(params["quantity_decimal"] if "quantity_decimal" in params else params.get("quantity", 1))
    if quantity < 0:
        raise Refused("Invalid non-negative integer", code="parameter_invalid_integer", param="quantity")
    asked = catalogue.currency_of(params.get("currency") or currency or "eur")
    pricing: Obj | None = None
    chosen = {"price": params["pricing"]["price"]} if "price" in params.get("pricing", {}) else params
    if "price_data" in params or "price" in chosen:
        price = catalogue.price_for(world, chosen, "pricing")
        asked, unit = price["currency"], Decimal(price["unit_amount_decimal"])
        details = {"price": price["id"], "product": price["product"]}
        pricing = {"price_details": details, "type": "price_details", "unit_amount_decimal": unit}
        exact = unit * quantity
    elif "unit_amount_decimal" in params:
        exact = params["unit_amount_decimal"] * quantity
    elif "amount" in params:
        if "quantity" in params or "quantity_decimal" in params:
            raise Refused(
                "You may only specify one of these parameters: amount, quantity.",
                code="parameters_exclusive",
                param="quantity",
            )
        exact = Decimal(params["amount"])
    else:
        raise Refused(
            "You must provide one of: amount, pricing, price_data, unit_amount_decimal.",
            code="parameter_missing",
            param="amount",
        )
    amount = rounded(exact)
    if abs(amount) > LARGEST:
        raise Refused(f"Amount must be no more than {LARGEST}", code="amount_too_large", param="amount")
    return {
        "amount": amount,
        "currency": asked,
        "pricing": pricing or _own_pricing(exact, quantity),
        "quantity": rounded(quantity),
        "quantity_decimal": quantity,
    }


def _own_pricing(exact: Decimal, quantity: Decimal) -> Obj:
    unit = exact / quantity if quantity else exact
    return {"price_details": None, "type": "price_details", "unit_amount_decimal": unit}


def _must_take(world: World, invoice: Obj, customer_id: str) -> None:
    if invoice["status"] != "draft":
        message = f"The invoice {invoice['id']} is finalized: invoice items can only be added to draft invoices."
        raise Refused(message, code="invoice_not_editable", param="invoice")
    if invoice["customer"] != customer_id:
        message = f"The invoice {invoice['id']} belongs to another customer than {customer_id}."
        raise Refused(message, param="customer")
    if len(invoice["_lines"]) >= MAX_LINES:
        raise Refused(f"An invoice can have at most {MAX_LINES} invoice items.", param="invoice")


def update_item(world: World, params: Obj, item_id: str) -> Obj:
    item = world.get("invoiceitem", item_id)
    invoice = _its_draft(world, item)
    changed: Obj = {
        name: params[name] for name in ("amount", "quantity", "unit_amount_decimal", "pricing") if name in params
    }
    if changed:
        item |= priced(world, changed, item["currency"])
        item["net_amount"] = item["amount"]
    set_fields(item, params, {"description", "metadata", "period", "discountable"})
    if invoice is not None:
        invoice["_lines"] = [line for line in invoice["_lines"] if _item_of(line) != item_id]
        put_on(world, item, invoice)
        _retold(world, invoice)
    return item


def delete_item(world: World, params: Obj, item_id: str) -> Obj:
    item = world.get("invoiceitem", item_id)
    invoice = _its_draft(world, item)
    if invoice is not None:
        invoice["_lines"] = [line for line in invoice["_lines"] if _item_of(line) != item_id]
        _retold(world, invoice)
    del world.objects[item_id]
    world.emit("invoiceitem.deleted", item)
    return {"id": item_id, "object": "invoiceitem", "deleted": True}


def _its_draft(world: World, item: Obj) -> Obj | None:
    if item["invoice"] is None:
        return None
    invoice = world.get("invoice", item["invoice"])
    if invoice["status"] != "draft":
        raise Refused(
            f"The invoice {invoice['id']} is finalized, and its items can no longer change.",
            code="invoice_not_editable",
        )
    return invoice


def _item_of(line: Obj) -> str | None:
    details = (line["parent"] or {}).get("invoice_item_details") or {}
    return details.get("invoice_item")


def put_on(world: World, item: Obj, invoice: Obj) -> Obj:
    """The line that the item is on the invoice."""
    item["invoice"] = invoice["id"]
    subscription = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
    details = {
        "invoice_item": item["id"],
        "proration": item["proration"],
        "proration_details": {"credited_items": None} if item["proration"] else None,
        "subscription": subscription,
    }
    parent = {"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None}
    same = ("amount", "currency", "description", "discountable", "metadata", "period", "pricing", "quantity")
    values = {name: item[name] for name in (*same, "quantity_decimal")}
    return add_line(world, invoice, item["tax_rates"] or [], parent=parent, subscription=subscription, **values)


def add_line(world: World, invoice: Obj, rates: list[Obj], **values: Any) -> Obj:
    line = world.make("line_item", "il", invoice=invoice["id"], discounts=[], discount_amounts=[], **values)
    line |= {"subtotal": line["amount"], "pretax_credit_amounts": [], "_rates": rates}
    line["metadata"] = line["metadata"] or {}
    invoice["_lines"].append(line)
    return line


def add_lines(world: World, params: Obj, invoice_id: str) -> Obj:
    """Several at once: a pending item each, or one described here."""
    invoice = world.get("invoice", invoice_id)
    with world.undone_if_refused():
        for each in params["lines"]:
            _must_take(world, invoice, invoice["customer"])
            if "invoice_item" in each:
                item = world.named("invoiceitem", each["invoice_item"], "lines")
                if item["invoice"] is not None:
                    raise Refused(f"The invoice item {item['id']} is on an invoice already.", param="lines")
            else:
                values = priced(world, each, invoice["currency"])
                item = _make_item(world, each, values, invoice["customer"], None)
            put_on(world, item, world.objects[invoice_id])
    _retold(world, world.objects[invoice_id])
    return world.objects[invoice_id]


def list_lines(world: World, params: Obj, invoice_id: str) -> Obj:
    from api_v1.stripe_fake.lists import page

    return page(world, params, world.get("invoice", invoice_id)["_lines"], f"/v1/invoices/{invoice_id}/lines")


def _retold(world: World, invoice: Obj) -> None:
    before = rendered(world, invoice)
    retotal(world, invoice)
    world.emit("invoice.updated", invoice, before)


# -- totals ------------------------------------------------------------------------------------------------


def retotal(world: World, invoice: Obj) -> None:
    """Totals from the lines, and what of them is due after the customer's balance."""
    by_rate: dict[str, Obj] = {}
    inclusive = exclusive = 0
    for line in invoice["_lines"]:
        line["taxes"] = [_tax(line["amount"], rate) for rate in line["_rates"] or invoice["default_tax_rates"]]
        for tax in line["taxes"]:
            inclusive += tax["amount"] * (tax["tax_behavior"] == "inclusive")
            exclusive += tax["amount"] * (tax["tax_behavior"] == "exclusive")
            known = by_rate.setdefault(tax["tax_rate_details"]["tax_rate"], tax | {"amount": 0, "taxable_amount": 0})
            known["amount"] += tax["amount"]
            known["taxable_amount"] += tax["taxable_amount"]
    subtotal = sum(line["amount"] for line in invoice["_lines"])
    invoice |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - inclusive,
        "total": subtotal + exclusive,
        "total_excluding_tax": subtotal - inclusive,
        "total_taxes": list(by_rate.values()),
        "total_discount_amounts": [],
    }
    due, _ = due_and_left(world, invoice)
    invoice |= {"amount_due": due, "amount_remaining": due}


def due_and_left(world: World, invoice: Obj) -> tuple[int, int]:
    """What is to be paid, and the customer's balance after it. What is too small to be charged waits in the balance."""
    customer = world.find("customer", invoice["customer"]) or {}
    invoice["starting_balance"] = customer.get("balance") or 0
    owed = invoice["total"] + invoice["starting_balance"]
    if invoice["total"] == 0:
        return 0, invoice["starting_balance"]
    if owed < minimum_of(invoice["currency"]):
        return 0, owed
    return owed, 0


def _tax(amount: int, rate: Obj) -> Obj:
    percent = Decimal(str(rate["percentage"]))
    base = 100 + percent if rate["inclusive"] else Decimal(100)
    tax = rounded(amount * percent / base)
    return {
        "amount": tax,
        "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": "standard_rated",
        "taxable_amount": amount - tax if rate["inclusive"] else amount,
        "type": "tax_rate_details",
    }


def pending_items(world: World, customer_id: str, currency: str) -> list[Obj]:
    """What waits for the next invoice, the oldest first."""
    return world.oldest_first("invoiceitem", customer=customer_id, currency=currency, invoice=None)


def list_items(world: World, params: Obj) -> Obj:
    """`pending=true`: those that no invoice has yet."""
    from api_v1.stripe_fake.lists import page, within

    found = [
        item
        for item in world.all("invoiceitem")
        if params.get("customer") in {None, item["customer"]}
        and params.get("invoice") in {None, item["invoice"]}
        and params.get("pending") in {None, item["invoice"] is None}
        and ("created" not in params or within(world, item, params["created"], "date"))
    ]
    return page(world, params, found, "/v1/invoiceitems")
