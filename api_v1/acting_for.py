"""For whom a caller may act: one rule for what was used, what is held and who is subscribed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext

from api_v1.auth import Caller
from api_v1.runtime import Runtime, current_runtime
from billing_db import atomic
from turf_saas import catalogue, tenants, users
from turf_saas.errors import Fault, Forbidden, NotFound
from turf_saas.users import User
from turf_saas.values import UserId


def require_reporter(caller: Caller) -> None:
    """Nothing for an admin and for a key (its scope was asked before); a person must be let by BILLING_SELF_REPORT."""
    if caller.scopes is None and not caller.is_admin and not current_runtime().settings.self_report:
        raise Forbidden("self_report_off")


def metric_fault(caller: Caller, metric: str) -> Fault | None:
    """A person without a key reports what is sold here, and makes up no metrics."""
    if caller.scopes is not None or caller.is_admin:
        return None
    known = catalogue.list_metrics(current_runtime().db(), caller.tenant_id)
    return None if metric in known else Fault("/metric", "metric_unknown", {"known": ", ".join(sorted(known))})


def get_visible(caller: Caller, named: UserId | None) -> UserId:
    """Whose usage or quotas are asked for: the caller's, or for an admin anybody's of the tenant."""
    runtime = current_runtime()
    user_id = caller.user_id if named is None else runtime.users.parse_id(named)
    if user_id == caller.user_id:
        return caller.user_id
    user = users.find_user(runtime.db(), runtime.users, user_id) if caller.is_admin and user_id is not None else None
    if user is None or user.tenant_id != caller.tenant_id:
        raise NotFound("user_not_found")
    return user.id


@contextmanager
def users_named(caller: Caller, named: Iterable[UserId]) -> Iterator[dict[UserId, User]]:
    """The users whom the caller may report for, by the ids as they were sent. The others are not there for him.

    Whoever has to be entered first stays only if the block succeeds.
    """
    runtime = current_runtime()
    ids = {given: user_id for given in named if (user_id := runtime.users.parse_id(given)) is not None}
    if not caller.is_admin:
        yield {given: caller.user for given, user_id in ids.items() if user_id == caller.user_id}
        return
    db = runtime.db()
    tenant_of = users.find_tenants(db, runtime.users, list(dict.fromkeys(ids.values())))
    unknown = [user_id for user_id in dict.fromkeys(ids.values()) if user_id not in tenant_of]
    entering = bool(unknown) and _enters_users(runtime, caller)
    with atomic(db) if entering else nullcontext():
        if entering:
            users.enter_users(db, runtime.now(), runtime.users, unknown)
            tenant_of |= users.find_tenants(db, runtime.users, unknown)
        yield {
            given: User(user_id, caller.tenant_id, "user")
            for given, user_id in ids.items()
            if tenant_of.get(user_id) == caller.tenant_id
        }


def _enters_users(runtime: Runtime, caller: Caller) -> bool:
    """Where the host's users are elsewhere, its admin may name one before he has called: nothing is lost."""
    return runtime.users.ours and not runtime.settings.accounts and caller.tenant_id == tenants.FIRST
