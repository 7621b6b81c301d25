"""`flask billing stripe-fake`, as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import stripe
from flask import Flask

from api_v1.stripe_fake import StripeFake
from tests.house.sources import ROOT
from tests.stripe import KEY


def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    settings = {"TURF_SAAS_DB": str(tmp_path / "billing.db"), "BILLING_ENV": "development"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "billing", "stripe-fake", "--port", "0", "--json"]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **settings}, text=True)
    try:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        assert told["settings"]["BILLING_STRIPE_API_BASE"] == told["url"]
        assert told["settings"]["BILLING_STRIPE_SUCCESS_URL"] == "http://127.0.0.1:5000/"
        client = stripe.StripeClient(KEY, base_addresses={"api": told["url"]})
        assert client.v1.webhook_endpoints.list().data[0].url == told["webhook"]
        served.send_signal(signal.SIGINT)
        assert served.wait(20) == 0
    finally:
        served.kill()
        served.communicate()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_production_is_refused(make_app: Callable[..., Flask]) -> None:
    app = make_app(BILLING_ENV="production", JWT_SECRET_KEY="k" * 64)
    refused = app.test_cli_runner().invoke(args=["billing", "stripe-fake", "--port", "0"])
    assert (refused.exit_code, "BILLING_ENV=development" in refused.stderr, refused.stdout) == (1, True, "")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_taken_port_is_one_sentence(make_app: Callable[..., Flask], stripe_fake: StripeFake) -> None:
    port = str(stripe_fake.port)
    app = make_app()
    refused = app.test_cli_runner().invoke(args=["billing", "stripe-fake", "--port", port])
    assert (refused.exit_code, port in refused.stderr, len(refused.stderr.splitlines())) == (1, True, 1)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_webhook_elsewhere_is_refused(make_app: Callable[..., Flask]) -> None:
    words = ["billing", "stripe-fake", "--port", "0", "--webhook", "https://example.com/hook"]
    refused = make_app().test_cli_runner().invoke(args=words)
    assert (refused.exit_code, "this machine only" in refused.stderr) == (2, True)
