"""Each call that changes something at Stripe: written down before it is made, and its outcome after it.

Whoever is killed between the two finds it written down, and makes the same call with the same key: Stripe does it once.
Keys are forgotten there after a day, and some answers are no answers: then what is there is looked up first.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from billing_db import Connection, Row, atomic, execute, fetch_all, fetch_one, in_transaction
from turf_saas.gateways import CardDeclined, GatewayDown, GatewayRefused
from turf_saas.stripe_objects import Json, sid
from turf_saas.values import compact_json, instant_text, parse_instant

KNOWN_FOR = timedelta(hours=23)  # a key: an hour less than Stripe promises
MAX_ERROR = 500

Send = Callable[[Json, str], Json]  # parameters and key: the object that Stripe answers
Find = Callable[[], Json | None]
Then = Callable[[Json], None]


class Answer(NamedTuple):
    """What the call has made or changed. object: as Stripe answered; None where that was some other time."""

    id: str
    object: Json | None


class _Written(NamedTuple):
    id: int
    key: str
    params: Json


def _nothing(_answer: Json) -> None:
    """Nothing is written with the outcome."""


def make(
    db: Connection,
    now: datetime,
    tenant_id: int,
    subject: str,
    step: str,
    params: Json,
    send: Send,
    *,
    find: Find | None = None,
    and_then: Then = _nothing,
    again: bool = False,
) -> Answer:
    """The answer to this step of the subject; sent now, unless it was answered before.

    find: what is there already, asked where an old key cannot tell. and_then: writes what follows from the answer, in
    the transaction that notes it. again: what was answered before is done anew. Raises what the gateway raises.
    """
    if in_transaction(db):
        raise RuntimeError("nothing is asked of Stripe inside a transaction: it would wait for the answer")
    last = _last(db, subject, step)
    if last is not None and last["status"] == "done" and not again:
        return Answer(last["answer_id"], None)
    written = _same_key(now, last)
    if written is None:
        there = find() if find is not None and last is not None and last["status"] != "done" else None
        if there is not None and last is not None:
            _note(db, now, int(last["id"]), there, and_then)
            return Answer(str(sid(there)), there)
        written = _write_down(db, now, tenant_id, subject, step, params, last)
    try:
        answer = send(written.params, written.key)
    except GatewayDown as down:
        _note_failure(db, now, written.id, str(down), is_over=down.stored)
        raise
    except (GatewayRefused, CardDeclined) as refused:
        _note_failure(db, now, written.id, str(refused), is_over=True)
        raise
    _note(db, now, written.id, answer, and_then)
    return Answer(str(sid(answer)), answer)


def of_invoice(invoice_id: int) -> str:
    """The subject of the calls that collect it."""
    return f"invoice:{invoice_id}"


def is_answered(db: Connection, subject: str, step: str) -> bool:
    row = _last(db, subject, step)
    return row is not None and row["status"] == "done"


def count_steps(db: Connection, subject: str, beginning: str = "") -> int:
    """How many of the subject's steps were begun; of those whose name begins so."""
    row = fetch_one(
        db,
        """SELECT COUNT(DISTINCT step) AS many FROM billing_stripe_calls
            WHERE subject = :subject AND SUBSTR(step, 1, :length) = :beginning""",
        subject=subject,
        beginning=beginning,
        length=len(beginning),
    )
    return int(row["many"]) if row is not None else 0


def list_answers(db: Connection, subject: str, beginning: str) -> list[tuple[str, str]]:
    """Of the subject's steps whose name begins so, each with what was answered last."""
    rows = fetch_all(
        db,
        """SELECT step, answer_id FROM billing_stripe_calls AS c
            WHERE subject = :subject AND SUBSTR(step, 1, :length) = :beginning AND status = 'done'
              AND NOT EXISTS (SELECT 1 FROM billing_stripe_calls AS later
                               WHERE later.subject = c.subject AND later.step = c.step
                                 AND later.version > c.version AND later.status = 'done')
            ORDER BY step""",
        subject=subject,
        beginning=beginning,
        length=len(beginning),
    )
    return [(row["step"], row["answer_id"]) for row in rows]


def find_params(db: Connection, subject: str, step: str) -> Json | None:
    """With what a step was sent; None where it was not."""
    row = _last(db, subject, step)
    found: Json | None = json.loads(row["params"]) if row is not None else None
    return found


def is_unanswered(db: Connection, subject: str, step: str) -> bool:
    """Whether the step was begun, and nobody knows what became of it."""
    row = _last(db, subject, step)
    return row is not None and row["status"] == "pending"


def installation(db: Connection) -> str:
    """The name of this database among all that may share an account of Stripe's: drawn once, when it is first asked."""
    row = fetch_one(db, "SELECT stripe_name FROM billing_installation WHERE id = 1")
    if row is not None and row["stripe_name"]:
        return str(row["stripe_name"])
    with atomic(db):
        execute(
            db,
            "UPDATE billing_installation SET stripe_name = COALESCE(stripe_name, :name) WHERE id = 1",
            name=secrets.token_hex(4),
        )
    row = fetch_one(db, "SELECT stripe_name FROM billing_installation WHERE id = 1")
    assert row is not None, "the database has been migrated"
    return str(row["stripe_name"])


def _last(db: Connection, subject: str, step: str) -> Row | None:
    return fetch_one(
        db,
        """SELECT id, version, idempotency_key, params, status, answer_id, sent_at FROM billing_stripe_calls
            WHERE subject = :subject AND step = :step ORDER BY version DESC LIMIT 1""",
        subject=subject,
        step=step,
    )


def _same_key(now: datetime, last: Row | None) -> _Written | None:
    """The call as it was sent, where Stripe still knows its key; with the parameters of then, whatever they are now."""
    if last is None or last["status"] != "pending":
        return None
    if not timedelta(0) <= now - parse_instant(last["sent_at"]) < KNOWN_FOR:
        return None
    return _Written(last["id"], last["idempotency_key"], json.loads(last["params"]))


def _write_down(
    db: Connection, now: datetime, tenant_id: int, subject: str, step: str, params: Json, last: Row | None
) -> _Written:
    """A new version of the call. Where two do so at once both make the same one: the first that was written down."""
    version = 1 if last is None else last["version"] + 1
    key = f"ts-{installation(db)}-{_plain(subject)}-{step}-v{version}"
    with atomic(db):
        execute(
            db,
            """UPDATE billing_stripe_calls SET status = 'given_up'
                WHERE subject = :subject AND step = :step AND version < :version AND status = 'pending'""",
            subject=subject,
            step=step,
            version=version,
        )
        execute(
            db,
            """INSERT INTO billing_stripe_calls (tenant_id, subject, step, version, idempotency_key, params, sent_at)
               VALUES (:tenant_id, :subject, :step, :version, :key, :params, :now) ON CONFLICT DO NOTHING""",
            tenant_id=tenant_id,
            subject=subject,
            step=step,
            version=version,
            key=key,
            params=compact_json(dict(params)),
            now=instant_text(now),
        )
        row = fetch_one(db, "SELECT id, params FROM billing_stripe_calls WHERE idempotency_key = :key", key=key)
    assert row is not None, "it was just written, by us or by another"
    return _Written(row["id"], key, json.loads(row["params"]))


def _plain(subject: str) -> str:
    """As it can stand in a header: a host's user ids may be any text."""
    return subject if _PLAIN.fullmatch(subject) else hashlib.sha256(subject.encode()).hexdigest()[:40]


_PLAIN = re.compile(r"[A-Za-z0-9:_-]{1,100}")


def _note(db: Connection, now: datetime, call_id: int, answer: Json, and_then: Then) -> None:
    with atomic(db):
        execute(
            db,
            """UPDATE billing_stripe_calls
                  SET status = 'done', answer_id = :answer_id, answered_at = :now, last_error = NULL WHERE id = :id""",
            answer_id=sid(answer),
            now=instant_text(now),
            id=call_id,
        )
        and_then(answer)


def _note_failure(db: Connection, now: datetime, call_id: int, why: str, *, is_over: bool) -> None:
    """is_over: this key brings nothing else any more."""
    with atomic(db):
        execute(
            db,
            """UPDATE billing_stripe_calls
                  SET status = CASE WHEN :over = 1 THEN 'given_up' ELSE status END, last_error = :why,
                      answered_at = CASE WHEN :over = 1 THEN :now ELSE answered_at END
                WHERE id = :id AND status = 'pending'""",
            over=int(is_over),
            why=why[:MAX_ERROR].replace("\0", "?"),
            now=instant_text(now),
            id=call_id,
        )
