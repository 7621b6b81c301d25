"""How an invoice is explained, in French and in English: a part of turf_saas/messages.py."""

from __future__ import annotations

EXPLAIN_MESSAGES: dict[str, dict[str, str]] = {
    "explain_invoice": {
        "fr": "Facture {number} du {day}, mois {month}, montants en {currency}.",
        "en": "Invoice {number} of {day}, month {month}, amounts in {currency}.",
    },
    "explain_credit_note": {
        "fr": "Avoir {number} du {day} sur la facture {credited}, montants en {currency}.",
        "en": "Credit note {number} of {day} on invoice {credited}, amounts in {currency}.",
    },
    "explain_draft": {
        "fr": "Projet de facture du mois {month}, montants en {currency}. Rien n'est encore émis.",
        "en": "Draft of the invoice of {month}, amounts in {currency}. Nothing has been issued yet.",
    },
    "explain_nothing": {
        "fr": "Le mois {month} n'a rien à facturer.",
        "en": "The month {month} has nothing to bill.",
    },
    "month_to_come": {
        "fr": "Le mois {month} n'a pas commencé : le dernier qui s'explique est {current}.",
        "en": "The month {month} has not begun: the last one that can be explained is {current}.",
    },
    "explain_adopted": {
        "fr": "Facture {number} : {amount} {currency}. Un autre programme l'a écrite : ses lignes manquent ici.",
        "en": "Invoice {number}: {amount} {currency}. Another program wrote it, and its lines are not known here.",
    },
    "explain_line": {"fr": "{position}. {description} : {amount}", "en": "{position}. {description}: {amount}"},
    "explain_inside": {
        "fr": "TVA comprise dans le prix : net {net}.",
        "en": "VAT is inside the price: net {net}.",
    },
    "explain_fee": {
        "fr": "Période du {first} au {last}, entière : {amount}.",
        "en": "Period from {first} to {last}, whole: {amount}.",
    },
    "explain_fee_day": {
        "fr": "Le {first}, 1 jour sur {whole} : {full} × {part} / {whole} = {amount}.",
        "en": "On {first}, 1 day of {whole}: {full} × {part} / {whole} = {amount}.",
    },
    "explain_fee_days": {
        "fr": "Du {first} au {last}, {part} jours sur {whole} : {full} × {part} / {whole} = {amount}.",
        "en": "From {first} to {last}, {part} days of {whole}: {full} × {part} / {whole} = {amount}.",
    },
    "explain_fee_seconds": {
        "fr": "Du {first} au {last}, {part} secondes sur {whole} : {full} × {part} / {whole} = {amount}.",
        "en": "From {first} to {last}, {part} seconds of {whole}: {full} × {part} / {whole} = {amount}.",
    },
    "explain_fee_clock": {
        "fr": "Du {first} au {last}, {part} jours sur {whole}, l'heure ayant changé : "
        "{full} × {seconds} / {of_seconds} secondes = {amount}.",
        "en": "From {first} to {last}, {part} days of {whole}, the clocks having changed: "
        "{full} × {seconds} / {of_seconds} seconds = {amount}.",
    },
    "explain_discount": {
        "fr": "Retiré de l'abonnement qui commence le {first}.",
        "en": "Taken off the subscription that begins on {first}.",
    },
    "explain_percent": {
        "fr": "Code {code} : {percent} % de l'abonnement qui commence le {first}, soit {amount}.",
        "en": "Code {code}: {percent} % of the subscription that begins on {first}, which is {amount}.",
    },
    "explain_off": {
        "fr": "Code {code} : {full} au plus sur l'abonnement qui commence le {first}, soit {amount}.",
        "en": "Code {code}: at most {full} off the subscription that begins on {first}, which is {amount}.",
    },
    "explain_part_day": {"fr": "Le {first}, 1 jour sur {whole}.", "en": "On {first}, 1 day of {whole}."},
    "explain_part_days": {
        "fr": "Du {first} au {last}, {part} jours sur {whole}.",
        "en": "From {first} to {last}, {part} days of {whole}.",
    },
    "explain_part_seconds": {
        "fr": "Du {first} au {last}, {part} secondes sur {whole}.",
        "en": "From {first} to {last}, {part} seconds of {whole}.",
    },
    "explain_here": {"fr": "Dont {amount} ici.", "en": "Of that {amount} here."},
    "explain_change": {
        "fr": "Pour le temps du {first} au {last}, à la seconde près.",
        "en": "For the time from {first} to {last}, by the second.",
    },
    "explain_item": {"fr": "{quantity} × {unit} = {amount}.", "en": "{quantity} × {unit} = {amount}."},
    "explain_credited": {
        "fr": "Repris sur la ligne {position} de la facture {number}.",
        "en": "Taken back of line {position} of invoice {number}.",
    },
    "explain_days": {"fr": "Par jour : {days}.", "en": "By day: {days}."},
    "explain_span": {
        "fr": "Du {first} au {last} : {used} utilisés, {included} inclus dans le mois, dont {before} utilisés avant. "
        "À facturer : {rated}.",
        "en": "From {first} to {last}: {used} used, {included} included in the month, {before} of them used before. "
        "To be billed: {rated}.",
    },
    "explain_span_unlimited": {
        "fr": "Du {first} au {last} : {used} utilisés, tous inclus.",
        "en": "From {first} to {last}: {used} used, all of them included.",
    },
    "explain_flat": {"fr": "{quantity} × {unit} = {amount}.", "en": "{quantity} × {unit} = {amount}."},
    "explain_tier": {
        "fr": "De {above} à {up_to} : {quantity} × {unit}{flat} = {amount}.",
        "en": "From {above} to {up_to}: {quantity} × {unit}{flat} = {amount}.",
    },
    "explain_tier_last": {
        "fr": "Au-delà de {above} : {quantity} × {unit}{flat} = {amount}.",
        "en": "Above {above}: {quantity} × {unit}{flat} = {amount}.",
    },
    "explain_package": {
        "fr": "Lots de {size}, un lot commencé est dû : {quantity} × {unit} = {amount}.",
        "en": "Packages of {size}, one that is begun is paid whole: {quantity} × {unit} = {amount}.",
    },
    "explain_rounded": {"fr": "Arrondi une fois : {amount}.", "en": "Rounded once: {amount}."},
    "explain_late": {
        "fr": "{metric} de {month}, connu après sa facture : {before} → {after}, {then_amount} → {now_amount}.",
        "en": "{metric} of {month}, known after its invoice: {before} → {after}, {then_amount} → {now_amount}.",
    },
    "explain_late_part": {
        "fr": "Offre {plan} : {then} étaient facturés ({then_amount}), ce sont {now} ({now_amount}).",
        "en": "Plan {plan}: {then} had been billed ({then_amount}), it is {now} ({now_amount}).",
    },
    "explain_late_sum": {
        "fr": "Différence : {now_amount} - {then_amount} = {amount}.",
        "en": "Difference: {now_amount} - {then_amount} = {amount}.",
    },
    "explain_event": {
        "fr": "Dernier événement : {quantity} le {at}, enregistré le {recorded_at} sous {id}.",
        "en": "Last event: {quantity} at {at}, recorded at {recorded_at} as {id}.",
    },
    "explain_last_day": {
        "fr": "Dernier jour d'usage : {day}, {quantity}.",
        "en": "Last day of use: {day}, {quantity}.",
    },
    "explain_tax": {
        "fr": "TVA {rate} % ({category}) sur {base} : {tax}",
        "en": "VAT {rate} % ({category}) on {base}: {tax}",
    },
    "explain_total": {
        "fr": "Net {net} + TVA {tax} = {amount} {currency}",
        "en": "Net {net} + VAT {tax} = {amount} {currency}",
    },
    "explain_differs": {
        "fr": "Attention : le calcul refait donne {amount} {currency}.",
        "en": "Caution: worked out again it comes to {amount} {currency}.",
    },
}
