"""Billing in Python: what the routes do over HTTP, for the host's own code.

The same functions stand on the extension object (`Billing(app)`, and `app.extensions["billing"]`). Each takes `db=`, a
connection that the host lends: what is recorded then belongs to the host's transaction and goes with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from api_v1 import auth
from api_v1.python_events import read_event
from api_v1.schemas_quotas import DAY_SECONDS
from api_v1.schemas_usage import MAX_QUANTITY
from billing_db import Connection
from turf_saas import admission, metering, reservations, usage_days
from turf_saas.admission import Admission, Terms
from turf_saas.borrowed import borrowed
from turf_saas.errors import InvalidInput, NotFound
from turf_saas.plans import Window
from turf_saas.reservations import Reservation
from turf_saas.usage import Recorded
from turf_saas.usage_days import Day
from turf_saas.users import User
from turf_saas.values import UserId

if TYPE_CHECKING:
    from api_v1.runtime import Runtime

Answer = TypeVar("Answer")


NOBODY = User(0, 0, "user")
EXPIRES_IN = int(reservations.LIFETIME.total_seconds())


class Usage:
    """What a `with billing.meter(…)` block adds up."""

    def __init__(self) -> None:
        self.quantity = 0

    def add(self, quantity: int) -> None:
        if type(quantity) is not int or quantity < 0:
            raise InvalidInput("quantity_invalid", given=str(quantity)[:40])
        self.quantity += quantity


class Face(ABC):
    """What the extension object can do."""

    @abstractmethod
    def _runtime(self) -> Runtime: ...

    def record_usage(
        self,
        user_id: UserId,
        metric: str,
        quantity: int | None = None,
        at: datetime | str | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        amount: int | None = None,
        db: Any = None,
    ) -> Recorded:
        """The usage is on record, once per key: (id, duplicate). No quota refuses it: it has happened.

        amount is another name for quantity; without `at` it is now. The same key with another content raises Conflict.
        """
        runtime = self._runtime()

        def record(db: Connection, user: User) -> metering.Report:
            event = read_event(
                user,
                metric=metric,
                quantity=quantity,
                amount=amount,
                at=at,
                idempotency_key=idempotency_key,
                metadata=metadata,
            )
            return metering.report_event(db, runtime.now(), runtime.settings, event)

        report = self._with_user(db, user_id, record)
        if report.crossed:
            runtime.signal_crossings(later=db is not None)
        return report.results[0]

    def check_and_increment(
        self,
        user_id: UserId,
        metric: str,
        quantity: int = 1,
        limit: int | None = None,
        window: Window | None = None,
        *,
        db: Any = None,
    ) -> Admission:
        """Counted if there is room, in one step; else QuotaExceeded, and nothing is.

        limit and window ("month", "day") are the plan's unless they are given; a window needs a limit.
        """
        runtime = self._runtime()
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidInput("limit_invalid", given=str(limit)[:40])
        if window not in (None, "month", "day"):
            raise InvalidInput("window_invalid", given=str(window)[:40])
        if window is not None and limit is None:  # the plan's own number is meant for the plan's own window
            raise InvalidInput("window_without_limit")

        def spend(db: Connection, user: User) -> Admission:
            terms = Terms(limit=limit, window=window)
            wanted = read_event(user, metric=metric, quantity=quantity).quantity
            return admission.spend(db, runtime.now(), runtime.settings, user, metric, wanted, terms=terms)

        admitted = self._with_user(db, user_id, spend)
        if admitted.crossed:
            runtime.signal_crossings(later=db is not None)
        return admitted

    @contextmanager
    def meter(
        self, metric: str, user_id: UserId, *, idempotency_key: str | None = None, db: Any = None
    ) -> Iterator[Usage]:
        """Adds up what the block uses and records it at its end. A block that fails has recorded nothing."""
        read_event(NOBODY, metric=metric, quantity=1, idempotency_key=idempotency_key)  # told before the work is done
        used = Usage()
        yield used
        if used.quantity:
            self.record_usage(user_id, metric, used.quantity, idempotency_key=idempotency_key, db=db)

    def reserve(
        self, user_id: UserId, metric: str, quantity: int, *, expires_in: int = EXPIRES_IN, db: Any = None
    ) -> Reservation:
        """Held for work that is about to begin, or QuotaExceeded. After `expires_in` seconds it is let go."""
        runtime = self._runtime()
        if type(expires_in) is not int or not 1 <= expires_in <= DAY_SECONDS:
            raise InvalidInput("expires_in_invalid", given=str(expires_in)[:40], most=DAY_SECONDS)

        def hold(db: Connection, user: User) -> Reservation:
            wanted = read_event(user, metric=metric, quantity=quantity).quantity
            lifetime = timedelta(seconds=expires_in)
            return admission.reserve(db, runtime.now(), runtime.settings, user, metric, wanted, lifetime=lifetime)

        return self._with_user(db, user_id, hold)

    def settle(self, reservation_id: str, quantity: int, *, db: Any = None) -> Reservation:
        """What was used in truth is counted in place of what was held, also when that has expired."""
        runtime, lent = self._runtime(), self._lent(db)
        if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
            raise InvalidInput("quantity_invalid", given=str(quantity)[:40])
        settled = metering.settle(lent, runtime.now(), runtime.settings, None, str(reservation_id), quantity)
        if settled.crossed:
            runtime.signal_crossings(later=db is not None)
        return settled.reservation

    def release(self, reservation_id: str, *, db: Any = None) -> Reservation:
        """Nothing was used: what was held is let go."""
        runtime, lent = self._runtime(), self._lent(db)
        return reservations.release(lent, runtime.now(), None, str(reservation_id))

    def aggregate_daily(self, metric: str, day: date | str, *, tenant_id: int = 1, db: Any = None) -> int:
        """What all users of a tenant used of the metric on a day. The sums are kept as usage comes in."""
        return usage_days.total_of_day(self._lent(db), tenant_id, metric, _day(day))

    def list_daily_aggregates(
        self, user_id: UserId, metric: str, date_from: date | str, date_to: date | str, *, db: Any = None
    ) -> list[Day]:
        """A user's daily sums of the metric, oldest first, both days included."""
        runtime = self._runtime()
        known = runtime.users.parse_id(user_id)
        if known is None:
            raise NotFound("user_not_found")
        days = usage_days.list_days(self._lent(db), known, metric=metric, first=_day(date_from), last=_day(date_to))
        return days[::-1]

    def _lent(self, given: Any) -> Connection:
        runtime = self._runtime()
        runtime.ready()  # with a connection of our own: nothing is migrated in the host's transaction
        return runtime.db() if given is None else borrowed(given)

    def _with_user(self, given: Any, user_id: UserId, do: Callable[[Connection, User], Answer]) -> Answer:
        runtime = self._runtime()
        db = self._lent(given)
        user = auth.find_vouched(runtime, db, user_id)
        if user is None:
            raise NotFound("user_not_found")
        return do(db, user)


def _day(given: date | str) -> str:
    if isinstance(given, datetime):
        raise InvalidInput("day_invalid", given=given.isoformat())
    try:
        return (given if isinstance(given, date) else date.fromisoformat(given)).isoformat()
    except (TypeError, ValueError):
        raise InvalidInput("day_invalid", given=str(given)[:40]) from None
