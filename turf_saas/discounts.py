"""Codes that take something off the base fees: never off usage, and never more than the fee."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from billing_db import Connection, Row, atomic, execute, fetch_all, fetch_one
from turf_saas import money, periods
from turf_saas.errors import Conflict, InvalidInput, NotFound
from turf_saas.settings import Settings
from turf_saas.values import UserId, instant_text, local_day

Duration = Literal["once", "months", "forever"]


@dataclass(frozen=True)
class Discount:
    """What a code gives: a percentage (a decimal as text) or an amount, on how many fees."""

    id: int
    code: str
    percent: str | None
    amount_cents: int | None
    currency: str | None
    duration: Duration
    months: int | None
    max_uses: int | None
    uses: int
    created_at: str


@dataclass(frozen=True)
class Redemption:
    """A user's discount that runs."""

    id: int
    percent: str | None
    amount_cents: int | None
    once: bool

    def off(self, fee_cents: int) -> int:
        """What it takes off a fee: rounded once, at most the fee."""
        if self.percent is None:
            return min(fee_cents, self.amount_cents or 0)
        numerator, denominator = (Decimal(self.percent) / 100).as_integer_ratio()
        return money.share(fee_cents, numerator, denominator)


_COLUMNS = "id, code, percent, amount_cents, currency, duration, months, max_uses, uses, created_at"


def create_discount(
    db: Connection,
    now: datetime,
    tenant_id: int,
    *,
    code: str,
    percent: str | None = None,
    amount_cents: int | None = None,
    currency: str | None = None,
    duration: Duration,
    months: int | None = None,
    max_uses: int | None = None,
    by: str | None = None,
) -> Discount:
    """Conflict when the code is in use. Codes are the same in capitals and small letters."""
    with atomic(db):
        row = fetch_one(
            db,
            f"""INSERT INTO billing_discounts (tenant_id, code, percent, amount_cents, currency, duration, months,
                                               max_uses, created_at, created_by)
                VALUES (:tenant_id, :code, :percent, :amount_cents, :currency, :duration, :months, :max_uses, :now, :by)
                ON CONFLICT DO NOTHING RETURNING {_COLUMNS}""",  # noqa: S608  a constant
            tenant_id=tenant_id,
            code=code.upper(),
            percent=percent,
            amount_cents=amount_cents,
            currency=currency if amount_cents is not None else None,
            duration=duration,
            months=months,
            max_uses=max_uses,
            now=instant_text(now),
            by=by,
        )
    if row is None:
        raise Conflict("discount_exists", code=code.upper())
    return _discount(row)


def list_discounts(db: Connection, tenant_id: int, *, limit: int = 1_000, before: int | None = None) -> list[Discount]:
    """Those that can be redeemed, or could until their uses were up; the newest first. before: below this id."""
    older = "" if before is None else "AND id < :before"
    rows = fetch_all(
        db,
        f"""SELECT {_COLUMNS} FROM billing_discounts
             WHERE tenant_id = :tenant_id AND deleted_at IS NULL {older}
             ORDER BY id DESC LIMIT :limit""",  # noqa: S608  constants
        tenant_id=tenant_id,
        limit=limit,
        **({} if before is None else {"before": before}),
    )
    return [_discount(row) for row in rows]


def delete_discount(db: Connection, now: datetime, tenant_id: int, code: str) -> Discount:
    """Redeemed no more. What runs goes on, and the code may be given anew."""
    with atomic(db):
        row = fetch_one(
            db,
            f"""UPDATE billing_discounts SET deleted_at = :now
                 WHERE tenant_id = :tenant_id AND code = :code AND deleted_at IS NULL
             RETURNING {_COLUMNS}""",  # noqa: S608  a constant
            now=instant_text(now),
            tenant_id=tenant_id,
            code=code.upper(),
        )
        if row is None:
            raise NotFound("discount_not_found")
    return _discount(row)


def redeem(
    db: Connection,
    now: datetime,
    settings: Settings,
    tenant_id: int,
    user_id: UserId,
    code: str,
    currency: str,
    *,
    since: datetime | None = None,
) -> None:
    """The discount runs for the user from today on, in place of one that ran before. Refused: used up, or used by him.

    since: the beginning of the subscription that it is given with; where that is earlier, it runs from there.
    """
    first_day = local_day(min(now, since or now), settings.timezone)
    with atomic(db):
        row = fetch_one(
            db,
            f"""SELECT {_COLUMNS} FROM billing_discounts
                 WHERE tenant_id = :tenant_id AND code = :code AND deleted_at IS NULL""",  # noqa: S608  a constant
            tenant_id=tenant_id,
            code=code.upper(),
        )
        if row is None:
            raise InvalidInput("discount_unknown", field="discount_code")
        if row["currency"] not in (None, currency):
            raise Conflict("currency_mismatch", currency=row["currency"], wanted=currency)
        used = execute(
            db,
            """UPDATE billing_discounts SET uses = uses + 1
                WHERE id = :id AND deleted_at IS NULL AND (max_uses IS NULL OR uses < max_uses)""",
            id=row["id"],
        )
        if not used:
            raise Conflict("discount_used_up", code=row["code"])
        entered = execute(
            db,
            """INSERT INTO billing_redemptions (tenant_id, user_id, discount_id, redeemed_at, runs_from, ends_at)
               VALUES (:tenant_id, :user_id, :discount_id, :now, :runs_from, :ends_at)
               ON CONFLICT (discount_id, user_id) DO NOTHING""",
            tenant_id=tenant_id,
            user_id=user_id,
            discount_id=row["id"],
            now=instant_text(now),
            runs_from=instant_text(periods.start_of_day(first_day, settings.timezone)),
            ends_at=_ends_at(first_day, settings, row["months"]),
        )
        if not entered:
            raise Conflict("discount_used", code=row["code"])


_OF_REDEMPTION = """SELECT r.id, r.runs_from, r.ends_at, r.spent_at, d.percent, d.amount_cents, d.currency, d.duration
                       FROM billing_redemptions AS r JOIN billing_discounts AS d ON d.id = r.discount_id"""


def find_running(db: Connection, user_id: UserId, currency: str, fee_begins: datetime) -> Redemption | None:
    """What the user redeemed last, if it takes something off a fee in this currency that begins then."""
    row = fetch_one(db, f"{_OF_REDEMPTION} WHERE r.user_id = :user_id ORDER BY r.id DESC LIMIT 1", user_id=user_id)
    if row is None or row["spent_at"] is not None or row["currency"] not in (None, currency):
        return None
    if not row["runs_from"] <= instant_text(fee_begins) < (row["ends_at"] or "9999"):
        return None
    return _redemption(row)


def get_redemption(db: Connection, redemption_id: int) -> Redemption:
    """One that was redeemed, whether it still runs or not."""
    row = fetch_one(db, f"{_OF_REDEMPTION} WHERE r.id = :id", id=redemption_id)
    assert row is not None, "a redemption is never deleted"
    return _redemption(row)


def _redemption(row: Row) -> Redemption:
    return Redemption(row["id"], row["percent"], row["amount_cents"], row["duration"] == "once")


def spend(db: Connection, now: datetime, redemption: Redemption) -> None:
    """One that is good for a single fee has been."""
    if redemption.once:
        with atomic(db):
            execute(
                db,
                "UPDATE billing_redemptions SET spent_at = :now WHERE id = :id AND spent_at IS NULL",
                now=instant_text(now),
                id=redemption.id,
            )


def _ends_at(first_day: date, settings: Settings, months: int | None) -> str | None:
    if months is None:
        return None
    return instant_text(periods.nth_start("anniversary", "month", first_day, settings.timezone, months))


def _discount(row: Row) -> Discount:
    return Discount(**{name: row[name] for name in Discount.__dataclass_fields__})
