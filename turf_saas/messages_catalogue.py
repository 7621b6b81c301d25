"""What is said about plans and discounts, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

CATALOGUE_MESSAGES: dict[str, dict[str, str]] = {
    # -- plans
    "plan_not_found": {"fr": "Plan introuvable.", "en": "Plan not found."},
    "plan_unknown": {"fr": "Aucun plan ne s'appelle « {plan} ».", "en": "There is no plan called “{plan}”."},
    "interval_differs": {
        "fr": "Les abonnés de l'offre {plan} paient par un autre intervalle : existing keep, ou une autre offre.",
        "en": "Subscribers of the plan {plan} pay by another interval: existing keep, or another plan.",
    },
    "plan_exists": {"fr": "Le plan {plan} existe déjà.", "en": "The plan {plan} is there already."},
    "plan_archived": {"fr": "Le plan {plan} n'est plus vendu.", "en": "The plan {plan} is sold no more."},
    "plan_is_default": {
        "fr": "{plan} est le plan de qui n'en a pas d'autre (BILLING_DEFAULT_PLAN) : il reste en vente.",
        "en": "{plan} is the plan of whoever has no other (BILLING_DEFAULT_PLAN): it stays on sale.",
    },
    "year_is_anniversary": {
        "fr": "Un plan annuel se compte de son anniversaire : cycle anniversary.",
        "en": "A yearly plan is counted from its anniversary: cycle anniversary.",
    },
    "price_twice": {
        "fr": "{metric} a déjà un prix dans ce plan.",
        "en": "{metric} has a price in this plan already.",
    },
    "day_limit_with_price": {
        "fr": "Une limite par jour ne va pas avec un prix : ce qui est facturé se compte par mois.",
        "en": "A limit per day does not go with a price: what is billed is counted by the month.",
    },
    "currency_mismatch": {
        "fr": "La devise est {currency}, et ce serait {wanted} : un utilisateur n'a qu'une devise.",
        "en": "The currency is {currency}, and it would have to be {wanted}: a user has one currency.",
    },
    # -- files of plans
    "plans_unreadable": {
        "fr": "{file} n'est pas un fichier TOML lisible : {reason}.",
        "en": "{file} is not a readable TOML file: {reason}.",
    },
    "plan_twice": {
        "fr": "Le plan {plan} est déjà plus haut dans ce fichier.",
        "en": "The plan {plan} stands in this file already.",
    },
    # -- billing who only had a plan
    "adopted_in_future": {
        "fr": "{day} est dans le futur : jusque-là les abonnés perdraient leur plan. Relancer ce jour-là, ou après.",
        "en": "{day} lies in the future: until then they would lose their plan. Run it on that day, or later.",
    },
    "adopted_too_early": {
        "fr": "{day} est trop loin dans le passé : au plus tôt {earliest}.",
        "en": "{day} lies too far back: {earliest} at the earliest.",
    },
    # -- discounts
    "discount_exists": {"fr": "Le code {code} existe déjà.", "en": "The code {code} is there already."},
    "discount_not_found": {"fr": "Réduction introuvable.", "en": "Discount not found."},
    "discount_unknown": {"fr": "Ce code de réduction n'existe pas.", "en": "There is no such discount code."},
    "discount_used": {
        "fr": "Le code {code} a déjà servi à cet utilisateur.",
        "en": "The user has used the code {code} already.",
    },
    "discount_used_up": {
        "fr": "Le code {code} a été utilisé autant de fois qu'il pouvait l'être.",
        "en": "The code {code} has been used as often as it could be.",
    },
    "discount_value": {
        "fr": "Donner percent ou amount_cents : l'un des deux.",
        "en": "Give percent or amount_cents: one of the two.",
    },
    "discount_months": {
        "fr": "months va avec la durée « months », et seulement avec elle.",
        "en": "months goes with the duration “months”, and with no other.",
    },
    "currency_without_amount": {
        "fr": "Un pourcentage vaut dans toutes les devises.",
        "en": "A percentage holds in every currency.",
    },
}
