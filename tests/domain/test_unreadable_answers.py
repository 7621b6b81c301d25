"""What is answered in Stripe's place by something on the way: a proxy, a login page, a server that was cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from turf_saas.gateways import GatewayDown, GatewayRefused
from turf_saas.stripe_gateway import StripeGateway

ANSWERS = {
    "a page instead of the answer": (200, b"<html>Log in to the network</html>"),
    "nothing": (200, b""),
    "no content": (204, b""),
    "a list": (200, b"[]"),
    "a word": (200, b'"ok"'),
    "null": (200, b"null"),
    "an object without an id": (200, b"{}"),
    "an error that was called a success": (200, b'{"error": {"message": "x"}}'),
    "an id that is no text": (200, b'{"id": 5}'),
    "other bytes than UTF-8": (200, b'\xff\xfe{"id": 1}'),
    "a proxy's not found": (404, b"<html>Not found</html>"),
    "a proxy's bad request": (400, b'{"error": "bad"}'),
    "a proxy's bad gateway": (502, b"<html>Bad gateway</html>"),
}


class _Someone(BaseHTTPRequestHandler):
    """Reads what is asked, and answers what it was told to."""

    status, body = 200, b""

    def log_message(self, *_: object) -> None:
        """Nothing is said."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815


@pytest.fixture(scope="module")
def someone() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Someone) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asking(someone: ThreadingHTTPServer, status: int, body: bytes) -> StripeGateway:
    _Someone.status, _Someone.body = status, body
    return StripeGateway("sk_test_of_the_tests", f"http://127.0.0.1:{someone.server_port}", retries=0)


@pytest.mark.parametrize(("status", "body"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_answer_of_stripes_is_tried_again_and_parks_nothing(
    someone: ThreadingHTTPServer, status: int, body: bytes
) -> None:
    gateway = asking(someone, status, body)
    with pytest.raises(GatewayDown):
        gateway.create_invoice({"customer": "cus_1"}, "key-1")
    with pytest.raises(GatewayDown):
        gateway.find("invoices", "in_1")
    with pytest.raises(GatewayDown):
        gateway.list("events")


def test_what_stripe_itself_says_is_taken_at_its_word(someone: ThreadingHTTPServer) -> None:
    missing = b'{"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such invoice"}}'
    assert asking(someone, 404, missing).find("invoices", "in_1") is None
    with pytest.raises(GatewayRefused):
        asking(someone, 404, missing).create_invoice({"customer": "cus_1"}, "key-1")
    assert asking(someone, 200, b'{"id": "in_1", "object": "invoice"}').retrieve("invoices", "in_1")["id"] == "in_1"
