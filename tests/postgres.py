"""A PostgreSQL of the tests' own: a private cluster on a unix socket, started once, thrown away at the end.

TEST_POSTGRES_URL names a server to use instead (its user may create databases).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from psycopg import Connection


# What it holds need not outlast the machine: a killed client or a restart finds everything all the same.
FORGETFUL = "-c fsync=off -c full_page_writes=off"


def bin_folder() -> Path | None:
    """Where initdb and pg_ctl are, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def why_not() -> str | None:
    """The reason why PostgreSQL tests cannot run here, or None."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: pip install '.[postgres]'"
    if not os.environ.get("TEST_POSTGRES_URL") and bin_folder() is None:
        return "no PostgreSQL here: install it, or name one in TEST_POSTGRES_URL"
    return None


class Cluster:
    """Started by `with`; `new_database` gives a URL to an empty database, or to a copy of another."""

    def __enter__(self) -> Cluster:
        self.folder: str | None = None
        self._open: Connection[Any] | None = None
        self.url = os.environ.get("TEST_POSTGRES_URL", "")
        if not self.url:
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
        if self.folder is not None:
            self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="billing-pg-")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run(
            "initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N"
        )
        options = f"-k {self.folder} -c listen_addresses='' -c max_connections=200 {FORGETFUL}"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", options, "start")
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"

    def restart(self) -> None:
        """Stop and start the server, as a failover looks from outside. Only for the private cluster."""
        assert self.folder is not None
        if self._open is not None:
            self._open.close()
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "fast", "-w", "restart", "-l", f"{self.folder}/log")

    def _run(self, program: str, *arguments: str) -> None:
        folder = bin_folder()
        assert folder is not None
        # PostgreSQL refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_user, str(folder / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60
        )

    def new_database(self, template: str | None = None) -> str:
        name = f"t_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}{self._copied_from(template) if template else ''}")
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_database(self, url: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    def _copied_from(self, template: str) -> str:
        # Since PostgreSQL 15 a copy is written to the log page by page, which takes twice as long as to copy files.
        as_files = " STRATEGY file_copy" if self._server().info.server_version >= 150_000 else ""
        return f" TEMPLATE {urlsplit(template).path[1:]}{as_files}"

    def _execute(self, statement: str) -> None:
        self._server().execute(statement.encode())

    def _server(self) -> Connection[Any]:
        """One connection for all that makes and drops databases, opened again after a restart."""
        import psycopg

        if self._open is None or self._open.closed:
            self._open = psycopg.connect(self.url, autocommit=True)
        return self._open
