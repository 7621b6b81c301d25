"""`flask billing webhooks …`: what Stripe has told is listed and shown, and what is parked is tried once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from api_v1.blueprint import billing_bp
from api_v1.signals import trial_will_end
from billing_db import Connection, atomic, execute
from tests.conftest import NOW
from tests.stripe_payloads import event, tell
from turf_saas import stripe_events
from turf_saas.notices import Notice
from turf_saas.settings import read_settings
from turf_saas.stripe_applying import Outcome, Unknown, applied

Run = Callable[..., tuple[int, str, str]]
SETTINGS = read_settings({"TURF_SAAS_DB": "unused"})


@pytest.fixture
def run(make_app: Callable[..., Flask]) -> Run:
    app = make_app(BILLING_LOCALE="en")

    def run(*words: str) -> tuple[int, str, str]:
        result = app.test_cli_runner().invoke(billing_bp.cli, ["webhooks", *words])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def told(db: Connection, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two that are parked, of which one can be applied now, one that waits, and one of no interest."""

    def poison(*_: object) -> Outcome:
        raise Unknown("in_9")

    def good(*_: object) -> Outcome:
        return applied(Notice("trial_will_end", {"subscription": None}))

    monkeypatch.setitem(stripe_events.HANDLERS, "test.poison", stripe_events.Row(poison, "waits for ever"))
    monkeypatch.setitem(stripe_events.HANDLERS, "test.good", stripe_events.Row(good, "is applied"))
    events = {"bad": event("test.poison", {"id": "in_1"}), "waits": event("test.poison", {"id": "in_2"}),
              "ignored": event("other.thing", {"id": "x"}), "good": event("test.good", {"id": "in_3"})}  # fmt: skip
    for one in events.values():
        tell(db, NOW, SETTINGS, one)
    with atomic(db):
        execute(
            db,
            """UPDATE billing_received_events SET status = 'failed', received_at = '2020-01-01T00:00:00Z'
                WHERE object_id IN ('in_1', 'in_3')""",
        )
    return events


def _number(run: Run, payload: dict[str, Any]) -> str:
    return str(json.loads(run("show", payload["id"], "--json")[1])["id"])


def test_what_came_is_listed_by_status_and_type_and_shown_with_its_body(run: Run, told: dict[str, Any]) -> None:
    code, out, _ = run("list", "--status", "failed", "--type", "test.")
    numbers = [_number(run, told[name]) for name in ("good", "bad")]
    assert (code, out.splitlines()) == (0, [
        f"{numbers[0]}  test.good  in_3  failed  2026-05-20T09:00:00Z",
        f"{numbers[1]}  test.poison  in_1  failed  2026-05-20T09:00:00Z  in_9 is not known yet",
        "0 applied, 1 ignored, 1 deferred, 0 mismatch, 2 failed",
    ])  # fmt: skip
    listed = json.loads(run("list", "--type", "other.thing", "--limit", "1", "--json")[1])["events"]
    assert [(one["stripe_event_id"], one["status"]) for one in listed] == [(told["ignored"]["id"], "ignored")]
    for kind, many in (("other", 1), ("other.", 1), ("othe", 0), ("thing", 0)):
        assert len(json.loads(run("list", "--type", kind, "--json")[1])["events"]) == many, kind
    shown = json.loads(run("show", numbers[1], "--json")[1])
    assert (shown["waits_for"], json.loads(shown["body"])) == ("in_9", told["bad"])
    assert "status: failed" in run("show", numbers[1])[1].splitlines()
    assert run("show", "evt_none") == (1, "", "Error: No event evt_none of Stripe's is known here.\n")


def test_what_is_parked_is_tried_once_more_each_by_itself_and_the_host_hears_of_it(
    run: Run, told: dict[str, Any]
) -> None:
    heard: list[Any] = []

    def hear(_app: Any, **about: Any) -> None:
        heard.append(about)

    trial_will_end.connect(hear)
    try:
        code, out, _ = run("replay", "--parked", "--dry-run", "--json")
        results = [one["result"] for one in json.loads(out)["events"]]
        assert (code, results, heard) == (1, ["failed", "applied"], [])
        assert "2 failed" in run("list")[1]
        bad, good = (_number(run, told[name]) for name in ("bad", "good"))
        assert run("replay", "--parked") == (1, "\n".join([
            f"{bad}  {told['bad']['id']}  failed  in_9 is not known yet",
            f"{good}  {told['good']['id']}  applied",
            "2 tried\n",
        ]), "")  # fmt: skip
        assert heard == [{"subscription": None}]
        settled = f"{good}  {told['good']['id']}  refused  Event {good} is settled already."
        assert run("replay", good)[:2] == (1, f"{settled}\n1 tried\n")
        assert run("replay", told["waits"]["id"])[0] == 1
    finally:
        trial_will_end.disconnect(hear)


def test_what_another_one_has_settled_meanwhile_is_no_failure(
    run: Run, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, known in (("good", ("in_9",)), ("poison", ())):
        row = stripe_events.Row(lambda *_, known=known: applied(known=known), "is applied now")  # type: ignore[misc]
        monkeypatch.setitem(stripe_events.HANDLERS, f"test.{kind}", row)
    names = [told[name]["id"] for name in ("good", "bad", "waits")]
    code, out, _ = run("replay", *names, "--json")
    assert (code, [one["result"] for one in json.loads(out)["events"]]) == (0, ["applied"] * 3)
    assert run("replay", names[1])[0] == 1, "it was settled before it was asked for"


def test_what_was_seen_to_by_hand_is_dismissed_all_or_none(run: Run, told: dict[str, Any]) -> None:
    names = [told["bad"]["id"], told["waits"]["id"]]
    assert run("dismiss", *names, told["ignored"]["id"], "--why", "paid by hand")[0] == 1
    assert run("dismiss", *names, "--why", "paid by hand", "--dry-run")[0] == 0
    assert "0 applied, 1 ignored, 1 deferred, 0 mismatch, 2 failed" in run("list")[1]
    assert run("dismiss", *names, "--why", "paid by hand")[0] == 0
    assert "0 applied, 3 ignored, 0 deferred, 0 mismatch, 1 failed" in run("list")[1]
    assert json.loads(run("show", names[0], "--json")[1])["note"] == "dismissed: paid by hand"


@pytest.mark.parametrize("words", ["replay", "replay 1 --parked", "dismiss 1", "list --status bad", "list --limit 0"])
def test_a_wrong_command_line_is_2(run: Run, words: str) -> None:
    assert run(*words.split())[0] == 2
