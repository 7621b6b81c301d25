"""What a month's invoice will say, worked out and not stored: base fees, overage, and what waited for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple

from billing_db import Connection, Row, fetch_all
from turf_saas.errors import Conflict
from turf_saas.many import named, parts, places
from turf_saas.messages import say
from turf_saas.money import from_cents
from turf_saas.month_rating import ReadMonths, read_months
from turf_saas.month_use import Used
from turf_saas.periods import start_of_day
from turf_saas.plans import TaxBehavior
from turf_saas.prices import Price, decimal_text, price_as_json
from turf_saas.rating import RatedLine, Span
from turf_saas.settings import Settings
from turf_saas.values import Month, UserId, compact_json, end_of_day, instant_text

LineKind = Literal["base", "overage", "credit", "charge", "late", "item", "discount"]


class DraftLine(NamedTuple):
    """One line, VAT not decided yet: `amount_cents` includes it where the price does."""

    kind: LineKind
    amount_cents: int
    tax_behavior: TaxBehavior
    description: str
    quantity: str = "1"
    unit_amount: str | None = None
    metric: str | None = None
    period_start: str | None = None
    period_end: str | None = None
    origin: str = "{}"  # JSON


class PendingCredit(NamedTuple):
    """A credit that waits, of something that was invoiced since: it is given back on that invoice.

    price_cents: what the period cost until the change, where that is known.
    """

    item_id: int
    invoice_id: int
    credits_item_id: int | None
    billing_period_id: int | None
    amount_cents: int
    price_cents: int | None = None


@dataclass(frozen=True)
class Draft:
    """A user's month as it would be issued now."""

    user_id: UserId
    month: Month
    plan: str
    currency: str
    lines: tuple[DraftLine, ...]
    used: Mapping[str, Used]  # what of the month's use it knows
    period_ids: tuple[int, ...] = ()
    item_ids: tuple[int, ...] = ()
    credits: tuple[PendingCredit, ...] = ()

    @property
    def usage(self) -> dict[str, int]:
        return {metric: of.total for metric, of in self.used.items()}


@dataclass(frozen=True)
class ReadDrafts:
    """The month of many users. Each draft is made when it is asked for: what is wrong with one stops no other."""

    settings: Settings
    month: Month
    months: ReadMonths
    periods: Mapping[UserId, Sequence[Row]]
    items: Mapping[UserId, Sequence[Row]]

    def of(self, user_id: UserId, locale: str) -> Draft:
        """His draft, which may be empty. Conflict where it would have two currencies."""
        settings, rated = self.settings, self.months.of(user_id)
        periods, items = self.periods.get(user_id, ()), self.items.get(user_id, ())
        listed = [item for item in items if item["kind"] != "credit" or item["source_invoice_id"] is None]
        lines = [line for period in periods for line in _base_lines(period, locale)]
        lines += [_overage_line(settings, line, locale) for line in rated.lines]
        lines += [_item_line(item, locale) for item in listed]
        currencies = dict.fromkeys(row["currency"] for row in (*periods, *listed))
        if rated.lines and rated.currency is not None:
            currencies[rated.currency] = None
        if len(currencies) > 1:
            raise Conflict("currencies_mixed", month=str(self.month), currencies=", ".join(sorted(currencies)))
        return Draft(
            user_id,
            self.month,
            rated.plan,
            next(iter(currencies), rated.currency or settings.currency),
            tuple(line for line in lines if line.amount_cents),
            rated.used,
            tuple(period["id"] for period in periods),
            tuple(item["id"] for item in listed),
            tuple(_pending_credit(item) for item in items if item not in listed),
        )


def read_drafts(
    db: Connection, settings: Settings, tenant_id: int, user_ids: Sequence[UserId], month: Month
) -> ReadDrafts:
    """By whole statements. One state of the database is what the caller's transaction sees."""
    months = read_months(db, settings, tenant_id, user_ids, month)
    return ReadDrafts(settings, month, months, _list_periods(db, user_ids, month), _list_items(db, user_ids, month))


def _pending_credit(item: Row) -> PendingCredit:
    return PendingCredit(
        item["id"],
        item["source_invoice_id"],
        item["credits_item_id"],
        item["billing_period_id"],
        -item["amount_cents"],
    )


def _base_lines(period: Row, locale: str) -> list[DraftLine]:
    """The fee of a period that has begun, and the discount below it."""
    span = {"period_start": period["starts_at"], "period_end": period["nominal_end"]}
    full = period["starts_at"] == period["nominal_start"]
    fee = DraftLine(
        "base",
        period["fee_cents"],
        period["tax_behavior"],
        say("line_base" if full else "line_base_part", locale, plan=period["name"]),
        unit_amount=_major(period["fee_cents"], period["currency"]),
        origin=compact_json(
            {
                "period_id": period["id"],
                "plan": period["code"],
                "version": period["version"],
                "amount_cents": period["amount_cents"],
                "fee_cents": period["fee_cents"],
                "nominal_start": period["nominal_start"],
                "nominal_end": period["nominal_end"],
            }
        ),
        **span,
    )
    if not period["discount_cents"]:
        return [fee]
    discount = DraftLine(
        "discount",
        -period["discount_cents"],
        period["tax_behavior"],
        say("line_discount", locale, plan=period["name"]),
        unit_amount=_major(-period["discount_cents"], period["currency"]),
        origin=compact_json(
            {"period_id": period["id"], "plan": period["code"], "redemption_id": period["fee_redemption_id"]}
        ),
        **span,
    )
    return [fee, discount]


@lru_cache(maxsize=1024)  # a plan has one fee
def _major(cents: int, currency: str) -> str:
    return decimal_text(from_cents(cents, currency))


def _overage_line(settings: Settings, line: RatedLine, locale: str) -> DraftLine:
    charge = line.charge
    return DraftLine(
        "overage",
        charge.amount_cents,
        line.tax_behavior,
        quantity=decimal_text(charge.quantity),
        unit_amount=None if charge.unit_amount is None else decimal_text(charge.unit_amount),
        metric=line.metric,
        **_told(settings.timezone, locale, line.plan, line.price, line.spans),
    )


@lru_cache(maxsize=1024)  # the same for all who were on the plan in the same days
def _told(zone: tzinfo, locale: str, plan: str, price: Price, spans: tuple[Span, ...]) -> dict[str, str]:
    return {
        "description": say("line_overage", locale, plan=plan, metric=price.metric),
        "period_start": instant_text(start_of_day(spans[0].first_day, zone)),
        "period_end": instant_text(end_of_day(spans[-1].last_day, zone)),
        "origin": compact_json(
            {
                "plan": plan,
                "price": price_as_json(price),
                "spans": [[first.isoformat(), last.isoformat(), included] for first, last, included in spans],
            }
        ),
    }


def _item_line(item: Row, locale: str) -> DraftLine:
    names = {"old": item["from_name"] or "", "new": item["to_name"] or ""}
    told = item["description"] or say(_ITEM_WORDS[item["kind"], item["to_name"] is not None], locale, **names)
    unit = item["unit_amount"] or _major(item["amount_cents"], item["currency"])
    return DraftLine(
        item["kind"],
        item["amount_cents"],
        item["tax_behavior"] or "exclusive",
        told,
        quantity=item["quantity"] or "1",
        unit_amount=unit,
        period_start=item["period_start"],
        period_end=item["period_end"],
        origin=compact_json({"item_id": item["id"], "period_id": item["billing_period_id"]}),
    )


_ITEM_WORDS = {
    ("credit", True): "line_credit",
    ("credit", False): "line_credit_end",
    ("charge", True): "line_charge",
    ("charge", False): "line_charge",
}


# Of this month, or left over from one that is closed.
_OF_MONTH = """({0}.month = :month OR ({0}.month < :month AND EXISTS (
                       SELECT 1 FROM billing_invoiced_months AS closed
                        WHERE closed.user_id = {0}.user_id AND closed.month = {0}.month)))"""


def _list_periods(db: Connection, user_ids: Sequence[UserId], month: Month) -> dict[UserId, list[Row]]:
    """Periods that began in the month, and those of closed months that came too late for their invoice."""
    found: dict[UserId, list[Row]] = {}
    for part in parts(user_ids):
        for row in fetch_all(
            db,
            f"""SELECT b.*, p.code, p.version, p.name, p.amount_cents, p.tax_behavior
                  FROM billing_periods AS b JOIN billing_plans AS p ON p.id = b.plan_id
                 WHERE b.user_id IN ({places(part)}) AND b.invoice_id IS NULL AND b.fee_cents > 0
                   AND {_OF_MONTH.format("b")}
                 ORDER BY b.starts_at, b.id""",  # noqa: S608
            month=str(month),
            **named(part),
        ):
            found.setdefault(row["user_id"], []).append(row)
    return found


def _list_items(db: Connection, user_ids: Sequence[UserId], month: Month) -> dict[UserId, list[Row]]:
    """What waits. A credit includes its VAT where what it gives back does, whatever plan was in between."""
    found: dict[UserId, list[Row]] = {}
    for part in parts(user_ids):
        for row in fetch_all(
            db,
            f"""SELECT i.*, f.name AS from_name, t.name AS to_name,
                       CASE WHEN i.kind = 'charge' THEN t.tax_behavior
                            WHEN i.credits_item_id IS NOT NULL THEN of_charge.tax_behavior
                            ELSE of_fee.tax_behavior END AS tax_behavior,
                       CASE WHEN i.credits_item_id IS NOT NULL THEN charged.invoice_id ELSE b.invoice_id END
                       AS source_invoice_id
                  FROM billing_pending_items AS i
                  LEFT JOIN billing_pending_items AS charged ON charged.id = i.credits_item_id
                  LEFT JOIN billing_periods AS b ON b.id = i.billing_period_id
                  LEFT JOIN billing_plans AS f ON f.id = i.from_plan_id
                  LEFT JOIN billing_plans AS t ON t.id = i.to_plan_id
                  LEFT JOIN billing_plans AS of_charge ON of_charge.id = charged.to_plan_id
                  LEFT JOIN billing_plans AS of_fee ON of_fee.id = b.plan_id
                 WHERE i.user_id IN ({places(part)}) AND i.invoice_id IS NULL AND {_OF_MONTH.format("i")}
                 ORDER BY i.id""",  # noqa: S608
            month=str(month),
            **named(part),
        ):
            found.setdefault(row["user_id"], []).append(row)
    return found
