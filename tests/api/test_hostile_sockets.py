"""Hostile input over real sockets: bodies without end, lengths that lie, bytes that are no HTTP; memory stays flat."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.hostile_host import ECHO, PREFIX

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1024 * 1024
JSON = "Content-Type: application/json\r\n"


@dataclass
class Host:
    pid: int
    port: int

    def peak_memory(self) -> int:
        """The most that the process ever held, in bytes."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def send(self, *parts: bytes, end: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Send as much as the server takes, and read its answer. `end` closes our side first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock:
            try:
                for part in parts:
                    sock.sendall(part)
                if end:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has answered already and wants no more
            return _answer(sock)


def _answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    raw = b""
    try:
        while b"\r\n\r\n" not in raw:
            read = sock.recv(65536)
            if not read:
                break
            raw += read
        head, _, body = raw.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
        while len(body) < int(headers.get("Content-Length", 0)):
            read = sock.recv(65536)
            if not read:
                break
            body += read
    except ConnectionResetError:
        head, _, body = raw.partition(b"\r\n\r\n")
        headers = {}
    return (int(head.split()[1]) if head else 0), headers, body


def post(length: int | str | None, *more: str) -> bytes:
    lines = [f"POST {ECHO} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to read a process's memory from")
    database = tmp_path_factory.mktemp("sockets") / "billing.db"
    command = [sys.executable, "-m", "tests.api.hostile_host", str(database)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        last_resort = threading.Timer(300, process.kill)
        last_resort.start()
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            assert port.strip().isdigit(), "the host did not start"
            yield Host(process.pid, int(port))
        finally:
            last_resort.cancel()
            process.terminate()
            _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def assert_refused(answer: tuple[int, dict[str, str], bytes], status: int, code: str) -> None:
    found, headers, body = answer
    assert (found, json.loads(body)["code"]) == (status, code)
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"


def test_a_hundred_megabytes_are_refused_unread(host: Host) -> None:
    # Only the head is sent: an answer proves that the body was not waited for.
    assert_refused(host.send(post(100 * MEBIBYTE)), 413, "body_too_large")


def test_a_hundred_megabytes_in_chunks_are_refused_at_the_first_byte_too_many(host: Host) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sixteen, and_one = chunk * 16, b"1\r\n \r\n"
    head = post(None, "Transfer-Encoding: chunked")
    assert_refused(host.send(head, sixteen, and_one), 413, "body_too_large")
    whole = host.send(head, sixteen.replace(b" ", b"1", 1), b"0\r\n\r\n")
    assert_refused(whole, 422, "invalid_input")  # a mebibyte: read, and it is the number 1


def test_memory_stays_flat_whatever_is_sent(host: Host) -> None:
    assert host.send(post(2), b"{}")[0] == 200
    before = host.peak_memory()
    chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"
    endless = [chunk] * 100
    bodies = [
        b"[" * 100_000,
        b'{"text": "' + b"a" * (MEBIBYTE - 20) + b'"}',
        b"{" + b",".join(b'"k%d":1' % number for number in range(30_000)) + b"}",
        b"{" + b",".join([b'"k":1'] * 170_000) + b"}",
        b"[" + b",".join([b"[]"] * 340_000) + b"]",
    ]
    for body in bodies:
        assert host.send(post(len(body)), body)[0] in {400, 422}
    million_keys = b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"
    host.send(post(len(million_keys)), million_keys)
    host.send(post(100 * MEBIBYTE), *[b" " * MEBIBYTE] * 100)
    host.send(post(None, "Transfer-Encoding: chunked"), *endless)
    assert host.peak_memory() - before < 50 * MEBIBYTE
    assert host.send(post(2), b"{}")[0] == 200


@pytest.mark.parametrize("sent", [b"", b'{"text"', b'{"text": "a"'])
def test_a_body_shorter_than_its_length_is_unreadable(host: Host, sent: bytes) -> None:
    status, _, body = host.send(post(100), sent, end=True)
    assert (status, json.loads(body)["code"]) in {(400, "bad_request"), (400, "json_unreadable")}


def test_a_body_longer_than_its_length_is_cut_there(host: Host) -> None:
    assert_refused(host.send(post(5), b'{"text": "a"}'), 400, "json_unreadable")
    assert host.send(post(2), b"{}{}")[0] == 200


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", "0x10", "", "5, 5", "9" * 400])
def test_a_length_that_is_no_number_is_refused(host: Host, length: str) -> None:
    status, _, body = host.send(post(length), b'{"text": "a"}', end=True)
    assert 400 <= status < 500, (status, body)


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n", b"5\r\n{}", b"ffffffffffffffffffff\r\n{}", b"\r\n\r\n"]
)
def test_chunks_that_are_none_are_refused(host: Host, chunks: bytes) -> None:
    status, _, body = host.send(post(None, "Transfer-Encoding: chunked"), chunks, end=True)
    assert 400 <= status < 500, (status, body)


@pytest.mark.parametrize(
    "path",
    ["/%00", "/\xff", "/consumption?month=\xff", "/consumption?month=%ff", "/../../etc/passwd", "//consumption",
     "/consumption?" + "a=1&" * 2_000, "/" + "a" * 20_000, "/tenants/" + "1" * 20_000 + "/consumption"],
)  # fmt: skip
def test_paths_in_raw_bytes_get_an_answer_in_json(host: Host, path: str) -> None:
    request = f"GET {PREFIX}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
    status, headers, body = host.send(request)
    assert status in {400, 401, 404, 422}
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["code"]
