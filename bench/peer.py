"""Others' way of recording usage, in a process of its own: their packages need not fit ours.

Run by bench/rows/peers.py as `python bench/peer.py WHO FILE`; each line on the standard input asks for one round of
that many events, each line of the answer is how long it took. It is not imported by anything.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

METRIC = "tokens"
DAY = datetime(2026, 5, 20, tzinfo=UTC)
Round = Callable[[int], float]


class SvcInfra:
    """svc-infra's AsyncBillingService on SQLAlchemy and aiosqlite, as its own documentation uses it."""

    def __init__(self, file: str, *, wal: bool) -> None:
        self.sql: Any = importlib.import_module("sqlalchemy")
        self.orm: Any = importlib.import_module("sqlalchemy.ext.asyncio")
        self.billing: Any = importlib.import_module("svc_infra.billing.async_service")
        self.models: Any = importlib.import_module("svc_infra.billing.models")
        self.engine = self.orm.create_async_engine(f"sqlite+aiosqlite:///{file}")
        if wal:
            self.sql.event.listen(self.engine.sync_engine, "connect", _use_wal)
        self.sessions = self.orm.async_sessionmaker(self.engine, expire_on_commit=False)
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._create())

    async def _create(self) -> None:
        async with self.engine.begin() as db:
            for table in (self.models.UsageEvent.__table__, self.models.UsageAggregate.__table__):
                await db.run_sync(table.create)

    def record(self, count: int) -> None:
        """record_usage and a commit, one event after the other."""
        self.loop.run_until_complete(self._record(count))

    async def _record(self, count: int) -> None:
        async with self.sessions() as session:
            service = self.billing.AsyncBillingService(session, "1")
            for key in _keys(count):
                await service.record_usage(
                    metric=METRIC, amount=3, at=datetime.now(UTC), idempotency_key=key, metadata=None
                )
                await session.commit()

    def record_together(self, count: int) -> None:
        """The same with one commit at the end: it has no other way to take a batch."""
        self.loop.run_until_complete(self._record_together(count))

    async def _record_together(self, count: int) -> None:
        async with self.sessions() as session:
            service = self.billing.AsyncBillingService(session, "1")
            for key in _keys(count):
                await service.record_usage(
                    metric=METRIC, amount=3, at=datetime.now(UTC), idempotency_key=key, metadata=None
                )
            await session.commit()

    def fill(self, count: int) -> None:
        """Events of one day, in bulk: they are what aggregate_daily adds up."""
        self.loop.run_until_complete(self._fill(count))

    async def _fill(self, count: int) -> None:
        event = self.models.UsageEvent
        rows = [
            {"id": key, "tenant_id": "1", "metric": METRIC, "amount": 3, "at_ts": DAY, "idempotency_key": key}
            for key in _keys(count)
        ]
        async with self.engine.begin() as db:
            await db.execute(self.sql.insert(event), rows)

    def aggregate(self, count: int) -> None:
        total = self.loop.run_until_complete(self._aggregate())
        if total != 3 * count:
            raise RuntimeError(f"aggregate_daily said {total}, not {3 * count}")

    async def _aggregate(self) -> int:
        async with self.sessions() as session:
            service = self.billing.AsyncBillingService(session, "1")
            total = await service.aggregate_daily(metric=METRIC, day_start=DAY)
            await session.commit()
            return int(total)


class SqlAlchemy:
    """One mapped class, one session, an add and a commit per event: the event alone, no sums."""

    def __init__(self, file: str) -> None:
        sql: Any = importlib.import_module("sqlalchemy")
        orm: Any = importlib.import_module("sqlalchemy.orm")

        base: Any = orm.declarative_base()

        class Event(base):  # type: ignore[misc]
            __tablename__ = "events"
            __table_args__ = (sql.UniqueConstraint("user_id", "idempotency_key"),)
            id = sql.Column(sql.String(32), primary_key=True)
            user_id = sql.Column(sql.Integer, nullable=False)
            metric = sql.Column(sql.String(64), nullable=False)
            quantity = sql.Column(sql.Integer, nullable=False)
            at = sql.Column(sql.DateTime, nullable=False)
            idempotency_key = sql.Column(sql.String(128), nullable=False)

        self.event = Event
        engine = sql.create_engine(f"sqlite:///{file}")
        sql.event.listen(engine, "connect", _use_wal)
        base.metadata.create_all(engine)
        self.session = orm.Session(engine)

    def record(self, count: int) -> None:
        for key in _keys(count):
            self.session.add(
                self.event(id=key, user_id=1, metric=METRIC, quantity=3, at=datetime.now(UTC), idempotency_key=key)
            )
            self.session.commit()


def _use_wal(connection: Any, _: Any) -> None:
    """As durable as ours: WAL, and a sync at every commit."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _keys(count: int) -> Iterator[str]:
    return (secrets.token_hex(16) for _ in range(count))


def main(who: str, file: str) -> None:
    peer: Any = SqlAlchemy(file) if who == "sqlalchemy" else SvcInfra(file, wal=who.endswith("-wal"))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        what, count = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        getattr(peer, what)(count)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
