"""What is said about subscriptions and the test clock, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

SUBSCRIPTION_MESSAGES: dict[str, dict[str, str]] = {
    # -- beginning
    "subscription_exists": {
        "fr": "L'utilisateur a déjà un abonnement : le changer, ou y mettre fin d'abord.",
        "en": "The user has a subscription already: change it, or end it first.",
    },
    "start_at_out_of_range": {
        "fr": "Un abonnement commence au plus {back} jours en arrière et {ahead} jours en avance.",
        "en": "A subscription begins at most {back} days back and {ahead} days ahead.",
    },
    "admin_sets_it": {
        "fr": "Seul un administrateur peut donner {fields}.",
        "en": "Only an admin may give {fields}.",
    },
    # -- changing
    "subscription_not_found": {"fr": "Abonnement introuvable.", "en": "Subscription not found."},
    "subscription_missing": {
        "fr": "L'utilisateur n'a pas d'abonnement en cours.",
        "en": "The user has no live subscription.",
    },
    "subscription_changed": {
        "fr": "L'abonnement vient d'être modifié par ailleurs : le relire, puis recommencer.",
        "en": "The subscription was changed by somebody else just now: read it and try again.",
    },
    "subscription_ended": {
        "fr": "Cet abonnement est terminé ({status}) : en prendre un nouveau.",
        "en": "This subscription has ended ({status}): take a new one.",
    },
    "subscription_unpaid": {
        "fr": "Cet abonnement est impayé : régler d'abord ce qui est dû.",
        "en": "This subscription is unpaid: pay what is overdue first.",
    },
    "subscription_not_billed": {
        "fr": "Cette offre n'est pas facturée : s'abonner au lieu de changer.",
        "en": "This plan is not billed: subscribe instead of changing.",
    },
    "plan_not_sold": {
        "fr": "L'offre {plan} n'est pas au catalogue.",
        "en": "The plan {plan} is not in the catalogue.",
    },
    "start_in_paid_time": {
        "fr": "Un abonnement précédent a été payé jusqu'au {ended_at} : commencer ce jour-là au plus tôt.",
        "en": "An earlier subscription was paid until {ended_at}: begin on that day at the earliest.",
    },
    "stripe_bills_it": {
        "fr": "Cet abonnement est facturé par Stripe : il se change là-bas.",
        "en": "Stripe bills this subscription: it is changed there.",
    },
    "plan_unchanged": {
        "fr": "L'abonnement est déjà à l'offre {plan}.",
        "en": "The subscription is on the plan {plan} already.",
    },
    "unprorated_now": {
        "fr": "Sans prorata, l'offre supérieure commence avec la période suivante ; seul un administrateur l'avance.",
        "en": "Without proration the dearer plan begins with the next period; only an admin gives it at once.",
    },
    "downgrade_now": {
        "fr": "Une offre moins chère commence à la période suivante ; seul un administrateur la donne tout de suite.",
        "en": "A cheaper plan begins with the next period; only an admin gives it at once.",
    },
    "cancel_scheduled": {
        "fr": "L'abonnement se termine avec la période : le reprendre avant de prévoir un changement.",
        "en": "The subscription ends with the period: resume it before a change is planned.",
    },
    "nothing_to_resume": {
        "fr": "Aucune résiliation n'est prévue : rien à reprendre.",
        "en": "No end is planned: there is nothing to resume.",
    },
    "trial_used": {
        "fr": "L'essai de l'offre {plan} a déjà été fait.",
        "en": "The plan {plan} has been tried already.",
    },
    "at_without_dry_run": {
        "fr": "Un autre instant ne vaut que pour une simulation : dry_run true.",
        "en": "Another instant is for a dry run only: dry_run true.",
    },
    "at_out_of_range": {
        "fr": "L'instant doit être entre maintenant et dans {days} jours.",
        "en": "The instant has to be between now and {days} days ahead.",
    },
    # -- the test clock
    "clock_backwards": {
        "fr": "L'horloge de test n'avance que vers l'avant : elle est à {now}.",
        "en": "The test clock moves forward only: it is at {now}.",
    },
    "clock_out_of_range": {
        "fr": "L'horloge de test s'écarte de {days} jours au plus de l'heure réelle.",
        "en": "The test clock is at most {days} days away from the real time.",
    },
    "clock_in_production": {
        "fr": "Pas d'horloge de test en production (BILLING_ENV).",
        "en": "No test clock in production (BILLING_ENV).",
    },
}
