"""The hooks of StripeFake over HTTP, for a fake that runs in another process: `POST /_fake/…` with JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api_v1.stripe_fake.errors import Refused
from api_v1.stripe_fake.rendering import Obj

if TYPE_CHECKING:
    from api_v1.stripe_fake.fake import StripeFake
    from api_v1.stripe_fake.server import Handler

Hook = Callable[["StripeFake", Obj], Any]


def serve(fake: StripeFake, handler: Handler, name: str, raw: bytes) -> None:
    """What the hook gives, as JSON; 400 with the reason when it cannot."""
    table = POSTED if handler.command == "POST" else LOOKED_AT
    hook = table.get(name)
    if hook is None:
        handler.answer(404, {"error": f"there is no hook {name}; there are {', '.join(sorted({*POSTED, *LOOKED_AT}))}"})
        return
    try:
        done = hook(fake, _given(raw))
    except KeyError as missing:
        handler.answer(400, {"error": f"{name} lacks {missing.args[0]}"})
    except TypeError as wrong:  # Python's own sentence names what is missing, or what there is no such thing as
        handler.answer(400, {"error": f"{name}: {_CALLED.sub('', str(wrong))}"})
    except (Refused, ValueError, AssertionError) as error:
        handler.answer(400, {"error": f"{name}: {error}"})
    else:
        handler.answer(200, {"done": done})


_CALLED = re.compile(r"^[\w.]+\(\) ")


def _given(raw: bytes) -> Obj:
    try:
        given = json.loads(raw or b"{}")
    except ValueError:
        raise ValueError("the body is no JSON") from None
    if not isinstance(given, dict):
        raise ValueError("the body is no JSON object")
    return given


def _fault(fake: StripeFake, given: Obj) -> Obj:
    fault = fake.fault(**given)
    return {each.name: getattr(fault, each.name) for each in fields(fault) if each.init}


def _endpoint(fake: StripeFake, given: Obj) -> Obj:
    return fake.add_endpoint(**given)


def _clock(fake: StripeFake, given: Obj) -> int:
    return fake.move_clock(datetime.fromisoformat(given["now"]))


def _down(fake: StripeFake, given: Obj) -> bool:
    fake.down = bool(given["down"])
    return fake.down


def _requests(fake: StripeFake, _given: Obj) -> list[Obj]:
    told = ("method", "path", "params", "idempotency_key", "key_prefix", "stripe_version", "status", "replayed")
    return [json.loads(json.dumps({name: getattr(each, name) for name in told}, default=str)) for each in fake.requests]


def _delivered(results: Any) -> list[Obj]:
    return [asdict(each) for each in results]


POSTED: dict[str, Hook] = {
    "faults": _fault,
    "clear_faults": lambda fake, given: fake.faults.clear(),
    "webhook_endpoints": _endpoint,
    "clock": _clock,
    "down": _down,
    "pause": lambda fake, given: fake.pause(),
    "resume": lambda fake, given: fake.resume(),
    "silence": lambda fake, given: fake.silence(),
    "deliver": lambda fake, given: _delivered(fake.deliver(**given)),
    "redeliver": lambda fake, given: _delivered(fake.redeliver(**given)),
    "prune_keys": lambda fake, given: fake.prune_keys(**given),
    "complete_checkout": lambda fake, given: fake.complete_checkout(**given),
    "decide_payment": lambda fake, given: fake.decide_payment(**given),
    "confirm_payment": lambda fake, given: fake.confirm_payment(**given),
    "card_turns": lambda fake, given: fake.card_turns(**given),
    "dispute": lambda fake, given: fake.dispute(**given),
    "close_dispute": lambda fake, given: fake.close_dispute(**given),
    "fail_refund": lambda fake, given: fake.fail_refund(**given),
    "succeed_refund": lambda fake, given: fake.succeed_refund(**given),
    "pay_out": lambda fake, given: fake.pay_out(**given),
    "fail_payout": lambda fake, given: fake.fail_payout(**given),
}
LOOKED_AT: dict[str, Hook] = {
    "requests": _requests,
    "events": lambda fake, given: fake.events,
    "objects": lambda fake, given: fake.objects,
    "deliveries": lambda fake, given: _delivered(fake.deliveries),
    "clock": lambda fake, given: fake.now.isoformat(),
}
