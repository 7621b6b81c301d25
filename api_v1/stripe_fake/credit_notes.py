"""Credit notes: what of a finalized invoice is taken back, and where it goes."""

from __future__ import annotations

from api_v1.stripe_fake import collecting, refunds
from api_v1.stripe_fake.changing import metadata, set_fields
from api_v1.stripe_fake.customers import change_balance
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.lines import rounded
from api_v1.stripe_fake.rendering import Obj, listed, rendered
from api_v1.stripe_fake.world import World

WAYS = ("refund_amount", "credit_amount", "out_of_band_amount")


def create(world: World, params: Obj) -> Obj:
    """Of an open invoice less is due; of a paid one the money goes back, by one way or another."""
    with world.undone_if_refused():
        return _create(world, params)


def _create(world: World, params: Obj) -> Obj:
    invoice, note = _draft(world, params, keep=True)
    post = note["post_payment_amount"]
    customer = world.get("customer", invoice["customer"])
    if note["pre_payment_amount"]:
        _less_due(world, invoice, note["pre_payment_amount"])
    if params.get("credit_amount"):
        moved = change_balance(
            world, customer, -params["credit_amount"], "credit_note", invoice["id"], note["currency"]
        )
        note["customer_balance_transaction"] = moved["id"]
    if params.get("refund_amount"):
        made = _refund(world, invoice, params["refund_amount"])
        note["refunds"].append(
            {"amount_refunded": made["amount"], "refund": made["id"], "type": "refund", "payment_record_refund": None}
        )
    for each in params.get("refunds", []):
        known = world.named("refund", each["refund"], "refunds")
        amount = each.get("amount_refunded", known["amount"])
        note["refunds"].append(
            {"amount_refunded": amount, "refund": known["id"], "type": "refund", "payment_record_refund": None}
        )
    invoice["post_payment_credit_notes_amount"] += post
    world.emit("credit_note.created", note)
    if note["pre_payment_amount"] and invoice["amount_remaining"] == 0 and invoice["status"] == "open":
        collecting.expect_no_more(world, invoice)
        collecting.settle(world, invoice)
    world.emit("invoice.updated", invoice)
    return note


def preview(world: World, params: Obj) -> Obj:
    return _draft(world, params, keep=False)[1]


def _draft(world: World, params: Obj, *, keep: bool) -> tuple[Obj, Obj]:
    invoice = world.named("invoice", params["invoice"], "invoice")
    if invoice["status"] not in {"open", "paid", "uncollectible"}:
        raise Refused(f"Credit notes can only be created for open or paid invoices; this one is {invoice['status']}.")
    amount = _amount(world, invoice, params)
    if amount <= 0:
        raise Refused(
            "The credit note's amount must be greater than zero.", code="parameter_invalid_integer", param="amount"
        )
    credited = sum(each["total"] for each in world.all("credit_note", invoice=invoice["id"], status="issued"))
    if credited + amount > invoice["total"]:
        raise Refused("The sum of credit notes cannot be greater than the invoice's total.", param="amount")
    before = min(amount, invoice["amount_remaining"]) if invoice["status"] != "paid" else 0
    _check_ways(params, amount - before)
    number = len(world.all("credit_note", invoice=invoice["id"])) + 1
    note = (world.add if keep else world.make)(
        "credit_note",
        "cn",
        amount=amount,
        currency=invoice["currency"],
        customer=invoice["customer"],
        effective_at=params.get("effective_at", world.now()),
        invoice=invoice["id"],
        metadata=metadata(params),
        number=f"{invoice['number']}-CN-{number:02d}",
        out_of_band_amount=params.get("out_of_band_amount"),
        pdf=f"{world.base_url}/credit_notes/{invoice['id']}/{number}",
        post_payment_amount=amount - before,
        pre_payment_amount=before,
        status="issued",
        subtotal=amount,
        subtotal_excluding_tax=amount,
        total=amount,
        total_excluding_tax=amount,
        total_taxes=[],
        type="pre_payment" if before == amount else "mixed" if before else "post_payment",
    )
    note["lines"] = listed(
        [_line(world, each, invoice) for each in params.get("lines", [])], f"/v1/credit_notes/{note['id']}/lines"
    )
    set_fields(note, params, {"memo", "reason"})
    return invoice, note


def _amount(world: World, invoice: Obj, params: Obj) -> int:
    if "amount" in params and "lines" in params:
        raise Refused("You may only specify one of these parameters: amount, lines.", code="parameters_exclusive")
    if "lines" in params:
        return sum(int(_line(world, each, invoice)["amount"]) for each in params["lines"])
    if "amount" in params:
        return int(params["amount"])
    if not any(name in params for name in (*WAYS, "refunds")):
        raise Refused("You must provide either amount or lines.", code="parameter_missing", param="amount")
    return _given_back(params)


def _given_back(params: Obj) -> int:
    """The sum of the ways that are named."""
    named = sum(params.get(name) or 0 for name in WAYS)
    return int(named + sum(each.get("amount_refunded", 0) for each in params.get("refunds", [])))


def _line(world: World, given: Obj, invoice: Obj) -> Obj:
    quantity = given.get("quantity", 1)
    amount = given.get("amount")
    if amount is None:
        source = next((line for line in invoice["_lines"] if line["id"] == given.get("invoice_line_item")), None)
        unit = given.get("unit_amount_decimal", given.get("unit_amount"))
        if unit is None and source is None:
            raise Refused("You must provide amount or unit_amount.", code="parameter_missing", param="lines")
        amount = rounded(unit * quantity) if unit is not None else source["amount"]  # type: ignore[index]
    return world.make(
        "credit_note_line_item",
        "cnli",
        amount=amount,
        description=given.get("description"),
        invoice_line_item=given.get("invoice_line_item"),
        quantity=quantity,
        tax_rates=[],
        taxes=[],
        type=given["type"],
    )


def _check_ways(params: Obj, after_payment: int) -> None:
    """What was paid already has to go somewhere, to the cent."""
    named = _given_back(params)
    if named != after_payment:
        message = f"The sum of credit amount, refund amount and out of band amount ({named}) must equal the credit note"
        raise Refused(f"{message} amount that is not applied to what is due ({after_payment}).", param="refund_amount")


def _less_due(world: World, invoice: Obj, amount: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += amount
    invoice["amount_due"] -= amount
    invoice["amount_remaining"] -= amount
    for payment in world.all("invoice_payment", invoice=invoice["id"], status="open"):
        payment["amount_requested"] = invoice["amount_remaining"]
        world.get("payment_intent", payment["payment"]["payment_intent"])["amount"] = invoice["amount_remaining"]


def _refund(world: World, invoice: Obj, amount: int) -> Obj:
    paid = world.all("invoice_payment", invoice=invoice["id"], status="paid")
    if not paid:
        raise Refused("This invoice has no payment to refund.", param="refund_amount")
    return refunds.create(world, {"payment_intent": paid[0]["payment"]["payment_intent"], "amount": amount})


def void(world: World, params: Obj, note_id: str) -> Obj:
    """Only while the invoice is open: then it is due again."""
    note = world.get("credit_note", note_id)
    invoice = world.get("invoice", note["invoice"])
    if note["status"] == "void":
        raise Refused("This credit note is already void.")
    if invoice["status"] != "open":
        raise Refused("You can only void a credit note of an open invoice.")
    before = rendered(world, note)
    _less_due(world, invoice, -note["pre_payment_amount"])
    note |= {"status": "void", "voided_at": world.now()}
    world.emit("credit_note.voided", note, before)
    world.emit("invoice.updated", invoice)
    return note


def update(world: World, params: Obj, note_id: str) -> Obj:
    note = world.get("credit_note", note_id)
    before = rendered(world, note)
    set_fields(note, params, {"memo", "metadata"})
    world.emit("credit_note.updated", note, before)
    return note


def list_lines(world: World, params: Obj, note_id: str) -> Obj:
    from api_v1.stripe_fake.lists import page

    return page(world, params, world.get("credit_note", note_id)["lines"]["data"], f"/v1/credit_notes/{note_id}/lines")
