"""A customer's life with Stripe: the app on a socket, the loopback Stripe on another, and one clock for both."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from api_v1.signals import payment_failed
from api_v1.stripe_fake import StripeFake
from billing_db import Connection, close_db, fetch_all
from tests.api.subscribing import PREFIX, Desk
from tests.cast import Cast, Person
from tests.stripe import SECRET, client_of


class _Silent(WSGIRequestHandler):
    def log(self, *_: Any, **__: Any) -> None:
        """Nothing is said."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The app's address, while it is served."""
    with make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            close_db()


class Shop(Desk):
    """A desk whose owner is paid through Stripe."""

    def __init__(self, app: Flask, db: Connection, people: Cast, fake: StripeFake, address: str) -> None:
        super().__init__(app.test_client(), db, people)
        self.fake = fake
        self.heard: dict[str, list[str]] = defaultdict(list)  # of which invoices a signal told
        payment_failed.connect(lambda _app, invoice, **_: self.heard["payment_failed"].append(invoice.number), app)
        fake.add_endpoint(f"{address}{PREFIX}/webhooks/stripe", SECRET)

    def until(self, text: str) -> None:
        """It is then at both; what Stripe has to tell has been told, and what is due has been done."""
        self.at(text)
        self.fake.move_clock(datetime.fromisoformat(f"{text}:00+00:00"))
        self.work()

    def work(self) -> None:
        """Jobs, and what comes of them, until nothing more does."""
        for _ in range(5):
            self.told()
            ran = self.client.application.test_cli_runner().invoke(args=["billing", "run-due", "--json"])
            assert ran.exit_code == 0, ran.output
        self.told()

    def told(self) -> None:
        """All that Stripe had to tell was taken."""
        assert self.fake.settled()
        refused = [(one.event_type, one.status, one.body) for one in self.fake.deliveries if one.status != 200]
        assert refused == []

    # -- what people do ---------------------------------------------------------------------------------

    def gives_a_new_card(self) -> None:
        """As the portal does it: it is what the customer and his subscription are charged with from now on."""
        stripe = client_of(self.fake)
        card = stripe.v1.payment_methods.attach("pm_card_visa", {"customer": self.only("customer")})
        stripe.v1.subscriptions.update(self.only("subscription"), {"default_payment_method": card.id})
        defaults: Any = {"invoice_settings": {"default_payment_method": card.id}}
        stripe.v1.customers.update(self.only("customer"), defaults)

    # -- what stands at Stripe --------------------------------------------------------------------------

    def only(self, kind: str) -> str:
        """The id of the one object of this kind."""
        (found,) = [key for key, each in self.fake.objects.items() if each["object"] == kind]
        return found

    def newest_charge(self) -> str:
        made = [each for each in self.fake.objects.values() if each["object"] == "charge" and each["paid"]]
        return str(max(made, key=lambda charge: charge["created"])["id"])

    # -- what stands here -------------------------------------------------------------------------------

    def stands(self, person: Person) -> tuple[str, str, str]:
        """The subscription that Stripe runs: plan, status, and until when its period goes."""
        now = self.now(person)
        assert now["billed_by"] == "stripe"
        return now["plan"], now["status"], now["current_period_end"]

    def books(self, person: Person) -> list[tuple[str, str, int, str, int]]:
        """Number, kind, amount, status and what is due, the first one first."""
        found = self.get(person, "/invoices", limit=100).json["items"][::-1]
        names = ("number", "kind", "amount_cents", "status", "due_cents")
        return [tuple(each[name] for name in names) for each in found]

    def payments(self, person: Person) -> list[dict[str, Any]]:
        """The newest first."""
        found: list[dict[str, Any]] = self.get(person, "/payments", limit=100).json["items"]
        return found

    def ledger(self, user_id: Any) -> dict[str, int]:
        """Of everything that was ever written down about the user's money."""
        (row,) = fetch_all(
            self.db,
            """SELECT COALESCE(SUM(CASE WHEN type <> 'refund' AND amount_cents > 0 THEN amount_cents END), 0) AS sold,
                      COALESCE(SUM(CASE WHEN type <> 'refund' AND amount_cents < 0 THEN amount_cents END), 0)
                          AS taken_back,
                      COALESCE(SUM(CASE WHEN type = 'refund' THEN amount_cents END), 0) AS given_back
                 FROM transactions WHERE user_id = :user_id""",
            user_id=user_id,
        )
        (paid,) = fetch_all(
            self.db, "SELECT SUM(amount_cents) AS paid FROM billing_payments WHERE user_id = :user_id", user_id=user_id
        )
        return {name: int(row[name]) for name in ("sold", "taken_back", "given_back")} | {"paid": int(paid["paid"])}

    def unsettled(self) -> list[str]:
        """Events that were neither applied nor ignored."""
        rows = fetch_all(
            self.db,
            """SELECT e.event_type, r.note FROM billing_events AS e
                 JOIN billing_received_events AS r ON r.event_id = e.id
                WHERE r.status NOT IN ('applied', 'ignored') ORDER BY e.id""",
        )
        return [f"{row['event_type']}: {row['note']}" for row in rows]

    def said(self, *command: str) -> Any:
        """What `flask billing …` answers in JSON."""
        ran = self.client.application.test_cli_runner().invoke(args=["billing", *command, "--json"])
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.output)
