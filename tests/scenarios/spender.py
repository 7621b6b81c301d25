"""A process that uses a quota as fast as it can: `python -m tests.scenarios.spender URL WHAT TRIES`.

It says "ready", waits for a line, tries, and says how many were admitted. WHAT is `reserve` (over HTTP, without the
socket), `api_calls` or `tokens` (spent), or `hold`: one reservation, and then it waits to be killed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from flask import Flask

import billing_db
from billing_db import DatabaseBusy
from tests.cast import SECRET, token_for
from turf_saas import admission
from turf_saas.admission import QuotaExceeded
from turf_saas.settings import read_settings
from turf_saas.users import User

NOW = datetime(2026, 5, 20, 10, 0, tzinfo=UTC)
LIMITS = {"BILLING_LIMIT_FREE_API_CALLS": "100", "BILLING_LIMIT_FREE_TOKENS": "100"}
ALICE = User(1, 1, "user")
THREADS = 4


def reserver(url: str) -> Callable[[int], bool]:
    from api_v1 import billing_bp

    app = Flask("host")
    app.config.update(TURF_SAAS_DB=url, JWT_SECRET_KEY=SECRET, TESTING=True, BILLING_SELF_REPORT="1", **LIMITS)
    app.register_blueprint(billing_bp)
    headers = {"Authorization": f"Bearer {token_for(ALICE.id)}"}

    def reserve(_: int) -> bool:
        while True:
            sent = {"metric": "tokens", "quantity": 1}
            reply = app.test_client().post("/api/v1/billing/quotas/reserve", json=sent, headers=headers)
            if reply.status_code != 503:  # busy: as a client that heeds Retry-After
                assert reply.status_code in {201, 429}, reply.data
                return reply.status_code == 201

    return reserve


def spender(url: str, metric: str) -> Callable[[int], bool]:
    settings = read_settings({"TURF_SAAS_DB": url, **LIMITS})

    def spend(_: int) -> bool:
        while True:
            try:
                admission.spend(billing_db.get_db(url), NOW, settings, ALICE, metric, 1, endpoint="/races")
            except QuotaExceeded:
                return False
            except DatabaseBusy:
                continue
            return True

    return spend


def main(url: str, what: str, tries: int) -> None:
    if what == "hold":
        settings = read_settings({"TURF_SAAS_DB": url, **LIMITS})
        held = admission.reserve(billing_db.get_db(url), NOW, settings, ALICE, "tokens", 60)
        print(held.id, flush=True)
        sys.stdin.read()
        return
    do = reserver(url) if what == "reserve" else spender(url, what)
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(THREADS) as pool:
        print(sum(pool.map(do, range(tries))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
