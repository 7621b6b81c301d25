"""One call of each operation as it is rightly made, from which the isolation test makes all the wrong ones.

A new route is not covered until it has an example here: test_isolation.py fails for want of one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from billing_db import Connection, atomic, execute
from tests.cast import Cast, Person
from tests.issued import issue_one, line
from turf_saas import accounts, admission, api_keys, catalogue, discounts, profiles
from turf_saas.buyer import Buyer
from turf_saas.catalogue import PlanDraft
from turf_saas.settings import read_settings
from turf_saas.subscribing import subscribe
from turf_saas.subscription_changes import cancel
from turf_saas.subscriptions import find_live, get_subscription as get_stored
from turf_saas.usage import NewEvent, record_event
from turf_saas.users import User, get_users_table
from turf_saas.values import instant_text, parse_instant

NOW = parse_instant("2026-05-20T10:00:00Z")
MARK = "belongs-to-alice"  # in all that alice and ada have: no answer to anybody else may hold it
MARKED_CALLS = 123_457
PASSWORD = "a long enough password"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Call:
    """What stands in the path, the query and the body; `others` are bodies of another shape, where there are some."""

    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    others: tuple[dict[str, Any], ...] = ()


@dataclass
class Stage:
    db: Connection
    people: Cast
    months: Iterator[int] = field(default_factory=lambda: itertools.count(2014 * 12))  # from where France has rates

    def mark(self, person: Person) -> str:
        """A name that is new each time, and says so when it is one of alice's or ada's."""
        of = MARK if person in (self.people.alice, self.people.ada) else f"of-{person.name}"
        return f"{of}-{next(_numbers)}"

    def new_key(self, person: Person, *scopes: str) -> tuple[str, str]:
        """An API key of the person's: its id and its secret."""
        user = User(person.id, person.tenant_id, person.role)
        key, secret = api_keys.create_key(
            self.db, NOW, user, name=self.mark(person), scopes=list(scopes or ("billing.read", "billing.write"))
        )
        return key.id, secret

    def new_hold(self, person: Person) -> str:
        """A reservation for the person."""
        settings = read_settings({"TURF_SAAS_DB": "."})
        user = User(person.id, person.tenant_id, "user")
        return admission.reserve(self.db, datetime.now(UTC), settings, user, "tokens", 7).id

    def new_subscription(self, person: Person) -> int:
        """The id of a subscription that the person has begun; the one before has ended."""
        settings, now = read_settings({"TURF_SAAS_DB": "."}), datetime.now(UTC)
        self.end_subscription(person)
        user = User(person.id, person.tenant_id, person.role)
        return subscribe(self.db, now, settings, user, "premium", by=self.mark(person)).id

    def end_subscription(self, person: Person) -> None:
        live = find_live(self.db, person.id)
        if live is not None:
            cancel(self.db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": "."}), live, when="now")

    def new_month(self) -> str:
        """One that is over, and has no invoice yet."""
        year, number = divmod(next(self.months), 12)
        return f"{year}-{number + 1:02d}"

    def new_invoice(self, person: Person) -> str:
        """The number of an invoice that was issued to the person."""
        return issue_one(self.db, person, line(1_000, description=self.mark(person)), month=self.new_month()).number

    def new_unbilled_month(self, person: Person) -> str:
        """A month in which something of the person's waits for its invoice."""
        month = self.new_month()
        with atomic(self.db):
            execute(
                self.db,
                """INSERT INTO billing_pending_items (tenant_id, user_id, month, kind, amount_cents, currency,
                                                      description, created_at)
                   VALUES (:tenant_id, :user_id, :month, 'item', 100, 'EUR', :mark, :now)""",
                tenant_id=person.tenant_id,
                user_id=person.id,
                month=month,
                mark=self.mark(person),
                now=instant_text(NOW),
            )
        return month

    def new_plan(self, person: Person) -> str:
        """The code of a new plan of the person's tenant."""
        draft = PlanDraft(self.mark(person), self.mark(person), 900, "EUR")
        return catalogue.create_plan(self.db, NOW, person.tenant_id, draft).code

    def new_discount(self, person: Person) -> str:
        """A code that gives something off in the person's tenant."""
        code = self.mark(person)
        return discounts.create_discount(
            self.db, NOW, person.tenant_id, code=code, percent="10", duration="forever"
        ).code

    def new_event(self, person: Person) -> str:
        """The id of something that the person has used."""
        event = NewEvent(person.id, person.tenant_id, "tokens", 3)
        return record_event(self.db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": "."}), event).id

    def new_profile(self, person: Person) -> None:
        """The person has said who is billed."""
        mark = self.mark(person)
        buyer = Buyer("consumer", name=mark, address=mark, city=mark, country="FR", email=f"{mark}@example.org")
        profiles.set_profile(self.db, NOW, person.id, person.tenant_id, buyer)

    def new_login(self, person: Person) -> str:
        """The e-mail address of a new user in the person's tenant, who has PASSWORD."""
        email = f"{self.mark(person)}@example.org"
        users = get_users_table(self.db)
        accounts.create_user(self.db, NOW, users, email=email, password=PASSWORD, tenant_id=person.tenant_id)
        return email


Example = Callable[[Stage, Person], Call]
EXAMPLES: dict[str, Example] = {}


def example(make: Example) -> Example:
    """Named as the operation is. It makes what the call is about, belonging to the person."""
    EXAMPLES[make.__name__] = make
    return make


@example
def consumption(stage: Stage, person: Person) -> Call:
    return Call(query={"month": "2026-05"})


@example
def openapi_json(stage: Stage, person: Person) -> Call:
    return Call()


@example
def healthz(stage: Stage, person: Person) -> Call:
    return Call()


@example
def readyz(stage: Stage, person: Person) -> Call:
    return Call()


@example
def csrf_token(stage: Stage, person: Person) -> Call:
    return Call()


@example
def log_in(stage: Stage, person: Person) -> Call:
    return Call(body={"email": stage.new_login(person), "password": PASSWORD})


@example
def create_user(stage: Stage, person: Person) -> Call:
    mark = stage.mark(person)
    return Call(body={"email": f"{mark}@example.org", "password": PASSWORD, "name": mark})


@example
def create_tenant(stage: Stage, person: Person) -> Call:
    mark = stage.mark(person)
    return Call(body={"name": mark, "admin_email": f"{mark}@example.org", "admin_password": PASSWORD})


@example
def create_tenant_user(stage: Stage, person: Person) -> Call:
    mark = stage.mark(person)
    body = {"email": f"{mark}@example.org", "password": PASSWORD, "name": mark, "role": "user"}
    return Call(path={"tenant_id": person.tenant_id}, body=body)


@example
def create_api_key(stage: Stage, person: Person) -> Call:
    return Call(body={"name": stage.mark(person), "scopes": ["billing.read"], "user_id": person.id})


@example
def list_api_keys(stage: Stage, person: Person) -> Call:
    stage.new_key(person)
    stage.new_key(person)
    return Call(query={"limit": 1})


@example
def revoke_api_key(stage: Stage, person: Person) -> Call:
    return Call(path={"key_id": stage.new_key(person)[0]})


@example
def get_profile(stage: Stage, person: Person) -> Call:
    stage.new_profile(person)
    return Call()


@example
def set_profile(stage: Stage, person: Person) -> Call:
    mark = stage.mark(person)
    body = {"kind": "pro", "name": mark, "address": mark, "zip": "60500", "city": mark, "country": "FR",
            "siren": "303265045", "vat_id": "FR40303265045", "email": f"{mark}@example.org"}  # fmt: skip
    return Call(query={"user_id": person.id}, body=body)


@example
def list_quotas(stage: Stage, person: Person) -> Call:
    return Call()


@example
def set_spending_cap(stage: Stage, person: Person) -> Call:
    return Call(body={"amount_cents": 500})


@example
def reserve(stage: Stage, person: Person) -> Call:
    return Call(body={"metric": "tokens", "quantity": 7, "user_id": person.id})


@example
def settle_reservation(stage: Stage, person: Person) -> Call:
    return Call(path={"reservation_id": stage.new_hold(person)}, body={"quantity": 5})


@example
def release_reservation(stage: Stage, person: Person) -> Call:
    return Call(path={"reservation_id": stage.new_hold(person)}, body={})


@example
def report_usage(stage: Stage, person: Person) -> Call:
    def event() -> dict[str, Any]:
        return {"metric": "tokens", "quantity": 7, "user_id": person.id, "idempotency_key": f"key-{next(_numbers)}"}

    others = ({"events": [event(), event()]}, {"corrects": stage.new_event(person), "quantity": -1})
    return Call(body=event(), others=others)


@example
def list_usage(stage: Stage, person: Person) -> Call:
    person.has_used(5, "tokens", day="2026-05-10")
    person.has_used(6, "tokens", day="2026-05-11")
    return Call(query={"limit": 1})


@example
def quote(stage: Stage, person: Person) -> Call:
    return Call(body={"price": {"metric": "tokens", "model": "flat", "unit_amount": "0.0004"}, "quantity": 12_345})


@example
def get_subscription(stage: Stage, person: Person) -> Call:
    stage.new_subscription(person)
    return Call()


@example
def create_subscription(stage: Stage, person: Person) -> Call:
    stage.end_subscription(person)
    return Call(body={"plan": "premium", "user_id": person.id})


@example
def change_subscription(stage: Stage, person: Person) -> Call:
    return Call(path={"subscription_id": stage.new_subscription(person)}, body={"plan": "pro"})


@example
def cancel_subscription(stage: Stage, person: Person) -> Call:
    return Call(path={"subscription_id": stage.new_subscription(person)}, body={"when": "now"})


@example
def resume_subscription(stage: Stage, person: Person) -> Call:
    number = stage.new_subscription(person)
    asked = get_stored(stage.db, person.tenant_id, number)
    cancel(stage.db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": "."}), asked)
    return Call(path={"subscription_id": number}, body={})


@example
def subscription_history_of(stage: Stage, person: Person) -> Call:
    number = stage.new_subscription(person)
    asked = get_stored(stage.db, person.tenant_id, number)
    cancel(stage.db, datetime.now(UTC), read_settings({"TURF_SAAS_DB": "."}), asked, when="now")
    return Call(path={"subscription_id": number}, query={"limit": 1})


@example
def get_test_clock(stage: Stage, person: Person) -> Call:
    return Call()


@example
def move_test_clock(stage: Stage, person: Person) -> Call:
    return Call(body={"now": instant_text(datetime(2027, 1, 1, tzinfo=UTC) + timedelta(seconds=next(_numbers)))})


@example
def list_plans(stage: Stage, person: Person) -> Call:
    return Call()


@example
def show_plan(stage: Stage, person: Person) -> Call:
    return Call(path={"code": "premium"})


@example
def create_plan(stage: Stage, person: Person) -> Call:
    mark = stage.mark(person)
    prices = [{"metric": "tokens", "model": "flat", "unit_amount": "0.1"}]
    return Call(body={"code": mark, "name": mark, "amount_cents": 900, "prices": prices})


@example
def change_plan(stage: Stage, person: Person) -> Call:
    return Call(path={"code": stage.new_plan(person)}, body={"amount_cents": 1_200, "existing": "next_period"})


@example
def archive_plan(stage: Stage, person: Person) -> Call:
    return Call(path={"code": stage.new_plan(person)})


@example
def create_discount(stage: Stage, person: Person) -> Call:
    return Call(body={"code": stage.mark(person), "percent": "12.5", "duration": "once", "max_uses": 3})


@example
def list_discounts(stage: Stage, person: Person) -> Call:
    stage.new_discount(person)
    stage.new_discount(person)
    return Call(query={"limit": 1})


@example
def delete_discount(stage: Stage, person: Person) -> Call:
    return Call(path={"code": stage.new_discount(person)})


@example
def upcoming_invoice(stage: Stage, person: Person) -> Call:
    stage.new_subscription(person)
    return Call()


@example
def list_invoices(stage: Stage, person: Person) -> Call:
    stage.new_invoice(person)
    stage.new_invoice(person)
    return Call(query={"limit": 1})


@example
def get_invoice(stage: Stage, person: Person) -> Call:
    return Call(path={"number": stage.new_invoice(person)})


@example
def explain_invoice(stage: Stage, person: Person) -> Call:
    return Call(path={"number": stage.new_invoice(person)})


@example
def generate_invoice(stage: Stage, person: Person) -> Call:
    return Call(path={"user_id": person.id}, body={"period": stage.new_unbilled_month(person)})


@example
def run_invoices(stage: Stage, person: Person) -> Call:
    return Call(body={"period": stage.new_unbilled_month(person)})


from tests.api import examples_of_money  # noqa: E402, F401  its examples are in the same dictionary
