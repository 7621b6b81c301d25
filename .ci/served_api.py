"""Starts the reference host, checks the document that it serves, then sends what the document allows and forbids.

python .ci/served_api.py FOLDER        FOLDER keeps the database and the server's log
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SECONDS = 60
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")
PEOPLE = ("demo@example.com", "admin@example.com")
PASSWORD = "demo-demo-demo"  # of the demo data: no secret

RULES_BETWEEN_FIELDS = {
    "PATCH /plans/{code}": "a plan is right as a whole",
    "POST /checkout": "the plan is one that is sold",
    "POST /discounts": "percent or amount_cents, and months with their duration",
    "POST /invoice-items": "the quantity is above 0, and the amount no fraction of a cent",
    "POST /invoices/{number}/credit-notes": "an amount or lines, not both",
    "POST /invoices/{number}/payments": "a payment is received today at the latest",
    "POST /plans": "a plan is right as a whole",
    "POST /subscriptions": "plan and plan_code are the same",
    "POST /subscriptions/{subscription_id}/cancel": "another instant is for a dry run",
    "POST /subscriptions/{subscription_id}/change": "another instant is for a dry run",
    "POST /test-clock": "the clock is set within ten years",
    "POST /pricing/quote": "each model has fields of its own, and the bounds of tiers rise",
    "POST /quotas/reserve": "a user's id is printable text",
    "POST /tenants": "admin_email and admin_password come together",
    "PUT /profile": "a professional has an address, and numbers of registers have check digits",
    "POST /webhooks/payment": "the body is signed",
    "POST /webhooks/stripe": "the body is signed",
    "POST /usage": "quantity and amount are the same, and an instant lies at most 35 days back",
}


@contextmanager
def reference_host(folder: Path) -> Iterator[str]:
    """`python wsgi.py` with its demo data, on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True)
    from api_v1.stripe_fake import StripeFake

    with StripeFake() as stripe, (folder / "server.log").open("w") as log:
        environment = os.environ | {"PORT": str(port), "TURF_SAAS_DB": str(folder / "served.db"), **paid_by(stripe.url)}
        server = subprocess.Popen([sys.executable, "wsgi.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            if not answers(server, f"{url}/healthz"):
                sys.exit(f"the reference host did not start: {(folder / 'server.log').read_text()}")
            yield url
        finally:
            server.terminate()
            server.wait(timeout=20)


def paid_by(stripe: str) -> dict[str, str]:
    """Stripe on loopback: without any, what asks it would answer 503."""
    page = "https://host.example/"
    return {
        "STRIPE_SECRET_KEY": "sk_test_served",
        "STRIPE_WEBHOOK_SECRET": "whsec_served",
        "BILLING_STRIPE_API_BASE": stripe,
        "BILLING_STRIPE_SUCCESS_URL": page,
        "BILLING_STRIPE_CANCEL_URL": page,
        "BILLING_STRIPE_RETURN_URL": page,
    }


def answers(server: subprocess.Popen[bytes], url: str) -> bool:
    pause = threading.Event()
    for _ in range(SECONDS * 10):
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
        if server.poll() is not None:
            return False
        pause.wait(0.1)
    return False


def fetched(url: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return dict(json.load(reply))


def settings_of_schemathesis(document: dict[str, Any]) -> str:
    """Where a schema does not say all, "valid data should have been accepted" asks too much: no text holds NUL, a
    cursor is a position that we gave, a user's id is printable, some operations have a rule between fields. Our own
    tests send all of these."""
    lax = set(RULES_BETWEEN_FIELDS)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if any(parameter.get("name") in ("cursor", "user_id") for parameter in operation.get("parameters", ())):
                lax.add(f"{method.upper()} {path}")
    return "[generation]\nallow-x00 = false\n" + "".join(
        f'[[operations]]\ninclude-name = "{name}"\n[operations.checks]\npositive_data_acceptance.enabled = false\n'
        for name in sorted(lax)
    )


def send_what_it_allows_and_forbids(api: str, document: dict[str, Any], person: str, folder: Path) -> None:
    """As somebody who may and as somebody who may not. Bounded, with a fixed seed: a red run can be run again."""
    config = folder / "schemathesis.toml"
    config.write_text(settings_of_schemathesis(document))
    token = fetched(f"{api}/auth/login", {"email": person, "password": PASSWORD})["access_token"]
    program = str(Path(sys.executable).parent / "schemathesis")
    options = ["--max-examples", EXAMPLES, "--workers", "1", "--seed", "1", "--request-timeout", "20", "--no-color"]
    header = ["--header", f"Authorization: Bearer {token}"]
    command = [program, "--config-file", str(config), "run", f"{api}/openapi.json", "--url", api, *header, *options]
    ended = subprocess.run(command, check=False, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=1200)
    if ended.returncode:
        sys.exit(f"{ended.stdout}\nas {person}")
    tested = re.search(r"\d+ generated.*", ended.stdout)
    print(f"as {person}: {tested[0] if tested else ended.stdout[-300:]}")


def main(folder: Path) -> None:
    with reference_host(folder) as url:
        api = f"{url}/api/v1/billing"
        document = fetched(f"{api}/openapi.json")
        validate(document)
        print(f"OpenAPI {document['openapi']}: valid, {len(document['paths'])} paths")
        for person in PEOPLE:
            send_what_it_allows_and_forbids(api, document, person, folder)
    log = (folder / "server.log").read_text()
    faults = re.findall(r"^Traceback .*|.*\" 500 .*", log, re.M)
    if faults:
        sys.exit(f"the server's log tells of faults: {faults[:5]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
