"""Every answer has the fields that the SDK declares for its object, and no others."""

from __future__ import annotations

import typing
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe

from api_v1.stripe_fake import StripeFake
from api_v1.stripe_fake.shapes import ABSENT, CLASSES, KEPT, annotations_of
from tests.stripe import paying_customer
from tests.stripe_fake.test_invoices import open_invoice
from tests.stripe_fake.test_pages import session_for
from tests.stripe_fake.test_subscriptions import price, subscribe

INNER = {"item", "list"}


def a_little_of_everything(fake: StripeFake, client: stripe.StripeClient) -> None:
    """An object of every kind, in most of its states."""
    fake.set_clock(datetime(2027, 1, 1, tzinfo=UTC))
    v1, customer = client.v1, paying_customer(client, "pm_card_refundFail", metadata={"a": "b"})
    paid = open_invoice(client, customer, 10_000, 500, advance=True)
    v1.invoices.void_invoice(open_invoice(client, customer, 900).id)
    line: Any = {"type": "custom_line_item", "description": "x", "quantity": 1, "unit_amount": 500}
    v1.credit_notes.create({"invoice": paid.id, "lines": [line], "refund_amount": 400, "credit_amount": 100})
    charge = v1.charges.list().data[0]
    fake.fail_refund(v1.refunds.create({"charge": charge.id, "amount": 100}).id)
    fake.close_dispute(fake.dispute(charge.id)["id"], "won")
    failing = paying_customer(client, "pm_card_chargeCustomerFail")
    open_invoice(client, failing, 700, advance=True)
    subscribe(client, customer, price(client, 4_900))
    subscribe(client, customer, price(client, 4_900), trial_period_days=5)
    fake.complete_checkout(session_for(client).id)
    fake.complete_checkout(session_for(client, "payment").id)
    v1.billing_portal.sessions.create({"customer": customer})
    v1.setup_intents.create({"customer": customer, "payment_method": "pm_card_visa", "confirm": True})
    v1.tax_rates.create({"display_name": "TVA", "inclusive": False, "percentage": 20.0})
    v1.webhook_endpoints.create({"url": "https://x.example", "enabled_events": ["*"]})
    v1.accounts.retrieve_current()
    fake.move_clock(datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=40))
    fake.pay_out()


def every_object(value: Any) -> typing.Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("object"), str) and value["object"] not in INNER:
            yield value
        for inner in value.values():
            yield from every_object(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from every_object(inner)


def misfits(shown: dict[str, Any]) -> list[str]:
    """What is too much, what is missing, and what is empty though it may not be."""
    kind = shown["object"]
    declared = annotations_of(kind)
    needed = KEPT.get(kind, declared.keys() - ABSENT.get(kind, set()))
    wrong = [f"{kind}.{name} is not declared" for name in shown.keys() - declared.keys() - {"deleted"}]
    wrong += [f"{kind}.{name} is missing" for name in needed - shown.keys()]
    for name in shown.keys() & declared.keys():
        may_be_none = type(None) in typing.get_args(declared[name])
        if not may_be_none and shown[name] in (None, ""):
            wrong.append(f"{kind}.{name} is empty")
        wrong += [
            f"{kind}.{name}{each}"
            for each in (*foreign_words(declared[name], shown[name]), *nested(declared[name], shown[name]))
        ]
    return wrong


def foreign_words(declared: Any, value: Any) -> list[str]:
    """A word that is none of those declared."""
    literals = [
        declared,
        *typing.get_args(declared),
        *(inner for each in typing.get_args(declared) for inner in typing.get_args(each)),
    ]
    words = [word for each in literals if typing.get_origin(each) is typing.Literal for word in typing.get_args(each)]
    return [f" is {value!r}"] if words and isinstance(value, str) and value not in words else []


def nested(declared: Any, value: Any) -> list[str]:
    """The same of what an object holds: its status_transitions, its parent."""
    if isinstance(value, list):
        inside = next(iter(typing.get_args(declared)), None)
        inside = next(iter(typing.get_args(inside)), None) if typing.get_origin(declared) is typing.Union else inside
        return [f"[]{wrong}" for each in value for wrong in nested(inside, each)]
    kinds = [
        each
        for each in (declared, *typing.get_args(declared))
        if isinstance(each, type) and issubclass(each, stripe.StripeObject)
    ]
    if not isinstance(value, dict) or not kinds or kinds[0].__name__ in {"UntypedStripeObject", "ListObject"}:
        return []
    fields: dict[str, Any] = kinds[0].__annotations__
    wrong = [f".{name} is not declared" for name in value.keys() - fields.keys()]
    for name, each in fields.items():
        wrong += [f".{name} is missing"] if name not in value and type(None) not in typing.get_args(each) else []
        if name in value:
            wrong += [f".{name}{more}" for more in (*foreign_words(each, value[name]), *nested(each, value[name]))]
    return wrong


def test_every_object_and_every_event_has_todays_shape(
    stripe_fake: StripeFake, stripe_client: stripe.StripeClient
) -> None:
    a_little_of_everything(stripe_fake, stripe_client)
    shown = list(every_object(list(stripe_fake.objects.values())))
    kinds = {each["object"] for each in shown}
    assert kinds == set(CLASSES), "an object of every kind is there"
    wrong = sorted({wrong for each in shown if not each.get("deleted") for wrong in misfits(each)})
    assert wrong == [], "\n".join(wrong)


def test_no_answer_holds_what_only_the_fake_knows(stripe_fake: StripeFake, stripe_client: stripe.StripeClient) -> None:
    a_little_of_everything(stripe_fake, stripe_client)
    assert '"_' not in repr(stripe_fake.events).replace("'", '"')
    assert '"_' not in repr([request.answer for request in stripe_fake.requests]).replace("'", '"')
