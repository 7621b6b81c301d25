"""The socket: requests in, answers out, with the faults that were asked for in between."""

from __future__ import annotations

import base64
import binascii
import json
import socket
import threading
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from api_v1.stripe_fake import forms, params, routes
from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.faults import Fault
from api_v1.stripe_fake.rendering import Obj, rendered
from api_v1.stripe_fake.replays import Kept
from api_v1.stripe_fake.world import API_VERSION

if TYPE_CHECKING:
    from api_v1.stripe_fake.fake import StripeFake

LARGEST_BODY = 1_000_000
IDLE_SECONDS = 60


@dataclass
class Request:
    """One line of the journal."""

    method: str
    path: str
    params: Obj
    idempotency_key: str | None
    key_prefix: str
    stripe_version: str | None
    status: int | None = None  # None: no answer was given, or not yet
    replayed: bool = False
    fault: Fault | None = None
    answer: Obj = field(default_factory=dict, repr=False)


class NoAnswer(Exception):
    """The connection is closed without a word."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = 128

    def __init__(self, fake: StripeFake, port: int) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def remember(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """Ends connections that clients keep for later."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's fault; anything else is the fake's."""
        self.fake.note_failure(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # an answer leaves in one piece
    timeout = IDLE_SECONDS
    server: Server
    server_version = "stripe-fake"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.server.remember(self.request)

    def finish(self) -> None:
        self.server.forget(self.request)
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, NoAnswer):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing: the journal is in the fake."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            return self.answer(413, {"error": {"type": "invalid_request_error", "message": "Request too large"}})
        raw = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        fake = self.server.fake
        if not parts.path.startswith("/v1/"):
            return fake.beside(self, parts.path, raw)
        text = parts.query if self.command in {"GET", "DELETE"} and not raw else raw.decode(errors="surrogateescape")
        entry = Request(
            self.command,
            parts.path,
            {},
            self.headers.get("Idempotency-Key"),
            _key_of(self.headers.get("Authorization", ""))[:8],
            self.headers.get("Stripe-Version"),
        )
        fake.requests.append(entry)
        if fake.down:
            raise NoAnswer
        return self._with_faults(fake, entry, text)

    def _with_faults(self, fake: StripeFake, entry: Request, text: str) -> None:
        fault = entry.fault = fake.faults.take(entry.method, entry.path)
        if fault is not None:
            fault.reached.set()
            if fault.drop == "before":
                raise NoAnswer
            if fault.hang is not None and not fault.executed:
                fault.wait()
        status, body, headers = 0, Obj(), dict[str, str]()
        if fault is None or fault.status is None or fault.executed:
            status, body, headers = self._answered(fake, entry, text)
        if fault is not None:
            if fault.hang is not None and fault.executed:
                fault.wait()
            if fault.drop == "after":
                raise NoAnswer
            if fault.status is not None:
                status, body, headers = fault.status, fault.body, dict(fault.headers)
                if fault.stored:
                    self._keep(fake, entry, text, status, body)
        entry.status, entry.answer = status, body
        self.answer(status, body, headers)

    def _answered(self, fake: StripeFake, entry: Request, text: str) -> tuple[int, Obj, dict[str, str]]:
        """The answer, executed under the world's lock; what a key was answered before is given again."""
        world = fake.world
        asked = (entry.method, entry.path, forms.content(text))
        with world.lock:
            try:
                key = _key_of(self.headers.get("Authorization", ""))
                fake.check_key(key, entry.method, entry.path)
                found = routes.find(entry.method, entry.path)
                if found is None:
                    raise Refused(f"Unrecognized request URL ({entry.method}: {entry.path}).", status=404)
                route, ids = found
                entry.params = forms.decode(text)
                known = fake.replays.find(entry.idempotency_key if entry.method == "POST" else None, asked)
                if known is not None:
                    entry.replayed = True
                    headers = {"Idempotent-Replayed": "true", "Original-Request": known.request_id}
                    return known.status, known.body, headers
                entry.params = params.checked(route.params, entry.params)
                world.request = {"id": world.new_id("req"), "idempotency_key": entry.idempotency_key}
                status, body = 200, self._handled(fake, route, ids, entry)
            except Refused as refused:
                status, body = refused.status, refused.body
            finally:
                request_id = world.request["id"]
                world.request = {"id": None, "idempotency_key": None}
            if request_id is not None:  # a request that was refused before it began leaves its key free
                self._keep(fake, entry, text, status, body, request_id)
        return status, body, {"Request-Id": request_id or world.new_id("req")}

    def _handled(self, fake: StripeFake, route: routes.Route, ids: tuple[str, ...], entry: Request) -> Obj:
        try:
            found = route.handler(fake.world, entry.params, *ids)
            expand = None if found["object"] == "list" else entry.params.get("expand")
            return rendered(fake.world, found, expand)
        except Refused:
            raise
        except Exception as error:
            fake.note_failure(traceback.format_exc())
            message = f"The fake itself failed: {type(error).__name__}: {error}"
            raise Refused(message, status=500, kind="api_error") from error

    @staticmethod
    def _keep(
        fake: StripeFake, entry: Request, text: str, status: int, body: Obj, request_id: str = "req_fault"
    ) -> None:
        if entry.method == "POST":
            asked = (entry.method, entry.path, forms.content(text))
            fake.replays.keep(entry.idempotency_key, Kept(asked, status, body, fake.world.now(), request_id))

    def answer(self, status: int, body: Obj | str, headers: dict[str, str] | None = None) -> None:
        """JSON, or a page."""
        page = isinstance(body, str)
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Stripe-Version", API_VERSION)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def _key_of(authorization: str) -> str:
    """The secret key, given as a bearer token or as the user of basic authentication."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given, validate=True).decode().split(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
