"""Every sentence that a person reads, in French and in English. A test holds the two to the same codes and names."""

from __future__ import annotations

import logging
from typing import Any

from turf_saas.messages_catalogue import CATALOGUE_MESSAGES
from turf_saas.messages_explain import EXPLAIN_MESSAGES
from turf_saas.messages_invoices import INVOICE_MESSAGES
from turf_saas.messages_jobs import JOB_MESSAGES
from turf_saas.messages_payments import PAYMENT_MESSAGES
from turf_saas.messages_subscriptions import SUBSCRIPTION_MESSAGES

LOCALES = ("fr", "en")
logger = logging.getLogger("turf_saas.billing")

MESSAGES: dict[str, dict[str, str]] = {
    # -- the month
    "month_invalid": {
        "fr": "Format mois invalide. Utiliser YYYY-MM",
        "en": "Invalid month format. Use YYYY-MM",
    },
    "alert_hard_api_calls": {
        "fr": "Limite mensuelle d'appels API atteinte.",
        "en": "Monthly API call limit reached.",
    },
    "alert_soft_api_calls": {
        "fr": "Appels API à {pct}% de la limite mensuelle.",
        "en": "API calls at {pct}% of the monthly limit.",
    },
    "alert_hard": {
        "fr": "Limite mensuelle atteinte pour {metric}.",
        "en": "Monthly limit reached for {metric}.",
    },
    "alert_soft": {
        "fr": "{metric} : {pct}% de la limite mensuelle.",
        "en": "{metric} at {pct}% of the monthly limit.",
    },
    # -- who is asking
    "unauthenticated": {
        "fr": "Authentification requise.",
        "en": "Authentication required.",
    },
    "forbidden": {
        "fr": "Vous n'avez pas le droit de faire cela.",
        "en": "You are not allowed to do this.",
    },
    "scope_missing": {
        "fr": "Cette clé n'a pas le droit « {scope} ».",
        "en": "This key does not have the scope “{scope}”.",
    },
    "cross_site_request": {
        "fr": "Requête refusée : elle vient d'un autre site, ou son jeton manque.",
        "en": "Request refused: it comes from another site, or its token is missing.",
    },
    # -- accounts, tenants, API keys
    "login_failed": {"fr": "E-mail ou mot de passe incorrect.", "en": "Wrong e-mail or password."},
    "too_many_logins": {
        "fr": "Trop d'essais de connexion. Réessayez dans {seconds} secondes.",
        "en": "Too many login attempts. Try again in {seconds} seconds.",
    },
    "login_unavailable": {
        "fr": "La connexion n'est pas configurée : JWT_SECRET_KEY manque.",
        "en": "Login is not configured: JWT_SECRET_KEY is missing.",
    },
    "csrf_unavailable": {
        "fr": "Aucun jeton possible : cette application n'a pas de SECRET_KEY.",
        "en": "No token can be made: this app has no SECRET_KEY.",
    },
    "email_invalid": {"fr": "Adresse e-mail invalide.", "en": "Invalid e-mail address."},
    "email_taken": {"fr": "Cette adresse e-mail est déjà utilisée.", "en": "This e-mail address is taken."},
    "password_length": {
        "fr": "Le mot de passe doit avoir de {least} à {most} caractères.",
        "en": "A password has {least} to {most} characters.",
    },
    "admin_incomplete": {
        "fr": "Donner admin_email et admin_password ensemble, ou aucun des deux.",
        "en": "Give admin_email and admin_password together, or neither.",
    },
    "users_not_ours": {
        "fr": "Les utilisateurs sont ceux de l'application : les créer là-bas.",
        "en": "The users are the app's own: make them there.",
    },
    "user_not_found": {"fr": "Utilisateur introuvable.", "en": "User not found."},
    "user_has_records": {
        "fr": "L'utilisateur a des données dans l'espace {tenant_id} ({table}) : il doit y rester.",
        "en": "The user has records in tenant {tenant_id} ({table}): he has to stay there.",
    },
    "tenant_not_found": {"fr": "Espace introuvable.", "en": "Tenant not found."},
    "key_not_found": {"fr": "Clé introuvable.", "en": "Key not found."},
    "scope_unknown": {"fr": "Droits possibles : {known}.", "en": "Possible scopes: {known}."},
    "scope_not_yours": {
        "fr": "Vous ne pouvez pas donner le droit « {scope} ».",
        "en": "You cannot give the scope “{scope}”.",
    },
    "too_many_keys": {
        "fr": "{most} clés actives au plus par utilisateur : en révoquer une d'abord.",
        "en": "A user has {most} live keys at most: revoke one first.",
    },
    "cursor_invalid": {"fr": "Curseur invalide.", "en": "Invalid cursor."},
    # -- usage, quotas
    "idempotency_conflict": {
        "fr": "Cette clé d'idempotence a déjà servi pour un autre contenu.",
        "en": "This idempotency key was used for another content.",
    },
    "idempotency_key_invalid": {
        "fr": "Idempotency-Key : de 1 à {most} caractères.",
        "en": "Idempotency-Key: 1 to {most} characters.",
    },
    "self_report_off": {
        "fr": "L'usage est relevé par une clé d'API ou un administrateur (BILLING_SELF_REPORT).",
        "en": "Usage is reported by an API key or an admin (BILLING_SELF_REPORT).",
    },
    "metric_unknown": {
        "fr": "Métrique inconnue. Connues : {known}.",
        "en": "Unknown metric. Known: {known}.",
    },
    "header_not_for_batch": {
        "fr": "L'en-tête {header} vaut pour un seul relevé : mettre les clés dans events.",
        "en": "The header {header} is for a single event: put the keys into events.",
    },
    "instant_invalid": {
        "fr": "Instant invalide. Utiliser la RFC 3339 : 2026-05-20T10:00:00Z",
        "en": "Invalid instant. Use RFC 3339: 2026-05-20T10:00:00Z",
    },
    "instant_without_zone": {
        "fr": "L'instant n'a pas de fuseau : ajouter Z ou un décalage comme +02:00.",
        "en": "The instant has no zone: add Z or an offset such as +02:00.",
    },
    "date_invalid": {
        "fr": "Date invalide. Utiliser YYYY-MM-DD",
        "en": "Invalid date. Use YYYY-MM-DD",
    },
    "days_reversed": {
        "fr": "Le dernier jour est avant le premier.",
        "en": "The last day is before the first.",
    },
    "at_too_old": {
        "fr": "L'instant remonte à plus de 35 jours.",
        "en": "The instant lies more than 35 days back.",
    },
    "at_in_future": {
        "fr": "L'instant est à plus de 5 minutes dans le futur.",
        "en": "The instant lies more than 5 minutes ahead.",
    },
    "day_is_full": {
        "fr": "La somme de ce jour dépasse ce qui peut être compté.",
        "en": "The day's sum exceeds what can be counted.",
    },
    "usage_event_not_found": {
        "fr": "Aucun relevé d'usage ne porte cet identifiant.",
        "en": "No usage event has this id.",
    },
    "correction_too_large": {
        "fr": "La correction dépasse ce qui reste du relevé : {left}.",
        "en": "The correction exceeds what is left of the event: {left}.",
    },
    "quantity_invalid": {
        "fr": "Quantité invalide : {given}. Donner un entier positif ou nul.",
        "en": "Invalid quantity: {given}. Give a whole number, zero or more.",
    },
    "expires_in_invalid": {
        "fr": "Durée invalide : {given}. Donner de 1 à {most} secondes.",
        "en": "Invalid duration: {given}. Give 1 to {most} seconds.",
    },
    "limit_invalid": {
        "fr": "Limite invalide : {given}. Donner un entier positif ou nul.",
        "en": "Invalid limit: {given}. Give a whole number, zero or more.",
    },
    "window_invalid": {
        "fr": "Fenêtre inconnue : {given}. Donner month ou day.",
        "en": "Unknown window: {given}. Give month or day.",
    },
    "window_without_limit": {
        "fr": "Une fenêtre demande une limite.",
        "en": "A window needs a limit.",
    },
    "day_invalid": {
        "fr": "Jour invalide : {given}. Utiliser YYYY-MM-DD.",
        "en": "Invalid day: {given}. Use YYYY-MM-DD.",
    },
    "quota_exceeded": {
        "fr": "Quota dépassé pour {metric} : {used} utilisés sur {limit}.",
        "en": "Quota exceeded for {metric}: {used} of {limit} used.",
    },
    "spending_cap_reached": {
        "fr": "Votre plafond de dépense pour ce mois est atteint.",
        "en": "Your spending cap for this month is reached.",
    },
    "reservations_full": {
        "fr": "La somme de ce qui est réservé ne peut pas dépasser 2^62.",
        "en": "What is reserved cannot exceed 2^62 in all.",
    },
    "reservation_not_found": {
        "fr": "Aucune réservation ne porte cet identifiant.",
        "en": "No reservation has this id.",
    },
    "reservation_settled": {
        "fr": "Cette réservation a déjà été réglée.",
        "en": "This reservation was settled already.",
    },
    "reservation_released": {
        "fr": "Cette réservation a été libérée.",
        "en": "This reservation was released.",
    },
    # -- prices, amounts, dates of a subscription
    "decimal_invalid": {
        "fr": 'Nombre invalide. Écrire un nombre décimal comme texte : "0.0004".',
        "en": 'Invalid number. Write a decimal number as a text: "0.0004".',
    },
    "decimal_places": {
        "fr": "{most} décimales au plus.",
        "en": "{most} decimal places at most.",
    },
    "price_field_of_another_model": {
        "fr": "Ce champ n'est pas du modèle {model}.",
        "en": "This field is not one of the model {model}.",
    },
    "tier_without_bound": {
        "fr": "Seul le dernier palier est sans borne : donner up_to.",
        "en": "Only the last tier has no bound: give up_to.",
    },
    "last_tier_bounded": {
        "fr": "Le dernier palier doit être sans borne : up_to null.",
        "en": "The last tier must have no bound: up_to null.",
    },
    "tiers_not_rising": {
        "fr": "La borne doit dépasser celle du palier d'avant : {former}.",
        "en": "The bound must be above that of the tier before: {former}.",
    },
    "currency_unknown": {
        "fr": "Devise inconnue. Donner un code ISO 4217, comme EUR.",
        "en": "Unknown currency. Give a code of ISO 4217, such as EUR.",
    },
    "amount_too_large": {
        "fr": "Le montant pour {metric} dépasse 2^53 centimes.",
        "en": "The amount for {metric} exceeds 2^53 cents.",
    },
    "date_out_of_range": {
        "fr": "La date {day} mène hors du calendrier.",
        "en": "The date {day} leads out of the calendar.",
    },
    # -- files that commands write
    "file_exists": {
        "fr": "{file} existe déjà et n'est pas écrasé.",
        "en": "{file} is there already and is not overwritten.",
    },
    "file_unusable": {
        "fr": "{file} ne peut pas être utilisé : {reason}.",
        "en": "{file} cannot be used: {reason}.",
    },
    "backup_failed": {
        "fr": "La sauvegarde a échoué, et rien n'en est resté : {reason}.",
        "en": "The backup failed, and nothing of it was kept: {reason}.",
    },
    "backup_damaged": {
        "fr": "La copie n'est pas saine ({reason}) et n'a pas été gardée. Voyez la base : flask billing doctor.",
        "en": "The copy is not sound ({reason}) and was not kept. Look at the database: flask billing doctor.",
    },
    "backup_needs_pg_dump": {
        "fr": "Il faut pg_dump et pg_restore dans le PATH (paquet postgresql-client) pour sauvegarder PostgreSQL.",
        "en": "To back up PostgreSQL, pg_dump and pg_restore have to be in the PATH (package postgresql-client).",
    },
    # -- archives of usage
    "archive_too_recent": {
        "fr": "{day} est trop récent : des événements peuvent encore arriver. Au plus tard {latest}.",
        "en": "{day} is too recent: events may still come. {latest} at the latest.",
    },
    "archive_done": {
        "fr": "Les événements d'avant {former} sont déjà archivés : {day} doit être plus tard.",
        "en": "Events before {former} are archived already: {day} has to be later.",
    },
    "archive_disturbed": {
        "fr": "Un événement de ces jours est arrivé à l'instant : recommencez. Rien n'a été archivé.",
        "en": "An event of these days was recorded just now: try again. Nothing was archived.",
    },
    "archive_disagrees": {
        "fr": "Les jours ne sont pas la somme de leurs événements ({found}) : d'abord flask billing usage rebuild.",
        "en": "Days are not the sum of their events ({found}): first flask billing usage rebuild.",
    },
    "archive_unknown": {
        "fr": "{file} n'est aucune des archives, ou a été modifié depuis.",
        "en": "{file} is none of the archives, or was changed since.",
    },
    # -- what is asked
    "not_found": {"fr": "Introuvable.", "en": "Not found."},
    "method_not_allowed": {
        "fr": "Méthode non autorisée ici. Permises : {allowed}.",
        "en": "Method not allowed here. Allowed: {allowed}.",
    },
    "json_unreadable": {
        "fr": "Le corps de la requête n'est pas un JSON lisible : {reason}.",
        "en": "The request body is not readable JSON: {reason}.",
    },
    "json_expected": {
        "fr": "Envoyer le corps en application/json.",
        "en": "Send the body as application/json.",
    },
    "encoding_unsupported": {
        "fr": "Envoyer le corps sans compression.",
        "en": "Send the body without compression.",
    },
    "body_too_large": {
        "fr": "Corps trop volumineux : {limit} octets au plus.",
        "en": "Body too large: {limit} bytes at most.",
    },
    "too_many_requests": {
        "fr": "Trop de requêtes, réessayez plus tard.",
        "en": "Too many requests, try again later.",
    },
    "bad_request": {"fr": "Requête illisible.", "en": "Unreadable request."},
    "invalid_input": {"fr": "Valeurs invalides : {where}.", "en": "Invalid values: {where}."},
    "field_differs": {
        "fr": "N'est pas la même valeur que {other}.",
        "en": "Is not the same value as {other}.",
    },
    "field_missing": {"fr": "Champ obligatoire.", "en": "Required."},
    "field_unknown": {"fr": "Champ inconnu.", "en": "Unknown field."},
    "field_repeated": {"fr": "Donné plus d'une fois.", "en": "Given more than once."},
    "field_type": {"fr": "Type attendu : {expected}.", "en": "Expected type: {expected}."},
    "field_range": {"fr": "Valeur hors limites : {expected}.", "en": "Out of range: {expected}."},
    "field_length": {"fr": "Longueur hors limites : {expected}.", "en": "Length out of bounds: {expected}."},
    "field_format": {"fr": "Format invalide.", "en": "Invalid format."},
    "field_choice": {"fr": "Valeurs possibles : {expected}.", "en": "Possible values: {expected}."},
    "field_text": {
        "fr": "Contient un caractère interdit (NUL ou demi-codet isolé).",
        "en": "Contains a forbidden character (NUL or lone surrogate).",
    },
    "field_invalid": {"fr": "Valeur invalide.", "en": "Invalid value."},
    # -- the state of things
    "database_busy": {
        "fr": "Base de données occupée, réessayez dans un instant.",
        "en": "The database is busy, try again in a moment.",
    },
    "database_unavailable": {
        "fr": "Base de données indisponible, réessayez dans un instant.",
        "en": "The database is unavailable, try again in a moment.",
    },
    "service_unavailable": {
        "fr": "Service momentanément indisponible.",
        "en": "The service is unavailable for a moment.",
    },
    "metric_not_sold": {
        "fr": "Aucune offre ne connaît la mesure {metric}.",
        "en": "No plan knows the metric {metric}.",
    },
    "default_plan_missing": {
        "fr": "BILLING_DEFAULT_PLAN={plan!r} : ce plan n'existe pas.",
        "en": "BILLING_DEFAULT_PLAN={plan!r}: there is no such plan.",
    },
    "not_migrated": {
        "fr": "La base n'est pas à jour : lancer « flask billing migrate ».",
        "en": "The database is not up to date: run “flask billing migrate”.",
    },
    "database_refused": {
        "fr": "La base configurée ne peut pas être utilisée ; le journal du serveur dit pourquoi.",
        "en": "The configured database cannot be used; the server's log says why.",
    },
    "internal_error": {"fr": "Erreur interne.", "en": "Internal error."},
    **CATALOGUE_MESSAGES,
    **EXPLAIN_MESSAGES,
    **INVOICE_MESSAGES,
    **JOB_MESSAGES,
    **PAYMENT_MESSAGES,
    **SUBSCRIPTION_MESSAGES,
    # -- the reference host
    "demo_in_production": {
        "fr": "Pas de données ni de comptes de démonstration en production (BILLING_ENV).",
        "en": "No demo data and no demo accounts in production (BILLING_ENV).",
    },
    "tokens_unavailable": {
        "fr": "Les jetons ne peuvent pas être vérifiés : JWT_SECRET_KEY manque.",
        "en": "Tokens cannot be checked: JWT_SECRET_KEY is missing.",
    },
}


def say(code: str, locale: str, /, **params: Any) -> str:
    """The sentence for a code. An unknown code is said plainly rather than breaking the answer."""
    sentences = MESSAGES.get(code)
    if sentences is None:
        logger.error("no message for code %r", code)
        return code
    return sentences.get(locale, sentences["fr"]).format(**params)
