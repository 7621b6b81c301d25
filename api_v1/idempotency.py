"""Idempotency-Key: a request that is sent again, because its answer was lost, is not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response

from api_v1.auth import Caller
from api_v1.runtime import current_request, current_runtime
from turf_saas import idempotency
from turf_saas.errors import Fault, InvalidInput
from turf_saas.idempotency import MAX_KEY, Answer, Asked

HEADER = "Idempotency-Key"
REPEATED = "Idempotent-Replayed"
_OF_THE_BODY = {"Content-Type", "Content-Length"}


def answer_once(given: dict[str, Any], view: Callable[[], Response]) -> Response:
    """The view's answer; with a key, the answer of the first time. given: what the view is called with."""
    key = find_key()
    if key is None:
        return view()
    runtime = current_runtime()
    found = idempotency.do_once(runtime.db(), runtime.now(), _asked(given, key), lambda: _stored(view()))
    headers = {**found.headers, REPEATED: "true"} if found.repeated else found.headers
    return Response(found.body, found.status, headers, content_type="application/json")


def was_answered(given: dict[str, Any]) -> bool:
    """Whether this is a request again that has its answer: what it needs from elsewhere is not asked for twice."""
    key, runtime = find_key(), current_runtime()
    return key is not None and idempotency.was_done(runtime.db(), runtime.now(), _asked(given, key))


def find_key() -> str | None:
    """The key that the request came with, or InvalidInput."""
    given = current_request().headers.get(HEADER)
    if given is None:
        return None
    try:  # a server hands over the bytes as latin-1; the same key in a body is UTF-8
        key = given.encode("latin-1").decode()
    except UnicodeError:
        key = ""
    if not 0 < len(key) <= MAX_KEY:
        faults = [Fault(f"/{HEADER}", "idempotency_key_invalid", {"most": MAX_KEY})]
        raise InvalidInput("idempotency_key_invalid", faults=faults, most=MAX_KEY)
    return key


def _asked(given: dict[str, Any], key: str) -> Asked:
    """The body as it was understood: `5.0` for `5` or other blanks are the same content."""
    caller: Caller = given["caller"]
    body, request = given.get("body"), current_request()
    content = b"" if body is None else body.model_dump_json(exclude_unset=True).encode()
    return Asked(
        caller.user,
        key,
        f"{request.method} {request.path}",
        hashlib.sha256(content).hexdigest(),
    )


def _stored(response: Response) -> Answer:
    assert response.status_code < 400, "a view raises its refusals, so that what it has written is undone"
    headers = {name: value for name, value in response.headers.items() if name not in _OF_THE_BODY}
    return Answer(response.status_code, headers, response.get_data(as_text=True))
