"""What the fake answers: method, path, the SDK's name for the parameters, and the function that does it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from api_v1.stripe_fake import (
    accounts,
    cards,
    catalogue,
    checkout,
    credit_notes,
    customers,
    endpoints,
    invoices,
    lines,
    payouts,
    portal,
    previews,
    refunds,
    setup_intents,
    subscription_changes,
    subscriptions,
)
from api_v1.stripe_fake.lists import listing, retrieving
from api_v1.stripe_fake.rendering import Obj

Handler = Callable[..., Obj]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    params: str
    handler: Handler

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.path))


def _invoice_of_payment(world: Any, found: Obj, wanted: Obj) -> bool:
    kind = wanted["type"]
    return bool(found["payment"]["type"] == kind and found["payment"].get(kind) == wanted.get(kind))


def _type_in(_world: Any, found: Obj, wanted: list[str]) -> bool:
    return found["type"] in wanted


def _event_type(_world: Any, found: Obj, wanted: str) -> bool:
    return bool(re.fullmatch(re.escape(wanted).replace(r"\*", ".*"), found["type"]))


def _delivered(_world: Any, found: Obj, wanted: bool) -> bool:
    return (not found["_undelivered"]) is wanted


CUSTOMERS = [
    Route("GET", "/v1/account", "AccountRetrieveCurrentParams", accounts.retrieve),
    Route("POST", "/v1/customers", "CustomerCreateParams", customers.create),
    Route("GET", "/v1/customers", "CustomerListParams", listing("customer")),
    Route("GET", "/v1/customers/{id}", "CustomerRetrieveParams", retrieving("customer")),
    Route("POST", "/v1/customers/{id}", "CustomerUpdateParams", customers.update),
    Route("DELETE", "/v1/customers/{id}", "CustomerDeleteParams", customers.delete),
    Route("GET", "/v1/customers/{id}/payment_methods", "CustomerPaymentMethodListParams", cards.list_of_customer),
    Route(
        "GET", "/v1/customers/{id}/payment_methods/{id}", "CustomerPaymentMethodRetrieveParams", cards.of_path_customer
    ),
    Route(
        "POST",
        "/v1/customers/{id}/balance_transactions",
        "CustomerBalanceTransactionCreateParams",
        customers.create_balance_transaction,
    ),
    Route(
        "GET",
        "/v1/customers/{id}/balance_transactions",
        "CustomerBalanceTransactionListParams",
        customers.list_balance_transactions,
    ),
    Route(
        "GET",
        "/v1/customers/{id}/balance_transactions/{id}",
        "CustomerBalanceTransactionRetrieveParams",
        customers.retrieve_balance_transaction,
    ),
    Route("POST", "/v1/payment_methods", "PaymentMethodCreateParams", cards.create),
    Route("GET", "/v1/payment_methods", "PaymentMethodListParams", listing("payment_method")),
    Route("GET", "/v1/payment_methods/{id}", "PaymentMethodRetrieveParams", retrieving("payment_method")),
    Route("POST", "/v1/payment_methods/{id}", "PaymentMethodUpdateParams", cards.update),
    Route("POST", "/v1/payment_methods/{id}/attach", "PaymentMethodAttachParams", cards.attach),
    Route("POST", "/v1/payment_methods/{id}/detach", "PaymentMethodDetachParams", cards.detach),
]
CATALOGUE = [
    Route("POST", "/v1/products", "ProductCreateParams", catalogue.create_product),
    Route("GET", "/v1/products", "ProductListParams", listing("product")),
    Route("GET", "/v1/products/{id}", "ProductRetrieveParams", retrieving("product")),
    Route("POST", "/v1/products/{id}", "ProductUpdateParams", catalogue.update_product),
    Route("POST", "/v1/prices", "PriceCreateParams", catalogue.create_price),
    Route("GET", "/v1/prices", "PriceListParams", listing("price")),
    Route("GET", "/v1/prices/{id}", "PriceRetrieveParams", retrieving("price")),
    Route("POST", "/v1/prices/{id}", "PriceUpdateParams", catalogue.update_price),
    Route("POST", "/v1/tax_rates", "TaxRateCreateParams", catalogue.create_tax_rate),
    Route("GET", "/v1/tax_rates", "TaxRateListParams", listing("tax_rate")),
    Route("GET", "/v1/tax_rates/{id}", "TaxRateRetrieveParams", retrieving("tax_rate")),
]
INVOICES = [
    Route("POST", "/v1/invoices", "InvoiceCreateParams", invoices.create),
    Route("GET", "/v1/invoices", "InvoiceListParams", listing("invoice", subscription=invoices.of_subscription)),
    Route("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams", previews.create),
    Route("GET", "/v1/invoices/{id}", "InvoiceRetrieveParams", retrieving("invoice")),
    Route("POST", "/v1/invoices/{id}", "InvoiceUpdateParams", invoices.update),
    Route("DELETE", "/v1/invoices/{id}", "InvoiceDeleteParams", invoices.delete),
    Route("GET", "/v1/invoices/{id}/lines", "InvoiceLineItemListParams", lines.list_lines),
    Route("POST", "/v1/invoices/{id}/add_lines", "InvoiceAddLinesParams", lines.add_lines),
    Route("POST", "/v1/invoices/{id}/finalize", "InvoiceFinalizeInvoiceParams", invoices.finalize),
    Route("POST", "/v1/invoices/{id}/pay", "InvoicePayParams", invoices.pay),
    Route("POST", "/v1/invoices/{id}/send", "InvoiceSendInvoiceParams", invoices.send),
    Route("POST", "/v1/invoices/{id}/void", "InvoiceVoidInvoiceParams", invoices.void),
    Route(
        "POST", "/v1/invoices/{id}/mark_uncollectible", "InvoiceMarkUncollectibleParams", invoices.mark_uncollectible
    ),
    Route("POST", "/v1/invoiceitems", "InvoiceItemCreateParams", lines.create_item),
    Route("GET", "/v1/invoiceitems", "InvoiceItemListParams", lines.list_items),
    Route("GET", "/v1/invoiceitems/{id}", "InvoiceItemRetrieveParams", retrieving("invoiceitem")),
    Route("POST", "/v1/invoiceitems/{id}", "InvoiceItemUpdateParams", lines.update_item),
    Route("DELETE", "/v1/invoiceitems/{id}", "InvoiceItemDeleteParams", lines.delete_item),
    Route(
        "GET",
        "/v1/invoice_payments",
        "InvoicePaymentListParams",
        listing("invoice_payment", payment=_invoice_of_payment),
    ),
    Route("GET", "/v1/invoice_payments/{id}", "InvoicePaymentRetrieveParams", retrieving("invoice_payment")),
]
MONEY = [
    Route("GET", "/v1/payment_intents", "PaymentIntentListParams", listing("payment_intent")),
    Route("GET", "/v1/payment_intents/{id}", "PaymentIntentRetrieveParams", retrieving("payment_intent")),
    Route("GET", "/v1/charges", "ChargeListParams", listing("charge")),
    Route("GET", "/v1/charges/{id}", "ChargeRetrieveParams", retrieving("charge")),
    Route("POST", "/v1/refunds", "RefundCreateParams", refunds.create),
    Route("GET", "/v1/refunds", "RefundListParams", listing("refund")),
    Route("GET", "/v1/refunds/{id}", "RefundRetrieveParams", retrieving("refund")),
    Route("POST", "/v1/refunds/{id}", "RefundUpdateParams", refunds.update),
    Route("GET", "/v1/disputes", "DisputeListParams", listing("dispute")),
    Route("GET", "/v1/disputes/{id}", "DisputeRetrieveParams", retrieving("dispute")),
    Route("POST", "/v1/disputes/{id}", "DisputeUpdateParams", refunds.answer),
    Route("POST", "/v1/disputes/{id}/close", "DisputeCloseParams", refunds.give_up),
    Route("POST", "/v1/credit_notes", "CreditNoteCreateParams", credit_notes.create),
    Route("GET", "/v1/credit_notes", "CreditNoteListParams", listing("credit_note")),
    Route("GET", "/v1/credit_notes/preview", "CreditNotePreviewParams", credit_notes.preview),
    Route("GET", "/v1/credit_notes/{id}", "CreditNoteRetrieveParams", retrieving("credit_note")),
    Route("POST", "/v1/credit_notes/{id}", "CreditNoteUpdateParams", credit_notes.update),
    Route("GET", "/v1/credit_notes/{id}/lines", "CreditNoteLineItemListParams", credit_notes.list_lines),
    Route("POST", "/v1/credit_notes/{id}/void", "CreditNoteVoidCreditNoteParams", credit_notes.void),
    Route(
        "GET",
        "/v1/balance_transactions",
        "BalanceTransactionListParams",
        listing("balance_transaction", payout=payouts.in_payout),
    ),
    Route(
        "GET", "/v1/balance_transactions/{id}", "BalanceTransactionRetrieveParams", retrieving("balance_transaction")
    ),
    Route("POST", "/v1/payouts", "PayoutCreateParams", payouts.create),
    Route("GET", "/v1/payouts", "PayoutListParams", listing("payout")),
    Route("GET", "/v1/payouts/{id}", "PayoutRetrieveParams", retrieving("payout")),
    Route("POST", "/v1/setup_intents", "SetupIntentCreateParams", setup_intents.create),
    Route("GET", "/v1/setup_intents", "SetupIntentListParams", listing("setup_intent")),
    Route("GET", "/v1/setup_intents/{id}", "SetupIntentRetrieveParams", retrieving("setup_intent")),
]
SUBSCRIPTIONS = [
    Route("POST", "/v1/subscriptions", "SubscriptionCreateParams", subscriptions.create),
    Route("GET", "/v1/subscriptions", "SubscriptionListParams", subscriptions.list_all),
    Route("GET", "/v1/subscriptions/{id}", "SubscriptionRetrieveParams", retrieving("subscription")),
    Route("POST", "/v1/subscriptions/{id}", "SubscriptionUpdateParams", subscription_changes.update),
    Route("DELETE", "/v1/subscriptions/{id}", "SubscriptionCancelParams", subscription_changes.cancel),
    Route("POST", "/v1/subscriptions/{id}/resume", "SubscriptionResumeParams", subscription_changes.resume),
]
PAGES = [
    Route("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams", checkout.create),
    Route("GET", "/v1/checkout/sessions", "checkout.SessionListParams", listing("checkout.session")),
    Route("GET", "/v1/checkout/sessions/{id}", "checkout.SessionRetrieveParams", retrieving("checkout.session")),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", "checkout.SessionLineItemListParams", checkout.list_items),
    Route("POST", "/v1/checkout/sessions/{id}/expire", "checkout.SessionExpireParams", checkout.expire),
    Route("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams", portal.create),
    Route("GET", "/v1/billing_portal/configurations", "billing_portal.ConfigurationListParams", portal.configurations),
]
TOLD = [
    Route(
        "GET",
        "/v1/events",
        "EventListParams",
        listing("event", types=_type_in, type=_event_type, delivery_success=_delivered),
    ),
    Route("GET", "/v1/events/{id}", "EventRetrieveParams", retrieving("event")),
    Route("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams", endpoints.create),
    Route("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams", endpoints.list_all),
    Route("GET", "/v1/webhook_endpoints/{id}", "WebhookEndpointRetrieveParams", endpoints.retrieve),
    Route("POST", "/v1/webhook_endpoints/{id}", "WebhookEndpointUpdateParams", endpoints.update),
    Route("DELETE", "/v1/webhook_endpoints/{id}", "WebhookEndpointDeleteParams", endpoints.delete),
]
ROUTES = [*CUSTOMERS, *CATALOGUE, *INVOICES, *MONEY, *SUBSCRIPTIONS, *PAGES, *TOLD]
BY_METHOD = [(route.method, route.pattern, route) for route in ROUTES]


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    for verb, pattern, route in BY_METHOD:
        matched = pattern.fullmatch(path) if verb == method else None
        if matched:
            return route, matched.groups()
    return None
