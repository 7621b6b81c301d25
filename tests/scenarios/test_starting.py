"""Starting the reference host as a stranger would: in a clean folder, with real servers, with wrong settings."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import require
from tests.checkout import BILLING, FLASK_RUN, GRANIAN, GUNICORN, PYTHON, Checkout
from turf_saas.settings import KNOWN_SECRETS

CONSUMPTION = "/api/v1/billing/consumption"
LOGIN = "/api/v1/billing/auth/login"
DEMO = {"email": "demo@example.com", "password": "demo-demo-demo"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Checkout(folder)


@pytest.fixture(params=["flask run", "gunicorn", "granian"])
def server(request: pytest.FixtureRequest) -> list[str]:
    """A server of wsgi:app, which listens on a port of its own choice."""
    name = str(request.param)
    if name == "flask run":
        return FLASK_RUN
    if find_spec(name) is None:
        require.without(name, f"{name} is not installed")
    return GUNICORN if name == "gunicorn" else granian()


def granian() -> list[str]:
    """It cannot choose a port by itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return [*GRANIAN, "--port", str(port), "wsgi:app"]


def in_one_line(refused: subprocess.CompletedProcess[str]) -> str:
    """What stopped the start. Nothing was served, and there is no traceback."""
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr + refused.stdout
    lines = {line for line in refused.stderr.splitlines() if line.startswith("billing: ")}
    assert len(lines) == 1, refused.stderr
    return lines.pop()


# -- python wsgi.py --------------------------------------------------------------------------------


def test_the_first_start_says_how_to_log_in_and_its_commands_work(checkout: Checkout) -> None:
    if shutil.which("curl") is None:
        require.without("curl", "curl is not installed")
    with checkout.serving(PYTHON, PORT="0") as server:
        said = server.log_until("Ctrl+C")
        assert said.startswith(f"turf_saas billing runs on {server.url}/ (development, ")
        assert "Log in as demo@example.com with demo-demo-demo\n" in said
        commands = said[said.index("TOKEN=") : said.index("Ctrl+C")]
        typed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert typed.count("X-Billing-Alert: soft_limit_warning") == 2
        assert '"total_api_calls":2550' in typed.replace(" ", "")
        assert "Vincennes" in typed
    database = checkout.folder / "instance" / "turf_saas.db"
    secret = checkout.folder / "instance" / "jwt_secret"
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() not in said

    with checkout.serving(PYTHON, PORT="0") as again:
        login = again.post(LOGIN, DEMO)[2]
        month = again.get(CONSUMPTION, Authorization=f"Bearer {login['access_token']}")[2]
        assert month["consumption"]["total_api_calls"] == 2551, "the second start keeps what there was"


def test_where_somebody_is_already_no_demo_is_made(checkout: Checkout) -> None:
    made = checkout.run([*BILLING, "admin", "create", "boss@example.com"], stdin="a long password\n")
    assert made.returncode == 0, made.stderr
    with checkout.serving(PYTHON, PORT="0") as server:
        assert "demo" not in server.log_until("Ctrl+C").replace(str(checkout.folder), "")
        assert server.post(LOGIN, DEMO)[0] == 401
        assert server.post(LOGIN, {"email": "boss@example.com", "password": "a long password"})[2]["role"] == "admin"


def test_production_makes_no_demo(checkout: Checkout) -> None:
    with checkout.serving(PYTHON, PORT="0", BILLING_ENV="production") as server:
        assert server.log_until("Ctrl+C").startswith(f"turf_saas billing runs on {server.url}/ (production, ")
        assert server.post(LOGIN, DEMO)[0] == 401


def test_a_taken_port_is_one_sentence_and_nothing_is_made(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = in_one_line(checkout.run(PYTHON, PORT=str(port)))
    assert (
        line == f"billing: PORT={port}: 127.0.0.1:{port} cannot be served: Address already in use. Take another PORT."
    )
    assert not (checkout.folder / "instance").exists()


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "5000 ", "５０００", "1e3"])
def test_a_port_that_is_none_is_one_sentence(checkout: Checkout, port: str) -> None:
    assert in_one_line(checkout.run(PYTHON, PORT=port)).startswith(f"billing: PORT={port!r}: must be ")


def test_importing_create_app_does_nothing(checkout: Checkout) -> None:
    look = "import wsgi; assert 'app' not in vars(wsgi); wsgi.create_app; wsgi.races"
    imported = checkout.run([sys.executable, "-c", look])
    assert (imported.returncode, imported.stderr) == (0, "")
    assert sorted(path.name for path in checkout.folder.iterdir()) == [
        "api_v1",
        "billing_db.py",
        "turf_saas",
        "wsgi.py",
    ]


@pytest.mark.parametrize("command", [["status"], ["doctor"], ["migrate", "--dry-run"]])
def test_a_command_that_only_looks_makes_no_database(checkout: Checkout, command: list[str]) -> None:
    looked = checkout.run([*BILLING, *command])
    assert "turf_saas.db" in looked.stdout or "0001_foundation" in looked.stdout
    assert not (checkout.folder / "instance" / "turf_saas.db").exists()


# -- the servers -----------------------------------------------------------------------------------


def test_each_server_serves_in_production_from_an_empty_folder(checkout: Checkout, server: list[str]) -> None:
    with checkout.serving(server) as running:
        assert running.get("/readyz")[::2] == (200, "ready")
        assert running.post(LOGIN, DEMO)[0] == 401
        assert running.get("/")[0] == 200
    assert not (checkout.folder / ".env").exists()
    assert {"jwt_secret", "turf_saas.db"} <= {path.name for path in (checkout.folder / "instance").iterdir()}


def test_a_token_of_one_worker_is_good_at_every_other(checkout: Checkout) -> None:
    if find_spec("gunicorn") is None:
        require.without("gunicorn", "gunicorn is not installed")
    with checkout.serving([*GUNICORN, "--workers", "4"], BILLING_ENV="development") as running:
        assert checkout.run([*BILLING, "demo"], BILLING_ENV="development").returncode == 0
        token = running.post(LOGIN, DEMO)[2]["access_token"]
        answers = [running.get(CONSUMPTION, Authorization=f"Bearer {token}")[0] for _ in range(40)]
        assert answers == [200] * 40


def test_eight_starters_agree_on_one_secret(checkout: Checkout) -> None:
    look = "import wsgi; print(wsgi.create_app().config['JWT_SECRET_KEY'])"
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", look],
            cwd=checkout.folder,
            env=checkout.environment({}),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    secrets = [starter.communicate(timeout=60)[0] for starter in starters]
    assert len(set(secrets)) == 1
    assert len(secrets[0].strip()) == 64
    assert [path.name for path in (checkout.folder / "instance").iterdir()] == ["jwt_secret"], "no draft is left"


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, min(KNOWN_SECRETS, key=len).encode()])
def test_a_damaged_secret_is_one_sentence(checkout: Checkout, content: bytes) -> None:
    (checkout.folder / "instance").mkdir()
    (checkout.folder / "instance" / "jwt_secret").write_bytes(content)
    assert "instance/jwt_secret" in in_one_line(checkout.run(PYTHON, PORT="0"))


# -- wrong settings --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["abc", "-1", "", "1e3", "3.5", " ", "0x10", "９", "1_000", "9" * 40])
def test_a_limit_that_is_none_stops_the_start(checkout: Checkout, limit: str) -> None:
    line = in_one_line(checkout.run(PYTHON, PORT="0", BILLING_LIMIT_PREMIUM_API_CALLS=limit))
    assert line.startswith(f"billing: BILLING_LIMIT_PREMIUM_API_CALLS={limit!r}: must be a whole number from 0 to ")
    assert not (checkout.folder / "instance" / "turf_saas.db").exists()


def test_the_limit_0_starts_and_the_first_use_is_hard(checkout: Checkout) -> None:
    with checkout.serving(PYTHON, PORT="0", BILLING_LIMIT_PREMIUM_API_CALLS="0") as running:
        token = running.post(LOGIN, DEMO)[2]["access_token"]
        _, headers, month = running.get(CONSUMPTION, Authorization=f"Bearer {token}")
        assert headers["X-Billing-Alert"] == "hard_limit_reached"
        assert month["consumption"] == {"total_api_calls": 2550, "limit_api_calls": 0, "usage_pct": 100.0}


def test_a_wrong_setting_stops_every_server(checkout: Checkout, server: list[str]) -> None:
    line = in_one_line(checkout.run(server, BILLING_LIMIT_FREE_TOKENS="many"))
    assert line.startswith("billing: BILLING_LIMIT_FREE_TOKENS='many': must be ")


def test_eight_workers_stop_rather_than_start_again_and_again(checkout: Checkout) -> None:
    if find_spec("gunicorn") is None:
        require.without("gunicorn", "gunicorn is not installed")
    refused = checkout.run([*GUNICORN, "--workers", "8"], BILLING_LIMIT_FREE_TOKENS="many")
    assert refused.returncode != 0
    assert refused.stderr.count("Booting worker") == 8
    assert 1 <= refused.stderr.count("billing: BILLING_LIMIT_FREE_TOKENS='many': must be ") <= 8
    # gunicorn may end with a traceback of its own, and 1, when a second worker fails while it stops
    assert str(checkout.folder) not in refused.stderr

    at_once = checkout.run([*GUNICORN, "--preload", "--workers", "8"], BILLING_LIMIT_FREE_TOKENS="many")
    assert in_one_line(at_once).startswith("billing: BILLING_LIMIT_FREE_TOKENS='many': must be ")
    assert (at_once.returncode, at_once.stderr.count("\n")) == (3, 1)


def test_a_refused_database_stops_every_server(checkout: Checkout, server: list[str]) -> None:
    assert "does not exist" in in_one_line(checkout.run(server, TURF_SAAS_DB="nowhere/billing.db"))
    assert not (checkout.folder / "nowhere").exists()


def test_a_file_that_is_no_database_is_one_sentence(checkout: Checkout) -> None:
    (checkout.folder / "notes.txt").write_text("not a database, but a note of some length\n" * 100)
    assert "notes.txt is not a SQLite database" in in_one_line(checkout.run(PYTHON, PORT="0", TURF_SAAS_DB="notes.txt"))


def test_a_weak_secret_is_refused_in_production_only(checkout: Checkout) -> None:
    assert "JWT_SECRET_KEY" in in_one_line(checkout.run(FLASK_RUN, JWT_SECRET_KEY="changeme"))


def test_a_server_that_is_away_for_now_does_not_stop_the_workers(checkout: Checkout) -> None:
    if find_spec("psycopg") is None:
        require.without("postgres", "psycopg is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = f"postgresql://turf:hunter2@127.0.0.1:{port}/billing"
    with checkout.serving(FLASK_RUN, TURF_SAAS_DB=away) as running:
        assert running.get("/healthz")[0] == 200
        status, headers, body = running.get("/readyz")
        assert (status, headers["Retry-After"], body["code"]) == (503, "1", "database_unavailable")
        assert "hunter2" not in "".join(running.log)
    line = in_one_line(checkout.run(PYTHON, PORT="0", TURF_SAAS_DB=away))
    assert line == "billing: PostgreSQL on 127.0.0.1 cannot be used: no server answers there."


# -- .env ------------------------------------------------------------------------------------------


def test_the_env_file_is_read_and_the_real_environment_wins(checkout: Checkout) -> None:
    if find_spec("dotenv") is None:
        require.without("dotenv", "python-dotenv is not installed")
    (checkout.folder / ".env").write_text("BILLING_LOCALE=en\nBILLING_LIMIT_FREE_TOKENS=many\n")
    assert "BILLING_LIMIT_FREE_TOKENS='many'" in in_one_line(checkout.run(PYTHON, PORT="0"))
    with checkout.serving(PYTHON, PORT="0", BILLING_LIMIT_FREE_TOKENS="7") as running:
        assert '<html lang="en">' in running.get("/")[2]


def test_an_env_file_that_cannot_be_read_is_one_sentence(checkout: Checkout) -> None:
    if find_spec("dotenv") is None:
        require.without("dotenv", "python-dotenv is not installed")
    (checkout.folder / ".env").write_bytes(b"BILLING_LOCALE=\xff\xfe\n")
    assert ".env cannot be read" in in_one_line(checkout.run(PYTHON, PORT="0"))


def test_an_instance_folder_that_cannot_be_made_is_one_sentence(checkout: Checkout) -> None:
    (checkout.folder / "instance").write_text("a file where the folder should be")
    line = in_one_line(checkout.run(PYTHON, PORT="0"))
    assert f"the folder {checkout.folder}{os.sep}instance cannot be made" in line
