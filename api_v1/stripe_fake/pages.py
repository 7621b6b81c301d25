"""Pages for people: checkout, the portal, an invoice to pay. As plain as can be."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from api_v1.stripe_fake import cards, checkout, collecting, subscription_changes
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj
from turf_saas.money import from_cents, is_currency

if TYPE_CHECKING:
    from api_v1.stripe_fake.fake import StripeFake
    from api_v1.stripe_fake.server import Handler

OFFERED = (
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeDeclinedLostCard",
    "pm_card_authenticationRequired",
    "pm_card_chargeCustomerFail",
)
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><body style="font-family:sans-serif;max-width:36rem;margin:2rem auto"><p>Stripe on loopback:
no money moves here.</p><h1>{title}</h1>{body}</body></html>"""


def serve(fake: StripeFake, handler: Handler, path: str, form: dict[str, str]) -> None:
    """The page, or what its button does."""
    matched = re.fullmatch(r"/(checkout|portal|pay)/(\w+)", path)
    try:
        if matched is None:
            raise Refused(f"There is no page {path}.", status=404)
        look, act = PAGES[matched[1]]
        with fake.world.lock:
            where = act(fake, matched[2], form) if handler.command == "POST" else None
            page = look(fake, matched[2])
    except Refused as refused:
        again = f'<p><a href="{escape(path)}">Back</a></p>' if matched else ""
        handler.answer(refused.status, _page("Refused", f"<p role=alert>{escape(str(refused))}</p>{again}"))
        return
    if where is None:
        handler.answer(200, page)
    else:
        handler.answer(303, "", {"Location": where})


def _page(title: str, body: str) -> str:
    return PAGE.format(title=escape(title), body=body)


def _button(label: str, **fields: str) -> str:
    hidden = "".join(
        f'<input type=hidden name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    return f"<form method=post>{hidden}<button>{escape(label)}</button></form>"


def _cards(verb: str) -> str:
    return "".join(_button(f"{verb} {name.removeprefix('pm_card_')}", card=name) for name in OFFERED)


def _chosen(form: dict[str, str]) -> str:
    card = form.get("card", "")
    if card not in cards.CARDS:
        raise Refused(f"There is no test card {card}.")
    return card


def _money(amount: int | None, currency: str | None) -> str:
    """25.68 EUR. A session that only asks for a card has no currency, and costs nothing."""
    code = (currency or "").upper()
    return f"{from_cents(amount or 0, code)} {code}" if is_currency(code) else "Nothing is charged now."


# -- checkout ----------------------------------------------------------------------------------------------


def _checkout(fake: StripeFake, session_id: str) -> str:
    session = fake.world.get("checkout.session", session_id)
    bought = "".join(f"<li>{item['quantity']} × {escape(item['description'])}</li>" for item in session["_line_items"])
    body = f"<ul>{bought}</ul><p>{_money(session['amount_total'], session['currency'])}</p>"
    if session["status"] != "open":
        return _page("Checkout", f"{body}<p>This session is {session['status']}.</p>")
    leave = session["cancel_url"]
    back = f'<p><a href="{escape(leave)}">Leave without paying</a></p>' if leave else ""
    return _page("Checkout", body + _cards("Pay with") + back)


def _pay_checkout(fake: StripeFake, session_id: str, form: dict[str, str]) -> str:
    refusal = checkout.complete(fake.world, session_id, card=_chosen(form))
    if refusal is not None:
        raise refusal
    after = fake.world.get("checkout.session", session_id)["success_url"] or f"/checkout/{session_id}"
    return str(after).replace("{CHECKOUT_SESSION_ID}", session_id)


# -- the portal --------------------------------------------------------------------------------------------


def _portal(fake: StripeFake, session_id: str) -> str:
    session = fake.world.get("billing_portal.session", session_id)
    rows = []
    for each in fake.world.all("subscription", customer=session["customer"]):
        names = ", ".join(_product_name(fake, item["price"]["product"]) for item in each["items"]["data"])
        rows.append(f"<li>{escape(names)}: {each['status']}{_choice(each)}</li>")
    back = f'<p><a href="{escape(session["return_url"])}">Back</a></p>' if session["return_url"] else ""
    return _page("Your subscriptions", f"<ul>{''.join(rows)}</ul><h2>Card</h2>{_cards('Use')}{back}")


def _product_name(fake: StripeFake, product_id: str) -> str:
    known = fake.world.objects.get(product_id)
    return str(known["name"] if known is not None else product_id)


def _choice(subscription: Obj) -> str:
    if subscription["status"] in {"canceled", "incomplete_expired"}:
        return ""
    if subscription["cancel_at_period_end"]:
        return " (ends with its period)" + _button("Keep it", keep=subscription["id"])
    return _button("End it with its period", cancel=subscription["id"])


def _use_portal(fake: StripeFake, session_id: str, form: dict[str, str]) -> str:
    from api_v1.stripe_fake import customers

    customer_id = fake.world.get("billing_portal.session", session_id)["customer"]
    for name, ends in (("cancel", True), ("keep", False)):
        if name in form:
            if fake.world.get("subscription", form[name])["customer"] != customer_id:
                raise Refused("This is another customer's subscription.", status=404)
            subscription_changes.update(fake.world, {"cancel_at_period_end": ends}, form[name])
            return f"/portal/{session_id}"
    card = cards.attach(fake.world, {"customer": customer_id}, _chosen(form))
    customers.update(fake.world, {"invoice_settings": {"default_payment_method": card["id"]}}, customer_id)
    return f"/portal/{session_id}"


# -- an invoice --------------------------------------------------------------------------------------------


def _invoice(fake: StripeFake, invoice_id: str) -> str:
    invoice = fake.world.get("invoice", invoice_id)
    body = f"<p>{_money(invoice['amount_remaining'], invoice['currency'])}: {invoice['status']}</p>"
    payable = invoice["status"] in {"open", "uncollectible"}
    return _page(f"Invoice {invoice['number'] or ''}", body + (_cards("Pay with") if payable else ""))


def _pay_invoice(fake: StripeFake, invoice_id: str, form: dict[str, str]) -> str:
    invoice = fake.world.get("invoice", invoice_id)
    if invoice["status"] not in {"open", "uncollectible"}:
        raise Refused(f"This invoice is {invoice['status']}.")
    card = cards.make(fake.world, _chosen(form), invoice["customer"])
    fake.world.emit("payment_method.attached", card)
    refusal = collecting.attempt(fake.world, invoice, card=card, present=True)
    if refusal is not None:
        raise refusal
    return f"/pay/{invoice_id}"


Look = Callable[["StripeFake", str], str]
Act = Callable[["StripeFake", str, dict[str, str]], str]
PAGES: dict[str, tuple[Look, Act]] = {
    "checkout": (_checkout, _pay_checkout),
    "portal": (_portal, _use_portal),
    "pay": (_invoice, _pay_invoice),
}
