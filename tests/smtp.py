"""A mail server on this machine, as far as smtplib talks to one: it keeps what it is given, or refuses it as told."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message

REFUSED = "nobody@example.com"


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[Message] = []
        self.hangs_up_after_data = False  # the mail is taken, and nobody is told

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Session(socketserver.StreamRequestHandler):
    server: MailServer
    timeout = 10

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            verb = line.strip().upper().split(b" ")[0].split(b":")[0]
            if verb == b"QUIT":
                self._say("221 bye")
                return
            if verb == b"RCPT" and REFUSED.encode() in line:
                self._say("550 no such mailbox")
            elif verb == b"DATA":
                self._say("354 go on")
                self.server.taken.append(message_from_bytes(self._until_the_dot()))
                if self.server.hangs_up_after_data:
                    return
                self._say("250 taken")
            else:
                self._say("250 ok")

    def _until_the_dot(self) -> bytes:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
