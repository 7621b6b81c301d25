"""Subscriptions in Python: a host subscribes its users from its own sign-up code, and changes and ends as it likes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from api_v1.face import Face
from api_v1.schemas_subscriptions import CancelIn, ChangeIn, SubscribeIn
from api_v1.telling import tell, tell_issued, word_for
from api_v1.wire import refuse_unstorable, validated
from billing_db import Connection
from turf_saas import rollover, subscribing, subscription_changes
from turf_saas.errors import Conflict
from turf_saas.periods import start_of_day
from turf_saas.subscription_changes import Changed, When, Wish
from turf_saas.subscriptions import Subscription
from turf_saas.users import User
from turf_saas.values import UserId

BY = "app"  # how the history names the host itself


class SubscribingFace(Face):
    """What the extension object can do about subscriptions. The host may do all that an admin may."""

    def get_subscription(self, user_id: UserId, *, db: Any = None) -> Subscription | None:
        """The user's live subscription as it is now, or None."""
        return self._with_user(db, user_id, self._live)

    def subscribe(
        self,
        user_id: UserId,
        plan: str,
        *,
        start_at: datetime | date | str | None = None,
        trial_days: int | None = None,
        discount_code: str | None = None,
        by: str = BY,
        db: Any = None,
    ) -> Subscription:
        """It begins at 00:00 of the local day of start_at (today). Conflict when the user has one."""
        runtime = self._runtime()
        given = checked(
            SubscribeIn, plan=plan, start_at=text_of(start_at), trial_days=trial_days, discount_code=discount_code
        )
        begins = given.start_at
        if begins is not None and not isinstance(begins, datetime):
            begins = start_of_day(begins, runtime.settings.timezone)

        def begin(lent: Connection, user: User) -> Subscription:
            return subscribing.subscribe(
                lent,
                runtime.now(),
                runtime.settings,
                user,
                given.plan,
                start_at=begins,
                trial_days=given.trial_days,
                discount_code=given.discount_code,
                by=by,
            )

        begun = self._with_user(db, user_id, begin)
        tell(runtime, begun, "subscribed")
        return begun

    def change_plan(
        self,
        user_id: UserId,
        plan: str,
        *,
        when: When | None = None,
        prorate: bool = True,
        discount_code: str | None = None,
        dry_run: bool = False,
        by: str = BY,
        db: Any = None,
    ) -> Changed:
        """An upgrade now, a downgrade when the period ends, or as `when` says; and the money that comes of it."""
        runtime = self._runtime()
        given = checked(ChangeIn, plan=plan, when=when, prorate=prorate, discount_code=discount_code, dry_run=dry_run)
        wish = Wish(given.plan, given.when, given.prorate, given.discount_code)

        def change(lent: Connection, user: User) -> tuple[Subscription, Changed]:
            seen = self._own(lent, user)
            now, settings = runtime.now(), runtime.settings
            return seen, subscription_changes.change_plan(
                lent, now, settings, seen, wish, by=by, is_admin=True, dry_run=given.dry_run
            )

        seen, changed = self._with_user(db, user_id, change)
        if not given.dry_run:
            tell(runtime, changed.subscription, word_for(seen, changed.subscription))
            tell_issued(runtime, changed.credit_notes)
        return changed

    def cancel(
        self,
        user_id: UserId,
        *,
        when: When = "period_end",
        reason: str | None = None,
        dry_run: bool = False,
        by: str = BY,
        db: Any = None,
    ) -> Changed:
        """The end, when the period ends; or now, and what is left of the fee is credited."""
        runtime, given = self._runtime(), checked(CancelIn, when=when, reason=reason, dry_run=dry_run)

        def end(lent: Connection, user: User) -> Changed:
            return subscription_changes.cancel(
                lent,
                runtime.now(),
                runtime.settings,
                self._own(lent, user),
                when=given.when,
                by=by,
                reason=given.reason,
                dry_run=given.dry_run,
            )

        ended = self._with_user(db, user_id, end)
        if not given.dry_run:
            tell(runtime, ended.subscription, "cancel_scheduled" if ended.subscription.is_live else "canceled")
            tell_issued(runtime, ended.credit_notes)
        return ended

    def resume(self, user_id: UserId, *, by: str = BY, db: Any = None) -> Subscription:
        """It goes on after all. Conflict when no end was asked for."""
        runtime = self._runtime()

        def go_on(lent: Connection, user: User) -> Subscription:
            return subscription_changes.resume(lent, runtime.now(), runtime.settings, self._own(lent, user), by=by)

        resumed = self._with_user(db, user_id, go_on)
        tell(runtime, resumed, "resumed")
        return resumed

    def _live(self, lent: Connection, user: User) -> Subscription | None:
        runtime = self._runtime()
        return rollover.bring_up_to_date(lent, runtime.now(), runtime.settings, user.id)

    def _own(self, lent: Connection, user: User) -> Subscription:
        found = self._live(lent, user)
        if found is None:
            raise Conflict("subscription_missing")
        return found


def checked(model: Any, **given: Any) -> Any:
    """Held to the rules of what comes over HTTP. What is None was not given."""
    given = {name: value for name, value in given.items() if value is not None}
    found = validated(model, given)
    refuse_unstorable(given)
    return found


def text_of(given: Any) -> Any:
    return given.isoformat() if isinstance(given, date) else given
