"""The catalogue: plans in versions, so that nobody's price or limit changes under him."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any, TypeVar

import pytest

import billing_db
from billing_db import Connection, fetch_all, fetch_one
from tests.cast import OTHER_TENANT, Cast, Person
from turf_saas import catalogue, discounts, tenants
from turf_saas.catalogue import PlanDraft
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.plans import PlanLimit
from turf_saas.prices import price_from
from turf_saas.quotas import get_consumption
from turf_saas.rollover import bring_up_to_date
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscriptions import find_live
from turf_saas.users import User
from turf_saas.values import Month

SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})
TEN = PlanDraft("ten", "Ten", 1_000, "EUR", limits={"api_calls": PlanLimit(100, "hard")})
Answer = TypeVar("Answer")


def at(text: str) -> datetime:
    day, _, hour = text.partition(" ")
    return datetime.fromisoformat(f"2026-{day}T{hour or '00:00'}").replace(tzinfo=UTC)


def sell(db: Connection, draft: PlanDraft = TEN, when: str = "01-01", tenant_id: int = 1) -> Any:
    return catalogue.create_plan(db, at(when), tenant_id, draft, by="user:4")


def edit(db: Connection, when: str, **changes: Any) -> Any:
    existing = changes.pop("existing", "keep")
    return catalogue.edit_plan(db, at(when), 1, "ten", changes, existing=existing, by="user:4")


def begin(db: Connection, person: Person, when: str, plan: str = "ten") -> Any:
    return subscribe(db, at(when), SETTINGS, User(person.id, person.tenant_id, "user"), plan)


def version_of(db: Connection, person: Person) -> int:
    live = find_live(db, person.id)
    assert live is not None
    assert live.plan_id is not None
    return catalogue.get_version(db, live.plan_id).version


def limit_of(db: Connection, person: Person, when: str) -> int | None:
    return get_consumption(db, at(when), SETTINGS, person.id).gauges[0].limit


def side_by_side(url: str, *deeds: Callable[[Connection], Answer]) -> list[Answer | Exception]:
    """Each on a connection of its own, all at the same moment; a refusal is an answer."""
    start = Barrier(len(deeds), timeout=30)

    def run(deed: Callable[[Connection], Answer]) -> Answer | Exception:
        db = billing_db.connect(url)
        try:
            start.wait()
            return deed(db)
        except Conflict as refused:
            return refused
        finally:
            db.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds, timeout=60))


# -- versions --------------------------------------------------------------------------------------------


def test_an_edit_makes_a_version_and_the_one_before_stays_as_it_was(db: Connection) -> None:
    first = sell(db)
    second = edit(db, "01-10", amount_cents=1_500, limits={"api_calls": PlanLimit(200, "hard")})
    assert (first.version, second.version, second.amount_cents) == (1, 2, 1_500)
    assert catalogue.get_version(db, first.id) == first
    assert catalogue.get_plan(db, 1, "ten") == second
    row = fetch_one(db, "SELECT created_by, created_at, superseded_at FROM billing_plans WHERE id = :id", id=first.id)
    assert tuple(row[name] for name in ("created_by", "created_at", "superseded_at")) == (
        "user:4",
        "2026-01-01T00:00:00Z",
        "2026-01-10T00:00:00Z",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amount_cents": 1_000, "name": "Ten"},
        {"limits": {"api_calls": PlanLimit(100)}},
        {"prices": tuple(price_from({"metric": m, "model": "flat", "unit_amount": "0.10"}) for m in ("b", "a"))},
    ],
)
def test_what_changes_nothing_makes_no_version(db: Connection, changes: dict[str, Any]) -> None:
    prices = tuple(price_from({"metric": m, "model": "flat", "unit_amount": "0.1"}) for m in ("a", "b"))
    sell(db, replace(TEN, prices=prices))
    assert edit(db, "01-10", **changes).version == 1
    assert len(fetch_all(db, "SELECT id FROM billing_plans WHERE code = 'ten'")) == 1


def test_a_subscriber_keeps_his_price_and_his_limits_when_the_edit_says_keep(
    db: Connection, alice: Person, bob: Person
) -> None:
    sell(db)
    begin(db, alice, "01-01")
    edit(db, "01-10", amount_cents=1_500, limits={"api_calls": PlanLimit(50, "hard")})
    begin(db, bob, "01-10")
    for when in ("01-20", "02-20", "03-20"):
        for person in (alice, bob):
            bring_up_to_date(db, at(when), SETTINGS, person.id)
        assert (version_of(db, alice), limit_of(db, alice, when)) == (1, 100)
        assert (version_of(db, bob), limit_of(db, bob, when)) == (2, 50)
    fees = fetch_all(db, "SELECT fee_cents FROM billing_periods WHERE user_id = 1 ORDER BY id")
    assert [row["fee_cents"] for row in fees] == [1_000, 1_000, 1_000]


def test_a_subscriber_moves_when_his_period_ends_and_no_sooner_when_the_edit_says_so(
    db: Connection, alice: Person
) -> None:
    sell(db)
    begin(db, alice, "01-01")
    edit(db, "01-05", amount_cents=1_200)
    edit(db, "01-10", existing="next_period", amount_cents=1_500, limits={"api_calls": PlanLimit(50, "hard")})
    for when, version, limit in (("01-31 23:59", 1, 100), ("02-01", 3, 50)):
        bring_up_to_date(db, at(when), SETTINGS, alice.id)
        assert (version_of(db, alice), limit_of(db, alice, when)) == (version, limit)
    fees = fetch_all(db, "SELECT fee_cents FROM billing_periods WHERE user_id = 1 ORDER BY id")
    assert [row["fee_cents"] for row in fees] == [1_000, 1_500]


def test_whoever_was_kept_can_be_moved_later_without_another_change(db: Connection, alice: Person) -> None:
    sell(db)
    begin(db, alice, "01-01")
    edit(db, "01-05", amount_cents=1_200)
    assert edit(db, "01-10", existing="next_period").version == 2
    bring_up_to_date(db, at("02-01"), SETTINGS, alice.id)
    assert version_of(db, alice) == 2


def test_a_row_of_three_values_is_on_the_version_that_was_the_newest(db: Connection, alice: Person) -> None:
    sell(db)
    alice.is_on("ten")
    assert limit_of(db, alice, "01-09") == 100
    edit(db, "01-10", limits={"api_calls": PlanLimit(50, "hard")})
    assert (version_of(db, alice), limit_of(db, alice, "01-20")) == (1, 100)
    history = fetch_all(db, "SELECT plan_id, actor, reason FROM billing_status_history WHERE user_id = 1 ORDER BY id")
    assert [(row["plan_id"] is None, row["actor"], row["reason"]) for row in history] == [
        (True, None, None),
        (False, "system", "plan_version"),
    ]


def test_nobody_is_on_the_newest_default_plan(db: Connection, alice: Person) -> None:
    catalogue.edit_plan(db, at("05-02"), 1, "free", {"limits": {"api_calls": PlanLimit(7, "hard")}})
    assert limit_of(db, alice, "05-20") == 7
    before = get_consumption(db, at("05-20"), SETTINGS, alice.id, Month.parse("2026-04"))
    assert before.gauges[0].limit == 300, "April ended before the edit"


def test_nobody_is_moved_into_another_currency(db: Connection, alice: Person) -> None:
    sell(db)
    begin(db, alice, "01-01")
    with pytest.raises(Conflict, match="currency_mismatch"):
        edit(db, "01-05", existing="next_period", currency="USD")
    assert edit(db, "01-05", currency="USD").version == 2
    assert edit(db, "01-06", existing="next_period", amount_cents=1_100).version == 3
    bring_up_to_date(db, at("02-01"), SETTINGS, alice.id)
    assert version_of(db, alice) == 1, "she pays in euros, and the third version is in dollars as well"


# -- selling, archiving ------------------------------------------------------------------------------------


def test_a_plan_that_is_sold_already_is_refused(db: Connection) -> None:
    sell(db)
    with pytest.raises(Conflict, match="plan_exists"):
        sell(db)


def test_an_archived_plan_is_sold_no_more_and_its_subscribers_stay(db: Connection, alice: Person, bob: Person) -> None:
    sell(db)
    begin(db, alice, "01-01")
    archived = catalogue.archive_plan(db, at("01-10"), 1, "ten", default_plan="free")
    assert archived.archived_at == "2026-01-10T00:00:00Z"
    assert catalogue.archive_plan(db, at("01-11"), 1, "ten", default_plan="free") == archived
    assert "ten" not in [plan.code for plan in catalogue.list_plans(db, 1)]
    assert "ten" in [plan.code for plan in catalogue.list_plans(db, 1, archived=True)]
    for refused in (lambda: begin(db, bob, "01-10"), lambda: edit(db, "01-10", amount_cents=1)):
        with pytest.raises(Conflict, match="plan_archived"):
            refused()
    bring_up_to_date(db, at("02-02"), SETTINGS, alice.id)
    assert (version_of(db, alice), limit_of(db, alice, "02-02")) == (1, 100)


def test_an_archived_plan_that_is_sold_again_goes_on_in_the_next_version(
    db: Connection, alice: Person, bob: Person
) -> None:
    sell(db)
    begin(db, alice, "01-01")
    catalogue.archive_plan(db, at("01-10"), 1, "ten", default_plan="free")
    again = sell(db, replace(TEN, amount_cents=2_000), "01-20")
    assert (again.version, again.archived_at) == (2, None)
    begin(db, bob, "01-20")
    bring_up_to_date(db, at("02-02"), SETTINGS, alice.id)
    assert (version_of(db, alice), version_of(db, bob)) == (1, 2)


def test_the_default_plan_is_not_archived(db: Connection) -> None:
    with pytest.raises(Conflict, match="plan_is_default"):
        catalogue.archive_plan(db, at("01-01"), 1, "free", default_plan="free")


def test_a_plan_that_is_not_there_is_not_found(db: Connection) -> None:
    for deed in (
        lambda: edit(db, "01-01", amount_cents=1),
        lambda: catalogue.archive_plan(db, at("01-01"), 1, "ten", default_plan="free"),
        lambda: catalogue.get_plan(db, 1, "ten"),
    ):
        with pytest.raises(NotFound, match="plan_not_found"):
            deed()


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"amount_cents": -1}, "/amount_cents"),
        ({"interval": "year", "cycle": "calendar"}, "/cycle"),
        ({"limits": {"seats": PlanLimit(1, "hard", "day")}}, "/limits/seats/window"),
        ({"currency": "ZZZ"}, "/currency"),
    ],
)
def test_a_change_that_makes_a_bad_plan_is_refused_whole(db: Connection, changes: dict[str, Any], loc: str) -> None:
    prices = (price_from({"metric": "seats", "model": "flat", "unit_amount": "1"}),)
    sell(db, replace(TEN, prices=prices))
    with pytest.raises(InvalidInput) as refused:
        edit(db, "01-10", name="Other", **changes)
    assert [fault.loc for fault in refused.value.faults] == [loc]
    assert catalogue.get_plan(db, 1, "ten").name == "Ten"


def test_a_plan_that_becomes_yearly_is_counted_from_its_anniversary(db: Connection) -> None:
    sell(db)
    assert edit(db, "01-10", interval="year").cycle == "anniversary"
    with pytest.raises(InvalidInput, match="year_is_anniversary"):
        edit(db, "01-11", cycle="calendar")
    assert sell(db, replace(TEN, code="yearly", interval="year")).cycle == "anniversary"


# -- tenants -----------------------------------------------------------------------------------------------


def test_a_new_tenant_sells_what_tenant_1_sells_now_and_goes_its_own_way(db: Connection) -> None:
    sell(db, replace(TEN, stripe_price_id="price_1"))
    edit(db, "01-02", amount_cents=1_100)
    catalogue.archive_plan(db, at("01-02"), 1, "pro", default_plan="free")
    tenant = tenants.create_tenant(db, at("01-03"), "new").id
    copied = catalogue.get_plan(db, tenant, "ten")
    assert (copied.version, copied.amount_cents, copied.stripe_price_id) == (1, 1_100, None)
    assert [plan.code for plan in catalogue.list_plans(db, tenant, archived=True)] == ["free", "ten", "premium"]
    edit(db, "01-04", amount_cents=1_200)
    assert catalogue.get_plan(db, tenant, "ten") == copied


def test_an_edit_touches_no_other_tenants_subscribers(db: Connection, people: Cast) -> None:
    sell(db)
    sell(db, tenant_id=OTHER_TENANT)
    for person in (people.alice, people.charlie):
        person.is_on("ten")
    edit(db, "01-10", amount_cents=1_500)
    rows = fetch_all(db, "SELECT user_id, plan_id FROM saas_subscriptions ORDER BY user_id")
    assert [(row["user_id"], row["plan_id"] is None) for row in rows] == [(1, False), (3, True)]


# -- two at once -------------------------------------------------------------------------------------------


def test_of_two_who_sell_the_same_plan_at_once_one_is_refused(db: Connection, url: str) -> None:
    done = side_by_side(url, *[lambda db, n=n: sell(db, replace(TEN, amount_cents=n)) for n in (1, 2, 3)])
    assert sorted(type(answer).__name__ for answer in done) == ["Conflict", "Conflict", "Plan"]
    assert len(fetch_all(db, "SELECT id FROM billing_plans WHERE code = 'ten'")) == 1


def test_two_edits_at_once_are_two_versions_with_both_changes(db: Connection, url: str) -> None:
    sell(db)
    deeds = [lambda db: edit(db, "01-02", amount_cents=1_500), lambda db: edit(db, "01-02", name="Eleven")]
    done = side_by_side(url, *deeds)
    assert sorted(plan.version for plan in done) == [2, 3]  # type: ignore[union-attr]
    last = catalogue.get_plan(db, 1, "ten")
    assert (last.amount_cents, last.name) == (1_500, "Eleven")


def test_an_archived_plan_stays_archived_when_an_edit_comes_at_once(db: Connection, url: str) -> None:
    """Either the edit comes first, or it is refused: it never puts the plan on sale again."""
    sell(db)
    for number in range(5):
        side_by_side(
            url,
            lambda db: catalogue.archive_plan(db, at("01-02"), 1, "ten", default_plan="free"),
            lambda db, number=number: edit(db, "01-02", amount_cents=2_000 + number),
        )
        assert catalogue.get_plan(db, 1, "ten").archived_at is not None
        sell(db, replace(TEN, name=f"Ten {number}"), "01-03")


# -- discounts ---------------------------------------------------------------------------------------------


def give_out(db: Connection, code: str = "spring", **given: Any) -> Any:
    return discounts.create_discount(
        db, at("01-01"), 1, code=code, **{"percent": "10", "duration": "forever", "by": "user:4", **given}
    )


def redeem(db: Connection, person: Person, code: str = "SPRING", currency: str = "EUR") -> None:
    discounts.redeem(db, at("01-02"), SETTINGS, person.tenant_id, person.id, code, currency)


def test_a_code_is_the_same_in_capitals_and_small_letters(db: Connection, alice: Person) -> None:
    assert give_out(db).code == "SPRING"
    with pytest.raises(Conflict, match="discount_exists"):
        give_out(db, "Spring")
    redeem(db, alice, "sPRING")


def test_a_deleted_code_may_be_given_anew_and_what_runs_goes_on(db: Connection, alice: Person, bob: Person) -> None:
    give_out(db)
    redeem(db, alice)
    assert discounts.delete_discount(db, at("01-03"), 1, "spring").uses == 1
    with pytest.raises(NotFound, match="discount_not_found"):
        discounts.delete_discount(db, at("01-03"), 1, "spring")
    with pytest.raises(InvalidInput, match="discount_unknown"):
        redeem(db, bob)
    assert discounts.find_running(db, alice.id, "EUR", at("05-01")) is not None
    give_out(db, percent="20")
    redeem(db, bob)
    assert [found.uses for found in discounts.list_discounts(db, 1)] == [1]


def test_the_last_use_is_given_to_one_of_two_who_come_at_once(
    db: Connection, url: str, alice: Person, bob: Person
) -> None:
    give_out(db, max_uses=1)
    done = side_by_side(url, lambda db: redeem(db, alice), lambda db: redeem(db, bob))
    assert [getattr(answer, "code", None) for answer in done].count("discount_used_up") == 1
    assert [found.uses for found in discounts.list_discounts(db, 1)] == [1]
    assert len(fetch_all(db, "SELECT id FROM billing_redemptions")) == 1


def test_a_user_redeems_a_code_once_and_a_refusal_uses_nothing_up(db: Connection, alice: Person, bob: Person) -> None:
    give_out(db, max_uses=2)
    redeem(db, alice)
    with pytest.raises(Conflict, match="discount_used"):
        redeem(db, alice)
    assert discounts.list_discounts(db, 1)[0].uses == 1
    redeem(db, bob)


def test_an_amount_goes_off_fees_of_its_own_currency_only(db: Connection, alice: Person) -> None:
    give_out(db, percent=None, amount_cents=500, currency="USD")
    with pytest.raises(Conflict, match="currency_mismatch"):
        redeem(db, alice)
    redeem(db, alice, currency="USD")


def test_another_tenants_codes_are_unknown(db: Connection, charlie: Person) -> None:
    give_out(db)
    with pytest.raises(InvalidInput, match="discount_unknown"):
        redeem(db, charlie)
    with pytest.raises(NotFound, match="discount_not_found"):
        discounts.delete_discount(db, at("01-03"), OTHER_TENANT, "SPRING")
    assert discounts.list_discounts(db, OTHER_TENANT) == []
