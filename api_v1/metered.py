"""The host's own routes, counted: @metered, @requires_quota, and every route under a prefix.

What is counted is decided when the answer is known. A quota is decided before the view runs, and given back when
the answer is one that does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from flask import Request, Response, after_this_request, current_app
from flask.blueprints import BlueprintSetupState

from api_v1 import auth, errors
from api_v1.blueprint import billing_bp
from api_v1.python_events import read_event
from api_v1.quota_headers import quota_headers
from api_v1.runtime import Runtime, at_end_of_request, current_request, current_runtime
from api_v1.schemas_usage import METRIC_PATTERN
from billing_db import DatabaseError
from turf_saas import admission
from turf_saas.admission import Admission, Terms
from turf_saas.errors import BillingError, Unauthenticated
from turf_saas.usage import API_CALLS

View = TypeVar("View", bound=Callable[..., Any])
HAS_HAPPENED = Terms(refuses=False)


@dataclass
class _Noted:
    """What one request has to count at its end, and what was admitted at its beginning."""

    to_count: dict[str, int] = field(default_factory=dict)
    admitted: list[Admission] = field(default_factory=list)
    done: bool = False


def _noted(asked: Request) -> _Noted:
    found: _Noted | None = getattr(asked, "billing_noted", None)
    if found is None:
        found = asked.billing_noted = _Noted()  # type: ignore[attr-defined]
        after_this_request(_count)
        at_end_of_request(asked, _give_back_after_a_crash)
    return found


def metered(metric: str = API_CALLS, quantity: int = 1) -> Callable[[View], View]:
    """Each answer of the view that counts is `quantity` of the metric for whoever called; nobody's call is not counted.

    Below @requires_quota of the same metric it counts nothing more.
    """
    _check_use(metric, quantity)
    if callable(quantity):
        raise TypeError("@metered takes a number for quantity=; record_usage in the view counts what only it knows")

    def decorate(view: View) -> View:
        called = _callable_now(view)

        @wraps(view)
        def counted(*args: Any, **kwargs: Any) -> Any:
            _noted(current_request()).to_count[metric] = quantity
            return called(*args, **kwargs)

        return cast(View, counted)

    return decorate


def requires_quota(
    metric: str = API_CALLS, quantity: int | Callable[[], int] = 1, soft: bool | None = None
) -> Callable[[View], View]:
    """The view runs only if the caller's quota has room, and what it uses is counted in the same step; else 429.

    quantity: a number, or a function that reads it from the request. soft: True only warns, False refuses, None does
    what the plan says. An answer that does not count (5xx, 429) gives it back.
    """
    _check_use(metric, quantity)
    terms = Terms(soft=soft)

    def decorate(view: View) -> View:
        called = _callable_now(view)

        @wraps(view)
        def admitted(*args: Any, **kwargs: Any) -> Any:
            asked, runtime = current_request(), current_runtime()
            if asked.method not in runtime.settings.meter_methods:  # a preflight has no user
                return current_app.ensure_sync(view)(*args, **kwargs)
            try:
                user = auth.find_user(runtime, asked)
                if user is None:
                    raise Unauthenticated("unauthenticated")
                # What a client asks for is held to the rules of what is reported: less than nothing would be a gift.
                wanted = quantity
                if callable(wanted):
                    wanted = read_event(user, metric=metric, quantity=wanted()).quantity
                given = admission.spend(
                    runtime.db(),
                    runtime.now(),
                    runtime.settings,
                    user,
                    metric,
                    wanted,
                    endpoint=_endpoint(asked),
                    terms=terms,
                )
            except (BillingError, DatabaseError) as error:
                return errors.answer_for(error)
            _noted(asked).admitted.append(given)
            return called(*args, **kwargs)

        return cast(View, admitted)

    return decorate


def _callable_now(view: Callable[..., Any]) -> Callable[..., Any]:
    """A view that may be called here: one that is a coroutine as the app runs it."""
    if not iscoroutinefunction(view):
        return view

    def waited_for(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)  # which app it is, is known when it is called

    return waited_for


def _check_use(metric: object, quantity: object) -> None:
    """`@metered` without its brackets would take the view for a metric."""
    if not isinstance(metric, str):
        raise TypeError('the decorator takes a metric: @metered("api_calls"), with brackets')
    if not re.fullmatch(METRIC_PATTERN.removesuffix("$"), metric):
        raise ValueError(f"{metric!r} is no metric: small letters, digits and _, such as api_calls")
    if not callable(quantity) and (type(quantity) is not int or quantity < 1):
        raise TypeError(f"quantity= is a whole number from 1 on, not {quantity!r}")


def _watch(state: BlueprintSetupState) -> None:
    if state.app.extensions["billing"].metered_prefixes:
        state.app.after_request(_count_under_meter)


billing_bp.record(_watch)


def _count_under_meter(response: Response) -> Response:
    runtime, asked = current_runtime(), current_request()
    return _count(response) if _under_meter(runtime, asked) else response


def _count(response: Response) -> Response:
    """Called for a decorated route when its answer is known, and again for one that is below a prefix, too."""
    runtime, asked = current_runtime(), current_request()
    noted: _Noted = getattr(asked, "billing_noted", None) or _Noted()
    if noted.done:
        return response
    noted.done = True
    if _under_meter(runtime, asked):
        noted.to_count.setdefault(API_CALLS, 1)
    try:
        return _counted(runtime, asked, noted, response)
    except Exception:
        # The work is done and the answer true: it is not kept back because its count failed, or the host's loader.
        runtime.app.logger.exception("a call could not be counted: %s %s", asked.method, asked.path)
        return response


def _counted(runtime: Runtime, asked: Request, noted: _Noted, response: Response) -> Response:
    if not runtime.settings.meters(asked.method, response.status_code):
        _give_back(runtime, noted)
        return response  # a refusal among them has said its own about the quota
    admitted, noted.admitted = noted.admitted, []
    missing = noted.to_count.keys() - {one.metric for one in admitted}
    user = auth.find_user(runtime, asked) if missing else None
    if missing and user is None:
        _say_that_nobody_is_known(runtime)
    if user is not None:
        db, now, settings, endpoint = runtime.db(), runtime.now(), runtime.settings, _endpoint(asked)
        for metric in sorted(missing):
            quantity = noted.to_count[metric]
            admitted.append(
                admission.spend(db, now, settings, user, metric, quantity, endpoint=endpoint, terms=HAS_HAPPENED)
            )
    for one in sorted(admitted, key=_how_full):  # the headers are those of the quota that is nearest to its end
        response.headers.update(quota_headers(one))
    if any(one.crossed for one in admitted):
        runtime.signal_crossings()
    return response


def _how_full(admitted: Admission) -> float:
    gauge = admitted.gauge
    return 0 if gauge.limit is None else (gauge.used + gauge.reserved) / max(gauge.limit, 1)


def _give_back(runtime: Runtime, noted: _Noted) -> None:
    while noted.admitted:
        one = noted.admitted.pop()
        try:
            admission.give_back(runtime.db(), runtime.now(), runtime.settings, one)
        except (BillingError, DatabaseError):  # the others are given back all the same
            runtime.app.logger.exception("%s could not be given back to user %s", one.metric, one.user.id)


def _give_back_after_a_crash(error: BaseException | None) -> None:
    """Where the host lets exceptions through (debugging, tests) there is no answer to look at."""
    noted: _Noted | None = getattr(current_request(), "billing_noted", None)
    if error is not None and noted is not None and noted.admitted:
        _give_back(current_runtime(), noted)


def _say_that_nobody_is_known(runtime: Runtime) -> None:
    """Once: a host whose login billing does not know would lose all its counts without a word."""
    if not runtime.told_that_nobody_is_known:
        runtime.told_that_nobody_is_known = True
        runtime.app.logger.warning(
            "billing: a metered route was called by nobody whom billing knows, so nothing was counted. If your users "
            "log in with a session of your own, say who is calling: user_loader= (docs/existing-app.md). Told once."
        )


def _under_meter(runtime: Runtime, asked: Request) -> bool:
    """Whether the request's route is one of those under Billing(app, meter=…). Ours are not the host's."""
    if asked.url_rule is None or asked.path.startswith(f"{runtime.prefix}/"):
        return False
    return any(_is_below(asked.path, prefix) for prefix in runtime.metered_prefixes)


def _is_below(path: str, prefix: str) -> bool:
    """A prefix ends at a slash: /apiary is not below /api, which is so itself."""
    return path == prefix or path.startswith(f"{prefix.removesuffix('/')}/")


def _endpoint(asked: Request) -> str:
    """The rule, not the path: a user id in a path would make a row per user and tell more than counting needs."""
    return asked.url_rule.rule if asked.url_rule is not None else ""
