"""What of Stripe's a plan is sold for: the price that the plan names, or one that we have made for what it costs."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Literal, NamedTuple

from billing_db import Connection
from turf_saas import profiles, stripe_calls
from turf_saas.errors import Conflict
from turf_saas.invoice_totals import tax_of
from turf_saas.money import from_cents, is_currency
from turf_saas.plans import Plan
from turf_saas.seller import seller_of
from turf_saas.settings import Settings
from turf_saas.stripe_currencies import OTHER_UNIT, THREE_DECIMALS
from turf_saas.stripe_gateway import StripeGateway
from turf_saas.stripe_objects import APP, Json, cents, currency_of, dig
from turf_saas.stripe_run_lines import supplied_on
from turf_saas.tax import decide
from turf_saas.values import UserId

logger = logging.getLogger("turf_saas.billing")

PRICES = "prices"
SENTENCES = {"missing": "stripe_price_missing", "archived": "stripe_price_archived"}


class Difference(NamedTuple):
    """In what a price of Stripe's is not what it should be, and how both are said."""

    kind: Literal["missing", "archived", "terms"]
    theirs: str = ""
    ours: str = ""


def price_for(
    db: Connection, now: datetime, settings: Settings, stripe: StripeGateway, plan: Plan, user_id: UserId
) -> str:
    """Its id. One that we make is of what this buyer pays, VAT included, and says which version it is of.

    One that we have made, and that nobody can subscribe to any more, is made anew: the key may be another account's
    now. Conflict for a currency whose minor unit is another one at Stripe.
    """
    if plan.currency in OTHER_UNIT or plan.currency in THREE_DECIMALS:
        raise Conflict("stripe_currency", currency=plan.currency)
    if plan.stripe_price_id is not None:
        return plan.stripe_price_id
    gross = gross_cents(db, now, settings, plan, user_id)
    made = _make(db, now, stripe, plan, gross)
    if made.object is None:
        there = stripe.find(PRICES, made.id)
        if there is None or there.get("active") is not True:
            logger.warning("price %s of plan %s cannot be sold any more: another is made", made.id, plan.code)
            made = _make(db, now, stripe, plan, gross, again=True)
    return made.id


def _make(
    db: Connection, now: datetime, stripe: StripeGateway, plan: Plan, gross: int, *, again: bool = False
) -> stripe_calls.Answer:
    return stripe_calls.make(
        db,
        now,
        plan.tenant_id,
        of_plan(plan),
        f"price-{gross}-{stripe.mode}",
        {
            "currency": plan.currency.lower(),
            "unit_amount": gross,
            "recurring": {"interval": plan.interval},
            "product_data": {"name": plan.name},
            "tax_behavior": "inclusive",
            "metadata": {"app": APP, "plan_id": str(plan.id)},
        },
        stripe.create_price,
        again=again,
    )


def of_plan(plan: Plan) -> str:
    """The subject of the calls that make its prices."""
    return f"plan:{plan.id}"


def require_price(stripe: StripeGateway, plan: Plan) -> None:
    """Conflict, and an error in the log, where the price that the plan names is not what the plan costs."""
    if plan.stripe_price_id is None:
        return
    found = differences(plan, stripe.find(PRICES, plan.stripe_price_id), plan.amount_cents)
    if not found:
        return
    first, price = found[0], plan.stripe_price_id
    said = f"{first.theirs} instead of {first.ours}" if first.kind == "terms" else first.kind
    logger.error("plan %s is not sold: its price %s at Stripe is %s", plan.code, price, said)
    raise Conflict(
        "stripe_price_differs",
        sentence=SENTENCES.get(first.kind),
        plan=plan.code,
        price=price,
        theirs=first.theirs,
        ours=first.ours,
    )


def differences(plan: Plan, price: Json | None, wanted_cents: int) -> list[Difference]:
    """Where a price of Stripe's is not one of that amount, every month or year as the plan says."""
    if price is None:
        return [Difference("missing")]
    found = [Difference("archived")] if price.get("active") is not True else []
    recurring = price.get("recurring")
    interval, count = dig(recurring, "interval"), dig(recurring, "interval_count")
    amount, currency = cents(price.get("unit_amount")), currency_of(price)
    if (amount, currency, interval, count) != (wanted_cents, plan.currency, plan.interval, 1):
        often = "" if recurring is None else f" / {interval}" if count == 1 else f" / {count} {interval}"
        ours = f"{_money(wanted_cents, plan.currency)} / {plan.interval}"
        found.append(Difference("terms", f"{_money(amount, currency)}{often}", ours))
    return found


def _money(amount: int | None, currency: str | None) -> str:
    if amount is None or currency is None or not is_currency(currency):
        return f"? {currency}"
    return f"{from_cents(amount, currency):f} {currency}"


def list_made(db: Connection, plan: Plan, mode: str) -> list[tuple[str, int]]:
    """The prices that were made for it, and what each is to cost: what the plan costs some buyer, with his VAT."""
    found = []
    for step, price_id in stripe_calls.list_answers(db, of_plan(plan), "price-"):
        _, gross, made_in = step.split("-")
        if made_in == mode:
            found.append((price_id, int(gross)))
    return found


def gross_cents(db: Connection, now: datetime, settings: Settings, plan: Plan, user_id: UserId) -> int:
    """What the plan's fee costs this buyer today, with its VAT."""
    if plan.tax_behavior == "inclusive":
        return plan.amount_cents
    buyer = profiles.get_profile(db, settings, user_id)
    decision = decide(seller_of(settings), buyer, supplied_on(settings, None, now))
    return plan.amount_cents + tax_of(plan.amount_cents, decision.rate)
