"""Invoices in Python: a host issues its users' months from its own scheduler, as the routes and the command do."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from api_v1.face_money import MoneyFace
from api_v1.telling import tell_issued
from billing_db import Connection
from turf_saas import issuing
from turf_saas.errors import InvalidInput
from turf_saas.invoices import Invoice
from turf_saas.settings import Settings
from turf_saas.users import User
from turf_saas.values import Month, UserId

Bound = datetime | date | str | None


class InvoicingFace(MoneyFace):
    """What the extension object can do about invoices."""

    def generate_monthly_invoice(
        self,
        user_id: UserId,
        month: Month | str | None = None,
        *,
        period_start: Bound = None,
        period_end: Bound = None,
        db: Any = None,
    ) -> Invoice | None:
        """The user's invoice of a month that is over, issued now if it was not yet; None where nothing is to be billed.

        month is "YYYY-MM", or period_start and period_end are its bounds; without any it is the last one that closed.
        """
        runtime = self._runtime()
        settings = runtime.settings
        meant = _month(settings, month, period_start, period_end)

        def issue(lent: Connection, user: User) -> Invoice | None:
            now = runtime.now()
            return issuing.issue_month(
                lent,
                now,
                settings,
                user.tenant_id,
                user.id,
                meant or issuing.last_closed(now, settings),
                tax_of=runtime.tax_of,
                told=partial(tell_issued, runtime),
            ).invoice

        return self._with_user(db, user_id, issue)


def _month(settings: Settings, month: Month | str | None, start: Bound, end: Bound) -> Month | None:
    """The month that is meant; None when nothing was said."""
    if month is not None and start is None and end is None:
        found = Month.parse(month) if isinstance(month, str) else month
        if not isinstance(found, Month):
            raise InvalidInput("month_invalid")
        return found
    if month is None and start is None and end is None:
        return None
    first, after = _day(settings, start), _day(settings, end)
    if month is not None or first is None or after is None or first.day != 1:
        raise InvalidInput("period_is_no_month")
    found = Month(first.year, first.month)
    if after not in (found.last_day, found.last_day + timedelta(days=1)):
        raise InvalidInput("period_is_no_month")
    return found


def _day(settings: Settings, bound: Bound) -> date | None:
    """The local day on which a period begins or ends; None for what is no bound of a month."""
    if isinstance(bound, str):
        try:
            bound = datetime.fromisoformat(bound) if "T" in bound else date.fromisoformat(bound)
        except ValueError:
            return None
    if isinstance(bound, datetime):
        if bound.tzinfo is None:
            return None
        local = bound.astimezone(settings.timezone)
        return local.date() if local.time() == datetime.min.time() else None
    return bound
