"""Clients that send many requests at once, keep what was answered, and live through the end of a server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.scenarios.serving import BILLING, Server

USAGE = f"{BILLING}/usage"
TWO_WORKERS = ("--worker-class", "gthread", "--workers", "2", "--threads", "4", "--keep-alive", "60")


SECONDS = 300  # for all of a list of calls


class MeteringServer(Server):
    """Lives longer than ten thousand calls take on a busy machine."""

    application = "tests.scenarios.metering_host:app"
    seconds_to_live = SECONDS


class Call(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any = None


class Reply(NamedTuple):
    status: int
    body: Any


class Clients:
    """So many threads, each with a connection of its own, that share a list of calls. Calls are known by their number.

    `replies` has the first reply to each call; `sent` counts how often each was begun.
    """

    def __init__(self, calls: Sequence[Call], threads: int = 16) -> None:
        self.calls, self.threads = calls, threads
        self.replies: dict[int, Reply] = {}
        self.sent = [0] * len(calls)
        self._lock = threading.Lock()

    def unanswered(self) -> list[int]:
        return [number for number in range(len(self.calls)) if number not in self.replies]

    def send(self, server: Server, numbers: Sequence[int]) -> dict[int, Reply]:
        """Send these to a server that lives, and say what it replied to each."""
        found, lost = self._send(server, numbers, None)
        assert not lost, "the server closed a connection that it should have answered on"
        return found

    def send_until_killed(self, server: Server, numbers: Sequence[int], kill_at: int) -> int:
        """Kill the server in the moment in which it has replied to `kill_at` of these; how many it left without reply.

        A client whose request got none does not know whether it was heard.
        """
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            server.kill()

        _, lost = self._send(server, numbers, (kill_at, kill))
        assert killed.is_set(), "all was answered before the server could be killed"
        return lost

    def _send(
        self, server: Server, numbers: Sequence[int], end: tuple[int, Callable[[], None]] | None
    ) -> tuple[dict[int, Reply], int]:
        found: dict[int, Reply] = {}
        lost: list[int] = []
        faults: list[BaseException] = []
        left = iter(numbers)

        def run() -> None:
            connection = _connect(server)
            try:
                while (number := self._take(left)) is not None:
                    reply = _ask(connection, self.calls[number])
                    if reply is None:
                        lost.append(number)
                        return
                    with self._lock:
                        found[number] = reply
                        self.replies.setdefault(number, reply)
                        last = end is not None and len(found) == end[0]
                    if last and end is not None:
                        end[1]()
            except BaseException as fault:
                faults.append(fault)
            finally:
                connection.close()

        workers = [threading.Thread(target=run) for _ in range(self.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(SECONDS)
            assert not worker.is_alive(), "some calls were never answered"
        if faults:
            raise faults[0]
        return found, len(lost)

    def _take(self, left: Any) -> int | None:
        with self._lock:
            number: int | None = next(left, None)
            if number is not None:
                self.sent[number] += 1
            return number


def _connect(server: Server) -> http.client.HTTPConnection:
    where = urlsplit(server.address)
    return http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)


def _ask(connection: http.client.HTTPConnection, call: Call) -> Reply | None:
    """The reply, or None when the server was gone before all of it had come."""
    body = None if call.body is None else json.dumps(call.body)
    headers = {**call.headers, "Content-Type": "application/json"} if body is not None else call.headers
    try:
        connection.request(call.method, call.path, body, headers)
        reply = connection.getresponse()
        text = reply.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return None
    return Reply(reply.status, json.loads(text))
