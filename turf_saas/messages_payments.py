"""What is said about payment services, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

PAYMENT_MESSAGES: dict[str, dict[str, str]] = {
    # -- what a gateway does not do
    "gateway_failed": {
        "fr": "Le service de paiement n'a pas fait ce qui était demandé. Réessayez plus tard.",
        "en": "The payment service did not do what was asked. Try again later.",
    },
    "gateway_refused": {
        "fr": "Le service de paiement refuse ce qui était demandé, et le refusera encore : qui tient ce service doit "
        "y regarder. Son journal dit pourquoi.",
        "en": "The payment service refuses what was asked, and will refuse it again: whoever runs this app has to look "
        "at it. Its log says why.",
    },
    "gateway_does_not_answer": {
        "fr": "Le service de paiement ({address}) ne le fait pas maintenant : {why}. Réessayez plus tard.",
        "en": "The payment service ({address}) does not do it now: {why}. Try again later.",
    },
    "gateway_says_no": {
        "fr": "Le service de paiement ({address}) refuse : {why}",
        "en": "The payment service ({address}) refuses: {why}",
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
    # -- pages of Stripe's
    "stripe_url_missing": {
        "fr": "{setting} n'est pas défini : Stripe doit savoir où renvoyer le client.",
        "en": "{setting} is not set: Stripe has to know where to send the customer back to.",
    },
    "checkout_processing": {
        "fr": "Un paiement est en cours de traitement : l'abonnement commence dès qu'il est confirmé.",
        "en": "A payment is being processed: the subscription begins as soon as it is confirmed.",
    },
    "checkout_changed": {
        "fr": "Un autre paiement a été ouvert entre-temps. Réessayez.",
        "en": "Another checkout was opened meanwhile. Try again.",
    },
    "stripe_price_differs": {
        "fr": "La formule {plan} vaut {ours}, son prix {price} chez Stripe {theirs} : elle n'est pas vendue ainsi.",
        "en": "The plan {plan} is {ours}, its price {price} at Stripe {theirs}: it is not sold like that.",
    },
    "stripe_price_missing": {
        "fr": "La formule {plan} n'est pas vendue : Stripe ne connaît pas son prix {price}.",
        "en": "The plan {plan} is not sold: Stripe does not know its price {price}.",
    },
    "stripe_price_archived": {
        "fr": "La formule {plan} n'est pas vendue : son prix {price} est archivé chez Stripe.",
        "en": "The plan {plan} is not sold: its price {price} is archived at Stripe.",
    },
    # -- subscriptions that Stripe runs
    "stripe_no_dry_cancel": {
        "fr": "Stripe facture cet abonnement : ce que sa fin rendrait n'est pas calculé ici.",
        "en": "Stripe bills this subscription: what its end would give back is not worked out here.",
    },
    "stripe_no_dry_run": {
        "fr": "Stripe facture cet abonnement : ce qu'un changement coûterait n'est pas calculé ici.",
        "en": "Stripe bills this subscription: what a change would cost is not worked out here.",
    },
    "stripe_takes_no_code": {
        "fr": "Stripe facture cet abonnement : les codes de réduction n'y valent pas.",
        "en": "Stripe bills this subscription: discount codes are not for it.",
    },
    "stripe_plan_free": {
        "fr": "La formule {plan} n'a pas d'abonnement mensuel : résiliez l'abonnement pour y passer.",
        "en": "The plan {plan} has no fee: cancel the subscription to go to it.",
    },
    "stripe_currency": {
        "fr": "Stripe ne vend pas d'abonnement en {currency} ici.",
        "en": "No subscription is sold through Stripe in {currency} here.",
    },
    "stripe_year_to_month": {
        "fr": "Stripe facture cet abonnement à l'année : résiliez-le à son terme pour passer à {plan}, au mois.",
        "en": "Stripe bills this subscription by the year: cancel it at its end to go to {plan}, by the month.",
    },
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
    "payout_not_found": {
        "fr": "Aucun virement {id} de Stripe n'est connu ici.",
        "en": "No payout {id} of Stripe's is known here.",
    },
    "stripe_event_not_found": {
        "fr": "Aucun événement de Stripe {event} n'est connu ici.",
        "en": "No event {event} of Stripe's is known here.",
    },
    "stripe_event_settled": {
        "fr": "L'événement {event} est déjà traité.",
        "en": "Event {event} is settled already.",
    },
    # -- Stripe on loopback
    "stripe_fake_in_production": {
        "fr": "Le faux Stripe n'encaisse rien : il est refusé en production (BILLING_ENV=development, sinon).",
        "en": "The fake Stripe takes no money: it is refused in production. BILLING_ENV=development says this is none.",
    },
    "stripe_fake_port_taken": {
        "fr": "Le port {port} ne peut pas être ouvert ; --port en donne un autre, 0 n'importe lequel de libre.",
        "en": "Port {port} cannot be opened; --port gives another, 0 any that is free.",
    },
}
