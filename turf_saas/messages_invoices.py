"""What is said about invoices, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

INVOICE_MESSAGES: dict[str, dict[str, str]] = {
    # -- what stands in an invoice's lines
    "line_base": {"fr": "Abonnement {plan}", "en": "{plan} subscription"},
    "line_base_part": {"fr": "Abonnement {plan}, première période écourtée", "en": "{plan} subscription, short period"},
    "line_discount": {"fr": "Remise sur l'abonnement {plan}", "en": "Discount on the {plan} subscription"},
    "line_overage": {"fr": "{metric} au-delà de l'offre {plan}", "en": "{metric} above the {plan} plan"},
    "line_credit": {
        "fr": "Crédit du temps restant de l'offre {old} (passage à {new})",
        "en": "Credit for the time left on {old} (change to {new})",
    },
    "line_credit_end": {
        "fr": "Crédit du temps restant de l'offre {old} (fin de l'abonnement)",
        "en": "Credit for the time left on {old} (end of the subscription)",
    },
    "line_charge": {
        "fr": "Temps restant de la période à l'offre {new} (auparavant {old})",
        "en": "Time left of the period on {new} (before: {old})",
    },
    "line_late": {
        "fr": "{metric} de {month}, déclaré après la facture de ce mois",
        "en": "{metric} of {month}, reported after that month's invoice",
    },
    # -- who is billed
    "field_control": {
        "fr": "Contient un caractère de commande : une seule ligne de texte, sans retour ni inversion.",
        "en": "Contains a control character: one line of text, without a line break or a change of direction.",
    },
    "country_unknown": {
        "fr": "Pays inconnu. Donner un code ISO 3166-1 à deux lettres, comme FR.",
        "en": "Unknown country. Give a code of ISO 3166-1 in two letters, such as FR.",
    },
    "siren_invalid": {
        "fr": "SIREN invalide : neuf chiffres, dont le dernier découle des autres.",
        "en": "Invalid SIREN: nine digits, the last of which follows from the others.",
    },
    "siren_not_french": {
        "fr": "Seul un professionnel en France a un SIREN : kind pro, country FR.",
        "en": "Only a professional in France has a SIREN: kind pro, country FR.",
    },
    "vat_id_invalid": {
        "fr": "Numéro de TVA invalide. L'écrire avec son pays, comme FR40303265045. Pays connus : {known}.",
        "en": "Invalid VAT number. Write it with its country, such as FR40303265045. Known countries: {known}.",
    },
    "vat_id_of_consumer": {
        "fr": "Un numéro de TVA est celui d'un professionnel : kind pro.",
        "en": "A VAT number is a professional's: kind pro.",
    },
    "vat_id_of_another_country": {
        "fr": "Ce numéro de TVA est d'un autre pays que {country}.",
        "en": "This VAT number is of another country than {country}.",
    },
    "vat_id_of_another_siren": {
        "fr": "Ce numéro de TVA est celui d'un autre SIREN.",
        "en": "This VAT number is that of another SIREN.",
    },
    # -- who sells, and the tax
    "seller_incomplete": {
        "fr": "Le vendeur est incomplet : renseigner {missing}.",
        "en": "The seller is incomplete: set {missing}.",
    },
    "tax_undecided": {
        "fr": "La TVA d'un vendeur en {seller} pour un client en {country} n'est pas connue ici : Billing(app, tax=…).",
        "en": "The VAT of a seller in {seller} for a buyer in {country} is not known here: Billing(app, tax=…).",
    },
    "tax_rate_unknown": {
        "fr": "Le taux {rate} de {country} au {day} n'est pas connu ici : Billing(app, tax=…).",
        "en": "The rate {rate} of {country} on {day} is not known here: Billing(app, tax=…).",
    },
    # -- what is issued
    "invoice_not_found": {"fr": "Facture introuvable.", "en": "There is no such invoice."},
    "period_open": {
        "fr": "Le mois {month} n'est pas terminé : il se clôt le {closes_at}.",
        "en": "The month {month} is not over: it closes at {closes_at}.",
    },
    "period_is_no_month": {
        "fr": 'Donner month="AAAA-MM", ou period_start et period_end, les bornes d\'un mois.',
        "en": 'Give month="YYYY-MM", or period_start and period_end, the bounds of one month.',
    },
    "period_invoiced": {
        "fr": "Le mois de cet usage est déjà facturé : il n'est plus pris.",
        "en": "The month of this usage is invoiced: it is not taken any more.",
    },
    "invoice_negative": {
        "fr": "La facture de {month} serait négative ({amount_cents} centimes) : corriger les éléments en attente.",
        "en": "The invoice of {month} would be negative ({amount_cents} cents): correct the pending items.",
    },
    "currencies_mixed": {
        "fr": "Le mois {month} a des montants en plusieurs monnaies ({currencies}) : une facture n'en a qu'une.",
        "en": "The month {month} has amounts in several currencies ({currencies}): an invoice has one.",
    },
    "invoice_refused": {
        "fr": "La facture de {month} ne peut pas être émise : {why}",
        "en": "The invoice of {month} cannot be issued: {why}",
    },
    "draft_changed": {
        "fr": "L'usage a changé pendant le calcul de la taxe : réessayer.",
        "en": "The usage changed while the tax was worked out: try again.",
    },
    "tax_failed": {
        "fr": "La fonction de taxe {function} de l'application a échoué ({why}) : la facture attend un autre passage.",
        "en": "The app's tax function {function} failed ({why}): the invoice waits for the next run.",
    },
    "series_in_use": {
        "fr": "La série {series} est déjà commencée : son premier numéro ne change plus.",
        "en": "The series {series} has begun: its first number does not change any more.",
    },
    "first_number_invalid": {
        "fr": "Le premier numéro doit être un entier de {least} à {most}.",
        "en": "The first number must be a whole number from {least} to {most}.",
    },
    # -- credit notes
    "line_credit_note": {"fr": "Avoir sur la facture {number}", "en": "Credit on invoice {number}"},
    "line_credit_note_of": {
        "fr": "Avoir sur la facture {number} : {line}",
        "en": "Credit on invoice {number}: {line}",
    },
    "credit_amount_or_lines": {
        "fr": "Donner amount_cents ou lines, pas les deux ; ni l'un ni l'autre crédite tout ce qui reste.",
        "en": "Give amount_cents or lines, not both; neither of them credits all that is left.",
    },
    "credit_lines_invalid": {
        "fr": "lines nomme au moins une ligne de la facture, et chacune une seule fois.",
        "en": "lines names at least one line of the invoice, and each of them once.",
    },
    "credit_line_unknown": {
        "fr": "La facture n'a pas de ligne {position} : ses lignes vont de 1 à {most}.",
        "en": "The invoice has no line {position}: its lines go from 1 to {most}.",
    },
    "credit_note_not_creditable": {
        "fr": "{number} est un avoir : il ne peut pas être crédité.",
        "en": "{number} is a credit note: it cannot be credited.",
    },
    "adopted_not_creditable": {
        "fr": "{number} a été reprise d'un autre programme : un avoir n'est pas possible ici.",
        "en": "{number} was adopted from another program: it cannot be credited here.",
    },
    "account_credit_too_large": {
        "fr": "L'avoir du compte ne peut dépasser {most} centimes.",
        "en": "Account credit cannot exceed {most} cents.",
    },
    "credit_too_large": {
        "fr": "Il ne reste que {left_cents} centimes à créditer, TVA comprise.",
        "en": "Only {left_cents} cents, VAT included, are left to credit.",
    },
    "credit_too_large_of_line": {
        "fr": "Il ne reste que {left_cents} centimes hors taxe à créditer de la ligne {position}.",
        "en": "Only {left_cents} cents net are left to credit of line {position}.",
    },
    "credit_too_large_of_rate": {
        "fr": "Il ne reste que {left_cents} centimes hors taxe à créditer de ce qui est taxé à {rate} %.",
        "en": "Only {left_cents} cents net are left to credit of what is taxed at {rate} %.",
    },
    "nothing_left_to_credit": {
        "fr": "Cette facture est déjà créditée en entier.",
        "en": "All of this invoice has been credited.",
    },
    "credit_invalid": {
        "fr": "Montant invalide : créditer un nombre entier de centimes, au moins un.",
        "en": "Invalid amount: credit a whole number of cents, at least one.",
    },
    # -- payments, and one-off items
    "payment_not_found": {"fr": "Paiement introuvable.", "en": "There is no such payment."},
    "invoice_takes_no_payment": {
        "fr": "{number} ({status}) ne peut recevoir de paiement.",
        "en": "{number} ({status}) takes no payment.",
    },
    "received_in_future": {
        "fr": "Un paiement est reçu au plus tard aujourd'hui, le {today}.",
        "en": "A payment was received today, {today}, at the latest.",
    },
    "received_too_early": {
        "fr": "Un paiement est reçu le {first} au plus tôt.",
        "en": "A payment was received on {first} at the earliest.",
    },
    "refund_too_large": {
        "fr": "Il ne reste que {left_cents} centimes de ce paiement à rembourser.",
        "en": "Only {left_cents} cents of this payment are left to refund.",
    },
    "refund_not_covered": {
        "fr": "Seuls {left_cents} centimes sont à rembourser : le reste a payé d'autres factures, à créditer d'abord.",
        "en": "Only {left_cents} cents can be refunded here: the rest has paid other invoices, to be credited first.",
    },
    "invoice_item_not_found": {
        "fr": "Aucun article de ce numéro n'attend sa facture.",
        "en": "No item with this id waits for its invoice.",
    },
    "item_invoiced": {
        "fr": "L'article est sur la facture {number} : il se reprend par un avoir.",
        "en": "The item is on the invoice {number}: a credit note takes it back.",
    },
    "item_amount_invalid": {
        "fr": "quantity × unit_amount doit faire de 1 à {most} centimes une fois arrondi.",
        "en": "quantity × unit_amount must come to 1 to {most} cents once it is rounded.",
    },
}
