"""/apidocs in a real browser: the operations are shown, nothing is asked of anybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from api_v1.routing import OPERATIONS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("flasgger")


def test_apidocs_lists_every_operation_and_asks_no_foreign_host(page: Page, host: str) -> None:
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{host}/apidocs/", wait_until="networkidle")
    page.wait_for_selector(".opblock")
    shown = {name.strip() for name in page.locator(".opblock-summary-operation-id").all_inner_texts()}
    assert shown == {operation.name for operation in OPERATIONS}
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(host).netloc}
    assert any(url.endswith("/apispec.json") for url in asked)
    assert said == []


def test_an_operation_can_be_tried_from_the_page(page: Page, host: str) -> None:
    page.goto(f"{host}/apidocs/")
    block = page.locator(".opblock", has_text="/healthz").first
    block.click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tbody .response-col_status").first
    answer.wait_for()
    assert answer.inner_text().startswith("200")
    assert f"{host}/api/v1/billing/healthz" in block.locator(".request-url").inner_text()
