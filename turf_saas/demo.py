"""Demo data: four people and three months of their calls, so that there is something to look at on the first day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing_db import Connection, atomic, execute, fetch_one, lock
from turf_saas import tenants
from turf_saas.accounts import create_user
from turf_saas.errors import Conflict, Forbidden
from turf_saas.periods import start_of_day
from turf_saas.settings import Settings
from turf_saas.subscribing import subscribe
from turf_saas.users import Role, User, UsersTable
from turf_saas.values import Month, UserId, instant_text, local_day

ENDPOINT = "/api/demo/races"
PASSWORD = "demo-demo-demo"  # noqa: S105  not a secret: it is printed, and production refuses it


@dataclass(frozen=True)
class DemoUser:
    """Somebody of the demo; `calls` are those of the last three months, this one last."""

    email: str
    name: str
    calls: tuple[int, ...]
    plan: str | None = None
    role: Role = "user"


DEMO = DemoUser("demo@example.com", "Alix Démo", (1_980, 3_240, 2_550), plan="premium")  # 85 % of 3 000: soft
FREE = DemoUser("free@example.com", "Basile Gratuit", (120, 240, 312))  # 104 % of 300: hard
PRO = DemoUser("pro@example.com", "Capucine Pro", (9_600, 11_400, 4_200), plan="pro")  # 14 % of 30 000
ADMIN = DemoUser("admin@example.com", "Denise Admin", (), role="admin")
PEOPLE = (DEMO, FREE, PRO, ADMIN)
# Who sells in the demo: made up, with check digits that are right.
SELLER = {
    "BILLING_SELLER_NAME": "Turf Démo",
    "BILLING_SELLER_FORM": "SAS",
    "BILLING_SELLER_CAPITAL": "10 000 €",
    "BILLING_SELLER_SIREN": "123456782",
    "BILLING_SELLER_RCS": "Paris",
    "BILLING_SELLER_VAT": "FR11123456782",
    "BILLING_SELLER_ADDRESS": "1 rue de l'Exemple",
    "BILLING_SELLER_ZIP": "75000",
    "BILLING_SELLER_CITY": "Paris",
    "BILLING_SELLER_IBAN": "FR7630006000011234567890189",
    "BILLING_SELLER_BIC": "DEMOFRPPXXX",
}


def install(db: Connection, now: datetime, settings: Settings, users: UsersTable) -> bool:
    """True when the demo was written, False when the database has users already: then nothing is touched."""
    if settings.production:
        raise Forbidden("demo_in_production")
    if not users.ours:
        raise Conflict("users_not_ours")
    with atomic(db):
        lock(db, "billing_demo")
        if _has_users(db, users):
            return False
        for person in PEOPLE:
            user_id = create_user(
                db, now, users, email=person.email, password=PASSWORD, role=person.role, name=person.name
            )
            give_history(db, now, settings, user_id, person)
    return True


def give_history(db: Connection, now: datetime, settings: Settings, user_id: UserId, person: DemoUser) -> None:
    """The user has been on the plan, and has made the calls, of this person of the demo."""
    with atomic(db):
        _subscribe(db, now, settings, user_id, person)
        _log_calls(db, now, settings, user_id, person)


def refuse_password(settings: Settings, password: str) -> None:
    """In production nobody logs in with the password that everybody can read here."""
    if settings.production and password == PASSWORD:
        raise Forbidden("demo_in_production")


def is_installed(db: Connection) -> bool:
    return fetch_one(db, "SELECT 1 FROM billing_logins WHERE email = :email", email=DEMO.email) is not None


def spread(total: int, days: Sequence[date]) -> list[int]:
    """The total over the days, to the last call: a Saturday or Sunday, when the races are run, counts for three."""
    weights = [3 if day.weekday() >= 5 else 1 for day in days]
    shares, so_far, given = [], 0, 0
    for weight in weights:
        so_far += weight
        upto = total * so_far // sum(weights)
        shares.append(upto - given)
        given = upto
    return shares


def _has_users(db: Connection, users: UsersTable) -> bool:
    return fetch_one(db, f"SELECT 1 FROM {users.sql_table} LIMIT 1") is not None  # noqa: S608  quoted


def _months(now: datetime, settings: Settings) -> list[Month]:
    """Three months, the current one last."""
    months = [Month.of(now, settings.timezone)]
    while len(months) < 3:
        day_before = months[0].first_day - timedelta(days=1)
        months.insert(0, Month(day_before.year, day_before.month))
    return months


def _subscribe(db: Connection, now: datetime, settings: Settings, user_id: UserId, person: DemoUser) -> None:
    """On the plan since the first of the three months: each of them has its fee."""
    if person.plan is None:
        return
    first = start_of_day(_months(now, settings)[0].first_day, settings.timezone)
    subscribe(db, now, settings, User(user_id, tenants.FIRST, person.role), person.plan, start_at=first, by="demo")


def _log_calls(db: Connection, now: datetime, settings: Settings, user_id: UserId, person: DemoUser) -> None:
    """Every day of the months that are over, and the current one up to today."""
    today = local_day(now, settings.timezone)
    for month, total in zip(_months(now, settings), person.calls, strict=False):
        last = min(month.last_day, today)
        days = [month.first_day + timedelta(days=n) for n in range(last.day)]
        for day, calls in zip(days, spread(total, days), strict=True):
            execute(
                db,
                """INSERT INTO consumption_log (user_id, date, api_calls, endpoint, created_at)
                   VALUES (:user_id, :day, :calls, :endpoint, :now)""",
                user_id=user_id,
                day=day.isoformat(),
                calls=calls,
                endpoint=ENDPOINT,
                now=instant_text(now),
            )
