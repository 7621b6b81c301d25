"""What lines come to, and what a credit note takes back: every number is worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.cases import cases
from turf_saas.credit_split import CreditLine, gross_of, left_of, split_credit
from turf_saas.errors import Conflict, InvalidInput
from turf_saas.invoice_totals import Tax, TaxedLine, Totals, net_of, tax_of, total
from turf_saas.money import share, to_cents
from turf_saas.pricing import calculate, price_from

TWENTY, TEN, REDUCED, NOTHING = Decimal(20), Decimal(10), Decimal("5.5"), Decimal(0)


def line_of(given: dict[str, Any]) -> TaxedLine:
    if "tiers" in given:
        price = price_from({"metric": "tokens", "model": "tiered", "tiers": given["tiers"]})
        cents = calculate(price, given["quantity"], "EUR").amount_cents
    else:
        cents = to_cents(given["quantity"] * Decimal(given["unit_amount"]), "EUR")
    return TaxedLine(cents, given.get("category", "S"), Decimal(given["rate"]), given.get("tax_behavior", "exclusive"))


def exclusive(cents: int, rate: Decimal = TWENTY) -> TaxedLine:
    return TaxedLine(cents, "S", rate)


def inclusive(cents: int, rate: Decimal = TWENTY) -> TaxedLine:
    return TaxedLine(cents, "S", rate, "inclusive")


def numbers(totals: Totals) -> tuple[int, int, int]:
    return totals.net_cents, totals.tax_cents, totals.amount_cents


@pytest.mark.parametrize("case", cases("invoicing"), ids=lambda case: case["id"])
def test_documents_come_to_their_totals(case: dict[str, Any]) -> None:
    found = total([line_of(line) for line in case["inputs"]["lines"]])
    expected = case["expected"]
    assert numbers(found) == (expected["net_cents"], expected["tax_cents"], expected["amount_cents"])


@pytest.mark.parametrize("case", [case for case in cases("credits") if case["inputs"]["kind"] == "note"])
def test_a_credited_fee_bears_its_tax_on_the_rounded_net(case: dict[str, Any]) -> None:
    given, expected = case["inputs"], case["expected"]
    part, whole = map(int, given["unused"].split("/"))
    found = total([exclusive(share(given["fee_cents"], part, whole), Decimal(given["vat_rate"]))])
    assert numbers(found) == (expected["net_cents"], expected["tax_cents"], expected["amount_cents"])


@pytest.mark.parametrize("case", [case for case in cases("rounding") if case["inputs"]["kind"].startswith("tax")])
def test_a_tax_as_others_round_it(case: dict[str, Any]) -> None:
    given, expected = case["inputs"], case["expected"]
    nets = given["lines_cents"] if "lines_cents" in given else [given["net_cents"]]
    found = total([exclusive(net, Decimal(given["vat_rate"])) for net in nets])
    assert found.tax_cents == expected["tax_cents"]


def test_the_taxes_are_by_category_and_the_highest_rate_first() -> None:
    found = total([exclusive(300, REDUCED), exclusive(100), TaxedLine(50, "E", NOTHING), exclusive(200, TEN)])
    assert found.taxes == (
        Tax("E", NOTHING, 50, 0), Tax("S", TWENTY, 100, 20), Tax("S", TEN, 200, 20), Tax("S", REDUCED, 300, 17),
    )  # fmt: skip
    assert found.lines_net_cents == (300, 100, 50, 200)
    assert numbers(found) == (650, 57, 707)


def test_one_rate_however_it_is_written_is_one_tax() -> None:
    assert total([exclusive(3, Decimal("20.0")), exclusive(3)]).taxes == (Tax("S", TWENTY, 6, 1),)


def test_nothing_comes_to_nothing() -> None:
    assert total([]) == Totals((), (), 0, 0)


def test_a_discount_mirrors_its_charge() -> None:
    """−9.99 with tax inside is −8.33 − 1.66, and a tax of −0.5 cents is −1."""
    assert numbers(total([inclusive(-999)])) == (-833, -166, -999)
    assert (tax_of(5, TEN), tax_of(-5, TEN)) == (1, -1)
    assert (net_of(999, TWENTY), net_of(-999, TWENTY)) == (833, -833)
    assert numbers(total([inclusive(999), inclusive(-999)])) == (0, 0, 0)


def test_inclusive_lines_are_rounded_one_by_one_and_cost_what_they_say() -> None:
    """3 × 0.10: each 8.33 → 8 cents net; together 24 + 6, where 0.30 at once would be 25 + 5."""
    assert numbers(total([inclusive(10)] * 3)) == (24, 6, 30)
    assert numbers(total([inclusive(30)])) == (25, 5, 30)


# -- credit notes --------------------------------------------------------------------------------------


TEN_EUROS = total([exclusive(1000)]).taxes
TWO_RATES = total([exclusive(1000), exclusive(2000, REDUCED)]).taxes  # 12.00 and 21.10


def test_an_invoice_credited_in_thirds_is_credited_to_the_cent() -> None:
    credited: list[Tax] = []
    for net, tax in ((333, 67), (333, 67), (334, 66)):
        note = split_credit(TEN_EUROS, credited, amount_cents=400)
        assert note == (Tax("S", TWENTY, -net, -tax),)
        credited += note
    assert left_of(TEN_EUROS, credited) == ()


def test_nothing_said_takes_all_that_is_left() -> None:
    assert split_credit(TWO_RATES) == (Tax("S", TWENTY, -1000, -200), Tax("S", REDUCED, -2000, -110))
    first = split_credit(TEN_EUROS, amount_cents=400)
    assert split_credit(TEN_EUROS, first) == (Tax("S", TWENTY, -667, -133),)


def test_an_amount_is_spread_over_the_rates_in_proportion() -> None:
    """Of 10.00: 10 × 12.00 / 33.10 = 3.6254 and 6.3746; 3.63 is 3.03 + 0.60 (3.025), 6.37 is 6.04 + 0.33."""
    assert split_credit(TWO_RATES, amount_cents=1000) == (
        Tax("S", TWENTY, -303, -60),
        Tax("S", REDUCED, -604, -33),
    )


def test_a_line_is_credited_with_its_tax_and_the_last_of_a_rate_takes_the_rest() -> None:
    invoice = total([inclusive(999)]).taxes
    assert split_credit(invoice, lines=[CreditLine(833, "S", TWENTY)]) == (Tax("S", TWENTY, -833, -166),)
    part = split_credit(invoice, lines=[CreditLine(400, "S", TWENTY)])
    assert part == (Tax("S", TWENTY, -400, -80),)
    assert split_credit(invoice, part, lines=[CreditLine(433, "S", TWENTY)]) == (Tax("S", TWENTY, -433, -86),)


def credited_by(invoice: tuple[Tax, ...], *wishes: dict[str, Any]) -> list[tuple[int, int]]:
    """Net and VAT of each credit note, of an invoice with one rate."""
    credited: list[Tax] = []
    for wish in wishes:
        credited += split_credit(invoice, credited, **wish)
    return [(-tax.base_cents, -tax.tax_cents) for tax in credited]


def test_many_small_amounts_take_neither_more_net_nor_more_tax_than_there_is() -> None:
    """Of 0.10 + 0.02 each cent is net by itself (0.83), and the last two are what is left: VAT.

    Of 1.00 + 0.20 each 0.04 is 0.03 + 0.01 (3.33); after twenty of them there is no VAT left.
    """
    cent, four = {"amount_cents": 1}, {"amount_cents": 4}
    assert credited_by(total([exclusive(10)]).taxes, *[cent] * 12) == [(1, 0)] * 10 + [(0, 1)] * 2
    assert credited_by(total([exclusive(100)]).taxes, *[four] * 30) == [(3, 1)] * 20 + [(4, 0)] * 10


def test_the_last_line_of_a_rate_takes_the_rest_of_its_tax_and_none_more_than_it() -> None:
    """3.32 bears 0.664 and 3.33 bears 0.666: rounded each time, the third would leave 0.01, or take 0.01 too much."""

    def line(net: int) -> dict[str, Any]:
        return {"lines": [CreditLine(net, "S", TWENTY)]}

    assert credited_by(TEN_EUROS, line(332), line(332), line(336)) == [(332, 66), (332, 66), (336, 68)]
    assert credited_by(TEN_EUROS, line(333), line(333), line(333)) == [(333, 67), (333, 67), (333, 66)]
    assert credited_by(TEN_EUROS, line(333), line(333), line(333), line(1))[-1] == (1, 0)


def test_a_discount_is_taken_back_with_its_fee() -> None:
    invoice = total([exclusive(1000), exclusive(-100)]).taxes
    lines = [CreditLine(1000, "S", TWENTY), CreditLine(-100, "S", TWENTY)]
    assert split_credit(invoice, lines=lines) == (Tax("S", TWENTY, -900, -180),)


@pytest.mark.parametrize(("amount", "net", "tax"), [(1199, 999, 200), (1200, 1000, 200), (1, 1, 0)])
def test_up_to_what_is_left(amount: int, net: int, tax: int) -> None:
    assert split_credit(TEN_EUROS, amount_cents=amount) == (Tax("S", TWENTY, -net, -tax),)


def test_never_more_than_what_is_left() -> None:
    with pytest.raises(Conflict) as refused:
        split_credit(TEN_EUROS, amount_cents=1201)
    assert (refused.value.code, refused.value.params) == ("credit_too_large", {"left_cents": 1200})
    with pytest.raises(Conflict) as refused:
        split_credit(TEN_EUROS, split_credit(TEN_EUROS, amount_cents=400), amount_cents=801)
    assert refused.value.params == {"left_cents": 800}
    for line in (CreditLine(1001, "S", TWENTY), CreditLine(1, "S", TEN)):
        with pytest.raises(Conflict) as refused:
            split_credit(TEN_EUROS, lines=[line])
        assert refused.value.code == "credit_too_large"


def test_what_is_credited_whole_or_was_nothing_is_credited_no_more() -> None:
    for invoice, credited in ((TEN_EUROS, split_credit(TEN_EUROS)), (total([exclusive(0)]).taxes, ()), ((), ())):
        with pytest.raises(Conflict) as refused:
            split_credit(invoice, credited)
        assert refused.value.code == "nothing_left_to_credit"


@pytest.mark.parametrize("amount", [0, -1, True, 12.0, "12", Decimal(12)])
def test_an_amount_is_a_whole_number_of_cents(amount: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        split_credit(TEN_EUROS, amount_cents=amount)
    assert refused.value.code == "credit_invalid"


@pytest.mark.parametrize("lines", [[], [CreditLine(0, "S", TWENTY)], [CreditLine(-1, "S", TWENTY)]])
def test_lines_take_something_back(lines: list[CreditLine]) -> None:
    with pytest.raises(InvalidInput) as refused:
        split_credit(TEN_EUROS, lines=lines)
    assert refused.value.code == "credit_invalid"


def test_a_rate_that_came_to_less_than_nothing_goes_with_the_last_credit() -> None:
    """12.00 at 20 %, and a credit of 2.20 at 10 %: 9.80 in all."""
    invoice = total([exclusive(1000), exclusive(-200, TEN)]).taxes
    first = split_credit(invoice, amount_cents=979)
    assert (first, gross_of(first)) == ((Tax("S", TWENTY, -816, -163),), -979)
    assert split_credit(invoice, first) == (Tax("S", TWENTY, -184, -37), Tax("S", TEN, 200, 20))
