"""Each example is started with the command in its first lines and used over HTTP, as a newcomer would."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

import pytest

ROOT = Path(__file__).parents[2]
CONSUMPTION = "/api/v1/billing/consumption"


class Server:
    """An example as a process of its own on a free port of this machine, killed after a minute at the latest."""

    def __init__(self, name: str, folder: Path) -> None:
        environment = {**os.environ, "EXAMPLE_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*documented_command(name), "--port", "0"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._end = threading.Timer(60, self.process.kill)
        self._end.daemon = True
        self._end.start()
        self.log: list[str] = []
        self.url = self._address()
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()
        self.browser = self.new_browser()

    def _address(self) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
            if found:
                return found[1]
        self.process.wait(20)
        self.process.stderr.close()
        raise AssertionError("the example did not start:\n" + "".join(self.log))

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self._end.cancel()
        self._reader.join(20)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def new_browser(self) -> OpenerDirector:
        class NoRedirect(HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        return build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()), NoRedirect)

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """(status, text). A dict is posted as JSON, bytes as a form."""
        given = dict(headers or {})
        data = body
        if isinstance(body, dict):
            data = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        try:
            with self.browser.open(Request(self.url + path, data=data, headers=given), timeout=20) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()


def docstring_of(name: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"))) or ""


def documented_command(name: str) -> list[str]:
    line = next(line for line in docstring_of(name).splitlines() if line.strip().startswith("flask "))
    program, *arguments = shlex.split(line)
    assert program == "flask"
    return [sys.executable, "-m", "flask", *arguments]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    started: list[Server] = []

    def start(name: str) -> Server:
        started.append(Server(name, tmp_path))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def consumption_of(server: Server, headers: dict[str, str] | None = None) -> dict[str, Any]:
    status, text = server.ask(CONSUMPTION, headers=headers)
    assert status == 200, text
    return json.loads(text)  # type: ignore[no-any-return]


def test_an_app_with_its_own_users_logs_in_counts_and_reads_the_month(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    server = serve("own_users")
    assert server.ask("/races")[0] == 401
    assert server.ask(CONSUMPTION)[0] == 401
    assert server.ask("/login", {"email": "nina@example.com", "password": "wrong"})[0] == 401
    assert server.ask("/login", {"email": "nina@example.com", "password": "course"})[0] == 200

    for _ in range(3):
        assert server.ask("/races")[0] == 200

    month = consumption_of(server)
    assert month["user_id"] == 1
    assert month["consumption"]["total_api_calls"] == 3
    # the app's own column says pro; who is on which plan is asked of the subscriptions alone
    assert month["plan"] == "free"
    assert month["consumption"]["limit_api_calls"] == 300

    with sqlite3.connect(tmp_path / "own_users.db") as db:
        db.execute("INSERT INTO saas_subscriptions (user_id, plan, status) VALUES (1, 'premium', 'active')")
        assert db.execute("SELECT plan, favourite_horse FROM users").fetchall() == [("pro", "Idéal du Gazeau")]
    db.close()
    assert consumption_of(server)["plan"] == "premium"


def test_a_flask_sqlalchemy_app_reads_the_month_with_its_login_session(
    serve: Callable[[str], Server], tmp_path: Path
) -> None:
    pytest.importorskip("flask_sqlalchemy", reason="flask-sqlalchemy is not installed")
    pytest.importorskip("flask_login", reason="flask-login is not installed")
    server = serve("sqlalchemy_login")
    assert server.ask(CONSUMPTION)[0] == 401
    form = urlencode({"email": "nina@example.com", "password": "wrong"}).encode()
    assert server.ask("/login", form)[0] == 401
    form = urlencode({"email": "nina@example.com", "password": "course"}).encode()
    assert server.ask("/login", form)[0] == 302

    status, page = server.ask("/")
    assert status == 200
    assert f'href="{CONSUMPTION}"' in page

    with sqlite3.connect(tmp_path / "sqlalchemy_login.db") as db:
        [(key,)] = db.execute('SELECT id FROM "user"').fetchall()
        month = consumption_of(server)
        db.execute(
            "INSERT INTO consumption_log (user_id, date, api_calls) VALUES (?, ?, 7)", (key, month["month"] + "-01")
        )
    db.close()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key)
    assert month["user_id"] == key
    assert month["plan"] == "free"
    assert consumption_of(server)["consumption"]["total_api_calls"] == 7

    assert server.ask("/logout", b"")[0] == 302
    assert server.ask(CONSUMPTION)[0] == 401


def test_an_app_without_users_in_reach_vouches_for_them(serve: Callable[[str], Server], tmp_path: Path) -> None:
    server = serve("own_file")

    def basic(name: str, password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}

    assert server.ask("/", headers=basic("nina", "course"))[0] == 200
    assert server.ask(CONSUMPTION)[0] == 401
    assert server.ask(CONSUMPTION, headers=basic("nina", "wrong"))[0] == 401
    assert consumption_of(server, basic("nina", "course"))["user_id"] == "nina"
    assert consumption_of(server, basic("émile", "galop"))["user_id"] == "émile"

    with sqlite3.connect(tmp_path / "billing.db") as db:
        assert db.execute("SELECT id FROM users ORDER BY id").fetchall() == [("nina",), ("émile",)]
    db.close()


def test_an_example_started_again_finds_what_it_had(serve: Callable[[str], Server]) -> None:
    for calls in (1, 2):
        server = serve("own_users")
        assert server.ask("/login", {"email": "nina@example.com", "password": "course"})[0] == 200
        assert server.ask("/races")[0] == 200
        assert consumption_of(server)["consumption"]["total_api_calls"] == calls
        server.stop()


@pytest.mark.parametrize("name", ["own_users", "own_file"])
def test_the_curl_lines_of_an_example_work_as_they_stand(
    serve: Callable[[str], Server], name: str, tmp_path: Path
) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("curl is not installed")
    server = serve(name)
    text = docstring_of(name).replace("\\\n", "")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) >= 2
    for line in lines:
        asked = line.replace("curl ", "curl -fsS --noproxy '*' ", 1).replace("http://127.0.0.1:5000", server.url)
        done = subprocess.run(
            ["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan"] == "free"
