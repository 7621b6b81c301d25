"""The same request again, under the same key, is done once: who repeats it within a day gets the first answer.

The deed and the record that it was done are one transaction, so there is never one without the other. A deed that is
refused leaves no record: nothing was done, and the key may be tried again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, atomic, engine, execute, fetch_one
from turf_saas.errors import Conflict
from turf_saas.users import User
from turf_saas.values import instant_text

MAX_KEY = 255
KEPT = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 20


class Asked(NamedTuple):
    """Who asks under which key. request: method and path; content: a hash of what was sent."""

    user: User
    key: str
    request: str
    content: str


class Answer(NamedTuple):
    """headers: those that are not said by the body itself."""

    status: int
    headers: dict[str, str]
    body: str
    repeated: bool = False


def do_once(db: Connection, now: datetime, asked: Asked, deed: Callable[[], Answer]) -> Answer:
    """The deed's answer, or that of the first time. Conflict when the key was used for something else.

    The deed writes to `db` and nowhere else. Whoever comes with the same key meanwhile waits for its end.
    """
    with atomic(db):
        if not _claim(db, now, asked):
            return _get_first_answer(db, asked)
        answer = deed()
        _keep(db, asked, answer)
    return answer


def was_done(db: Connection, now: datetime, asked: Asked) -> bool:
    """Whether the caller has used the key within its day. What the deed needs from elsewhere is not asked for again."""
    row = fetch_one(
        db,
        """SELECT 1 AS one FROM billing_idempotency_keys
            WHERE user_id = :user_id AND idempotency_key = :key AND created_at > :before""",
        user_id=asked.user.id,
        key=asked.key,
        before=instant_text(now - KEPT),
    )
    return row is not None


def _claim(db: Connection, now: datetime, asked: Asked) -> bool:
    """Whether the key is the caller's to use: it is new, or its day is over."""
    before = instant_text(now - KEPT)
    claimed = execute(
        db,
        """INSERT INTO billing_idempotency_keys (user_id, idempotency_key, tenant_id, request, content, created_at)
           VALUES (:user_id, :key, :tenant_id, :request, :content, :now)
           ON CONFLICT (user_id, idempotency_key) DO UPDATE
              SET request = excluded.request, content = excluded.content, created_at = excluded.created_at
            WHERE billing_idempotency_keys.created_at <= :before""",
        user_id=asked.user.id,
        key=asked.key,
        tenant_id=asked.user.tenant_id,
        request=asked.request,
        content=asked.content,
        now=instant_text(now),
        before=before,
    )
    if claimed:
        _forget_old(db, before)
    return claimed > 0


def _forget_old(db: Connection, before: str) -> None:
    """A few at each new one, so that the table does not grow. What another is about to forget is left to him."""
    skip = "FOR UPDATE SKIP LOCKED" if engine(db) == "postgresql" else ""
    execute(
        db,
        f"""DELETE FROM billing_idempotency_keys WHERE (user_id, idempotency_key) IN
                (SELECT user_id, idempotency_key FROM billing_idempotency_keys
                  WHERE created_at <= :before ORDER BY created_at LIMIT :most {skip})""",  # noqa: S608  a constant
        before=before,
        most=FORGOTTEN_AT_ONCE,
    )


def forget_old(db: Connection, now: datetime) -> int:
    """All answers whose day is over, also where no new ones come; how many there were."""
    with atomic(db):
        return execute(
            db, "DELETE FROM billing_idempotency_keys WHERE created_at <= :before", before=instant_text(now - KEPT)
        )


def _get_first_answer(db: Connection, asked: Asked) -> Answer:
    row = fetch_one(
        db,
        """SELECT request, content, status, headers, answer FROM billing_idempotency_keys
            WHERE user_id = :user_id AND idempotency_key = :key""",
        user_id=asked.user.id,
        key=asked.key,
    )
    assert row is not None, "a claim that was refused has met its row"
    if (row["request"], row["content"]) != (asked.request, asked.content):
        raise Conflict("idempotency_conflict")
    return Answer(row["status"], json.loads(row["headers"]), row["answer"], repeated=True)


def _keep(db: Connection, asked: Asked, answer: Answer) -> None:
    execute(
        db,
        """UPDATE billing_idempotency_keys SET status = :status, headers = :headers, answer = :answer
            WHERE user_id = :user_id AND idempotency_key = :key""",
        status=answer.status,
        headers=json.dumps(answer.headers),
        answer=answer.body,
        user_id=asked.user.id,
        key=asked.key,
    )
