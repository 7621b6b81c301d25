"""A reference host on a real port, and Chromium to look at it. Left out, with the reason, where there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests import require
from tests.cast import SECRET

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
# Chromium's own traffic (updates, component downloads) is off: what remains is what the page asked for.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class _Silent(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """The reference host's URL."""
    from wsgi import create_app

    app = create_app(
        {"TESTING": True, "TURF_SAAS_DB": str(tmp_path / "host.db"), "JWT_SECRET_KEY": SECRET, "BILLING_ACCOUNTS": "1"}
    )
    with make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        serving.join(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        require.without("chromium", "no Chromium here: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require.without("chromium", "playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()
