"""What is told of credit notes that nobody asked for, in which language and numbers, and of the last event."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_db import Connection
from tests.billed import APRIL, JUNE, MAY, at, bill
from tests.cast import Cast, Person
from tests.domain import issuing as desk
from tests.domain.issuing import SETTINGS, begin, correct, invoice_of, leave, move, report, run, sell, settings_with
from tests.domain.tables import change
from turf_saas import discounts, invoices, profiles
from turf_saas.buyer import Buyer
from turf_saas.errors import InvalidInput
from turf_saas.invoice_explaining import Explanation, explain_invoice, explain_month
from turf_saas.said_again import said_again
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import Month
from turf_saas.verifying import verify

LATE_NOTE = """\
Credit note FACT-202606-0002 of 2026-06-01 on invoice FACT-202605-0001, amounts in EUR.

1. Credit on invoice FACT-202605-0001: reports above the big plan: -10.00
   reports of 2026-04, known after its invoice: 250 → 100, 15.00 → 5.00.
   By day: 2026-04-20: 250 → 100.
   Plan big: 250 had been billed (15.00), it is 100 (5.00).
   Packages of 100, one that is begun is paid whole: 1 × 5.00 = 5.00.
   Difference: 5.00 - 15.00 = -10.00.
   Taken back of line 5 of invoice FACT-202605-0001.
   Last event: -150 at 2026-05-10T00:00:00Z, recorded at 2026-05-10T00:00:00Z as ID.

VAT 20 % (S) on -10.00: -2.00
Net -10.00 + VAT -2.00 = -12.00 EUR
"""


def explained(db: Connection, number: str, locale: str | None = None, settings: Settings = SETTINGS) -> Explanation:
    return explain_invoice(db, settings, invoices.get_invoice(db, 1, number), locale)


def notes(db: Connection, person: Person, month: Month, **given: Any) -> list[Explanation]:
    """What is told of the credit notes of a month's invoice, the oldest first."""
    found = invoices.list_credit_notes(db, invoice_of(db, person, month).id)
    return [explained(db, note.number, **given) for note in found]


def told(found: Explanation) -> list[str]:
    return [sentence for one in found.lines for sentence in one.told]


def assert_proved(db: Connection) -> None:
    assert verify(db, SETTINGS, JUNE).wrong.shown == []
    desk.assert_sound(db)


# -- credit notes ------------------------------------------------------------------------------------------


def test_use_that_became_less_is_told_with_what_was_billed_and_what_it_is(db: Connection, people: Cast) -> None:
    bill(db, people)
    found = explained(db, "FACT-202606-0002")
    assert re.sub(r"[0-9a-f]{32}", "ID", found.text) == LATE_NOTE
    assert (found.lines[0].recomputed_cents, found.lines[0].days) == (-1_000, {"2026-04-20": 100})
    assert_proved(db)


def test_of_several_lines_that_billed_it_each_note_says_what_is_here(db: Connection, alice: Person) -> None:
    """3.00 of the month's invoice and 2.00 that came late: 4.00 are taken back, the late ones first."""
    sell(db, "payg", 0, desk.flat("tokens", "0.10"))
    begin(db, alice, "payg", at(4, 1))
    first = report(db, alice, 30, at(4, 10), at(4, 10), "tokens")
    run(db, at(5, 1))
    second = report(db, alice, 20, at(4, 11), at(5, 2), "tokens")
    run(db, at(6, 1))
    correct(db, first, 20, at(6, 2))
    correct(db, second, 20, at(6, 2))
    run(db, at(7, 1))
    whole = "tokens of 2026-04, known after its invoice: 50 → 10, 5.00 → 1.00."
    for month, here in ((MAY, "2.00"), (APRIL, "2.00")):
        [note] = notes(db, alice, month)
        assert told(note)[0] == whole
        assert f"Of that {here} here." in told(note)
    assert_proved(db)


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (at(6, 14), "From 2026-06-14 to 2026-06-19, 6 days of 31: 31.00 × 6 / 31 = 6.00."),
        (at(6, 19), "On 2026-06-19, 1 day of 31: 31.00 × 1 / 31 = 1.00."),
        (at(6, 4, 12), "From 2026-06-04 to 2026-06-19, 1339200 seconds of 2678400: 31.00 × 1339200 / 2678400 = 15.50."),
    ],
)
def test_a_fee_that_is_given_back_is_told_with_its_part(
    db: Connection, alice: Person, when: datetime, sentence: str
) -> None:
    """31.00 from 20 May to 20 June, invoiced with May."""
    sell(db, "solo", 3_100, cycle="anniversary")
    begin(db, alice, "solo", at(5, 20))
    run(db, at(6, 1))
    leave(db, alice, when)
    [note] = notes(db, alice, MAY)
    assert told(note) == [
        "Credit for the time left on Solo (end of the subscription).",
        sentence,
        "Taken back of line 1 of invoice FACT-202606-0001.",
    ]
    assert_proved(db)


def test_of_a_fee_with_a_discount_the_price_after_it_is_told(db: Connection, alice: Person) -> None:
    """The fee had 10 % off."""
    discounts.create_discount(db, at(1, 1), 1, code="TENTH", percent="10", duration="once")
    sell(db, "solo", 3_100, cycle="anniversary")
    sell(db, "max", 6_200, cycle="anniversary")
    begin(db, alice, "solo", at(5, 20), discount_code="TENTH")
    run(db, at(6, 1))
    move(db, alice, "max", at(6, 4))
    [note] = notes(db, alice, MAY)
    assert told(note)[:2] == [
        "Credit for the time left on Solo (change to Max).",
        "From 2026-06-04 to 2026-06-19, 16 days of 31: 27.90 × 16 / 31 = 14.40.",
    ]
    run(db, at(7, 1))
    [charge] = [one for one in explained(db, invoice_of(db, alice, JUNE).number).lines if one.kind == "charge"]
    # The discount was taken off the fee of the period, and stays off to its end: 62.00 less 6.20.
    assert charge.told == ("From 2026-06-04 to 2026-06-19, 16 days of 31: 55.80 × 16 / 31 = 28.80.",)
    assert_proved(db)


def test_a_credit_of_two_things_says_what_of_it_is_here(db: Connection, alice: Person) -> None:
    """13.33 are given back, of which the charge has 6.67 left, and the fee gives the rest."""
    sell(db, "ten", 1_000)
    sell(db, "forty", 4_000)
    begin(db, alice, "ten", at(6, 1))
    move(db, alice, "forty", at(6, 11))
    change(
        db,
        """INSERT INTO billing_pending_items (user_id, month, kind, amount_cents, currency, billing_period_id,
                                              credits_item_id, created_at)
           SELECT user_id, month, 'credit', -2000, currency, billing_period_id, id, created_at
             FROM billing_pending_items WHERE kind = 'charge'""",
    )
    leave(db, alice, at(6, 21))
    desk.add_item(db, alice, 1_000, JUNE)
    draft = explain_month(db, at(6, 22), SETTINGS, User(alice.id, 1, "user"), JUNE)
    whole = "From 2026-06-21 to 2026-06-30, 10 days of 30: 40.00 × 10 / 30 = 13.33."
    assert [one.told for one in draft.lines if one.kind == "credit"][-2:] == [
        (whole, "Of that 6.67 here."),
        (whole, "Of that 6.66 here."),
    ]


@pytest.mark.parametrize(
    ("cents", "sentence"),
    [
        (310, "Du 2026-03-05 au 2026-03-31, 27 jours sur 31 : 3,10 × 27 / 31 = 2,70."),
        # 2,674,800 seconds; 31.00 by the day would be 27.00
        (3_100, "Du 2026-03-05 au 2026-03-31, 27 jours sur 31, l'heure ayant changé : 31,00 × {} = 26,99."),
    ],
)  # fmt: skip
def test_days_are_those_of_the_timezone_whatever_the_clocks_do(
    db: Connection, alice: Person, cents: int, sentence: str
) -> None:
    """March has 31 days in Paris, of which one has 23 hours."""
    paris = settings_with(BILLING_TIMEZONE="Europe/Paris")
    sell(db, "solo", cents)
    begin(db, alice, "solo", datetime(2026, 3, 5, 12, tzinfo=UTC), settings=paris)
    draft = explain_month(db, at(3, 20), paris, User(alice.id, 1, "user"), Month(2026, 3), "fr")
    assert draft.lines[0].told == (sentence.format("2329200 / 2674800 secondes"),)


# -- language and numbers ----------------------------------------------------------------------------------


def test_it_is_told_in_the_language_of_the_invoice_or_in_the_one_that_is_asked_for(
    db: Connection, people: Cast
) -> None:
    alice = people.alice
    profiles.set_profile(db, at(4, 1), alice.id, 1, Buyer(locale="fr", country="FR"))
    sell(db, "payg", 1_000, desk.flat("tokens", "0.5"))
    begin(db, alice, "payg", at(4, 1))
    event = report(db, alice, 3, at(4, 10), at(4, 10), "tokens")
    desk.add_item(db, alice, 250, APRIL, description="Mise en place", quantity="2.5", unit_amount="1")
    draft = explain_month(db, at(4, 20), SETTINGS, User(alice.id, 1, "user"), APRIL)
    assert (draft.locale, draft.lines[0].description) == ("fr", "Abonnement Payg")
    run(db, at(5, 1))
    correct(db, event, 1, at(5, 2))
    run(db, at(6, 1))
    number = invoice_of(db, alice, APRIL).number
    own, english = explained(db, number), explained(db, number, "en")
    assert [one.description for one in own.lines] == [
        "Abonnement Payg", "tokens au-delà de l'offre payg", "Mise en place",
    ]  # fmt: skip
    assert [one.description for one in english.lines] == [
        "Payg subscription", "tokens above the payg plan", "Mise en place",
    ]  # fmt: skip
    assert own.text.startswith("Facture ")
    assert {"3 × 0,50 = 1,50.", "2,5 × 1,00 = 2,50."} <= {*told(own)}
    assert {"3 × 0.50 = 1.50.", "2.5 × 1.00 = 2.50."} <= {*told(english)}
    [note] = notes(db, alice, APRIL, locale="en")
    assert note.lines[0].description == f"Credit on invoice {number}: tokens above the payg plan"
    [note] = notes(db, alice, APRIL)
    assert "tokens de 2026-04, connu après sa facture : 3 → 2, 1,50 → 1,00." in told(note)


def test_titles_are_said_again_by_their_names(db: Connection, alice: Person) -> None:
    titles = {
        "base": ("Abonnement Pro, première période écourtée", "Pro subscription, short period"),
        "discount": ("Remise sur l'abonnement Pro", "Discount on the Pro subscription"),
        "credit": (
            "Crédit du temps restant de l'offre Pro (passage à Max)",
            "Credit for the time left on Pro (change to Max)",
        ),
        "charge": (
            "Temps restant de la période à l'offre Max (auparavant Pro)",
            "Time left of the period on Max (before: Pro)",
        ),
        "late": (
            "tokens de 2026-04, déclaré après la facture de ce mois",
            "tokens of 2026-04, reported after that month's invoice",
        ),
        "item": ("Abonnement à la main", "Abonnement à la main"),
    }
    for kind, (french, english) in titles.items():
        assert said_again(french, kind, "fr", "en") == english
        assert said_again(english, kind, "en", "fr") == french
        assert said_again("By hand", kind, "en", "fr") == "By hand"


# -- months, and the last event ----------------------------------------------------------------------------


def test_a_month_that_has_not_begun_is_refused(db: Connection, alice: Person) -> None:
    user = User(alice.id, 1, "user")
    assert explain_month(db, at(4, 30), SETTINGS, user, APRIL, "en").text == "The month 2026-04 has nothing to bill.\n"
    with pytest.raises(InvalidInput, match="The month 2026-05 has not begun") as refused:
        explain_month(db, at(4, 30), SETTINGS, user, MAY)
    assert refused.value.code == "month_to_come"


def last(found: Explanation) -> list[int]:
    return [one.last_event.quantity for one in found.lines if one.last_event is not None]


def test_the_last_event_is_one_that_was_billed(db: Connection, alice: Person) -> None:
    """7 come in the second of the run, behind it; 5 in the same second were before it."""
    sell(db, "payg", 0, desk.flat("tokens", "0.10"))
    begin(db, alice, "payg", at(4, 1))
    report(db, alice, 3, at(4, 20), at(4, 20), "tokens")
    report(db, alice, 5, at(4, 20), at(5, 1) - timedelta(seconds=2), "tokens")
    run(db, at(5, 1))
    report(db, alice, 7, at(4, 20), at(5, 1), "tokens")
    april = explained(db, invoice_of(db, alice, APRIL).number)
    assert (april.lines[0].quantity, last(april)) == ("8", [5])
    run(db, at(6, 1))
    assert last(explained(db, invoice_of(db, alice, MAY).number)) == [7]
    assert last(explained(db, april.number or "")) == [5], "whatever became known since"


def test_an_event_of_the_second_of_the_run_that_was_billed_is_the_last_one(db: Connection, alice: Person) -> None:
    sell(db, "payg", 0, desk.flat("tokens", "0.10"))
    begin(db, alice, "payg", at(4, 1))
    report(db, alice, 3, at(4, 20), at(4, 20), "tokens")
    report(db, alice, 5, at(4, 20), at(5, 1), "tokens")
    run(db, at(5, 1))
    assert last(explained(db, invoice_of(db, alice, APRIL).number)) == [5]


def test_where_somebody_counts_without_events_the_last_one_is_from_before_the_run(
    db: Connection, alice: Person
) -> None:
    sell(db, "payg", 0, desk.flat("tokens", "0.10"))
    begin(db, alice, "payg", at(4, 1))
    report(db, alice, 3, at(4, 20), at(4, 20), "tokens")
    run(db, at(5, 1))
    alice.has_used(4, "tokens", day="2026-04-20")
    report(db, alice, 9, at(4, 20), at(5, 1), "tokens")
    assert last(explained(db, invoice_of(db, alice, APRIL).number)) == [3]
