"""What is said about payment services, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

PAYMENT_MESSAGES: dict[str, dict[str, str]] = {
    # -- what a gateway does not do
    "gateway_failed": {
        "fr": "Le service de paiement n'a pas fait ce qui était demandé. Réessayez plus tard.",
        "en": "The payment service did not do what was asked. Try again later.",
    },
    "card_declined": {
        "fr": "Le paiement a été refusé par la banque.",
        "en": "The payment was declined by the bank.",
    },
    # -- the lines of an invoice at Stripe that ours does not have as such
    "item_vat": {"fr": "TVA {rate} %", "en": "VAT {rate} %"},
    "item_lines": {"fr": "{many} lignes, sans la TVA", "en": "{many} lines, without VAT"},
    "item_settled": {"fr": "Déjà réglé", "en": "Settled already"},
    "item_carried": {"fr": "Facture {number} (reportée)", "en": "Invoice {number} (carried forward)"},
    # -- what Stripe tells us
    "stripe_not_configured": {
        "fr": "Stripe n'est pas configuré ici.",
        "en": "Stripe is not configured here.",
    },
    "stripe_signature_invalid": {
        "fr": "Cette requête n'est pas signée par Stripe, ou elle est trop ancienne.",
        "en": "This request is not signed by Stripe, or is too old.",
    },
    "stripe_event_invalid": {
        "fr": "Ce n'est pas un événement de Stripe.",
        "en": "This is no event of Stripe's.",
    },
    "stripe_event_not_found": {
        "fr": "Aucun événement de Stripe {event} n'est connu ici.",
        "en": "No event {event} of Stripe's is known here.",
    },
    "stripe_event_settled": {
        "fr": "L'événement {event} est déjà traité.",
        "en": "Event {event} is settled already.",
    },
}
